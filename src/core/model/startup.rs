//! Start-up, kept apart: what a container uses in its first minutes says little of what it needs later.

/// Seconds from a container's start that count as start-up.
pub(super) const STARTUP_SECONDS: i64 = 300;

/// A small summary of the start-ups of one series.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Startup {
    /// Highest CPU seen in start-up, in cores; each new one above half of it moves it, lower ones let it sink.
    pub cpu: f32,
    /// Highest memory seen in start-up, in mebibytes, likewise.
    pub memory: f32,
    /// Samples seen in start-up; saturates.
    pub samples: u32,
}

/// How much of the highest value is kept when a lower one is seen.
const KEEP: f32 = 0.995;

impl Startup {
    /// Takes in CPU, in cores.
    pub(crate) fn add_cpu(&mut self, value: f32) {
        self.samples = self.samples.saturating_add(1);
        self.cpu = value.max(self.cpu * KEEP);
    }

    /// Takes in memory, in mebibytes.
    pub(crate) fn add_memory(&mut self, value: f32) {
        self.samples = self.samples.saturating_add(1);
        self.memory = value.max(self.memory * KEEP);
    }
}
