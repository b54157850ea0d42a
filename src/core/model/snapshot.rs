//! Series <-> compact bytes: many series in one pack, versioned, compressed, with a checksum.
//!
//! Layout: `PLMB`, version (1 byte), CRC-32 of the rest (4 bytes, little endian), then each lane: the length of what
//! follows (varint) and its numbers, deflated. The lane of counts begins with how many series there are; what a series
//! puts where, and in which order, is told by [`fields`]. Numbers are varints. Amounts are logarithms, mostly as the
//! step from a neighbour: in 1 % or 3 % where they are sizes (at most one bucket of the histogram), coarser where they
//! only weigh others. What is read back writes the same bytes again.

mod bytes;
mod fields;
#[cfg(test)]
mod tests;

use std::io::{Read, Write};

use flate2::{Compression, Crc};

use self::bytes::{LANES, Lane, Reader, Writer};
use super::series::Series;

const MAGIC: &[u8; 4] = b"PLMB";
/// The version that is written. Version 1, which is read too, does not say whether memory follows its limit.
pub const VERSION: u8 = 2;
/// Bytes before what is compressed.
const HEADER: usize = 9;
/// The longest unpacked pack that is read: what 1,000,000 series take.
const LONGEST: u64 = 1 << 30;
/// The least that a series puts in the lane of counts, to bound what a false count reserves.
const LEAST_SERIES: usize = 8;

/// Why a pack cannot be read. Nothing of it is then used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// It does not begin as a pack does.
    #[error("not a snapshot: byte {at} is none of one")]
    NotASnapshot {
        /// The first byte that differs, or the length where it ends before.
        at: usize,
    },
    /// A later version wrote it.
    #[error("snapshot version {found} at byte 4 is newer than {VERSION}, the newest that this build reads")]
    Newer {
        /// Its version.
        found: u8,
    },
    /// The checksum does not hold.
    #[error("damaged snapshot: bytes {HEADER} to {to} do not match the checksum at byte 5")]
    Checksum {
        /// Its length.
        to: usize,
    },
    /// What is inside is no snapshot's content.
    #[error("damaged snapshot: {what} at byte {at} of what is packed")]
    Content {
        /// Where, after unpacking.
        at: usize,
        /// What is wrong.
        what: &'static str,
    },
}

/// Packs series.
#[must_use]
pub fn write(series: &[&Series]) -> Vec<u8> {
    let mut out = Writer::default();
    out.count(series.len());
    let mut time = 0;
    for one in series {
        fields::put_series(&mut out, one, &mut time);
    }
    pack(&out, VERSION)
}

/// The lanes as one pack.
fn pack(out: &Writer, version: u8) -> Vec<u8> {
    let mut packed = Vec::new();
    for lane in &out.lanes {
        let lane = deflated(lane);
        let mut length = Writer::default();
        length.count(lane.len());
        packed.extend_from_slice(&length.lanes[Lane::Count as usize]);
        packed.extend_from_slice(&lane);
    }
    let mut crc = Crc::new();
    crc.update(&packed);
    let mut bytes = Vec::with_capacity(HEADER + packed.len());
    bytes.extend_from_slice(MAGIC);
    bytes.push(version);
    bytes.extend_from_slice(&crc.sum().to_le_bytes());
    bytes.extend_from_slice(&packed);
    bytes
}

fn deflated(bytes: &[u8]) -> Vec<u8> {
    let mut packed = Vec::new();
    let mut deflate = flate2::write::DeflateEncoder::new(&mut packed, Compression::best());
    // Writing to memory does not fail.
    let written = deflate.write_all(bytes).and_then(|()| deflate.finish().map(|_| ()));
    debug_assert!(written.is_ok());
    packed
}

/// Unpacks series, in the order in which they were packed.
///
/// # Errors
/// Names the byte where it is not what [`write()`] writes. Nothing is then read at all.
pub fn read(bytes: &[u8]) -> Result<Vec<Series>, SnapshotError> {
    let (version, body) = check_header(bytes)?;
    let (plain, ends) = unpack(body)?;
    let mut from = Reader::new(&plain, ends);
    let count = from.up_to(Lane::Count, (from.left(Lane::Count) / LEAST_SERIES) as u64)?;
    let mut time = 0;
    let series = (0..count)
        .map(|_| fields::get_series(&mut from, &mut time, version))
        .collect::<Result<Vec<_>, _>>()?;
    from.end()?;
    Ok(series)
}

/// The lanes one after the other, and where each ends.
fn unpack(body: &[u8]) -> Result<(Vec<u8>, [usize; LANES]), SnapshotError> {
    let (mut plain, mut ends, mut rest) = (Vec::new(), [0; LANES], body);
    for end in &mut ends {
        let wrong = |at, what| SnapshotError::Content { at, what };
        let mut lengths = Reader::new(rest, [rest.len(), 0, 0, 0, 0]);
        let length = lengths.up_to(Lane::Count, rest.len() as u64)?;
        let start = rest.len() - lengths.left(Lane::Count);
        let lane = rest.get(start..start + length);
        let lane = lane.ok_or_else(|| wrong(plain.len(), "what is packed breaks off"))?;
        let room = LONGEST.saturating_sub(plain.len() as u64);
        let unpacked = flate2::read::DeflateDecoder::new(lane).take(room).read_to_end(&mut plain);
        unpacked.map_err(|_| wrong(plain.len(), "what is packed breaks off"))?;
        *end = plain.len();
        rest = rest.get(start + length..).unwrap_or_default();
    }
    if rest.is_empty() {
        Ok((plain, ends))
    } else {
        Err(SnapshotError::Content { at: plain.len(), what: "something follows the last lane" })
    }
}

/// The version, and what is packed.
fn check_header(bytes: &[u8]) -> Result<(u8, &[u8]), SnapshotError> {
    if let Some(at) = (0..MAGIC.len()).find(|&i| bytes.get(i) != MAGIC.get(i)) {
        return Err(SnapshotError::NotASnapshot { at });
    }
    let (Some(&version), Some(sum), Some(body)) = (bytes.get(4), bytes.get(5..HEADER), bytes.get(HEADER..))
    else {
        return Err(SnapshotError::NotASnapshot { at: bytes.len() });
    };
    if version > VERSION {
        return Err(SnapshotError::Newer { found: version });
    }
    if version == 0 {
        return Err(SnapshotError::NotASnapshot { at: 4 });
    }
    let mut crc = Crc::new();
    crc.update(body);
    if crc.sum().to_le_bytes() != sum {
        return Err(SnapshotError::Checksum { to: bytes.len() });
    }
    Ok((version, body))
}
