//! Usage as it is read: from each source by a task of its own, so that neither waits for the other; taken in by the loop.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use super::past::{self, Past};
use super::{NEWS_SECONDS, Recommender, State, window};
use crate::cluster::index::{
    NodeFacts, ObjectKey, Origin, PodFacts, Resolution, Uid, WorkloadKey, stable_hash,
};
use crate::cluster::{ClusterError, Connection, Index, resize};
use crate::control::book::{self, SeriesKey, Taken};
use crate::control::kills::Told as ToldKill;
use crate::control::metrics::{Namespace, Reason, Source as SourceLabel};
use crate::sources::metrics_server::{self, Reading};
use crate::sources::prometheus::now::{self, Usage};
use crate::sources::prometheus::{Prometheus, PrometheusError};
use crate::sources::{ContainerName, Source};
use crate::units::Timestamp;

/// What the loop is told by those who read.
pub(super) enum Told {
    /// By the metrics API.
    MetricsApi(Result<Reading, ClusterError>),
    /// By Prometheus.
    Prometheus(Result<Usage, PrometheusError>),
    /// The past, by Prometheus.
    Past(Box<Past>),
    /// Whether the API server resizes pods.
    Resizes(bool),
}

/// The tasks that read; they end with this.
pub(super) struct Readers(Vec<JoinHandle<()>>);

impl Drop for Readers {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

/// Begins to read from every source there is, each interval. A reading that takes longer is followed by the next at
/// once, never overtaken by it.
pub(super) fn read(
    connection: &Connection,
    prometheus: Option<&Prometheus>,
    interval: Duration,
    tell: &mpsc::Sender<Told>,
) -> Readers {
    let ticks = || {
        let mut ticks = tokio::time::interval(interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks
    };
    let mut readers = Vec::new();
    if let Some(prometheus) = prometheus.cloned() {
        let (tell, mut ticks) = (tell.clone(), ticks());
        readers.push(tokio::spawn(async move {
            let queries = prometheus.queries(None);
            loop {
                ticks.tick().await;
                let reading = now::read(&prometheus, &queries).await;
                if tell.send(Told::Prometheus(reading)).await.is_err() {
                    return;
                }
            }
        }));
    }
    readers.push({
        let (connection, tell, mut ticks) = (connection.clone(), tell.clone(), ticks());
        tokio::spawn(async move {
            // Once: who upgrades the API server may start plumb anew.
            let served = loop {
                ticks.tick().await;
                if let Ok(served) = resize::is_served(&connection).await {
                    break served;
                }
            };
            drop(tell.send(Told::Resizes(served)).await);
        })
    });
    let (connection, tell, mut ticks) = (connection.clone(), tell.clone(), ticks());
    readers.push(tokio::spawn(async move {
        loop {
            ticks.tick().await;
            let reading = metrics_server::read(&connection, None, None).await;
            if tell.send(Told::MetricsApi(reading)).await.is_err() {
                return;
            }
        }
    }));
    Readers(readers)
}

/// The node that a pod runs on, where it is known.
fn node_of<'a>(index: &'a Index, pod: &PodFacts) -> Option<&'a NodeFacts> {
    pod.node.as_ref().and_then(|name| index.nodes.get(name))
}

/// The workload of each pod; replicas have one owner and one role in its work, which are resolved once a reading.
#[derive(Default)]
struct Climbed(HashMap<(Uid, Option<Arc<str>>), Option<WorkloadKey>>);

impl Climbed {
    fn workload(&mut self, index: &Index, key: &ObjectKey, pod: &PodFacts) -> Option<WorkloadKey> {
        let Origin { owner, pool, role } = &pod.origin;
        let part = pool.as_ref().map(|pool| &pool.name).or(role.as_ref()).cloned();
        let climb = || match index.resolve(key, &pod.origin) {
            Resolution::Workload(workload) => Some(workload),
            Resolution::Pending | Resolution::Unknown(_) => None,
        };
        match owner {
            Some(owner) => self.0.entry((owner.uid, part)).or_insert_with(climb).clone(),
            None => climb(),
        }
    }
}

impl Recommender {
    /// Takes in what the loop is told.
    pub(super) fn take(&mut self, told: Told, state: &mut State) {
        match told {
            Told::MetricsApi(Ok(usage)) => {
                let taken = self.take_metrics(&usage);
                self.taken(Source::MetricsApi, usage.pods.len(), taken, state);
            }
            Told::Prometheus(Ok(usage)) => {
                let newest = usage.containers.values().map(|sample| sample.at).max();
                self.read_past(newest, state);
                let taken = self.take_prometheus(&usage, state);
                self.taken(Source::Prometheus, usage.containers.len(), taken, state);
            }
            Told::MetricsApi(Err(error)) => self.failed(Source::MetricsApi, error.to_string(), state),
            Told::Prometheus(Err(error)) => self.failed(Source::Prometheus, error.to_string(), state),
            Told::Past(past) => self.book.adopt(&past.book),
            Told::Resizes(served) => {
                if !served {
                    tracing::warn!(
                        "this API server resizes no pods (it knows no pods/resize): nothing is lent by startupBoost, as it \
                         could not be taken back"
                    );
                }
                state.resizes = served;
            }
        }
    }

    fn failed(&self, source: Source, error: String, state: &mut State) {
        if state.errors.get(source.word()) != Some(&error) {
            tracing::warn!(source = source.word(), error, "cannot read usage; trying again each interval");
        }
        state.errors.insert(source.word(), error);
        self.metrics.source_errors.get_or_create(&SourceLabel { source: source.word().to_owned() }).inc();
    }

    fn taken(&self, source: Source, of: usize, taken: Taken, state: &mut State) {
        let ahead = taken.refused.get("in the future").copied().unwrap_or(0);
        if ahead > 0 && taken.samples == 0 && taken.known == 0 {
            let error = format!(
                "all of {ahead} samples are dated in the future: this machine's clock is behind, or the source's ahead"
            );
            self.failed(source, error, state);
        } else if state.errors.remove(source.word()).is_some() {
            tracing::info!(source = source.word(), of, "usage can be read again");
        }
        let label = SourceLabel { source: source.word().to_owned() };
        self.metrics.samples.get_or_create(&label).inc_by(taken.samples);
        for (reason, count) in taken.refused {
            self.metrics.refused.get_or_create(&Reason { reason: reason.to_owned() }).inc_by(count);
        }
    }

    /// Why usage is not known, where no source can be read.
    pub(super) fn source_error(&self, state: &State) -> Option<String> {
        let sources = 1 + usize::from(self.prometheus.is_some());
        let errors: Vec<&str> = state.errors.values().map(String::as_str).collect();
        (errors.len() == sources).then(|| errors.join("; "))
    }

    fn take_metrics(&mut self, reading: &Reading) -> Taken {
        let (now, mut taken, live) = ((self.clock)(), Taken::default(), Arc::clone(&self.live));
        let (index, mut climbed) = (live.index(), Climbed::default());
        if reading.unreadable > 0 {
            taken.refused.insert("unreadable", reading.unreadable);
        }
        for sample in &reading.pods {
            let key = ObjectKey {
                namespace: sample.metadata.namespace.as_str().into(),
                name: sample.metadata.name.as_str().into(),
            };
            let Some(pod) = index.pods.get(&key) else { continue };
            if let Some(workload) = climbed.workload(&index, &key, pod) {
                self.book.take(&workload, pod, node_of(&index, pod), sample, now, &mut taken);
            }
        }
        self.book.settle(now);
        taken
    }

    fn take_prometheus(&mut self, usage: &Usage, state: &mut State) -> Taken {
        let (now, mut taken, live) = ((self.clock)(), Taken::default(), Arc::clone(&self.live));
        let (index, mut climbed) = (live.index(), Climbed::default());
        let mut last: Option<(ObjectKey, Option<WorkloadKey>)> = None;
        // In the order of names: a pod's containers follow each other.
        for (name, sample) in &usage.containers {
            let same = |key: &ObjectKey| *key.name == *name.pod && *key.namespace == *name.namespace;
            if !last.as_ref().is_some_and(|(key, _)| same(key)) {
                let key =
                    ObjectKey { namespace: name.namespace.as_str().into(), name: name.pod.as_str().into() };
                let workload = index.pods.get(&key).and_then(|pod| climbed.workload(&index, &key, pod));
                last = Some((key, workload));
            }
            let Some((key, Some(workload))) = &last else { continue };
            let Some(pod) = index.pods.get(key) else { continue };
            let container = (workload, name.container.as_str());
            let pod = (pod, node_of(&index, pod));
            self.book.take_sample(container, pod, sample, Source::Prometheus, now, &mut taken);
        }
        self.book.settle(now);
        let began = |name: &ContainerName| {
            let key = ObjectKey { namespace: name.namespace.as_str().into(), name: name.pod.as_str().into() };
            let pod = index.pods.get(&key)?;
            pod.container_started(pod.container(&name.container)?.0)
        };
        let grown = state.counters.grown(usage, now, began);
        for (name, count, first, since) in grown {
            let key = ObjectKey { namespace: name.namespace.as_str().into(), name: name.pod.as_str().into() };
            let Some(pod) = index.pods.get(&key) else { continue };
            let Some(workload) = climbed.workload(&index, &key, pod) else { continue };
            let Some((place, shape)) = pod.container(&name.container) else { continue };
            let limit = shape.sizes.limits.memory.or(pod.shape.pod.limits.memory);
            let series = SeriesKey { workload, container: Arc::clone(&shape.name) };
            // A container that starts anew counts from 1 again.
            let began = pod.container_started(place);
            let (start, lived) = (began.map_or(0, |at| at.0), began.map(|at| now.seconds_since(at)));
            let mut new = 0;
            for number in first..first.saturating_add(count) {
                let id = stable_hash(format!("{:?}/{}/{start}/{number}", pod.uid, name.container).bytes());
                let told = ToldKill { pod: &name.pod, at: now, limit, id, lived };
                new += u64::from(self.book.counted_kill(&series, &told, since));
            }
            if new > 0 {
                self.metrics
                    .oom_kills
                    .get_or_create(&Namespace { namespace: name.namespace.clone() })
                    .inc_by(new);
                let note = format!(
                    "{new} processes of container {} of pod {} were OOM killed",
                    name.container, name.pod
                );
                tracing::info!(workload = series.workload.to_string(), note, "OOM kill");
                let recent = now.seconds_since(since) < NEWS_SECONDS;
                state.counted.push((series, Some(note).filter(|_| recent)));
            }
        }
        taken
    }

    /// Reads the past beside the loop, where it is missing: at the start, and after a gap, once there is something new.
    fn read_past(&mut self, newest: Option<Timestamp>, state: &State) {
        let Some(prometheus) = &self.prometheus else { return };
        if !state.unsynced.is_empty() || !state.looked {
            // Whose the samples are is not known yet.
            return;
        }
        if self.book.past() == book::Past::Read && !self.book.ends_before(newest) {
            // In a gap that has not ended there is nothing to read.
            return;
        }
        let now = (self.clock)();
        let window = self.live.read(window);
        if let Some(request) = self.book.missing(now, window) {
            past::spawn(prometheus, &self.live, self.clock, request, state.tell.clone());
        }
    }
}
