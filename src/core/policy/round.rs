//! Rounding: to steps, never below the need, so that a steady workload's figures do not change for days.

use crate::units::{Bytes, Cores, MIB};

/// The largest of 1, 2, 5, 10, 20, 50 … that is at most 2 % of `value`; 1 where none is.
fn step(value: u64) -> u64 {
    let most = value / 50;
    let Some(digits) = most.checked_ilog10() else { return 1 };
    let decade = 10_u64.pow(digits);
    let of_decade = match most / decade {
        1 => 1,
        2..=4 => 2,
        _ => 5,
    };
    of_decade * decade
}

/// The next multiple of its step at or above `value`.
fn up(value: u64) -> u64 {
    let step = step(value);
    value.div_ceil(step).saturating_mul(step)
}

/// The middle of all values that are rounded up to `rounded`, or within half a step of it.
fn middle(rounded: u64) -> f64 {
    (rounded as f64 - step(rounded) as f64 / 2.0).max(0.0)
}

/// The middle of the needs that [`round_up_cores`] answers with `rounded`, in cores.
#[must_use]
pub(super) fn middle_cores(rounded: Cores) -> f64 {
    middle(rounded.to_milli()) / 1000.0
}

/// The middle of the needs that [`round_up_bytes`] answers with `rounded`, in bytes.
#[must_use]
pub(super) fn middle_bytes(rounded: Bytes) -> f64 {
    middle(rounded.0.div_ceil(MIB)) * MIB as f64
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

    #[test]
    fn the_middle_of_a_step_is_the_mean_need() {
        // A bound that is set by the request itself would lie 1 % too high on average.
        let needs = 1000..50_000_u64;
        let mean = needs.clone().map(|milli| {
            let need = Cores::from_milli(milli);
            middle_cores(round_up_cores(need)) / need.0
        });
        let mean = mean.sum::<f64>() / needs.clone().count() as f64;
        assert!((mean - 1.0).abs() < 5e-4, "{mean}");
        let mean = needs.clone().map(|mib| {
            let need = Bytes::from_mib(mib);
            middle_bytes(round_up_bytes(need)) / need.as_f64()
        });
        let mean = mean.sum::<f64>() / needs.count() as f64;
        assert!((mean - 1.0).abs() < 5e-4, "{mean}");
        assert!(middle_cores(Cores(0.0)).abs() < f64::EPSILON);
    }
}
