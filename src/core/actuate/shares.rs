//! The order of actions: a namespace that was served less goes first, and of its pods those that have waited longest.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::facts::{Pod, Workload};
use super::pod::Wish;
use super::turn::Step;
use super::updater::{Action, Deed};
use crate::units::Timestamp;

/// Seconds after which what a namespace was given counts half.
const HALF_LIFE: f64 = 600.0;

/// An action with its place in the order.
pub(super) struct Candidate {
    pub(super) action: Action,
    /// It lets a pod grow that a rollout waits for.
    pub(super) helps: bool,
    namespace: Arc<str>,
    node: Option<Arc<str>>,
    shrinks: bool,
    benefit: f64,
    /// Since when the pod waits for it.
    since: Option<Timestamp>,
}

impl Candidate {
    pub(super) fn new(workload: &Workload, pod: &Pod, deed: Deed, wish: Wish) -> Self {
        let (urgent, shrinks, benefit) = match &wish {
            Wish::Resize(change) => (change.after_oom, change.shrinks && !change.grows, change.benefit),
            Wish::TakeBack(change) | Wish::PutBack(change) => (true, false, change.benefit),
            // It is due, and nothing is to be learned from it: no canary.
            Wish::EndBoost(change) => (true, true, change.benefit),
            Wish::Evict { urgent } => (*urgent, false, 0.0),
        };
        Self {
            helps: wish.helps(workload, pod),
            action: Action { workload: Arc::clone(&workload.key), pod: pod.id, deed, urgent, wish },
            namespace: Arc::clone(&workload.namespace),
            node: pod.node.clone(),
            shrinks,
            benefit,
            since: None,
        }
    }

    /// Sets since when the pod waits.
    pub(super) fn waits_since(mut self, since: Option<Timestamp>) -> Self {
        self.since = since;
        self
    }

    pub(super) fn step(&self) -> Step {
        let evicts = self.action.deed == Deed::Evict;
        Step { pod: self.action.pod, evicts, disrupts: self.action.wish.disrupts() }
    }
}

/// Actions of each namespace that were taken lately, as they weigh now.
#[derive(Clone, Debug, Default)]
pub(super) struct Shares {
    served: HashMap<Arc<str>, f64>,
    at: Option<Timestamp>,
}

impl Shares {
    /// Lets what was taken weigh less with time.
    pub(super) fn decay(&mut self, now: Timestamp) {
        let elapsed = self.at.map_or(0, |at| now.seconds_since(at)).max(0);
        self.at = Some(now);
        let factor = (-(elapsed as f64) / HALF_LIFE).exp2();
        self.served.values_mut().for_each(|served| *served *= factor);
        self.served.retain(|_, served| *served >= 0.01);
    }

    /// Notes that an action was taken.
    pub(super) fn note(&mut self, candidate: &Candidate) {
        *self.served.entry(Arc::clone(&candidate.namespace)).or_default() += 1.0;
    }

    /// Orders the candidates of all workloads: what burns first, then what makes room on a node where something waits
    /// for it; within these, namespaces take turns.
    pub(super) fn sort(&self, candidates: &mut Vec<Candidate>, waiting_nodes: &HashSet<Arc<str>>) {
        sort(candidates, waiting_nodes);
        let mut taken: HashMap<(u8, Arc<str>), f64> = HashMap::new();
        let mut ranked: Vec<_> = std::mem::take(candidates)
            .into_iter()
            .map(|candidate| {
                let class = class(&candidate, waiting_nodes);
                let start = self.served.get(&candidate.namespace).copied().unwrap_or(0.0);
                let turn = taken.entry((class, Arc::clone(&candidate.namespace))).or_insert(start);
                *turn += 1.0;
                (class, *turn, candidate)
            })
            .collect();
        ranked.sort_by(|(a, turn_a, _), (b, turn_b, _)| b.cmp(a).then(turn_a.total_cmp(turn_b)));
        candidates.extend(ranked.into_iter().map(|(_, _, candidate)| candidate));
    }
}

/// Orders candidates: what burns first, and of that what waits longest; then what makes room on a node where something
/// waits for it; then what is worth most.
pub(super) fn sort(candidates: &mut [Candidate], waiting_nodes: &HashSet<Arc<str>>) {
    candidates.sort_by(|a, b| {
        let since = |candidate: &Candidate| (candidate.since.is_none(), candidate.since);
        Reverse(class(a, waiting_nodes))
            .cmp(&Reverse(class(b, waiting_nodes)))
            .then(since(a).cmp(&since(b)))
            .then(b.benefit.total_cmp(&a.benefit))
            .then(a.action.workload.cmp(&b.action.workload))
            .then(a.action.pod.cmp(&b.action.pod))
    });
}

fn class(candidate: &Candidate, waiting_nodes: &HashSet<Arc<str>>) -> u8 {
    let makes_room =
        candidate.shrinks && candidate.node.as_ref().is_some_and(|node| waiting_nodes.contains(node));
    match (candidate.action.urgent, makes_room || candidate.helps) {
        (true, _) => 2,
        (false, true) => 1,
        (false, false) => 0,
    }
}
