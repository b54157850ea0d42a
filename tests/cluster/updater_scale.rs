//! Many pods to be resized take as long as the rate allows, and no longer; then nothing is written any more.
//!
//! On a control plane of its own, with fake nodes and pods. `PLUMB_SCALE_POLICIES` says how many policies there are (60
//! where it says nothing), each with two pods; `make scale-updates` takes 1,000.

use std::cell::Cell;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use serde_json::json;

use crate::support::plumb::{Plumb, account_with};
use crate::support::recommended::{container, resources};
use crate::support::{Context, Load, kwok, pods, wait_for};
use crate::updater::{advise, policy};

const PER_POLICY: usize = 2;
const PER_SECOND: f64 = 10.0;
/// What the bucket holds at the start.
const AT_ONCE: f64 = 2.0 * PER_SECOND;
/// How much longer than by the rate it may take; without optimisation, and beside other tests, a plan may take so long that
/// the bucket runs over.
const LATE: f64 = if cfg!(debug_assertions) { 2.0 } else { 1.1 };

cluster_test!(many_resizes_take_what_the_rate_allows, [Fresh, Crds, Kwok]);
async fn many_resizes_take_what_the_rate_allows(context: Context) -> Result<()> {
    let stated = std::env::var("PLUMB_SCALE_POLICIES").ok().and_then(|text| text.parse().ok());
    let policies: usize = stated.unwrap_or(60);
    let all = policies * PER_POLICY;
    let long = Duration::from_secs(120 + all as u64 / 4);
    let plane = &context.cluster.plane;
    kwok::add_nodes(plane, "updates", all.div_ceil(100).max(2)).await?;
    let context = &context;
    stream::iter(0..policies)
        .map(|number| async move {
            let name = format!("web-{number}");
            let mut deployment =
                Load::named(&name).requests("10m", "24Mi").memory_limit("64Mi").deployment(2);
            kwok::on_fake_nodes(&mut deployment["spec"]["template"]);
            context.apply(&deployment).await?;
            let quick = json!({"method": "InPlace", "guard": {"observe": "0s"}, "maxUnavailable": 2});
            policy(context, &name, "Deployment", quick).await?;
            advise(context, &name, container("load", "30m", "24Mi", "64Mi")).await
        })
        .buffer_unordered(8)
        .try_collect::<Vec<()>>()
        .await?;
    wait_for("the fake pods to be ready", long, || async {
        let found = context.api::<Pod>().list(&ListParams::default()).await?.items;
        let ready = found.iter().filter(|pod| pods::is_ready(pod)).count();
        ensure!(ready == all, "{ready} of {all} are");
        Ok(())
    })
    .await?;
    let rights = account_with(context, "plumb", &["updater"], None).await?;
    let rate = PER_SECOND.to_string();
    let flags = ["--roles", "updater", "--resizes-per-second", &rate];
    let plumb = Plumb::start(plane, &rights.kubeconfig, &context.namespace, &flags)?;
    plumb.wait_ready().await?;
    let accepted = || plumb.metric("plumb_updater_actions_total{action=\"resize\",outcome=\"accepted\"}");
    // When it was last seen not to be so, and when it was first seen to be so: in between it came.
    let reach = |goal: f64| async move {
        let before = Cell::new(Instant::now());
        let after = wait_for(&format!("{goal} resizes"), long, || async {
            let asked = Instant::now();
            let now = accepted().await?;
            if now < goal {
                before.set(asked);
            }
            ensure!(now >= goal, "{now} so far");
            Ok(Instant::now())
        })
        .await?;
        Ok::<_, anyhow::Error>((before.get(), after))
    };
    let begin = reach(1.0).await?;
    let end = reach(all as f64).await.with_context(|| plumb.log())?;
    let seconds = |from: Instant, to: Instant| (to - from).as_secs_f64();
    let (least, most) = (seconds(begin.1, end.0), seconds(begin.0, end.1));
    let allowed = (all as f64 - AT_ONCE) / PER_SECOND;
    println!("{all} resizes in {least:.1} to {most:.1} s; the rate allows them in {allowed:.1} s");
    // The bucket counts whole seconds.
    ensure!(most >= allowed * 0.9, "faster than the rate: {most} s");
    ensure!(least <= all as f64 / PER_SECOND * LATE, "{least} s");
    for pod in context.api::<Pod>().list(&ListParams::default()).await?.items {
        ensure!(resources(&pod, "load")["requests"]["cpu"] == "30m", "one was left out");
        ensure!(pod.metadata.generation == Some(2), "generation {:?}", pod.metadata.generation);
    }
    nothing_is_written(context, &plumb, policies).await?;
    plumb.stop()?;
    Ok(())
}

/// Nothing drifts: no object of plumb's and no pod gets another version.
async fn nothing_is_written(context: &Context, plumb: &Plumb<'_>, policies: usize) -> Result<()> {
    let recommendations = context.api::<plumb::api::Recommendation>();
    wait_for("all to be called applied", Duration::from_secs(60), || async {
        let all = recommendations.list(&ListParams::default()).await?.items;
        let state = |found: &plumb::api::Recommendation| found.status.as_ref()?.summary.state.clone();
        let applied = all.iter().filter(|found| state(found).as_deref() == Some("Applied")).count();
        ensure!(applied == policies, "{applied} of {policies}");
        Ok(())
    })
    .await?;
    let versions = || async {
        let recommendations = recommendations.list_metadata(&ListParams::default()).await?.items;
        let pods = context.api::<Pod>().list_metadata(&ListParams::default()).await?.items;
        let all = recommendations
            .into_iter()
            .map(|one| one.metadata)
            .chain(pods.into_iter().map(|one| one.metadata));
        let mut all: Vec<_> = all.map(|one| (one.name, one.resource_version)).collect();
        all.sort();
        Ok::<_, anyhow::Error>(all)
    };
    let before = versions().await?;
    plumb.plans(3).await?;
    let after = versions().await?;
    let written = after.iter().zip(&before).filter(|(after, before)| after != before).count();
    plumb.check_running()?;
    ensure!(written == 0 && after.len() == before.len(), "{written} objects were written");
    Ok(())
}
