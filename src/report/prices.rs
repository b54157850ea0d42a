//! What reserved CPU and memory cost, and money in words.

use crate::api::ResourceAmounts;
use crate::units::{Bytes, Cores, GIB};

/// Hours in a month, on average over a year.
const HOURS_A_MONTH: f64 = 730.0;

/// Prices of what is reserved, in dollars. The defaults are what clouds usually ask.
#[derive(Clone, Copy, Debug, PartialEq, clap::Args)]
pub struct Prices {
    /// Dollars for one core, reserved for an hour
    #[arg(long = "price-core-hour", value_name = "DOLLARS", default_value_t = 0.031, value_parser = price)]
    #[arg(env = "PLUMB_PRICE_CORE_HOUR")]
    pub core_hour: f64,
    /// Dollars for one GiB of memory, reserved for an hour
    #[arg(long = "price-gib-hour", value_name = "DOLLARS", default_value_t = 0.0042, value_parser = price)]
    #[arg(env = "PLUMB_PRICE_GIB_HOUR")]
    pub gib_hour: f64,
}

fn price(text: &str) -> Result<f64, String> {
    let price = text.parse::<f64>().ok().filter(|price| price.is_finite() && *price >= 0.0);
    price.ok_or_else(|| "a price is a number from 0 up".to_owned())
}

impl Prices {
    /// Dollars a month for so much, reserved all the time.
    #[must_use]
    pub fn monthly(&self, cpu: Cores, memory: Bytes) -> f64 {
        (cpu.0 * self.core_hour + memory.as_f64() / GIB as f64 * self.gib_hour) * HOURS_A_MONTH
    }

    /// What so many replicas save a month when the requests of each change so; below zero where more is needed. What
    /// is not recommended does not change; `None` where nothing is.
    #[must_use]
    pub fn saves(&self, from: &ResourceAmounts, to: &ResourceAmounts, replicas: u32) -> Option<f64> {
        if to.cpu.is_none() && to.memory.is_none() {
            return None;
        }
        let cost = |amounts: &ResourceAmounts| {
            let cpu = to.cpu.as_ref().and(amounts.cpu.as_ref()).map(|cpu| cpu.value().as_cores());
            let memory = to.memory.as_ref().and(amounts.memory.as_ref());
            let memory = memory.and_then(|memory| memory.value().as_bytes());
            self.monthly(cpu.unwrap_or_default(), memory.unwrap_or_default())
        };
        Some((cost(from) - cost(to)) * f64::from(replicas))
    }
}

/// Dollars a month for a column: [`dollars`] and `/mo`.
#[must_use]
pub fn dollars_a_month(amount: f64) -> String {
    dollars(amount) + "/mo"
}

/// Dollars in two figures, which is as much as is known: `$11`, `-$1.20`, `$33000`.
#[must_use]
pub fn dollars(amount: f64) -> String {
    let size = amount.abs();
    let sign = if amount <= -0.005 { "-" } else { "" };
    if size < 0.005 {
        return "$0".to_owned();
    }
    if size < 9.995 {
        return format!("{sign}${size:.2}");
    }
    let step = 10_f64.powi((size.log10().floor() as i32 - 1).max(0));
    format!("{sign}${:.0}", (size / step).round() * step)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Amount;

    const PRICES: Prices = Prices { core_hour: 0.03, gib_hour: 0.004 };

    #[test]
    fn a_month_of_a_core_and_a_gibibyte() {
        assert!((PRICES.monthly(Cores(1.0), Bytes(GIB)) - 0.034 * 730.0).abs() < 1e-9);
    }

    #[test]
    fn savings_are_of_all_replicas() {
        let amounts = |milli, mib| ResourceAmounts {
            cpu: Some(Amount::from(Cores::from_milli(milli))),
            memory: Some(Amount::from(Bytes::from_mib(mib))),
        };
        let saves = |from, to, replicas| dollars_a_month(PRICES.saves(&from, &to, replicas).unwrap());
        assert_eq!(saves(amounts(500, 1024), amounts(180, 412), 2), "$18/mo");
        assert_eq!(saves(amounts(50, 64), amounts(50, 1088), 1), "-$2.92/mo");
        assert_eq!(saves(amounts(50, 64), amounts(50, 64), 9), "$0/mo");
        assert_eq!(saves(amounts(50_000, 64), amounts(100, 64), 30), "$33000/mo");
        let memory_only = ResourceAmounts { cpu: None, ..amounts(1, 64) };
        assert_eq!(saves(amounts(500, 64), memory_only, 1), "$0/mo");
        assert_eq!(PRICES.saves(&amounts(1, 1), &ResourceAmounts::default(), 1), None);
    }

    #[test]
    fn amounts_are_as_short_as_they_say_something() {
        assert_eq!(dollars(11.4), "$11");
        assert_eq!(dollars(-1.234), "-$1.23");
        assert_eq!(dollars(9.999), "$10");
        assert_eq!(dollars(0.001), "$0");
        assert_eq!(dollars_a_month(-0.001), "$0/mo");
    }

    #[test]
    fn a_price_is_no_debt() {
        assert!(price("-1").is_err() && price("NaN").is_err() && price("free").is_err());
        assert_eq!(price("0"), Ok(0.0));
    }
}
