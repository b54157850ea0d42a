//! How much of a workload may change in one turn: what its guard says, and how many of its pods may be disrupted.

use std::collections::HashSet;

use super::facts::{Pod, PodId, Resize, Workload};
use super::guard::Verdict;
use super::reason::Hold;

/// How many pods of a workload may be unavailable, and which are.
pub(super) struct Budget {
    allowed: usize,
    missing: HashSet<PodId>,
}

impl Budget {
    /// `told`: pods that serve nobody soon and do not show it yet.
    pub(super) fn of(workload: &Workload, told: impl Fn(&Pod) -> bool) -> Self {
        let goes = |pod: &&Pod| !pod.is_available() || pod.is_restarting() || told(pod);
        Self {
            allowed: workload.rules.max_unavailable.of(workload.staying().count()),
            missing: workload.pods.iter().filter(goes).map(|pod| pod.id).collect(),
        }
    }

    /// Whether one more may be disrupted.
    pub(super) fn may_disrupt(&self, pod: PodId) -> Result<(), Hold> {
        // A pod that is not available itself is disrupted no further.
        let others = self.missing.len() - usize::from(self.missing.contains(&pod));
        if others < self.allowed { Ok(()) } else { Err(Hold::MaxUnavailable) }
    }

    /// It will serve nobody for a while.
    pub(super) fn disrupt(&mut self, pod: PodId) {
        self.missing.insert(pod);
    }
}

/// How many pods may be on their way to another size at once. One at least: a resize in place disrupts nobody.
pub(super) fn at_once(workload: &Workload) -> usize {
    workload.rules.max_unavailable.of(workload.staying().count()).max(1)
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
