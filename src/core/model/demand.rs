//! The need for one resource of one series: what several rules would have reserved, and what that would have cost.
//!
//! For each rule's level, held as [`Hold`](super::hold::Hold) would hold it, the sums of what would have been reserved,
//! of what would have been short at each margin, and of the changes are kept, decaying. With the sum of what was used
//! they give the cost of any candidate at any prices: unused = reserved x margin + short - used.

#[cfg(test)]
mod tests;

use std::cmp::Ordering;

use super::candidates::Candidates;
use super::costs::Costs;
use super::half::Half;
use super::histogram::Histogram;
use super::hold::{HoldRule, Kept};
use super::level::{Level, PERCENTILES};
use super::number;
use super::prices::RequestPrices;
use super::prior::Prior;
use super::recent::{Recent, slot_of};
use super::tuning::{BASES, MARGINS, Tuning};

/// Seconds of an interval: the costs are counted once in it, when a later one begins.
pub(crate) const INTERVAL: i64 = 300;
/// Rule and margin that speak while nothing is known of any: the highest seen, as it is.
const FIRST: (usize, usize) = (BASES / 2, 1);
/// A gap in the samples counts for at most this many seconds.
const LONGEST: f32 = 3600.0;
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
    pub(crate) holds: [Kept; BASES],
    pub(crate) costs: Costs,
    /// The newest sample of the last interval that was closed; `i64::MIN` before the first.
    pub(crate) closed: i64,
    /// The newest sample; `i64::MIN` before the first.
    pub(crate) last: i64,
    /// The highest sample of the interval that is open.
    pub(crate) peak: f32,
    /// A lower bound of the highest sample of a later interval, which is not over; see [`foretell`](Self::foretell).
    pub(crate) ahead: Half,
    /// Intervals from the open one to that later one; 0 without a bound.
    pub(crate) ahead_by: u8,
    /// Decayed mean of the peaks.
    pub(crate) mean: f32,
    /// Decayed mean step from one peak to the next.
    pub(crate) step: f32,
    /// The peak of the interval that was closed last.
    pub(crate) before: f32,
    /// Hours of history, gaps not counted.
    pub(crate) hours: f32,
    /// The percentiles when they were last looked up.
    pub(crate) percentiles: [Half; PERCENTILES.len()],
    /// The chosen candidate: rule and margin.
    pub(crate) chosen: Option<(u8, u8)>,
    /// Whether it was chosen since the last interval was closed.
    pub(crate) settled: bool,
}

impl Default for Demand {
    fn default() -> Self {
        Self {
            histogram: Histogram::default(),
            recent: Recent::default(),
            holds: [Kept::default(); BASES],
            costs: Costs::default(),
            closed: i64::MIN,
            last: i64::MIN,
            peak: 0.0,
            ahead: Half::default(),
            ahead_by: 0,
            mean: 0.0,
            step: 0.0,
            before: 0.0,
            hours: 0.0,
            percentiles: [Half::default(); PERCENTILES.len()],
            chosen: None,
            settled: false,
        }
    }
}

/// What several rules look at.
struct Latest {
    quarter: f32,
    hour: f32,
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

    /// What each rule would have cost so far, per unit of usage; `None` before there was any.
    #[must_use]
    pub fn costs_per_usage(&self) -> Option<Prior> {
        let Costs { used, reserved, changes, short, .. } = &self.costs;
        (*used > 0.0).then(|| Prior {
            hours: self.hours,
            reserved: reserved.map(|sum| sum / used),
            changes: changes.map(|sum| sum / used),
            short: short.map(|margins| margins.map(|sum| sum.get() / used)),
        })
    }

    /// Takes in a sample: finite and not negative, as the series has checked.
    #[inline]
    pub(crate) fn add(&mut self, value: f32, at: i64, tuning: &Tuning) {
        // True of most samples.
        if number::is_in_slot(at, self.recent.newest(), INTERVAL) {
            self.last = self.last.max(at);
            self.peak = self.peak.max(value);
            self.histogram.add_now(value, at, tuning.half_life);
        } else {
            self.add_outside(value, at, tuning);
        }
    }

    /// Takes in a sample that does not lie in the interval that is open.
    #[inline(never)]
    fn add_outside(&mut self, value: f32, at: i64, tuning: &Tuning) {
        let open = self.recent.newest();
        let slot = slot_of(at);
        if slot > open {
            // Not a part of what is closed.
            let (ahead, by) = (std::mem::take(&mut self.ahead), std::mem::take(&mut self.ahead_by));
            if open != i64::MIN {
                self.close(tuning);
                let left = i64::from(by).saturating_sub(slot.saturating_sub(open));
                (self.ahead, self.ahead_by) = u8::try_from(left)
                    .ok()
                    .filter(|left| *left > 0)
                    .map_or_else(Default::default, |left| (ahead, left));
            }
            self.recent.open(slot);
            self.last = at;
            // Within an interval no sample weighs more than another.
            self.histogram.turn_to(slot * INTERVAL, tuning.half_life);
            self.histogram.add_now(value, at, tuning.half_life);
        } else {
            self.recent.keep(slot, value);
            self.histogram.add_late(value, at, tuning.half_life);
        }
        self.peak = self.peak.max(value);
    }

    /// Learns that the sample to come at `at`, the end of an interval under way, will be at least `least`, so that growth
    /// does not wait for it. `first` stands for it until there was a sample at all. Leaves no other trace.
    pub(crate) fn foretell(&mut self, at: i64, least: f32, first: f32) {
        if !self.known() {
            (self.ahead, self.ahead_by) = (self.ahead.max(Half::known(first)), 1);
            return;
        }
        let by = slot_of(at).saturating_sub(self.recent.newest());
        if by <= 0 {
            self.peak = self.peak.max(least);
            return;
        }
        let by = u8::try_from(by).unwrap_or(u8::MAX);
        match by.cmp(&self.ahead_by) {
            Ordering::Less => {}
            Ordering::Equal => self.ahead = self.ahead.max(Half::new(least)),
            Ordering::Greater => (self.ahead, self.ahead_by) = (Half::new(least), by),
        }
    }

    /// The need by what was foretold alone; `None` where a sample was seen, or nothing foretold.
    pub(crate) fn foretold(&self, tuning: &Tuning) -> Option<Self> {
        if self.known() || self.ahead_by == 0 {
            return None;
        }
        let mut demand = Self::default();
        demand.add(self.ahead.get(), 0, tuning);
        Some(demand)
    }

    /// Closes the interval that is open: what was seen in it is counted.
    fn close(&mut self, tuning: &Tuning) {
        let elapsed =
            if self.closed == i64::MIN { 0.0 } else { number::seconds(self.closed, self.last).min(LONGEST) };
        self.recent.keep(self.recent.newest(), self.peak);
        self.count_mean(elapsed);
        let weight = self.costs.weight(self.last, tuning.memory);
        let counted = self.peak.min(tuning.burst * self.mean);
        // Any number that the time gives will do, as long as neighbours differ.
        let dither = number::low_bits(self.last).wrapping_mul(0x9E37_79B1) >> 16;
        self.costs.count(counted, weight * elapsed / INTERVAL as f32, &self.holds, &tuning.margins, dither);
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
        // 1 - 2^-x by its series: x is small, as a gap counts for an hour at most.
        let x = elapsed * (std::f32::consts::LN_2 / MEAN_HALF_LIFE);
        let share = x * (1.0 - x * (0.5 - x / 6.0));
        self.mean += share * (self.peak - self.mean);
        self.step += share * ((self.peak - self.before).abs() - self.step);
    }

    /// Lets each rule's level be held or changed.
    fn hold_levels(&mut self, elapsed: f32, weight: f32, tuning: &Tuning) {
        let price = tuning.price_of_change(self.mean);
        let rule = HoldRule { price, ..tuning.hold };
        let mut often = None;
        // Percentiles move slowly: each half hour will do, once there is a day of them.
        if self.hours < 24.0 || self.closed.div_euclid(1800) != self.last.div_euclid(1800) {
            self.look_up(tuning);
        }
        let latest = self.latest();
        for base in 0..BASES {
            let wanted = self.level(tuning.levels[base], &latest);
            let held = self.holds[base].held.get();
            if rule.keeps(held, wanted) {
                // Damping only widens the band: where nothing is to be done without it, nothing is with it.
                self.holds[base].settle();
                continue;
            }
            let often = *often.get_or_insert_with(|| self.often(price, tuning));
            let rule = rule.damped(self.damping(base, often, tuning), tuning.damping.most_growth);
            if self.holds[base].weigh(wanted, elapsed, &rule) {
                self.costs.changes[base] += weight * price / INTERVAL as f32;
            }
        }
    }

    /// The sum of a rule's changes from which on they are damped: see
    /// [`Damping`](super::tuning::Damping).
    fn often(&self, price: f32, tuning: &Tuning) -> f32 {
        let days = (self.hours / 24.0).clamp(f32::MIN_POSITIVE, 1.0);
        self.costs.used * price * tuning.damping.changes_a_day / (self.mean.max(1e-3) * 86_400.0 * days)
    }

    /// How many times as much a change of a rule's level must be worth as one that comes seldom; at least 1.
    fn damping(&self, base: usize, often: f32, tuning: &Tuning) -> f32 {
        let damping = &tuning.damping;
        let changes = self.costs.changes.get(base).copied().unwrap_or_default();
        if changes <= often {
            return 1.0;
        }
        let excess = changes / often.max(f32::MIN_POSITIVE);
        (excess * excess).min(damping.most)
    }

    /// What a change of the request is worth now, and by which factor (at least 1) that is damped.
    pub(crate) fn hold_rule(&self, tuning: &Tuning) -> (HoldRule, f32) {
        let price = tuning.price_of_change(self.mean);
        let damping = self
            .chosen
            .map_or(1.0, |(base, _)| self.damping(usize::from(base), self.often(price, tuning), tuning));
        let rule = HoldRule { price, ..tuning.hold };
        (rule.damped(damping, tuning.damping.most_growth), damping)
    }

    /// The factor on the price of an underrun that the restlessness makes: see [`Tuning::calm_quarters`].
    fn calmness(&self, tuning: &Tuning) -> f32 {
        let step = (self.step / self.mean.max(1e-3)).max(LEAST_STEP);
        number::quarter_power(tuning.calm / step, tuning.calm_quarters).max(LEAST_CALM)
    }

    /// Looks the percentiles up in the histogram.
    pub(crate) fn look_up(&mut self, tuning: &Tuning) {
        self.percentiles = self.histogram.quantiles(PERCENTILES, tuning.by_load).map(Half::new);
    }

    /// What a rule proposes now; of percentiles, what was looked up.
    fn level(&self, level: Level, latest: &Latest) -> f32 {
        // The last quarter of an hour and yesterday's this and coming half hours; the last hour where that is unknown.
        let yesterday =
            |ahead| self.recent.yesterday(ahead).map_or(latest.hour, |then| then.max(latest.quarter));
        match level {
            Level::QuarterHour => latest.quarter,
            Level::Hour => latest.hour,
            Level::FourHours => self.recent.halves(8).max(self.open()),
            Level::SameTime => yesterday(1),
            Level::Ahead => yesterday(4),
            Level::P80 | Level::P90 | Level::P98 => {
                let at = level.percentile().and_then(|at| self.percentiles.get(at));
                at.copied().unwrap_or_default().get()
            }
        }
    }

    /// The maxima of the last quarter of an hour and hour, with the interval that is open.
    fn latest(&self) -> Latest {
        let open = self.open();
        Latest { quarter: self.recent.fives(3).max(open), hour: self.recent.fives(12).max(open) }
    }

    /// The highest sample of intervals that are not closed, as far as is known.
    fn open(&self) -> f32 {
        self.peak.max(self.ahead.get())
    }

    /// Whether there was a sample.
    pub(crate) fn known(&self) -> bool {
        self.last != i64::MIN
    }

    /// Chooses the cheapest candidate and says what it asks for; `None` before the first sample.
    pub(crate) fn ask(&mut self, prices: &RequestPrices, tuning: &Tuning) -> Option<Asked> {
        if !self.known() {
            return None;
        }
        if !self.percentiles.iter().any(|known| known.is_some()) {
            self.look_up(tuning);
        }
        let (base, margin) = match self.chosen {
            Some((base, margin)) if self.settled => (usize::from(base), usize::from(margin)),
            _ => self.choose(prices, tuning),
        };
        self.chosen = Some((base as u8, margin as u8));
        self.settled = true;
        let level = *tuning.levels.get(base)?;
        let factor = *tuning.margins.get(margin)?;
        let wanted = self.level(level, &self.latest());
        let reserved = self.costs.reserved.get(base)? * factor;
        let short = self.costs.short.get(base)?.get(margin)?.get();
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
        let weight = self.costs.used * tuning.prior.weight(self.hours);
        let candidates = Candidates::of(&self.costs, tuning, weight, underrun, prices.change);
        let (best, least) = match self.chosen {
            Some((base, margin)) if usize::from(base) < BASES && usize::from(margin) < MARGINS => {
                let now = (usize::from(base), usize::from(margin));
                (now, candidates.cost(now.0, now.1) * (1.0 - tuning.inertia))
            }
            _ => (FIRST, candidates.cost(FIRST.0, FIRST.1)),
        };
        candidates.cheapest(least).unwrap_or(best)
    }
}
