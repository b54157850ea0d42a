//! An amount in 16 bits: what a series keeps many of.
//!
//! Six bits of exponent and ten of mantissa: steps of 0.1 %, from 2^-20 to 2^44, in cores or mebibytes and in sums of
//! them. What is smaller is 0, what is larger the largest.

/// Bits of a float's mantissa that are left out.
const SHIFT: u32 = 23 - 10;
/// What a float of 2^-20 has above them, less one: 0 is for 0.
const LEAST: u32 = ((127 - 20) << 10) - 1;
/// The most that is kept.
const MOST: f32 = 17_575_006_175_232.0;

/// An amount that is not negative, in 16 bits; see the module.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Half(u16);

/// The nearest value that can be kept; for 0, and for what is not a number, the step below the least. Not by `clamp`,
/// which leaves what is not a number.
fn within(value: f32) -> f32 {
    value.max(f32::from_bits(LEAST << SHIFT)).min(MOST)
}

impl Half {
    /// The nearest one; not a number counts as 0.
    pub(crate) fn new(value: f32) -> Self {
        Self::of_bits(within(value).to_bits() + (1 << (SHIFT - 1)))
    }

    /// The nearest one that is not 0: where 0 stands for what is unknown.
    pub(crate) fn known(value: f32) -> Self {
        Self(Self::new(value).0.max(1))
    }

    /// The same with `more` added, rounded up or down at random so that many small amounts are not lost: by the 13 low
    /// bits of `dither`. Of two pairs, one in both amounts not less than the other, the sums are so too.
    pub(crate) fn plus(self, more: f32, dither: u32) -> Self {
        let sum = within(self.get() + more);
        Self::of_bits(sum.to_bits() + (dither & ((1 << SHIFT) - 1)))
    }

    /// Of the bits of a float that is [`within`].
    fn of_bits(bits: u32) -> Self {
        Self((bits >> SHIFT).wrapping_sub(LEAST) as u16)
    }

    /// As a float.
    pub(crate) fn get(self) -> f32 {
        let bits = (u32::from(self.0) + LEAST) << SHIFT;
        // Chosen as a whole number, which takes no branch.
        f32::from_bits(if self.0 == 0 { 0 } else { bits })
    }

    /// Whether it is more than 0.
    pub(crate) fn is_some(self) -> bool {
        self.0 > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_keep_three_digits() {
        for value in [1e-5_f32, 0.001, 0.37, 1.0, 1.9999, 63.0, 1e6, 8e12] {
            let kept = Half::new(value).get();
            assert!((kept / value - 1.0).abs() < 0.0006, "{value}: {kept}");
            assert_eq!(Half::new(kept).get().to_bits(), kept.to_bits());
        }
        for (value, kept) in [(0.0, 0.0), (-1.0, 0.0), (f32::NAN, 0.0), (1e-9, 0.0)] {
            assert!((Half::new(value).get() - kept).abs() < f32::EPSILON, "{value}");
        }
        assert!(Half::new(f32::INFINITY).get() > 1.7e13);
        assert!(Half::known(0.0).is_some() && !Half::new(0.0).is_some());
        let least = Half::known(0.0);
        assert_eq!(Half::new(least.get()), least, "the least is still known when it is read back");
    }

    #[test]
    fn many_small_amounts_are_not_lost() {
        let mut sum = Half::new(100.0);
        for i in 0..100_000_u32 {
            sum = sum.plus(0.001, i.wrapping_mul(0x9E37_79B1) >> 19);
        }
        assert!((sum.get() - 200.0).abs() < 6.0, "{}", sum.get());
    }
}
