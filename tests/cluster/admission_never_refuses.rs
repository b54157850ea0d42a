//! No pod is refused because of us: what the API server takes as it is, it takes as we make it, whatever LimitRanges and
//! ResourceQuotas say. Each pod is asked for twice: once as plumb's own, which nobody stamps.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::core::v1::Pod;
use kube::api::PostParams;
use serde_json::{Value, json};

use crate::admission::{place, start, wait_stamped};
use crate::support::recommended::{auto_policy, container, recommend, stamp};
use crate::support::{Context, wait_for};

/// Pods in each namespace.
const PODS: u64 = 150;

cluster_test!(no_pod_is_refused_because_of_the_webhook, [Fresh, Crds]);
async fn no_pod_is_refused_because_of_the_webhook(context: Context) -> Result<()> {
    let account = place(&context).await?;
    let containers = json!([container("load", "180m", "300Mi", "400Mi")]);
    recommend(&context, "pod-web", ("v1", "Pod", "web"), "Auto", containers).await?;
    context
        .apply(&json!({"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": "boxed"},
            "handler": "boxed", "overhead": {"podFixed": {"cpu": "100m", "memory": "100Mi"}}}))
        .await?;
    let plumb = start(&context, &account.kubeconfig, &[]).await?;
    wait_stamped(&context).await?;
    let mut places = Vec::new();
    for (name, object) in bounds() {
        places.push((name, bounded(&context, &object).await.context(name)?));
    }
    // Nobody is told when the API server itself goes by a LimitRange.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (mut taken, mut stamped) = (0, 0);
    for (name, place) in &places {
        let (some, of_them) =
            no_more_are_refused(place).await.with_context(|| format!("{name}\n{}", plumb.log()))?;
        println!(
            "{name}: of {PODS} pods {some} are taken as they are, and all of these with the webhook: {of_them} stamped"
        );
        ensure!(some > 0, "{name}: no pod is taken at all");
        taken += some;
        stamped += of_them;
    }
    ensure!(taken > 500 && stamped * 2 > taken, "{taken} taken, {stamped} stamped");
    plumb.stop()?;
    Ok(())
}

/// What a namespace can allow, each in one of its own.
fn bounds() -> Vec<(&'static str, Value)> {
    let limits =
        |limits: Value| json!({"apiVersion": "v1", "kind": "LimitRange", "spec": {"limits": limits}});
    let quota = |spec: Value| json!({"apiVersion": "v1", "kind": "ResourceQuota", "spec": spec});
    vec![
        ("nothing", json!({"apiVersion": "v1", "kind": "ConfigMap"})),
        (
            "most of a container",
            limits(json!([{"type": "Container", "max": {"cpu": "300m", "memory": "350Mi"}}])),
        ),
        (
            "least of a container",
            limits(json!([{"type": "Container", "min": {"cpu": "100m", "memory": "90M"}}])),
        ),
        (
            "defaults",
            limits(json!([{"type": "Container", "default": {"cpu": "250m", "memory": "256Mi"},
                                    "defaultRequest": {"cpu": "100m", "memory": "128Mi"}}])),
        ),
        (
            "ratio of a container",
            limits(json!([{"type": "Container", "maxLimitRequestRatio": {"cpu": "2", "memory": "2.5"}}])),
        ),
        (
            "all of a container",
            limits(json!([{"type": "Container", "min": {"cpu": "5m", "memory": "8Mi"},
            "max": {"cpu": "2", "memory": "1Gi"}, "default": {"cpu": "1", "memory": "500Mi"},
            "defaultRequest": {"cpu": "500m", "memory": "250Mi"}, "maxLimitRequestRatio": {"cpu": "3", "memory": "3"}}])),
        ),
        ("most of a pod", limits(json!([{"type": "Pod", "max": {"cpu": "1", "memory": "1Gi"}}]))),
        ("least of a pod", limits(json!([{"type": "Pod", "min": {"cpu": "150m", "memory": "200Mi"}}]))),
        (
            "ratio of a pod",
            limits(json!([{"type": "Pod", "maxLimitRequestRatio": {"cpu": "3", "memory": "3"}}])),
        ),
        (
            "two LimitRanges in one",
            limits(json!([{"type": "Container", "max": {"memory": "500Mi"}, "min": {"cpu": "50m"}},
                                                {"type": "Pod", "max": {"cpu": "1500m"}, "min": {"memory": "100Mi"}}])),
        ),
        ("a quota of requests", quota(json!({"hard": {"requests.cpu": "300m", "memory": "500Mi"}}))),
        ("a quota of limits", quota(json!({"hard": {"limits.cpu": "1", "limits.memory": "1Gi"}}))),
        (
            "a quota of what is not BestEffort",
            quota(json!({"hard": {"pods": "0"}, "scopes": ["NotBestEffort"]})),
        ),
        (
            "a quota of requests of what is not BestEffort",
            quota(
                json!({"hard": {"requests.cpu": "100m", "requests.memory": "100Mi"}, "scopes": ["NotBestEffort"]}),
            ),
        ),
    ]
}

/// A namespace that allows so much, with Recommendations by many rules.
async fn bounded(context: &Context, object: &Value) -> Result<Context> {
    let place = Context::new(context.cluster.clone(), "bounded").await?;
    let mut object = object.clone();
    object["metadata"] = json!({"name": "bounds"});
    place.apply(&object).await?;
    for (number, (cpu, memory)) in RULES.iter().enumerate() {
        let rules = json!({"cpu": cpu, "memory": memory, "keepMemory": number % 4 == 3});
        let with = |mut one: Value, kind: &str| {
            (one["limitRules"], one["kind"]) = (rules.clone(), json!(kind));
            one
        };
        let mut app = with(container("app", "180m", "300Mi", "400Mi"), "Container");
        if number % 2 == 0 {
            app["startupBoost"] = json!({"cpu": "540m", "duration": "60s"});
        }
        let side = with(container("side", "25m", "50Mi", "81Mi"), "Sidecar");
        let init = with(container("init", "700m", "20Mi", "20Mi"), "Init");
        let name = format!("rules-{number}");
        let containers = json!([app, side, init]);
        recommend(&place, &format!("pod-{name}"), ("v1", "Pod", &name), "Auto", containers).await?;
    }
    auto_policy(&place, "all").await?;
    if object["kind"] == "ResourceQuota" {
        wait_for("the quota to be counted", Duration::from_secs(30), || async {
            let hard =
                place.kubectl(&["get", "resourcequota", "bounds", "-o", "jsonpath={.status.hard}"]).await?;
            ensure!(!hard.ok()?.is_empty(), "it is not");
            Ok(())
        })
        .await?;
    }
    Ok(place)
}

const RULES: [(&str, &str); 8] = [
    ("Keep", "Tail"),
    ("Ratio", "Ratio"),
    ("Equal", "Equal"),
    ("Remove", "Remove"),
    ("Keep", "Ratio"),
    ("Ratio", "Keep"),
    ("Remove", "Tail"),
    ("Equal", "Keep"),
];

/// How many pods are taken as they are, and how many of these are stamped.
async fn no_more_are_refused(place: &Context) -> Result<(usize, usize)> {
    let found: Vec<_> = stream::iter(0..PODS)
        .map(|number| async move {
            let asked = pod(number);
            let mut own = asked.clone();
            own["metadata"]["labels"]["app.kubernetes.io/name"] = json!("plumb");
            if create(place, &own).await.is_err() {
                return Ok::<_, anyhow::Error>((0, 0));
            }
            let made = create(place, &asked).await.with_context(|| format!("it is refused: {asked}"))?;
            Ok((1, usize::from(stamp(&made).is_some())))
        })
        .buffer_unordered(8)
        .try_collect()
        .await?;
    Ok(found.iter().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1)))
}

async fn create(place: &Context, pod: &Value) -> Result<Pod> {
    let params = PostParams { dry_run: true, field_manager: None };
    Ok(place.api::<Pod>().create(&params, &serde_json::from_value(pod.clone())?).await?)
}

/// Always the same pod for the same number.
fn pod(number: u64) -> Value {
    let mut dice = Dice(number);
    let mut spec = json!({"automountServiceAccountToken": false,
        "containers": [{"name": "app", "image": "x", "resources": dice.resources()}]});
    if dice.roll(2) == 0 {
        let resources = dice.resources();
        if let Some(all) = spec["containers"].as_array_mut() {
            all.push(json!({"name": "other", "image": "x", "resources": resources}));
        }
    }
    let mut init = Vec::new();
    if dice.roll(2) == 0 {
        init.push(
            json!({"name": "side", "image": "x", "restartPolicy": "Always", "resources": dice.resources()}),
        );
    }
    if dice.roll(3) == 0 {
        init.push(json!({"name": "init", "image": "x", "resources": dice.resources()}));
    }
    spec["initContainers"] = json!(init);
    if dice.roll(4) == 0 {
        spec["runtimeClassName"] = json!("boxed");
    }
    let labels = json!({"app": format!("rules-{}", number % RULES.len() as u64)});
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": "p-", "labels": labels}, "spec": spec})
}

/// Numbers without a pattern, the same in each run. (Knuth's linear congruential generator, MMIX.)
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        for _ in 0..2 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        }
        (self.0 >> 33) % sides
    }

    fn resources(&mut self) -> Value {
        let mut resources = json!({"requests": {}, "limits": {}});
        for (resource, requests) in
            [("cpu", ["0", "10m", "100m", "0.25", "500m"]), ("memory", ["0", "16Mi", "100M", "256Mi", "1e8"])]
        {
            let at = usize::try_from(self.roll(6)).unwrap_or_default();
            let Some(request) = requests.get(at) else { continue };
            let quantity: plumb::units::Quantity = request.parse().expect("a quantity");
            let times = [0, 1, 1, 2, 10][usize::try_from(self.roll(5)).unwrap_or_default()];
            if times != 1 || self.roll(2) == 0 {
                resources["requests"][resource] = json!(request);
            }
            if times > 0 {
                let limit = match resource {
                    "cpu" => format!("{}m", quantity.as_cores().to_milli() * times),
                    _ => (quantity.as_bytes().unwrap_or_default().0 * times).to_string(),
                };
                resources["limits"][resource] = json!(limit);
            }
        }
        resources
    }
}
