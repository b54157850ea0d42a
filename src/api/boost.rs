//! For how long a container that starts up has more: `60s`, or `untilReady`.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::Span;
use super::span::ParseSpanError;

const UNTIL_READY: &str = "untilReady";

/// For how long a container that starts up has more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BoostDuration {
    /// Until its pod is ready.
    #[default]
    UntilReady,
    /// For so long after it started.
    For(Span),
}

impl FromStr for BoostDuration {
    type Err = ParseSpanError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == UNTIL_READY { Ok(Self::UntilReady) } else { text.parse().map(Self::For) }
    }
}

impl fmt::Display for BoostDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UntilReady => f.write_str(UNTIL_READY),
            Self::For(span) => span.fmt(f),
        }
    }
}

impl Serialize for BoostDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for BoostDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for BoostDuration {
    fn schema_name() -> Cow<'static, str> {
        "BoostDuration".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "maxLength": 32,
            "pattern": "^(untilReady|[0-9]{1,5}d([0-9]{1,2}h)?([0-9]{1,2}m)?([0-9]{1,2}s)?|([0-9]{1,6}h)?([0-9]{1,8}m)?([0-9]{1,9}s)?)$",
            "minLength": 2,
        })
    }
}
