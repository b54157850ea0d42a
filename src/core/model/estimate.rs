//! From a series to what it needs: lower, target and upper for each resource, and why.

#[cfg(test)]
mod tests;

use super::bounds::{self, Confidence};
use super::demand::{Asked, Demand};
use super::hold::HoldRule;
use super::level::Level;
use super::prices::{Prices, RequestPrices};
use super::series::Series;
use super::tuning::{Model, Tuning};
use crate::units::MIB;

/// Hours of history from which on the bounds are what is worth a change.
const YOUNG_HOURS: f32 = 23.5;

/// Why a target is what it is: figures only, put into words on demand.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Because {
    /// The rule that speaks.
    pub level: Level,
    /// The level it proposes, in the resource's unit (cores, or bytes).
    pub base: f64,
    /// The margin on it.
    pub margin: f32,
    /// What this candidate would have left unused so far, as a share of what it reserved.
    pub unused: f32,
    /// What it would have fallen short, as a share of what was used.
    pub short: f32,
    /// How many times as much a change must be worth as one that comes seldom; 1 where changes are few.
    pub damping: f32,
    /// Hours of history behind it.
    pub hours: f32,
}

/// The need for one resource, in cores or bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Need {
    /// Below this a request is too small.
    pub lower: f64,
    /// What to request.
    pub target: f64,
    /// Above this a request is too large.
    pub upper: f64,
    /// When a request outside of the bounds is changed: growth and shrink by at least these shares, a shrink when
    /// waiting has wasted the price.
    pub hold: HoldRule,
    /// Why.
    pub because: Because,
}

/// The need for a memory limit, in bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LimitNeed {
    /// The limit that follows the tail, untied from the request.
    pub tail: f64,
    /// The value for request and limit both, where they must be equal.
    pub equal: f64,
    /// The highest peak, slowly forgotten.
    pub peak: f64,
    /// Standard deviation of the logarithm of the six-hour peaks.
    pub deviation: f32,
    /// What OOM kills taught to run; 0 where there was none.
    pub lesson: f64,
    /// OOM kills that still count.
    pub kills: u32,
    /// The peaks lie right below whatever limit is in force, without a kill: page cache, or a heap that takes a share of
    /// the limit. `tail` and `equal` then ask for no more than the limit that the peaks ride.
    pub follows_limit: bool,
    /// When request and limit that must be equal are changed: what is short is killed there, so growth waits for
    /// nothing. `None` while no memory sample has been seen.
    pub equal_hold: Option<HoldRule>,
}

/// What a series needs now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// CPU request, in cores; `None` while no CPU sample has been seen.
    pub cpu: Option<Need>,
    /// Memory request, in bytes; `None` while no memory sample has been seen.
    pub memory: Option<Need>,
    /// Memory limit, in bytes; `None` while neither a memory sample nor an OOM kill has been seen.
    pub limit: Option<LimitNeed>,
    /// How much history stands behind it.
    pub confidence: Confidence,
    /// Samples behind it.
    pub samples: u32,
    /// Hours of history behind it.
    pub hours: f32,
}

impl Series {
    /// What the series needs at these prices. Chooses anew among the candidates, so that the choice is remembered:
    /// it changes the series, but by nothing else than its own history.
    pub fn estimate(&mut self, prices: &Prices, model: &Model) -> Estimate {
        let bytes = MIB as f64;
        let hours = self.hours();
        let limit =
            (self.tail.peak() > 0.0 || self.tail.lesson() > 0.0).then(|| limit_need(self, prices, model));
        Estimate {
            cpu: need(&mut self.cpu, &prices.cpu, &model.cpu, 1.0),
            memory: need(&mut self.memory, &prices.memory, &model.memory, bytes),
            limit,
            confidence: self.confidence(),
            samples: self.samples,
            hours,
        }
    }
}

fn need(demand: &mut Demand, prices: &RequestPrices, tuning: &Tuning, unit: f64) -> Option<Need> {
    if let Some(mut first) = demand.foretold(tuning) {
        return need(&mut first, prices, tuning, unit);
    }
    let asked = demand.ask(prices, tuning)?;
    let (mut hold, damping) = demand.hold_rule(tuning);
    hold.price *= prices.change * unit as f32;
    let (low, high) = spread(demand, &asked, &hold, tuning);
    let target = f64::from(asked.target) * unit;
    Some(Need {
        lower: target * f64::from(low),
        target,
        upper: target * f64::from(high),
        hold,
        because: Because {
            level: asked.level,
            base: f64::from(asked.base) * unit,
            margin: asked.margin,
            unused: asked.unused,
            short: asked.short,
            damping,
            hours: demand.hours,
        },
    })
}

/// The bounds as factors on the target: what is worth a change; in the first day also the confidence interval of the
/// quantile that the target stands for, wider by the first hours.
fn spread(demand: &Demand, asked: &Asked, hold: &HoldRule, tuning: &Tuning) -> (f32, f32) {
    let least = (1.0 / (1.0 + hold.grow), 1.0 / (1.0 - hold.shrink));
    if demand.hours >= YOUNG_HOURS {
        return least;
    }
    let share = demand.histogram.share_below(asked.target).clamp(0.5, 0.995);
    let samples = demand.histogram.samples(demand.last, tuning.half_life);
    let (low, high) = bounds::interval(samples, share);
    let [low, middle, high] = demand.histogram.quantiles([low, share, high], false);
    if middle <= 0.0 {
        return least;
    }
    let doubt = 1.0 + 1.0 / demand.hours.max(0.1) - 1.0 / YOUNG_HOURS;
    ((low / middle / doubt).min(least.0), (high / middle * doubt).max(least.1))
}

fn limit_need(series: &Series, prices: &Prices, model: &Model) -> LimitNeed {
    let (tail, unit) = (&series.tail, MIB as f64);
    let change = model.memory.price_of_change(series.memory.mean) * prices.memory.change * unit as f32;
    let hold = HoldRule { price: model.equal.price * change, ..model.equal };
    LimitNeed {
        tail: f64::from(tail.need(&prices.limit)) * unit,
        equal: f64::from(tail.equal(&prices.limit)) * unit,
        peak: f64::from(tail.peak()) * unit,
        deviation: tail.deviation(),
        lesson: f64::from(tail.lesson()) * unit,
        kills: series.kills(),
        follows_limit: tail.follows_limit(),
        equal_hold: series.memory.known().then_some(hold),
    }
}
