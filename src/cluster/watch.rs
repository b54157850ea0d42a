//! The watches: each event is folded into the index as it comes, and the object is forgotten.
//!
//! A watch that breaks (410 Gone, an API server that restarts, a right that is taken away) lists again by itself, with
//! growing pauses up to 30 s, for as long as the process runs. What is wrong with it meanwhile is kept in words.

mod health;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use futures::{Stream, StreamExt, pin_mut};
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{LimitRange, Namespace, Node, ResourceQuota};
use kube::core::DeserializeGuard;
use kube::runtime::watcher::{self, Config, Event};
use kube::runtime::{WatchStreamExt, watcher as watch_kind};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use self::health::Health;
use super::custom::Answer;
use super::error::Request;
use super::feed::{self, Extent};
use super::index::{Fold, Index, MemoryEvent, ObjectKey, Owner};
use super::pods::LeanPod;
use super::refused::{self, LeanRefusal};
use super::slim::{Guarded, Slim, Stampable};
use super::templates::Skimmed;
use super::vpa::LeanVpa;
use super::{ClusterError, Connection, Tasks};
use crate::api::{ClusterVerticalScalingPolicy, VerticalScalingPolicy};
use crate::units::Timestamp;

/// Without these no workload is known rightly, and so nothing may be written or removed; nor may anything be recommended
/// without the bounds of nodes, LimitRanges and ResourceQuotas: what they refuse would be asked for.
const NEEDED: [&str; 15] = [
    "pods",
    "nodes",
    "limitranges",
    "resourcequotas",
    "horizontalpodautoscalers.autoscaling",
    "replicasets.apps",
    "jobs.batch",
    "deployments.apps",
    "statefulsets.apps",
    "daemonsets.apps",
    "cronjobs.batch",
    "namespaces",
    "verticalscalingpolicies.plumb.dev",
    "clusterverticalscalingpolicies.plumb.dev",
    "recommendations.plumb.dev",
];

/// Needed by the updater only. Not every cluster serves these: where it does not, there are none.
const VERTICAL_AUTOSCALERS: &str = "verticalpodautoscalers.autoscaling.k8s.io";

/// Without these no new pod is known rightly: what it belongs to, what is recommended, and what its namespace allows.
const NEEDED_AT_CREATION: [&str; 12] = [
    "replicasets.apps",
    "jobs.batch",
    "deployments.apps",
    "statefulsets.apps",
    "daemonsets.apps",
    "cronjobs.batch",
    "namespaces",
    "limitranges",
    "resourcequotas",
    "verticalscalingpolicies.plumb.dev",
    "clusterverticalscalingpolicies.plumb.dev",
    "recommendations.plumb.dev",
];

/// What is answered before the next interval when it changes: what a person has written.
const CHANGING: [&str; 2] = ["verticalscalingpolicies.plumb.dev", "clusterverticalscalingpolicies.plumb.dev"];

/// The watched cluster.
#[derive(Debug)]
pub struct Live {
    /// Copied where it changes while somebody looks at it; its values are shared.
    index: RwLock<Arc<Index>>,
    health: Mutex<BTreeMap<&'static str, Health>>,
    /// Told when a policy changed, and when a listing is complete.
    pub changed: Notify,
    /// Rises with everything that is told.
    version: AtomicU64,
    needed: &'static [&'static str],
    clock: fn() -> Timestamp,
}

/// The far end of what the watches tell of memory. Unbounded: what is told is small, told once, and bounded by the
/// pods that there are; to lose a kill is worse.
pub type News = mpsc::UnboundedReceiver<MemoryEvent>;

impl Live {
    /// Starts all watches. They end when `stop` is cancelled. `templates`: whether somebody wants to know what workloads'
    /// templates ask for.
    #[must_use]
    pub fn start(
        connection: &Connection,
        clock: fn() -> Timestamp,
        templates: bool,
        stop: &CancellationToken,
        tasks: &Tasks,
    ) -> (Arc<Self>, News) {
        let (tell, news) = mpsc::unbounded_channel();
        let live = Self::new(&NEEDED, clock);
        // Lists by pages, so that a big cluster's pods are never in memory at once; and what is acted on is not older
        // than what was known before.
        let start = Start { live: &live, connection, stop, tasks, tell: &tell, config: Config::default() };
        start.follow::<LeanPod>("pods");
        start.follow::<Node>("nodes");
        start.follow_what_stands_above_pods(if templates { Extent::Whole } else { Extent::Metadata });
        start.follow::<HorizontalPodAutoscaler>("horizontalpodautoscalers.autoscaling");
        start.follow::<Guarded>("recommendations.plumb.dev");
        (live, news)
    }

    /// Watches also what only the updater heeds: VerticalPodAutoscalers where there are such, as who resizes pods must know
    /// what sizes them already; and the refusals of new pods, without which it acts as well.
    pub fn watch_for_updates(
        self: &Arc<Self>,
        connection: &Connection,
        stop: &CancellationToken,
        tasks: &Tasks,
    ) {
        let (tell, _) = mpsc::unbounded_channel();
        let start = Start { live: self, connection, stop, tasks, tell: &tell, config: Config::default() };
        start.follow::<LeanVpa>(VERTICAL_AUTOSCALERS);
        let start = Start { config: Config::default().fields(refused::SELECTOR), ..start };
        start.follow::<LeanRefusal>("events");
    }

    /// True once it is known which workloads a VerticalPodAutoscaler sizes.
    #[must_use]
    pub fn knows_vertical_autoscalers(&self) -> bool {
        let now = (self.clock)();
        self.health().get(VERTICAL_AUTOSCALERS).is_some_and(|health| health.knows(now))
    }

    /// A number that is another one whenever something was told since.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Relaxed)
    }

    /// Starts the watches that new pods are judged by: neither pods nor nodes, which are most of a cluster. They end
    /// when `stop` is cancelled.
    #[must_use]
    pub fn start_for_admission(
        connection: &Connection,
        clock: fn() -> Timestamp,
        stop: &CancellationToken,
        tasks: &Tasks,
    ) -> Arc<Self> {
        // No watch of these kinds has news of memory.
        let (tell, _) = mpsc::unbounded_channel();
        let live = Self::new(&NEEDED_AT_CREATION, clock);
        live.change(Index::keep_no_labels);
        // Until all is listed pods are created unstamped: out of the API server's memory it comes soonest. That may be a
        // little older than what another API server has told before; the watch tells the rest.
        let config = Config::default().streaming_lists();
        let start = Start { live: &live, connection, stop, tasks, tell: &tell, config };
        start.follow_what_stands_above_pods(Extent::Metadata);
        start.follow_extent::<Stampable>("recommendations.plumb.dev", Extent::Sizes);
        live
    }

    fn new(needed: &'static [&'static str], clock: fn() -> Timestamp) -> Arc<Self> {
        let (index, health) = (RwLock::default(), Mutex::default());
        let version = AtomicU64::new(0);
        Arc::new(Self { index, health, changed: Notify::new(), version, needed, clock })
    }

    /// The index as it is now, to be looked at for as long as it takes: the watches do not wait, and pay for the first
    /// change meanwhile with a copy.
    #[must_use]
    pub fn index(&self) -> Arc<Index> {
        Arc::clone(&self.index.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// A short look at the index, without a copy; the watches wait.
    pub fn read<R>(&self, look: impl FnOnce(&Index) -> R) -> R {
        look(&self.index.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes the index.
    pub(super) fn change<R>(&self, change: impl FnOnce(&mut Index) -> R) -> R {
        change(Arc::make_mut(&mut self.index.write().unwrap_or_else(PoisonError::into_inner)))
    }

    /// Takes note of what the API server says of an owner of a custom kind.
    pub fn learn(&self, pod: &ObjectKey, owner: &Arc<Owner>, answer: &Answer, now: Timestamp) {
        self.change(|index| index.learn(pod, owner, answer, now));
        self.version.fetch_add(1, Ordering::Relaxed);
        self.changed.notify_one();
    }

    fn health(&self) -> MutexGuard<'_, BTreeMap<&'static str, Health>> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The needed watches that have told nothing yet, or have failed for so long that nobody knows what is so now; each
    /// with its trouble if it has one.
    #[must_use]
    pub fn unsynced(&self) -> Vec<String> {
        let (now, health) = ((self.clock)(), self.health());
        let missing =
            self.needed.iter().filter(|name| health.get(*name).is_none_or(|health| !health.knows(now)));
        let words = |name: &&'static str| match health.get(name).and_then(|health| health.error.as_ref()) {
            Some(error) => error.clone(),
            None => format!("{name} are still being listed"),
        };
        missing.map(words).collect()
    }

    /// True while what each needed watch has told is so.
    #[must_use]
    pub fn knows_all(&self) -> bool {
        let (now, health) = ((self.clock)(), self.health());
        self.needed.iter().all(|name| health.get(name).is_some_and(|health| health.knows(now)))
    }

    /// What keeps a needed watch from telling anything, where something does.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        let (now, health) = ((self.clock)(), self.health());
        let unsynced =
            self.needed.iter().filter_map(|name| health.get(name)).filter(|health| !health.knows(now));
        unsynced.filter_map(|health| health.error.clone()).next()
    }

    /// Each watch, and whether it has told everything at least once and has no trouble now.
    #[must_use]
    pub fn watches(&self) -> Vec<(&'static str, bool)> {
        self.health().iter().map(|(name, health)| (*name, health.synced && health.error.is_none())).collect()
    }

    /// Notes how a watch fares; answers true where that is news.
    fn note(&self, name: &'static str, synced: bool, error: Option<&str>) -> bool {
        let mut health = self.health();
        let known = health.entry(name).or_default();
        known.synced |= synced;
        let news = known.error.as_deref() != error;
        known.error = error.map(str::to_owned);
        match error {
            Some(_) => known.fails((self.clock)()),
            None => known.works(),
        }
        news
    }
}

/// What every watch is started with.
struct Start<'a> {
    live: &'a Arc<Live>,
    connection: &'a Connection,
    stop: &'a CancellationToken,
    tasks: &'a Tasks,
    tell: &'a mpsc::UnboundedSender<MemoryEvent>,
    /// How what is there is listed.
    config: Config,
}

impl Start<'_> {
    /// `templates`: how much is read of what has a template that people write.
    fn follow_what_stands_above_pods(&self, templates: Extent) {
        self.follow_metadata::<ReplicaSet>("replicasets.apps");
        self.follow_metadata::<Job>("jobs.batch");
        self.follow_extent::<Slim<Deployment>>("deployments.apps", templates);
        self.follow_extent::<Slim<StatefulSet>>("statefulsets.apps", templates);
        self.follow_extent::<Slim<DaemonSet>>("daemonsets.apps", templates);
        self.follow_extent::<Slim<CronJob>>("cronjobs.batch", templates);
        self.follow_metadata::<Namespace>("namespaces");
        self.follow::<LimitRange>("limitranges");
        self.follow::<ResourceQuota>("resourcequotas");
        self.follow::<DeserializeGuard<VerticalScalingPolicy>>("verticalscalingpolicies.plumb.dev");
        self.follow::<DeserializeGuard<ClusterVerticalScalingPolicy>>(
            "clusterverticalscalingpolicies.plumb.dev",
        );
    }

    /// Follows objects of which nothing but the metadata is read, nor sent.
    fn follow_metadata<K>(&self, name: &'static str)
    where
        K: Resource<DynamicType = ()> + Skimmed + 'static,
        Index: Fold<Slim<K>>,
    {
        self.follow_extent::<Slim<K>>(name, Extent::Metadata);
    }

    fn follow<K>(&self, name: &'static str)
    where
        K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
        Index: Fold<K>,
    {
        self.follow_extent::<K>(name, Extent::Whole);
    }

    fn follow_extent<K>(&self, name: &'static str, extent: Extent)
    where
        K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
        Index: Fold<K>,
    {
        let api: Api<K> = Api::all(feed::client(self.connection, extent));
        let events = watch_kind(api, self.config.clone()).default_backoff();
        let (live, stop, tell) = (Arc::clone(self.live), self.stop.clone(), self.tell.clone());
        let server = self.connection.server.clone();
        live.health().entry(name).or_default();
        // Boxed, so that the compiler generates the runtime's task once and not for each kind.
        let watch: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = follow(&live, events, name, &server, &tell) => {}
            }
        });
        self.tasks.spawn(name, watch);
    }
}

async fn follow<K>(
    live: &Live,
    events: impl Stream<Item = Result<Event<K>, watcher::Error>>,
    name: &'static str,
    server: &str,
    tell: &mpsc::UnboundedSender<MemoryEvent>,
) where
    Index: Fold<K>,
{
    pin_mut!(events);
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => {
                let done = matches!(event, Event::InitDone);
                let changed = matches!(event, Event::Apply(_) | Event::Delete(_)) && CHANGING.contains(&name);
                for news in fold(live, event) {
                    // Nobody listens any more: we are stopping.
                    drop(tell.send(news));
                }
                let synced = live.read(Fold::<K>::synced);
                note_event(live, name, synced, done, changed);
            }
            Err(error) if name == VERTICAL_AUTOSCALERS && is_absence(&error) => {
                fold::<K>(live, Event::Init);
                fold::<K>(live, Event::InitDone);
                live.note(name, true, None);
            }
            Err(error) => note_trouble(live, error, server, name),
        }
    }
}

/// Notes that a watch works, and wakes the loop after a whole list or a changed policy.
fn note_event(live: &Live, name: &'static str, synced: bool, done: bool, changed: bool) {
    if live.note(name, synced, None) {
        tracing::info!(resource = name, "watching again");
    }
    if done {
        tracing::debug!(resource = name, "listed");
    }
    if done || changed {
        live.changed.notify_one();
    }
}

/// Notes why a watch fails, and logs each new reason once.
fn note_trouble(live: &Live, error: watcher::Error, server: &str, name: &'static str) {
    let text = explain(error, server, name);
    if live.note(name, false, Some(&text)) {
        tracing::warn!(resource = name, error = text, "cannot watch; trying again");
        live.changed.notify_one();
    }
}

fn fold<K>(live: &Live, event: Event<K>) -> Vec<MemoryEvent>
where
    Index: Fold<K>,
{
    let now = (live.clock)();
    live.version.fetch_add(1, Ordering::Relaxed);
    live.change(|index| {
        match event {
            Event::Init => Fold::<K>::begin(index),
            Event::InitDone => Fold::<K>::finish(index, now),
            Event::InitApply(object) | Event::Apply(object) => return index.apply(object, now),
            Event::Delete(object) => return index.delete(object, now),
        }
        Vec::new()
    })
}

/// The API server does not serve the kind, or does so no more.
fn is_absence(error: &watcher::Error) -> bool {
    use kube::Error::Api;
    use watcher::Error::{InitialListFailed, WatchError, WatchFailed, WatchStartFailed};
    match error {
        InitialListFailed(Api(status)) | WatchStartFailed(Api(status)) | WatchFailed(Api(status)) => {
            status.code == 404
        }
        WatchError(status) => status.code == 404,
        _ => false,
    }
}

fn explain(error: watcher::Error, server: &str, resource: &'static str) -> String {
    let asked = |verb| Request { verb, resource, namespace: None };
    match error {
        watcher::Error::InitialListFailed(error) => {
            ClusterError::explain(error, server, asked("list")).to_string()
        }
        watcher::Error::WatchStartFailed(error) | watcher::Error::WatchFailed(error) => {
            ClusterError::explain(error, server, asked("watch")).to_string()
        }
        watcher::Error::WatchError(status) => {
            ClusterError::explain(kube::Error::Api(status), server, asked("watch")).to_string()
        }
        error @ watcher::Error::NoResourceVersion => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_known_before_what_bounds_pods_is_listed() {
        for late in ["pods", "nodes", "limitranges", "resourcequotas", "horizontalpodautoscalers.autoscaling"]
        {
            let live = Live::new(&NEEDED, || Timestamp(0));
            for name in NEEDED.iter().filter(|name| **name != late) {
                live.note(name, true, None);
            }
            assert!(!live.knows_all(), "{late}");
            assert_eq!(live.unsynced(), [format!("{late} are still being listed")]);
            live.note(late, true, None);
            assert!(live.knows_all() && live.unsynced().is_empty(), "{late}");
        }
        for bounds in ["limitranges", "resourcequotas"] {
            assert!(NEEDED_AT_CREATION.contains(&bounds), "{bounds}");
        }
    }

    #[test]
    fn who_looks_at_the_index_for_long_neither_waits_nor_sees_what_changes() {
        let live = Live::new(&NEEDED, || Timestamp(0));
        let looked_at = live.index();
        live.change(|index| index.namespaces.put("shop".into(), Arc::default()));
        assert!(looked_at.namespaces.is_empty());
        assert_eq!(live.read(|index| index.namespaces.len()), 1);
        // Nobody looks any more: no further copy is made.
        drop(looked_at);
        let place = || live.read(std::ptr::from_ref::<Index>).addr();
        let before = place();
        live.change(|index| index.namespaces.put("bank".into(), Arc::default()));
        assert_eq!(place(), before);
    }

    #[test]
    fn what_a_watch_told_counts_until_it_has_failed_for_a_minute() {
        thread_local! {
            static NOW: std::cell::Cell<i64> = const { std::cell::Cell::new(0) };
        }
        let live = Live::new(&["pods"], || Timestamp(NOW.get()));
        let fails = |at: i64| {
            NOW.set(at);
            live.note("pods", false, Some("pods are forbidden"));
        };
        let knows = |at: i64| {
            NOW.set(at);
            live.knows_all()
        };
        assert!(!knows(0));
        live.note("pods", true, None);
        assert!(knows(10_000), "a quiet watch is a good one");
        // A short trouble, after which nothing happens.
        (10_000..10_050).step_by(10).for_each(fails);
        assert!(knows(10_050) && knows(20_000));
        // One that goes on.
        (20_000..=20_060).step_by(30).for_each(fails);
        assert!(!knows(20_061));
        assert_eq!(live.unsynced(), ["pods are forbidden"]);
        assert_eq!(live.trouble().unwrap(), "pods are forbidden");
        fails(20_100);
        assert!(!knows(20_180));
        live.note("pods", true, None);
        assert!(knows(20_181));
        // Tried again and not refused: it waits for news.
        (30_000..=30_090).step_by(30).for_each(fails);
        assert!(!knows(30_100) && knows(30_180));
    }
}
