//! One container of a trace.

use crate::units::{Bytes, Cores, Timestamp};

/// The samples of one container, in time order: what a backtest replays and scores.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series {
    /// The container's id in the trace.
    pub id: String,
    times: Vec<i64>,
    /// Cores and bytes; `NAN` where unknown. Kept as floats because every score is a sum of them.
    cpu: Vec<f64>,
    memory: Vec<f64>,
}

impl Series {
    /// A container without samples.
    #[must_use]
    pub fn new(id: String) -> Self {
        Self { id, ..Self::default() }
    }

    /// Adds a sample, unless it is not later than the one before it. Says whether it did.
    pub fn push(&mut self, at: Timestamp, cpu: Option<Cores>, memory: Option<Bytes>) -> bool {
        let later = self.times.last().is_none_or(|&last| last < at.0);
        if later {
            self.push_raw(at.0, cpu.map_or(f64::NAN, |c| c.0), memory.map_or(f64::NAN, Bytes::as_f64));
        }
        later
    }

    pub(super) fn push_raw(&mut self, at: i64, cpu: f64, memory: f64) {
        self.times.push(at);
        self.cpu.push(cpu);
        self.memory.push(memory);
    }

    /// Number of samples.
    #[must_use]
    pub fn len(&self) -> usize {
        self.times.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.times.is_empty()
    }

    /// When the first sample was taken; the epoch if there is none.
    #[must_use]
    pub fn start(&self) -> Timestamp {
        Timestamp(self.times.first().copied().unwrap_or_default())
    }

    /// Sample times in seconds, strictly rising.
    #[must_use]
    pub fn times(&self) -> &[i64] {
        &self.times
    }

    /// CPU in cores beside each time, `NAN` where unknown.
    #[must_use]
    pub fn cpu(&self) -> &[f64] {
        &self.cpu
    }

    /// Memory in bytes beside each time, `NAN` where unknown.
    #[must_use]
    pub fn memory(&self) -> &[f64] {
        &self.memory
    }

    /// Time, cores and bytes (`NAN` where unknown) of each sample, in time order.
    pub fn samples(&self) -> impl ExactSizeIterator<Item = (i64, f64, f64)> + '_ {
        self.times.iter().zip(&self.cpu).zip(&self.memory).map(|((&at, &cpu), &memory)| (at, cpu, memory))
    }

    /// The samples up to and including time `at`: what was known then.
    #[must_use]
    pub fn until(&self, at: Timestamp) -> Self {
        let end = self.times.partition_point(|&t| t <= at.0);
        Self {
            id: self.id.clone(),
            times: self.times[..end].to_vec(),
            cpu: self.cpu[..end].to_vec(),
            memory: self.memory[..end].to_vec(),
        }
    }
}
