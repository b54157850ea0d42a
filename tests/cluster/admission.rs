//! New pods are given what is recommended for their workload, and whatever becomes of the webhook, pods are created.
//!
//! On control planes of their own, since a registration is the whole cluster's business, and without a node; that the
//! created pods run is shown in every_kind.rs.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::every_kind;
use crate::support::certificates::Authority;
use crate::support::cluster::{Account, Cluster};
use crate::support::plumb::{Plumb, account_with};
use crate::support::process::free_port;
use crate::support::recommended::{auto_policy, container, recommend, resources, stamp};
use crate::support::{Context, Load, Need, Suite, wait_for};

const SOON: Duration = Duration::from_secs(30);
/// Creations that are under way at the same time, at most.
const AT_ONCE: usize = 50;

pub fn trials(suite: &Suite) -> Vec<Trial> {
    vec![
        suite.trial("new_pods_are_stamped_whatever_their_workload", &[] as &[Need], stamping),
        suite.trial(
            "no_certificate_and_no_death_keeps_a_pod_from_being_created",
            &[] as &[Need],
            certificates,
        ),
    ]
}

/// A control plane with one policy in mode Auto, and an account with the webhook's rights.
pub async fn place(context: &Context, name: &str) -> Result<(Context, Account)> {
    let cluster = Arc::new(Cluster::start(&context.cluster.plane.run, name).await?);
    cluster.crds().await?;
    let context = Context::new(cluster, name).await?;
    let account = account_with(&context, "plumb", &["webhook"], None).await?;
    auto_policy(&context, "all").await?;
    Ok((context, account))
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

async fn stamping(context: Context) -> Result<()> {
    let (context, account) = place(&context, "admit").await?;
    every_kind::recommend_each(&context, &container("load", "180m", "300Mi", "400Mi")).await?;
    let plumb = start(&context, &account.kubeconfig, &[]).await?;
    wait_stamped(&context).await?;
    let steps = async {
        the_registration_is_narrow(&context).await?;
        // A DaemonSet's pods are made for a node; nobody need be at home there.
        context.apply(&json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "empty"}})).await?;
        let load = |name: &str| Load::named(name).requests("500m", "1Gi").limits("1", "2Gi");
        every_kind::make(&context, load).await?;
        for (_, (.., label)) in every_kind::WORKLOADS {
            is_stamped(&context, label).await?;
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

async fn is_stamped(context: &Context, label: &str) -> Result<()> {
    // A CronJob may take up to a minute.
    let pod = wait_for(&format!("a pod of {label}"), Duration::from_secs(90), || async {
        let found = context.api::<Pod>().list(&ListParams::default().labels(&format!("app={label}"))).await?;
        found.items.into_iter().next().context("there is none")
    })
    .await?;
    let found = resources(&pod, "load");
    let expected =
        json!({"requests": {"cpu": "180m", "memory": "300Mi"}, "limits": {"cpu": "1", "memory": "400Mi"}});
    ensure!(found == expected, "{label}: {found}");
    let stamp = stamp(&pod).with_context(|| format!("{label} has no note"))?;
    ensure!(stamp.recommendation.ends_with(label), "{stamp:?}");
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

async fn certificates(context: Context) -> Result<()> {
    let (context, account) = place(&context, "certs").await?;
    let containers = json!([container("load", "180m", "300Mi", "400Mi")]);
    recommend(&context, "pod-web", ("v1", "Pod", "web"), "Auto", containers).await?;
    // The shortest life that there is: a new leaf each 40 s, and 3 s between steps.
    let short = ["--webhook-cert-lifetime", "60s"];
    let plumb = start(&context, &account.kubeconfig, &short).await?;
    wait_stamped(&context).await?;
    rotation_is_not_noticed(&context).await.with_context(|| plumb.log())?;
    a_wrong_certificate_is_replaced(&context).await.with_context(|| plumb.log())?;
    plumb.kill()?;
    let begin = Instant::now();
    let pod = dry_run(&context).await?;
    ensure!(stamp(&pod).is_none(), "{pod:?}");
    println!("with the webhook killed a pod is created in {} ms", begin.elapsed().as_millis());
    ensure!(begin.elapsed() < Duration::from_secs(3), "it took {:?}", begin.elapsed());
    certificates_of_ones_own(&context, &account.kubeconfig).await
}

pub async fn secret(context: &Context) -> Result<Secret> {
    Ok(context.api::<Secret>().get("plumb-webhook-tls").await?)
}

pub fn field(secret: &Secret, name: &str) -> String {
    let bytes = secret.data.as_ref().and_then(|data| data.get(name)).map(|bytes| bytes.0.clone());
    String::from_utf8(bytes.unwrap_or_default()).expect("PEM is text")
}

/// Creations of pods, so many a second, each of which has to be stamped; until they are told to end.
pub struct Creations {
    stop: Arc<AtomicBool>,
    made: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<Result<()>>,
}

impl Creations {
    pub fn start(context: &Context, rate: u64) -> Self {
        let (stop, made) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let task = {
            let (context, stop, made) = (context.clone(), stop.clone(), made.clone());
            tokio::spawn(async move {
                let mut tasks = tokio::task::JoinSet::new();
                // What a busy machine has missed is made up for.
                let mut ticks = tokio::time::interval(Duration::from_micros(1_000_000 / rate));
                while !stop.load(Ordering::Relaxed) {
                    ticks.tick().await;
                    // More at once would be refused by the API server for being too many.
                    while tasks.len() >= AT_ONCE {
                        tasks.join_next().await.context("none is left")???;
                    }
                    let (context, made) = (context.clone(), made.clone());
                    tasks.spawn(async move {
                        let pod = dry_run(&context).await?;
                        ensure!(stamp(&pod).is_some(), "a pod was created unstamped");
                        made.fetch_add(1, Ordering::Relaxed);
                        Ok(())
                    });
                    while let Some(done) = tasks.try_join_next() {
                        done??;
                    }
                }
                while let Some(done) = tasks.join_next().await {
                    done??;
                }
                Ok::<_, anyhow::Error>(())
            })
        };
        Self { stop, made, task }
    }

    /// Fails where one has failed.
    pub fn check(&self) -> Result<()> {
        ensure!(!self.task.is_finished(), "the creations have ended");
        Ok(())
    }

    /// How many were made, all of them stamped.
    pub async fn end(self) -> Result<usize> {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await??;
        Ok(self.made.load(Ordering::Relaxed))
    }
}

/// Two hundred creations a second through a whole change of authority.
async fn rotation_is_not_noticed(context: &Context) -> Result<()> {
    const RATE: u64 = 200;
    let before = secret(context).await?;
    let creations = Creations::start(context, RATE);
    let begin = Instant::now();
    let rotate = Patch::Merge(json!({"metadata": {"annotations": {"plumb.dev/rotate": "now"}}}));
    context.api::<Secret>().patch("plumb-webhook-tls", &PatchParams::default(), &rotate).await?;
    let changed =
        wait_for("another authority to sign, and the old one to go", Duration::from_secs(90), || async {
            creations.check()?;
            let now = secret(context).await?;
            ensure!(field(&now, "ca.crt") != field(&before, "ca.crt"), "the authority is the same");
            ensure!(field(&now, "old.crt").is_empty(), "the old one is still trusted");
            // And one leaf has run out its time besides.
            ensure!(begin.elapsed() > Duration::from_secs(45), "not long enough yet");
            Ok(())
        })
        .await;
    let (made, took) = (creations.end().await?, begin.elapsed());
    changed?;
    let rate = made as f64 / took.as_secs_f64();
    println!(
        "{made} pods created in {:.0} s of rotation ({rate:.0}/s), each of them stamped",
        took.as_secs_f64()
    );
    // A busy machine makes fewer; what counts is that none failed and none was missed.
    ensure!(rate > 0.25 * RATE as f64, "only {rate:.0} creations a second");
    Ok(())
}

/// Whatever somebody puts into the Secret: pods are created, and soon stamped again.
async fn a_wrong_certificate_is_replaced(context: &Context) -> Result<()> {
    let foreign = Authority::new()?.server()?;
    let data = |bytes: &str| ByteString(bytes.as_bytes().to_vec());
    for (certificate, key) in [(foreign.certificate.as_str(), foreign.key.as_str()), ("nonsense", "nonsense")]
    {
        let patch = json!({"data": {"tls.crt": data(certificate), "tls.key": data(key)}});
        context
            .api::<Secret>()
            .patch("plumb-webhook-tls", &PatchParams::default(), &Patch::Merge(patch))
            .await?;
        wait_for("it to be replaced", SOON, || async {
            dry_run(context).await?;
            ensure!(field(&secret(context).await?, "tls.crt") != certificate, "it stands");
            Ok(())
        })
        .await?;
        wait_stamped(context).await?;
    }
    context.kubectl(&["delete", "secret", "plumb-webhook-tls"]).await?.ok()?;
    wait_for("the Secret to be made anew", SOON, || secret(context)).await?;
    wait_stamped(context).await?;
    // And whatever somebody puts into the registration.
    let configurations: Api<MutatingWebhookConfiguration> = Api::all(context.client());
    let mut found = configuration(context).await?;
    for webhook in found.webhooks.iter_mut().flatten() {
        webhook.client_config.ca_bundle = Some(data(&Authority::new()?.certificate()));
    }
    configurations.replace("plumb", &PostParams::default(), &found).await?;
    dry_run(context).await?;
    wait_for("the authority to be put right", SOON, || async {
        ensure!(configuration(context).await?.webhooks != found.webhooks, "it is not");
        Ok(())
    })
    .await?;
    wait_stamped(context).await
}

/// Files that somebody else renews, as cert-manager does: read again when they change; wrong ones stop no pod.
async fn certificates_of_ones_own(context: &Context, kubeconfig: &Path) -> Result<()> {
    let dir = context.cluster.plane.run.subdirectory("own-certificates")?;
    let (right, wrong) = (Authority::new()?, Authority::new()?);
    let write = |authority: &Authority, expired: bool| -> Result<()> {
        let signed = if expired { authority.expired_server()? } else { authority.server()? };
        // In one step, as the kubelet changes a mounted Secret.
        for (name, text) in [("new.crt", &signed.certificate), ("new.key", &signed.key)] {
            std::fs::write(dir.join(name), text)?;
        }
        std::fs::rename(dir.join("new.key"), dir.join("tls.key"))?;
        Ok(std::fs::rename(dir.join("new.crt"), dir.join("tls.crt"))?)
    };
    std::fs::write(dir.join("ca.crt"), right.certificate())?;
    let path = |name: &str| dir.join(name).to_string_lossy().into_owned();
    let flags = [
        "--webhook-cert",
        &path("tls.crt"),
        "--webhook-key",
        &path("tls.key"),
        "--webhook-ca",
        &path("ca.crt"),
    ];
    write(&right, true)?;
    let plumb = start(context, kubeconfig, &flags).await?;
    ensure!(stamp(&dry_run(context).await?).is_none(), "stamped by an expired certificate");
    write(&right, false)?;
    wait_stamped(context).await.with_context(|| plumb.log())?;
    write(&wrong, false)?;
    wait_for("the wrong certificate to be refused", SOON, || async {
        // Connections that are open stay; the API server keeps one for as long as it is used.
        ensure!(plumb.page("/readyz").await?.0 == 200, "not ready");
        tokio::time::sleep(Duration::from_secs(1)).await;
        dry_run(context).await?;
        let log = plumb.log().matches("shows a new certificate").count();
        ensure!(log >= 3, "{log} certificates were shown");
        Ok(())
    })
    .await?;
    write(&right, false)?;
    wait_stamped(context).await?;
    plumb.stop()?;
    Ok(())
}
