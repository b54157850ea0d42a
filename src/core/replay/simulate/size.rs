//! Sizes of containers as the simulated API server holds them.

use std::fmt;

use crate::units::{Bytes, Cores, MIB};

/// Requests and limits of a container: CPU in thousandths of a core, memory in bytes; `None`: not stated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Size {
    /// CPU request.
    pub cpu: Option<u64>,
    /// CPU limit.
    pub cpu_limit: Option<u64>,
    /// Memory request.
    pub memory: Option<u64>,
    /// Memory limit.
    pub memory_limit: Option<u64>,
}

impl Size {
    /// Returns whether requests and limits of both resources are stated and equal.
    pub(super) fn is_equal(&self) -> bool {
        self.cpu_limit.is_some()
            && self.memory_limit.is_some()
            && self.cpu == self.cpu_limit
            && self.memory == self.memory_limit
    }

    /// Returns whether a limit is below its request.
    pub(super) fn is_upside_down(&self) -> bool {
        self.cpu_limit.is_some_and(|limit| self.cpu > Some(limit))
            || self.memory_limit.is_some_and(|limit| self.memory > Some(limit))
    }

    /// Returns whether a request that `before` has is missing.
    pub(super) fn lacks_request_of(&self, before: &Self) -> bool {
        before.cpu.is_some() && self.cpu.is_none() || before.memory.is_some() && self.memory.is_none()
    }

    /// Returns the larger of both in each figure.
    pub(super) fn most(&self, other: &Self) -> Self {
        Self {
            cpu: self.cpu.max(other.cpu),
            cpu_limit: self.cpu_limit.max(other.cpu_limit),
            memory: self.memory.max(other.memory),
            memory_limit: self.memory_limit.max(other.memory_limit),
        }
    }

    /// Returns whether a limit that `before` has is missing.
    pub(super) fn lacks_limit_of(&self, before: &Self) -> bool {
        before.cpu_limit.is_some() && self.cpu_limit.is_none()
            || before.memory_limit.is_some() && self.memory_limit.is_none()
    }
}

impl fmt::Display for Size {
    /// Request and limit of CPU, then of memory: `100m/- 64Mi/128Mi`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cpu = |of: Option<u64>| of.map_or("-".to_owned(), |milli| Cores::from_milli(milli).to_string());
        let memory = |of: Option<u64>| of.map_or("-".to_owned(), |bytes| Bytes(bytes).to_string());
        let (cpu, cpu_limit) = (cpu(self.cpu), cpu(self.cpu_limit));
        write!(f, "{cpu}/{cpu_limit} {}/{}", memory(self.memory), memory(self.memory_limit))
    }
}

/// Mebibytes in bytes.
pub(super) fn mib(mib: u64) -> u64 {
    mib.saturating_mul(MIB)
}
