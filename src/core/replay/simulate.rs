//! Deterministic simulation of a cluster and of plumb in it, in the manner of FoundationDB and TigerBeetle.
//!
//! A [`Scene`] has nodes, workloads, policies and faults; [`run`] plays it in simulated time against the same planner,
//! admission and model that run live, and says which invariants broke, with the story of the pod. The same scene gives
//! the same log. See docs/simulator.md.

mod compare;
mod driver;
mod faults;
pub mod invariants;
mod log;
mod roles;
pub mod rules;
pub mod scene;
pub mod shrink;
mod size;
#[cfg(test)]
mod tests;
mod usage;
mod world;

pub use compare::{Checked, check, is_worse};
pub use driver::run;
pub use invariants::{Invariant, Violation};
pub use log::Line;
pub use scene::Scene;
pub use size::Size;

use super::trace::Series;

/// Options of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options<'a> {
    /// plumb runs; else the cluster is left to itself.
    pub plumb: bool,
    /// Fault put into plumb's own decisions, to show that an invariant catches it.
    pub mutation: Option<Mutation>,
    /// Recorded usage, which containers of the scene may follow.
    pub traces: &'a [Series],
}

impl Default for Options<'_> {
    fn default() -> Self {
        Self { plumb: true, mutation: None, traces: &[] }
    }
}

/// Faults of plumb itself, made between its decisions and the world: one guard is off in each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mutation {
    /// Cooldowns are not kept.
    NoCooldown,
    /// Shrinks go all the way at once.
    NoStep,
    /// All pods may be disrupted at once.
    NoBudget,
    /// Admission is taken to answer, always.
    BlindToAdmission,
    /// Memory limits are lowered to what is used now.
    LimitToUsage,
    /// maxAllowed and minAllowed are not applied.
    NoBounds,
    /// Memory limits are lowered where the policy forbids it.
    ShrinkAnyway,
    /// Admission stamps new pods with what their templates say.
    EmptyStamp,
    /// OOM kills are not told.
    DeafToKills,
    /// Requests are set back at each second change.
    Swing,
    /// New pods are given the targets whatever comes of it.
    KeepStamping,
    /// Nothing is done to what is being rolled out.
    HoldRollouts,
    /// All pods in an OOM loop may be replaced at once.
    HealAll,
    /// A container that is down is taken to stay so.
    Impatient,
}

impl Mutation {
    /// All mutations.
    pub const ALL: [Self; 14] = [
        Self::NoCooldown,
        Self::NoStep,
        Self::NoBudget,
        Self::BlindToAdmission,
        Self::LimitToUsage,
        Self::NoBounds,
        Self::ShrinkAnyway,
        Self::EmptyStamp,
        Self::DeafToKills,
        Self::Swing,
        Self::KeepStamping,
        Self::HoldRollouts,
        Self::HealAll,
        Self::Impatient,
    ];
}

/// Counts of one workload, or of all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Resizes that plumb made.
    pub changes: u64,
    /// Resizes among them that restarted containers, as the pod's resize policy asks for.
    pub restarts: u64,
    /// Pods that plumb evicted.
    pub evictions: u64,
    /// Requests of plumb that the API server refused.
    pub refusals: u64,
    /// OOM kills at a limit.
    pub kills: u64,
    /// OOM kills of full nodes.
    pub node_kills: u64,
    /// Seconds in which wanted pods were not ready, summed over pods.
    pub unready_seconds: u64,
}

impl Tally {
    /// Adds the counts of another.
    pub fn add(&mut self, other: &Self) {
        self.changes += other.changes;
        self.restarts += other.restarts;
        self.evictions += other.evictions;
        self.refusals += other.refusals;
        self.kills += other.kills;
        self.node_kills += other.node_kills;
        self.unready_seconds += other.unready_seconds;
    }
}

/// Result of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// Counts of all workloads together.
    pub total: Tally,
    /// Counts of each workload of the scene.
    pub workloads: Vec<Tally>,
    /// Days that pods existed, summed over pods.
    pub pod_days: f64,
    /// CPU that pods requested, in cores times days.
    pub core_days: f64,
    /// Memory that pods requested, in GiB times days.
    pub gib_days: f64,
    /// Hash over the log of the run.
    pub log_hash: u64,
    /// Number of lines of the log.
    pub log_lines: u64,
    /// The last lines of the log.
    pub log: Vec<Line>,
    /// Broken invariants, the first of each for each workload.
    pub violations: Vec<Violation>,
}
