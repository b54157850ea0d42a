//! The webhook dies: pods are created all the same, unstamped, and the updater knows that admission does not answer, so
//! that it evicts nobody whose replacement would come up as large as before; until it answers again.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use plumb::api::Recommendation;
use serde_json::json;

use crate::admission::{place, start, wait_stamped};
use crate::support::plumb::{Plumb, account_with};
use crate::support::recommended::{container, recommend, stamp};
use crate::support::{Context, Load, later_second, wait_for};

const SOON: Duration = Duration::from_secs(60);

cluster_test!(the_updater_knows_whether_admission_answers, [Fresh, Crds]);
async fn the_updater_knows_whether_admission_answers(context: Context) -> Result<()> {
    let account = place(&context).await?;
    let containers = json!([container("load", "180m", "300Mi", "400Mi")]);
    recommend(&context, "deployment-web", ("apps/v1", "Deployment", "web"), "Auto", containers.clone())
        .await?;
    recommend(&context, "pod-web", ("v1", "Pod", "web"), "Auto", containers).await?;
    let updater = account_with(&context, "updater", &["updater"], None).await?;
    let flags = ["--roles", "updater"];
    let updater = Plumb::start(&context.cluster.plane, &updater.kubeconfig, &context.namespace, &flags)?;
    let steps = async {
        updater.wait_ready().await?;
        context.apply(&Load::named("web").deployment(0)).await?;
        context.apply(&Load::named("web").deployment(1)).await?;
        wait_for("the updater to say what new pods are given", SOON, || async {
            let found = context.api::<Recommendation>().get("deployment-web").await?;
            ensure!(found.status.is_some_and(|status| status.new_pods.is_some()), "it says nothing");
            Ok(())
        })
        .await?;
        let webhook = asked(&context, &account.kubeconfig).await?;
        answers(&context, &updater, 2, true).await?;
        webhook.kill()?;
        answers(&context, &updater, 3, false).await?;
        let webhook = asked(&context, &account.kubeconfig).await?;
        answers(&context, &updater, 4, true).await?;
        webhook.stop()?;
        Ok(())
    };
    let steps: Result<()> = steps.await;
    steps.with_context(|| updater.log())?;
    updater.stop()?;
    Ok(())
}

/// Starts a webhook and waits until the API server asks it, which it does a moment after it is registered.
async fn asked<'a>(context: &'a Context, kubeconfig: &Path) -> Result<Plumb<'a>> {
    let webhook = start(context, kubeconfig, &[]).await?;
    wait_stamped(context).await.with_context(|| webhook.log())?;
    Ok(webhook)
}

/// Has one more pod made, and waits until the updater knows what became of it.
async fn answers(context: &Context, updater: &Plumb<'_>, replicas: u32, stamped: bool) -> Result<()> {
    // The new pod is to be younger than all before.
    later_second().await;
    context.apply(&Load::named("web").deployment(replicas)).await?;
    wait_for("another pod", SOON, || async {
        let label = ListParams::default().labels("app=web");
        let found = context.api::<Pod>().list(&label).await?.items;
        ensure!(found.len() == replicas as usize, "{} pods", found.len());
        let newest = found.iter().max_by_key(|pod| pod.metadata.creation_timestamp.clone());
        let newest = newest.context("there is none")?;
        ensure!(stamp(newest).is_some() == stamped, "stamped should be {stamped}: {newest:?}");
        Ok(())
    })
    .await?;
    let expected = if stamped { 1.0 } else { 0.0 };
    wait_for(&format!("the updater to find that admission answers: {stamped}"), SOON, || async {
        let found = updater.metric("plumb_admission_answers ").await?;
        ensure!((found - expected).abs() < 0.1, "{found}");
        Ok(())
    })
    .await
}
