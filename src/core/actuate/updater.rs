//! All workloads: what is done first, how much at once, and what is said of the rest.

mod newcomers;
#[cfg(test)]
mod tests;

use std::borrow::Borrow;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::bucket::Bucket;
use super::change::{Change, back_to};
use super::facts::{Before, Pod, PodId, Resize, Rollback, SizesByName, Workload};
use super::given::Given;
use super::guard::{Degraded, Guard, Remembered, Verdict, similar, targets};
use super::pod::{Allowed, PodState, Wish};
use super::reason::Hold;
use super::rescale::{self, Rescale};
use super::rounds::Replaced;
use super::shares::{Candidate, Shares, sort};
use super::turn::{Budget, Turn, at_once};
use crate::units::Timestamp;

/// Default warm-up, in seconds.
const WARM_UP: i64 = 30;
/// A pod that was refused is tried again after so many seconds.
const TRY_AGAIN: i64 = 60;
/// The same where what refused changes seldom.
const TRY_LATER: i64 = 600;

/// What is so for all workloads.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Nothing is changed.
    pub paused: bool,
    /// The API server resizes pods (Kubernetes 1.33 and later).
    pub resize_served: bool,
    /// Admission is known to give new pods their sizes.
    pub admission_answers: bool,
    /// The API server lowers no memory limit of a running container (Kubernetes 1.33).
    pub limits_only_grow: bool,
    /// Set by [`Updater::plan`].
    pub warming_up: bool,
}

/// What is done to a pod.
#[derive(Clone, Debug, PartialEq)]
pub enum Deed {
    /// It is resized in place.
    Resize(Change),
    /// It gets back what it had.
    PutBack(Change),
    /// It has started up, and gives back what it had more for that.
    EndBoost(Change),
    /// It is evicted.
    Evict,
}

/// Something to do.
#[derive(Clone, Debug)]
pub struct Action {
    /// To which workload's pod.
    pub workload: Arc<str>,
    /// Which pod.
    pub pod: PodId,
    /// What.
    pub deed: Deed,
    /// It answers an OOM kill, puts harm back, or ends what was for the start only.
    pub urgent: bool,
    pub(super) wish: Wish,
}

/// What is said of a workload.
#[derive(Clone, Debug, Default)]
pub struct WorkloadPlan {
    /// Pods that stay.
    pub pods: usize,
    /// Pods that are as they should be.
    pub steady: usize,
    /// Pods that are to be changed now.
    pub acting: usize,
    /// How many pods are left alone, and why.
    pub held: BTreeMap<Hold, usize>,
    /// The harm that the last change did.
    pub degraded: Option<Degraded>,
    /// What new pods are to be given.
    pub given: Given,
}

/// What is to be done, in this order, and what is said of each workload.
#[derive(Debug, Default)]
pub struct Plan {
    /// What is to be done.
    pub actions: Vec<Action>,
    /// Targets of autoscalers that move, by workload.
    pub rescales: Vec<(Arc<str>, Rescale)>,
    /// What is said, by workload.
    pub workloads: HashMap<Arc<str>, WorkloadPlan>,
}

/// What is remembered from plan to plan.
#[derive(Debug)]
pub struct Updater {
    pods: HashMap<PodId, PodState>,
    guards: HashMap<Arc<str>, Guard>,
    before: HashMap<Arc<str>, Before>,
    resizes: Bucket,
    evictions: Bucket,
    /// What each workload may still have changed of its pods; full where it is not there.
    paces: HashMap<Arc<str>, Bucket>,
    replaced: HashMap<Arc<str>, Replaced>,
    shares: [Shares; 2],
    started: Option<Timestamp>,
    warm_up: i64,
}

impl Updater {
    /// Makes so many resizes, and so many evictions, a second.
    #[must_use]
    pub fn new(resizes_per_second: f64, evictions_per_second: f64) -> Self {
        Self {
            pods: HashMap::new(),
            guards: HashMap::new(),
            before: HashMap::new(),
            resizes: Bucket::new(resizes_per_second, (resizes_per_second * 2.0).max(1.0)),
            evictions: Bucket::new(evictions_per_second, (evictions_per_second * 5.0).max(1.0)),
            paces: HashMap::new(),
            replaced: HashMap::new(),
            shares: Default::default(),
            started: None,
            warm_up: WARM_UP,
        }
    }

    /// Sets the warm-up: for this many seconds after the first plan, only urgent actions are taken, as what runs has to
    /// be seen first.
    #[must_use]
    pub fn with_warm_up(mut self, seconds: i64) -> Self {
        self.warm_up = seconds;
        self
    }

    /// What is to be done now. What is accepted or refused of it has to be told before the next call.
    pub fn plan<W: Borrow<Workload>>(
        &mut self,
        workloads: &[W],
        settings: &Settings,
        now: Timestamp,
    ) -> Plan {
        let workloads = || workloads.iter().map(Borrow::borrow);
        let started = *self.started.get_or_insert(now);
        let warming_up = now.seconds_since(started) < self.warm_up;
        let settings = Settings { warming_up, ..*settings };
        self.resizes.fill(now);
        self.evictions.fill(now);
        self.pods.values_mut().for_each(|state| state.seen = false);
        let mut plan = Plan::default();
        let (mut candidates, mut waiting_nodes) = (Vec::new(), HashSet::new());
        for workload in workloads() {
            let waits = workload.staying().filter(|pod| pod.resize == Resize::Deferred);
            waiting_nodes.extend(waits.filter_map(|pod| pod.node.clone()));
            if let (Some(before), false) = (&workload.before, self.before.contains_key(&workload.key)) {
                self.before.insert(Arc::clone(&workload.key), before.clone());
            }
            let rescales = rescale::due(workload);
            let asked_back = workload.rollback.filter(|rollback| now < rollback.until);
            let mut said = match asked_back {
                Some(rollback) => self.give_back(workload, rollback, &settings, now, &mut candidates),
                None => self.consider(workload, !rescales.is_empty(), &settings, now, &mut candidates),
            };
            let before = self.before.get(&workload.key);
            said.given = Given::of(workload, said.degraded.as_ref(), before, now);
            let hands_off = workload.rules.paused || workload.rules.sized_by_other().is_some();
            let rescales = rescales.into_iter().filter(|_| !hands_off);
            plan.rescales.extend(rescales.map(|rescale| (Arc::clone(&workload.key), rescale)));
            plan.workloads.insert(Arc::clone(&workload.key), said);
        }
        self.pods.retain(|_, state| state.seen);
        let known: HashSet<&Arc<str>> = workloads().map(|workload| &workload.key).collect();
        self.guards.retain(|key, _| known.contains(key));
        self.before.retain(|key, _| known.contains(key));
        self.paces.retain(|key, _| known.contains(key));
        self.replaced.retain(|key, _| known.contains(key));
        let candidates = self.in_turn(candidates, &waiting_nodes, now);
        if settings.paused {
            plan.rescales.clear();
        }
        for candidate in candidates {
            let said = plan.workloads.entry(Arc::clone(&candidate.action.workload)).or_default();
            if settings.paused {
                *said.held.entry(Hold::AllPaused).or_default() += 1;
            } else if self.is_in_time(&candidate) {
                said.acting += 1;
                plan.actions.push(candidate.action);
            } else {
                *said.held.entry(Hold::RateLimit).or_default() += 1;
            }
        }
        plan
    }

    /// Orders resizes and evictions, each by the shares of the namespaces.
    fn in_turn(
        &mut self,
        candidates: Vec<Candidate>,
        waiting_nodes: &HashSet<Arc<str>>,
        now: Timestamp,
    ) -> Vec<Candidate> {
        let (evictions, resizes): (Vec<_>, Vec<_>) =
            candidates.into_iter().partition(|candidate| candidate.action.deed == Deed::Evict);
        let mut all = Vec::new();
        for (shares, mut of) in self.shares.iter_mut().zip([evictions, resizes]) {
            shares.decay(now);
            shares.sort(&mut of, waiting_nodes);
            all.extend(of);
        }
        all
    }

    /// The cluster's rate allows it, and the workload's own. What burns waits for the cluster's only.
    fn is_in_time(&mut self, candidate: &Candidate) -> bool {
        let bucket = match candidate.action.deed {
            Deed::Evict => &mut self.evictions,
            Deed::Resize(_) | Deed::PutBack(_) | Deed::EndBoost(_) => &mut self.resizes,
        };
        let own = self
            .paces
            .get_mut(&candidate.action.workload)
            .filter(|_| !candidate.action.urgent && !candidate.helps);
        let takes = match own {
            Some(own) => own.holds() && bucket.take() && own.take(),
            None => bucket.take(),
        };
        if takes {
            let evicts = candidate.action.deed == Deed::Evict;
            self.shares[usize::from(!evicts)].note(candidate);
        }
        takes
    }

    /// As many pods of a workload a minute as may be changed at once.
    fn keep_pace(&mut self, workload: &Workload, now: Timestamp) {
        let most = at_once(workload) as f64;
        let own = self.paces.entry(Arc::clone(&workload.key));
        let own = own.or_insert_with(|| Bucket::new(most / 60.0, most));
        own.adjust(most / 60.0, most);
        own.fill(now);
    }

    fn consider(
        &mut self,
        workload: &Workload,
        rescaling: bool,
        settings: &Settings,
        now: Timestamp,
        candidates: &mut Vec<Candidate>,
    ) -> WorkloadPlan {
        let mut said = WorkloadPlan { pods: workload.staying().count(), ..WorkloadPlan::default() };
        let mut budget = self.budget(workload, now);
        let mut own = Vec::new();
        let replaced = self.heed_newcomers(workload, settings, now, &mut own, &mut said);
        let judged = |pod: &&Pod| (pod.running || pod.is_stuck()) && !replaced.contains(&pod.id);
        for pod in workload.staying().filter(judged) {
            let allowed = self.allowed(workload, pod.id, &budget, now);
            let state = self.meet(pod, now);
            match state.judge(workload, pod, allowed, settings, now) {
                Ok(None) => said.steady += usize::from(pod.running),
                Ok(Some(wish)) => {
                    if matches!(wish, Wish::Evict { urgent: true }) {
                        budget.heal();
                    }
                    let since = state.waits_since;
                    let candidate = candidate(workload, pod, wish, settings);
                    own.extend(candidate.map(|candidate| candidate.waits_since(since)));
                }
                Err(hold) => *said.held.entry(hold).or_default() += 1,
            }
        }
        let guard = self.guard(workload);
        let verdict = guard.judge(workload, now);
        said.degraded = guard.degraded(now).cloned();
        let keeps_pods = guard.fears_new_pods();
        if let Verdict::PutBack(pod, before) = &verdict {
            // What was killed and is down, or needs more than it had, is healed and not put back.
            if !own.iter().any(|candidate| candidate.action.pod == *pod && candidate.action.urgent) {
                own.retain(|candidate| candidate.action.pod != *pod);
                candidates.extend(self.put_back(workload, *pod, before, settings));
            }
        }
        sort(&mut own, &HashSet::new());
        let mut turn = Turn::new(workload, verdict, budget);
        for candidate in own {
            // Never both at once: each has to be seen by the other before it moves.
            let hold = match (candidate.action.urgent, rescaling) {
                (true, _) => Ok(()),
                (false, true) => Err(Hold::Rescaling),
                (false, false) if keeps_pods && candidate.action.deed == Deed::Evict => Err(Hold::RolledBack),
                // Nobody waits for what may get a pod to serve.
                (false, false) if candidate.helps => Ok(()),
                (false, false) => turn.may_go(candidate.step()),
            };
            match hold {
                Ok(()) => {
                    if !candidate.action.urgent {
                        self.keep_pace(workload, now);
                    }
                    candidates.push(candidate);
                }
                Err(hold) => *said.held.entry(hold).or_default() += 1,
            }
        }
        said
    }

    fn allowed(&self, workload: &Workload, pod: PodId, budget: &Budget, now: Timestamp) -> Allowed {
        let replaced = self.replaced.get(&workload.key);
        let may = |replaces: fn(&Replaced, PodId, Timestamp) -> Result<(), Hold>| {
            replaced.map_or(Ok(()), |replaced| replaces(replaced, pod, now))
        };
        Allowed {
            disrupt: budget.may_disrupt(pod),
            replace: may(Replaced::may_move),
            heal: may(Replaced::may_heal).and_then(|()| budget.may_heal()),
        }
    }

    /// What puts back the harm that was done to a pod, unless somebody has said to keep off it.
    fn put_back(
        &self,
        workload: &Workload,
        pod: PodId,
        before: &SizesByName,
        settings: &Settings,
    ) -> Option<Candidate> {
        let pod = workload.pods.iter().find(|other| other.id == pod)?;
        let keeps_off = pod.paused || workload.rules.paused || workload.rules.sized_by_other().is_some();
        let refused = self.pods.get(&pod.id).is_some_and(PodState::is_refused);
        let change = back_to(workload, pod, before).filter(|_| !keeps_off && !refused)?;
        candidate(workload, pod, Wish::PutBack(change), settings)
    }

    fn guard(&mut self, workload: &Workload) -> &mut Guard {
        let guard = self.guards.entry(Arc::clone(&workload.key));
        guard.or_insert_with(|| Guard::resumed(&workload.remembered))
    }

    /// What is known of a pod that is there.
    fn meet(&mut self, pod: &Pod, now: Timestamp) -> &mut PodState {
        let state = self.pods.entry(pod.id).or_default();
        state.meet(pod, now);
        state
    }

    /// What serves nobody, and what will not for a while but does not show it yet.
    fn budget(&self, workload: &Workload, now: Timestamp) -> Budget {
        let told = |pod: &Pod| self.pods.get(&pod.id).is_some_and(|state| state.is_about_to_go(pod, now));
        Budget::of(workload, told, now)
    }

    /// A person has asked for what was before: all of the pods get that, and nothing else is done.
    fn give_back(
        &mut self,
        workload: &Workload,
        rollback: Rollback,
        settings: &Settings,
        now: Timestamp,
        candidates: &mut Vec<Candidate>,
    ) -> WorkloadPlan {
        let mut said = WorkloadPlan {
            pods: workload.staying().count(),
            degraded: Some(rollback.into()),
            ..WorkloadPlan::default()
        };
        let had = self.before.get(&workload.key).map(|before| before.had.clone()).unwrap_or_default();
        let mut budget = self.budget(workload, now);
        for pod in workload.staying().filter(|pod| pod.running) {
            let state = self.meet(pod, now);
            match state.give_back(workload, pod, &had, budget.may_disrupt(pod.id), now) {
                Ok(None) => said.steady += 1,
                Ok(Some(wish)) => {
                    // All go in one round: what one restarts, the next one may not.
                    if wish.disrupts() {
                        budget.disrupt(pod.id);
                    }
                    candidates.extend(candidate(workload, pod, wish, settings));
                }
                Err(hold) => *said.held.entry(hold).or_default() += 1,
            }
        }
        self.guard(workload).forget();
        said
    }

    /// The API server has accepted an action.
    pub fn accepted(&mut self, action: &Action, workload: &Workload, now: Timestamp) {
        let Some(pod) = workload.pods.iter().find(|pod| pod.id == action.pod) else { return };
        if let Some(state) = self.pods.get_mut(&action.pod) {
            state.accepted(&action.wish, pod, now);
        }
        if !matches!(action.deed, Deed::PutBack(_) | Deed::EndBoost(_)) {
            self.note_before(workload, pod);
        }
        if action.deed == Deed::Evict {
            let replaced = self.replaced.entry(Arc::clone(&workload.key)).or_default();
            replaced.note(workload, (pod.id, action.urgent), now);
        }
        // A raise does no harm to what is not ready: that it still fails is no news.
        if !action.urgent && !action.wish.helps(workload, pod) {
            let in_place = action.wish.change().map(|change| change.restarts);
            self.guard(workload).begin(workload, pod, in_place, now);
        }
    }

    /// Keeps what a pod had, where something else was meant for its workload than the last time.
    fn note_before(&mut self, workload: &Workload, pod: &Pod) {
        let meant = targets(workload);
        let same = self.before.get(&workload.key).is_some_and(|before| similar(&before.meant, &meant));
        // What never ran has shown nothing of what was before.
        if !same && (pod.running || pod.ready) {
            let had = pod.containers.iter().map(|container| (Arc::clone(&container.name), container.asked));
            self.before.insert(Arc::clone(&workload.key), Before { had: had.collect(), meant });
        }
    }

    /// It has refused it.
    pub fn refused(&mut self, action: &Action, hold: Hold, now: Timestamp) {
        let later = matches!(
            hold,
            Hold::NodeTooSmall
                | Hold::ResizeUnsupported
                | Hold::QosClass
                | Hold::Invalid
                | Hold::Forbidden
                | Hold::AdmissionRefuses
        );
        // A pod that serves nobody is tried again soon.
        let pause = match (later, action.urgent) {
            (true, _) => TRY_LATER,
            // The rest of the change goes alone.
            (false, false) if hold == Hold::LimitsOnlyGrow => 5,
            (false, false) => TRY_AGAIN,
            (false, true) => 5,
        };
        if let Some(state) = self.pods.get_mut(&action.pod) {
            state.refused(hold, pause, now);
        }
    }

    /// What a workload's pods had before what is recommended was given to them.
    #[must_use]
    pub fn before(&self, workload: &str) -> Option<&Before> {
        self.before.get(workload)
    }

    /// What of a workload's first pod is to be known to the next process.
    #[must_use]
    pub fn remembered(&self, workload: &str) -> Option<&Remembered> {
        self.guards.get(workload).map(Guard::remembered)
    }

    /// What is remembered of pods; for the budget of memory.
    #[must_use]
    pub fn pods(&self) -> usize {
        self.pods.len()
    }
}

/// The action for a wish; `None` where the API server would do nothing of it.
fn candidate(workload: &Workload, pod: &Pod, wish: Wish, settings: &Settings) -> Option<Candidate> {
    let possible = |change: &Change| {
        let change = change.clone();
        if settings.limits_only_grow { change.without_lower_limits(pod) } else { Some(change) }
    };
    let deed = match &wish {
        Wish::Resize(change) => Deed::Resize(possible(change)?),
        Wish::TakeBack(change) | Wish::PutBack(change) => Deed::PutBack(possible(change)?),
        Wish::EndBoost(change) => Deed::EndBoost(possible(change)?),
        Wish::Evict { .. } => Deed::Evict,
    };
    Some(Candidate::new(workload, pod, deed, wish))
}
