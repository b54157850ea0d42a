//! The note on a pod that says what it was given, from which recommendation, and when.

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat};
use serde::{Deserialize, Serialize};

use super::Part;
use super::boost::Boosted;
use super::figures::{cpu_text, memory_text};
use crate::units::Timestamp;

/// The annotation that holds the note, as JSON.
pub const ANNOTATION: &str = "plumb.dev/sized";

/// What a pod was given when it was created.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// Name of the Recommendation, in the pod's namespace.
    pub recommendation: String,
    /// When, RFC 3339 in UTC; empty where the API server stamps by itself, which tells nobody the time: then the pod's
    /// own time of creation is it.
    #[serde(default)]
    pub at: String,
    /// What each container was given, by name. A container that is not named was left alone.
    pub containers: BTreeMap<String, StampedContainer>,
}

/// What one container was given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StampedContainer {
    /// What is reserved.
    #[serde(default)]
    pub requests: StampedAmounts,
    /// What may not be passed.
    #[serde(default)]
    pub limits: StampedAmounts,
    /// What it has instead while it starts up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boost: Option<StampedBoost>,
}

/// What a container has while it starts up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StampedBoost {
    /// What is reserved.
    #[serde(default)]
    pub requests: StampedAmounts,
    /// What may not be passed.
    #[serde(default)]
    pub limits: StampedAmounts,
    /// For how long after its start, such as 60s, or untilReady.
    pub duration: String,
}

/// An amount of each resource that was sized, as Kubernetes writes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StampedAmounts {
    /// CPU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<String>,
    /// Memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<String>,
}

impl StampedBoost {
    fn new(boosted: &Boosted) -> Self {
        let cpu = |milli: Option<u64>| StampedAmounts { cpu: milli.map(cpu_text), memory: None };
        Self {
            requests: cpu(Some(boosted.request)),
            limits: cpu(boosted.limit),
            duration: boosted
                .seconds
                .map_or_else(|| "untilReady".to_owned(), |seconds| format!("{seconds}s")),
        }
    }
}

impl Stamp {
    pub(super) fn new(recommendation: &str, at: Timestamp, parts: &[Part<'_>]) -> Self {
        let containers = parts.iter().filter_map(|part| {
            let (want, new) = (part.want?, &part.new);
            let amounts = |cpu: Option<u64>, memory: Option<u64>| StampedAmounts {
                cpu: cpu.filter(|_| want.cpu.is_some()).map(cpu_text),
                memory: memory.filter(|_| want.memory.is_some()).map(memory_text),
            };
            let stamped = StampedContainer {
                requests: amounts(new.cpu_request, new.memory_request),
                limits: amounts(new.cpu_limit, new.memory_limit),
                boost: part.boosted.as_ref().map(StampedBoost::new),
            };
            Some((part.container.name.clone(), stamped))
        });
        let time = DateTime::from_timestamp(at.0, 0).unwrap_or_default();
        Self {
            recommendation: recommendation.to_owned(),
            at: time.to_rfc3339_opts(SecondsFormat::Secs, true),
            containers: containers.collect(),
        }
    }

    /// Reads the note; `None` where it is none, which anybody can have written.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// When it was written; `None` where that is no time.
    #[must_use]
    pub fn time(&self) -> Option<Timestamp> {
        DateTime::parse_from_rfc3339(&self.at).ok().map(|time| Timestamp(time.timestamp()))
    }

    /// As the annotation holds it.
    #[must_use]
    pub fn text(&self) -> String {
        // A struct of texts always becomes JSON.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// True where only the time may differ.
    pub(super) fn says_the_same(&self, other: &Self) -> bool {
        self.recommendation == other.recommendation && self.containers == other.containers
    }
}
