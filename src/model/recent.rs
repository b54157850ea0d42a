//! The recent past as maxima: of each five minutes of the last hour, and of each half hour of the last day.
//!
//! Values are kept as the upper half of their float, rounded up: at most 0.8 % above the true value.

use super::number;

/// Seconds of a short slot.
const FIVE: i64 = 300;
/// Short slots kept: one hour.
const FIVES: usize = 12;
/// The same, as a count of slots.
const FIVE_SLOTS: i64 = 12;
/// Seconds of a long slot.
const HALF: i64 = 1800;
/// Long slots kept: one day.
const HALVES: usize = 48;
/// The same, as a count of slots.
const HALF_SLOTS: i64 = 48;

/// The maxima of the recent past.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recent {
    /// The newest short slot seen, counted from time 0.
    newest: i64,
    five: [u16; FIVES],
    half: [u16; HALVES],
    /// What the newest long slot held one day earlier.
    before: u16,
}

impl Default for Recent {
    fn default() -> Self {
        Self { newest: i64::MIN, five: [0; FIVES], half: [0; HALVES], before: 0 }
    }
}

/// The upper half of a float that is not negative, rounded up. 0 is kept for "unknown", so 0 becomes the next above.
fn pack(value: f32) -> u16 {
    ((value.max(f32::MIN_POSITIVE).to_bits().saturating_add(0xFFFF)) >> 16) as u16
}

fn unpack(code: u16) -> f32 {
    f32::from_bits(u32::from(code) << 16)
}

impl Recent {
    /// Takes in a value seen at `at`. One older than the slots that are kept leaves no trace.
    pub fn push(&mut self, at: i64, value: f32) {
        let slot = at.div_euclid(FIVE);
        if slot > self.newest {
            self.advance(slot);
        }
        let code = pack(value);
        let age = self.newest.saturating_sub(slot);
        if age < FIVE_SLOTS {
            keep(&mut self.five, number::ring(slot, FIVE_SLOTS), code);
        }
        let (long, newest) = (long_of(slot), long_of(self.newest));
        if newest - long < HALF_SLOTS {
            keep(&mut self.half, number::ring(long, HALF_SLOTS), code);
        }
    }

    fn advance(&mut self, slot: i64) {
        if self.newest == i64::MIN {
            self.newest = slot;
            return;
        }
        for gone in 0..slot.saturating_sub(self.newest).min(FIVE_SLOTS) {
            clear(&mut self.five, number::ring(slot - gone, FIVE_SLOTS));
        }
        let (from, to) = (long_of(self.newest), long_of(slot));
        let moved = to.saturating_sub(from);
        if moved > 0 {
            let place = number::ring(to, HALF_SLOTS);
            self.before = if moved <= HALF_SLOTS { self.half.get(place).copied().unwrap_or(0) } else { 0 };
            for gone in 0..moved.min(HALF_SLOTS) {
                clear(&mut self.half, number::ring(to - gone, HALF_SLOTS));
            }
        }
        self.newest = slot;
    }

    /// The maximum of the newest `slots` of five minutes, at most an hour; 0 if unknown.
    #[must_use]
    pub fn fives(&self, slots: usize) -> f32 {
        if slots >= FIVES {
            return unpack(highest(&self.five));
        }
        let newest = number::ring(self.newest, FIVE_SLOTS);
        let best = (0..slots).filter_map(|back| self.five.get((newest + FIVES - back) % FIVES)).max();
        unpack(best.copied().unwrap_or(0))
    }

    /// The maximum of the newest `slots` half hours, at most a day; 0 if unknown.
    #[must_use]
    pub fn halves(&self, slots: usize) -> f32 {
        let newest = number::ring(long_of(self.newest), HALF_SLOTS);
        let slots = slots.min(HALVES);
        // The ring in two runs: up to the newest slot, and from the end for what lies before the ring's start.
        let (head, tail) = ((newest + 1).saturating_sub(slots), (slots.saturating_sub(newest + 1)));
        let head = self.half.get(head..=newest).unwrap_or_default();
        let tail = self.half.get(HALVES - tail..).unwrap_or_default();
        unpack(highest(head).max(highest(tail)))
    }

    /// The maximum of this half hour and the next `ahead` ones, as they were a day ago; `None` if one is unknown.
    #[must_use]
    pub fn yesterday(&self, ahead: usize) -> Option<f32> {
        let now = number::ring(long_of(self.newest), HALF_SLOTS);
        let mut best = self.before;
        for next in (1..=ahead).filter_map(|next| self.half.get((now + next) % HALVES)) {
            if *next == 0 {
                return None;
            }
            best = best.max(*next);
        }
        (self.before > 0).then(|| unpack(best))
    }

    /// The maximum of each half hour of the day (UTC), as last seen; `None` where unknown.
    pub fn by_half_hour(&self) -> impl Iterator<Item = Option<f32>> + '_ {
        self.half.iter().map(|code| (*code > 0).then(|| unpack(*code)))
    }

    pub(crate) fn parts(&self) -> (i64, &[u16; FIVES], &[u16; HALVES], u16) {
        (self.newest, &self.five, &self.half, self.before)
    }

    pub(crate) fn from_parts(
        newest: i64,
        five: [u16; FIVES],
        half: [u16; HALVES],
        before: u16,
    ) -> Option<Self> {
        let sound = |code: &u16| unpack(*code).is_finite() && *code < 0x8000;
        (five.iter().all(sound) && half.iter().all(sound) && sound(&before)).then_some(Self {
            newest,
            five,
            half,
            before,
        })
    }
}

fn long_of(slot: i64) -> i64 {
    slot.div_euclid(HALF / FIVE)
}

fn highest(codes: &[u16]) -> u16 {
    codes.iter().fold(0, |best, code| best.max(*code))
}

fn keep(ring: &mut [u16], at: usize, code: u16) {
    if let Some(slot) = ring.get_mut(at) {
        *slot = (*slot).max(code);
    }
}

fn clear(ring: &mut [u16], at: usize) {
    if let Some(slot) = ring.get_mut(at) {
        *slot = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(got: f32, want: f32) -> bool {
        got >= want && got <= want * 1.008
    }

    #[test]
    fn maxima_of_the_last_slots() {
        let mut recent = Recent::default();
        for i in 0..30_i64 {
            recent.push(i * 300, 100.0 - i as f32);
        }
        assert!(near(recent.fives(1), 71.0));
        assert!(near(recent.fives(3), 73.0));
        assert!(near(recent.fives(12), 82.0));
        assert!(near(recent.halves(2), 82.0));
    }

    #[test]
    fn yesterday_is_known_after_a_day_and_lost_after_a_gap() {
        let mut recent = Recent::default();
        for i in 0..48 * 6 {
            recent.push(i * 300, if (60..66).contains(&i) { 9.0 } else { 1.0 });
            assert!(recent.yesterday(1).is_none());
        }
        let day = 48 * 6;
        for i in day..day + 60 {
            recent.push(i * 300, 1.0);
        }
        assert!(near(recent.yesterday(1).unwrap(), 9.0), "the coming half hour");
        recent.push((day + 63) * 300, 1.0);
        assert!(near(recent.yesterday(1).unwrap(), 9.0), "this half hour");
        recent.push((day + 70) * 300, 1.0);
        assert!(near(recent.yesterday(1).unwrap(), 1.0));
        recent.push((3 * day) * 300, 1.0);
        assert!(recent.yesterday(1).is_none());
        assert!(near(recent.fives(12), 1.0));
    }

    #[test]
    fn late_samples_go_where_they_belong() {
        let (mut one, mut two) = (Recent::default(), Recent::default());
        for (at, value) in [(0, 1.0), (900, 2.0), (300, 7.0)] {
            one.push(at, value);
        }
        for (at, value) in [(0, 1.0), (300, 7.0), (900, 2.0)] {
            two.push(at, value);
        }
        assert_eq!(one, two);
    }
}
