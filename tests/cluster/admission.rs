//! New pods are given what is recommended for their workload, and others are left alone.
//!
//! Without a node; that the created pods run is shown in every_kind.rs.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{ListParams, PostParams};
use serde_json::{Value, json};

use crate::every_kind;
use crate::support::cluster::Account;
use crate::support::plumb::{Plumb, account_with};
use crate::support::process::free_port;
use crate::support::recommended::{auto_policy, container, name_of, recommend, resources, stamp};
use crate::support::{Context, Load, wait_for};

const SOON: Duration = Duration::from_secs(60);

/// One policy in mode Auto, and an account with the webhook's rights.
pub async fn place(context: &Context) -> Result<Account> {
    let account = account_with(context, "plumb", &["webhook"], None).await?;
    auto_policy(context, "all").await?;
    Ok(account)
}

/// Starts a webhook and waits until the API server knows of it.
pub async fn start<'a>(context: &'a Context, kubeconfig: &Path, more: &[&str]) -> Result<Plumb<'a>> {
    let listen = format!("127.0.0.1:{}", free_port()?);
    let mut flags = vec!["--roles", "webhook", "--webhook-listen", &listen];
    flags.extend(more);
    let plumb = Plumb::start(&context.cluster.plane, kubeconfig, &context.namespace, &flags)?;
    plumb.wait_ready().await?;
    let url = format!("https://{listen}/mutate");
    wait_for("the registration", SOON, || async {
        let found = configuration(context).await?;
        let webhook = found.webhooks.iter().flatten().next().context("no webhook is registered")?;
        ensure!(webhook.client_config.url.as_ref() == Some(&url), "{webhook:?}");
        Ok(())
    })
    .await
    .with_context(|| plumb.log())?;
    Ok(plumb)
}

pub async fn configuration(context: &Context) -> Result<MutatingWebhookConfiguration> {
    Ok(Api::<MutatingWebhookConfiguration>::all(context.client()).get("plumb").await?)
}

/// A pod of `web`, as its ReplicaSet makes it, that is not kept.
pub async fn dry_run(context: &Context) -> Result<Pod> {
    let mut pod = Load::named("web").json();
    pod["metadata"] = json!({"generateName": "web-", "labels": {"app": "web"}});
    let params = PostParams { dry_run: true, field_manager: None };
    Ok(context.api::<Pod>().create(&params, &serde_json::from_value(pod)?).await?)
}

pub async fn wait_stamped(context: &Context) -> Result<()> {
    wait_for("pods to be stamped", SOON, || async {
        ensure!(stamp(&dry_run(context).await?).is_some(), "they are not");
        Ok(())
    })
    .await
}

cluster_test!(new_pods_are_stamped_whatever_their_workload, [Fresh, Crds]);
async fn new_pods_are_stamped_whatever_their_workload(context: Context) -> Result<()> {
    let account = place(&context).await?;
    every_kind::recommend_each(&context, &container("load", "180m", "300Mi", "400Mi")).await?;
    let plumb = start(&context, &account.kubeconfig, &[]).await?;
    wait_stamped(&context).await?;
    let steps = async {
        the_registration_is_narrow(&context).await?;
        // A DaemonSet's pods are made for a node; nobody need be at home there.
        context.apply(&json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "empty"}})).await?;
        let load = |name: &str| Load::named(name).requests("500m", "1Gi").limits("1", "2Gi");
        every_kind::make(&context, load).await?;
        for workload in every_kind::WORKLOADS {
            is_stamped(&context, workload).await?;
        }
        only_advised_and_unknown_pods_stay(&context).await?;
        beside_an_injector(&context).await?;
        what_the_namespace_allows_is_respected(&context).await?;
        other_namespaces_are_not_seen(&context).await?;
        plumb.check_running()
    };
    steps.await.with_context(|| plumb.log())?;
    let (_, metrics) = plumb.page("/metrics").await?;
    ensure!(metrics.contains("plumb_admission_requests_total{result=\"stamped\""), "{metrics}");
    let log = plumb.stop()?;
    ensure!(!log.contains("panicked") && !log.contains("PRIVATE KEY"), "{log}");
    // By URL nobody else answers in its place.
    ensure!(configuration(&context).await.is_err(), "the registration was left behind");
    Ok(())
}

async fn the_registration_is_narrow(context: &Context) -> Result<()> {
    let found = json!(configuration(context).await?.webhooks);
    let webhook = &found[0];
    ensure!(webhook["failurePolicy"] == "Ignore" && webhook["timeoutSeconds"] == 2, "{webhook}");
    ensure!(webhook["reinvocationPolicy"] == "IfNeeded" && webhook["sideEffects"] == "None", "{webhook}");
    let selector = &webhook["namespaceSelector"]["matchExpressions"][0];
    ensure!(selector["operator"] == "In" && selector["values"] == json!([context.namespace]), "{selector}");
    Ok(())
}

async fn is_stamped(context: &Context, workload: (&str, &str, &str)) -> Result<()> {
    let (.., label) = workload;
    // A CronJob may take up to a minute.
    let pod = wait_for(&format!("a pod of {label}"), Duration::from_secs(90), || async {
        let found = context.api::<Pod>().list(&ListParams::default().labels(&format!("app={label}"))).await?;
        found.items.into_iter().next().context("there is none")
    })
    .await?;
    let found = resources(&pod, "load");
    // The limit has the headroom of rule Tail over its need.
    let expected =
        json!({"requests": {"cpu": "180m", "memory": "300Mi"}, "limits": {"cpu": "1", "memory": "440Mi"}});
    ensure!(found == expected, "{label}: {found}");
    let stamp = stamp(&pod).with_context(|| format!("{label} has no note"))?;
    ensure!(stamp.recommendation == name_of(workload), "{stamp:?}");
    ensure!(stamp.time().is_some_and(|time| plumb::clock::now().seconds_since(time) < 200), "{stamp:?}");
    Ok(())
}

async fn only_advised_and_unknown_pods_stay(context: &Context) -> Result<()> {
    let containers = json!([container("load", "180m", "300Mi", "400Mi")]);
    recommend(context, "pod-advised", ("v1", "Pod", "advised"), "Recommend", containers).await?;
    for name in ["advised", "unknown"] {
        let pod = context.create_pod(&Load::named(name)).await?;
        ensure!(
            stamp(&pod).is_none() && resources(&pod, "load")["requests"]["cpu"] == "20m",
            "{name}: {pod:?}"
        );
    }
    // plumb's own pods are not even asked about.
    let mut own = Load::named("own").json();
    own["metadata"]["labels"] = json!({"app": "web", "app.kubernetes.io/name": "plumb"});
    let own = context.api::<Pod>().create(&PostParams::default(), &serde_json::from_value(own)?).await?;
    ensure!(stamp(&own).is_none(), "{own:?}");
    Ok(())
}

/// Another webhook that adds a container after us has us asked again, and what it added stays its own.
async fn beside_an_injector(context: &Context) -> Result<()> {
    let server = crate::support::tls::JsonServer::start(|review| {
        let containers = review["request"]["object"]["spec"]["containers"].as_array().map_or(0, Vec::len);
        let sidecar = json!({"name": "mesh", "image": "mesh", "resources": {"requests": {"cpu": "33m"}}});
        let mut patch =
            vec![json!({"op": "add", "path": "/spec/containers/0/resources/requests/cpu", "value": "444m"})];
        if containers == 1 {
            patch.push(json!({"op": "add", "path": "/spec/containers/-", "value": sidecar}));
        } else {
            patch.clear();
        }
        json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": {
            "uid": review["request"]["uid"], "allowed": true, "patchType": "JSONPatch",
            "patch": ByteString(json!(patch).to_string().into_bytes())}})
    })
    .await?;
    let injector: MutatingWebhookConfiguration = serde_json::from_value(json!({
        "metadata": {"name": "zz-injector"},
        "webhooks": [{
            "name": "zz.injector.test",
            "clientConfig": {"url": format!("{}/mutate", server.url), "caBundle": ByteString(server.authority.clone().into_bytes())},
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": context.namespace}},
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE"]}],
            "failurePolicy": "Fail", "sideEffects": "None", "admissionReviewVersions": ["v1"], "timeoutSeconds": 5,
        }],
    }))?;
    let configurations: Api<MutatingWebhookConfiguration> = Api::all(context.client());
    configurations.create(&PostParams::default(), &injector).await?;
    let found = wait_for("the injector to inject", SOON, || async {
        let pod = dry_run(context).await?;
        ensure!(resources(&pod, "mesh")["requests"]["cpu"] == "33m", "no sidecar: {pod:?}");
        Ok(pod)
    })
    .await;
    configurations.delete("zz-injector", &Default::default()).await?;
    let pod = found?;
    ensure!(resources(&pod, "load")["requests"]["cpu"] == "180m", "{pod:?}");
    let stamp = stamp(&pod).context("no note")?;
    ensure!(stamp.containers.len() == 1, "{stamp:?}");
    wait_for("the injector to be forgotten", SOON, || async {
        ensure!(resources(&dry_run(context).await?, "mesh").is_null(), "it still injects");
        Ok(())
    })
    .await
}

/// A LimitRange and a quota that would refuse what is recommended; no pod is refused because of us.
async fn what_the_namespace_allows_is_respected(context: &Context) -> Result<()> {
    let objects = [
        (
            json!({"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "narrow"}, "spec": {"limits": [
            {"type": "Container", "max": {"cpu": "100m", "memory": "200Mi"}, "min": {"cpu": "10m"},
             "default": {"cpu": "90m", "memory": "150Mi"}, "defaultRequest": {"cpu": "50m", "memory": "100Mi"}}]}}),
            json!({"requests": {"cpu": "100m", "memory": "200Mi"}, "limits": {"cpu": "100m", "memory": "200Mi"}}),
        ),
        (
            json!({"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "narrow"}, "spec": {"limits": [
            {"type": "Pod", "max": {"memory": "40Mi"}}]}}),
            Value::Null,
        ),
    ];
    let api = context.api::<Pod>();
    for (object, expected) in objects {
        context.apply(&object).await?;
        wait_for("the LimitRange to be respected", SOON, || async {
            let mut pod = Load::named("web").json();
            pod["metadata"] = json!({"generateName": "web-", "labels": {"app": "web"}});
            pod["spec"]["containers"][0]["resources"] = json!({"limits": {"cpu": "50m", "memory": "32Mi"}});
            let params = PostParams { dry_run: true, field_manager: None };
            let pod = api.create(&params, &serde_json::from_value(pod)?).await?;
            let found = resources(&pod, "load");
            if expected.is_null() {
                ensure!(found["requests"]["memory"] == "32Mi" && stamp(&pod).is_none(), "{found}");
            } else {
                // Requests that meet their limits in all would be Guaranteed, as this pod was.
                ensure!(found == expected, "{found}");
            }
            Ok(())
        })
        .await?;
    }
    context.kubectl(&["delete", "limitrange", "narrow"]).await?.ok()?;
    context
        .apply(&json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "small"},
            "spec": {"hard": {"requests.memory": "20Gi", "requests.cpu": "20", "pods": "1000"}}}))
        .await?;
    wait_for("the quota to be counted", SOON, || async {
        let used = context
            .kubectl(&["get", "resourcequota", "small", "-o", "jsonpath={.status.used.pods}"])
            .await?
            .ok()?;
        ensure!(used.parse::<u32>().unwrap_or(0) > 3, "used: {used}");
        Ok(())
    })
    .await?;
    let used =
        context.kubectl(&["get", "resourcequota", "small", "-o", "jsonpath={.status.used}"]).await?.ok()?;
    let used: Value = serde_json::from_str(&used)?;
    context
        .apply(&json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "small"}, "spec": {"hard": {
            "requests.memory": "20Gi", "requests.cpu": used["requests.cpu"], "pods": "1000"}}}))
        .await?;
    wait_for("growth of CPU to be left out", SOON, || async {
        let mut pod = Load::named("web").json();
        pod["metadata"] = json!({"generateName": "web-", "labels": {"app": "web"}});
        pod["spec"]["containers"][0]["resources"] = json!({"requests": {"cpu": "0", "memory": "32Mi"}});
        let params = PostParams { dry_run: true, field_manager: None };
        let pod = api.create(&params, &serde_json::from_value(pod)?).await?;
        let found = resources(&pod, "load");
        ensure!(found["requests"] == json!({"cpu": "0", "memory": "300Mi"}), "{found}");
        Ok(())
    })
    .await?;
    context.kubectl(&["delete", "resourcequota", "small"]).await?.ok()?;
    Ok(())
}

async fn other_namespaces_are_not_seen(context: &Context) -> Result<()> {
    let other = Context::new(context.cluster.clone(), "other").await?;
    // The same name, and even a recommendation; but no policy acts there.
    let containers = json!([container("load", "180m", "300Mi", "400Mi")]);
    recommend(&other, "pod-web", ("v1", "Pod", "web"), "Auto", containers).await?;
    for _ in 0..5 {
        let pod = dry_run(&other).await?;
        ensure!(stamp(&pod).is_none() && resources(&pod, "load")["requests"]["cpu"] == "20m", "{pod:?}");
    }
    // From the moment that one does, they are.
    auto_policy(&other, "all").await?;
    wait_stamped(&other).await
}
