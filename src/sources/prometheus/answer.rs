//! The JSON that Prometheus answers with, read into series of finite values.

use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, SeqAccess, Visitor};

use crate::sources::ContainerName;
use crate::units::Timestamp;

/// One series of an answer.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Series {
    /// Which container it is about; labels that an aggregation dropped are empty.
    #[serde(rename = "metric")]
    labels: Labels,
    /// Points of a range, in time order.
    #[serde(default)]
    values: Vec<Point>,
    /// The point of an instant.
    value: Option<Point>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
struct Labels {
    namespace: String,
    pod: String,
    container: String,
    resource: String,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Point {
    at: Timestamp,
    value: f64,
}

impl Series {
    /// The container that the series is about; `None` where a label is missing.
    #[must_use]
    pub fn container(&self) -> Option<ContainerName> {
        let Labels { namespace, pod, container, .. } = &self.labels;
        let complete = !(namespace.is_empty() || pod.is_empty() || container.is_empty());
        complete.then(|| ContainerName {
            namespace: namespace.clone(),
            pod: pod.clone(),
            container: container.clone(),
        })
    }

    /// The resource that the series is about, where it is labelled with one; else empty.
    #[must_use]
    pub fn resource(&self) -> &str {
        &self.labels.resource
    }

    /// The points whose values are finite, in time order.
    pub fn points(&self) -> impl Iterator<Item = (Timestamp, f64)> + '_ {
        self.values.iter().chain(&self.value).filter(|p| p.value.is_finite()).map(|p| (p.at, p.value))
    }
}

/// A point is `[1700000000.123, "0.25"]`: a time as a number and a value as text, which may be "NaN" or "+Inf".
impl<'de> Deserialize<'de> for Point {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pair;
        impl<'de> Visitor<'de> for Pair {
            type Value = Point;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a time and a value")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut pair: A) -> Result<Point, A::Error> {
                let time: f64 = pair.next_element()?.ok_or_else(|| de::Error::invalid_length(0, &self))?;
                let text: &str = pair.next_element()?.ok_or_else(|| de::Error::invalid_length(1, &self))?;
                let value =
                    text.parse().map_err(|_| de::Error::custom(format_args!("{text:?} is no value")))?;
                #[expect(clippy::cast_possible_truncation, reason = "a time in seconds; the cast saturates")]
                let at = Timestamp(time.round() as i64);
                Ok(Point { at, value })
            }
        }
        deserializer.deserialize_seq(Pair)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    status: String,
    #[serde(default)]
    error: String,
    data: Option<Data>,
}

#[derive(Deserialize)]
struct Data {
    result: Vec<Series>,
}

/// Reads an answer; the error says what is wrong with it.
pub(super) fn parse(body: &[u8]) -> Result<Vec<Series>, String> {
    let answer: Answer = serde_json::from_slice(body).map_err(|e| e.to_string())?;
    match answer {
        Answer { status, data: Some(data), .. } if status == "success" => Ok(data.result),
        Answer { error, .. } if !error.is_empty() => Err(error),
        Answer { status, .. } => Err(format!("status {status:?} without data")),
    }
}

/// What an error answer says, shortened; a proxy's may be a whole page.
pub(super) fn error_text(body: &[u8]) -> String {
    match serde_json::from_slice::<Answer>(body) {
        Ok(answer) if !answer.error.is_empty() => answer.error,
        _ => String::from_utf8_lossy(body).split_whitespace().take(30).collect::<Vec<_>>().join(" "),
    }
}
