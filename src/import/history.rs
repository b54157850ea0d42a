//! From the histograms in a VPA's checkpoint to a series to begin with.
//!
//! A histogram knows how often how much was used, but not when. So the samples that it stands for are put into an
//! order that spreads them evenly (the radical inverse in base 2, van der Corput 1935): the model learns how much usage
//! varies, and learns nothing of the time of day. VPA keeps of memory the peak of each day only; each day of the series
//! has one such peak throughout, the last day a high one. So memory begins too large rather than too small, and comes
//! down as plumb sees usage itself.

use crate::model::{Model, Series};
use crate::units::{Bytes, Cores, Timestamp};

use super::vpa::{CheckpointStatus, Histogram};

/// The version of the checkpoints that are read.
const VERSION: &str = "v3";
/// Buckets of a VPA's histogram: the first is so wide, each next 5 % wider.
const RATIO: f64 = 1.05;
const CPU_FIRST: f64 = 0.01;
const MEMORY_FIRST: f64 = 1e7;
/// How many buckets VPA's histograms have.
const BUCKETS: u32 = 176;
/// Seconds between the samples of the series.
const STEP: i64 = 300;
/// VPA keeps memory peaks of eight days.
const LONGEST: i64 = 8 * 86_400;
/// The share of the daily peaks that the last day's is above.
const LAST_DAY: f64 = 0.9;

/// Why there is no series to be had of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadHistory {
    /// Of another version of VPA.
    #[error("its format is {0:?}, and v3 is read")]
    Version(String),
    /// It holds no weight, or no time.
    #[error("it holds no samples yet")]
    Empty,
    /// A bucket that VPA's histograms do not have, or a weight that is none.
    #[error("it is damaged: {0}")]
    Damaged(String),
}

/// When the first and the last sample of a checkpoint were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The first.
    pub first: Timestamp,
    /// The last.
    pub last: Timestamp,
}

/// Values and the share of the weight at or below them, rising.
struct Shares(Vec<(f64, f64)>);

impl Shares {
    /// Of a histogram whose first bucket is so wide.
    fn of(histogram: &Histogram, first: f64) -> Result<Option<Self>, BadHistory> {
        if !histogram.total_weight.is_finite() || histogram.total_weight < 0.0 {
            return Err(BadHistory::Damaged(format!("a total weight of {}", histogram.total_weight)));
        }
        let mut buckets = Vec::new();
        for (number, weight) in &histogram.bucket_weights {
            let number = number.parse::<u32>().ok().filter(|number| *number < BUCKETS);
            let number =
                number.ok_or_else(|| BadHistory::Damaged("a bucket that VPA does not have".to_owned()))?;
            buckets.push((number, f64::from(*weight)));
        }
        buckets.sort_by_key(|(number, _)| *number);
        let total: f64 = buckets.iter().map(|(_, weight)| weight).sum();
        if total <= 0.0 || histogram.total_weight <= 0.0 {
            return Ok(None);
        }
        let mut below = 0.0;
        let shares = buckets.into_iter().map(|(number, weight)| {
            below += weight / total;
            // The end of the bucket, as VPA's own percentiles do it: at most 5 % above what was used.
            let end = first * (RATIO.powf(f64::from(number) + 1.0) - 1.0) / (RATIO - 1.0);
            (end, below)
        });
        Ok(Some(Self(shares.collect())))
    }

    fn at(&self, share: f64) -> f64 {
        let found = self.0.iter().find(|(_, below)| *below >= share).or(self.0.last());
        found.map_or(0.0, |(value, _)| *value)
    }
}

/// A number's bits, reversed behind the point: an order of shares that is even however soon it ends.
fn spread(number: u32) -> f64 {
    (f64::from(number.reverse_bits()) + 0.5) / (f64::from(u32::MAX) + 1.0)
}

/// The series of a checkpoint that saw samples in that span, and ends with it.
///
/// # Errors
/// Where the checkpoint holds none, or is of another format, or damaged.
pub fn series(status: &CheckpointStatus, seen: Seen, model: &Model) -> Result<Series, BadHistory> {
    if status.version != VERSION {
        return Err(BadHistory::Version(status.version.chars().take(32).collect()));
    }
    let cpu = Shares::of(&status.cpu_histogram, CPU_FIRST)?;
    let memory = Shares::of(&status.memory_histogram, MEMORY_FIRST)?;
    // A VPA samples each minute: it cannot have seen more time than it has samples.
    let sampled = status.total_samples_count.max(0).saturating_mul(60);
    let span = seen.last.seconds_since(seen.first).min(sampled).min(LONGEST);
    if (cpu.is_none() && memory.is_none()) || span < 0 || sampled == 0 {
        return Err(BadHistory::Empty);
    }
    let mut series = Series::default();
    let steps = u32::try_from(span / STEP).unwrap_or(0);
    let days = (span / 86_400).max(0);
    for step in 0..=steps {
        let back = i64::from(steps - step) * STEP;
        let at = seen.last.plus(-back);
        if let Some(cpu) = &cpu {
            // Amounts of a bucket that exists are not refused; else the series counts them.
            let _counted = series.add_cpu(at, Cores(cpu.at(spread(step))), 0.0, None, model);
        }
        if let Some(memory) = &memory {
            let day = days - back / 86_400;
            let share = if back < 86_400 { LAST_DAY } else { spread(u32::try_from(day).unwrap_or(0)) };
            let _counted = series.add_memory(at, Bytes::from_f64(memory.at(share)), None, model);
        }
    }
    Ok(series)
}
