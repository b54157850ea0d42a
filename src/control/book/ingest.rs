//! Samples into the book: which of them count, for which series, and what of a replica waits until its five minutes are
//! over.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Book, SeriesKey};
use crate::cluster::index::{NodeFacts, PodFacts, Uid, WorkloadKey};
use crate::model::{Most, Replica, SeriesId, Usage};
use crate::sources::metrics_server::PodUsage;
use crate::sources::{Sample, Source};
use crate::units::{Cores, Timestamp};

/// Below so many hours of history start-up is not kept apart: a new workload has nothing else to go by.
const YOUNG_HOURS: f32 = 1.0;
/// A sample that is further ahead of our clock would keep later, true ones out.
const AHEAD_SECONDS: i64 = 60;
/// For so long after a sample from Prometheus one from the metrics API tells nothing new: scrapes are a minute apart,
/// and one may fail.
const PREFERRED_SECONDS: i64 = 150;
/// A replica that was silent for so long says no more of the five minutes under way.
const SILENT_SECONDS: i64 = 450;
/// How often silent replicas are looked for.
const SETTLE_SECONDS: i64 = 60;
/// The source that is preferred never told of a container.
const NEVER: u32 = u32::MAX;

/// The state of one container of a pod between its samples.
#[derive(Clone, Copy, Debug)]
pub(super) struct Latest {
    /// What is known of the five minutes under way.
    replica: Replica,
    /// Its series.
    series: SeriesId,
    /// How long before its newest sample Prometheus told of it last, in seconds.
    preferred: u32,
}

impl Latest {
    /// Whether nothing new is said by a sample of that time.
    fn knows(&self, at: Timestamp, source: Source) -> bool {
        let Some(newest) = self.replica.newest() else { return false };
        let preferred = (self.preferred != NEVER).then(|| newest.plus(-i64::from(self.preferred)));
        match source {
            Source::Prometheus => preferred.unwrap_or(newest) >= at,
            Source::MetricsApi => {
                let near = |by: Timestamp| at.seconds_since(by) < PREFERRED_SECONDS;
                newest >= at || preferred.is_some_and(near)
            }
        }
    }

    /// Notes who told of a sample, which is in the replica already. `before` was the newest one.
    fn note(&mut self, at: Timestamp, source: Source, before: Option<Timestamp>) {
        let Some(newest) = self.replica.newest() else { return };
        let seconds = |span: i64| u32::try_from(span).unwrap_or(0);
        if source == Source::Prometheus {
            self.preferred = seconds(newest.seconds_since(at)).min(NEVER - 1);
        } else if self.preferred != NEVER {
            let moved = before.map_or(0, |before| seconds(newest.seconds_since(before)));
            self.preferred = self.preferred.saturating_add(moved).min(NEVER - 1);
        }
    }
}

/// What one reading of usage brought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Samples taken in.
    pub samples: u64,
    /// Containers whose sample was seen before, or told by a better source.
    pub known: u64,
    /// Samples refused, by reason.
    pub refused: HashMap<&'static str, u64>,
}

impl Book {
    /// Takes in what the metrics API says of one pod on that node. What is known already counts once.
    pub fn take(
        &mut self,
        workload: &WorkloadKey,
        pod: &PodFacts,
        node: Option<&NodeFacts>,
        usage: &PodUsage,
        now: Timestamp,
        taken: &mut Taken,
    ) {
        let (at, window) = (Timestamp(usage.timestamp.timestamp()), usage.window());
        for container in &usage.containers {
            let (cpu, memory) = (container.cpu(), container.memory());
            let sample = Sample { at, window, cpu, memory, stalled: None, memory_stalled: 0.0 };
            let name = (workload, container.name.as_str());
            self.take_sample(name, (pod, node), &sample, Source::MetricsApi, now, taken);
        }
    }

    /// Takes in what one container of a workload used, in that pod on that node. What is known already counts once.
    pub fn take_sample(
        &mut self,
        (workload, container): (&WorkloadKey, &str),
        (pod, node): (&PodFacts, Option<&NodeFacts>),
        sample: &Sample,
        source: Source,
        now: Timestamp,
        taken: &mut Taken,
    ) {
        let at = sample.at;
        if at.seconds_since(now) > AHEAD_SECONDS {
            *taken.refused.entry("in the future").or_default() += 1;
            return;
        }
        let Some((place, shape)) = pod.container(container) else { return };
        let latest = self.latest.get(&(pod.uid, place)).copied();
        if latest.is_some_and(|latest| latest.knows(at, source)) {
            taken.known += 1;
            return;
        }
        let key = SeriesKey { workload: workload.clone(), container: Arc::clone(&shape.name) };
        let Some(id) = self.id(&key) else { return };
        let Some(entry) = self.entry_mut(id) else { return };
        if latest.is_none() && entry.resumed.is_some_and(|resumed| at <= resumed) {
            taken.known += 1;
            return;
        }
        entry.changed = true;
        self.newest = self.newest.max(Some(at));
        // What runs to its end is always starting up: that is its need.
        let old = !workload.ends() && self.fleet.get(id).is_some_and(|series| series.hours() >= YOUNG_HOURS);
        let started = pod.container_started(place).filter(|_| old);
        let limits = (shape.sizes.limits, pod.shape.pod.limits);
        let usage = Usage {
            at,
            window: sample.window,
            cpu: sample.cpu,
            // A working set of 0 is a container that is not there yet, not one that needs nothing.
            memory: sample.memory.filter(|memory| memory.0 > 0),
            stalled: sample.stalled,
            memory_stalled: sample.memory_stalled,
            // What is from before the start is of the container before this one.
            age: started.map(|started| at.seconds_since(started)).filter(|age| *age >= 0),
            most: Most {
                cpu_limit: limits.0.cpu().or(limits.1.cpu()).filter(|limit| limit.0 > 0.0),
                memory_limit: limits.0.memory.or(limits.1.memory),
                node_cpu: node.map(|node| Cores::from_milli(node.milli_cpu)),
                node_memory: node.map(|node| node.memory),
            },
        };
        let fresh = Latest { replica: Replica::default(), series: id, preferred: NEVER };
        let mut latest = Latest { series: id, ..latest.unwrap_or(fresh) };
        let before = latest.replica.newest();
        let observed = self.fleet.observe(id, &mut latest.replica, &usage);
        latest.note(at, source, before);
        self.latest.insert((pod.uid, place), latest);
        for verdict in [observed.cpu, observed.memory].into_iter().flatten() {
            match verdict {
                Ok(()) => taken.samples += 1,
                Err(refused) => *taken.refused.entry(refused.word()).or_default() += 1,
            }
        }
    }

    /// Lets series learn of replicas that have been silent: they have ended, or cannot be measured any more.
    pub fn settle(&mut self, now: Timestamp) {
        if self.settled.is_some_and(|last| (0..SETTLE_SECONDS).contains(&now.seconds_since(last))) {
            return;
        }
        self.settled = Some(now);
        let silent =
            |latest: &Replica| latest.newest().is_none_or(|at| now.seconds_since(at) >= SILENT_SECONDS);
        self.settle_all(|_, replica| silent(replica));
    }

    /// The same of replicas of which `gone` says so.
    pub(super) fn settle_all(&mut self, gone: impl Fn(&Uid, &Replica) -> bool) {
        let Self { latest, fleet, entries, .. } = self;
        for ((uid, _), latest) in latest {
            if !latest.replica.is_open() || !gone(uid, &latest.replica) {
                continue;
            }
            let entry = usize::try_from(latest.series.0).ok().and_then(|place| entries.get_mut(place));
            let Some((entry, key)) = entry.and_then(|entry| entry.key.clone().map(|key| (entry, key))) else {
                continue;
            };
            entry.changed = true;
            fleet.finish(latest.series, &mut latest.replica, key.workload.ends());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_of_a_replica_is_small() {
        assert!(size_of::<((Uid, u8), Latest)>() <= 64, "{}", size_of::<((Uid, u8), Latest)>());
    }
}
