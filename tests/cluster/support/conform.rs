//! Conformance: what the simulator takes Kubernetes to do, asked of the real one. Steps with names, pods as they are
//! written, and answers of the API server.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use k8s_openapi::api::core::v1::{Pod, PodCondition, ResourceQuota};
use kube::api::{Patch, PatchParams, PostParams};
use plumb::units::Quantity;
use serde_json::{Value, json};

use super::{Context, node, wait_for};

/// One behaviour, by its name, which stands in front of its error.
pub async fn step<T>(name: &str, done: impl Future<Output = Result<T>>) -> Result<T> {
    let begin = std::time::Instant::now();
    let result = done.await.with_context(|| format!("Kubernetes is not as simulated: {name}"));
    println!("{:6.1} s  {name}", begin.elapsed().as_secs_f64());
    result
}

/// Amounts of CPU and memory, as a container states them; "" leaves one out.
pub fn amounts(cpu: &str, memory: &str) -> Value {
    let stated = [("cpu", cpu), ("memory", memory)].into_iter().filter(|(_, amount)| !amount.is_empty());
    Value::Object(stated.map(|(name, amount)| (name.to_owned(), json!(amount))).collect())
}

/// Requests and limits of a container.
pub fn sizes(requests: (&str, &str), limits: (&str, &str)) -> Value {
    json!({"requests": amounts(requests.0, requests.1), "limits": amounts(limits.0, limits.1)})
}

/// A container that does nothing, or what its arguments say.
pub fn container(name: &str, resources: Value) -> Value {
    json!({"name": name, "image": node::IMAGE, "imagePullPolicy": "Never", "resources": resources})
}

/// An init container; a sidecar where it `lasts`.
pub fn init(name: &str, lasts: bool, resources: Value) -> Value {
    let mut made = container(name, resources);
    if lasts {
        made["restartPolicy"] = json!("Always");
    }
    made
}

/// A pod of containers and init containers.
pub fn pod(name: &str, containers: Value, init_containers: Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}},
        "spec": {
            "automountServiceAccountToken": false, "enableServiceLinks": false, "dnsPolicy": "Default",
            "terminationGracePeriodSeconds": 1,
            "containers": containers, "initContainers": init_containers,
        },
    })
}

/// Creates a pod.
pub async fn create(context: &Context, pod: &Value) -> kube::Result<Pod> {
    let pod = serde_json::from_value(pod.clone()).map_err(kube::Error::SerdeError)?;
    context.api::<Pod>().create(&PostParams::default(), &pod).await
}

/// Asks whether a pod could be created, without creating it.
pub async fn would_create(context: &Context, pod: &Value) -> kube::Result<Pod> {
    let pod = serde_json::from_value(pod.clone()).map_err(kube::Error::SerdeError)?;
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    context.api::<Pod>().create(&dry, &pod).await
}

/// Gives a container of a pod other resources, in place.
pub async fn resize(context: &Context, pod: &str, container: &str, resources: Value) -> kube::Result<Pod> {
    patch(context, pod, "containers", container, resources, false).await
}

/// Asks whether it could be resized so, without resizing it.
pub async fn would_resize(
    context: &Context,
    pod: &str,
    container: &str,
    resources: Value,
) -> kube::Result<Pod> {
    patch(context, pod, "containers", container, resources, true).await
}

/// The same of an init container.
pub async fn would_resize_init(
    context: &Context,
    pod: &str,
    container: &str,
    resources: Value,
) -> kube::Result<Pod> {
    patch(context, pod, "initContainers", container, resources, true).await
}

async fn patch(
    context: &Context,
    pod: &str,
    list: &str,
    container: &str,
    resources: Value,
    dry: bool,
) -> kube::Result<Pod> {
    let patch = json!({"spec": {list: [{"name": container, "resources": resources}]}});
    let params = PatchParams { dry_run: dry, ..PatchParams::default() };
    context.api::<Pod>().patch_subresource("resize", pod, &params, &Patch::Strategic(patch)).await
}

/// That the API server has refused, with a code and by a reason that its message names.
pub fn refused<T>(answer: kube::Result<T>, code: u16, part: &str) -> Result<()> {
    match answer {
        Ok(_) => bail!("accepted; expected {code}, {part:?}"),
        Err(kube::Error::Api(status)) => {
            let found = &status.message;
            ensure!(
                status.code == code && found.contains(part),
                "{} {found:?}, not {code} {part:?}",
                status.code
            );
            Ok(())
        }
        Err(other) => Err(other).context("no answer of the API server"),
    }
}

/// A condition of a pod.
pub fn condition<'a>(pod: &'a Pod, kind: &str) -> Option<&'a PodCondition> {
    pod.status.as_ref()?.conditions.as_ref()?.iter().find(|condition| condition.type_ == kind)
}

/// Waits until a pod is as a check wants it.
pub async fn wait_pod(
    context: &Context,
    name: &str,
    what: &str,
    limit: u64,
    check: impl Fn(&Pod) -> Result<()>,
) -> Result<Pod> {
    let pods = context.api::<Pod>();
    wait_for(what, Duration::from_secs(limit), || async {
        let pod = pods.get(name).await?;
        check(&pod)?;
        Ok(pod)
    })
    .await
}

/// Waits until the scheduler has said of a pod that no node is for it, for a reason that it names.
pub async fn wait_unschedulable(context: &Context, name: &str, part: &str) -> Result<Pod> {
    wait_pod(context, name, &format!("{name} to find no node"), 20, |pod| {
        let said = condition(pod, "PodScheduled").context("the scheduler has said nothing")?;
        let message = said.message.clone().unwrap_or_default();
        let is = said.status == "False" && said.reason.as_deref() == Some("Unschedulable");
        ensure!(is && message.contains(part), "{}: {message}", said.status);
        Ok(())
    })
    .await
}

/// Waits until a quota has counted, and returns what it holds of a resource, in its smallest unit: thousandths of a core,
/// bytes, pods.
pub async fn used(context: &Context, quota: &str, resource: &str) -> Result<u64> {
    let found = context.api::<ResourceQuota>().get(quota).await?;
    let used = found.status.and_then(|status| status.used).unwrap_or_default();
    let quantity: Quantity = used.get(resource).context("not counted yet")?.0.parse()?;
    if resource.ends_with("cpu") {
        return Ok(quantity.as_cores().to_milli());
    }
    Ok(quantity.as_bytes().context("no whole number")?.0)
}

/// Waits until a quota holds so much.
pub async fn wait_used(context: &Context, quota: &str, resource: &str, amount: u64) -> Result<()> {
    let what = format!("quota {quota} to count {amount} of {resource}");
    wait_for(&what, Duration::from_secs(25), || async {
        let found = used(context, quota, resource).await?;
        ensure!(found == amount, "{found}");
        Ok(())
    })
    .await
}
