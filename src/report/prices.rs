//! What reserved CPU and memory cost.

use crate::units::{Bytes, Cores, GIB};

/// Hours in a month, on average over a year.
const HOURS_A_MONTH: f64 = 730.0;

/// Prices of what is reserved, in dollars.
#[derive(Clone, Copy, Debug, PartialEq, clap::Args)]
pub struct Prices {
    /// Dollars for a core-hour
    #[arg(long = "price-cpu", value_name = "DOLLARS", default_value_t = 0.031)]
    pub core_hour: f64,
    /// Dollars for a GiB-hour of memory
    #[arg(long = "price-memory", value_name = "DOLLARS", default_value_t = 0.004)]
    pub gib_hour: f64,
}

impl Prices {
    /// Dollars a month for so much, reserved all the time.
    #[must_use]
    pub fn monthly(&self, cpu: Cores, memory: Bytes) -> f64 {
        (cpu.0 * self.core_hour + memory.as_f64() / GIB as f64 * self.gib_hour) * HOURS_A_MONTH
    }
}

/// Dollars a month for a column: `$11/mo`, `-$1/mo`; cents below ten dollars.
#[must_use]
pub fn dollars(amount: f64) -> String {
    let sign = if amount <= -0.005 { "-" } else { "" };
    let size = amount.abs();
    if size < 9.995 { format!("{sign}${size:.2}/mo") } else { format!("{sign}${size:.0}/mo") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_of_a_core_and_a_gibibyte() {
        let prices = Prices { core_hour: 0.031, gib_hour: 0.004 };
        assert!((prices.monthly(Cores(1.0), Bytes(GIB)) - 0.035 * 730.0).abs() < 1e-9);
    }

    #[test]
    fn amounts_are_as_short_as_they_say_something() {
        assert_eq!(dollars(11.4), "$11/mo");
        assert_eq!(dollars(-1.234), "-$1.23/mo");
        assert_eq!(dollars(0.001), "$0.00/mo");
        assert_eq!(dollars(-0.001), "$0.00/mo");
    }
}
