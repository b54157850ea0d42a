//! Series with their keys <-> bytes. Pure.
//!
//! Layout: `PLCP`, version (1 byte), CRC-32 of the rest (4 bytes, little endian), when it was saved (8), the length of
//! the keys (4), the keys (deflated JSON), then a snapshot of the series in the order of the keys.

use std::borrow::Cow;
use std::fmt;
use std::io::{Read, Write};

use flate2::{Compression, Crc};
use serde::{Deserialize, Serialize};

use super::{Entry, Restored};
use crate::control::book::Kept;
use crate::control::kills::Kills;
use crate::model::{self, SnapshotError};
use crate::units::Timestamp;

const MAGIC: &[u8; 4] = b"PLCP";
/// The version that is written.
pub(super) const VERSION: u8 = 1;
/// Bytes before what the checksum is of.
const HEADER: usize = 9;
/// The longest list of keys that is read.
const LONGEST: u64 = 64 << 20;

/// Why a pack cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// A later version wrote it.
    Newer(String),
    /// It is damaged, or none.
    Damaged(String),
}

impl Broken {
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Newer(_) => "newer",
            Self::Damaged(_) => "damaged",
        }
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Newer(detail) => write!(f, "written by a later version of plumb ({detail})"),
            Self::Damaged(detail) => write!(f, "damaged ({detail})"),
        }
    }
}

impl From<SnapshotError> for Broken {
    fn from(error: SnapshotError) -> Self {
        match error {
            SnapshotError::Newer { .. } => Self::Newer(error.to_string()),
            _ => Self::Damaged(error.to_string()),
        }
    }
}

/// What is kept of a series beside its history. Short names: there are many.
#[derive(Serialize, Deserialize)]
struct Named<'a> {
    #[serde(rename = "k")]
    key: Cow<'a, str>,
    #[serde(rename = "l", default, skip_serializing_if = "Option::is_none")]
    last_kill: Option<i64>,
    #[serde(rename = "o", default, skip_serializing_if = "none")]
    kills: Cow<'a, Kills>,
    #[serde(rename = "w", default)]
    whole: bool,
}

fn none(kills: &Kills) -> bool {
    kills.is_empty()
}

impl<'a> Named<'a> {
    fn of(entry: &Entry<'a>) -> Self {
        Self {
            key: Cow::Borrowed(entry.key),
            last_kill: entry.kept.last_kill.map(|at| at.0),
            kills: Cow::Borrowed(&entry.kept.kills),
            whole: entry.kept.whole,
        }
    }
}

/// What was in a pack.
pub(super) struct Unpacked {
    pub(super) saved: Timestamp,
    pub(super) series: Vec<Restored>,
}

/// A pack of entries in the order of their keys, and the checksum of what is in it, its time left out.
pub(super) fn pack(entries: &[Entry<'_>], now: Timestamp) -> (Vec<u8>, u32) {
    let keys: Vec<Named<'_>> = entries.iter().map(Named::of).collect();
    let series: Vec<_> = entries.iter().map(|entry| &entry.kept.series).collect();
    let snapshot = model::write_snapshot(&series);
    let mut packed = Vec::new();
    let mut deflate = flate2::write::DeflateEncoder::new(&mut packed, Compression::default());
    // Texts and numbers become JSON, and writing to memory does not fail.
    let written = serde_json::to_vec(&keys).map_err(Into::into).and_then(|json| deflate.write_all(&json));
    let written = written.and_then(|()| deflate.finish().map(|_| ()));
    debug_assert!(written.is_ok());
    let mut rest = now.0.to_le_bytes().to_vec();
    rest.extend_from_slice(&(packed.len() as u32).to_le_bytes());
    rest.extend_from_slice(&packed);
    rest.extend_from_slice(&snapshot);
    let mut bytes = MAGIC.to_vec();
    bytes.push(VERSION);
    bytes.extend_from_slice(&checksum(&rest).to_le_bytes());
    let content = checksum(rest.get(8..).unwrap_or_default());
    bytes.extend_from_slice(&rest);
    (bytes, content)
}

/// What is in a pack; all of it or nothing.
pub(super) fn unpack(bytes: &[u8]) -> Result<Unpacked, Broken> {
    let damaged = |what: &str| Broken::Damaged(what.to_owned());
    if bytes.get(..4) != Some(MAGIC.as_slice()) {
        return Err(damaged("it does not begin as a checkpoint does"));
    }
    let (Some(&version), Some(sum), Some(rest)) = (bytes.get(4), bytes.get(5..HEADER), bytes.get(HEADER..))
    else {
        return Err(damaged("it breaks off"));
    };
    if version > VERSION {
        return Err(Broken::Newer(format!("version {version}, this one reads {VERSION}")));
    }
    if checksum(rest).to_le_bytes() != sum {
        return Err(damaged("its checksum does not hold"));
    }
    let (saved, rest) = rest.split_first_chunk::<8>().ok_or_else(|| damaged("it breaks off"))?;
    let (length, rest) = rest.split_first_chunk::<4>().ok_or_else(|| damaged("it breaks off"))?;
    let length = u32::from_le_bytes(*length) as usize;
    let keys = rest.get(..length).ok_or_else(|| damaged("its keys break off"))?;
    let mut json = Vec::new();
    let inflated = flate2::read::DeflateDecoder::new(keys).take(LONGEST).read_to_end(&mut json);
    inflated.map_err(|_| damaged("its keys cannot be unpacked"))?;
    let keys: Vec<Named<'static>> =
        serde_json::from_slice(&json).map_err(|_| damaged("its keys are none"))?;
    let series = model::read_snapshot(rest.get(length..).unwrap_or_default())?;
    if series.len() != keys.len() {
        return Err(damaged("it has not as many series as keys"));
    }
    let series = keys.into_iter().zip(series);
    let series = series.map(|(named, series)| Restored {
        key: named.key.into_owned(),
        kept: Kept {
            series,
            last_kill: named.last_kill.map(Timestamp),
            kills: named.kills.into_owned(),
            whole: named.whole,
        },
    });
    Ok(Unpacked { saved: Timestamp(i64::from_le_bytes(*saved)), series: series.collect() })
}

fn checksum(bytes: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum()
}
