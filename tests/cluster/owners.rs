//! What an operator owns is resized too, by an updater that is a process of its own.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::every_kind::a_kind_of_ones_own;
use crate::support::recommended::{auto_policy, container, recommend, resources};
use crate::support::roles::Roles;
use crate::support::{Context, Load, wait_for};
use crate::updater::{pods_of, ready};

cluster_test!(
    an_updater_alone_resizes_pods_of_a_custom_kind,
    [Node, Crds],
    fails(
        "an updater in a process of its own does not resolve owners of custom kinds",
        "pods of one to be resized"
    )
);
async fn an_updater_alone_resizes_pods_of_a_custom_kind(context: Context) -> Result<()> {
    let owner = owner(&context).await?;
    let mut pod = small("one").json();
    pod["metadata"]["ownerReferences"] = owner;
    context.apply(&pod).await?;
    resized(&context).await
}

cluster_test!(
    an_updater_alone_resizes_a_deployment_under_a_custom_kind,
    [Node, Crds],
    fails(
        "an updater in a process of its own does not resolve owners of custom kinds",
        "pods of one to be resized"
    )
);
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
    recommend(context, "squad-one", ("every-kind.test/v1", "Squad", "one"), "Auto", target).await?;
    let uid = context.kubectl(&["get", "squad", "one", "-o", "jsonpath={.metadata.uid}"]).await?.ok()?;
    Ok(
        json!([{"apiVersion": "every-kind.test/v1", "kind": "Squad", "name": "one", "uid": uid, "controller": true}]),
    )
}

async fn resized(context: &Context) -> Result<()> {
    ready(context, "one", 1).await?;
    let plumb = Roles::start(context, &[("updater", &[])]).await?;
    wait_for("pods of one to be resized", Duration::from_secs(45), || async {
        let found = pods_of(context, "one").await?;
        let cpu = |pod| resources(pod, "load")["requests"]["cpu"].clone();
        ensure!(found.iter().all(|pod| cpu(pod) == "30m"), "{:?}", found.iter().map(cpu).collect::<Vec<_>>());
        Ok(())
    })
    .await?;
    plumb.stop()
}
