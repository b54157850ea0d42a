//! `plumb pause` also stops the sizing of new pods, whichever way they get their sizes, and `plumb resume` ends that.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use crate::admission::{dry_run, place, start, wait_stamped};
use crate::support::plumb::Plumb;
use crate::support::recommended::{container, recommend, stamp};
use crate::support::{Context, wait_for};

/// What a person who stops everything is promised.
const WITHIN: Duration = Duration::from_secs(2);

cluster_test!(a_pause_stops_the_sizing_of_new_pods, [Fresh, Crds]);
async fn a_pause_stops_the_sizing_of_new_pods(context: Context) -> Result<()> {
    let account = place(&context).await?;
    let containers = json!([container("load", "180m", "300Mi", "400Mi")]);
    recommend(&context, "pod-web", ("v1", "Pod", "web"), "Auto", containers).await?;
    let webhook = start(&context, &account.kubeconfig, &[]).await?;
    stops_and_starts(&context).await.with_context(|| webhook.log())?;
    let (_, metrics) = webhook.page("/metrics").await?;
    ensure!(metrics.contains("result=\"unchanged\",reason=\"paused\""), "{metrics}");
    webhook.stop()?;
    let flags = ["--roles", "webhook", "--admission", "policy"];
    let policy = Plumb::start(&context.cluster.plane, &account.kubeconfig, &context.namespace, &flags)?;
    policy.wait_ready().await?;
    stops_and_starts(&context).await.with_context(|| policy.log())?;
    // Who starts while everything is paused sizes nothing either.
    verb(&context, "pause").await?;
    wait_for("the binding to go", WITHIN, || async {
        ensure!(stamp(&dry_run(&context).await?).is_none(), "new pods are sized");
        Ok(())
    })
    .await?;
    policy.kill()?;
    let webhook = start(&context, &account.kubeconfig, &[]).await?;
    ensure!(stamp(&dry_run(&context).await?).is_none(), "sized though paused: {}", webhook.log());
    verb(&context, "resume").await?;
    webhook.stop()?;
    Ok(())
}

async fn verb(context: &Context, verb: &str) -> Result<String> {
    let done = context.plumb(&[verb, "--lease-namespace", &context.namespace]).await?;
    ensure!(done.code == Some(0), "{done:?}");
    Ok(done.stderr)
}

async fn stops_and_starts(context: &Context) -> Result<()> {
    wait_stamped(context).await?;
    let told = verb(context, "pause").await?;
    ensure!(told.contains("new pods are given no sizes"), "{told}");
    let begin = Instant::now();
    let end = wait_for("new pods to be left alone", Duration::from_secs(30), || async {
        ensure!(stamp(&dry_run(context).await?).is_none(), "they are sized");
        Ok(begin.elapsed())
    })
    .await?;
    ensure!(end <= WITHIN, "after {end:?}");
    println!("new pods are left alone {end:?} after plumb pause");
    for _ in 0..20 {
        ensure!(stamp(&dry_run(context).await?).is_none(), "one is sized after {:?}", begin.elapsed());
    }
    verb(context, "resume").await?;
    wait_stamped(context).await
}
