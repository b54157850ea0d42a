//! The first pod of a workload that is changed is watched before the others follow; harm is put back.
//!
//! What is being watched and what harm was seen is told ([`Remembered`]), so that the next process goes on from there.

use std::sync::Arc;

use super::change::back_to;
use super::facts::{Before, Pod, PodId, Rollback, SizesByName, Stalled, Workload};
use super::given::Given;
use super::newcomer::{Symptom, Trouble};
use crate::policy::ContainerSize;
use crate::units::{Bytes, Cores, Timestamp};

/// After the first harm nothing is tried for so long, in seconds; after each further one, twice as long.
const FIRST_PAUSE: i64 = 3600;
/// But not longer than this.
const LONGEST_PAUSE: i64 = 7 * 86_400;
/// Not ready for so long after a change is harm, in seconds: a probe may fail once for no reason.
const UNREADY: i64 = 10;
/// What was started again by its change has so long to become ready, in seconds, as a Deployment's rollout has.
const START_UP: i64 = 600;
/// The API server's clock may be behind ours by that, in seconds.
const SKEW: i64 = 10;
/// Waiting for CPU in that much more of the time than before a change is harm, as a share of it; and for so long, in
/// seconds: two readings, so that one that still covers the time before does not count.
const STALLED: f32 = 0.2;
const STALLED_FOR: i64 = 60;
/// Targets that moved by no more than this share since the first pod did well are not tried out again.
const SAME: f64 = 0.25;

/// What is known of the first pod.
#[derive(Clone, Debug, Default)]
pub(super) struct Guard {
    kept: Remembered,
    /// The targets that did well, by container.
    passed: Option<SizesByName>,
    /// What has still to be put back.
    put_back: Option<(PodId, SizesByName)>,
    /// The watched pod has been ready since its change.
    was_back: bool,
    unready_since: Option<Timestamp>,
    stalled_since: Option<Timestamp>,
    /// Admission gives new pods what was before since then.
    told: Option<Timestamp>,
}

/// What outlives the process.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Remembered {
    /// The pod that is being watched.
    pub watched: Option<Watched>,
    /// The harm that a change did last, until one has gone well.
    pub harm: Option<Degraded>,
}

/// A pod that was changed first.
#[derive(Clone, Debug, PartialEq)]
pub struct Watched {
    /// Which.
    pub pod: PodId,
    /// Since when it is watched.
    pub since: Timestamp,
    /// By what means it was changed.
    pub how: How,
    /// What it had before.
    pub before: SizesByName,
    /// What was recommended then.
    pub targets: SizesByName,
    /// Restarts of its containers by then, and by the change itself.
    pub restarts: u32,
    /// It was ready.
    pub was_ready: bool,
}

/// By what means a pod was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// It runs on.
    InPlace,
    /// Containers of it are restarted.
    Restart,
    /// Another one comes in its place.
    Replace,
}

/// A change did harm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Degraded {
    /// What was seen.
    pub evidence: String,
    /// When.
    pub at: Timestamp,
    /// When it is tried again.
    pub until: Timestamp,
    /// How often this has happened in a row.
    pub times: u32,
    /// Nobody has seen harm: a person wanted it back.
    pub asked: bool,
    /// A container was OOM killed.
    pub killed: bool,
    /// New pods showed it, and are given this until then; `None`: a pod that was changed.
    pub new_pods: Option<Given>,
}

impl From<Rollback> for Degraded {
    fn from(rollback: Rollback) -> Self {
        let evidence = "`plumb rollback` was asked for".to_owned();
        let Rollback { at, until, times } = rollback;
        Self { evidence, at, until, times, asked: true, killed: false, new_pods: None }
    }
}

/// For how long nothing is tried after it went wrong for that many times in a row, in seconds.
#[must_use]
pub fn pause_after(times: u32) -> i64 {
    let doubled = 1_i64.checked_shl(times.saturating_sub(1)).unwrap_or(i64::MAX).max(1);
    FIRST_PAUSE.saturating_mul(doubled).min(LONGEST_PAUSE)
}

impl Rollback {
    /// Asked for now. It is the next one in a row where the last one's pause ended no longer ago than it lasted.
    #[must_use]
    pub fn after(last: Option<Self>, now: Timestamp) -> Self {
        let in_row = last.filter(|last| now.seconds_since(last.until) < last.until.seconds_since(last.at));
        let times = in_row.map_or(0, |last| last.times).saturating_add(1);
        Self { at: now, until: now.plus(pause_after(times)), times }
    }
}

/// What the guard says now.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Verdict {
    /// The others may follow.
    Open,
    /// One may go first.
    TryOne,
    /// One is being watched.
    Watching,
    /// The change has done harm: put this pod back to this.
    PutBack(PodId, SizesByName),
    /// Harm was done and put back; nothing for now.
    Closed,
}

pub(super) fn targets(workload: &Workload) -> SizesByName {
    workload.advice.iter().map(|(name, advice)| (Arc::clone(name), advice.target)).collect()
}

/// Requests and limits that differ by no more than a quarter, container by container.
pub(super) fn similar(a: &SizesByName, b: &SizesByName) -> bool {
    let near = |a: f64, b: f64| (a - b).abs() <= SAME * a.max(b);
    a.len() == b.len()
        && a.iter().zip(b).all(|((name, a), (other, b))| {
            let cpu = |size: &ContainerSize| size.cpu_request.map_or(0.0, |cpu| cpu.0);
            let memory = |size: &ContainerSize| size.memory_request.map_or(0.0, Bytes::as_f64);
            let limit = |size: &ContainerSize| size.memory_limit.map_or(0.0, Bytes::as_f64);
            let cpu_limit = |size: &ContainerSize| size.cpu_limit.map_or(0.0, |cpu| cpu.0);
            name == other
                && near(cpu(a), cpu(b))
                && near(memory(a), memory(b))
                && near(limit(a), limit(b))
                && near(cpu_limit(a), cpu_limit(b))
        })
}

fn was_killed(pod: &Pod, watched: &Watched) -> bool {
    pod.oom_killed().is_some_and(|at| at > watched.since)
}

impl Watched {
    /// That one may have come in its place.
    fn may_be_followed_by(&self, pod: &Pod) -> bool {
        pod.id != self.pod && pod.created >= Some(self.since.plus(-SKEW))
    }
}

impl Guard {
    /// From where another process has left it.
    pub(super) fn resumed(kept: &Remembered) -> Self {
        Self { kept: kept.clone(), ..Self::default() }
    }

    /// What is to outlive the process.
    pub(super) fn remembered(&self) -> &Remembered {
        &self.kept
    }

    /// A pod is changed, with so many restarts if in place: it is watched from now on, if none is, and if the like was
    /// not tried before.
    pub(super) fn begin(&mut self, workload: &Workload, pod: &Pod, in_place: Option<u32>, now: Timestamp) {
        let targets = targets(workload);
        if self.kept.watched.is_some() || self.passed.as_ref().is_some_and(|passed| similar(passed, &targets))
        {
            return;
        }
        let before = pod.containers.iter().map(|container| (Arc::clone(&container.name), container.asked));
        self.kept.watched = Some(Watched {
            pod: pod.id,
            since: now,
            how: match in_place {
                Some(0) => How::InPlace,
                Some(_) => How::Restart,
                None => How::Replace,
            },
            before: before.collect(),
            targets,
            restarts: pod.restarts().saturating_add(in_place.unwrap_or(0)),
            was_ready: pod.ready,
        });
        (self.was_back, self.unready_since, self.stalled_since) = (false, None, None);
    }

    /// How the watched pod fares. Of a pod that is gone, the one that came in its place is watched.
    pub(super) fn judge(&mut self, workload: &Workload, now: Timestamp) -> Verdict {
        if let Some((pod, before)) = self.put_back.take()
            && workload.staying().any(|other| other.id == pod && back_to(workload, other, &before).is_some())
        {
            self.put_back = Some((pod, before.clone()));
            return Verdict::PutBack(pod, before);
        }
        if let Some(harm) = &self.kept.harm
            && now < harm.until
        {
            return Verdict::Closed;
        }
        let Some(watched) = self.kept.watched.clone() else {
            let passed = self.passed.as_ref().is_some_and(|passed| similar(passed, &targets(workload)));
            return if passed { Verdict::Open } else { Verdict::TryOne };
        };
        let same = workload.staying().find(|pod| pod.id == watched.pod);
        let pod = same.or_else(|| workload.newest().filter(|pod| watched.may_be_followed_by(pod)));
        if let Some(evidence) = self.harm_to(pod, same.is_some(), &watched, now) {
            let killed = pod.is_some_and(|pod| was_killed(pod, &watched));
            self.note_harm(evidence, killed, now);
            // The pod that came in its place never had what was before: nothing can be put back there.
            let Some(pod) = same else { return Verdict::Closed };
            self.put_back = Some((pod.id, watched.before.clone()));
            return Verdict::PutBack(pod.id, watched.before);
        }
        if now.seconds_since(watched.since) < workload.rules.observe {
            return Verdict::Watching;
        }
        match pod {
            // It has not become ready yet.
            Some(pod) if watched.was_ready && !pod.ready => Verdict::Watching,
            Some(_) => {
                self.passed = Some(watched.targets);
                self.kept.watched = None;
                // That a pod that runs is well says nothing of how one starts.
                self.kept.harm.take_if(|harm| harm.new_pods.is_none());
                Verdict::Open
            }
            // The one that was to come is not there.
            None if watched.how == How::Replace => Verdict::Watching,
            // It went, as pods do, and has shown nothing.
            None => {
                self.kept.watched = None;
                Verdict::TryOne
            }
        }
    }

    /// What harm is seen, if any.
    fn harm_to(
        &mut self,
        pod: Option<&Pod>,
        same: bool,
        watched: &Watched,
        now: Timestamp,
    ) -> Option<String> {
        let pod = pod?;
        if was_killed(pod, watched) {
            return Some("a container was OOM killed after its pod was changed".to_owned());
        }
        let restarts = pod.restarts().saturating_sub(if same { watched.restarts } else { 0 });
        if restarts > 0 {
            return Some(format!("containers were restarted {restarts} times after the pod was changed"));
        }
        if let Some(evidence) = self.stalls(pod, watched, now) {
            return Some(evidence);
        }
        // What is started again by the change itself is not ready for a while.
        let runs_on = same && (watched.how == How::InPlace || pod.restarts() >= watched.restarts);
        self.was_back &= same;
        self.was_back |= runs_on && (pod.ready || watched.how == How::InPlace);
        if pod.ready || !watched.was_ready {
            self.unready_since = None;
            return None;
        }
        if !self.was_back {
            return (now.seconds_since(watched.since) >= START_UP)
                .then(|| format!("the pod has not become ready within {START_UP} s of its change"));
        }
        let since = *self.unready_since.get_or_insert(now);
        (now.seconds_since(since) >= UNREADY)
            .then(|| "the pod is not ready any more since it was changed".to_owned())
    }

    /// It waits for CPU that it had before, because it has less now.
    fn stalls(&mut self, pod: &Pod, watched: &Watched, now: Timestamp) -> Option<String> {
        let less = pod.containers.iter().any(|container| {
            let before = watched.before.iter().find(|(name, _)| *name == container.name);
            before.is_some_and(|(_, had)| {
                let lower = |had: Option<Cores>, has: Option<Cores>| has.is_some_and(|has| Some(has) < had);
                lower(had.cpu_request, container.asked.cpu_request)
                    || lower(had.cpu_limit, container.asked.cpu_limit)
            })
        });
        let stalled = pod.stalled.filter(|stalled| less && stalled.now >= stalled.before + STALLED);
        let Some(Stalled { before, now: share }) = stalled else {
            self.stalled_since = None;
            return None;
        };
        let since = *self.stalled_since.get_or_insert(now);
        let (before, now_in) = (before * 100.0, share * 100.0);
        (now.seconds_since(since) >= STALLED_FOR).then(|| {
            format!("the pod waits for CPU in {now_in:.0} % of the time, and did so in {before:.0} % before it was changed")
        })
    }

    /// New pods come to harm: the next ones are given what was before, and what their template says where that does no
    /// better.
    pub(super) fn heed(
        &mut self,
        workload: &Workload,
        trouble: &Trouble<'_>,
        before: Option<&Before>,
        now: Timestamp,
    ) {
        if let (Symptom::Late, Some(pod), Some(before)) = (trouble.symptom, trouble.pods.first(), before) {
            self.put_back = Some((pod.id, before.had.clone()));
        }
        let remedy = trouble.remedy(before);
        match self.kept.harm.as_mut().filter(|harm| now < harm.until) {
            None => {
                self.note_harm(trouble.evidence.clone(), false, now);
                if let Some(harm) = &mut self.kept.harm {
                    harm.new_pods = Some(remedy);
                }
                self.told = None;
            }
            Some(harm) => {
                if harm.new_pods == Some(workload.around.gives) {
                    self.told.get_or_insert(now);
                }
                let no_better = || self.told.is_some_and(|told| trouble.shows_since(told));
                let next = match harm.new_pods {
                    None => remedy,
                    Some(Given::Previous) if remedy == Given::Nothing || no_better() => Given::Nothing,
                    Some(_) => return,
                };
                self.told = None;
                (harm.new_pods, harm.at) = (Some(next), now);
                harm.evidence.clone_from(&trouble.evidence);
            }
        }
    }

    /// A new pod with the targets does well: what harm others came to is over.
    pub(super) fn acquit(&mut self, workload: &Workload, now: Timestamp) {
        let does_well = |pod: &Pod, since: Timestamp| {
            let old = pod.created.is_some_and(|at| now.seconds_since(at) >= workload.rules.observe);
            pod.stamped && pod.ready && pod.restarts() == 0 && old && pod.created >= Some(since)
        };
        self.kept.harm.take_if(|harm| {
            harm.new_pods.is_some() && workload.staying().any(|pod| does_well(pod, harm.until))
        });
    }

    fn note_harm(&mut self, evidence: String, killed: bool, now: Timestamp) {
        let times = self.kept.harm.as_ref().map_or(0, |harm| harm.times).saturating_add(1);
        let until = now.plus(pause_after(times));
        let harm = Degraded { evidence, at: now, until, times, asked: false, killed, new_pods: None };
        self.kept = Remembered { watched: None, harm: Some(harm) };
        (self.passed, self.unready_since) = (None, None);
    }

    /// Somebody has put back everything: what was being watched is no more, and the next change is a first one.
    pub(super) fn forget(&mut self) {
        self.kept.watched = None;
        (self.passed, self.put_back, self.unready_since) = (None, None, None);
    }

    /// New pods did not come up with any size but their template's, and none has since: no pod is given up to try.
    pub(super) fn fears_new_pods(&self) -> bool {
        self.kept.harm.as_ref().is_some_and(|harm| harm.new_pods == Some(Given::Nothing))
    }

    /// The harm that was done last, until something has gone well; of new pods, until they are given the targets again.
    pub(super) fn degraded(&self, now: Timestamp) -> Option<&Degraded> {
        self.kept.harm.as_ref().filter(|harm| harm.new_pods.is_none() || now < harm.until)
    }
}
