//! A container that needs more memory than its limit is killed by the kernel, and its status says so.

use std::time::Duration;

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::Pod;

use crate::support::{Context, Load, pods, wait_for};

cluster_test!(oom_kill_is_in_the_status, [Node]);
async fn oom_kill_is_in_the_status(context: Context) -> Result<()> {
    // It starts within its limit and grows over it, as a leak does.
    let load = Load::named("leak").uses("memory", "20Mi").uses("grow", "16Mi/s").memory_limit("64Mi");
    context.create_pod(&load).await?;
    let pods = context.api::<Pod>();
    let pod = wait_for("the pod to be killed", Duration::from_secs(90), || async {
        let pod = pods.get("leak").await?;
        ensure!(pods::last_end(&pod).is_some(), "{}", pods::describe(&pod));
        Ok(pod)
    })
    .await?;
    ensure!(pods::last_end(&pod).as_deref() == Some("OOMKilled"), "{}", pods::describe(&pod));
    Ok(())
}
