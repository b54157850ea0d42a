//! plumb itself, as one arm of a backtest: the model, the policy, admission and the updater that run live.

mod lone;
#[cfg(test)]
mod tests;

use lone::Lone;

use crate::actuate::step::Pace;
use crate::model::{Model, Prices, Replica, Series, Usage};
use crate::policy::{Baseline, ContainerSize, Rules, recommend};
use crate::replay::arm::{Arm, Observation, Size};
use crate::units::{Bytes, Cores, Timestamp};

/// plumb under one policy.
#[derive(Debug)]
pub struct Plumb {
    model: Model,
    rules: Rules,
    prices: Prices,
    series: Series,
    template: Option<ContainerSize>,
    pod: Lone,
    kills: u64,
    /// What is known of the five minutes under way, where samples are closer.
    replica: Replica,
    /// The newest sample.
    last: Option<Timestamp>,
}

/// Samples that are at least this many seconds apart are means of their interval, as the model wants them.
const APART: i64 = 200;

impl Plumb {
    /// plumb under the given rules and pace. A memory limit is set as the rules say, also where none was before.
    #[must_use]
    pub fn new(rules: Rules, pace: Pace) -> Self {
        Self::with_model(Model::default(), rules, pace)
    }

    /// The same with other numbers in the model.
    #[must_use]
    pub fn with_model(model: Model, rules: Rules, pace: Pace) -> Self {
        let rules = Rules { add_limit: true, ..rules };
        let prices = rules.prices();
        Self {
            model,
            rules,
            prices,
            series: Series::default(),
            template: None,
            pod: Lone::new(pace),
            kills: 0,
            replica: Replica::default(),
            last: None,
        }
    }

    /// The same rules without floors and least changes, so that small containers neither flatter nor burden it.
    #[must_use]
    pub fn without_floors(rules: Rules) -> Self {
        Self::without_floors_model(Model::default(), rules)
    }

    /// The same with other numbers in the model.
    #[must_use]
    pub fn without_floors_model(model: Model, rules: Rules) -> Self {
        let range = crate::policy::Range {
            min_cpu: Cores::from_milli(1),
            min_memory: Bytes::from_mib(1),
            ..rules.range
        };
        let pace = Pace { min_cpu: Cores(0.0), min_memory: Bytes(0), ..Pace::default() };
        Self::with_model(model, Rules { range, ..rules }, pace)
    }

    /// The prices that it decides at, to be changed.
    pub fn prices_mut(&mut self) -> &mut Prices {
        &mut self.prices
    }

    fn learn(&mut self, seen: &Observation) {
        let gap = self.last.map(|last| seen.at.seconds_since(last));
        self.last = Some(seen.at);
        if let Some(limit) = seen.oom {
            self.kills += 1;
            self.series.add_oom(seen.at, limit, self.kills, &self.model);
        }
        // A refused sample is counted in the series; the replay goes on without it.
        if let Some(window) = gap.filter(|gap| *gap < APART) {
            let (cpu, memory) = (seen.cpu, seen.memory);
            let usage = Usage { at: seen.at, window: Some(window), cpu, memory, ..Usage::default() };
            self.series.observe(&mut self.replica, &usage, &self.model);
            return;
        }
        if let Some(cpu) = seen.cpu {
            self.series.add_cpu(seen.at, cpu, 0.0, None, &self.model).ok();
        }
        if let Some(memory) = seen.memory {
            self.series.add_memory(seen.at, memory, None, &self.model).ok();
        }
    }
}

impl Arm for Plumb {
    fn reset(&mut self) {
        self.series = Series::default();
        self.template = None;
        self.pod.reset();
        self.kills = 0;
        self.replica = Replica::default();
        self.last = None;
    }

    fn template(&mut self, stated: &ContainerSize) {
        self.template = Some(*stated);
    }

    fn step(&mut self, seen: &Observation) -> Option<Size> {
        self.learn(seen);
        if !seen.may_decide {
            return None;
        }
        let need = self.series.estimate(&self.prices, &self.model);
        let stated = self.template.unwrap_or_default();
        let current = self.pod.asked().copied().unwrap_or(stated);
        let advice = recommend(&need, &self.rules, &Baseline { current, template: self.template });
        let size = self.pod.act(&advice, &stated, seen.at, seen.oom.is_some())?;
        Some(Size {
            cpu_request: size.cpu_request,
            memory_request: size.memory_request,
            memory_limit: size.memory_limit,
        })
    }
}
