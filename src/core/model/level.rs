//! The simple rules that propose a level.

use std::fmt;

/// The percentiles that rules ask for, rising, as shares.
pub(crate) const PERCENTILES: [f32; 3] = [0.8, 0.9, 0.98];

/// A rule that proposes a level from what was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Level {
    /// The maximum of the last quarter of an hour.
    QuarterHour,
    /// The maximum of the last hour.
    Hour,
    /// The maximum of the last four hours.
    FourHours,
    /// The maximum of the last quarter of an hour, and of this half hour and the next as they were a day ago.
    SameTime,
    /// The same with the next four half hours of a day ago.
    Ahead,
    /// The 80th percentile of the decaying histogram.
    P80,
    /// The 90th percentile.
    P90,
    /// The 98th percentile.
    P98,
}

impl Level {
    /// Which of [`PERCENTILES`] it is, if one.
    pub(crate) fn percentile(self) -> Option<usize> {
        match self {
            Self::P80 => Some(0),
            Self::P90 => Some(1),
            Self::P98 => Some(2),
            _ => None,
        }
    }
}

impl fmt::Display for Level {
    /// As it reads in a reason.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::QuarterHour => "maximum of the last quarter of an hour",
            Self::Hour => "maximum of the last hour",
            Self::FourHours => "maximum of the last four hours",
            Self::SameTime => "maximum at this time yesterday and of the last quarter of an hour",
            Self::Ahead => {
                "maximum of the same and the next two hours yesterday and of the last quarter of an hour"
            }
            Self::P80 => "80th percentile",
            Self::P90 => "90th percentile",
            Self::P98 => "98th percentile",
        })
    }
}
