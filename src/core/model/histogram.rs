//! A decaying histogram over log-linear buckets that are found from the bits of the float, without a logarithm.
//!
//! 32 buckets to each power of two: a bucket is 3.1 % wide at its power of two and 1.6 % just below the next. Only the
//! window that is occupied is stored, a byte a bucket. What comes in is scaled up by its time instead of walking
//! what is stored; once in a few half-lives, or when a bucket is full, all weights are shifted down.

mod quantiles;
#[cfg(test)]
mod tests;

use super::number;

/// Bits of the mantissa that choose the bucket within a power of two.
const SHIFT: u32 = 23 - 5;
/// Least value that is told from smaller ones: a thousandth of the unit.
const LEAST: f32 = 0.001;
/// Largest value that is told from larger ones: 10 TiB, in mebibytes; far above 1000 cores.
const MOST: f32 = 10.0 * 1024.0 * 1024.0;
/// The widest window that is stored: 12 powers of two. What lies below it counts in its lowest bucket.
pub const MAX_BUCKETS: usize = 384;
/// The window grows by whole steps of this many buckets.
const STEP: usize = 8;
/// The part of all weight below which the low end of the window is not worth its bytes.
const TRIFLE: u32 = 128;
/// The weight of a sample at the reference time.
const UNIT: f32 = 16.0;
/// The same as a [`Histogram`] keeps it, with sixteen bits after the point.
const FIXED_UNIT: u32 = 16 << 16;
/// After this many half-lives the reference moves.
const RENEW: f32 = 3.0;

/// A decaying histogram of values of one unit (cores, or mebibytes).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    /// Time at which a sample weighs [`UNIT`]; may lie ahead where samples are many.
    reference: i64,
    /// Sum of the weights.
    total: u32,
    /// What a sample weighs that comes in now, with sixteen bits after the point.
    weight: u32,
    /// Code of the lowest bucket of the window.
    first: u16,
    weights: Box<[u8]>,
}

/// The bucket of a value, clamped to the range; not a number counts as the least.
#[expect(clippy::manual_clamp, reason = "`clamp` leaves what is not a number")]
fn code(value: f32) -> u16 {
    (value.max(LEAST).min(MOST).to_bits() >> SHIFT) as u16
}

/// The lower edge of a bucket.
fn edge(code: u16) -> f32 {
    f32::from_bits(u32::from(code) << SHIFT)
}

/// What a sample weighs so many half-lives after the reference time, with sixteen bits after the point.
fn weight_at(age: f32) -> u32 {
    number::fixed_point(UNIT * number::exp2(age))
}

/// What a weight is rounded up by before it is cut to a whole number. One of the unit or more is rounded to the nearest;
/// one below now up, now down, so that of many samples none counts for more or less than it should. `before` turns by
/// the golden section, which leaves no gaps (Weyl's sequence); replicas of one moment are told apart by their values.
fn rounding(weight: u32, value: f32, before: i64) -> u32 {
    const GOLDEN: u32 = 0x9E37_79B9;
    if weight >= FIXED_UNIT {
        return 1 << 15;
    }
    let turn = number::low_bits(before).wrapping_mul(GOLDEN);
    turn.wrapping_add(value.to_bits().wrapping_mul(0x85EB_CA6B)) >> 16
}

impl Histogram {
    /// Adds one sample seen at `at` (seconds). One that is too old to weigh anything leaves no trace.
    pub fn add(&mut self, value: f32, at: i64, half_life: i64) {
        self.turn_to(at, half_life);
        self.place(value, at, half_life);
    }

    /// Sets what samples weigh from now on: those seen at `at`.
    pub(crate) fn turn_to(&mut self, at: i64, half_life: i64) {
        let half_life = half_life.max(1);
        if self.total == 0 {
            self.reference = at;
        }
        let age = number::seconds(self.reference, at) / number::float(half_life);
        if age >= RENEW {
            return self.renew(at, half_life);
        }
        self.weight = weight_at(age);
    }

    /// Adds one sample that weighs what was last set by [`turn_to`](Self::turn_to); of `at` only the difference from
    /// other samples' matters.
    pub(crate) fn add_now(&mut self, value: f32, at: i64, half_life: i64) {
        if self.weight == 0 {
            self.weigh_anew(at, half_life);
        }
        self.place(value, at, half_life);
    }

    /// What is new, or was read from a snapshot, does not know yet what samples weigh.
    #[cold]
    fn weigh_anew(&mut self, at: i64, half_life: i64) {
        self.turn_to(at, half_life);
    }

    fn place(&mut self, value: f32, at: i64, half_life: i64) {
        let rounding = rounding(self.weight, value, self.reference.wrapping_sub(at));
        self.put(code(value), ((self.weight + rounding) >> 16) as u8, half_life);
    }

    /// Adds one sample that is older than the newest ones, which go on to weigh what they did.
    pub(crate) fn add_late(&mut self, value: f32, at: i64, half_life: i64) {
        let (weight, reference) = (self.weight, self.reference);
        self.add(value, at, half_life);
        let halves = self.reference.saturating_sub(reference) / half_life.max(1);
        self.weight = u32::try_from(halves).map_or(weight, |halves| weight.checked_shr(halves).unwrap_or(0));
    }

    /// Moves the reference to within one half-life of `at`, and sets what samples weigh then.
    #[cold]
    fn renew(&mut self, at: i64, half_life: i64) {
        let halves = at.saturating_sub(self.reference) / half_life;
        self.reference = self.reference.saturating_add(halves.saturating_mul(half_life));
        self.shift(u32::try_from(halves).unwrap_or(u32::MAX));
        self.weight = weight_at(number::seconds(self.reference, at) / half_life as f32);
    }

    /// Divides all weights by 2^halves, rounding to nearest.
    fn shift(&mut self, halves: u32) {
        let half = if (2..32).contains(&halves) { 1_u32 << (halves - 1) } else { 0 };
        // Halved once, an odd weight goes up and down in turn: always up, it would never be forgotten.
        let mut up = if halves == 1 { self.total & 1 } else { 0 };
        self.total = 0;
        for weight in &mut self.weights {
            let left = (u32::from(*weight) + half + up).checked_shr(halves).unwrap_or(0);
            self.total += left;
            *weight = left as u8;
            up ^= u32::from(halves == 1);
        }
        self.trim();
    }

    /// Gives up the ends of the window that hold nothing any more; at the low end, of which no percentile is asked, all
    /// that holds less than [`TRIFLE`], which then counts in the lowest bucket left.
    fn trim(&mut self) {
        let (mut low, mut below) = (0, 0);
        for weight in &self.weights {
            let more = below + u32::from(*weight);
            if more > self.total / TRIFLE {
                break;
            }
            (low, below) = (low + 1, more);
        }
        let high = self.weights.iter().rposition(|weight| *weight > 0).map_or(low, |last| last + 1);
        let (low, high) = (low / STEP * STEP, high.next_multiple_of(STEP).min(self.weights.len()));
        if self.weights.len() < high - low + 2 * STEP {
            return;
        }
        let mut kept: Box<[u8]> = self.weights.get(low..high).unwrap_or_default().into();
        if let Some(lowest) = kept.first_mut() {
            let cut: u32 = self.weights.iter().take(low).map(|&weight| u32::from(weight)).sum();
            *lowest = u8::try_from(u32::from(*lowest) + cut).unwrap_or(u8::MAX);
        }
        self.first += low as u16;
        self.weights = kept;
        self.total = self.weights.iter().map(|&weight| u32::from(weight)).sum();
    }

    /// Adds a weight to a bucket. Also one of 0: whether it is may be a coin's throw, which no branch foretells.
    fn put(&mut self, code: u16, weight: u8, half_life: i64) {
        // What lies below the window wraps to more than any window's length.
        if !self.raise(usize::from(code.wrapping_sub(self.first)), weight) {
            self.make_room(code, weight, half_life);
        }
    }

    /// Adds a weight where there is such a bucket in the window, and room in it.
    fn raise(&mut self, at: usize, weight: u8) -> bool {
        let Some(slot) = self.weights.get_mut(at) else { return false };
        let Some(sum) = slot.checked_add(weight) else { return false };
        *slot = sum;
        self.total += u32::from(weight);
        true
    }

    /// Adds a weight to a bucket that lies outside of the window, or is full.
    #[cold]
    fn make_room(&mut self, code: u16, weight: u8, half_life: i64) {
        if self.index(code).is_none() {
            if weight == 0 {
                return;
            }
            let at = self.widen(code);
            if self.raise(at, weight) {
                return;
            }
        }
        // A full bucket: all weights are halved, those still to come too, as the reference moves with them.
        self.shift(1);
        self.reference = self.reference.saturating_add(half_life);
        self.weight /= 2;
        self.put(code, weight / 2, half_life);
    }

    /// The index of a bucket in the window; `None` outside of it.
    fn index(&self, code: u16) -> Option<usize> {
        // What lies below wraps to more than any window's length.
        let at = usize::from(code.wrapping_sub(self.first));
        (at < self.weights.len()).then_some(at)
    }

    /// Widens or moves the window to hold a bucket, and returns its index.
    #[cold]
    fn widen(&mut self, code: u16) -> usize {
        let step = STEP as u16;
        let round = |code: u16| code / step * step;
        if self.weights.is_empty() {
            self.first = round(code);
            self.weights = vec![0; STEP].into_boxed_slice();
            return usize::from(code - self.first);
        }
        let end = self.first + self.weights.len() as u16;
        let new_end = end.max(round(code) + step);
        let lowest = new_end.saturating_sub(MAX_BUCKETS as u16);
        let new_first = self.first.min(round(code)).max(lowest);
        let mut weights = vec![0_u8; usize::from(new_end - new_first)].into_boxed_slice();
        for (old, &weight) in (self.first..).zip(&self.weights) {
            if let Some(slot) = weights.get_mut(usize::from(old.saturating_sub(new_first))) {
                *slot = slot.saturating_add(weight);
            }
        }
        self.first = new_first;
        self.weights = weights;
        self.total = self.weights.iter().map(|&w| u32::from(w)).sum();
        usize::from(code.saturating_sub(new_first))
    }

    /// Adds what `other` holds, each sample as if it had come here.
    pub fn merge(&mut self, other: &Self, half_life: i64) {
        if other.total == 0 {
            return;
        }
        if self.total == 0 {
            *self = other.clone();
            return;
        }
        // As of the earlier reference, where both weigh most, and then down to where the heaviest bucket fits.
        let earlier = self.reference.min(other.reference);
        let scale =
            |of: &Self| number::exp2(number::seconds(earlier, of.reference) / half_life.max(1) as f32);
        let (mine, theirs) = (scale(self), scale(other));
        let occupied = || (other.first..).zip(&other.weights).filter(|(_, weight)| **weight > 0);
        // Room for all of them first: what is placed then stays where it is.
        for (code, _) in occupied() {
            if self.index(code).is_none() {
                self.widen(code);
            }
        }
        let mut sums: Vec<f32> = self.weights.iter().map(|&weight| f32::from(weight) * mine).collect();
        for (code, &weight) in occupied() {
            if let Some(sum) = sums.get_mut(usize::from(code.saturating_sub(self.first))) {
                *sum += f32::from(weight) * theirs;
            }
        }
        let most = sums.iter().fold(0.0_f32, |most, sum| most.max(*sum));
        let halves = (0..256).find(|halves| most * number::exp2(-(*halves as f32)) <= 255.0).unwrap_or(256);
        self.reference = earlier.saturating_add(i64::from(halves).saturating_mul(half_life));
        let scale = number::exp2(-(halves as f32));
        self.total = 0;
        for (weight, sum) in self.weights.iter_mut().zip(sums) {
            *weight = number::weight(sum * scale);
            self.total += u32::from(*weight);
        }
        self.weight = 0;
    }

    /// Whether nothing that still weighs anything was seen.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.total == 0
    }

    /// How many fresh samples the stored weight amounts to, as of the reference; what binomial bounds count.
    #[must_use]
    pub fn samples(&self, now: i64, half_life: i64) -> f32 {
        let age = number::seconds(self.reference, now) / half_life.max(1) as f32;
        self.total as f32 / (UNIT * number::exp2(age))
    }

    /// The upper edge of the highest bucket that holds anything; 0 where nothing was seen.
    #[must_use]
    pub fn highest(&self) -> f32 {
        (self.first..).zip(&self.weights).filter(|(_, w)| **w > 0).last().map_or(0.0, |(c, _)| edge(c + 1))
    }

    /// The share of the samples at or below `value`, 0..=1; 0 where nothing was seen.
    #[must_use]
    pub fn share_below(&self, value: f32) -> f32 {
        if self.total == 0 {
            return 0.0;
        }
        let limit = code(value);
        let below: u32 =
            (self.first..).zip(&self.weights).filter(|(c, _)| *c <= limit).map(|(_, &w)| u32::from(w)).sum();
        below as f32 / self.total as f32
    }

    /// Lower edge, upper edge and weight of each bucket that holds anything, rising.
    pub fn buckets(&self) -> impl Iterator<Item = (f32, f32, f32)> + '_ {
        (self.first..)
            .zip(&self.weights)
            .filter(|(_, w)| **w > 0)
            .map(|(c, &w)| (edge(c), edge(c + 1), f32::from(w) / UNIT))
    }

    /// Bytes on the heap.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        std::mem::size_of_val(&*self.weights)
    }

    /// Reference, code of the first bucket and weights, for the snapshot: the window cut to what is occupied.
    pub(crate) fn parts(&self) -> (i64, u16, &[u8]) {
        let low = self.weights.iter().position(|w| *w > 0).unwrap_or(0);
        let high = self.weights.iter().rposition(|w| *w > 0).map_or(0, |i| i + 1);
        (self.reference, self.first + low as u16, self.weights.get(low..high).unwrap_or_default())
    }

    /// The histogram of such parts. `None` where they are none of [`parts`](Self::parts).
    pub(crate) fn from_parts(reference: i64, first: u16, weights: &[u8]) -> Option<Self> {
        if weights.is_empty() {
            return Some(Self::default());
        }
        let last = usize::from(first) + weights.len() - 1;
        if weights.len() > MAX_BUCKETS || first < code(LEAST) || last > usize::from(code(MOST)) {
            return None;
        }
        let total = weights.iter().map(|&w| u32::from(w)).sum();
        Some(Self { reference, total, weight: 0, first, weights: weights.into() })
    }
}
