//! What resources cost.

use crate::api::ResourceAmounts;
use crate::units::GIB;

/// Hours of a month: a year's twelfth.
const HOURS: f64 = 730.0;

/// What resources cost.
#[derive(Clone, Debug, clap::Args)]
pub struct Pricing {
    /// Price of one core for an hour [a cloud's usual price; set your own]
    #[arg(long, value_name = "PRICE", default_value_t = 0.031)]
    pub price_core_hour: f64,
    /// Price of one GiB of memory for an hour
    #[arg(long, value_name = "PRICE", default_value_t = 0.0042)]
    pub price_gib_hour: f64,
    /// What stands before an amount of money
    #[arg(long, value_name = "SIGN", default_value = "$")]
    pub currency: String,
}

impl Pricing {
    /// What all replicas together save a month when requests change so; `None` where nothing is recommended.
    #[must_use]
    pub fn saves(&self, from: &ResourceAmounts, to: &ResourceAmounts, replicas: u32) -> Option<String> {
        if to.cpu.is_none() && to.memory.is_none() {
            return None;
        }
        let cores =
            |amounts: &ResourceAmounts| amounts.cpu.as_ref().map_or(0.0, |cpu| cpu.value().as_cores().0);
        let gib = |amounts: &ResourceAmounts| {
            let bytes = amounts.memory.as_ref().and_then(|memory| memory.value().as_bytes());
            bytes.map_or(0.0, |bytes| bytes.as_f64() / GIB as f64)
        };
        // What is not recommended does not change.
        let cpu = to.cpu.as_ref().map_or(0.0, |_| cores(from) - cores(to));
        let memory = to.memory.as_ref().map_or(0.0, |_| gib(from) - gib(to));
        let hour = cpu * self.price_core_hour + memory * self.price_gib_hour;
        Some(self.text(hour * HOURS * f64::from(replicas)))
    }

    /// `$11/mo`, `-$1.20/mo`: two figures suffice.
    fn text(&self, amount: f64) -> String {
        let size = amount.abs();
        let digits = if (0.005..10.0).contains(&size) { 2 } else { 0 };
        let step = 10_f64.powi((size.max(1.0).log10().floor() as i32 - 1).max(0));
        let rounded = if size >= 10.0 { (size / step).round() * step } else { size };
        let sign = if amount <= -0.005 { "-" } else { "" };
        format!("{sign}{}{rounded:.digits$}/mo", self.currency)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Amount;
    use crate::units::{Bytes, Cores};

    #[test]
    fn savings_are_of_all_replicas_in_two_figures() {
        let pricing = Pricing { price_core_hour: 0.03, price_gib_hour: 0.004, currency: "$".to_owned() };
        let amounts = |milli, mib| ResourceAmounts {
            cpu: Some(Amount::from(Cores::from_milli(milli))),
            memory: Some(Amount::from(Bytes::from_mib(mib))),
        };
        let saves = |from, to, replicas| pricing.saves(&from, &to, replicas).unwrap();
        assert_eq!(saves(amounts(500, 1024), amounts(180, 412), 2), "$18/mo");
        assert_eq!(saves(amounts(50, 64), amounts(50, 1088), 1), "-$2.92/mo");
        assert_eq!(saves(amounts(50, 64), amounts(50, 64), 9), "$0/mo");
        assert_eq!(saves(amounts(50_000, 64), amounts(100, 64), 30), "$33000/mo");
        assert_eq!(pricing.saves(&amounts(1, 1), &ResourceAmounts::default(), 1), None);
    }
}
