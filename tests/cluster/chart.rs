//! The chart: that it is sound, that what is shipped beside it says the same, and that with it and one policy workloads
//! that have too much and too little get what they need.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::rbac::v1::ClusterRole;
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use plumb::api::Recommendation;
use plumb::units::Quantity;
use serde_json::{Value, json};

use crate::support::process::free_port;
use crate::support::recommended::resources;
use crate::support::transcript::Transcript;
use crate::support::{Context, paths, pods, services, wait_for};

const CHART: &str = "deploy/helm/plumb";
const SOON: Duration = Duration::from_secs(120);
const SHOP: &str = "shop";
const HOME: &str = "plumb";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Values by which nothing is left out.
fn everything() -> Value {
    json!({
        "config": {"prometheus": "http://prometheus:9090", "no-container-metrics": true},
        "recommender": {"config": {"no-container-metrics": false}},
        "dashboard": {"enabled": true}, "grafanaDashboard": {"enabled": true},
        "networkPolicy": {"metricsFrom": [{"namespaceSelector": {}}], "egress": [{"ports": [{"port": 443}]}]},
        "podAnnotations": {"team": "a"}, "podLabels": {"team": "a"}, "priorityClassName": "system-cluster-critical",
        "nodeSelector": {"kubernetes.io/os": "linux"}, "tolerations": [{"operator": "Exists"}],
        "imagePullSecrets": [{"name": "registry"}], "extraEnv": [{"name": "TZ", "value": "UTC"}],
        "affinity": {"nodeAffinity": {}},
        "extraVolumes": [{"name": "token", "secret": {"secretName": "token"}}],
        "extraVolumeMounts": [{"name": "token", "mountPath": "/token", "readOnly": true}],
    })
}

async fn helm(context: &Context, arguments: &[&str]) -> Result<String> {
    let helm = paths::shared_program("helm");
    context.run(&helm, &context.kubeconfig(), arguments).await?.ok()
}

cluster_test!(the_chart_is_sound, [Crds]);
async fn the_chart_is_sound(context: Context) -> Result<()> {
    tokio::task::block_in_place(|| paths::build(&["helm", "deb"]))?;
    let values = tempfile::Builder::new().suffix(".json").tempfile()?;
    serde_json::to_writer(&values, &everything())?;
    let all = values.path().to_string_lossy().into_owned();
    for more in [&[][..], &["--values", &all]] {
        helm(&context, &[&["lint", "--strict", CHART], more].concat()).await?;
    }
    manifests_are_the_chart()?;
    the_api_server_takes_it(&context, &all).await?;
    values_are_judged(&context).await?;
    less_is_less(&context).await?;
    alerts_can_be_read(&context).await
}

/// What who has no helm applies, and what the other tests run under, is what the chart says.
fn manifests_are_the_chart() -> Result<()> {
    let output =
        Command::new(root().join("deploy/manifests.sh")).arg(paths::shared_program("helm")).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let kept = std::fs::read_to_string(root().join("deploy/plumb.yaml"))?;
    ensure!(kept == String::from_utf8(output.stdout)?, "deploy/plumb.yaml is old: run `make manifests`");
    Ok(())
}

/// All of it, in a namespace that enforces the restricted Pod Security Standard.
async fn the_api_server_takes_it(context: &Context, values: &str) -> Result<()> {
    let namespace = &context.namespace;
    for mode in ["enforce", "warn"] {
        let label = format!("pod-security.kubernetes.io/{mode}=restricted");
        context.kubectl(&["label", "namespace", namespace, &label]).await?.ok()?;
    }
    let folder = tempfile::tempdir()?;
    for more in [&[][..], &["--values", values]] {
        let text =
            helm(context, &[&["template", "plumb", CHART, "--namespace", namespace], more].concat()).await?;
        let file = folder.path().join("all.yaml");
        std::fs::write(&file, text)?;
        let arguments = ["apply", "--server-side", "--force-conflicts", "--dry-run=server", "--filename"];
        let said = context.kubectl(&[&arguments[..], &[&file.to_string_lossy()]].concat()).await?;
        ensure!(!said.stderr.contains("Warning"), "{}", said.stderr);
        let taken = said.ok()?;
        for kind in ["deployment.apps/plumb-updater", "poddisruptionbudget.policy/plumb-webhook"] {
            ensure!(taken.contains(&format!("{kind} serverside-applied")), "{taken}");
        }
    }
    // The standard is in force: the same pod as root is not let in.
    let root = context.kubectl(&["run", "root", "--image=x", "--dry-run=server"]).await?;
    ensure!(root.stderr.contains("violates PodSecurity"), "{}", root.stderr);
    Ok(())
}

async fn values_are_judged(context: &Context) -> Result<()> {
    for (value, named) in [
        ("updater.replicas=-1", "/updater/replicas"),
        ("recommenderr.enabled=false", "recommenderr"),
        ("config.roles=updater", "roles"),
        ("webhook.resources.request.cpu=1", "request"),
        ("image.digest=latest", "/image/digest"),
    ] {
        let error = helm(context, &["template", "plumb", CHART, "--set", value]).await.err();
        let error = error.with_context(|| format!("{value} was taken"))?.to_string();
        ensure!(error.contains(named), "{value}: {error}");
    }
    Ok(())
}

/// A role that is off leaves neither a program nor a right.
async fn less_is_less(context: &Context) -> Result<()> {
    let off =
        ["--set", "updater.enabled=false,webhook.enabled=false,crds.install=false,rbac.aggregate=false"];
    let text = helm(context, &[&["template", "plumb", CHART][..], &off].concat()).await?;
    for absent in ["updater", "webhook", "eviction", "pods/resize", "secrets", "CustomResourceDefinition"] {
        ensure!(!text.contains(absent), "{absent} is in it");
    }
    ensure!(text.contains("kind: Deployment\n"), "{text}");
    Ok(())
}

/// Prometheus itself reads the rules. That their metrics exist is held by tests/deploy.rs.
async fn alerts_can_be_read(context: &Context) -> Result<()> {
    let show = ["--show-only", "templates/monitoring.yaml", "--set", "prometheusRule.enabled=true"];
    let text = helm(context, &[&["template", "plumb", CHART][..], &show].concat()).await?;
    let rule: Value = serde_saphyr::from_str(&text)?;
    let file = tempfile::Builder::new().suffix(".json").tempfile()?;
    serde_json::to_writer(&file, &rule["spec"])?;
    let promtool = paths::deb("prometheus", "usr/bin/promtool");
    let output = Command::new(promtool).args(["check", "rules"]).arg(file.path()).output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success() && said.contains("9 rules found"), "{said}");
    Ok(())
}

/// The image, from this build's program.
fn image() -> Result<PathBuf> {
    let tar = paths::root().join("images/plumb.tar");
    let name = concat!("localhost/plumb:", env!("CARGO_PKG_VERSION"));
    let mut script = Command::new(root().join("deploy/image.sh"));
    script.args(["--user", "65532", "--certificates"]).arg(paths::plumb()).arg(name).arg(&tar);
    let output = script.output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(tar)
}

cluster_test!(installed_by_the_chart, [Fresh, Node, MetricsServer]);
async fn installed_by_the_chart(context: Context) -> Result<()> {
    tokio::task::block_in_place(|| paths::build(&["helm"]))?;
    let node = context.cluster.node().await?;
    tokio::task::block_in_place(|| node.import_image(&image()?))?;
    let result = installed(&context).await;
    let logs = match &result {
        Ok(()) => String::new(),
        Err(_) => logs(&context).await,
    };
    let uninstall = ["uninstall", "plumb", "--namespace", HOME, "--ignore-not-found", "--wait"];
    let clean = helm(&context, &uninstall).await;
    result.with_context(|| logs)?;
    clean.map(drop)
}

async fn logs(context: &Context) -> String {
    let mut text = String::new();
    for command in [
        &["get", "pods,events", "-A", "-o", "wide"][..],
        &["logs", "-n", HOME, "-l", "app.kubernetes.io/name=plumb", "--tail=25", "--prefix"],
        &["get", "recommendations", "-n", SHOP, "-o", "yaml"],
    ] {
        if let Ok(said) = context.kubectl(command).await {
            text.push_str(&format!("{}{}\n", said.stdout, said.stderr));
        }
    }
    text
}

async fn installed(context: &Context) -> Result<()> {
    let plane = &context.cluster.plane;
    let mut told = Transcript::new(context);
    told.say("# A worked example\n\nOne policy, a workload that has too much and one that has too little.");
    told.say("Written by a test, from a real cluster (`make worked-example`); the node has two cores.");
    told.run("cat tests/cluster/example/workloads.yaml").await?;
    told.run("kubectl apply -f tests/cluster/example/workloads.yaml").await?;
    ready(context, SHOP, "app=web", 1).await?;
    let _api = services::lead_to_api_server(plane).await?;

    told.say("## Install\n\nFirst without the updater: nothing here may change a running pod.");
    told.ask("kubectl create namespace plumb").await?.ok()?;
    let label = "pod-security.kubernetes.io/enforce=restricted";
    told.ask(&format!("kubectl label namespace plumb {label}")).await?.ok()?;
    let flags = "--namespace plumb --create-namespace --set config.interval=5s,dashboard.enabled=true";
    told.run(&format!("helm install plumb {CHART} {flags} --set updater.enabled=false")).await?;
    ready(context, HOME, "app.kubernetes.io/component=recommender", 1).await?;
    ready(context, HOME, "app.kubernetes.io/component=webhook", 2).await?;
    let _webhook = services::lead_to_pods(plane, HOME, "plumb-webhook", 9443).await?;
    told.run("kubectl get pods --namespace plumb").await?;

    told.say("## Look");
    told.run("cat tests/cluster/example/policy.yaml").await?;
    told.run("kubectl apply -f tests/cluster/example/policy.yaml").await?;
    recommended(context).await?;
    told.run("kubectl get recommendations --namespace shop").await?;
    told.say("Every figure can say where it is from:");
    told.run("plumb explain deploy/web --namespace shop").await?;
    tokio::task::block_in_place(|| dashboard_of_the_pod(context))?;

    told.say(
        "## Act\n\nThe same chart with the updater, which may resize and evict; then the policy's mode.",
    );
    let flags = "--namespace plumb --set config.interval=5s,dashboard.enabled=true --hide-notes";
    told.run(&format!("helm upgrade plumb {CHART} {flags}")).await?;
    ready(context, HOME, "app.kubernetes.io/component=updater", 1).await?;
    told.run("kubectl patch vsp all --namespace shop --type merge --patch '{\"spec\":{\"mode\":\"Auto\"}}'")
        .await?;
    fixed(context).await?;
    told.say("Two minutes later, at most:");
    told.run("kubectl get recommendations --namespace shop").await?;
    told.run(&format!("kubectl get pods --namespace shop --output 'custom-columns={COLUMNS}'")).await?;
    for role in ["recommender", "updater"] {
        let of = format!("kubectl get events --namespace shop --field-selector {BY}/{role} -o {EVENT}");
        told.run(&of).await?;
    }
    told.say(
        "`web` was resized in place: its pod is the old one and was not restarted. With two minutes of history the \
         bounds around a target are wide, and what lies within them is left alone: a request of 300m would still be \
         what it was, and be lowered after some days. `report` got a new pod, as no resize helps a container that waits \
         to be restarted (kubernetes#138760).",
    );

    told.say("## Remove\n\nThe policies stay, and so does what was saved of what was learned (every ten minutes); nothing acts on them any more.");
    owned(context).await?;
    told.run("helm uninstall plumb --namespace plumb --wait").await?;
    left(context).await?;
    told.run("kubectl get all,leases,secrets,configmaps,pdb,networkpolicies --namespace plumb").await?;
    told.keep("PLUMB_WRITE_EXAMPLE", "docs/worked-example.md")
}

/// It listens on the pod's own loopback address, and is reached as people reach it: by the API server's port forward,
/// under the recommender's rights.
fn dashboard_of_the_pod(context: &Context) -> Result<()> {
    let plane = &context.cluster.plane;
    let name = format!("{}-forward", context.namespace);
    let port = free_port()?;
    let mut forward = Command::new(paths::kubernetes_program("kubectl"));
    forward.arg("--kubeconfig").arg(context.kubeconfig()).args(["--namespace", HOME, "port-forward"]);
    forward.args(["deploy/plumb-recommender", &format!("{port}:9798")]);
    plane.run.spawn(&name, &mut forward)?;
    let url = format!("http://127.0.0.1:{port}/workload/{SHOP}/deployment-web");
    let page = tokio::runtime::Handle::current().block_on(wait_for("the dashboard", SOON, || async {
        plane.run.check_running(&name)?;
        let answer = reqwest::get(&url).await?;
        ensure!(answer.status().is_success(), "{}", answer.status());
        Ok(answer.text().await?)
    }));
    let ended = plane.run.stop(&name);
    let page = page.with_context(|| plane.run.log_tail(&name))?;
    ensure!(page.contains("recommended request") || page.contains("<h3>Why</h3>"), "{page}");
    ensure!(!page.contains("not allowed"), "{page}");
    ended
}

const COLUMNS: &str = "POD:.metadata.name,CPU:.spec.containers[0].resources.requests.cpu,\
    MEMORY:.spec.containers[0].resources.requests.memory,LIMIT:.spec.containers[0].resources.limits.memory,\
    RESTARTS:.status.containerStatuses[0].restartCount";
const BY: &str = "reportingComponent=plumb.dev";
const EVENT: &str = "custom-columns=REASON:.reason,WORKLOAD:.involvedObject.name,MESSAGE:.message";

async fn ready(context: &Context, namespace: &str, labels: &str, count: usize) -> Result<Vec<Pod>> {
    let all: Api<Pod> = Api::namespaced(context.client(), namespace);
    wait_for(&format!("{count} ready pods of {labels}"), SOON, || async {
        let found = all.list(&ListParams::default().labels(labels)).await?.items;
        let found: Vec<Pod> =
            found.into_iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()).collect();
        let said: Vec<String> = found.iter().map(pods::describe).collect();
        ensure!(found.len() == count && found.iter().all(pods::is_ready), "{said:?}");
        Ok(found)
    })
    .await
}

/// Both workloads have a target that differs from what they have, in the right direction.
async fn recommended(context: &Context) -> Result<()> {
    let all: Api<Recommendation> = Api::namespaced(context.client(), SHOP);
    wait_for("recommendations for both", SOON, || async {
        for (name, least, most) in [("deployment-web", 50, 110), ("deployment-report", 80, 200)] {
            let status = all.get(name).await?.status.context("no status yet")?;
            let container = status.containers.first().context("no container")?;
            let memory = container.target.requests.memory.as_ref().context("no target yet")?.value();
            let mib = memory.as_bytes().context("no amount")?.0 >> 20;
            ensure!((least..=most).contains(&mib), "{name}: {mib} MiB");
        }
        Ok(())
    })
    .await
}

/// What runs is what is needed, and `web` was not restarted for it.
async fn fixed(context: &Context) -> Result<()> {
    let all: Api<Pod> = Api::namespaced(context.client(), SHOP);
    let amount = |value: &Value| -> Result<Quantity> { Ok(value.as_str().context("none")?.parse()?) };
    wait_for("both workloads to have what they need", Duration::from_secs(180), || async {
        let web = all.list(&ListParams::default().labels("app=web")).await?.items;
        ensure!(web.len() == 1, "{} pods of web", web.len());
        for pod in &web {
            let requests = &resources(pod, "web")["requests"];
            let (cpu, memory) = (amount(&requests["cpu"])?, amount(&requests["memory"])?);
            let mib = memory.as_bytes().context("no amount")?.0 >> 20;
            ensure!(cpu.as_cores().to_milli() < 150 && (55..=120).contains(&mib), "{requests}");
            ensure!(pods::container(pod)?.restart_count == 0, "restarted");
        }
        let report = all.list(&ListParams::default().labels("app=report")).await?.items;
        let report = report.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none());
        for pod in report {
            let limit = amount(&resources(pod, "report")["limits"]["memory"])?;
            let mib = limit.as_bytes().context("no amount")?.0 >> 20;
            ensure!(mib > 110 && pods::is_ready(pod), "{mib} MiB, {}", pods::describe(pod));
        }
        let told: Api<Recommendation> = Api::namespaced(context.client(), SHOP);
        for name in ["deployment-web", "deployment-report"] {
            let state = told.get(name).await?.status.context("no status")?.summary.state;
            ensure!(state.as_deref() == Some("Applied"), "{name} is {state:?}");
        }
        Ok(())
    })
    .await
}

/// What plumb has registered for the whole cluster belongs to the chart's role.
async fn owned(context: &Context) -> Result<()> {
    let found = Api::<MutatingWebhookConfiguration>::all(context.client()).get("plumb").await?;
    let owners: Vec<&str> = found.owner_references().iter().map(|owner| owner.name.as_str()).collect();
    ensure!(owners == ["plumb-webhook"] && found.webhooks.iter().flatten().count() == 1, "{found:?}");
    Ok(())
}

/// After `helm uninstall`: what it says that stays, and nothing else.
async fn left(context: &Context) -> Result<()> {
    wait_for("the registration to be gone", SOON, || async {
        let hooks: Api<MutatingWebhookConfiguration> = Api::all(context.client());
        ensure!(hooks.get_opt("plumb").await?.is_none(), "still there");
        Ok(())
    })
    .await?;
    let labelled = ListParams::default().labels("app.kubernetes.io/name=plumb");
    let roles = Api::<ClusterRole>::all(context.client()).list(&labelled).await?.items;
    let deployments = Api::<Deployment>::namespaced(context.client(), HOME).list(&labelled).await?.items;
    ensure!(roles.is_empty() && deployments.is_empty(), "{roles:?} {deployments:?}");
    let kinds = "all,leases,secrets,configmaps,serviceaccounts,roles,rolebindings,pdb,networkpolicies";
    wait_for("nothing but what is said", SOON, || async {
        let said = context.kubectl(&["get", kinds, "--namespace", HOME, "--output", "name"]).await?.ok()?;
        let stays = |name: &&str| {
            ["configmap/kube-root-ca.crt", "serviceaccount/default"].contains(name)
                || name.starts_with("configmap/plumb-checkpoint")
        };
        let others: Vec<&str> = said.lines().filter(|name| !stays(name)).collect();
        ensure!(others.is_empty(), "{others:?}");
        Ok(())
    })
    .await?;
    let rest: Api<Recommendation> = Api::namespaced(context.client(), SHOP);
    ensure!(!rest.list(&ListParams::default()).await?.items.is_empty(), "the Recommendations are gone");
    Ok(())
}
