//! New pods that come to harm with the sizes that they are given: what the next ones get, and who is replaced.

use std::collections::HashSet;

use super::{Candidate, Settings, Updater, WorkloadPlan, candidate};
use crate::actuate::facts::{Pod, PodId, Workload};
use crate::actuate::given::Given;
use crate::actuate::newcomer;
use crate::units::Timestamp;

impl Updater {
    /// Where new pods come to harm with the sizes that they are given, the next ones are given what was before; those that
    /// serve nobody get a successor as soon as that is known to admission. Answers these.
    pub(super) fn heed_newcomers(
        &mut self,
        workload: &Workload,
        settings: &Settings,
        now: Timestamp,
        own: &mut Vec<Candidate>,
        said: &mut WorkloadPlan,
    ) -> HashSet<PodId> {
        let before = self.before.get(&workload.key).cloned();
        let again = self.guard(workload).fears_new_pods();
        let was_ready = |pod: &Pod| self.pods.get(&pod.id).is_some_and(|state| state.was_ready);
        let trouble = newcomer::trouble(workload, before.as_ref(), was_ready, again, now);
        let trouble = trouble.filter(|_| workload.rules.sized_by_other().is_none());
        let guard = self.guard(workload);
        guard.acquit(workload, now);
        let Some(trouble) = trouble else { return HashSet::new() };
        guard.heed(workload, &trouble, before.as_ref(), now);
        let given = Given::of(workload, guard.degraded(now), before.as_ref(), now);
        let replaced: Vec<&Pod> = trouble.pods.iter().copied().filter(|pod| trouble.replaces(pod)).collect();
        for pod in &replaced {
            match self.meet(pod, now).replace_newcomer(workload, (pod, given), before.as_ref(), now) {
                Ok(wish) => own.extend(candidate(workload, pod, wish, settings)),
                Err(hold) => *said.held.entry(hold).or_default() += 1,
            }
        }
        replaced.into_iter().map(|pod| pod.id).collect()
    }
}
