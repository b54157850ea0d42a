//! Which pods the scheduler finds a node for.

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, ListParams};
use serde_json::{Value, json};

use crate::support::conform::{
    condition, container, create, held, init, pod, sizes, step, wait_pod, wait_unschedulable,
};
use crate::support::{Context, kwok};

/// CPU of the fake node, in thousandths of a core.
const NODE: u64 = 32_000;

/// Asks the scheduler for room on a fake node of 32 cores and 128 GiB, the only one, and leaves no pod.
pub async fn rules(context: &Context) -> Result<()> {
    let cores = |amount: &str| sizes((amount, ""), ("", ""));
    let first = |amount: &str| init("first", false, cores(amount));
    let beside = |amount: &str| init("beside", true, cores(amount));
    let of = |name: &str, main: &str, inits: Value| {
        let mut made = pod(name, json!([container("load", cores(main))]), inits);
        kwok::on_fake_nodes(&mut made);
        made
    };
    // Name, CPU of the container, init containers, whether the empty node holds it.
    let cases = [
        ("all-of-it", of("all-of-it", "32", json!([])), true),
        ("one-too-much", of("one-too-much", "33", json!([])), false),
        ("init-beside-nothing", of("init-beside-nothing", "20", json!([first("32")])), true),
        ("init-too-much", of("init-too-much", "1", json!([first("33")])), false),
        ("sidecar-is-added", of("sidecar-is-added", "20", json!([beside("13")])), false),
        ("sidecar-fits", of("sidecar-fits", "20", json!([beside("12")])), true),
        ("init-after-sidecar", of("init-after-sidecar", "1", json!([beside("13"), first("20")])), false),
        ("init-before-sidecar", of("init-before-sidecar", "1", json!([first("20"), beside("13")])), true),
    ];
    for (name, made, fits) in cases {
        step(name, one(context, name, &made, fits)).await?;
    }
    step("limits count for nothing", async {
        let mut made = of("limits", "1", json!([]));
        made["spec"]["containers"][0]["resources"] = sizes(("1", ""), ("100", ""));
        one(context, "limits", &made, true).await
    })
    .await?;
    step("what pods hold is no more free", async {
        let with = json!([first("30")]);
        create(context, &of("holds", "1", with)).await?;
        wait_bound(context, "holds").await?;
        // The init container has ended, and what it asked for is held as long as the pod is there.
        one(context, "late", &of("late", "3", json!([])), false).await?;
        one(context, "small", &of("small", "2", json!([])), true).await
    })
    .await?;
    step("a taint that is not tolerated, a label that no node has", async {
        let mut made = of("taint", "1", json!([]));
        made["spec"]["tolerations"] = json!([]);
        create(context, &made).await?;
        wait_unschedulable(context, "taint", "untolerated taint").await?;
        let mut made = of("label", "1", json!([]));
        made["spec"]["nodeSelector"] = json!({"plumb.test/nowhere": "true"});
        create(context, &made).await?;
        wait_unschedulable(context, "label", "didn't match Pod's node affinity/selector").await?;
        Ok(())
    })
    .await?;
    context.api::<Pod>().delete_collection(&at_once(), &ListParams::default()).await?;
    Ok(())
}

/// Creates a pod, sees whether a node is found, and deletes it.
async fn one(context: &Context, name: &str, made: &Value, fits: bool) -> Result<()> {
    let others = context.api::<Pod>().list(&ListParams::default()).await?.items;
    let made = create(context, made).await?;
    let bound = others.iter().filter(|pod| pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_some()));
    let used = bound.map(|pod| held(pod, |size| size.cpu)).sum::<Result<u64>>()?;
    let model = used + held(&made, |size| size.cpu)? <= NODE;
    ensure!(model == fits, "the simulator says {model}");
    if fits {
        wait_bound(context, name).await?;
    } else {
        wait_unschedulable(context, name, "Insufficient cpu").await?;
    }
    context.api::<Pod>().delete(name, &at_once()).await?;
    Ok(())
}

fn at_once() -> DeleteParams {
    DeleteParams::default().grace_period(0)
}

async fn wait_bound(context: &Context, name: &str) -> Result<()> {
    wait_pod(context, name, &format!("{name} to find its node"), 20, |pod| {
        let said = condition(pod, "PodScheduled").context("the scheduler has said nothing")?;
        let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
        ensure!(node == Some("fake-0"), "{node:?}: {said:?}");
        Ok(())
    })
    .await
    .map(drop)
}
