//! Kubernetes quantities (`180m`, `1.5Gi`, `2e3`), exact.
//!
//! The grammar is that of `k8s.io/apimachinery/pkg/api/resource`: a signed decimal number, then a binary suffix, a
//! decimal suffix or a decimal exponent. Values are kept in nano-units in an `i128`, which holds every legal
//! quantity without loss; what is finer than a nano-unit is rounded up, as the API server does.

use std::fmt;
use std::str::FromStr;

use super::{Bytes, Cores};

const NANO: i128 = 1_000_000_000;
/// Kubernetes holds no quantity beyond 2^63 - 1 whole units.
const MAX: i128 = i64::MAX as i128 * NANO;

/// A Kubernetes quantity, exact to the nano-unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Quantity {
    nano: i128,
}

/// Why a text is no quantity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a quantity ({why}); write it like 250m, 2, 512Mi or 1.5Gi")]
pub struct ParseQuantityError {
    text: String,
    why: &'static str,
}

impl Quantity {
    /// So many thousandths of a unit.
    #[must_use]
    pub fn from_milli(milli: u64) -> Self {
        Self { nano: i128::from(milli) * 1_000_000 }
    }

    /// So many bytes.
    #[must_use]
    pub fn from_bytes(bytes: Bytes) -> Self {
        Self { nano: i128::from(bytes.0) * NANO }
    }

    /// In cores.
    #[must_use]
    pub fn as_cores(self) -> Cores {
        // Whole and rest apart: one division of the i128 would lose the low digits of large values.
        Cores((self.nano / NANO) as f64 + (self.nano % NANO) as f64 / NANO as f64)
    }

    /// In whole bytes, rounded up; `None` where negative or beyond 2^64 - 1.
    #[must_use]
    pub fn as_bytes(self) -> Option<Bytes> {
        if self.nano < 0 {
            return None;
        }
        u64::try_from(self.nano / NANO + i128::from(self.nano % NANO != 0)).ok().map(Bytes)
    }

    /// In billionths of a unit, exact.
    #[must_use]
    pub fn as_nano(self) -> i128 {
        self.nano
    }

    /// True below zero.
    #[must_use]
    pub fn is_negative(self) -> bool {
        self.nano < 0
    }
}

impl FromStr for Quantity {
    type Err = ParseQuantityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fail = |why| ParseQuantityError { text: text.chars().take(64).collect(), why };
        let (negative, rest) = match text.as_bytes().first() {
            Some(b'-') => (true, text.get(1..).unwrap_or("")),
            Some(b'+') => (false, text.get(1..).unwrap_or("")),
            _ => (false, text),
        };
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, suffix) = rest.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() && fraction.is_empty() {
            return Err(fail("no digits"));
        }
        if fraction.contains('.') {
            return Err(fail("two points"));
        }
        let nano = scale(suffix)
            .ok_or_else(|| fail("unknown suffix"))?
            .apply(whole, fraction)
            .filter(|nano| *nano <= MAX)
            .ok_or_else(|| fail("out of range"))?;
        Ok(Self { nano: if negative { -nano } else { nano } })
    }
}

/// What a suffix multiplies the number by: `2^binary x 10^decimal`.
struct Scale {
    binary: u32,
    decimal: i32,
}

fn scale(suffix: &str) -> Option<Scale> {
    let decimal = |decimal| Some(Scale { binary: 0, decimal });
    let binary = |binary| Some(Scale { binary, decimal: 0 });
    match suffix {
        "" => decimal(0),
        "n" => decimal(-9),
        "u" => decimal(-6),
        "m" => decimal(-3),
        "k" => decimal(3),
        "M" => decimal(6),
        "G" => decimal(9),
        "T" => decimal(12),
        "P" => decimal(15),
        "E" => decimal(18),
        "Ki" => binary(10),
        "Mi" => binary(20),
        "Gi" => binary(30),
        "Ti" => binary(40),
        "Pi" => binary(50),
        "Ei" => binary(60),
        _ => {
            let exponent = suffix.strip_prefix(['e', 'E'])?;
            // Go's parser takes one sign and digits; i32's takes the same.
            decimal(exponent.parse::<i32>().ok().filter(|e| e.unsigned_abs() <= 40)?)
        }
    }
}

impl Scale {
    /// The number's value in nano-units, rounded up; `None` when it does not fit.
    fn apply(&self, whole: &str, fraction: &str) -> Option<i128> {
        let digits = whole.trim_start_matches('0').len() + fraction.len();
        // 28 digits and a factor of at most 2^60 or 10^10 stay below 2^127; longer ones are no real quantity.
        if digits > 28 {
            return None;
        }
        let mut value: i128 = 0;
        for digit in whole.bytes().chain(fraction.bytes()) {
            value = value.checked_mul(10)?.checked_add(i128::from(digit - b'0'))?;
        }
        value = value.checked_mul(1_i128.checked_shl(self.binary)?)?;
        let power = self.decimal + 9 - i32::try_from(fraction.len()).ok()?;
        let factor = 10_i128.checked_pow(power.unsigned_abs());
        if power >= 0 {
            value.checked_mul(factor?)
        } else {
            // A divisor too large for the type leaves less than one nano-unit of any value that fits.
            let Some(divisor) = factor else { return Some(i128::from(value != 0)) };
            Some(value / divisor + i128::from(value % divisor != 0))
        }
    }
}

impl fmt::Display for Quantity {
    /// In whole units, or with the coarsest decimal suffix that is exact (`1500m`).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (factor, suffix) in [(NANO, ""), (1_000_000, "m"), (1_000, "u"), (1, "n")] {
            if self.nano % factor == 0 {
                return f.pad(&format!("{}{suffix}", self.nano / factor));
            }
        }
        Ok(())
    }
}
