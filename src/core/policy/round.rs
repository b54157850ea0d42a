//! Rounding: to steps, never below the need, so that a steady workload's figures do not change for days.

use crate::units::{Bytes, Cores, MIB};

/// The next multiple, at or above `value`, of the largest of 1, 2, 5, 10, 20, 50 … that is at most 2 % of it.
fn up(value: u64) -> u64 {
    let most = value / 50;
    let Some(digits) = most.checked_ilog10() else { return value };
    let decade = 10_u64.pow(digits);
    let step = match most / decade {
        1 => 1,
        2..=4 => 2,
        _ => 5,
    } * decade;
    value.div_ceil(step).saturating_mul(step)
}

/// CPU rounded up to a round number of millicores, by at most 2 % or 1m.
#[must_use]
pub fn round_up_cores(cores: Cores) -> Cores {
    Cores::from_milli(up(cores.to_milli()))
}

/// Memory rounded up to a round number of mebibytes, by at most 2 % or 1Mi.
#[must_use]
pub fn round_up_bytes(bytes: Bytes) -> Bytes {
    Bytes::from_mib(up(bytes.0.div_ceil(MIB)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_below_the_need_and_in_steps() {
        for milli in [0, 1, 9, 10, 99, 100, 101, 999, 1001, 12_345] {
            let rounded = round_up_cores(Cores::from_milli(milli)).to_milli();
            assert!(rounded >= milli && rounded as f64 <= milli as f64 * 1.02 + 1.0, "{milli} {rounded}");
            assert_eq!(round_up_cores(Cores::from_milli(rounded)).to_milli(), rounded);
        }
        assert_eq!(round_up_cores(Cores(0.1234)).to_milli(), 124);
        for mib in [0, 1, 31, 32, 33, 63, 64, 65, 412, 1000, 5000, 123_456] {
            let rounded = round_up_bytes(Bytes::from_mib(mib));
            assert!(rounded.0 >= mib * MIB && rounded.0 <= (mib + mib / 50) * MIB, "{mib} {rounded}");
            assert_eq!(round_up_bytes(rounded), rounded);
        }
        assert_eq!(round_up_bytes(Bytes::from_mib(411)), Bytes::from_mib(415));
        assert!(round_up_bytes(Bytes(u64::MAX)).0 > u64::MAX / 2);
    }
}
