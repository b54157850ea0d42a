//! Need + rules -> recommendation. Pure. Each step that changes a figure leaves a reason.

mod objective;
mod reason;
mod recommend;
mod round;
mod rules;

pub use objective::{Objective, prices};
pub use reason::{Reason, Resource};
pub use recommend::{ContainerSize, Recommendation, explain, recommend};
pub use round::{round_up_bytes, round_up_cores};
pub use rules::{CpuLimitRule, MemoryLimitRule, Range, Rules};
