//! A resource quantity inside a custom resource: kept as it was written, and known as a value.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::units::{Bytes, Cores, ParseQuantityError, Quantity};

/// A quantity that is not negative, such as `250m` or `1.5Gi`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Amount {
    text: String,
    value: Quantity,
}

impl Amount {
    /// The value, exact.
    #[must_use]
    pub fn value(&self) -> Quantity {
        self.value
    }
}

impl FromStr for Amount {
    type Err = ParseQuantityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self { text: text.to_owned(), value: text.parse()? })
    }
}

impl From<Cores> for Amount {
    /// Rounded up to whole millicores.
    fn from(cores: Cores) -> Self {
        let milli = cores.to_milli();
        Self { text: cores.to_string(), value: Quantity::from_milli(milli) }
    }
}

impl From<Bytes> for Amount {
    /// Exact where a binary suffix is; else in bytes.
    fn from(bytes: Bytes) -> Self {
        let short = bytes.to_string();
        let value = Quantity::from_bytes(bytes);
        let exact = short.parse() == Ok(value);
        Self { text: if exact { short } else { bytes.0.to_string() }, value }
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AmountVisitor)
    }
}

/// Reads an amount, and says what may stand there where something else does.
struct AmountVisitor;

impl de::Visitor<'_> for AmountVisitor {
    type Value = Amount;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number that is not negative, or text such as \"0.5\", \"250m\" or \"512Mi\"")
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Amount, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Amount, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Amount, E> {
        let amount: Amount = text.parse().map_err(E::custom)?;
        if amount.value.is_negative() {
            return Err(E::custom(format_args!("{text} is below zero")));
        }
        Ok(amount)
    }
}

impl JsonSchema for Amount {
    fn schema_name() -> Cow<'static, str> {
        "Amount".into()
    }

    fn inline_schema() -> bool {
        true
    }

    /// No `type`: the API server takes an integer or a string, and checks a string by the pattern.
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "x-kubernetes-int-or-string": true,
            "minimum": 0,
            "maxLength": 32,
            "pattern": "^([0-9]{1,18}(\\.[0-9]{0,9})?|\\.[0-9]{1,9})([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]{1,2})?$",
        })
    }
}

/// An amount of CPU and one of memory, each optional.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResourceAmounts {
    /// CPU, in cores: `250m`, `2`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Amount>,
    /// Memory, in bytes: `512Mi`, `1.5Gi`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Amount>,
}
