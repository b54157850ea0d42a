//! What `plumb simulate` prints: a fleet with plumb beside the same fleet without.

use serde::Serialize;

use super::Table;
use crate::replay::simulate::{Outcome, Scene};

/// A simulated fleet with plumb and without.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Workloads of the fleet.
    pub workloads: usize,
    /// Simulated days.
    pub days: f64,
    /// With plumb.
    pub plumb: Side,
    /// With plumb switched off.
    pub off: Side,
    /// Broken invariants, in words; there should be none.
    pub broken: Vec<String>,
}

/// What happened on one side.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Side {
    /// Days that pods existed, summed over pods.
    pub pod_days: f64,
    /// Mean CPU requested, in cores.
    pub requested_cores: f64,
    /// Mean memory requested, in GiB.
    pub requested_gib: f64,
    /// Pods that plumb resized in place.
    pub resizes: u64,
    /// Pods that plumb evicted.
    pub evictions: u64,
    /// Resizes and evictions that the API server refused.
    pub refusals: u64,
    /// Containers killed at their memory limit.
    pub kills: u64,
    /// Containers killed as their node was full.
    pub node_kills: u64,
    /// Minutes in which wanted pods were not ready, summed over pods.
    pub unready_minutes: f64,
}

impl Report {
    /// Puts the outcomes of both sides beside each other.
    #[must_use]
    pub fn new(scene: &Scene, with: &Outcome, without: &Outcome) -> Self {
        let days = f64::from(scene.hours) / 24.0;
        let side = |outcome: &Outcome| Side {
            pod_days: outcome.pod_days,
            requested_cores: outcome.core_days / days.max(f64::MIN_POSITIVE),
            requested_gib: outcome.gib_days / days.max(f64::MIN_POSITIVE),
            resizes: outcome.total.changes,
            evictions: outcome.total.evictions,
            refusals: outcome.total.refusals,
            kills: outcome.total.kills,
            node_kills: outcome.total.node_kills,
            unready_minutes: outcome.total.unready_seconds as f64 / 60.0,
        };
        Self {
            workloads: scene.workloads.len(),
            days,
            plumb: side(with),
            off: side(without),
            broken: with
                .violations
                .iter()
                .map(|one| {
                    format!("{}: workload {}, pod {}: {}", one.invariant, one.workload, one.pod, one.message)
                })
                .collect(),
        }
    }

    /// The report as a table of at most 80 columns, a line for each figure.
    #[must_use]
    pub fn table(&self) -> String {
        let mut table = Table::new(&["", ">WITH PLUMB", ">SWITCHED OFF"]);
        let mut line = |what: &str, of: fn(&Side) -> String| {
            table.row([what.to_owned(), of(&self.plumb), of(&self.off)]);
        };
        line("CPU requested, mean", |side| format!("{:.1} cores", side.requested_cores));
        line("memory requested, mean", |side| format!("{:.1} GiB", side.requested_gib));
        line("pods resized in place", |side| side.resizes.to_string());
        line("pods evicted", |side| side.evictions.to_string());
        line("refused by the API server", |side| side.refusals.to_string());
        line("OOM kills at a limit", |side| side.kills.to_string());
        line("OOM kills of full nodes", |side| side.node_kills.to_string());
        line("minutes not ready", |side| format!("{:.0}", side.unready_minutes));
        let mut text = format!(
            "{} workloads, {:.0} days, {:.0} pod-days; simulated, see docs/simulator.md\n\n{}",
            self.workloads,
            self.days,
            self.plumb.pod_days,
            table.render()
        );
        for broken in &self.broken {
            text.push_str("\nbroken invariant: ");
            text.push_str(broken);
            text.push('\n');
        }
        text
    }
}
