//! Reads the past from Prometheus into a book of its own, beside the loop: from the store's side in bounded pieces, from
//! ours as one thing that is there in the end.
//!
//! What fails is asked for again, from where it was, until it is there.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::cluster::index::{Controllers, ObjectKey, Resolution, WorkloadKey};
use crate::cluster::{Index, Live};
use crate::control::book::{Book, Request, SeriesKey};
use crate::control::history::Fed;
use crate::sources::ContainerName;
use crate::sources::prometheus::history::{History, Piece};
use crate::sources::prometheus::owners::{Owners, Workload};
use crate::sources::prometheus::{Prometheus, PrometheusError, Queries, Range};
use crate::units::Timestamp;

/// Distance of the samples of the past, in seconds.
const STEP: u64 = 300;
/// What ends so close to now is the present.
const CLOSE_SECONDS: i64 = 600;
/// The first pause after a failure; each next one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// The longest.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// The past, read.
pub(super) struct Past {
    /// What is known with it.
    pub(super) book: Book,
}

/// Who reads it.
pub(super) struct Reader {
    prometheus: Prometheus,
    queries: Queries,
    live: Arc<Live>,
    clock: fn() -> Timestamp,
    owners: Owners,
    /// The workloads that there are, by namespace, kind and name.
    workloads: HashMap<(String, String, String), WorkloadKey>,
    book: Book,
    fed: Fed,
}

impl Reader {
    /// Prepares to read into the request's book.
    pub(super) fn new(
        prometheus: &Prometheus,
        live: &Arc<Live>,
        clock: fn() -> Timestamp,
        book: Book,
    ) -> Self {
        let (mut owners, mut workloads) = (Owners::default(), HashMap::new());
        let index = live.index();
        for (workload, pods) in index.workloads().workloads {
            let WorkloadKey { namespace, kind, name, .. } = &workload;
            let (namespace, kind, name) = (namespace.to_string(), kind.to_string(), name.to_string());
            for (pod, _) in pods.pods {
                let (namespace, kind, name) = (namespace.clone(), kind.clone(), name.clone());
                owners.insert(&pod.name, Workload { namespace, kind, name });
            }
            workloads.insert((namespace, kind, name), workload);
        }
        drop(index);
        let queries = prometheus.queries(None);
        let (live, prometheus) = (Arc::clone(live), prometheus.clone());
        Self { prometheus, queries, live, clock, owners, workloads, book, fed: Fed::default() }
    }

    /// Reads all from `from` up to the present. `None` where that cannot be.
    pub(super) async fn read(mut self, from: Timestamp) -> Option<Past> {
        let (begin, before) = ((self.clock)(), self.prometheus.asked());
        let seconds = u64::try_from(begin.seconds_since(from)).ok()?;
        tracing::info!(from = time(from), seconds, "reading the past from Prometheus");
        let mut span = Range::last(seconds, STEP, begin);
        let mut end = span.end;
        let (mut pause, mut trouble) = (FIRST_PAUSE, None);
        loop {
            match self.pieces(&mut span).await {
                Ok(true) => {
                    let now = (self.clock)();
                    if now.seconds_since(end) < CLOSE_SECONDS {
                        break;
                    }
                    let rest = u64::try_from(now.seconds_since(end)).ok()?;
                    span = Range { start: end.plus(span.step), ..Range::last(rest, STEP, now) };
                    (end, pause) = (span.end, FIRST_PAUSE);
                }
                Ok(false) => return None,
                Err(error) => {
                    let error = error.to_string();
                    let at = time(span.start);
                    if trouble.as_ref() != Some(&error) {
                        tracing::warn!(error, at, "cannot read the past from Prometheus; trying again");
                    }
                    trouble = Some(error);
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
        let asked = self.prometheus.asked();
        tracing::info!(
            series = self.book.len(),
            samples = self.fed.samples,
            refused = self.fed.refused,
            kills = self.fed.kills,
            queries = asked.queries.saturating_sub(before.queries),
            largest = asked.largest,
            seconds = (self.clock)().seconds_since(begin),
            "read the past from Prometheus"
        );
        Some(Past { book: self.book })
    }

    /// Reads what is left of the span; its start is then where to go on. False where it makes no sense to.
    async fn pieces(&mut self, span: &mut Range) -> Result<bool, PrometheusError> {
        let prometheus = self.prometheus.clone();
        let mut history = History::plan(&prometheus, self.queries.clone(), *span).await?;
        while let Some(next) = history.next_span() {
            self.owners.learn(&prometheus, &self.queries, next).await?;
            let Some(piece) = history.next().await? else { break };
            let keys = self.keys(&piece);
            let mut book = std::mem::take(&mut self.book);
            // Many samples: not on a thread that others wait for.
            let fed = tokio::task::spawn_blocking(move || {
                let fed = book.feed(&piece, |name| keys.get(name).cloned());
                (book, fed)
            });
            let Ok((book, fed)) = fed.await else {
                tracing::error!("the past could not be taken in, which is a fault of plumb's");
                return Ok(false);
            };
            self.book = book;
            self.fed += fed;
            *span = history.left();
        }
        Ok(true)
    }

    /// Which series the containers of a piece belong to.
    fn keys(&self, piece: &Piece) -> HashMap<ContainerName, SeriesKey> {
        let index = self.live.index();
        let (controllers, mut keys) = (index.controllers(), HashMap::new());
        let names = piece.cpu.iter().chain(&piece.memory).map(|(name, _)| name);
        for name in names.chain(piece.kills.iter().map(|kill| &kill.container)) {
            if keys.contains_key(name) {
                continue;
            }
            if let Some(workload) = self.workload((&index, &controllers), name) {
                let key = SeriesKey { workload, container: name.container.as_str().into() };
                keys.insert(name.clone(), key);
            }
        }
        keys
    }

    /// The workload of a container, if there still is one.
    fn workload(
        &self,
        (index, controllers): (&Index, &Controllers<'_>),
        name: &ContainerName,
    ) -> Option<WorkloadKey> {
        let pod = ObjectKey { namespace: name.namespace.as_str().into(), name: name.pod.as_str().into() };
        if let Some(facts) = index.pods.get(&pod) {
            facts.container(&name.container)?;
            return match index.resolve(&pod, &facts.origin) {
                Resolution::Workload(workload) => Some(workload),
                Resolution::Pending | Resolution::Unknown(_) => None,
            };
        }
        let (workload, _) = self.owners.workload(&name.namespace, &name.pod);
        let Workload { namespace, kind, name } = workload;
        let at_rest = (kind == "CronJob").then(|| WorkloadKey {
            namespace: namespace.as_str().into(),
            kind: "CronJob".into(),
            name: name.as_str().into(),
            api_version: "batch/v1".into(),
        });
        let known = self.workloads.get(&(namespace, kind, name)).cloned();
        known.or_else(|| at_rest.filter(|workload| controllers.built_in(workload).is_some()))
    }
}

/// Begins to read, and hands it over in the end.
pub(super) fn spawn(
    prometheus: &Prometheus,
    live: &Arc<Live>,
    clock: fn() -> Timestamp,
    request: Request,
    tell: tokio::sync::mpsc::Sender<super::Told>,
) {
    let reader = Reader::new(prometheus, live, clock, request.book);
    tokio::spawn(async move {
        if let Some(past) = reader.read(request.from).await {
            // Nobody listens any more: we are stopping.
            drop(tell.send(super::Told::Past(Box::new(past))).await);
        }
    });
}

fn time(at: Timestamp) -> String {
    chrono::DateTime::from_timestamp(at.0, 0).map_or_else(|| at.0.to_string(), |at| at.to_rfc3339())
}
