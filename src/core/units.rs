//! Cores, bytes and time as types of their own, and Kubernetes quantities in and out.
//!
//! Pure. Knows the text form of a quantity and nothing else of Kubernetes.

mod quantity;
#[cfg(test)]
mod tests;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use quantity::{ParseQuantityError, Quantity};

/// One mebibyte, in bytes.
pub const MIB: u64 = 1 << 20;
/// One gibibyte, in bytes.
pub const GIB: u64 = 1 << 30;

/// Returns a count with its noun, in the singular or in the plural: `1 pod`, `3 pods`.
#[must_use]
pub fn counted(count: usize, noun: &str) -> String {
    let ending = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{ending}")
}

/// CPU, in cores. Finite and not negative wherever a function of this crate returns it.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cores(pub f64);

impl Cores {
    /// Whole millicores, as cores.
    #[must_use]
    pub fn from_milli(milli: u64) -> Self {
        Self(milli as f64 / 1000.0)
    }

    /// Rounded up to whole millicores, the finest step that a pod's CPU resources take.
    /// Not a number and what is negative count as 0; what is too large saturates.
    #[must_use]
    #[expect(clippy::cast_sign_loss, reason = "clamped to 0 and above before the cast, which saturates")]
    pub fn to_milli(self) -> u64 {
        // The small allowance keeps 0.1 cores, which no float holds exactly, from becoming 101m.
        (self.0 * 1000.0 - 1e-6).ceil().max(0.0) as u64
    }

    /// Rounded up to whole millicores, as [`to_milli`](Self::to_milli) does.
    #[must_use]
    pub fn ceil_milli(self) -> Self {
        Self::from_milli(self.to_milli())
    }

    /// Rounded down to whole millicores; not a number and what is negative become 0.
    #[must_use]
    pub fn floor_milli(self) -> Self {
        // The same allowance as for rounding up.
        Self((self.0 * 1000.0 + 1e-6).floor().max(0.0) / 1000.0)
    }
}

impl fmt::Display for Cores {
    /// As Kubernetes writes it: `180m`, `2`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let milli = self.to_milli();
        if milli.is_multiple_of(1000) {
            f.pad(&(milli / 1000).to_string())
        } else {
            f.pad(&format!("{milli}m"))
        }
    }
}

/// Memory, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Bytes(pub u64);

impl Bytes {
    /// Whole mebibytes, as bytes; what is too large saturates.
    #[must_use]
    pub const fn from_mib(mib: u64) -> Self {
        Self(mib.saturating_mul(MIB))
    }

    /// Rounded up to whole bytes. Not a number and what is negative count as 0; what is too large saturates.
    #[must_use]
    #[expect(clippy::cast_sign_loss, reason = "clamped to 0 and above before the cast, which saturates")]
    pub fn from_f64(bytes: f64) -> Self {
        Self(bytes.ceil().max(0.0) as u64)
    }

    /// As a float, exact up to 2^53 bytes (8 PiB).
    #[must_use]
    pub fn as_f64(self) -> f64 {
        self.0 as f64
    }
}

impl fmt::Display for Bytes {
    /// As Kubernetes writes it, with the largest binary suffix that is exact from mebibytes up; what is no whole
    /// number of mebibytes is rounded to one (`412Mi`), and below one mebibyte to kibibytes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self.0 {
            0 => "0".to_owned(),
            b if b < MIB => format!("{}Ki", b.div_ceil(1024)),
            b => match b.div_ceil(MIB) {
                mib if mib.is_multiple_of(1 << 20) => format!("{}Ti", mib >> 20),
                mib if mib.is_multiple_of(1 << 10) => format!("{}Gi", mib >> 10),
                mib => format!("{mib}Mi"),
            },
        };
        f.pad(&text)
    }
}

/// A point in time, in whole seconds: since 1970 UTC for what is live, since its own start for a trace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Seconds from `earlier` to this one; negative if it is the later of the two. Saturates.
    #[must_use]
    pub const fn seconds_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// This point moved by `seconds`. Saturates.
    #[must_use]
    pub const fn plus(self, seconds: i64) -> Self {
        Self(self.0.saturating_add(seconds))
    }
}
