//! Samples and events in: what containers use and what happens to them, from wherever it is known.
//!
//! May talk to the world. Decides nothing about sizes.

pub mod metrics_server;
pub mod prometheus;

use std::fmt;

use crate::units::{Bytes, Cores, Timestamp};

/// One container of one pod, as its samples name it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContainerName {
    /// Namespace of the pod.
    pub namespace: String,
    /// Name of the pod.
    pub pod: String,
    /// Name of the container.
    pub container: String,
}

/// What one container used.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// When it was measured: the end of the window of its CPU.
    pub at: Timestamp,
    /// Seconds of that window, where the source says so.
    pub window: Option<i64>,
    /// CPU, averaged over a window.
    pub cpu: Option<Cores>,
    /// The working set of its memory.
    pub memory: Option<Bytes>,
    /// The share of the window in which it would have used CPU and got none, 0 to 1: of its scheduling periods those in
    /// which it was throttled, or of the time that in which all of its tasks waited, whichever is more. `None` where the
    /// source does not know.
    pub stalled: Option<f32>,
    /// The share of the window in which all of its tasks waited for memory, 0 to 1; 0 where the source does not know.
    pub memory_stalled: f32,
}

/// Who measured it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// The metrics API.
    MetricsApi,
    /// Prometheus.
    Prometheus,
}

impl Source {
    /// As metrics and logs name it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::MetricsApi => "metrics-api",
            Self::Prometheus => "prometheus",
        }
    }
}

impl fmt::Display for ContainerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.namespace, self.pod, self.container)
    }
}
