//! The rules of a policy for one container, as far as they shape its figures.

use super::bound::Amounts;
use super::limits::{LimitRules, ratio};
use super::objective::Objective;
use super::recommend::ContainerSize;
use crate::units::{Bytes, Cores};

/// Least and most that a request or limit may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    /// Least CPU.
    pub min_cpu: Cores,
    /// Most CPU; `None`: no bound.
    pub max_cpu: Option<Cores>,
    /// Least memory.
    pub min_memory: Bytes,
    /// Most memory; `None`: no bound.
    pub max_memory: Option<Bytes>,
}

impl Range {
    /// The most of each resource, in whole thousandths of a core and bytes.
    #[must_use]
    pub fn most(&self) -> Amounts {
        Amounts { cpu: self.max_cpu, memory: self.max_memory }.whole()
    }
}

/// What becomes of the CPU limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum CpuLimitRule {
    /// Stays, but is raised where the request would pass it.
    #[default]
    Keep,
    /// Keeps its ratio to the request.
    Ratio,
    /// Equals the request.
    Equal,
    /// Goes, at creation.
    Remove,
}

/// What becomes of the memory limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum MemoryLimitRule {
    /// Follows the tail of the usage, untied from the request.
    #[default]
    Tail,
    /// Equals the request; both follow the tail.
    Equal,
    /// Keeps its ratio to the request.
    Ratio,
    /// Is the request and so many bytes.
    Headroom(Bytes),
    /// Stays, but is raised where the request would pass it.
    Keep,
    /// Goes, at creation.
    Remove,
}

/// Hours of history until which a series is young under a policy that says nothing.
pub const LEARN_HOURS: f32 = 24.0;

/// The rules of a policy for one container.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rules {
    /// What to weigh more, for CPU.
    pub cpu_objective: Objective,
    /// What to weigh more, for memory.
    pub memory_objective: Objective,
    /// Usage above the CPU request that is accepted, in percent of usage; takes the place of the objective's.
    pub max_shortfall_percent: Option<f32>,
    /// OOM kills a year that are accepted; takes the place of the objective's.
    pub max_oom_kills_per_year: Option<f32>,
    /// Least and most.
    pub range: Range,
    /// What becomes of the CPU limit.
    pub cpu_limit: CpuLimitRule,
    /// What becomes of the memory limit.
    pub memory_limit: MemoryLimitRule,
    /// Whether a container without a memory limit gets one.
    pub add_limit: bool,
    /// Whether memory may shrink.
    pub shrink_memory: bool,
    /// Hours of history until which a series is young: its limits are not lowered, and its requests by no more than half
    /// of what people set.
    pub learn_hours: f32,
}

impl Default for Rules {
    /// As a policy that says nothing: floors of 5m and 16Mi.
    fn default() -> Self {
        Self {
            cpu_objective: Objective::Balanced,
            memory_objective: Objective::Balanced,
            max_shortfall_percent: None,
            max_oom_kills_per_year: None,
            range: Range {
                min_cpu: Cores::from_milli(5),
                max_cpu: None,
                min_memory: Bytes::from_mib(16),
                max_memory: None,
            },
            cpu_limit: CpuLimitRule::Keep,
            memory_limit: MemoryLimitRule::Tail,
            add_limit: false,
            shrink_memory: true,
            learn_hours: LEARN_HOURS,
        }
    }
}

impl Rules {
    /// How limits follow for a container whose template states `template`.
    #[must_use]
    pub fn limits(&self, template: Option<&ContainerSize>) -> LimitRules {
        let cpu = template.and_then(|size| ratio(size.cpu_limit?.0, size.cpu_request?.0));
        let memory =
            template.and_then(|size| ratio(size.memory_limit?.as_f64(), size.memory_request?.as_f64()));
        LimitRules {
            cpu: self.cpu_limit,
            memory: self.memory_limit,
            cpu_ratio: cpu.filter(|_| self.cpu_limit == CpuLimitRule::Ratio),
            memory_ratio: memory.filter(|_| self.memory_limit == MemoryLimitRule::Ratio),
            add_memory: self.add_limit,
            shrink_memory: self.shrink_memory,
        }
    }

    /// Whether a series with so many hours of history is young. Half an hour less is enough, since nobody starts on the
    /// hour.
    #[must_use]
    pub fn is_young(&self, hours: f32) -> bool {
        hours < self.learn_hours - 0.5
    }

    /// The prices that an estimate under these rules is made at.
    #[must_use]
    pub fn prices(&self) -> crate::model::Prices {
        use super::objective::prices;
        let cpu = prices(self.cpu_objective, self.max_shortfall_percent, None);
        let memory = prices(self.memory_objective, None, self.max_oom_kills_per_year);
        crate::model::Prices { cpu: cpu.cpu, memory: memory.memory, limit: memory.limit }
    }
}
