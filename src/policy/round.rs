//! Rounding: to steps, never below the need, so that a steady workload's figures do not change for days.

use crate::units::{Bytes, Cores, MIB};

/// The next value with two significant figures at or above `value`.
fn two_figures(value: u64) -> u64 {
    let mut step = 1_u64;
    while value.div_ceil(step) > 99 {
        step = step.saturating_mul(10);
    }
    value.div_ceil(step).saturating_mul(step)
}

/// CPU rounded up to two significant figures of millicores.
#[must_use]
pub fn round_up_cores(cores: Cores) -> Cores {
    Cores::from_milli(two_figures(cores.to_milli()))
}

/// Memory rounded up to a step of 1/64 to 1/32 of it, in whole mebibytes: two significant figures where a figure is a
/// power of two's.
#[must_use]
pub fn round_up_bytes(bytes: Bytes) -> Bytes {
    let mib = bytes.0.div_ceil(MIB);
    let step = 1_u64 << (64 - mib.leading_zeros()).saturating_sub(6);
    Bytes::from_mib(mib.div_ceil(step).saturating_mul(step))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_below_the_need_and_in_steps() {
        for milli in [0, 1, 9, 10, 99, 100, 101, 999, 1001, 12_345] {
            let rounded = round_up_cores(Cores::from_milli(milli)).to_milli();
            assert!(rounded >= milli && rounded as f64 <= milli as f64 * 1.1 + 0.5, "{milli} {rounded}");
            assert_eq!(round_up_cores(Cores::from_milli(rounded)).to_milli(), rounded);
        }
        assert_eq!(round_up_cores(Cores(0.1234)).to_milli(), 130);
        for mib in [0, 1, 31, 32, 33, 63, 64, 65, 412, 1000, 5000, 123_456] {
            let rounded = round_up_bytes(Bytes::from_mib(mib));
            assert!(rounded.0 >= mib * MIB && rounded.0 <= mib * MIB / 32 * 33, "{mib} {rounded}");
            assert_eq!(round_up_bytes(rounded), rounded);
        }
        assert_eq!(round_up_bytes(Bytes::from_mib(410)), Bytes::from_mib(416));
        assert!(round_up_bytes(Bytes(u64::MAX)).0 > u64::MAX / 2);
    }
}
