//! The JSON that Prometheus answers with, read into series of finite values.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, SeqAccess, Visitor};

use super::options::LabelNames;
use crate::sources::ContainerName;
use crate::units::Timestamp;

/// One series of an answer.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Series {
    /// What it is about.
    #[serde(rename = "metric")]
    labels: BTreeMap<String, String>,
    /// Points of a range, in time order.
    #[serde(default)]
    values: Vec<Point>,
    /// The point of an instant.
    value: Option<Point>,
}

/// A value at a time.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Point {
    at: Timestamp,
    value: f64,
}

impl Series {
    /// The container that the series is about, by labels of these names; `None` where one is missing.
    #[must_use]
    pub fn container(&self, names: &LabelNames) -> Option<ContainerName> {
        let (namespace, pod) = (self.label(&names.namespace), self.label(&names.pod));
        let container = self.label(&names.container);
        let complete = !(namespace.is_empty() || pod.is_empty() || container.is_empty());
        complete.then(|| ContainerName {
            namespace: namespace.to_owned(),
            pod: pod.to_owned(),
            container: container.to_owned(),
        })
    }

    /// The value of a label; empty where there is none, which is the same to Prometheus.
    #[must_use]
    pub fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", String::as_str)
    }

    /// The names of its labels.
    pub(super) fn label_names(&self) -> impl Iterator<Item = &str> {
        self.labels.keys().map(String::as_str)
    }

    /// The points whose values are finite, in time order.
    pub fn points(&self) -> impl Iterator<Item = (Timestamp, f64)> + '_ {
        self.values.iter().chain(&self.value).filter(|p| p.value.is_finite()).map(|p| (p.at, p.value))
    }

    /// How many points there are, finite or not.
    pub(super) fn len(&self) -> usize {
        self.values.len() + usize::from(self.value.is_some())
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
    #[serde(default)]
    warnings: Vec<String>,
}

#[derive(Deserialize)]
struct Data {
    result: Vec<Series>,
}

/// Reads an answer, and what it warns of; the error says what is wrong with it.
pub(super) fn parse(body: &[u8]) -> Result<(Vec<Series>, Vec<String>), String> {
    let answer: Answer = serde_json::from_slice(body).map_err(|e| e.to_string())?;
    match answer {
        Answer { status, data: Some(data), warnings, .. } if status == "success" => {
            Ok((data.result, warnings))
        }
        Answer { error, .. } if !error.is_empty() => Err(shortened(&error)),
        Answer { status, .. } => Err(format!("status {:?} without data", shortened(&status))),
    }
}

/// What an error answer says, shortened; a proxy's may be a whole page.
pub(super) fn error_text(body: &[u8]) -> String {
    /// Data of an error answer may be anything.
    #[derive(Deserialize)]
    struct Failure {
        #[serde(default)]
        error: String,
    }
    match serde_json::from_slice::<Failure>(body) {
        Ok(failure) if !failure.error.is_empty() => shortened(&failure.error),
        _ => shortened(&String::from_utf8_lossy(body)),
    }
}

/// The first words, fit for one line.
pub(super) fn shortened(text: &str) -> String {
    let words: String = text.split_whitespace().take(40).collect::<Vec<_>>().join(" ");
    words.chars().filter(|c| !c.is_control()).take(400).collect()
}
