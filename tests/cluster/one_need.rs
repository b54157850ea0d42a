//! One usage is one need, whoever measured it: the metrics API, Prometheus as it goes, and Prometheus's past.
//!
//! On a real node. The container uses a core for 10 s in the middle of each minute, so that every five minutes on the clock
//! are alike, and none begins with a burst that a source would put into both: bursts of 30 s in ten minutes would take half
//! an hour to tell apart. It takes up to eleven minutes, as five minutes on the clock must be whole.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use chrono::Utc;
use kube::api::DeleteParams;
use plumb::api::Recommendation;
use plumb::testing;

use crate::support::plumb::{Plumb, account};
use crate::support::{Context, Load, soak, wait_for};

/// Seconds on the clock that a sample of the model stands for.
const SLOT: i64 = 300;
/// The container starts so many seconds before they begin, or fewer: a longer part of five minutes would count by itself,
/// and hold more bursts or fewer than its share.
const BEFORE: i64 = 60;

cluster_test!(bursts_are_one_need_whoever_measured_them, [Node, MetricsServer, Prometheus, Crds], only soak);
async fn bursts_are_one_need_whoever_measured_them(context: Context) -> Result<()> {
    let url = context.cluster.prometheus().await?.url.clone();
    // Else the request stays at half of what people set, whoever measured.
    context.apply(&testing::policy("all").with("/spec/history/learn", "0s").json()).await?;
    let load = Load::named("bursts").uses("cpu", "20m").uses("bursts", "1:10s:60s").requests("500m", "64Mi");
    until_slot(BEFORE).await;
    context.run_pod(&load).await?;
    let plane = &context.cluster.plane;
    let everything = account(&context, "metrics", None).await?;
    // Not even the right to ask the metrics API.
    let alone = account(&context, "prometheus", Some("pods.metrics.k8s.io")).await?;
    let flags = ["--interval", "5s", "--checkpoint", "none"];
    let with_prometheus = [&flags[..], &["--prometheus", &url]].concat();

    let metrics = Plumb::start(plane, &everything.kubeconfig, &context.namespace, &flags)?;
    metrics.wait_ready().await?;
    wait_for("the first to lead", Duration::from_secs(30), || async {
        ensure!(metrics.leads().await?, "not yet");
        Ok(())
    })
    .await?;
    // It learns as well, and waits for its turn to say so.
    let live = Plumb::start(plane, &alone.kubeconfig, &context.namespace, &with_prometheus)?;
    live.wait_ready().await?;
    whole_slot().await;
    let by_metrics = target(&context).await.with_context(|| metrics.log_tail())?;
    metrics.stop()?;
    anew(&context).await?;
    let by_live = target(&context).await.with_context(|| live.log_tail())?;
    live.stop()?;
    anew(&context).await?;
    let past = Plumb::start(plane, &alone.kubeconfig, &context.namespace, &with_prometheus)?;
    past.wait_ready().await?;
    wait_for("the past to be read", Duration::from_secs(60), || async {
        ensure!(past.log().contains("read the past from Prometheus"), "not yet");
        Ok(())
    })
    .await?;
    // What it said before was of its first sample alone.
    anew(&context).await?;
    // The publisher writes at once what it wrote before, and then what the past says.
    let by_past = wait_for("the CPU request by the past", Duration::from_secs(30), || async {
        let found = target(&context).await?;
        ensure!(is_near(found, by_metrics), "{found} cores, and {by_metrics} by the metrics API");
        Ok(found)
    })
    .await
    .with_context(|| past.log_tail())?;
    past.stop()?;

    println!("CPU request by the metrics API {by_metrics}, Prometheus {by_live}, its past {by_past} cores");
    ensure!(is_near(by_live, by_metrics), "Prometheus: {by_live} cores, and {by_metrics} by the metrics API");
    ensure!((0.15..0.35).contains(&by_metrics), "a sixth of a core and some is used, {by_metrics} wanted");
    Ok(())
}

fn is_near(found: f64, wanted: f64) -> bool {
    (found / wanted - 1.0).abs() <= 0.1
}

/// Waits until five minutes on the clock begin within `before` seconds.
async fn until_slot(before: i64) {
    let left = SLOT - Utc::now().timestamp().rem_euclid(SLOT);
    tokio::time::sleep(Duration::from_secs(u64::try_from(left - before).unwrap_or_default())).await;
}

/// Waits until whole five minutes on the clock have ended.
async fn whole_slot() {
    let now = Utc::now().timestamp();
    let end = (now + BEFORE).div_euclid(SLOT) * SLOT + SLOT;
    // Sources are some seconds late.
    let wait = u64::try_from(end + 40 - now).unwrap_or_default();
    tokio::time::sleep(Duration::from_secs(wait)).await;
}

/// Removes what was said before.
async fn anew(context: &Context) -> Result<()> {
    context.api::<Recommendation>().delete("pod-bursts", &DeleteParams::default()).await?;
    Ok(())
}

/// The CPU request that is recommended, in cores.
async fn target(context: &Context) -> Result<f64> {
    wait_for("the CPU request", Duration::from_secs(60), || async {
        let found = context.api::<Recommendation>().get("pod-bursts").await?;
        let status = found.status.context("no status yet")?;
        let container = status.containers.first().context("no container")?;
        let cpu = container.target.requests.cpu.as_ref().context("no CPU target yet")?;
        Ok(cpu.value().as_cores().0)
    })
    .await
}
