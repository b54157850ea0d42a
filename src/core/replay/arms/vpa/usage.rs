//! What VPA keeps of one container: a histogram of CPU usage, and one of memory peaks, one peak a day.

use super::histogram::{Buckets, Histogram, MIN_SAMPLE_WEIGHT};

/// Half-life of both histograms, and the time that one memory peak stands for, in seconds.
pub const DAY: i64 = 86_400;
/// An OOM kill counts as a peak of at least this much more, in bytes.
const OOM_MIN_BUMP: i64 = 100 << 20;
/// ... and at least this many times the usage.
const OOM_BUMP: f64 = 1.2;

/// Amounts are millicores or bytes, whole and capped, as in VPA.
pub type Amount = i64;
/// The largest amount; larger ones are cut to it.
pub const MAX_AMOUNT: Amount = 100_000_000_000_000;

/// Truncated; 0 for what is negative or not a number, capped at the largest amount.
#[must_use]
pub fn amount(x: f64) -> Amount {
    (x as Amount).clamp(0, MAX_AMOUNT)
}

/// Usage of one container, aggregated.
#[derive(Clone, Debug)]
pub struct Usage {
    /// CPU in cores.
    pub cpu: Histogram,
    /// Daily memory peaks in bytes.
    pub memory: Histogram,
    /// Counts the changes of `memory`.
    pub memory_changes: u64,
    peaks: Peaks,
    peak_length: i64,
}

/// The current day's peak.
#[derive(Clone, Copy, Debug, Default)]
struct Peaks {
    /// End of the day that is being watched; each starts with the first sample after the last one.
    window_end: Option<i64>,
    last_sample: Option<i64>,
    used: Amount,
    oom: Amount,
}

impl Default for Usage {
    fn default() -> Self {
        Self::with_peak_length(DAY)
    }
}

impl Usage {
    /// One memory peak per so many seconds, above 0.
    #[must_use]
    pub fn with_peak_length(seconds: i64) -> Self {
        Self {
            cpu: Histogram::new(Buckets::cpu(), DAY),
            memory: Histogram::new(Buckets::memory(), DAY),
            memory_changes: 0,
            peaks: Peaks::default(),
            peak_length: seconds,
        }
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.cpu.clear();
        self.memory.clear();
        self.memory_changes += 1;
        self.peaks = Peaks::default();
    }

    /// Adds CPU usage in millicores.
    pub fn add_cpu(&mut self, millicores: Amount, at: i64) {
        self.cpu.add(millicores as f64 / 1000.0, MIN_SAMPLE_WEIGHT, at);
    }

    /// Adds memory usage in bytes. False if it is negative or older than the last one.
    pub fn add_memory(&mut self, bytes: Amount, at: i64) -> bool {
        if bytes < 0 || self.peaks.last_sample.is_some_and(|last| at < last) {
            return false;
        }
        self.add_peak(bytes, at, false);
        true
    }

    /// Takes note of an OOM kill at a request of so many bytes. False if it is older than the last sample by more than a peak's time.
    ///
    /// Earlier OOM kills of the same day do not add up, so kills at one request raise the need once.
    pub fn add_oom(&mut self, request: Amount, at: i64) -> bool {
        if self.peaks.last_sample.is_some_and(|last| at < last.saturating_sub(self.peak_length)) {
            return false;
        }
        let used = request.max(self.peaks.used);
        let needed = (used + OOM_MIN_BUMP).max(amount(used as f64 * OOM_BUMP));
        self.add_peak(needed, at, true);
        true
    }

    fn add_peak(&mut self, bytes: Amount, at: i64, oom: bool) {
        let peaks = &mut self.peaks;
        peaks.last_sample = Some(at);
        let end = *peaks.window_end.get_or_insert(at);
        if at < end {
            let old = peaks.used.max(peaks.oom);
            // A day that began with nothing keeps nothing: VPA takes a peak of 0 for none that could be replaced.
            if old == 0 || bytes <= old {
                return;
            }
            self.memory.subtract(old as f64, 1.0, end);
        } else {
            let past = (at - end) / self.peak_length + 1;
            *peaks = Peaks {
                window_end: Some(end + past * self.peak_length),
                last_sample: Some(at),
                used: 0,
                oom: 0,
            };
        }
        self.memory_changes += 1;
        self.memory.add(bytes as f64, 1.0, peaks.window_end.unwrap_or(at));
        if oom {
            peaks.oom = bytes;
        } else {
            peaks.used = bytes;
        }
    }
}
