//! On a server that resizes no pods (before Kubernetes 1.33) the updater finds that out once; pods stay as they are and the
//! reason is named, or, where the policy allows it, get new ones.
//!
//! The webhook knows the cluster as soon as on any other: it asks for nothing that only newer servers have.
//!
//! It is the real API server, behind one that asks it for a subresource that it does not know in place of pods/resize, and
//! that refuses streaming lists.

use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use plumb::api::Recommendation;
use serde_json::json;

use crate::admission;
use crate::support::older::Older;
use crate::support::plumb::{Plumb, account_with};
use crate::support::recommended::{auto_policy, container, recommend, resources};
use crate::support::roles::Roles;
use crate::support::{Context, Load, wait_for};
use crate::updater::{SOON, advise, events_tell, pods_of, policy, ready, wait_blocked};

cluster_test!(the_webhook_starts_on_a_server_without_streaming_lists, [Fresh, Crds]);
async fn the_webhook_starts_on_a_server_without_streaming_lists(context: Context) -> Result<()> {
    auto_policy(&context, "all").await?;
    recommend(
        &context,
        "pod-web",
        ("v1", "Pod", "web"),
        "Auto",
        json!([container("load", "20m", "40Mi", "64Mi")]),
    )
    .await?;
    let account = account_with(&context, "plumb", &["webhook"], None).await?;
    let older = Older::start(&account.kubeconfig, &context.kubeconfig()).await?;
    let plumb = admission::start(&context, &older.kubeconfig, &[]).await?;
    let done = async {
        let listed = older.listed.load(Ordering::Relaxed);
        ensure!(listed >= 12, "{listed} lists of 12 kinds");
        // Not only lists: what happens later is told too.
        wait_for("a pod to be stamped", SOON, || async {
            let size = resources(&admission::dry_run(&context).await?, "load");
            ensure!(size["requests"]["cpu"] == "20m", "{size}");
            Ok(())
        })
        .await?;
        let other = json!([container("load", "30m", "40Mi", "64Mi")]);
        let api = context.api::<Recommendation>();
        let status = Patch::Merge(json!({"status": {"containers": other}}));
        api.patch_status("pod-web", &PatchParams::default(), &status).await?;
        wait_for("a pod to be stamped anew", SOON, || async {
            let size = resources(&admission::dry_run(&context).await?, "load");
            ensure!(size["requests"]["cpu"] == "30m", "{size}");
            Ok(())
        })
        .await?;
        plumb.check_running()
    };
    let done: Result<()> = done.await;
    done.with_context(|| plumb.log())?;
    plumb.stop()?;
    Ok(())
}

cluster_test!(a_server_without_resize_is_recognised_once, [Node, Crds]);
async fn a_server_without_resize_is_recognised_once(context: Context) -> Result<()> {
    let load = |name: &str| Load::named(name).requests("10m", "24Mi").memory_limit("64Mi").deployment(1);
    let target = || container("load", "20m", "40Mi", "64Mi");
    let account = account_with(&context, "plumb", &["updater"], None).await?;
    let older = Older::start(&account.kubeconfig, &context.kubeconfig()).await?;
    let asked = || older.asked.load(Ordering::Relaxed);
    // Before anything is recommended here: who recommends would write its own word over it.
    nothing_is_lent(&context, &older).await?;
    policy(&context, "stays", "Deployment", json!({"method": "InPlace"})).await?;
    context.apply(&load("stays")).await?;
    let before = ready(&context, "stays", 1).await?;
    advise(&context, "stays", target()).await?;
    let flags = ["--roles", "updater"];
    let plumb = Plumb::start(&context.cluster.plane, &older.kubeconfig, &context.namespace, &flags)?;
    let done = async {
        plumb.wait_ready().await?;
        wait_blocked(&context, "stays", "ResizeUnsupported").await?;
        ensure!(asked() == 1, "a resize was asked for {} times", asked());
        // Of what comes later none is tried: this one is evicted at once, as its policy allows that and its successor will
        // be stamped.
        context.apply(&load("moves")).await?;
        ready(&context, "moves", 1).await?;
        let webhook = Roles::start(&context, &[("webhook", &[])]).await?;
        let actuation = json!({"method": "InPlaceOrEvict", "minReplicas": 1, "maxUnavailable": 1});
        policy(&context, "moves", "Deployment", actuation).await?;
        advise(&context, "moves", target()).await?;
        events_tell(&context, "moves", "EvictedForResize").await.with_context(|| webhook.log())?;
        ensure!(asked() == 1, "a resize was asked for {} times", asked());
        let now = pods_of(&context, "stays").await?.pop().context("it is gone")?;
        ensure!(now.uid() == before[0].uid(), "it was replaced");
        ensure!(resources(&now, "load") == resources(&before[0], "load"), "it was changed");
        webhook.stop()?;
        plumb.check_running()
    };
    let done: Result<()> = done.await;
    done.with_context(|| plumb.log())?;
    plumb.stop()?;
    Ok(())
}

/// Who recommends finds that out too: what a policy would lend at the start could not be taken back.
async fn nothing_is_lent(context: &Context, older: &Older) -> Result<()> {
    let account = account_with(context, "advisor", &["recommender"], None).await?;
    let through = older.kubeconfig_of(&account.kubeconfig)?;
    let plumb = Plumb::start(&context.cluster.plane, &through, &context.namespace, &["--interval", "1s"])?;
    let done = wait_for("it to say so", SOON, || async {
        plumb.check_running()?;
        ensure!(plumb.log().contains("this API server resizes no pods"), "not yet");
        Ok(())
    });
    let done: Result<()> = done.await;
    done.with_context(|| plumb.log())?;
    // The next one is to lead.
    plumb.stop()?;
    let straight =
        Plumb::start(&context.cluster.plane, &account.kubeconfig, &context.namespace, &["--interval", "1s"])?;
    straight.wait_ready().await?;
    straight.rounds(4, Duration::from_secs(1)).await?;
    ensure!(!straight.log().contains("resizes no pods"), "{}", straight.log());
    Ok(())
}
