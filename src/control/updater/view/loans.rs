//! What was lent to pods for their start, and by whom: the note on a pod alone proves nothing.

use std::collections::HashSet;
use std::sync::Arc;

use super::ByName;
use crate::cluster::Index;
use crate::cluster::index::{PodFacts, Uid, group};

/// Pods whose boost was seen to be lent by a Recommendation: it is taken back also where that is gone since. The note on
/// a pod is anybody's to write, and counts for nothing by itself.
#[derive(Debug, Default)]
pub(in crate::control::updater) struct Loans(HashSet<Uid>);

/// Reports whether the note on a pod tells of more CPU while it starts up.
pub(super) fn has_more(facts: &PodFacts) -> bool {
    facts.life.touched.as_ref().is_some_and(|touched| !touched.boosts.is_empty())
}

impl Loans {
    /// True where a pod's boost was lent.
    pub(super) fn has(&self, facts: &PodFacts) -> bool {
        self.0.contains(&facts.uid)
    }

    /// Takes note of the boosts of those pods whose workload has a Recommendation that sizes the container's CPU, and
    /// forgets the pods that are gone.
    pub(super) fn learn(&mut self, index: &Index, workloads: &ByName<'_>) {
        let boosted: HashSet<Uid> = workloads
            .values()
            .flat_map(|(_, pods)| &pods.pods)
            .filter(|(_, facts)| has_more(facts))
            .map(|(_, facts)| facts.uid)
            .collect();
        self.0.retain(|uid| boosted.contains(uid));
        if boosted.is_empty() {
            return;
        }
        for (name, written) in index.recommendations.iter() {
            let Some(reference) = &written.workload else { continue };
            let named = (Arc::clone(&name.namespace), reference.kind.clone(), reference.name.clone());
            let Some((key, pods)) = workloads.get(&named) else { continue };
            if group(&reference.api_version) != group(&key.api_version) {
                continue;
            }
            let sized = |place: usize, facts: &PodFacts| {
                let name = facts.shape.containers.get(place).map(|shape| &shape.name);
                written.containers.iter().any(|said| Some(&said.name) == name && said.lower.cpu().is_some())
            };
            let lent = pods.pods.iter().filter(|(_, facts)| {
                let touched = facts.life.touched.as_ref();
                touched.is_some_and(|touched| touched.boosts.iter().any(|boost| sized(boost.place, facts)))
            });
            self.0.extend(lent.map(|(_, facts)| facts.uid));
        }
    }
}
