//! What an objective pays.

use crate::model::{LimitPrices, Prices, RequestPrices};

/// What to weigh more: unused resources, or the risk of too few.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Objective {
    /// Least unused resources; for what can be restarted or may run slower at times.
    Economy,
    /// The default.
    #[default]
    Balanced,
    /// Least risk of an OOM kill or of too little CPU.
    Critical,
}

/// The shortfall, in percent of usage, at which Balanced's price of an underrun aims.
const BALANCED_SHORTFALL: f32 = 1.0;

/// The prices of an objective. `max_shortfall_percent` and `max_oom_kills_per_year` take the place of its own price of
/// an underrun of CPU, and of its own count of OOM kills.
#[must_use]
pub fn prices(
    objective: Objective,
    max_shortfall_percent: Option<f32>,
    max_oom_kills_per_year: Option<f32>,
) -> Prices {
    let mut prices = match objective {
        Objective::Economy => ECONOMY,
        Objective::Balanced => BALANCED,
        Objective::Critical => CRITICAL,
    };
    if let Some(percent) = max_shortfall_percent.filter(|percent| *percent > 0.0) {
        // By the newsvendor's rule the share of time short falls with the price of an underrun.
        prices.cpu.underrun = (BALANCED.cpu.underrun * BALANCED_SHORTFALL / percent).clamp(1.0, 10_000.0);
    }
    if let Some(kills) = max_oom_kills_per_year.filter(|kills| *kills > 0.0) {
        prices.limit.kills_per_year = kills;
    }
    prices
}

const BALANCED: Prices = Prices {
    cpu: RequestPrices { underrun: 25.0, change: 1.0 },
    memory: RequestPrices { underrun: 60.0, change: 1.0 },
    limit: LimitPrices {
        kills_per_year: 1.0,
        least_margin: 1.5,
        most_margin: 2.0,
        equal_steady: 0.4,
        equal_margin: 1.1,
        equal_lesson: 1.15,
    },
};

const ECONOMY: Prices = Prices {
    cpu: RequestPrices { underrun: 12.0, change: 1.0 },
    memory: RequestPrices { underrun: 30.0, change: 1.0 },
    limit: LimitPrices {
        kills_per_year: 10.0,
        least_margin: 1.25,
        most_margin: 1.6,
        equal_steady: 0.3,
        equal_margin: 1.05,
        equal_lesson: 1.0,
    },
};

const CRITICAL: Prices = Prices {
    cpu: RequestPrices { underrun: 900.0, change: 1.0 },
    memory: RequestPrices { underrun: 400.0, change: 1.0 },
    limit: LimitPrices {
        kills_per_year: 0.1,
        least_margin: 2.8,
        most_margin: 6.0,
        equal_steady: 100.0,
        equal_margin: 1.6,
        equal_lesson: 1.5,
    },
};
