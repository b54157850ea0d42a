//! How much of a workload may change in one turn: what its guard says, and how many of its pods may be disrupted.

use std::collections::HashSet;

use super::facts::{Pod, PodId, Resize, Workload};
use super::guard::Verdict;
use super::reason::Hold;
use crate::units::Timestamp;

/// How many pods of a workload may be unavailable, and how many are.
///
/// Counted is by the replicas that are asked for: a pod that was evicted is missing until its successor is Ready.
pub(super) struct Budget {
    allowed: usize,
    replicas: usize,
    serving: HashSet<PodId>,
    /// Pods that were told to go, or come up in the place of such.
    coming: usize,
}

impl Budget {
    /// `told`: pods that serve nobody soon and do not show it yet.
    pub(super) fn of(workload: &Workload, told: impl Fn(&Pod) -> bool, now: Timestamp) -> Self {
        let replicas = workload.wanted();
        let serves = |pod: &&Pod| pod.is_available() && !pod.is_restarting() && !told(pod);
        let comes = |pod: &&Pod| !pod.ready && !pod.is_healing(now) || told(pod);
        let absent = replicas.saturating_sub(workload.staying().count());
        Self {
            allowed: workload.rules.max_unavailable.of(replicas),
            replicas,
            serving: workload.staying().filter(serves).map(|pod| pod.id).collect(),
            coming: absent + workload.staying().filter(comes).count(),
        }
    }

    /// Whether one more may be disrupted.
    pub(super) fn may_disrupt(&self, pod: PodId) -> Result<(), Hold> {
        let missing = self.replicas.saturating_sub(self.serving.len());
        // A pod that is not available itself is disrupted no further.
        let others = missing.saturating_sub(usize::from(!self.serving.contains(&pod)));
        if others < self.allowed { Ok(()) } else { Err(Hold::MaxUnavailable) }
    }

    /// Whether one more pod that serves nobody, as an OOM loop keeps it down, may be replaced: the first may in any case,
    /// and does not count for those that follow.
    pub(super) fn may_heal(&self) -> Result<(), Hold> {
        if self.coming == 0 || self.coming <= self.allowed { Ok(()) } else { Err(Hold::MaxUnavailable) }
    }

    /// It will serve nobody for a while.
    pub(super) fn disrupt(&mut self, pod: PodId) {
        self.serving.remove(&pod);
    }

    /// A pod in an OOM loop is replaced.
    pub(super) fn heal(&mut self) {
        self.coming += 1;
    }
}

/// How many pods may be on their way to another size at once. One at least: a resize in place disrupts nobody.
pub(super) fn at_once(workload: &Workload) -> usize {
    workload.rules.max_unavailable.of(workload.wanted()).max(1)
}

/// One turn of a workload: what goes takes from what may still go.
pub(super) struct Turn {
    verdict: Verdict,
    budget: Budget,
    places: usize,
    evicted: bool,
}

/// What it means to a workload that something is done to a pod.
#[derive(Clone, Copy)]
pub(super) struct Step {
    pub(super) pod: PodId,
    pub(super) evicts: bool,
    pub(super) disrupts: bool,
}

impl Turn {
    pub(super) fn new(workload: &Workload, verdict: Verdict, budget: Budget) -> Self {
        let under_way = workload.staying().filter(|pod| pod.resize == Resize::UnderWay).count();
        let places = at_once(workload).saturating_sub(under_way);
        Self { verdict, budget, places, evicted: false }
    }

    /// Lets it through or says why not. Of evictions one at a time, as each may use up the PodDisruptionBudget.
    pub(super) fn may_go(&mut self, step: Step) -> Result<(), Hold> {
        match self.verdict {
            Verdict::Open => {}
            Verdict::TryOne => self.places = self.places.min(1),
            Verdict::Watching => return Err(Hold::Canary),
            Verdict::PutBack(..) | Verdict::Closed => return Err(Hold::RolledBack),
        }
        if self.places == 0 || step.evicts && self.evicted {
            let waits = if self.verdict == Verdict::TryOne { Hold::Canary } else { Hold::TooManyAtOnce };
            return Err(waits);
        }
        if step.disrupts {
            self.budget.may_disrupt(step.pod)?;
            self.budget.disrupt(step.pod);
        }
        self.places -= 1;
        self.evicted |= step.evicts;
        Ok(())
    }
}
