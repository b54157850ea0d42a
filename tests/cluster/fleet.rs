//! Fake nodes and pods: a cluster larger than the machine, for tests of scale.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::ListParams;
use plumb::cluster::pods::LeanPod;
use plumb::cluster::resize::resize;

use crate::resize::to;
use crate::support::{Context, Load, kwok, pods, wait_for};

cluster_test!(fake_pods_run_and_resize, [Fresh, Kwok]);
async fn fake_pods_run_and_resize(context: Context) -> Result<()> {
    const NODES: usize = 50;
    const PODS: u32 = 100;
    kwok::add_nodes(&context.cluster.plane, "fleet", NODES).await?;
    let load = Load::named("fleet").requests("50m", "64Mi").limits("100m", "128Mi");
    let mut deployment = load.deployment(PODS);
    kwok::on_fake_nodes(&mut deployment["spec"]["template"]);
    context.apply(&deployment).await?;

    let pods = context.api::<Pod>();
    let all = wait_for("the fake pods to run", Duration::from_secs(90), || async {
        let all = pods.list(&ListParams::default()).await?.items;
        let running = all.iter().filter(|pod| pods::is_ready(pod)).count();
        ensure!(running == usize::try_from(PODS)?, "{running} of {PODS} run");
        Ok(all)
    })
    .await?;

    let pod = all.first().context("no pods")?;
    let (name, uid) = (pod.name_any(), pod.uid().context("no uid")?);
    resize(&context.api::<LeanPod>(), &name, &uid, &[to(300, 256)]).await?;
    wait_for("the fake node to follow", Duration::from_secs(30), || async {
        let pod = pods.get(&name).await?;
        let resources = pods::container(&pod)?.resources.clone().context("no resources")?;
        let limit = resources.limits.as_ref().and_then(|limits| limits.get("memory").cloned());
        ensure!(limit.as_ref().is_some_and(|limit| limit.0 == "256Mi"), "memory limit {limit:?}");
        ensure!(pods::container(&pod)?.restart_count == 0, "it was restarted");
        Ok(())
    })
    .await
}
