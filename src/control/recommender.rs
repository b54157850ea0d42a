//! The recommender's loop: usage each interval, kills as they come, recommendations written where they change.

mod counters;
mod past;
mod readings;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::book::{Book, SeriesKey};
use super::compose::Common;
use super::events::Events;
use super::keeper::Keeper;
use super::kills::Told as ToldKill;
use super::lease::Lead;
use super::metrics::{Container, Metrics, Namespace, Resource};
use super::plan::{self, Plan};
use super::publish::Publisher;
use crate::cluster::custom::OwnerResolver;
use crate::cluster::index::{MemoryEvent, MemoryShortage, Resolution};
use crate::cluster::tasks::Pulse;
use crate::cluster::watch::News;
use crate::cluster::{Connection, Index, Live};
use crate::report::prices::Prices;
use crate::sources::prometheus::Prometheus;
use crate::units::{Bytes, Cores, Timestamp};

use self::counters::Counters;
use self::readings::Told;

/// What comes within this time of a kill is answered together with it.
const GATHER: Duration = Duration::from_millis(100);
/// A changed policy is answered within this time; what else changes meanwhile, with it.
const SETTLE: Duration = Duration::from_millis(500);
/// Where nothing happens the loop turns this often.
const ALIVE: Duration = Duration::from_secs(20);
/// Kills whose owner is not known yet are tried again after this.
const RETRY: Duration = Duration::from_millis(500);
/// A kill that was longer ago than this is no news to a person: plumb was not there to see it.
const NEWS_SECONDS: i64 = 600;
/// How long a kill waits for its pod's owner to be known.
const PATIENCE_SECONDS: i64 = 60;
/// What nothing came for is forgotten after this, unless a policy wants it longer.
const WINDOW_SECONDS: u64 = 14 * 86_400;

/// What the loop is told by flags.
#[derive(Clone, Debug)]
pub struct Options {
    /// How often usage is read.
    pub interval: Duration,
    /// What resources cost.
    pub prices: Prices,
    /// Whether each container has gauges of its own.
    pub container_metrics: bool,
}

/// The loop and what it knows.
pub struct Recommender {
    /// Where the cluster is.
    pub connection: Connection,
    /// The watched cluster.
    pub live: Arc<Live>,
    /// Where usage is known beside the metrics API, and the past.
    pub prometheus: Option<Prometheus>,
    /// Asks for owners of custom kinds.
    pub owners: OwnerResolver,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Who writes.
    pub publisher: Arc<Publisher>,
    /// Who tells people.
    pub events: Arc<Events>,
    /// Whether we may write.
    pub lead: Lead,
    /// Flags.
    pub options: Options,
    /// The time.
    pub clock: fn() -> Timestamp,
    /// What is known.
    pub book: Book,
    /// Who carries that over restarts.
    pub keeper: Keeper,
}

/// What changes from round to round.
struct State {
    /// What is wrong with each source.
    errors: BTreeMap<&'static str, String>,
    counters: Counters,
    /// Kills that counters told of, to be told in the next round.
    counted: Vec<(SeriesKey, Option<String>)>,
    /// By which those who read tell the loop.
    tell: mpsc::Sender<Told>,
    /// A round was made with the cluster's state known.
    looked: bool,
    /// Kills of pods whose workload is not known yet, and until when they wait.
    waiting: Vec<(MemoryEvent, Timestamp)>,
    /// What is not in order, as it was last logged.
    unsynced: Vec<String>,
    last_forgotten: Option<Timestamp>,
    /// The API server resizes pods, as far as is known.
    resizes: bool,
    /// How long the last round took.
    took: Duration,
}

impl State {
    fn new(tell: mpsc::Sender<Told>) -> Self {
        Self {
            errors: BTreeMap::new(),
            counters: Counters::default(),
            counted: Vec::new(),
            tell,
            looked: false,
            waiting: Vec::new(),
            unsynced: Vec::new(),
            last_forgotten: None,
            resizes: true,
            took: Duration::ZERO,
        }
    }
}

/// A person who changes many policies must not keep us busy: between rounds at least four times what one takes, but
/// not so long that a kill would wait.
fn settle(took: Duration) -> Duration {
    (took * 4).clamp(SETTLE, Duration::from_secs(1))
}

impl Recommender {
    /// Runs until `stop`; each turn is shown by the pulse.
    pub async fn run(mut self, mut news: News, pulse: Pulse, stop: CancellationToken) {
        self.keeper.restore(&mut self.book, (self.clock)()).await;
        let (tell, mut readings) = mpsc::channel(1);
        let prometheus = self.prometheus.as_ref();
        let readers = readings::read(&self.connection, prometheus, self.options.interval, &tell);
        let mut state = State::new(tell);
        let mut lead = self.lead.clone();
        let mut alive = tokio::time::interval(ALIVE);
        loop {
            pulse.beat();
            let (mut kills, mut all) = (Vec::new(), true);
            tokio::select! {
                () = stop.cancelled() => break,
                Some(event) = news.recv() => {
                    kills.push(event);
                    all = false;
                    tokio::time::sleep(GATHER).await;
                }
                Some(reading) = readings.recv() => self.take(reading, &mut state),
                () = self.live.changed.notified() => tokio::time::sleep(settle(state.took)).await,
                () = lead.changed() => {
                    // What another leader has saved meanwhile.
                    if self.lead.holds() {
                        self.keeper.load();
                    }
                }
                _ = alive.tick() => continue,
                () = self.keeper.wait() => {
                    let leads = self.lead.holds();
                    if !self.keeper.turn(&mut self.book, (self.clock)(), leads) {
                        // A save has as many turns as packs: nothing is to be planned anew for them.
                        continue;
                    }
                }
                () = tokio::time::sleep(RETRY), if !state.waiting.is_empty() => all = false,
            }
            while let Ok(event) = news.try_recv() {
                kills.push(event);
            }
            self.round(kills, all, &mut state);
        }
        drop(readers);
        let leads = self.lead.holds();
        self.keeper.finish(&mut self.book, (self.clock)(), leads).await;
    }

    /// One round: kills in, recommendations out; those of all workloads, or of what was killed alone.
    fn round(&mut self, kills: Vec<MemoryEvent>, all: bool, state: &mut State) {
        let begin = Instant::now();
        let now = (self.clock)();
        let live = Arc::clone(&self.live);
        state.waiting.extend(kills.into_iter().map(|event| (event, now.plus(PATIENCE_SECONDS))));
        let unsynced = live.unsynced();
        if state.unsynced != unsynced {
            if let Some(first) = unsynced.first() {
                tracing::info!(count = unsynced.len(), first, "waiting for the cluster's state");
            } else {
                tracing::info!("the cluster's state is known");
            }
            state.unsynced = unsynced;
        }
        let leads = self.lead.holds();
        self.metrics.leader.set(i64::from(leads));
        let index = live.index();
        if !state.unsynced.is_empty() {
            if let (true, Some(why)) = (leads, live.trouble()) {
                self.publisher.publish_statuses(&plan::blocked(&index, &why, now), &index);
            }
            return;
        }
        let all = all || !state.looked;
        state.looked = true;
        let mut killed = self.take_kills(&index, now, state);
        killed.append(&mut state.counted);
        if !all && killed.is_empty() {
            return;
        }
        let error = self.source_error(state);
        let common = Common {
            prices: &self.options.prices,
            source_error: error.as_deref(),
            resizes: state.resizes,
            now,
        };
        let mut plan = if all {
            plan::plan(&index, &mut self.book, &common)
        } else {
            let some: HashSet<_> = killed.iter().map(|(key, _)| key.workload.clone()).collect();
            plan::plan_some(&index, &mut self.book, &common, &some)
        };
        if leads {
            let urgent: Vec<_> =
                killed.iter().filter_map(|(key, _)| plan.workloads.get(&key.workload)).cloned().collect();
            self.publisher.publish(&mut plan, &index, &urgent);
            self.tell(&plan, killed);
        } else {
            self.publisher.clear();
        }
        if !all {
            return;
        }
        self.count(&plan, index.pods.len());
        self.forget(&index, now, state);
        self.owners.ask(plan.unknown.into_values());
        state.took = begin.elapsed();
        self.metrics.round.observe(state.took.as_secs_f64());
    }

    /// Books the kills whose workload is known. Answers the new ones, in words where they are recent.
    fn take_kills(
        &mut self,
        index: &Index,
        now: Timestamp,
        state: &mut State,
    ) -> Vec<(SeriesKey, Option<String>)> {
        let mut new = Vec::new();
        let mut waiting = Vec::new();
        for (event, until) in std::mem::take(&mut state.waiting) {
            let workload = match index.resolve(&event.pod, &event.origin) {
                Resolution::Workload(workload) => workload,
                unknown if now < until => {
                    if let Resolution::Unknown(owner) = unknown {
                        self.owners.ask([(event.pod.clone(), owner)]);
                    }
                    waiting.push((event, until));
                    continue;
                }
                _ => {
                    let pod = format!("{}/{}", event.pod.namespace, event.pod.name);
                    tracing::warn!(pod, "dropped an OOM kill: nothing is known of the pod's owner");
                    continue;
                }
            };
            let key = SeriesKey { workload, container: Arc::clone(&event.container) };
            let namespace = Namespace { namespace: event.pod.namespace.to_string() };
            match event.what {
                MemoryShortage::OomKilled { limit, lived } => {
                    let told = ToldKill { pod: &event.pod.name, at: event.at, limit, id: event.id, lived };
                    let of_node = self.book.is_of_node(&key, limit, lived);
                    if self.book.kill(&key, &told) {
                        let note = killed(&event, limit, of_node);
                        self.metrics.oom_kills.get_or_create(&namespace).inc();
                        tracing::info!(workload = key.workload.to_string(), note, "OOM kill");
                        new.push((key, Some(note).filter(|_| now.seconds_since(event.at) < NEWS_SECONDS)));
                    }
                }
                MemoryShortage::Evicted { usage } => {
                    self.metrics.evictions.get_or_create(&namespace).inc();
                    if let Some(usage) = usage {
                        self.book.evicted(&key, event.at, usage);
                    }
                }
            }
        }
        state.waiting = waiting;
        new
    }

    fn tell(&self, plan: &Plan, killed: Vec<(SeriesKey, Option<String>)>) {
        for (key, note) in killed {
            let (Some(name), Some(note)) = (plan.workloads.get(&key.workload).cloned(), note) else {
                continue;
            };
            let events = Arc::clone(&self.events);
            tokio::spawn(async move { events.oom_killed(&name, note).await });
        }
    }

    fn count(&self, plan: &Plan, pods: usize) {
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.metrics.pods.set(number(pods));
        self.metrics.series.set(number(self.book.len()));
        for (resource, synced) in self.live.watches() {
            let resource = Resource { resource: resource.to_owned() };
            self.metrics.watch_synced.get_or_create(&resource).set(i64::from(synced));
        }
        self.metrics.replace(|metrics| {
            for name in plan.workloads.values() {
                let namespace = Namespace { namespace: name.namespace.to_string() };
                metrics.recommendations.get_or_create(&namespace).inc();
            }
            if self.options.container_metrics {
                plan.targets.iter().for_each(|target| gauges(metrics, target));
            }
        });
    }

    /// Once an hour.
    fn forget(&mut self, index: &Index, now: Timestamp, state: &mut State) {
        if state.last_forgotten.is_some_and(|last| now.seconds_since(last) < 3600) {
            return;
        }
        state.last_forgotten = Some(now);
        self.book.forget(now.plus(window(index).saturating_neg()), index.pods.iter());
    }
}

/// Words for an OOM kill. `of_node`: usage was never seen anywhere near the limit.
fn killed(event: &MemoryEvent, limit: Option<Bytes>, of_node: bool) -> String {
    let at = limit.map_or_else(|| "without a limit".to_owned(), |limit| format!("at its limit of {limit}"));
    let why =
        if of_node { ", though it never used anywhere near that: its node had no more memory" } else { "" };
    format!("container {} of pod {} was OOM killed {at}{why}", event.container, event.pod.name)
}

/// For how many seconds what was seen is kept: the longest that a policy asks for.
fn window(index: &Index) -> i64 {
    let own = index.policies.iter().filter_map(|(_, p)| Some(p.as_ref().ok()?.spec.history.window.seconds));
    let all = index
        .cluster_policies
        .iter()
        .filter_map(|(_, policy)| Some(policy.as_ref().ok()?.spec.history.window.seconds));
    i64::try_from(own.chain(all).fold(WINDOW_SECONDS, u64::max)).unwrap_or(i64::MAX)
}

/// What a container should have, in its gauges.
fn gauges(metrics: &Metrics, (key, cpu, memory): &(SeriesKey, Option<Cores>, Option<Bytes>)) {
    let container = Container {
        namespace: key.workload.namespace.to_string(),
        kind: key.workload.kind.to_string(),
        workload: key.workload.name.to_string(),
        container: key.container.to_string(),
    };
    if let Some(cpu) = cpu {
        metrics.target_cpu.get_or_create(&container).set(cpu.0);
    }
    if let Some(memory) = memory {
        metrics.target_memory.get_or_create(&container).set(memory.as_f64());
    }
}
