//! One pod: what is to be done about it now, by what is seen of it.

use super::change::{Change, Proposal, after_start, back_to, back_to_given, propose};
use super::facts::{Method, Pod, Resize, SizesByName, Workload};
use super::reason::Hold;
use super::step::Stepper;
use super::updater::Settings;
use crate::units::Timestamp;

/// An OOM kill that is longer ago than this is no emergency any more, in seconds.
const EMERGENCY: i64 = 900;
/// What a kill teaches is recommended within this, in seconds.
const LESSON: i64 = 10;
/// A resize that waits for room for so long is taken elsewhere, where the policy allows it, in seconds.
const DEFERRED: i64 = 60;
/// A resize that the kubelet fails at for so long is taken back, in seconds.
const FAILING: i64 = 30;
/// A restart that was asked for and is not seen for so long was none, in seconds.
const RESTARTING: i64 = 60;
/// What was taken back is tried again after this, in seconds.
const BELOW_USAGE: i64 = 6 * 3600;

/// What is remembered of a pod.
#[derive(Clone, Debug, Default)]
pub(super) struct PodState {
    steppers: Vec<Stepper>,
    proposed: Option<Vec<Stepper>>,
    /// When the API server last accepted a change of it.
    pub(super) changed: Option<Timestamp>,
    /// Its resize has been in a state that should pass since then.
    stuck: Option<(Resize, Timestamp)>,
    /// Something refused it, until when that is believed.
    refused: Option<(Hold, Timestamp)>,
    /// It was told to restart containers then, after so many restarts.
    restarting: Option<(Timestamp, u32)>,
    /// It has been killed for its memory, with no more that it could be given, since then.
    killed_at_most: Option<Timestamp>,
    /// It was evicted.
    pub(super) evicted: Option<Timestamp>,
    /// It was seen at this round.
    pub(super) seen: bool,
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
            Self::Resize(change)
            | Self::TakeBack(change)
            | Self::PutBack(change)
            | Self::EndBoost(change) => change.restarts,
            Self::Evict { .. } => true,
        }
    }
}

impl PodState {
    /// What is to be done; `None` where it is as it should be. `disruptable` says whether one more pod of the workload
    /// may be disrupted.
    pub(super) fn judge(
        &mut self,
        workload: &Workload,
        pod: &Pod,
        disruptable: Result<(), Hold>,
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
        if rules.owned_by_vpa {
            // What was lent is not theirs to take back: to them it is a request that is far too large.
            if let Some(answer) = self.end_boost(pod, now) {
                return answer;
            }
            return if self.would_change(workload, pod, now) { Err(Hold::OwnedByVpa) } else { Ok(None) };
        }
        if let Some(answer) = self.heal(workload, pod, settings, now) {
            return answer;
        }
        if let Some(answer) = self.resize_under_way(workload, pod, disruptable, settings, now) {
            return answer;
        }
        if let Some(answer) = self.end_boost(pod, now) {
            return answer;
        }
        let proposal = match propose(workload, pod, &mut self.steppers, self.changed, now) {
            // Only a new pod can be given a request where there was none.
            Err(Hold::BestEffort) if rules.method != Method::InPlace => {
                self.calm(workload, pod, settings, now)?;
                return self.evict(workload, pod, disruptable, settings, Hold::BestEffort).map(Some);
            }
            other => other?,
        };
        let Some(Proposal { change, steppers }) = proposal else {
            return if self.leaks(workload, pod, now) { Err(Hold::Leaking) } else { Ok(None) };
        };
        self.killed_at_most = None;
        if !change.after_oom {
            self.calm(workload, pod, settings, now)?;
        }
        if let Some((hold, until)) = self.refused
            && now < until
        {
            // Admission or the node refused it; a new pod may be another matter.
            return match hold {
                Hold::NodeTooSmall | Hold::ResizeUnsupported => {
                    self.evict(workload, pod, disruptable, settings, hold).map(Some)
                }
                hold => Err(hold),
            };
        }
        match rules.method {
            Method::OnCreate => Err(Hold::OnCreateOnly),
            Method::Evict => self.evict(workload, pod, disruptable, settings, Hold::OnCreateOnly).map(Some),
            _ if !settings.resize_served => {
                self.evict(workload, pod, disruptable, settings, Hold::ResizeUnsupported).map(Some)
            }
            _ => {
                if change.restarts && !change.after_oom {
                    disruptable?;
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
        if let Some(change) = back_to(pod, had) {
            if change.restarts {
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
        after_start(pod).is_some()
            || !matches!(propose(workload, pod, &mut self.steppers, self.changed, now), Ok(None))
    }

    /// What only waits for a better time, where nothing burns.
    fn calm(&self, workload: &Workload, pod: &Pod, settings: &Settings, now: Timestamp) -> Result<(), Hold> {
        if settings.warming_up {
            return Err(Hold::WarmUp);
        }
        if !workload.rules.open {
            return Err(Hold::WindowClosed);
        }
        if workload.is_rolling_out() {
            return Err(Hold::Rollout);
        }
        let cooldown = workload.rules.pace.cooldown;
        // A pod that has just been made has not been seen at work yet, but for what replaced others of its kind.
        let changed = self.changed.max(pod.created.filter(|_| !pod.ready));
        if changed.is_some_and(|at| now.seconds_since(at) < cooldown) {
            return Err(Hold::Cooldown);
        }
        Ok(())
    }

    /// The OOM loop (kubernetes#138760): a container that is down stays under its pod's old limit whatever is asked of
    /// the kubelet, up to 1.36; and up to five minutes in later versions. Only a new pod helps, and nobody is served
    /// by the old one. The same where it was killed again after a rise in place.
    fn heal(
        &self,
        workload: &Workload,
        pod: &Pod,
        settings: &Settings,
        now: Timestamp,
    ) -> Option<Result<Option<Wish>, Hold>> {
        let needs_more = pod.containers.iter().any(|container| {
            let recent = container.oom_killed.is_some_and(|at| now.seconds_since(at) < EMERGENCY);
            let again = self.changed.is_some_and(|changed| container.oom_killed > Some(changed));
            let wanted = workload.advice(&container.name).and_then(|advice| advice.target.memory_limit);
            // What was asked for in place and is not in force counts as not given.
            let more = wanted > container.given.memory_limit || container.asked != container.given || again;
            recent && more && (container.down || again)
        });
        if !needs_more {
            return None;
        }
        let rules = &workload.rules;
        if rules.memory_scaled {
            return Some(Err(Hold::HorizontalPodAutoscaler));
        }
        Some(match rules.method {
            Method::OnCreate => Err(Hold::OnCreateOnly),
            Method::InPlace => Err(Hold::InPlaceOnly),
            Method::InPlaceOrEvict | Method::Evict => movable(workload, pod, settings)
                .and_then(|()| self.believed_refusal(now))
                .map(|()| Some(Wish::Evict { urgent: true })),
        })
    }

    fn believed_refusal(&self, now: Timestamp) -> Result<(), Hold> {
        match self.refused {
            Some((hold @ (Hold::DisruptionBudget | Hold::ApiServer | Hold::Forbidden), until))
                if now < until =>
            {
                Err(hold)
            }
            _ => Ok(()),
        }
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
        disruptable: Result<(), Hold>,
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
            Resize::Deferred => self.evict(workload, pod, disruptable, settings, Hold::NodeFull).map(Some),
            Resize::Infeasible => {
                self.evict(workload, pod, disruptable, settings, Hold::NodeTooSmall).map(Some)
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

    /// To be evicted, or why not; `otherwise` where the policy does not allow it at all.
    fn evict(
        &self,
        workload: &Workload,
        pod: &Pod,
        disruptable: Result<(), Hold>,
        settings: &Settings,
        otherwise: Hold,
    ) -> Result<Wish, Hold> {
        match workload.rules.method {
            Method::InPlace
                if matches!(otherwise, Hold::NodeFull | Hold::NodeTooSmall | Hold::ResizeUnsupported) =>
            {
                return Err(otherwise);
            }
            Method::InPlace => return Err(Hold::InPlaceOnly),
            Method::OnCreate => return Err(Hold::OnCreateOnly),
            Method::InPlaceOrEvict | Method::Evict => {}
        }
        movable(workload, pod, settings)?;
        if let Some((hold @ (Hold::DisruptionBudget | Hold::ApiServer | Hold::Forbidden), _)) = self.refused {
            return Err(hold);
        }
        if workload.staying().count() < workload.rules.min_replicas {
            return Err(Hold::MinReplicas);
        }
        disruptable?;
        Ok(Wish::Evict { urgent: false })
    }

    /// It was told to go, or to restart containers, and that is not seen yet: neither the watch nor the kubelet is as
    /// fast as the next round.
    pub(super) fn is_about_to_go(&self, pod: &Pod, now: Timestamp) -> bool {
        let restarting = self
            .restarting
            .is_some_and(|(at, restarts)| pod.restarts() <= restarts && now.seconds_since(at) < RESTARTING);
        self.evicted.is_some() || restarting
    }

    /// The API server has accepted what was wished of it after so many restarts.
    pub(super) fn accepted(&mut self, wish: &Wish, restarts: u32, now: Timestamp) {
        self.refused = None;
        self.restarting = wish.disrupts().then_some((now, restarts));
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
                self.refused = Some((Hold::BelowUsage, now.plus(BELOW_USAGE)));
            }
            Wish::PutBack(_) | Wish::EndBoost(_) => self.changed = Some(now),
            Wish::Evict { .. } => self.evicted = Some(now),
        }
    }

    /// It has refused, and that is believed until then.
    pub(super) fn refused(&mut self, hold: Hold, until: Timestamp) {
        self.proposed = None;
        self.refused = Some((hold, until));
    }

    /// What was believed of a refusal ends.
    pub(super) fn forget_refusal(&mut self, now: Timestamp) {
        if self.refused.is_some_and(|(_, until)| now >= until) {
            self.refused = None;
        }
    }
}

/// Whether a new pod would come in its place, with its sizes.
fn movable(workload: &Workload, pod: &Pod, settings: &Settings) -> Result<(), Hold> {
    if !pod.managed {
        return Err(Hold::Unmanaged);
    }
    if workload.bound_to_nodes {
        return Err(Hold::BoundToNode);
    }
    if pod.may_not_be_evicted {
        return Err(Hold::SafeToEvictFalse);
    }
    if !admission_works(workload, settings) {
        return Err(Hold::AdmissionSilent);
    }
    Ok(())
}

/// The last pod that came up since new ones are given what is recommended has it; of a workload that has none such, what
/// is known of all workloads counts.
fn admission_works(workload: &Workload, settings: &Settings) -> bool {
    let since = workload.given_since;
    match workload.newest().filter(|pod| since.is_some() && pod.created > since) {
        Some(newest) => newest.stamped,
        None => settings.admission_answers,
    }
}
