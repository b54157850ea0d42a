//! The first pod of a workload that is changed is watched before the others follow; harm is put back.

use std::sync::Arc;

use super::change::back_to;
use super::facts::{Pod, PodId, Rollback, SizesByName, Workload};
use crate::policy::ContainerSize;
use crate::units::{Bytes, Cores, Timestamp};

/// After the first harm nothing is tried for so long, in seconds; after each further one, twice as long.
const FIRST_PAUSE: i64 = 3600;
/// But not longer than this.
const LONGEST_PAUSE: i64 = 7 * 86_400;
/// Not ready for so long after a change is harm, in seconds: a probe may fail once for no reason.
const UNREADY: i64 = 10;
/// Waiting for CPU in that much more of the time than before a change is harm, as a share of it; and for so long, in
/// seconds: two readings, so that one that still covers the time before does not count.
const STALLED: f32 = 0.2;
const STALLED_FOR: i64 = 60;
/// Targets that moved by no more than this share since the first pod did well are not tried out again.
const SAME: f64 = 0.25;

/// What is known of the first pod.
#[derive(Clone, Debug, Default)]
pub(super) struct Guard {
    watched: Option<Watched>,
    /// The targets that did well, by container.
    passed: Option<SizesByName>,
    harm: Option<Degraded>,
    /// What has still to be put back.
    put_back: Option<(PodId, SizesByName)>,
    unready_since: Option<Timestamp>,
    stalled_since: Option<Timestamp>,
}

#[derive(Clone, Debug)]
struct Watched {
    pod: PodId,
    since: Timestamp,
    before: SizesByName,
    targets: SizesByName,
    restarts: u32,
    was_ready: bool,
    stalled: f32,
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
}

impl From<Rollback> for Degraded {
    fn from(rollback: Rollback) -> Self {
        let evidence = "`plumb rollback` was asked for".to_owned();
        let Rollback { at, until, times } = rollback;
        Self { evidence, at, until, times, asked: true, killed: false }
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

/// Requests, and memory limits where these matter, that differ by no more than a quarter, container by container.
pub(super) fn similar(a: &SizesByName, b: &SizesByName, limits: bool) -> bool {
    let near = |a: f64, b: f64| (a - b).abs() <= SAME * a.max(b);
    a.len() == b.len()
        && a.iter().zip(b).all(|((name, a), (other, b))| {
            let cpu = |size: &ContainerSize| size.cpu_request.map_or(0.0, |cpu| cpu.0);
            let memory = |size: &ContainerSize| size.memory_request.map_or(0.0, Bytes::as_f64);
            let limit = |size: &ContainerSize| size.memory_limit.map_or(0.0, Bytes::as_f64);
            name == other
                && near(cpu(a), cpu(b))
                && near(memory(a), memory(b))
                && (!limits || near(limit(a), limit(b)))
        })
}

fn was_killed(pod: &Pod, watched: &Watched) -> bool {
    pod.oom_killed().is_some_and(|at| at > watched.since)
}

impl Guard {
    /// A pod is changed: it is watched from now on, if none is, and if the like was not tried before.
    pub(super) fn begin(&mut self, workload: &Workload, pod: &Pod, now: Timestamp) {
        let targets = targets(workload);
        if self.watched.is_some()
            || self.passed.as_ref().is_some_and(|passed| similar(passed, &targets, false))
        {
            return;
        }
        let before = pod.containers.iter().map(|container| (Arc::clone(&container.name), container.asked));
        self.watched = Some(Watched {
            pod: pod.id,
            since: now,
            before: before.collect(),
            targets,
            restarts: pod.restarts(),
            was_ready: pod.ready,
            stalled: pod.stalled.unwrap_or(0.0),
        });
        (self.unready_since, self.stalled_since) = (None, None);
    }

    /// How the watched pod fares. Of a pod that is gone, the one that came in its place is watched.
    pub(super) fn judge(&mut self, workload: &Workload, now: Timestamp) -> Verdict {
        if let Some((pod, before)) = self.put_back.take()
            && workload.staying().any(|other| other.id == pod && back_to(other, &before).is_some())
        {
            self.put_back = Some((pod, before.clone()));
            return Verdict::PutBack(pod, before);
        }
        if let Some(harm) = &self.harm
            && now < harm.until
        {
            return Verdict::Closed;
        }
        let Some(watched) = self.watched.clone() else {
            let passed =
                self.passed.as_ref().is_some_and(|passed| similar(passed, &targets(workload), false));
            return if passed { Verdict::Open } else { Verdict::TryOne };
        };
        let same = workload.staying().find(|pod| pod.id == watched.pod);
        let pod = same.or_else(|| workload.newest().filter(|pod| pod.created >= Some(watched.since)));
        if let Some(evidence) = pod.and_then(|pod| self.harm_to(pod, same.is_some(), &watched, now)) {
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
        // Nothing there to be judged by, or it has never become ready again: not yet.
        if pod.is_none_or(|pod| watched.was_ready && !pod.ready) {
            return Verdict::Watching;
        }
        (self.watched, self.passed, self.harm) = (None, Some(watched.targets), None);
        Verdict::Open
    }

    /// What harm is seen, if any.
    fn harm_to(&mut self, pod: &Pod, same: bool, watched: &Watched, now: Timestamp) -> Option<String> {
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
        if pod.ready || !watched.was_ready || !same {
            self.unready_since = None;
            return None;
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
        let stalled = pod.stalled.filter(|stalled| less && *stalled >= watched.stalled + STALLED);
        let Some(stalled) = stalled else {
            self.stalled_since = None;
            return None;
        };
        let since = *self.stalled_since.get_or_insert(now);
        let (before, now_in) = (watched.stalled * 100.0, stalled * 100.0);
        (now.seconds_since(since) >= STALLED_FOR).then(|| {
            format!("the pod waits for CPU in {now_in:.0} % of the time, and did so in {before:.0} % before it was changed")
        })
    }

    fn note_harm(&mut self, evidence: String, killed: bool, now: Timestamp) {
        let times = self.harm.as_ref().map_or(0, |harm| harm.times).saturating_add(1);
        let until = now.plus(pause_after(times));
        self.harm = Some(Degraded { evidence, at: now, until, times, asked: false, killed });
        (self.watched, self.passed, self.unready_since) = (None, None, None);
    }

    /// Somebody has put back everything: what was being watched is no more, and the next change is a first one.
    pub(super) fn forget(&mut self) {
        (self.watched, self.passed, self.put_back, self.unready_since) = (None, None, None, None);
    }

    /// The harm that was done last, until something has gone well.
    pub(super) fn degraded(&self) -> Option<&Degraded> {
        self.harm.as_ref()
    }
}
