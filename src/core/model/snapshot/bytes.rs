//! Numbers to bytes and back, in lanes, with the place of what is wrong.
//!
//! Each lane holds numbers of one kind and is compressed by itself: what is alike stays together.

use super::SnapshotError;

/// Times further from 0 than this are absurd: 35 million years.
const LAST: i64 = 1 << 50;
/// Least exponent of two that is told from 0.
const LEAST: u32 = 127 - 40;

/// What a number is one of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lane {
    /// Counts, times and choices.
    Count,
    /// Amounts and sums of them.
    Amount,
    /// Shortfalls.
    Short,
    /// Recent maxima.
    Recent,
    /// Weights of a histogram.
    Weight,
}

/// How many lanes there are.
pub(super) const LANES: usize = 5;

/// The logarithm of an amount that is not negative, in steps of 2^`fine` to each power of two; 0 for 0.
pub(super) fn log(value: f32, fine: u32) -> i64 {
    let bits = value.max(0.0).to_bits().saturating_add(1 << (22 - fine)) >> (23 - fine);
    i64::from(bits.saturating_sub(LEAST << fine))
}

/// The amount of such a logarithm; `None` where there is none.
pub(super) fn amount(log: i64, fine: u32) -> Option<f32> {
    if log == 0 {
        return Some(0.0);
    }
    let steps = u32::try_from(log).ok()?.checked_add(LEAST << fine)?;
    let value = f32::from_bits(steps.checked_mul(1 << (23 - fine))?);
    (value.is_finite() && value.is_sign_positive()).then_some(value)
}

/// Writes numbers.
#[derive(Default)]
pub(super) struct Writer {
    pub(super) lanes: [Vec<u8>; LANES],
}

impl Writer {
    pub(super) fn unsigned(&mut self, lane: Lane, mut value: u64) {
        let bytes = &mut self.lanes[lane as usize];
        while value >= 0x80 {
            bytes.push((value as u8) | 0x80);
            value >>= 7;
        }
        bytes.push(value as u8);
    }

    pub(super) fn count(&mut self, value: usize) {
        self.unsigned(Lane::Count, value as u64);
    }

    pub(super) fn signed(&mut self, lane: Lane, value: i64) {
        let value = value.clamp(-LAST, LAST);
        self.unsigned(lane, (value.unsigned_abs() << 1) | u64::from(value < 0));
    }

    /// A number as its step from the one before, which it replaces.
    pub(super) fn step(&mut self, lane: Lane, before: &mut i64, value: i64) {
        self.signed(lane, value - *before);
        *before = value;
    }
}

/// Reads numbers.
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    /// Where each lane's next byte is, and where it ends.
    lanes: [(usize, usize); LANES],
}

impl<'a> Reader<'a> {
    /// Of lanes that lie one after the other and end there.
    pub(super) fn new(bytes: &'a [u8], ends: [usize; LANES]) -> Self {
        let mut start = 0;
        Self { bytes, lanes: ends.map(|end| (std::mem::replace(&mut start, end), end)) }
    }

    pub(super) fn wrong(&self, lane: Lane, what: &'static str) -> SnapshotError {
        SnapshotError::Content { at: self.lanes[lane as usize].0, what }
    }

    fn byte(&mut self, lane: Lane) -> Result<u8, SnapshotError> {
        let (at, end) = self.lanes[lane as usize];
        let byte = self.bytes.get(at).filter(|_| at < end).copied();
        self.lanes[lane as usize].0 += usize::from(byte.is_some());
        byte.ok_or_else(|| self.wrong(lane, "it ends"))
    }

    pub(super) fn unsigned(&mut self, lane: Lane) -> Result<u64, SnapshotError> {
        let mut value = 0_u64;
        for shift in (0..63).step_by(7) {
            let byte = self.byte(lane)?;
            value |= u64::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                // The shortest form only, so that what is read writes the same bytes.
                let padded = byte == 0 && shift > 0;
                return if padded { Err(self.wrong(lane, "a padded number")) } else { Ok(value) };
            }
        }
        Err(self.wrong(lane, "a number too long"))
    }

    pub(super) fn u32(&mut self) -> Result<u32, SnapshotError> {
        let value = self.unsigned(Lane::Count)?;
        u32::try_from(value).map_err(|_| self.wrong(Lane::Count, "a number too large"))
    }

    /// A small number, at most `most`.
    pub(super) fn up_to(&mut self, lane: Lane, most: u64) -> Result<usize, SnapshotError> {
        let value = self.unsigned(lane)?;
        usize::try_from(value)
            .ok()
            .filter(|_| value <= most)
            .ok_or_else(|| self.wrong(lane, "a number too large"))
    }

    pub(super) fn signed(&mut self, lane: Lane) -> Result<i64, SnapshotError> {
        let value = self.unsigned(lane)?;
        let size = i64::try_from(value >> 1).ok().filter(|size| *size <= LAST);
        let size = size.ok_or_else(|| self.wrong(lane, "an absurd number"))?;
        match (value & 1, size) {
            (0, _) => Ok(size),
            (_, 0) => Err(self.wrong(lane, "a negative zero")),
            _ => Ok(-size),
        }
    }

    /// What [`Writer::step`] wrote.
    pub(super) fn step(&mut self, lane: Lane, before: &mut i64) -> Result<i64, SnapshotError> {
        *before = before.saturating_add(self.signed(lane)?);
        Ok(*before)
    }

    /// The amount of a logarithm.
    pub(super) fn amount(&self, lane: Lane, log: i64, fine: u32) -> Result<f32, SnapshotError> {
        amount(log, fine).ok_or_else(|| self.wrong(lane, "no amount"))
    }

    /// How many bytes are left in a lane.
    pub(super) fn left(&self, lane: Lane) -> usize {
        let (at, end) = self.lanes[lane as usize];
        end - at
    }

    pub(super) fn end(&self) -> Result<(), SnapshotError> {
        match self.lanes.iter().find(|(at, end)| at < end) {
            Some((at, _)) => {
                Err(SnapshotError::Content { at: *at, what: "something follows the last series" })
            }
            None => Ok(()),
        }
    }
}
