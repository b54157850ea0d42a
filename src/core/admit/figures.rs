//! Requests and limits of one container as whole numbers, which do not drift when they are computed twice.

use std::collections::BTreeMap;

use super::pod::{RawAmount, Resources};
use crate::policy::ContainerSize;
use crate::units::{Bytes, Cores, Quantity};

/// The resource names of Kubernetes that are sized.
pub(super) const CPU: &str = "cpu";
pub(super) const MEMORY: &str = "memory";

/// CPU in thousandths of a core, memory in bytes; `None` where none is stated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Figures {
    /// CPU request.
    pub cpu_request: Option<u64>,
    /// CPU limit.
    pub cpu_limit: Option<u64>,
    /// Memory request.
    pub memory_request: Option<u64>,
    /// Memory limit.
    pub memory_limit: Option<u64>,
}

impl Figures {
    /// As stated. Kubernetes sets a request that is left out to the limit. `None` where a quantity is none.
    pub(super) fn of(resources: &Option<Resources>) -> Option<Self> {
        let Some(resources) = resources else { return Some(Self::default()) };
        let (cpu_limit, memory_limit) = (cpu(&resources.limits)?, memory(&resources.limits)?);
        Some(Self {
            cpu_request: cpu(&resources.requests)?.or(cpu_limit),
            cpu_limit,
            memory_request: memory(&resources.requests)?.or(memory_limit),
            memory_limit,
        })
    }
}

impl From<&ContainerSize> for Figures {
    fn from(size: &ContainerSize) -> Self {
        Self {
            cpu_request: size.cpu_request.map(Cores::to_milli),
            cpu_limit: size.cpu_limit.map(Cores::to_milli),
            memory_request: size.memory_request.map(|memory| memory.0),
            memory_limit: size.memory_limit.map(|memory| memory.0),
        }
    }
}

impl From<&Figures> for ContainerSize {
    fn from(figures: &Figures) -> Self {
        Self {
            cpu_request: figures.cpu_request.map(Cores::from_milli),
            cpu_limit: figures.cpu_limit.map(Cores::from_milli),
            memory_request: figures.memory_request.map(Bytes),
            memory_limit: figures.memory_limit.map(Bytes),
        }
    }
}

/// `None`: it is no quantity. `Some(None)`: it is not stated.
fn parse<T>(
    map: &BTreeMap<String, RawAmount>,
    name: &str,
    read: impl FnOnce(Quantity) -> Option<T>,
) -> Option<Option<T>> {
    let Some(raw) = map.get(name) else { return Some(None) };
    let quantity: Quantity = raw.0.parse().ok()?;
    if quantity.is_negative() { None } else { read(quantity).map(Some) }
}

/// Of one map alone.
pub(super) fn cpu(map: &BTreeMap<String, RawAmount>) -> Option<Option<u64>> {
    parse(map, CPU, |quantity| Some(quantity.as_cores().to_milli()))
}

/// Of one map alone.
pub(super) fn memory(map: &BTreeMap<String, RawAmount>) -> Option<Option<u64>> {
    parse(map, MEMORY, |quantity| quantity.as_bytes().map(|bytes| bytes.0))
}

/// Thousandths of a core; `None` where the text is no amount of CPU.
pub(super) fn milli(text: &str) -> Option<u64> {
    let quantity: Quantity = text.parse().ok()?;
    (!quantity.is_negative()).then(|| quantity.as_cores().to_milli())
}

/// As Kubernetes writes it.
pub(super) fn cpu_text(milli: u64) -> String {
    Cores::from_milli(milli).to_string()
}

/// As Kubernetes writes it: with a binary suffix where that is exact, else in bytes.
pub(super) fn memory_text(bytes: u64) -> String {
    let short = Bytes(bytes).to_string();
    let exact = short.parse() == Ok(Quantity::from_bytes(Bytes(bytes)));
    if exact { short } else { bytes.to_string() }
}
