//! The need for one resource of one series: what several rules would have reserved, and what that would have cost.
//!
//! For each rule's level, held as [`Hold`] would hold it, the sums of what would have been reserved, of what would have
//! been short at each margin, and of the changes are kept, decaying. With the sum of what was used they give the cost
//! of any candidate at any prices: unused = reserved x margin + short - used.

#[cfg(test)]
mod tests;

use super::histogram::Histogram;
use super::hold::{Hold, HoldRule};
use super::level::Level;
use super::number;
use super::prices::RequestPrices;
use super::recent::Recent;
use super::tuning::{BASES, MARGINS, Tuning};

/// Least seconds of an interval: the costs are counted once in it.
pub(crate) const INTERVAL: i64 = 300;
/// A gap in the samples counts for at most this many seconds.
const LONGEST: f32 = 3600.0;
/// When the weight of what comes in passes 2^this, what is stored is scaled down.
const HEADROOM: f32 = 20.0;
/// Half-life of the mean and of the restlessness, in seconds.
const MEAN_HALF_LIFE: f32 = 86_400.0;
/// An underrun costs at least this share of its price, however restless the usage.
const LEAST_CALM: f32 = 0.62;
/// The restlessness that still makes an underrun dearer, as a share of the mean.
const LEAST_STEP: f32 = 0.02;

/// The need for one resource of one series, in one unit (cores, or mebibytes).
#[derive(Clone, Debug, PartialEq)]
pub struct Demand {
    pub(crate) histogram: Histogram,
    pub(crate) recent: Recent,
    pub(crate) holds: [Hold; BASES],
    pub(crate) costs: Costs,
    /// The end of the last interval that was closed; `i64::MIN` before the first sample.
    pub(crate) closed: i64,
    /// The newest sample.
    pub(crate) last: i64,
    /// The highest sample since `closed`.
    pub(crate) peak: f32,
    /// Decayed mean of the peaks.
    pub(crate) mean: f32,
    /// Decayed mean step from one peak to the next.
    pub(crate) step: f32,
    /// The peak of the interval that was closed last.
    pub(crate) before: f32,
    /// Hours of history, gaps not counted.
    pub(crate) hours: f32,
    /// What the rules proposed when the last interval was closed.
    pub(crate) proposed: [f32; BASES],
    /// The chosen candidate: rule and margin.
    pub(crate) chosen: Option<(u8, u8)>,
    /// Whether it was chosen since the last interval was closed.
    pub(crate) settled: bool,
}

/// The decayed sums behind the candidates' costs; see the module.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Costs {
    /// The time at which an interval of five minutes weighs 1.
    pub(crate) reference: i64,
    pub(crate) used: f32,
    pub(crate) reserved: [f32; BASES],
    pub(crate) changes: [f32; BASES],
    pub(crate) short: [[f32; MARGINS]; BASES],
}

impl Default for Demand {
    fn default() -> Self {
        Self {
            histogram: Histogram::default(),
            recent: Recent::default(),
            holds: [Hold::default(); BASES],
            costs: Costs::default(),
            closed: i64::MIN,
            last: i64::MIN,
            peak: 0.0,
            mean: 0.0,
            step: 0.0,
            before: 0.0,
            hours: 0.0,
            proposed: [0.0; BASES],
            chosen: None,
            settled: false,
        }
    }
}

/// What a demand asks for now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Asked {
    /// What should be reserved.
    pub(crate) target: f32,
    /// The rule that speaks.
    pub(crate) level: Level,
    /// Its level.
    pub(crate) base: f32,
    /// The margin on it.
    pub(crate) margin: f32,
    /// What the candidate would have left unused, as a share of what it reserved.
    pub(crate) unused: f32,
    /// What it would have fallen short, as a share of what was used.
    pub(crate) short: f32,
}

impl Demand {
    /// The decaying histogram of the samples.
    #[must_use]
    pub fn histogram(&self) -> &Histogram {
        &self.histogram
    }

    /// The recent maxima: the activity by time of day.
    #[must_use]
    pub fn recent(&self) -> &Recent {
        &self.recent
    }

    /// Takes in a sample: finite and not negative, as the series has checked.
    pub(crate) fn add(&mut self, value: f32, at: i64, tuning: &Tuning) {
        if at > self.last {
            self.close(tuning);
            self.last = at;
        }
        self.peak = self.peak.max(value);
        self.recent.push(at, value);
        self.histogram.add(value, at, tuning.half_life);
    }

    /// Closes the interval, if it is long enough, with what was seen up to the newest sample.
    pub(crate) fn close(&mut self, tuning: &Tuning) {
        if self.last == i64::MIN
            || (self.closed != i64::MIN && self.last.saturating_sub(self.closed) < INTERVAL)
        {
            return;
        }
        let elapsed =
            if self.closed == i64::MIN { 0.0 } else { number::seconds(self.closed, self.last).min(LONGEST) };
        self.count_mean(elapsed);
        let weight = self.costs.weight(self.last, tuning.memory);
        let counted = self.peak.min(tuning.burst * self.mean);
        self.costs.count(counted, weight * elapsed / INTERVAL as f32, &self.holds, &tuning.margins);
        self.hold_levels(elapsed, weight, tuning);
        self.hours += elapsed / 3600.0;
        self.before = self.peak;
        self.peak = 0.0;
        self.closed = self.last;
        self.settled = false;
    }

    fn count_mean(&mut self, elapsed: f32) {
        if self.closed == i64::MIN {
            self.mean = self.peak;
            return;
        }
        let keep = number::exp2(-elapsed / MEAN_HALF_LIFE);
        self.mean += (1.0 - keep) * (self.peak - self.mean);
        self.step += (1.0 - keep) * ((self.peak - self.before).abs() - self.step);
    }

    /// Lets each rule's level be held or changed.
    fn hold_levels(&mut self, elapsed: f32, weight: f32, tuning: &Tuning) {
        let price = self.change_price(tuning);
        let rule = HoldRule { price, ..tuning.hold };
        // Percentiles move slowly: each half hour will do, once there is a day of them.
        let settled = self.hours >= 24.0 && self.closed.div_euclid(1800) == self.last.div_euclid(1800);
        self.propose(tuning, settled);
        for ((hold, level), changes) in self.holds.iter_mut().zip(self.proposed).zip(&mut self.costs.changes)
        {
            if let Some(level) = hold.weigh(level, elapsed, &rule) {
                hold.set(level);
                *changes += weight * price / INTERVAL as f32;
            }
        }
    }

    /// What a change costs, in amount x seconds: see [`Tuning::unit_quarters`].
    pub(crate) fn change_price(&self, tuning: &Tuning) -> f32 {
        let mean = self.mean.max(1e-3);
        let scale = number::quarter_power(tuning.unit / mean, tuning.unit_quarters).clamp(0.1, 30.0);
        tuning.hold.price * mean * scale
    }

    /// The factor on the price of an underrun that the restlessness makes: see [`Tuning::calm_quarters`].
    fn calmness(&self, tuning: &Tuning) -> f32 {
        let step = (self.step / self.mean.max(1e-3)).max(LEAST_STEP);
        number::quarter_power(tuning.calm / step, tuning.calm_quarters).max(LEAST_CALM)
    }

    /// Notes what each rule proposes now; percentiles only where they are not `settled`.
    pub(crate) fn propose(&mut self, tuning: &Tuning, settled: bool) {
        if !settled {
            let quantiles = self.histogram.quantiles([0.8, 0.9, 0.98], tuning.by_load);
            for (proposed, level) in self.proposed.iter_mut().zip(&tuning.levels) {
                if let Some(at) = level.percentile() {
                    *proposed = quantiles.get(at).copied().unwrap_or(0.0);
                }
            }
        }
        self.proposed = self.levels(tuning);
    }

    /// What each rule proposes now; of percentiles, what was noted.
    fn levels(&self, tuning: &Tuning) -> [f32; BASES] {
        let mut levels = self.proposed;
        for (proposed, level) in levels.iter_mut().zip(&tuning.levels) {
            *proposed = match level {
                Level::QuarterHour => self.recent.fives(3),
                Level::Hour => self.recent.fives(12),
                Level::FourHours => self.recent.halves(8),
                Level::HalfDay => self.recent.halves(24),
                Level::SameTime => self.like_yesterday(1),
                Level::Ahead => self.like_yesterday(4),
                Level::P80 | Level::P90 | Level::P98 => *proposed,
            };
        }
        levels
    }

    /// The last quarter of an hour and yesterday's this and coming half hours; the last hour where that is unknown.
    fn like_yesterday(&self, ahead: usize) -> f32 {
        let then = self.recent.yesterday(ahead);
        then.map_or_else(|| self.recent.fives(12), |then| then.max(self.recent.fives(3)))
    }

    /// Chooses the cheapest candidate and says what it asks for; `None` before the first sample.
    pub(crate) fn ask(&mut self, prices: &RequestPrices, tuning: &Tuning) -> Option<Asked> {
        if self.last == i64::MIN {
            return None;
        }
        self.close(tuning);
        let (base, margin) = match self.chosen {
            Some((base, margin)) if self.settled => (usize::from(base), usize::from(margin)),
            _ => self.choose(prices, tuning),
        };
        self.chosen = Some((base as u8, margin as u8));
        self.settled = true;
        let level = *tuning.levels.get(base)?;
        let factor = *tuning.margins.get(margin)?;
        // Between two closes what came in since may matter.
        let proposed = if self.last == self.closed { self.proposed } else { self.levels(tuning) };
        let wanted = *proposed.get(base)?;
        let reserved = self.costs.reserved.get(base)? * factor;
        let short = *self.costs.short.get(base)?.get(margin)?;
        let used = self.costs.used.max(f32::MIN_POSITIVE);
        Some(Asked {
            target: wanted * factor,
            level,
            base: wanted,
            margin: factor,
            unused: ((reserved + short - self.costs.used) / reserved.max(f32::MIN_POSITIVE)).clamp(0.0, 1.0),
            short: (short / used).clamp(0.0, 1.0),
        })
    }

    fn choose(&self, prices: &RequestPrices, tuning: &Tuning) -> (usize, usize) {
        let underrun = prices.underrun * self.calmness(tuning);
        let prior = self.costs.used * tuning.prior_hours / (tuning.prior_hours + self.hours);
        let cost = |base: usize, margin: usize| {
            let factor = tuning.margins[margin];
            let short = self.costs.short[base][margin];
            let unused = self.costs.reserved[base] * factor + short - self.costs.used;
            let doubt = factor / tuning.prior_margin - 1.0;
            unused + underrun * short + prices.change * self.costs.changes[base] + prior * doubt * doubt
        };
        let (mut best, mut least) = match self.chosen {
            Some((base, margin)) if usize::from(base) < BASES && usize::from(margin) < MARGINS => {
                let now = (usize::from(base), usize::from(margin));
                (now, cost(now.0, now.1) * (1.0 - tuning.inertia))
            }
            _ => ((BASES / 2, MARGINS / 2), f32::INFINITY),
        };
        for base in 0..BASES {
            for margin in 0..MARGINS {
                let cost = cost(base, margin);
                if cost < least {
                    (best, least) = ((base, margin), cost);
                }
            }
        }
        best
    }
}

impl Costs {
    /// The weight of what comes in at `at`; scales what is stored down where that has grown large.
    fn weight(&mut self, at: i64, half_life: i64) -> f32 {
        let age = number::seconds(self.reference, at) / half_life.max(1) as f32;
        if (0.0..=HEADROOM).contains(&age) {
            return number::exp2(age);
        }
        let scale = number::exp2(-age);
        self.used *= scale;
        for base in 0..BASES {
            self.reserved[base] *= scale;
            self.changes[base] *= scale;
            self.short[base] = self.short[base].map(|short| short * scale);
        }
        self.reference = at;
        1.0
    }

    fn count(&mut self, used: f32, weight: f32, holds: &[Hold; BASES], margins: &[f32; MARGINS]) {
        self.used += weight * used;
        for ((hold, reserved), short) in holds.iter().zip(&mut self.reserved).zip(&mut self.short) {
            *reserved += weight * hold.held;
            if used > hold.held * margins[0] {
                for (short, margin) in short.iter_mut().zip(margins) {
                    *short += weight * (used - hold.held * margin).max(0.0);
                }
            }
        }
    }
}
