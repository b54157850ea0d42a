//! Axes: round ends, round ticks, and where a value stands between them.

/// From nothing to a round largest value, in even steps or by orders of magnitude.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Scale {
    /// Even steps up to `max`.
    Even {
        /// The axis's end.
        max: f64,
    },
    /// 0 has its place, and from `unit` on each factor of ten is as long as the other.
    Orders {
        /// The smallest value that is told from 0.
        unit: f64,
        /// The axis's end.
        max: f64,
    },
}

impl Scale {
    /// The scale on which these values (not negative) are best told apart: by orders of magnitude where they are far apart.
    pub(super) fn of(values: &[f64], least_max: f64) -> Self {
        let max = values.iter().copied().fold(least_max, f64::max);
        let least = values.iter().copied().filter(|&v| v > 0.0).fold(f64::INFINITY, f64::min);
        if max > 25.0 * least {
            let unit = 10_f64.powf(least.log10().floor()).max(max * 1e-5);
            Self::Orders { unit, max: max * 1.6 }
        } else {
            Self::Even { max: round_up(max * 1.02) }
        }
    }

    /// The same for counts: even steps are whole.
    pub(super) fn of_counts(counts: &[f64]) -> Self {
        match Self::of(counts, 4.0) {
            Self::Even { max } => Self::Even { max: 4.0 * round_up((max / 4.0 - 0.3).max(1.0)).ceil() },
            orders @ Self::Orders { .. } => orders,
        }
    }

    /// 0 at the axis's start, 1 at its end.
    pub(super) fn place(self, value: f64) -> f64 {
        match self {
            Self::Even { max } => value / max,
            Self::Orders { unit, max } => (value / unit).ln_1p() / (max / unit).ln_1p(),
        }
    }

    /// Values to be written at the axis.
    pub(super) fn ticks(self) -> Vec<f64> {
        match self {
            Self::Even { max } => (0_u8..=4).map(|quarter| max * f64::from(quarter) / 4.0).collect(),
            Self::Orders { unit, max } => std::iter::once(0.0)
                .chain((0..12).map(|power| unit * 10_f64.powi(power)).take_while(|tick| *tick <= max))
                .collect(),
        }
    }
}

/// The next number up whose quarters are short.
pub(super) fn round_up(value: f64) -> f64 {
    const ROUND: [f64; 11] = [1.0, 1.2, 1.6, 2.0, 2.4, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0];
    if value.is_nan() || value <= 0.0 {
        return 1.0;
    }
    let power = 10_f64.powf(value.log10().floor());
    ROUND.iter().map(|round| round * power).find(|round| *round >= value * 0.999_999).unwrap_or(10.0 * power)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_round() {
        for (value, end) in [(0.0, 1.0), (0.29, 0.3), (97.0, 100.0), (1.21, 1.6), (8.0, 8.0), (f64::NAN, 1.0)]
        {
            assert!((round_up(value) - end).abs() < 1e-9, "{value}: {}", round_up(value));
        }
    }

    #[test]
    fn values_far_apart_stand_by_orders_of_magnitude() {
        let scale = Scale::of(&[0.0, 3.0, 400.0], 1.0);
        assert!(matches!(scale, Scale::Orders { .. }));
        assert!(scale.place(0.0).abs() < 1e-12 && scale.place(400.0) < 1.0);
        assert!(scale.place(3.0) > 0.15);
        assert_eq!(scale.ticks().len(), 4, "0, 1, 10, 100");
        assert_eq!(Scale::of_counts(&[26.0, 3.0]), Scale::Even { max: 32.0 });
        assert_eq!(Scale::of_counts(&[0.0]), Scale::Even { max: 4.0 });
        assert_eq!(Scale::of(&[0.2, 0.3], 0.0), Scale::Even { max: round_up(0.306) });
        assert!(Scale::of(&[], 1.0).ticks().iter().all(|tick| tick.is_finite()));
    }
}
