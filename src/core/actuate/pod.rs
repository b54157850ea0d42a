//! One pod: what is to be done about it now, by what is seen of it.

mod evict;
mod heal;

use std::sync::Arc;

use super::change::{Change, NewSize, Past, Proposal, after_start, back_to, back_to_given, propose};
use super::facts::{EMERGENCY, Method, Pod, Resize, SizesByName, Workload};
use super::reason::Hold;
use super::step::Stepper;
use super::updater::Settings;
use crate::units::Timestamp;

/// What a kill teaches is recommended within this, in seconds.
const LESSON: i64 = 10;
/// A resize that waits for room for so long is taken elsewhere, where the policy allows it, in seconds.
const DEFERRED: i64 = 60;
/// A resize that the kubelet fails at for so long is taken back, in seconds.
const FAILING: i64 = 30;
/// Growth of a pod that has just been changed waits for so long, in seconds: as often as backtests decide. Where the
/// cooldown is shorter, that.
const GROWTH_PAUSE: i64 = 300;
/// A restart that was asked for and is not seen for so long was none, in seconds.
const RESTARTING: i64 = 60;
/// How often the pause after a refusal by a PodDisruptionBudget is doubled at most.
const DOUBLED: u32 = 8;
/// What was taken back is tried again after this, in seconds.
const BELOW_USAGE: i64 = 6 * 3600;

/// What is remembered of a pod.
#[derive(Clone, Debug, Default)]
pub(super) struct PodState {
    steppers: Vec<Stepper>,
    proposed: Option<Vec<Stepper>>,
    /// When the API server last accepted a change of it.
    changed: Option<Timestamp>,
    /// When it was last resized before this process knew it: what was changed then, nobody knows.
    inherited: Option<Timestamp>,
    /// Containers whose memory limit was raised in place.
    raised: Vec<Raise>,
    /// Its resize has been in a state that should pass since then.
    stuck: Option<(Resize, Timestamp)>,
    /// Something refused it, until when that is believed.
    refused: Option<(Hold, Timestamp)>,
    /// Refusals by a PodDisruptionBudget in a row.
    denied: u32,
    /// It is to be evicted since then.
    pub(super) waits_since: Option<Timestamp>,
    /// Its memory could not be lowered; until when that is believed.
    below_usage: Option<Timestamp>,
    /// It was told to restart containers then, after so many restarts.
    restarting: Option<(Timestamp, u32)>,
    /// It has been killed for its memory, with no more that it could be given, since then.
    killed_at_most: Option<Timestamp>,
    /// It was evicted.
    pub(super) evicted: Option<Timestamp>,
    /// It was seen to be ready.
    pub(super) was_ready: bool,
    /// It was seen at this round.
    pub(super) seen: bool,
}

/// A container's memory limit was raised in place.
#[derive(Clone, Debug)]
pub(super) struct Raise {
    container: Arc<str>,
    at: Timestamp,
    /// The OOM kill that was known of it by then: the node's clock is another one than ours.
    known: Option<Timestamp>,
}

/// What a workload allows to be done to one more of its pods.
#[derive(Clone, Copy, Debug)]
pub(super) struct Allowed {
    /// It may be disrupted.
    pub(super) disrupt: Result<(), Hold>,
    /// It may be replaced for its size.
    pub(super) replace: Result<(), Hold>,
    /// It may be replaced where an OOM loop keeps it down.
    pub(super) heal: Result<(), Hold>,
}

/// What is to be done about a pod.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Wish {
    /// Resize it.
    Resize(Change),
    /// Evict it. Urgent: it serves nobody as it is.
    Evict { urgent: bool },
    /// Take back what the kubelet cannot do.
    TakeBack(Change),
    /// Put back what it had before it came to harm.
    PutBack(Change),
    /// Take back what it was given to start up with.
    EndBoost(Change),
}

impl Wish {
    /// The pod serves nobody for a while.
    pub(super) fn disrupts(&self) -> bool {
        match self {
            Self::Evict { .. } => true,
            _ => self.change().is_some_and(|change| change.restarts > 0),
        }
    }

    /// Lets a pod grow that a rollout waits for.
    pub(super) fn helps(&self, workload: &Workload, pod: &Pod) -> bool {
        let grows = |change: &Change| change.grows && !change.shrinks;
        !pod.ready && workload.is_rolling_out() && matches!(self, Self::Resize(change) if grows(change))
    }

    /// The resize that is wished; `None` where it is another thing.
    pub(super) fn change(&self) -> Option<&Change> {
        match self {
            Self::Resize(change)
            | Self::TakeBack(change)
            | Self::PutBack(change)
            | Self::EndBoost(change) => Some(change),
            Self::Evict { .. } => None,
        }
    }
}

impl PodState {
    /// What is to be done; `None` where it is as it should be. `allowed` says what may be done to one more pod of the
    /// workload.
    pub(super) fn judge(
        &mut self,
        workload: &Workload,
        pod: &Pod,
        allowed: Allowed,
        settings: &Settings,
        now: Timestamp,
    ) -> Result<Option<Wish>, Hold> {
        let answer = self.decide(workload, pod, allowed, settings, now);
        let waits = matches!(answer, Ok(Some(Wish::Evict { .. })));
        self.waits_since = waits.then(|| self.waits_since.unwrap_or(now));
        answer
    }

    fn decide(
        &mut self,
        workload: &Workload,
        pod: &Pod,
        allowed: Allowed,
        settings: &Settings,
        now: Timestamp,
    ) -> Result<Option<Wish>, Hold> {
        if self.evicted.is_some_and(|at| now.seconds_since(at) < EMERGENCY) {
            return Err(Hold::ResizeInProgress);
        }
        let rules = &workload.rules;
        if pod.paused || rules.paused {
            return if self.would_change(workload, pod, now) { Err(Hold::Paused) } else { Ok(None) };
        }
        if rules.loans_only {
            return self.end_boost(pod, now).unwrap_or(Ok(None));
        }
        if let Some(hold) = rules.sized_by_other() {
            // What was lent is not theirs to take back: to them it is a request that is far too large.
            if let Some(answer) = self.end_boost(pod, now) {
                return answer;
            }
            return if self.would_change(workload, pod, now) { Err(hold) } else { Ok(None) };
        }
        if pod.sized_as_whole {
            // Nor would a new one be given sizes.
            return if self.would_change(workload, pod, now) { Err(Hold::PodResources) } else { Ok(None) };
        }
        if let Some(answer) = self.heal(workload, pod, allowed.heal, settings, now) {
            return answer;
        }
        if !pod.running {
            return Ok(None);
        }
        let under_way = self.resize_under_way(workload, pod, allowed, settings, now);
        let waits = matches!(pod.resize, Resize::Deferred | Resize::Infeasible);
        let waiting = match under_way {
            Some(answer) if !waits => return answer,
            other => other,
        };
        if let Some(answer) = self.end_boost(pod, now) {
            return answer;
        }
        let past = Past { limits_only_grow: settings.limits_only_grow, ..self.past(now) };
        let proposal = propose(workload, pod, &mut self.steppers, &past, now);
        // What waits for room waits for no more than is wanted by now.
        if let Some(answer) = waiting
            && !matches!(&proposal, Ok(Some(proposal)) if !proposal.change.grows)
        {
            return answer;
        }
        let proposal = match proposal {
            // Only a new pod can be given a request where there was none.
            Err(Hold::BestEffort) if rules.method != Method::InPlace => {
                timely(workload, settings)?;
                self.calm(workload, pod, true, settings, now)?;
                return self.evict(workload, pod, allowed, settings, Hold::BestEffort).map(Some);
            }
            other => other?,
        };
        let proposal = match proposal {
            // What is being rolled out may be stuck because it has too little; the rest waits for it.
            Some(proposal) if workload.is_rolling_out() && !proposal.change.after_oom => {
                // An analysis between two steps compares pods that serve.
                let held = pod.ready && workload.rolls_out_in_steps;
                Some(proposal.without_loss(pod).filter(|_| !held).ok_or(Hold::Rollout)?)
            }
            other => other,
        };
        let Some(Proposal { change, steppers }) = proposal else {
            return if self.leaks(workload, pod, now) { Err(Hold::Leaking) } else { Ok(None) };
        };
        self.killed_at_most = None;
        if !change.after_oom {
            self.calm(workload, pod, change.grows, settings, now)?;
        }
        let replace = |otherwise: Hold| {
            if pod.ready && workload.is_rolling_out() && !change.after_oom {
                // The rollout replaces it, and gives its successor what is recommended.
                return Err(Hold::Rollout);
            }
            self.evict(workload, pod, allowed, settings, otherwise).map(Some)
        };
        // What refuses an eviction says nothing of a resize.
        if let Some((hold, until)) = self.refused.filter(|(hold, _)| *hold != Hold::DisruptionBudget)
            && now < until
        {
            // Admission or the node refused it; a new pod may be another matter.
            return match hold {
                Hold::NodeTooSmall | Hold::ResizeUnsupported => replace(hold),
                hold => Err(hold),
            };
        }
        match rules.method {
            Method::OnCreate => Err(Hold::OnCreateOnly),
            Method::Evict => replace(Hold::OnCreateOnly),
            _ if !settings.resize_served => replace(Hold::ResizeUnsupported),
            _ => {
                if change.restarts > 0 && !change.after_oom {
                    allowed.disrupt?;
                }
                self.proposed = Some(steppers);
                Ok(Some(Wish::Resize(change)))
            }
        }
    }

    /// It was lent: neither method, window, cooldown nor canary have a say in when it ends.
    fn end_boost(&self, pod: &Pod, now: Timestamp) -> Option<Result<Option<Wish>, Hold>> {
        let change = after_start(pod)?;
        Some(match self.refused {
            Some((hold, until)) if now < until => Err(hold),
            _ => Ok(Some(Wish::EndBoost(change))),
        })
    }

    /// What is to be done where a person has asked for what was before: that, in place, and nothing else.
    pub(super) fn give_back(
        &mut self,
        workload: &Workload,
        pod: &Pod,
        had: &SizesByName,
        disruptable: Result<(), Hold>,
        now: Timestamp,
    ) -> Result<Option<Wish>, Hold> {
        if pod.paused || workload.rules.paused {
            return Err(Hold::Paused);
        }
        if let Some((hold, _)) = self.refused {
            return Err(hold);
        }
        if self.past(now).keeps_memory {
            return Err(Hold::BelowUsage);
        }
        if let Some(change) = back_to(workload, pod, had) {
            if change.restarts > 0 {
                disruptable?;
            }
            return Ok(Some(Wish::PutBack(change)));
        }
        let waited = self.waited(pod.resize, now);
        match pod.resize {
            Resize::None => Err(Hold::RolledBack),
            Resize::UnderWay => Err(Hold::ResizeInProgress),
            Resize::Deferred => Err(Hold::NodeFull),
            Resize::Infeasible => Err(Hold::NodeTooSmall),
            Resize::Failing if waited >= FAILING => match back_to_given(pod) {
                Some(change) => Ok(Some(Wish::TakeBack(change))),
                None => Err(Hold::BelowUsage),
            },
            Resize::Failing => Err(Hold::BelowUsage),
        }
    }

    fn would_change(&mut self, workload: &Workload, pod: &Pod, now: Timestamp) -> bool {
        let past = self.past(now);
        after_start(pod).is_some()
            || !matches!(propose(workload, pod, &mut self.steppers, &past, now), Ok(None))
    }

    fn past(&self, now: Timestamp) -> Past {
        let answered = |raise: &Raise| (Arc::clone(&raise.container), raise.known);
        Past {
            inherited: self.inherited,
            since: self.inherited.max(Some(now.plus(-EMERGENCY))),
            answered: self.raised.iter().map(answered).collect(),
            keeps_memory: self.below_usage.is_some_and(|until| now < until),
            limits_only_grow: false,
        }
    }

    /// It is there. What the API server knows of it may be from the process before this one.
    pub(super) fn meet(&mut self, pod: &Pod, now: Timestamp) {
        if self.changed.is_none() {
            self.inherited = pod.resized;
        }
        self.changed = self.changed.max(pod.resized);
        self.seen = true;
        self.was_ready |= pod.ready;
        if self.refused.is_some_and(|(_, until)| now >= until) {
            self.refused = None;
        }
    }

    /// It was told to go a short time ago, or that was refused.
    pub(super) fn is_being_replaced(&self, now: Timestamp) -> bool {
        self.evicted.is_some_and(|at| now.seconds_since(at) < EMERGENCY) || self.is_refused()
    }

    /// Something refused what was asked for it last, and that is still believed.
    pub(super) fn is_refused(&self) -> bool {
        self.refused.is_some()
    }

    /// What only waits for a better time, where nothing burns. What grows waits for a part of the cooldown only: usage
    /// does not wait, and the steps of [`Stepper`] see to it that a request does not swing.
    fn calm(
        &self,
        workload: &Workload,
        pod: &Pod,
        grows: bool,
        settings: &Settings,
        now: Timestamp,
    ) -> Result<(), Hold> {
        if grows {
            seasonable(workload, settings)?;
        } else {
            timely(workload, settings)?;
        }
        let cooldown = workload.rules.pace.cooldown;
        let within = |at: Option<Timestamp>, pause| at.is_some_and(|at| now.seconds_since(at) < pause);
        // A pod that has just been made has not been seen at work yet, but for what replaced others of its kind.
        let made = pod.created.filter(|_| !pod.ready);
        let pause = if grows { cooldown.min(GROWTH_PAUSE) } else { cooldown };
        if within(self.changed, pause) || within(made, pause) { Err(Hold::Cooldown) } else { Ok(()) }
    }

    /// Seconds for which its resize has been in that state.
    fn waited(&mut self, resize: Resize, now: Timestamp) -> i64 {
        let since = match self.stuck {
            Some((state, since)) if state == resize => since,
            _ => now,
        };
        self.stuck = Some((resize, since));
        now.seconds_since(since)
    }

    /// A resize that has been accepted and is not done.
    fn resize_under_way(
        &mut self,
        workload: &Workload,
        pod: &Pod,
        allowed: Allowed,
        settings: &Settings,
        now: Timestamp,
    ) -> Option<Result<Option<Wish>, Hold>> {
        if pod.resize == Resize::None {
            self.stuck = None;
            return None;
        }
        let waited = self.waited(pod.resize, now);
        Some(match pod.resize {
            Resize::None | Resize::UnderWay => Err(Hold::ResizeInProgress),
            Resize::Failing if waited >= FAILING => match back_to_given(pod) {
                Some(change) => Ok(Some(Wish::TakeBack(change))),
                None => Err(Hold::BelowUsage),
            },
            Resize::Failing => Err(Hold::BelowUsage),
            Resize::Deferred if waited < DEFERRED => Err(Hold::NodeFull),
            Resize::Deferred | Resize::Infeasible => {
                let hold = if pod.resize == Resize::Deferred { Hold::NodeFull } else { Hold::NodeTooSmall };
                let evict = self.evict(workload, pod, allowed, settings, hold);
                evict.and_then(|wish| timely(workload, settings).map(|()| Some(wish)))
            }
        })
    }

    /// It was killed for its memory again and again, and there is no more that it could be given.
    fn leaks(&mut self, workload: &Workload, pod: &Pod, now: Timestamp) -> bool {
        let at_most = pod.containers.iter().any(|container| {
            let wanted = workload.advice(&container.name).and_then(|advice| advice.target.memory_limit);
            container.oom_killed.is_some_and(|at| now.seconds_since(at) < EMERGENCY)
                && container.restarts >= 2
                && container.asked == container.given
                && wanted.is_some_and(|wanted| Some(wanted) <= container.given.memory_limit)
        });
        self.killed_at_most = at_most.then(|| self.killed_at_most.unwrap_or(now));
        // The first of these kills may still raise what is recommended.
        self.killed_at_most.is_some_and(|since| now.seconds_since(since) >= LESSON)
    }

    /// It was told to go, or to restart containers, and that is not seen yet: neither the watch nor the kubelet is as
    /// fast as the next round.
    pub(super) fn is_about_to_go(&self, pod: &Pod, now: Timestamp) -> bool {
        let restarting = self
            .restarting
            .is_some_and(|(at, restarts)| pod.restarts() <= restarts && now.seconds_since(at) < RESTARTING);
        self.evicted.is_some() || restarting
    }

    /// The API server has accepted what was wished of the pod as it was then.
    pub(super) fn accepted(&mut self, wish: &Wish, pod: &Pod, now: Timestamp) {
        (self.refused, self.denied) = (None, 0);
        self.restarting = wish.disrupts().then_some((now, pod.restarts()));
        // What is taken back was never in force.
        if let Some(change) = wish.change().filter(|_| !matches!(wish, Wish::TakeBack(_))) {
            self.note_raises(change, pod, now);
        }
        match wish {
            Wish::Resize(_) => {
                if let Some(steppers) = self.proposed.take() {
                    self.steppers = steppers;
                }
                self.changed = Some(now);
            }
            Wish::TakeBack(_) => {
                self.changed = Some(now);
                self.stuck = None;
                self.below_usage = Some(now.plus(BELOW_USAGE));
            }
            Wish::PutBack(_) | Wish::EndBoost(_) => self.changed = Some(now),
            Wish::Evict { .. } => self.evicted = Some(now),
        }
    }

    /// It has refused, and that is believed for so many seconds; of a PodDisruptionBudget for twice as long each time.
    pub(super) fn refused(&mut self, hold: Hold, pause: i64, now: Timestamp) {
        self.proposed = None;
        let pause = if hold == Hold::DisruptionBudget {
            self.denied = self.denied.saturating_add(1).min(DOUBLED);
            pause << (self.denied - 1)
        } else {
            pause
        };
        self.refused = Some((hold, now.plus(pause)));
    }

    fn note_raises(&mut self, change: &Change, pod: &Pod, now: Timestamp) {
        let raises = |size: &&NewSize| size.to.memory_limit > size.from.memory_limit;
        for NewSize { container, .. } in change.sizes.iter().filter(raises) {
            let known = pod.containers.iter().find(|other| other.name == *container);
            let known = known.and_then(|known| known.oom_killed);
            self.raised.retain(|raise| raise.container != *container);
            self.raised.push(Raise { container: Arc::clone(container), at: now, known });
        }
    }
}

/// Whether this is a time at which pods of it are changed.
fn timely(workload: &Workload, settings: &Settings) -> Result<(), Hold> {
    seasonable(workload, settings)?;
    if workload.is_rolling_out() { Err(Hold::Rollout) } else { Ok(()) }
}

/// Whether this is a time at which pods of it may grow.
fn seasonable(workload: &Workload, settings: &Settings) -> Result<(), Hold> {
    if settings.warming_up {
        return Err(Hold::WarmUp);
    }
    if workload.rules.open { Ok(()) } else { Err(Hold::WindowClosed) }
}
