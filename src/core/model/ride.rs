//! Evidence that memory follows its limit: page cache, or a heap that takes a share of whatever limit there is.
//!
//! Such memory lies right below the limit in force and no kill comes of it. Raised, the limit is filled again. So a peak at
//! a second, higher limit is evidence enough, and else four periods of six hours at one limit.

use super::half::Half;

/// The share of the limit from which on a peak rides it.
const RIDING: f32 = 0.97;
/// Evidence from which on memory follows its limit.
pub(crate) const FOLLOWS: u8 = 4;
/// The most evidence that is kept: without a peak at the limit it is gone after two days.
pub(crate) const MOST: u8 = 8;
/// Evidence of a peak that rides a higher limit than before.
const HIGHER: u8 = 3;
/// A limit that is higher by less than this factor is the one of before.
const RAISED: f32 = 1.1;
/// Whoever waits for memory for a larger share of the time is short of it, and does not hold it for nothing.
const STALLED: f32 = 0.05;

/// Evidence of one series, in mebibytes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Ride {
    /// The limit that was ridden last; 0 before the first.
    pub(crate) limit: Half,
    /// See [`FOLLOWS`].
    pub(crate) evidence: u8,
    /// A peak rode the limit in the six hours under way.
    pub(crate) now: bool,
}

impl Ride {
    /// Learns from a sample and the limit in force.
    pub(crate) fn learn(&mut self, value: f32, limit: f32, stalled: f32) {
        if value < limit * RIDING || stalled > STALLED {
            return;
        }
        if self.limit.is_some() && limit > self.limit.get() * RAISED {
            self.add(HIGHER);
        } else if !self.now {
            self.add(1);
        }
        (self.limit, self.now) = (Half::known(limit), true);
    }

    fn add(&mut self, evidence: u8) {
        self.evidence = self.evidence.saturating_add(evidence).min(MOST);
    }

    /// Ends so many periods of six hours: evidence that was not renewed fades.
    pub(crate) fn turn(&mut self, periods: i64) {
        let idle = periods.saturating_sub(i64::from(self.now));
        self.evidence = self.evidence.saturating_sub(u8::try_from(idle).unwrap_or(u8::MAX));
        if self.evidence == 0 {
            self.limit = Half::default();
        }
        self.now = false;
    }
}
