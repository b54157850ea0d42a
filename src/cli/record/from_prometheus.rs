//! Recording the past from Prometheus.

use std::collections::{BTreeMap, HashMap};

use super::spool::{Requests, Spool};
use super::{Args, Sample};
use crate::sources::ContainerName;
use crate::sources::prometheus::{Prometheus, PrometheusError, Range};
use crate::units::{Bytes, Cores, Timestamp};
use crate::{cli, clock};

/// The shortest span over which a rate is taken: two scrapes at the usual interval of a minute, and some.
const SHORTEST_RATE: i64 = 150;

pub(super) async fn record(args: &Args, prometheus: &Prometheus, spool: &mut Spool) -> anyhow::Result<()> {
    let queries = Queries::new(args);
    let step = i64::try_from(args.step.seconds)?;
    let now = clock::now();
    // On the step's own grid, so that a run that goes on asks for the same times.
    let align = |t: Timestamp| Timestamp(t.0.div_euclid(step) * step);
    let since = now.plus(-i64::try_from(args.since.seconds)?);
    let start = spool.complete().map_or(align(since), |until| align(until.max(since)).plus(step));
    let whole = Range { start, end: align(now), step };
    let series = busiest(prometheus, &queries, whole).await?;
    let pieces: Vec<Range> = whole.pieces(series).collect();
    let bar = cli::progress(pieces.len() as u64, "reading from Prometheus");
    for piece in pieces {
        tokio::select! {
            stored = store(prometheus, &queries, piece, spool) => stored?,
            // What is stored is enough to go on from.
            _ = tokio::signal::ctrl_c() => break,
        }
        spool.set_complete(piece.end)?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    for (name, requests) in requests(prometheus, &queries, now).await? {
        spool.set_requests(&name, requests)?;
    }
    Ok(())
}

struct Queries {
    cpu: String,
    memory: String,
    requests: String,
}

impl Queries {
    fn new(args: &Args) -> Self {
        let namespace = args.namespace.as_deref().map(|n| format!(",namespace={n:?}")).unwrap_or_default();
        // A pod's own series has no container, and old versions name its pause container POD.
        let only = format!(r#"container!="",container!="POD"{namespace}"#);
        let rate = args.step.seconds.max(SHORTEST_RATE.unsigned_abs());
        let by = "by (namespace, pod, container)";
        Self {
            cpu: format!("sum {by} (rate(container_cpu_usage_seconds_total{{{only}}}[{rate}s]))"),
            memory: format!("max {by} (container_memory_working_set_bytes{{{only}}})"),
            requests: format!(
                "max by (namespace, pod, container, resource) (kube_pod_container_resource_requests{{{only}}})"
            ),
        }
    }
}

/// The largest number of series that one point of the span may have, by a look at some of its points.
async fn busiest(prometheus: &Prometheus, queries: &Queries, whole: Range) -> Result<u64, PrometheusError> {
    let length = whole.end.seconds_since(whole.start).max(0);
    let mut most = 1.0_f64;
    for eighth in 0..=8 {
        let at = whole.start.plus(length / 8 * eighth);
        for series in prometheus.instant(&format!("count({})", queries.memory), at).await? {
            most = series.points().map(|(_, value)| value).fold(most, f64::max);
        }
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "at least 1; the cast saturates"
    )]
    // Pods that came and went between the looks: twice as many are allowed for.
    Ok((most * 2.0) as u64)
}

async fn store(
    prometheus: &Prometheus,
    queries: &Queries,
    piece: Range,
    spool: &mut Spool,
) -> anyhow::Result<()> {
    let mut samples: BTreeMap<ContainerName, BTreeMap<Timestamp, Sample>> = BTreeMap::new();
    let empty = |at| Sample { at, cpu: None, memory: None };
    for series in prometheus.range(&queries.cpu, piece).await? {
        let Some(name) = series.container() else { continue };
        let known = samples.entry(name).or_default();
        for (at, value) in series.points().filter(|(_, value)| *value >= 0.0) {
            known.entry(at).or_insert_with(|| empty(at)).cpu = Some(Cores(value));
        }
    }
    for series in prometheus.range(&queries.memory, piece).await? {
        let Some(name) = series.container() else { continue };
        let known = samples.entry(name).or_default();
        for (at, value) in series.points().filter(|(_, value)| *value >= 0.0) {
            known.entry(at).or_insert_with(|| empty(at)).memory = Some(Bytes::from_f64(value));
        }
    }
    for (name, samples) in samples {
        spool.append(&name, samples.into_values())?;
    }
    Ok(())
}

/// What kube-state-metrics says that containers ask for; nothing where it is not there.
async fn requests(
    prometheus: &Prometheus,
    queries: &Queries,
    now: Timestamp,
) -> Result<HashMap<ContainerName, Requests>, PrometheusError> {
    let mut found: HashMap<ContainerName, Requests> = HashMap::new();
    for series in prometheus.instant(&queries.requests, now).await? {
        let (Some(name), Some((_, value))) = (series.container(), series.points().next()) else { continue };
        let requests = found.entry(name).or_default();
        match series.resource() {
            "cpu" => requests.cpu = Some(Cores(value)),
            "memory" => requests.memory = Some(Bytes::from_f64(value)),
            _ => {}
        }
    }
    Ok(found)
}
