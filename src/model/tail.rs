//! The tail of the memory: how far it may go, which is what the limit is for.
//!
//! Peaks of six hours each are taken as draws of a variable whose logarithm has a Gumbel tail (Gumbel, "Statistics of
//! Extremes", 1958): the level that is passed r times a year is mean + k(r) x deviation of the logarithms. The highest
//! peak, slowly decaying, and what OOM kills taught, remembered long, bound it from below.

#[cfg(test)]
mod tests;

use super::number;
use super::prices::LimitPrices;

/// Seconds of a peak's slot.
const SLOT: i64 = 21_600;
/// Slots in a year.
const SLOTS_A_YEAR: f32 = 365.25 * 4.0;
/// Half-life of a slot's peak in mean and deviation, in slots: 14 days.
const SLOT_HALF_LIFE: f32 = 56.0;
/// Half-life of what an OOM kill taught, in seconds: 90 days.
const LESSON_HALF_LIFE: f32 = 90.0 * 86_400.0;
/// Deviation of the logarithm that is assumed before anything was learned, as if from one slot.
const PRIOR_DEVIATION: f32 = 0.3;
/// Days that count where the peaks vary much.
const SHORT_DAYS: usize = 2;
/// Days whose peaks are kept.
pub(crate) const DAYS: usize = 8;
/// The same, as a count of slots.
const DAY_SLOTS: i64 = 8;

/// The tail of one series' memory, in mebibytes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tail {
    /// The slot that is open, counted from time 0.
    pub(crate) slot: i64,
    /// Its highest sample; 0 before the first.
    pub(crate) open: f32,
    /// Slots closed, decayed.
    pub(crate) slots: f32,
    /// Mean of the logarithms of their peaks.
    pub(crate) mean: f32,
    /// Sum of squared deviations from it, decayed.
    pub(crate) squares: f32,
    /// The highest peak, decayed up to `at`.
    pub(crate) peak: f32,
    /// What OOM kills taught that runs, decayed up to `at`.
    pub(crate) lesson: f32,
    /// The newest sample or kill.
    pub(crate) at: i64,
    /// OOM kills, as far as they count still: decayed up to `at`.
    pub(crate) kills: f32,
    /// The peak of each of the last days, by day modulo the ring.
    pub(crate) days: [f32; DAYS],
    /// What OOM kills taught to run, of each of the last days, by day modulo the ring.
    pub(crate) lessons: [f32; DAYS],
    /// What the tail reaches, and the kills a year that it was found for; 0 kills: not yet found.
    pub(crate) found: (f32, f32),
}

impl Tail {
    /// Takes in a sample.
    pub(crate) fn add(&mut self, value: f32, at: i64, half_life: i64) {
        self.decay(at, half_life);
        let slot = at.div_euclid(SLOT);
        if slot > self.slot || self.open <= 0.0 {
            self.turn(slot);
        }
        self.open = self.open.max(value.max(f32::MIN_POSITIVE));
        self.peak = self.peak.max(value);
        let day = number::ring(at.div_euclid(86_400), DAY_SLOTS);
        if let Some(top) = self.days.get_mut(day) {
            *top = top.max(value);
        }
    }

    /// Takes in an OOM kill at `limit`, of which `bump` times that is hoped to run.
    pub(crate) fn kill(&mut self, limit: f32, at: i64, bump: f32, half_life: i64) {
        self.decay(at, half_life);
        self.lesson = self.lesson.max(limit * bump);
        self.kills += 1.0;
        if let Some(day) = self.lessons.get_mut(number::ring(at.div_euclid(86_400), DAY_SLOTS)) {
            *day = day.max(limit * bump);
        }
    }

    fn decay(&mut self, at: i64, half_life: i64) {
        if self.peak <= 0.0 && self.lesson <= 0.0 {
            self.at = at;
        } else if at > self.at {
            let elapsed = number::seconds(self.at, at);
            self.peak *= number::exp2(-elapsed / half_life.max(1) as f32);
            let keep = number::exp2(-elapsed / LESSON_HALF_LIFE);
            self.lesson *= keep;
            self.kills *= keep;
            self.at = at;
        }
    }

    /// Closes the slot that is open and opens `slot`.
    fn turn(&mut self, slot: i64) {
        if self.open > 0.0 {
            let keep = number::exp2(-1.0 / SLOT_HALF_LIFE);
            let value = self.open.ln();
            self.slots = self.slots * keep + 1.0;
            let off = value - self.mean;
            self.mean += off / self.slots;
            self.squares = self.squares * keep + off * (value - self.mean);
        }
        let (from, to) = (self.slot.div_euclid(4), slot.div_euclid(4));
        let moved = if self.open > 0.0 { to.saturating_sub(from) } else { 0 };
        for gone in 0..moved.min(DAY_SLOTS) {
            if let Some(day) = self.days.get_mut(number::ring(to - gone, DAY_SLOTS)) {
                *day = 0.0;
            }
            if let Some(day) = self.lessons.get_mut(number::ring(to - gone, DAY_SLOTS)) {
                *day = 0.0;
            }
        }
        self.open = 0.0;
        self.slot = slot;
        self.found = (0.0, 0.0);
    }

    /// Standard deviation of the logarithm of the six-hour peaks.
    #[must_use]
    pub fn deviation(&self) -> f32 {
        let prior = PRIOR_DEVIATION * PRIOR_DEVIATION;
        ((self.squares.max(0.0) + prior) / (self.slots + 1.0)).sqrt()
    }

    /// The highest peak, decayed.
    #[must_use]
    pub fn peak(&self) -> f32 {
        self.peak
    }

    /// What OOM kills taught to run, decayed; 0 where there was none.
    #[must_use]
    pub fn lesson(&self) -> f32 {
        self.lesson
    }

    /// The level that memory is expected to pass `kills_per_year` times a year.
    #[must_use]
    pub fn reach(&self, kills_per_year: f32) -> f32 {
        let share = (kills_per_year / SLOTS_A_YEAR).clamp(1e-6, 0.5);
        let gumbel = -(-(1.0 - share).ln()).ln();
        let factor = 0.779_697 * (gumbel - 0.577_216);
        let mean = if self.slots > 0.0 { self.mean } else { self.open.max(1.0).ln() };
        (mean + factor * self.deviation()).exp()
    }

    /// The same, found once for each slot.
    pub(crate) fn find_reach(&mut self, kills_per_year: f32) -> f32 {
        if self.found.1 <= 0.0 || self.found.1.to_bits() != kills_per_year.to_bits() || self.slots < 1.0 {
            self.found = (self.reach(kills_per_year), kills_per_year);
        }
        self.found.0
    }

    /// What the limit should be.
    #[must_use]
    pub fn need(&mut self, prices: &LimitPrices) -> f32 {
        self.find_reach(prices.kills_per_year)
            .min(self.peak * prices.most_margin)
            .max(self.peak * prices.least_margin)
            .max(self.lesson)
    }

    /// What request and limit should be where they must be equal: the highest of the last eight days' peaks with a
    /// margin. The more the peaks vary, the fewer of those days count, as an old peak then says little of the next.
    #[must_use]
    pub fn equal(&self, prices: &LimitPrices) -> f32 {
        let unsteady = (self.deviation() / prices.equal_steady).powi(4);
        let (short, long) = (self.highest_of(&self.days, SHORT_DAYS), self.highest_of(&self.days, DAYS));
        let level = short + (long - short) / (1.0 + unsteady);
        let (short, long) =
            (self.highest_of(&self.lessons, SHORT_DAYS), self.highest_of(&self.lessons, DAYS));
        let lesson = short + (long - short) / (1.0 + unsteady);
        (level * prices.equal_margin).max(lesson * prices.equal_lesson)
    }

    /// The highest entry of a ring for the last `days` days, today included.
    fn highest_of(&self, ring: &[f32; DAYS], days: usize) -> f32 {
        let today = number::ring(self.at.div_euclid(86_400), DAY_SLOTS);
        (0..days.min(DAYS))
            .filter_map(|back| ring.get((today + DAYS - back) % DAYS))
            .fold(0.0, |a, b| b.max(a))
    }
}
