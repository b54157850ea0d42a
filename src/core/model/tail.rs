//! The tail of the memory: how far it may go, which is what the limit is for.
//!
//! Peaks of six hours each are taken as draws of a variable whose logarithm has a Gumbel tail (Gumbel, "Statistics of
//! Extremes", 1958): the level that is passed r times a year is mean + k(r) x deviation of the logarithms. The highest
//! peak, slowly decaying, and what OOM kills taught, remembered long, bound it from below.

#[cfg(test)]
mod tests;

use super::half::Half;
use super::number;
use super::prices::LimitPrices;
use super::ride::{FOLLOWS, Ride};

/// Seconds of a peak's slot.
pub(crate) const SLOT: i64 = 21_600;
/// Slots in a year.
const SLOTS_A_YEAR: f32 = 365.25 * 4.0;
/// Half-life of a slot's peak in mean and deviation, in slots: 14 days.
const SLOT_HALF_LIFE: f32 = 56.0;
/// Slots closed, decayed, with which a series knows how its peaks vary over a day: a little less than four.
const A_DAY: f32 = 3.5;
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

/// Kills whose ids are remembered, so that each counts once.
const KILLS: usize = 4;
/// The highest peak times this: up to there a kill is the container's own beyond doubt.
const OWN: f32 = 2.0;
/// The same of a container that had run for long: a program may allocate several times what it had between two scrapes.
/// Above that its node had no more.
const REACH: f32 = 8.0;
/// So many kills far above all usage teach, one after the other, of containers that were killed too soon to be measured.
pub(crate) const MOST_DOUBTFUL: u8 = 8;

/// An OOM kill, as it is told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kill {
    /// Tells it from others; not 0.
    pub(crate) id: u32,
    /// The limit that was hit, in mebibytes.
    pub(crate) limit: f32,
    /// What is hoped to run, times that limit.
    pub(crate) bump: f32,
    /// The container had run for so long that its peaks are known.
    pub(crate) settled: bool,
}

/// The tail of one series' memory, in mebibytes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tail {
    /// The slot that is open, counted from time 0; everything is decayed up to it.
    pub(crate) slot: i64,
    /// Its highest sample; 0 before the first.
    pub(crate) open: f32,
    /// Slots closed, decayed.
    pub(crate) slots: f32,
    /// Mean of the logarithms of their peaks.
    pub(crate) mean: f32,
    /// Sum of squared deviations from it, decayed.
    pub(crate) squares: f32,
    /// The highest peak, decayed.
    pub(crate) peak: f32,
    /// The peak of each of the last days, by day modulo the ring.
    pub(crate) days: [Half; DAYS],
    /// Whether the peaks ride the limit in force.
    pub(crate) ride: Ride,
    /// What OOM kills taught; most series never have one.
    pub(crate) kills: Option<Box<Kills>>,
}

/// The OOM kills of one series.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Kills {
    /// How many there were, ever; saturates.
    pub(crate) count: u32,
    /// Ids of the latest.
    pub(crate) seen: [u32; KILLS],
    /// What they taught that runs, decayed.
    pub(crate) lesson: f32,
    /// The same of each of the last days, by day modulo the ring.
    pub(crate) days: [Half; DAYS],
    /// Kills far above all usage since the last that was near it.
    pub(crate) doubtful: u8,
}

impl Tail {
    /// Takes in a sample.
    pub(crate) fn add(&mut self, value: f32, at: i64, half_life: i64) {
        if self.peak <= 0.0 || !number::is_in_slot(at, self.slot, SLOT) {
            let slot = at.div_euclid(SLOT);
            if slot > self.slot || self.peak <= 0.0 {
                self.turn(slot, half_life);
            }
        }
        if value > self.open || self.open <= 0.0 {
            self.open = value.max(f32::MIN_POSITIVE);
            self.peak = self.peak.max(self.open);
            keep(&mut self.days, at.div_euclid(86_400), value);
        }
    }

    /// Takes in an OOM kill. One that is known changes nothing. Returns whether it was new.
    pub(crate) fn kill(&mut self, kill: &Kill, at: i64, half_life: i64) -> bool {
        if self.kills.as_ref().is_some_and(|kills| kills.seen.contains(&kill.id)) {
            return false;
        }
        let slot = at.div_euclid(SLOT);
        if slot > self.slot || (self.peak <= 0.0 && self.kills.is_none()) {
            self.turn(slot, half_life);
        }
        let lesson = self.lesson_of(kill);
        let own = self.is_own(kill.limit);
        self.ride = Ride::default();
        let kills = self.kills.get_or_insert_default();
        kills.count = kills.count.saturating_add(1);
        kills.seen.rotate_right(1);
        kills.seen[0] = kill.id;
        kills.doubtful = if own { 0 } else { kills.doubtful.saturating_add(1).min(MOST_DOUBTFUL) };
        kills.lesson = kills.lesson.max(lesson);
        keep(&mut kills.days, at.div_euclid(86_400), lesson);
        true
    }

    /// Whether usage was seen so near to a limit that a kill there is the container's own. So it is where none was seen.
    fn is_own(&self, limit: f32) -> bool {
        self.peak <= 0.0 || limit <= self.peak * OWN
    }

    /// The level that a kill teaches to run; 0 where it teaches nothing. Raises that usage never follows come to an end:
    /// at [`REACH`] times the peak where that is known well, else after [`MOST_DOUBTFUL`] of them.
    fn lesson_of(&self, kill: &Kill) -> f32 {
        let lesson = kill.limit * kill.bump;
        if self.is_own(kill.limit) {
            return lesson;
        }
        if kill.settled {
            let most = self.peak * REACH;
            return if most > kill.limit { most.min(lesson) } else { 0.0 };
        }
        let before = self.kills.as_ref().map_or(0, |kills| kills.doubtful);
        if before < MOST_DOUBTFUL { lesson } else { 0.0 }
    }

    /// Whether a kill at `limit` mebibytes teaches nothing.
    #[must_use]
    pub(crate) fn is_of_node(&self, limit: f32, settled: bool) -> bool {
        self.lesson_of(&Kill { id: 0, limit, bump: 1.0, settled }) <= 0.0
    }

    /// Takes in a sample together with the limit that was in force, both in mebibytes, and the share of the time in which
    /// memory was waited for.
    pub(crate) fn ride(&mut self, value: f32, limit: f32, stalled: f32) {
        self.ride.learn(value, limit, stalled);
    }

    /// Whether the peaks follow the limit: they lie right below whatever limit is in force, and no kill comes of it.
    #[must_use]
    pub fn follows_limit(&self) -> bool {
        self.ride.evidence >= FOLLOWS
    }

    /// Closes the slot that is open and opens `slot`.
    fn turn(&mut self, slot: i64, half_life: i64) {
        if self.open > 0.0 {
            let keep = number::exp2(-1.0 / SLOT_HALF_LIFE);
            let value = self.open.ln();
            self.slots = self.slots * keep + 1.0;
            let off = value - self.mean;
            self.mean += off / self.slots;
            self.squares = self.squares * keep + off * (value - self.mean);
        }
        let known = self.peak > 0.0 || self.kills.is_some();
        let moved = if known { slot.saturating_sub(self.slot) } else { 0 };
        let elapsed = (moved as f32) * SLOT as f32;
        self.peak *= number::exp2(-elapsed / half_life.max(1) as f32);
        let (from, to) = (day_of(self.slot), day_of(slot));
        let gone = if known { to.saturating_sub(from).min(DAY_SLOTS) } else { 0 };
        forget(&mut self.days, to, gone);
        if let Some(kills) = &mut self.kills {
            kills.lesson *= number::exp2(-elapsed / LESSON_HALF_LIFE);
            forget(&mut kills.days, to, gone);
            if kills.days.iter().all(|day| !day.is_some()) {
                // A week without one: what comes is another matter.
                kills.doubtful = 0;
            }
        }
        self.open = 0.0;
        self.slot = slot;
        self.ride.turn(moved);
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
        self.kills.as_ref().map_or(0.0, |kills| kills.lesson)
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

    /// What the limit should be.
    #[must_use]
    pub fn need(&self, prices: &LimitPrices) -> f32 {
        if self.follows_limit() {
            // What fills any limit is no need beyond the one in force.
            return self.ride.limit.get().max(self.lesson());
        }
        let least = (self.peak * prices.least_margin).max(self.lesson());
        // On the first day how much the peaks vary is a guess. A kill puts knowledge in its place: where the container
        // then lives under what it taught, the guess would only raise the limit once more.
        if self.kills.is_some() && self.slots < A_DAY {
            return least;
        }
        self.reach(prices.kills_per_year).min(self.peak * prices.most_margin).max(least)
    }

    /// What request and limit should be where they must be equal: the highest of the last eight days' peaks with a
    /// margin. The more the peaks vary, the fewer of those days count, as an old peak then says little of the next. What an
    /// OOM kill taught is remembered as long as for a limit of its own.
    #[must_use]
    pub fn equal(&self, prices: &LimitPrices) -> f32 {
        let unsteady = (self.deviation() / prices.equal_steady).powi(4);
        let level = |days: &[Half; DAYS]| {
            let (short, long) = (self.highest_of(days, SHORT_DAYS), self.highest_of(days, DAYS));
            short + (long - short) / (1.0 + unsteady)
        };
        let recent = self.kills.as_ref().map_or(0.0, |kills| level(&kills.days));
        let lesson = (recent * prices.equal_lesson).max(self.lesson());
        let need = level(&self.days) * prices.equal_margin;
        let need = if self.follows_limit() { need.min(self.ride.limit.get()) } else { need };
        need.max(lesson)
    }

    /// The highest entry of a ring for the last `days` days, today included.
    fn highest_of(&self, ring: &[Half; DAYS], days: usize) -> f32 {
        let today = number::ring(day_of(self.slot), DAY_SLOTS);
        let newest = (0..days.min(DAYS)).filter_map(|back| ring.get((today + DAYS - back) % DAYS));
        newest.fold(Half::default(), |best, day| best.max(*day)).get()
    }
}

/// The day of a slot, counted from time 0.
fn day_of(slot: i64) -> i64 {
    slot.div_euclid(4)
}

fn keep(ring: &mut [Half; DAYS], day: i64, value: f32) {
    if let Some(top) = ring.get_mut(number::ring(day, DAY_SLOTS)) {
        *top = (*top).max(Half::new(value));
    }
}

/// Clears the newest `gone` days of a ring, the last of which is `to`.
fn forget(ring: &mut [Half; DAYS], to: i64, gone: i64) {
    for day in (0..gone).map(|back| to - back) {
        if let Some(top) = ring.get_mut(number::ring(day, DAY_SLOTS)) {
            *top = Half::default();
        }
    }
}
