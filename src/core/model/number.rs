//! The few conversions between number types that the model makes, each with its range stated.

/// Whole numbers that are added to a float of this size end up in its lowest bits, as it has none after the point.
const WHOLE: f32 = 12_582_912.0;
/// The largest number for which that is so, above and below.
const MOST_WHOLE: i64 = 1 << 22;

/// Seconds between two times, as the model's working type; exact below 2^24 s (194 days), else to 2^-24.
pub(crate) fn seconds(from: i64, to: i64) -> f32 {
    to.checked_sub(from).map_or_else(|| far(to.saturating_sub(from)), float)
}

/// A whole number as a float. Not a cast but where it must be: that writes a part of a register, and so waits for
/// whatever was computed in it before.
pub(crate) fn float(value: i64) -> f32 {
    if (-MOST_WHOLE..=MOST_WHOLE).contains(&value) {
        return f32::from_bits(WHOLE.to_bits().wrapping_add(low_bits(value))) - WHOLE;
    }
    far(value)
}

#[cold]
fn far(value: i64) -> f32 {
    value as f32
}

/// A not negative float as an index: rounded down, saturating; not a number is 0.
#[expect(clippy::cast_sign_loss, reason = "clamped to 0 and above; the cast saturates")]
pub(crate) fn index(value: f32) -> usize {
    value.max(0.0) as usize
}

/// The least whole number that is not less than a float; saturating; not a number is 0.
#[expect(clippy::cast_sign_loss, reason = "the cast saturates")]
pub(crate) fn whole_above(value: f32) -> u32 {
    let cut = value as u32;
    cut.saturating_add(u32::from(value > cut as f32))
}

/// A float as a weight: rounded, at least 0, at most 255.
#[expect(clippy::cast_sign_loss, reason = "clamped to 0 and above; the cast saturates")]
pub(crate) fn weight(value: f32) -> u8 {
    (value + 0.5).max(0.0) as u8
}

/// A float with sixteen bits after the point, rounded down: at least 0, at most 255; not a number is 0.
#[expect(clippy::cast_sign_loss, reason = "the cast saturates")]
pub(crate) fn fixed_point(value: f32) -> u32 {
    (value.min(255.0) * 65_536.0) as u32
}

/// The low half of a whole number, to make a dither of.
#[expect(clippy::cast_sign_loss, reason = "any bits will do")]
pub(crate) fn low_bits(value: i64) -> u32 {
    value as u32
}

/// The remainder of a slot number in a ring of `size`, as an index.
pub(crate) fn ring(slot: i64, size: i64) -> usize {
    slot.rem_euclid(size.max(1)) as usize
}

/// 2^x for -126 <= x <= 127, to 0.01 %, by the bits of the float and a polynomial of degree 3: the same on every
/// machine, which the platform's `exp2` is not.
pub(crate) fn exp2(x: f32) -> f32 {
    let x = x.clamp(-126.0, 127.0);
    // Not `floor`: without SSE 4.1 it is a call, which takes longer than all the rest.
    let moved = x + WHOLE;
    let near = moved - WHOLE;
    let above = near > x;
    // Chosen as a whole number, which takes no branch.
    let part = x - (near - f32::from_bits(if above { 1.0_f32.to_bits() } else { 0 }));
    let scale = f32::from_bits(moved.to_bits().wrapping_add(127 - u32::from(above)) << 23);
    scale * (1.0 + part * (0.695_556_8 + part * (0.226_173_5 + part * 0.078_269_7)))
}

/// Whether a time lies in a slot of so many seconds, which are counted from time 0: cheaper than the slot's number.
pub(crate) fn is_in_slot(at: i64, slot: i64, length: i64) -> bool {
    let since = slot.checked_mul(length).and_then(|start| at.checked_sub(start));
    since.is_some_and(|since| (0..length).contains(&since))
}

/// x^(quarters / 4) for x >= 0 and quarters from 0 to 4, by square roots: exact to the last bit on every machine.
pub(crate) fn quarter_power(x: f32, quarters: u8) -> f32 {
    let root = x.sqrt();
    match quarters {
        0 => 1.0,
        1 => root.sqrt(),
        2 => root,
        3 => root * root.sqrt(),
        _ => x,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_of_two() {
        for x in [-20.0_f32, -1.5, -0.25, 0.0, 0.3, 0.5, 0.99, 1.0, 12.75] {
            assert!((exp2(x) / x.exp2() - 1.0).abs() < 2e-4, "{x}: {} {}", exp2(x), x.exp2());
        }
        assert!(exp2(f32::NEG_INFINITY) > 0.0);
        assert!(exp2(f32::INFINITY).is_finite());
    }

    #[test]
    fn whole_numbers_as_floats() {
        for value in [0, 1, -1, 299, MOST_WHOLE, -MOST_WHOLE, MOST_WHOLE + 1, i64::MAX, i64::MIN] {
            assert_eq!(float(value).to_bits(), (value as f32).to_bits(), "{value}");
        }
        assert!(seconds(i64::MIN, 0) > 9e18 && seconds(i64::MAX, i64::MIN) < -9e18);
        for (value, whole) in [(-1.0, 0), (0.0, 0), (0.1, 1), (2.0, 2), (1e30, u32::MAX), (f32::NAN, 0)] {
            assert_eq!(whole_above(value), whole, "{value}");
        }
    }

    #[test]
    fn slots() {
        for (at, slot) in [(0, 0), (299, 0), (300, 1), (-1, -1), (-300, -1), (-301, -2)] {
            assert!(is_in_slot(at, slot, 300) && !is_in_slot(at, slot + 1, 300), "{at}");
        }
        assert!(!is_in_slot(0, i64::MIN, 300) && !is_in_slot(i64::MIN, 1, 300));
    }

    #[test]
    fn quarter_powers() {
        for (quarters, exponent) in [(0, 0.0), (1, 0.25), (2, 0.5), (3, 0.75), (4, 1.0)] {
            assert!((quarter_power(7.0, quarters) - 7.0_f32.powf(exponent)).abs() < 1e-5);
        }
    }
}
