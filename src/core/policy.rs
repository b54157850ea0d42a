//! Need + rules -> recommendation. Pure. Each step that changes a figure leaves a reason.

mod bound;
mod class;
mod fit;
mod limit_range;
mod limits;
mod namespace;
mod objective;
mod pod_total;
mod quota;
mod reason;
mod recommend;
mod round;
mod rules;

pub use bound::{Amounts, Bound, Explained};
pub use class::{Class, keep_class, keep_whole_cores, limits_of_class};
pub use fit::{Fitted, fit_pod};
pub use limits::{LimitRules, tail_limit, whole_mib};
pub use namespace::{Bounded, Moved, NamespaceBounds, RangeBounds, keep_to_namespace};
pub use objective::{Objective, prices};
pub use reason::{Reason, Resource};
pub use recommend::{Baseline, ContainerSize, Recommendation, explain, recommend};
pub use round::{round_up_bytes, round_up_cores};
pub use rules::{CpuLimitRule, LEARN_HOURS, MemoryLimitRule, Range, Rules};
#[cfg(test)]
mod tests;
