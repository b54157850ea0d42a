//! Samples and events in: what containers use and what happens to them, from wherever it is known.
//!
//! May talk to the world. Decides nothing about sizes.

pub mod metrics_server;
pub mod prometheus;

use std::fmt;

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

impl fmt::Display for ContainerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.namespace, self.pod, self.container)
    }
}
