//! Recording the past from Prometheus.

use std::collections::{BTreeMap, HashMap};

use super::spool::{Requests, Spool};
use super::{Args, Sample};
use crate::sources::ContainerName;
use crate::sources::prometheus::{Prometheus, PrometheusError, Queries, Range};
use crate::units::{Bytes, Cores, Timestamp};
use crate::{cli, clock};

pub(super) async fn record(args: &Args, prometheus: &Prometheus, spool: &mut Spool) -> anyhow::Result<()> {
    let queries = prometheus.queries(args.namespace.as_deref());
    let now = clock::now();
    let mut left = Range::last(args.since.seconds, args.step.seconds, now);
    // On the step's own grid, so that a run that goes on asks for the same times.
    if let Some(until) = spool.complete().filter(|until| *until >= left.start) {
        left.start = Timestamp(until.0.div_euclid(left.step) * left.step).plus(left.step);
    }
    // Pods that came and went between the looks: a quarter more is allowed for.
    let series = prometheus.busiest(&queries, left).await? * 5 / 4 + 1;
    let bar = cli::progress(left.points().max(0).unsigned_abs(), "reading from Prometheus");
    while let Some(piece) = left.first_piece(series, prometheus.max_samples()) {
        tokio::select! {
            stored = store(prometheus, &queries, piece, spool) => stored?,
            // What is stored is enough to go on from.
            _ = tokio::signal::ctrl_c() => break,
        }
        spool.set_complete(piece.end)?;
        left.start = piece.end.plus(piece.step);
        bar.inc(piece.points().max(0).unsigned_abs());
    }
    bar.finish_and_clear();
    for (name, requests) in requests(prometheus, &queries, now).await? {
        spool.set_requests(&name, requests)?;
    }
    for warning in prometheus.take_warnings() {
        cli::note(format_args!("Prometheus warns: {warning}"));
    }
    Ok(())
}

async fn store(
    prometheus: &Prometheus,
    queries: &Queries,
    piece: Range,
    spool: &mut Spool,
) -> anyhow::Result<()> {
    let mut samples: BTreeMap<ContainerName, BTreeMap<Timestamp, Sample>> = BTreeMap::new();
    let empty = |at| Sample { at, cpu: None, memory: None };
    for series in prometheus.range(&queries.cpu(piece.step), piece).await? {
        let Some(name) = series.container(&queries.usage) else { continue };
        let known = samples.entry(name).or_default();
        for (at, value) in series.points().filter(|(_, value)| *value >= 0.0) {
            known.entry(at).or_insert_with(|| empty(at)).cpu = Some(Cores(value));
        }
    }
    for series in prometheus.range(&queries.memory(piece.step), piece).await? {
        let Some(name) = series.container(&queries.usage) else { continue };
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
    for series in prometheus.instant(&queries.sizes("requests", 0), now).await? {
        let (Some(name), Some((_, value))) = (series.container(&queries.state), series.points().next())
        else {
            continue;
        };
        let requests = found.entry(name).or_default();
        match series.label("resource") {
            "cpu" => requests.cpu = Some(Cores(value)),
            "memory" => requests.memory = Some(Bytes::from_f64(value)),
            _ => {}
        }
    }
    Ok(found)
}
