//! How long a container that was killed for its memory waits until something is done about it: from the death of its
//! process on the real node, the kubelet's own delay included, to the change that the API server has accepted.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use futures::{TryStreamExt, pin_mut};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{DeleteParams, WatchEvent, WatchParams};
use serde_json::json;

use super::updater::{SOON, memory_limit, pods_of, policy};
use crate::support::roles::Roles;
use crate::support::{Context, Load, cgroups, wait_for};

/// So many are killed, one after another.
const PODS: usize = 10;
/// The limit that they are killed at, in MiB.
const LIMIT: u64 = 64;

cluster_test!(an_oom_kill_is_answered_at_once, [Node, MetricsServer, Crds]);
async fn an_oom_kill_is_answered_at_once(context: Context) -> Result<()> {
    let plumb = Roles::start(&context, &[("recommender", &[]), ("updater", &[]), ("webhook", &[])]).await?;
    let done = async {
        let mut waits = Vec::new();
        for number in 0..PODS {
            waits.extend(one(&context, &format!("leak-{number}")).await?);
        }
        waits.sort_unstable();
        ensure!(waits.len() > PODS / 2, "only {waits:?} were seen to be killed");
        println!("from an OOM kill to a change that is accepted: {waits:?}");
        let middle = waits[waits.len() / 2];
        ensure!(middle < Duration::from_secs(2), "the middle one took {middle:?}");
        Ok(())
    };
    let done: Result<()> = done.await;
    done.with_context(|| plumb.log())?;
    plumb.stop()?;
    Ok(())
}

/// How long the first kill of a pod of its own workload waits to be answered; `None` where it was answered before the test
/// saw the process that was killed.
async fn one(context: &Context, name: &str) -> Result<Option<Duration>> {
    policy(context, name, "Deployment", json!({})).await?;
    let load = Load::named(name).uses("memory", "20Mi").uses("grow", "16Mi/s");
    let load = load.requests("20m", "64Mi").memory_limit(&format!("{LIMIT}Mi"));
    context.apply(&load.deployment(1)).await?;
    let (uid, process) = wait_for("the pod's process", SOON, || async {
        let pod = pods_of(context, name).await?.into_iter().next().context("no pod yet")?;
        let uid = pod.uid().context("no uid")?;
        let process = cgroups::processes_of(&uid).into_iter().find(|pid| command(*pid).contains("--grow"));
        Ok((uid, process.context("not running yet")?))
    })
    .await?;
    let changed = tokio::spawn(changed(context.clone(), name.to_owned(), uid));
    let begin = Instant::now();
    let mut missed = false;
    while !missed && !command(process).is_empty() {
        ensure!(begin.elapsed() < SOON, "{name} was not killed");
        missed = changed.is_finished();
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let killed = Instant::now();
    let changed = tokio::time::timeout(SOON, changed).await.context("nothing was done about it")???;
    context.api::<Deployment>().delete(name, &DeleteParams::background()).await?;
    Ok((!missed).then(|| changed.saturating_duration_since(killed)))
}

/// Its command line; empty where it is gone.
fn command(pid: i32) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default()
}

/// When the API server has accepted another limit of the pod, or its end.
async fn changed(context: Context, name: String, uid: String) -> Result<Instant> {
    let only = WatchParams::default().labels(&format!("app={name}"));
    let events = context.api::<Pod>().watch(&only, "0").await?;
    pin_mut!(events);
    while let Some(event) = events.try_next().await? {
        let (WatchEvent::Added(pod) | WatchEvent::Modified(pod) | WatchEvent::Deleted(pod)) = event else {
            continue;
        };
        if pod.uid().as_ref() == Some(&uid)
            && (pod.metadata.deletion_timestamp.is_some() || memory_limit(&pod)? != LIMIT)
        {
            return Ok(Instant::now());
        }
    }
    anyhow::bail!("the watch has ended")
}
