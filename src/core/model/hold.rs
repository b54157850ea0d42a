//! Rent or buy: when a level that is held is worth changing.
//!
//! A shrink waits until what has been wasted by waiting comes to the price of a change, as in the ski-rental problem
//! (Karlin et al., 1988: never more than twice the cost of one who knew the future): a large gap closes soon, a small one
//! late, and a dip that passes costs nothing. What is then shrunk to is the highest level that was wanted while waiting.
//! Growth is taken as soon as it is worth mentioning, or, where an underrun has a price too, waits in the same way for
//! what was short meanwhile; large growth waits for nothing.

use super::half::Half;

/// Growth by more than this share of what is held is taken at once, whatever a change costs.
const AT_ONCE: f32 = 0.5;

/// What a change is worth.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HoldRule {
    /// Growth by less than this share of what is held is not made.
    pub grow: f32,
    /// A level wanted that is lower by less than this share of what is held wastes nothing.
    pub shrink: f32,
    /// What a change costs: amount held for nothing x seconds.
    pub price: f32,
    /// How many times as much what is short costs as what is held for nothing: growth waits until it comes to the
    /// price. `None`: growth is taken at once.
    pub underrun: Option<f32>,
}

impl HoldRule {
    /// Whether a level so near to what is held changes nothing, and ends a wait.
    pub(crate) fn keeps(&self, held: f32, wanted: f32) -> bool {
        wanted <= held * (1.0 + self.grow) && wanted >= held * (1.0 - self.shrink)
    }

    /// The rule in few enough figures that it is the same for hours, and that it can be written and read back without
    /// loss: shares to about 2 %, the price to about 3 %.
    #[must_use]
    pub fn rounded(self) -> Self {
        Self {
            grow: round_to(self.grow, 5),
            shrink: round_to(self.shrink, 5),
            price: round_to(self.price, 4),
            underrun: self.underrun.map(|underrun| round_to(underrun, 5)),
        }
    }

    /// The same where a change must be worth `factor` (at least 1) times as much. The least growth rises by at most
    /// `most_growth`, as growth that is not made is an underrun.
    #[must_use]
    pub fn damped(self, factor: f32, most_growth: f32) -> Self {
        Self {
            grow: self.grow * factor.min(most_growth),
            shrink: self.shrink * factor,
            price: self.price * factor,
            underrun: self.underrun,
        }
    }
}

/// `value` to the nearest of 2^`bits` numbers between one power of two and the next.
fn round_to(value: f32, bits: u32) -> f32 {
    let drop = (f32::MANTISSA_DIGITS - 1).saturating_sub(bits);
    let half = 1_u32.checked_shl(drop).unwrap_or(0) >> 1;
    // The exponent is the next field above: to round up past the last number of a power carries into it.
    f32::from_bits(value.to_bits().saturating_add(half) >> drop << drop)
}

/// A level that is held.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Hold {
    /// What is held; 0 before the first.
    pub held: f32,
    /// What waiting has cost, in amount x seconds.
    debt: f32,
    /// The highest level wanted since waiting began: above what is held where growth waits, below where a shrink does.
    top: f32,
}

impl Hold {
    /// Holds `level` from now on.
    pub fn set(&mut self, level: f32) {
        *self = Self { held: level, debt: 0.0, top: 0.0 };
    }

    /// Learns that `wanted` would be right now, `elapsed` seconds after the last call. Returns the level to change
    /// to, which the caller confirms by [`set`](Self::set), or `None` to leave what is held.
    pub fn weigh(&mut self, wanted: f32, elapsed: f32, rule: &HoldRule) -> Option<f32> {
        if self.held <= 0.0 {
            return (wanted > 0.0).then_some(wanted);
        }
        let growing = wanted > self.held * (1.0 + rule.grow);
        let between = !growing && wanted >= self.held * (1.0 - rule.shrink);
        if between || growing != (self.top > self.held) {
            (self.debt, self.top) = (0.0, 0.0);
        }
        if between {
            return None;
        }
        self.top = self.top.max(wanted);
        if growing {
            let Some(underrun) = rule.underrun.filter(|_| wanted <= self.held * (1.0 + AT_ONCE)) else {
                return Some(wanted);
            };
            self.debt += underrun * (wanted - self.held) * elapsed;
            return (self.debt > rule.price).then_some(wanted);
        }
        self.debt += (self.held - wanted) * elapsed;
        (self.debt > rule.price).then_some(self.top)
    }
}

/// A [`Hold`] in eight bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Kept {
    pub(crate) held: Half,
    pub(crate) top: Half,
    pub(crate) debt: f32,
}

impl Kept {
    /// Ends a wait: what is wanted is near to what is held.
    pub(crate) fn settle(&mut self) {
        (self.debt, self.top) = (0.0, Half::default());
    }

    /// As [`Hold::weigh`], and holds at once what that says. Returns whether it is a change.
    pub(crate) fn weigh(&mut self, wanted: f32, elapsed: f32, rule: &HoldRule) -> bool {
        let mut hold = Hold { held: self.held.get(), debt: self.debt, top: self.top.get() };
        if let Some(level) = hold.weigh(wanted, elapsed, rule) {
            *self = Self { held: Half::new(level), ..Self::default() };
            return true;
        }
        self.debt = hold.debt;
        if hold.top.to_bits() != self.top.get().to_bits() {
            self.top = Half::new(hold.top);
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: HoldRule = HoldRule { grow: 0.1, shrink: 0.05, price: 600.0, underrun: None };
    const PATIENT: HoldRule = HoldRule { underrun: Some(10.0), ..RULE };

    fn held(level: f32) -> Hold {
        let mut hold = Hold::default();
        hold.set(level);
        hold
    }

    #[test]
    fn growth_at_once_but_not_for_a_trifle() {
        assert_eq!(held(1.0).weigh(1.2, 300.0, &RULE), Some(1.2));
        assert_eq!(held(1.0).weigh(1.05, 300.0, &RULE), None);
        assert_eq!(Hold::default().weigh(0.5, 0.0, &RULE), Some(0.5));
        assert_eq!(Hold::default().weigh(0.0, 0.0, &RULE), None);
    }

    #[test]
    fn a_large_gap_closes_sooner_than_a_small_one() {
        let steps = |wanted: f32| {
            let mut hold = held(1.0);
            (1..).find(|_| hold.weigh(wanted, 300.0, &RULE).is_some())
        };
        assert_eq!(steps(0.2), Some(3));
        assert_eq!(steps(0.8), Some(11));
        let mut hold = held(1.0);
        assert!((0..1000).all(|_| hold.weigh(0.96, 300.0, &RULE).is_none()));
    }

    #[test]
    fn a_dip_that_passes_costs_nothing_and_the_highest_wanted_counts() {
        let mut hold = held(1.0);
        for _ in 0..2 {
            assert_eq!(hold.weigh(0.2, 300.0, &RULE), None);
        }
        assert_eq!(hold.weigh(1.0, 300.0, &RULE), None);
        assert_eq!(hold.weigh(0.2, 300.0, &RULE), None);
        assert_eq!(hold.weigh(0.6, 300.0, &RULE), None);
        assert_eq!(hold.weigh(0.2, 800.0, &RULE), Some(0.6));
    }

    #[test]
    fn growth_that_is_priced_waits_for_what_is_short() {
        let steps = |wanted: f32| {
            let mut hold = held(1.0);
            (1..).find(|_| hold.weigh(wanted, 90.0, &PATIENT).is_some())
        };
        assert_eq!((steps(1.2), steps(1.4), steps(1.6)), (Some(4), Some(2), Some(1)));
        let mut kept = Kept { held: Half::new(1.0), ..Kept::default() };
        assert_eq!((1..).find(|_| kept.weigh(1.2, 90.0, &PATIENT)), Some(4), "the same in eight bytes");
    }

    #[test]
    fn what_waiting_to_grow_has_cost_does_not_shrink_anything() {
        let mut hold = held(1.0);
        assert_eq!(hold.weigh(1.2, 250.0, &PATIENT), None);
        assert_eq!(hold.weigh(0.8, 250.0, &PATIENT), None);
        assert_eq!(hold.weigh(1.2, 250.0, &PATIENT), None, "begins anew");
        assert_eq!(hold.weigh(1.0, 250.0, &PATIENT), None);
        assert_eq!(hold.weigh(1.2, 250.0, &PATIENT), None, "and after a pause");
        assert_eq!(hold.weigh(1.2, 100.0, &PATIENT), Some(1.2));
    }
}
