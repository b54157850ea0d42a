//! What an operator owns is resized too, by an updater that is a process of its own.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::every_kind::a_kind_of_ones_own;
use crate::support::recommended::{auto_policy, container, name_of, recommend, resources};
use crate::support::roles::Roles;
use crate::support::{Context, Load, wait_for};
use crate::updater::{SOON, pods_of, ready};

cluster_test!(an_updater_alone_resizes_pods_of_a_custom_kind, [Node, Crds]);
async fn an_updater_alone_resizes_pods_of_a_custom_kind(context: Context) -> Result<()> {
    let owner = owner(&context).await?;
    let mut pod = small("one").json();
    pod["metadata"]["ownerReferences"] = owner;
    context.apply(&pod).await?;
    resized(&context).await
}

cluster_test!(an_updater_alone_resizes_a_deployment_under_a_custom_kind, [Node, Crds]);
async fn an_updater_alone_resizes_a_deployment_under_a_custom_kind(context: Context) -> Result<()> {
    let owner = owner(&context).await?;
    let mut deployment = small("one").deployment(1);
    deployment["metadata"]["ownerReferences"] = owner;
    context.apply(&deployment).await?;
    resized(&context).await
}

fn small(name: &str) -> Load {
    Load::named(name).requests("10m", "24Mi").memory_limit("64Mi")
}

/// A Squad named `one`, as an owner reference, and what is recommended for it.
async fn owner(context: &Context) -> Result<Value> {
    a_kind_of_ones_own(context).await?;
    auto_policy(context, "all").await?;
    let target = json!([container("load", "30m", "24Mi", "64Mi")]);
    let squad = ("every-kind.test/v1", "Squad", "one");
    recommend(context, &name_of(squad), squad, "Auto", target).await?;
    let uid = context.kubectl(&["get", "squad", "one", "-o", "jsonpath={.metadata.uid}"]).await?.ok()?;
    Ok(
        json!([{"apiVersion": "every-kind.test/v1", "kind": "Squad", "name": "one", "uid": uid, "controller": true}]),
    )
}

async fn resized(context: &Context) -> Result<()> {
    ready(context, "one", 1).await?;
    // One that nobody owns shows that the updater is at work.
    context.apply(&small("plain").deployment(1)).await?;
    ready(context, "plain", 1).await?;
    let target = json!([container("load", "30m", "24Mi", "64Mi")]);
    recommend(context, "deployment-plain", ("apps/v1", "Deployment", "plain"), "Auto", target).await?;
    let plumb = Roles::start(context, &[("updater", &[])]).await?;
    let cpu = |name: &'static str| async move {
        let pod = pods_of(context, name).await?.pop().with_context(|| format!("no pod of {name}"))?;
        Ok::<_, anyhow::Error>(resources(&pod, "load")["requests"]["cpu"].clone())
    };
    wait_for("the plain Deployment to be resized", SOON, || async {
        let has = cpu("plain").await?;
        ensure!(has == "30m", "it has {has}");
        Ok(())
    })
    .await
    .with_context(|| plumb.log())?;
    wait_for("what the Squad owns to be resized", Duration::from_secs(30), || async {
        plumb.of("updater")?.check_running()?;
        let has = cpu("one").await?;
        ensure!(has == "30m", "unresolved owner: {has}");
        Ok(())
    })
    .await?;
    plumb.stop()
}
