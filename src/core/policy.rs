//! Need + rules -> recommendation. Pure. Each step that changes a figure leaves a reason.

mod bound;
mod class;
mod limit_range;
mod namespace;
mod objective;
mod pod_total;
mod quota;
mod reason;
mod recommend;
mod round;
mod rules;

pub use bound::{Amounts, Bound, Explained, apply_moved};
pub use class::{Class, keep_class, keep_whole_cores};
pub use namespace::{Bounded, Moved, NamespaceBounds, RangeBounds, keep_to_namespace};
pub use objective::{Objective, prices};
pub use pod_total::{one_node, pod_total};
pub use reason::{Reason, Resource};
pub use recommend::{ContainerSize, Recommendation, explain, recommend};
pub use round::{round_up_bytes, round_up_cores};
pub use rules::{CpuLimitRule, MemoryLimitRule, Range, Rules};
#[cfg(test)]
mod tests;
