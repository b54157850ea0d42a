//! Conformance: what the simulator takes Kubernetes to do, asked of the real one. Steps with names, pods as they are
//! written, and answers of the API server.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use k8s_openapi::api::core::v1::{Pod, PodCondition, ResourceQuota, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Amount;
use kube::api::{Patch, PatchParams, PostParams};
use plumb::replay::simulate::Size;
use plumb::replay::simulate::rules::{self, Refusal};
use plumb::replay::simulate::scene::Part;
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
    let mut made = json!({"name": name, "image": node::IMAGE, "imagePullPolicy": "Never"});
    made["resources"] = resources;
    made
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
    let mut made = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}},
        "spec": {
            "automountServiceAccountToken": false, "enableServiceLinks": false, "dnsPolicy": "Default",
            "terminationGracePeriodSeconds": 1,
        },
    });
    made["spec"]["containers"] = containers;
    made["spec"]["initContainers"] = init_containers;
    made
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
///
/// # Errors
///
/// Where the simulator says otherwise of what is a valid resize; the API server's own refusal is the answer.
pub async fn would_resize(
    context: &Context,
    pod: &str,
    container: &str,
    resources: Value,
) -> Result<kube::Result<Pod>> {
    let before = context.api::<Pod>().get_opt(pod).await?;
    let answer = patch(context, pod, "containers", container, resources.clone(), true).await;
    let Some(before) = before else { return Ok(answer) };
    let after = resized(&before, container, &resources)?;
    let model = rules::invalid(&all_sizes(&before)?, &all_sizes(&after)?);
    let real = match &answer {
        Err(kube::Error::Api(status)) if status.code == 422 => {
            let class = status.message.contains("Pod QOS Class may not change");
            Some(if class { Refusal::QosClass } else { Refusal::Invalid })
        }
        _ => None,
    };
    ensure!(model == real, "{resources} for {pod}: the simulator says {model:?}, the API server {real:?}");
    Ok(answer)
}

/// The same of an init container; the simulator is not asked.
pub async fn would_resize_init(
    context: &Context,
    pod: &str,
    container: &str,
    resources: Value,
) -> kube::Result<Pod> {
    patch(context, pod, "initContainers", container, resources, true).await
}

/// A pod with other resources of a container, as a patch makes it.
pub fn resized(pod: &Pod, container: &str, resources: &Value) -> Result<Pod> {
    let mut made = serde_json::to_value(pod)?;
    let all = made["spec"]["containers"].as_array_mut().context("no containers")?;
    let one = all.iter_mut().find(|one| one["name"] == container).context("no such container")?;
    for list in ["requests", "limits"] {
        for (name, amount) in resources[list].as_object().into_iter().flatten() {
            one["resources"][list][name] = amount.clone();
        }
    }
    Ok(serde_json::from_value(without_nulls(made))?)
}

fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(all) => all
            .into_iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(name, value)| (name, without_nulls(value)))
            .collect(),
        Value::Array(all) => all.into_iter().map(without_nulls).collect(),
        other => other,
    }
}

/// A pod's containers as the simulator has them, in the order in which they start.
pub fn simulated(pod: &Pod) -> Result<Vec<(Part, Size)>> {
    let spec = pod.spec.as_ref().context("a pod without a spec")?;
    let inits = spec.init_containers.iter().flatten().map(|container| {
        let lasts = container.restart_policy.as_deref() == Some("Always");
        (if lasts { Part::Sidecar } else { Part::Init }, container)
    });
    let all = inits.chain(spec.containers.iter().map(|container| (Part::Main, container)));
    all.map(|(part, container)| Ok((part, size(container.resources.as_ref())?))).collect()
}

/// The sizes of all its containers.
pub fn all_sizes(pod: &Pod) -> Result<Vec<Size>> {
    Ok(simulated(pod)?.into_iter().map(|(_, size)| size).collect())
}

/// What the simulator counts of a pod, by a figure of each container.
pub fn held(pod: &Pod, figure: fn(&Size) -> Option<u64>) -> Result<u64> {
    Ok(rules::held(simulated(pod)?.into_iter().map(|(part, size)| (part, figure(&size).unwrap_or(0)))))
}

fn size(resources: Option<&ResourceRequirements>) -> Result<Size> {
    let read = |of: Option<&BTreeMap<String, Amount>>, name: &str| -> Result<Option<Quantity>> {
        Ok(of.and_then(|all| all.get(name)).map(|amount| amount.0.parse()).transpose()?)
    };
    let requests = resources.and_then(|resources| resources.requests.as_ref());
    let limits = resources.and_then(|resources| resources.limits.as_ref());
    let cores = |quantity: Quantity| quantity.as_cores().to_milli();
    let bytes = |quantity: Quantity| quantity.as_bytes().map(|bytes| bytes.0);
    Ok(Size {
        cpu: read(requests, "cpu")?.map(cores),
        cpu_limit: read(limits, "cpu")?.map(cores),
        memory: read(requests, "memory")?.and_then(bytes),
        memory_limit: read(limits, "memory")?.and_then(bytes),
    })
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
