//! The recent past as maxima: of each five minutes of the last hour, and of each half hour of the last day.
//!
//! Short slots keep their value to 0.1 %. A long slot keeps one byte: how many steps of 1 to 1.6 % the value lies above
//! the lowest that is told apart, rounded to the middle of the step.

use super::half::Half;
use super::number;

/// Seconds of a short slot.
const FIVE: i64 = 300;
/// Short slots kept: one hour.
pub(crate) const FIVES: usize = 12;
/// The same, as a count of slots.
const FIVE_SLOTS: i64 = 12;
/// Seconds of a long slot.
const HALF: i64 = 1800;
/// Long slots kept: one day.
pub(crate) const HALVES: usize = 48;
/// The same, as a count of slots.
const HALF_SLOTS: i64 = 48;
/// Steps that a long slot's code can tell apart, less one.
const CODES: u16 = 254;
/// Low bits of a float that make one step: 64 steps to a power of two, so that a day's values are told apart down to
/// a sixteenth of its highest.
const STEP: u32 = 17;
/// Least and largest value that long slots tell from others.
const LEAST: f32 = 1e-6;
const MOST: f32 = 1e12;
/// The bits of an infinite float.
const INFINITY: u32 = 0x7F80_0000;

/// The maxima of the recent past.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recent {
    /// The newest short slot, counted from time 0.
    newest: i64,
    five: [Half; FIVES],
    half: [u8; HALVES],
    /// What the newest long slot held one day earlier.
    before: u8,
    /// The step that code 1 stands for.
    base: u16,
}

impl Default for Recent {
    fn default() -> Self {
        Self { newest: i64::MIN, five: [Half::default(); FIVES], half: [0; HALVES], before: 0, base: 0 }
    }
}

/// The short slot of a time, counted from time 0.
pub(crate) fn slot_of(at: i64) -> i64 {
    at.div_euclid(FIVE)
}

impl Recent {
    /// The newest short slot, counted from time 0; the least number before the first.
    pub(crate) fn newest(&self) -> i64 {
        self.newest
    }

    /// Takes in a value seen in a short slot, the newest or one before. One older than what is kept leaves no trace.
    pub(crate) fn keep(&mut self, slot: i64, value: f32) {
        if self.newest.saturating_sub(slot) < FIVE_SLOTS
            && let Some(five) = self.five.get_mut(number::ring(slot, FIVE_SLOTS))
        {
            *five = (*five).max(Half::known(value));
        }
        let long = long_of(slot);
        if long_of(self.newest) - long < HALF_SLOTS {
            let place = number::ring(long, HALF_SLOTS);
            let here = self.half.get(place).copied().unwrap_or(0);
            let code = self.code(value, here > 0);
            if let Some(half) = self.half.get_mut(place) {
                *half = (*half).max(code);
            }
        }
    }

    /// Opens a short slot later than the newest; those between stay unknown.
    pub(crate) fn open(&mut self, slot: i64) {
        if self.newest == i64::MIN {
            self.newest = slot;
            return;
        }
        for gone in 0..slot.saturating_sub(self.newest).min(FIVE_SLOTS) {
            if let Some(five) = self.five.get_mut(number::ring(slot - gone, FIVE_SLOTS)) {
                *five = Half::default();
            }
        }
        let (from, to) = (long_of(self.newest), long_of(slot));
        let moved = to.saturating_sub(from);
        if moved > 0 {
            let place = number::ring(to, HALF_SLOTS);
            self.before = if moved <= HALF_SLOTS { self.half.get(place).copied().unwrap_or(0) } else { 0 };
            for gone in 0..moved.min(HALF_SLOTS) {
                if let Some(half) = self.half.get_mut(number::ring(to - gone, HALF_SLOTS)) {
                    *half = 0;
                }
            }
        }
        self.newest = slot;
    }

    /// The code of a value; moves the base, and with it all codes, where it lies outside. Values too far below the
    /// highest become the least that is told apart. `some_known`: one is known to be told apart.
    fn code(&mut self, value: f32, some_known: bool) -> u8 {
        let step = (value.clamp(LEAST, MOST).to_bits() >> STEP) as u16;
        if !some_known && self.before == 0 && self.half == [0; HALVES] {
            // Nothing is known: in the middle, as what comes may be less or more.
            self.base = step.saturating_sub(CODES / 2);
        } else if !(self.base..=self.base + CODES).contains(&step) {
            self.make_room(step);
        }
        (step.saturating_sub(self.base).min(CODES) + 1) as u8
    }

    /// Moves the base to where a step that lies outside can be told apart.
    #[cold]
    fn make_room(&mut self, step: u16) {
        if step > self.base {
            self.move_base(step - CODES);
        } else {
            let highest = self.half.iter().fold(self.before, |best, code| best.max(*code));
            let top = self.base + u16::from(highest);
            self.move_base(step.max(top.saturating_sub(CODES)));
        }
    }

    fn move_base(&mut self, base: u16) {
        if base == self.base {
            return;
        }
        let (up, down) = (base.saturating_sub(self.base), self.base.saturating_sub(base));
        for code in self.half.iter_mut().chain([&mut self.before]).filter(|code| **code > 0) {
            *code = (u16::from(*code) + down).saturating_sub(up).clamp(1, CODES + 1) as u8;
        }
        self.base = base;
    }

    /// What a code stands for: the middle of its step; 0 if unknown.
    fn value(&self, code: u8) -> f32 {
        if code == 0 {
            return 0.0;
        }
        let step = u32::from(self.base) + u32::from(code) - 1;
        f32::from_bits((step << STEP) | (1 << (STEP - 1)))
    }

    /// The maximum of the newest `slots` of five minutes, at most an hour; 0 if unknown.
    #[inline]
    pub(crate) fn fives(&self, slots: usize) -> f32 {
        if slots >= FIVES {
            return self.five.iter().fold(Half::default(), |best, five| best.max(*five)).get();
        }
        let after = number::ring(self.newest, FIVE_SLOTS) + 1;
        let (head, tail) = newest_of(&self.five, after, slots);
        head.iter().chain(tail).fold(Half::default(), |best, five| best.max(*five)).get()
    }

    /// The maximum of the newest `slots` half hours, at most a day; 0 if unknown.
    #[inline]
    pub(crate) fn halves(&self, slots: usize) -> f32 {
        let after = number::ring(long_of(self.newest), HALF_SLOTS) + 1;
        let (head, tail) = newest_of(&self.half, after, slots.min(HALVES));
        let highest = |codes: &[u8]| codes.iter().fold(0, |best: u8, code| best.max(*code));
        self.value(highest(head).max(highest(tail)))
    }

    /// The maximum of this half hour and the next `ahead` ones, as they were a day ago; `None` if one is unknown.
    #[inline]
    pub(crate) fn yesterday(&self, ahead: usize) -> Option<f32> {
        let after = number::ring(long_of(self.newest), HALF_SLOTS) + ahead + 1;
        let (head, tail) = newest_of(&self.half, if after > HALVES { after - HALVES } else { after }, ahead);
        let span = |codes: &[u8], start: (u8, u8)| {
            codes.iter().fold(start, |(least, most), code| (least.min(*code), most.max(*code)))
        };
        let (least, most) = span(tail, span(head, (self.before, self.before)));
        (least > 0).then(|| self.value(most))
    }

    /// The maximum of each half hour of the day (UTC), as last seen; `None` where unknown.
    #[must_use]
    pub fn by_half_hour(&self) -> [Option<f32>; HALVES] {
        self.half.map(|code| (code > 0).then(|| self.value(code)))
    }

    /// What the snapshot keeps.
    pub(crate) fn parts(&self) -> Parts<'_> {
        let Self { newest, five, half, before, base } = self;
        Parts { newest: *newest, five, half, before: *before, base: *base }
    }

    /// What such parts make. `None` where no values have such codes.
    pub(crate) fn from_parts(parts: &Parts<'_>) -> Option<Self> {
        let Parts { newest, five, half, before, base } = *parts;
        let largest = u32::from(base) + u32::from(CODES) + 1;
        let sound = largest << STEP < INFINITY;
        sound.then_some(Self { newest, five: *five, half: *half, before, base })
    }
}

/// What a [`Recent`] holds.
pub(crate) struct Parts<'a> {
    pub(crate) newest: i64,
    pub(crate) five: &'a [Half; FIVES],
    pub(crate) half: &'a [u8; HALVES],
    pub(crate) before: u8,
    pub(crate) base: u16,
}

/// The newest `slots` of a ring in two runs: up to the place before `after`, and from the end what lies before the
/// ring's start.
#[inline]
fn newest_of<T>(ring: &[T], after: usize, slots: usize) -> (&[T], &[T]) {
    if let Some(from) = after.checked_sub(slots) {
        // Said with its length, which is known where this is asked for.
        let run = ring.get(from..).and_then(|rest| rest.get(..slots));
        return (run.unwrap_or_default(), &[]);
    }
    let tail = ring.len().saturating_sub(slots - after);
    (ring.get(..after).unwrap_or_default(), ring.get(tail..).unwrap_or_default())
}

fn long_of(slot: i64) -> i64 {
    slot.div_euclid(HALF / FIVE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(got: f32, want: f32) -> bool {
        (got / want - 1.0).abs() < 0.009
    }

    fn push(recent: &mut Recent, at: i64, value: f32) {
        if slot_of(at) > recent.newest() {
            recent.open(slot_of(at));
        }
        recent.keep(slot_of(at), value);
    }

    #[test]
    fn maxima_of_the_last_slots() {
        let mut recent = Recent::default();
        for i in 0..30_i64 {
            push(&mut recent, i * 300, 100.0 - i as f32);
        }
        assert!((recent.fives(1) / 71.0 - 1.0).abs() < 0.001);
        assert!(near(recent.fives(3), 73.0));
        assert!(near(recent.fives(12), 82.0));
        assert!(near(recent.halves(2), 82.0));
    }

    #[test]
    fn yesterday_is_known_after_a_day_and_lost_after_a_gap() {
        let mut recent = Recent::default();
        for i in 0..48 * 6 {
            push(&mut recent, i * 300, if (60..66).contains(&i) { 9.0 } else { 1.0 });
            assert!(recent.yesterday(1).is_none());
        }
        let day = 48 * 6;
        for i in day..day + 60 {
            push(&mut recent, i * 300, 1.0);
        }
        assert!(near(recent.yesterday(1).unwrap(), 9.0), "the coming half hour");
        push(&mut recent, (day + 63) * 300, 1.0);
        assert!(near(recent.yesterday(1).unwrap(), 9.0), "this half hour");
        push(&mut recent, (day + 70) * 300, 1.0);
        assert!(near(recent.yesterday(1).unwrap(), 1.0));
        push(&mut recent, (3 * day) * 300, 1.0);
        assert!(recent.yesterday(1).is_none());
        assert!(near(recent.fives(12), 1.0));
    }

    #[test]
    fn late_samples_go_where_they_belong() {
        let (mut one, mut two) = (Recent::default(), Recent::default());
        for (at, value) in [(0, 1.0), (900, 2.0), (300, 7.0)] {
            push(&mut one, at, value);
        }
        for (at, value) in [(0, 1.0), (300, 7.0), (900, 2.0)] {
            push(&mut two, at, value);
        }
        assert!((one.fives(12) - two.fives(12)).abs() < f32::EPSILON && one.five == two.five);
        assert!((one.halves(1) - two.halves(1)).abs() < f32::EPSILON);
    }

    #[test]
    fn a_wide_day_keeps_its_top_and_a_narrow_one_all() {
        let mut recent = Recent::default();
        for (i, value) in (0..).zip([0.3, 0.002, 12.0, 0.002, 40.0, 0.5]) {
            push(&mut recent, i * 1800, value);
        }
        let kept: Vec<f32> = recent.by_half_hour().into_iter().flatten().collect();
        for (got, want) in kept.iter().zip([2.55, 2.55, 12.0, 2.55, 40.0, 2.55]) {
            assert!((got / want - 1.0).abs() < 0.03, "{kept:?}");
        }
        for i in 6..6 + 5 * 48 {
            push(&mut recent, i * 1800, 0.002);
        }
        assert!(near(recent.halves(48), 0.002), "days later the rest is told apart again");
    }
}
