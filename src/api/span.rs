//! A span of time inside a custom resource: `90s`, `10m`, `1h30m`, `14d`.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A span of time in whole seconds. Written like Go's durations, and with `d` for days, which those lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// How long, in seconds.
    pub seconds: u64,
}

/// Why a text is no span of time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a span of time; write it like 90s, 10m, 1h30m or 14d")]
pub struct ParseSpanError(String);

const UNITS: [(char, u64); 4] = [('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];

impl Span {
    /// So many seconds.
    #[must_use]
    pub const fn seconds(seconds: u64) -> Self {
        Self { seconds }
    }

    /// So many minutes.
    #[must_use]
    pub const fn minutes(minutes: u64) -> Self {
        Self::seconds(minutes * 60)
    }

    /// So many days.
    #[must_use]
    pub const fn days(days: u64) -> Self {
        Self::seconds(days * 86_400)
    }
}

impl FromStr for Span {
    type Err = ParseSpanError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fail = || ParseSpanError(text.chars().take(64).collect());
        let mut seconds = 0_u64;
        let mut digits = String::new();
        let mut units = UNITS.iter();
        for c in text.chars() {
            if c.is_ascii_digit() {
                digits.push(c);
                continue;
            }
            // Going on in the same iterator holds the units to their order: each at most once.
            let (_, unit) = units.find(|(name, _)| *name == c).ok_or_else(fail)?;
            let count: u32 = digits.parse().map_err(|_| fail())?;
            seconds += u64::from(count) * unit;
            digits.clear();
        }
        if text.is_empty() || !digits.is_empty() { Err(fail()) } else { Ok(Self { seconds }) }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.seconds == 0 {
            return f.pad("0s");
        }
        let mut left = self.seconds;
        let mut text = String::new();
        for (name, unit) in UNITS {
            if left >= unit {
                text.push_str(&format!("{}{name}", left / unit));
                left %= unit;
            }
        }
        f.pad(&text)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for Span {
    fn schema_name() -> Cow<'static, str> {
        "Span".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "maxLength": 32,
            "pattern": "^([0-9]{1,5}d([0-9]{1,2}h)?([0-9]{1,2}m)?([0-9]{1,2}s)?|([0-9]{1,6}h)?([0-9]{1,8}m)?([0-9]{1,9}s)?)$",
            "minLength": 2,
        })
    }
}
