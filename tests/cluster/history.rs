//! Sizes by the history in a Prometheus, with nothing installed; and what `plumb doctor` says of sources and rights.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use kube::api::DeleteParams;
use plumb::api::Recommendation;
use plumb::cluster::{Connection, ConnectionOptions};
use plumb::control::book::Kept;
use plumb::control::checkpoint::{Checkpoints, Entry, Place, Shard};
use plumb::testing;
use plumb::units::{Bytes, Cores, Timestamp};
use serde_json::{Value, json};

use crate::support::backfill::{self, Story};
use crate::support::plumb::{Plumb, account};
use crate::support::{Context, Load, wait_for};

const MIB: f64 = 1048576.0;

/// Always 0.2 cores and 100 MiB, give or take a tenth.
fn steady(at: i64) -> (f64, f64) {
    let wave = ((at / 60 * 7919) % 201 - 100) as f64 / 1000.0;
    (0.2 * (1.0 + wave), 100.0 * MIB * (1.0 + wave / 2.0))
}

/// 0.05 cores by night and 0.6 by day; memory grows from 200 to 300 MiB each day.
fn daily(at: i64) -> (f64, f64) {
    let share = (at % 86_400) as f64 / 86_400.0;
    let cpu = if (0.33..0.75).contains(&share) { 0.6 } else { 0.05 };
    (cpu, (200.0 + 100.0 * share) * MIB)
}

/// Close below its limit of 64 MiB, and killed there.
fn tight(_: i64) -> (f64, f64) {
    (0.01, 60.0 * MIB)
}

fn story(namespace: &str, pod: &str, owner: (&'static str, &str), usage: fn(i64) -> (f64, f64)) -> Story {
    Story {
        namespace: namespace.to_owned(),
        pod: pod.to_owned(),
        container: "load".to_owned(),
        owner: Some((owner.0, owner.1.to_owned())),
        requests: (1.0, 1024.0 * MIB),
        memory_limit: 1024.0 * MIB,
        usage,
        kills: &[],
    }
}

fn stories(namespace: &str) -> Vec<Story> {
    let mut stories = vec![
        story(namespace, "steady-7f9c8d6b5-x2x4z", ("ReplicaSet", "steady-7f9c8d6b5"), steady),
        story(namespace, "steady-7f9c8d6b5-z4x2x", ("ReplicaSet", "steady-7f9c8d6b5"), steady),
        story(namespace, "daily-0", ("StatefulSet", "daily"), daily),
    ];
    let kills: &[i64] = &[90_000, 150_000, 150_900];
    stories.push(Story {
        memory_limit: 64.0 * MIB,
        requests: (0.01, 64.0 * MIB),
        kills,
        ..story(namespace, "tight-0", ("StatefulSet", "tight"), tight)
    });
    stories
}

/// The row of a workload.
fn row<'a>(scan: &'a Value, workload: &str) -> Result<&'a Value> {
    let rows = scan["containers"].as_array().context("no rows")?;
    rows.iter().find(|row| row["workload"] == workload).with_context(|| format!("no {workload} in {scan}"))
}

fn within(row: &Value, field: &str, least: f64, most: f64) -> Result<()> {
    let value = row["recommended"][field].as_f64().with_context(|| format!("no {field}: {row}"))?;
    ensure!((least..=most).contains(&value), "{field} {value} is not within {least} and {most}: {row}");
    Ok(())
}

/// What the stories need, as bands: the request holds what is usual, the limit what may come.
fn check(scan: &Value) -> Result<()> {
    let steady = row(scan, "steady")?;
    ensure!(steady["kind"] == "Deployment" && steady["replicas"] == 2, "{steady}");
    within(steady, "cpuRequest", 0.19, 0.26)?;
    within(steady, "memoryRequest", 100.0 * MIB, 120.0 * MIB)?;
    within(steady, "memoryLimit", 115.0 * MIB, 270.0 * MIB)?;
    let daily = row(scan, "daily")?;
    // It must do by day, whatever the hour of the scan.
    within(daily, "cpuRequest", 0.58, 0.9)?;
    within(daily, "memoryRequest", 270.0 * MIB, 330.0 * MIB)?;
    within(daily, "memoryLimit", 345.0 * MIB, 750.0 * MIB)?;
    let tight = row(scan, "tight")?;
    ensure!(tight["oomKills"] == 3, "{tight}");
    within(tight, "memoryRequest", 60.0 * MIB, 96.0 * MIB)?;
    within(tight, "memoryLimit", 80.0 * MIB, 200.0 * MIB)?;
    Ok(())
}

cluster_test!(scan_sizes_by_the_history_in_prometheus, [Node]);
async fn scan_sizes_by_the_history_in_prometheus(context: Context) -> Result<()> {
    let run = &context.cluster.plane.run;
    let name = format!("{}-past", context.namespace);
    let url = backfill::start(run, &name, &stories("shop"), 3, true).await?;
    // The kubeconfig's cluster is another one than that of the history, and is left out of it.
    let scan = ["scan", "--prometheus", &url, "--history", "3d", "-n", "shop"];
    let output = context.plumb(&[&scan[..], &["-o", "json"]].concat()).await?;
    let said = output.stderr.clone();
    let found: Value = serde_json::from_str(&output.ok()?)?;
    check(&found).with_context(|| said.clone())?;
    ensure!(said.contains("4 containers from kube-state-metrics"), "{said}");
    let patches = context.cluster.plane.dir.join(format!("{name}-patches"));
    let folder = patches.to_str().context("a path that is text")?;
    let table = context.plumb(&[&scan[..], &["--patches", folder]].concat()).await?.ok()?;
    ensure!(table.lines().all(|line| line.chars().count() <= 80), "{table}");
    ensure!(table.lines().nth(1).is_some_and(|line| line.starts_with("shop/steady")), "{table}");
    println!("{table}");
    let patch = std::fs::read_to_string(patches.join("shop_deployment_steady.yaml"))?;
    ensure!(patch.contains("cpu: ") && patch.contains("memory: "), "{patch}");

    // Without kube-state-metrics names tell whose the pods are, and what they ask for is not known.
    let bare = backfill::start(run, &format!("{name}-bare"), &stories("shop"), 1, false).await?;
    let output = context
        .plumb(&["scan", "--prometheus", &bare, "--history", "1d", "-n", "shop", "-o", "json"])
        .await?;
    let said = output.stderr.clone();
    let found: Value = serde_json::from_str(&output.ok()?)?;
    ensure!(said.contains("from the pods' names"), "{said}");
    let steady = row(&found, "steady")?;
    ensure!(steady["kind"] == "Deployment" && steady["current"].is_null(), "{steady}");
    within(steady, "cpuRequest", 0.19, 0.26)?;
    record(&context, &url).await
}

/// What is recorded is what was written.
async fn record(context: &Context, url: &str) -> Result<()> {
    let out = context.cluster.plane.dir.join(format!("{}-past.csv", context.namespace));
    let path = out.to_str().context("a path that is text")?;
    let arguments = ["record", "--prometheus", url, "--since", "1d", "--out", path, "-n", "shop"];
    context.plumb(&arguments).await?.ok()?;
    let text = std::fs::read_to_string(&out)?;
    let steady: Vec<Vec<&str>> = text
        .lines()
        .filter(|line| line.starts_with("shop/steady-7f9c8d6b5-x2x4z/load,"))
        .map(|line| line.split(',').collect())
        .collect();
    ensure!((280..=290).contains(&steady.len()), "{} samples", steady.len());
    for fields in steady {
        let (cpu, memory): (f64, f64) = (fields[2].parse()?, fields[3].parse()?);
        ensure!((0.17..0.23).contains(&cpu) && (94.0..106.0).contains(&(memory / MIB)), "{fields:?}");
    }
    let meta = std::fs::read_to_string(out.with_extension("meta.csv"))?;
    ensure!(meta.contains("shop/tight-0/load,0.01,67108864"), "{meta}");
    Ok(())
}

cluster_test!(scan_takes_owners_from_the_cluster, [Node]);
async fn scan_takes_owners_from_the_cluster(context: Context) -> Result<()> {
    let namespace = context.namespace.clone();
    let load = Load::named("steady").uses("memory", "20Mi").requests("500m", "256Mi").memory_limit("512Mi");
    let pod = context.run_pod(&load).await?;
    let pod = pod.metadata.name.context("a pod without a name")?;
    // kube-state-metrics would say something else; the cluster is believed.
    let stories = vec![story(&namespace, &pod, ("ReplicaSet", "other"), steady)];
    let run = &context.cluster.plane.run;
    let url = backfill::start(run, &format!("{namespace}-past"), &stories, 1, true).await?;
    let output = context
        .plumb(&["scan", "--prometheus", &url, "--history", "1d", "-n", &namespace, "-o", "json"])
        .await?;
    let said = output.stderr.clone();
    let found: Value = serde_json::from_str(&output.ok()?)?;
    ensure!(said.contains("1 containers from the API server"), "{said}");
    let row = row(&found, &pod)?;
    ensure!(row["kind"] == "Pod" && row["current"]["cpuRequest"] == 0.5, "{row}");
    Ok(())
}

cluster_test!(doctor_says_what_is_missing, [MetricsServer, Prometheus, Crds]);
async fn doctor_says_what_is_missing(context: Context) -> Result<()> {
    context.run_pod(&Load::named("steady").uses("cpu", "50m").requests("20m", "32Mi")).await?;
    let prometheus = context.cluster.prometheus().await?.url.clone();
    let series = format!("rate(container_cpu_usage_seconds_total{{namespace={:?}}}[1m])", context.namespace);
    wait_for("Prometheus and the metrics API to know the pod", Duration::from_secs(120), || async {
        ensure!(!context.cluster.prometheus().await?.query(&series).await?.is_empty(), "no series yet");
        context.kubectl(&["top", "pods", "--no-headers"]).await?.ok()
    })
    .await?;
    let said = |output: &crate::support::cluster::Output| -> Result<Vec<Value>> {
        Ok(serde_json::from_str(&output.stdout)?)
    };
    // Who may do everything lacks nothing of the cluster; this Prometheus has no kube-state-metrics.
    let all = context.plumb(&["doctor", "--for", "auto", "--prometheus", &prometheus, "-o", "json"]).await?;
    let findings = said(&all)?;
    let failing: Vec<_> =
        findings.iter().filter(|f| f["state"] == "missing" || f["state"] == "wrong").collect();
    ensure!(failing.is_empty() && all.code == Some(0), "{failing:?} {}", all.stderr);
    let state = |check: &str| findings.iter().find(|f| f["check"] == check).map(|f| f["state"].clone());
    ensure!(state("kube_pod_owner") == Some(json!("absent")), "{findings:?}");
    ensure!(state("container_memory_working_set_bytes") == Some(json!("ok")), "{findings:?}");
    ensure!(state("resizing of running pods") == Some(json!("ok")), "{findings:?}");
    ensure!(state("metrics API") == Some(json!("ok")), "{findings:?}");

    // One who may only list pods is told each right that is missing, and how to grant it.
    let rights = json!([{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}]);
    let account = context.account("little", true, rights).await?;
    let little = context.plumb_as(&account.kubeconfig, &["doctor"]).await?;
    ensure!(little.code == Some(1), "{little:?}");
    let line = |start: &str| little.stdout.lines().find(|line| line.starts_with(start));
    ensure!(line("ok       may list pods: in all namespaces").is_some(), "{}", little.stdout);
    let missing = line("missing  may list replicasets.apps").with_context(|| little.stdout.clone())?;
    ensure!(
        missing.contains(r#"apiGroups: ["apps"], resources: ["replicasets"], verbs: [list]"#),
        "{missing}"
    );
    ensure!(little.stderr.contains("missing and 0 wrong"), "{}", little.stderr);

    // Labels that are none are named.
    let labels =
        ["doctor", "--for", "scan", "--prometheus", &prometheus, "--prometheus-labels", "ns,pod,container"];
    let wrong = context.plumb(&labels).await?;
    ensure!(wrong.code == Some(1), "{wrong:?}");
    let line =
        wrong.stdout.lines().find(|line| line.starts_with("wrong    container_memory_working_set_bytes"));
    ensure!(line.is_some_and(|line| line.contains("--prometheus-labels")), "{}", wrong.stdout);
    Ok(())
}

cluster_test!(checkpoints_in_config_maps, []);
async fn checkpoints_in_config_maps(context: Context) -> Result<()> {
    let options = ConnectionOptions { kubeconfig: Some(context.kubeconfig()), context: None };
    let connection = Connection::open(&options).await?;
    let place = Place::ConfigMaps(Some(context.namespace.clone()));
    let open = || Checkpoints::open(&place, &connection, Shard::default());
    let usage = (Cores(0.1), Bytes::from_mib(100));
    let series = testing::series(Timestamp(1_700_000_000), 300, 500, |_| usage);
    let keys: Vec<String> = (0..4000).map(|i| format!("apps/v1/Deployment/shop/web-{i}/app")).collect();
    let kept = Kept { series, ..Kept::default() };
    let entry = |key| Entry { key, kept: &kept, changed: true };
    let entries: Vec<Entry<'_>> = keys.iter().map(|key| entry(key.as_str())).collect();
    let now = Timestamp(backfill::now());
    let mut first = open();
    ensure!(first.load().await?.0.is_empty());
    let saved = first.save(&entries, now).await?;
    ensure!(saved.packs == 4 && saved.written == 4, "{saved:?}");
    println!("{saved:?}: {} bytes a series", saved.bytes / keys.len());
    ensure!(first.save(&entries, now).await?.written == 0);
    let (restored, problems) = open().load().await?;
    ensure!(restored.len() == keys.len() && problems.is_empty(), "{} {problems:?}", restored.len());

    // One is damaged: it is set aside, the others are used, and the next save leaves it alone.
    let name = "plumb-checkpoint-v1-0of1-2of4";
    let damage = json!({"binaryData": {"pack": "aGVsbG8="}}).to_string();
    context.kubectl(&["patch", "configmap", name, "--type", "merge", "-p", &damage]).await?.ok()?;
    let mut second = open();
    let (restored, problems) = second.load().await?;
    ensure!((2000..4000).contains(&restored.len()) && problems.len() == 1, "{problems:?}");
    ensure!(problems[0].to_string().contains(name), "{problems:?}");
    second.save(&entries, now.plus(1)).await?;
    let data =
        context.kubectl(&["get", "configmap", name, "-o", "jsonpath={.binaryData.pack}"]).await?.ok()?;
    ensure!(data == "aGVsbG8=", "{data}");
    let (restored, problems) = open().load().await?;
    ensure!(restored.len() == keys.len() && problems.is_empty(), "{} {problems:?}", restored.len());

    // Without the rights nothing is loaded, and so nothing is written over.
    let account = context.account("nobody", false, json!([])).await?;
    let options = ConnectionOptions { kubeconfig: Some(account.kubeconfig.clone()), context: None };
    let connection = Connection::open(&options).await?;
    let mut denied = Checkpoints::open(&place, &connection, Shard::default());
    let error = denied.load().await.err().context("it may not")?.to_string();
    ensure!(error.contains("not allowed to list configmaps"), "{error}");
    ensure!(denied.save(&entries, now).await.is_err());
    Ok(())
}

/// Samples that are learned before a restart.
const LEARNED: u32 = 4;

cluster_test!(what_was_learned_outlives_a_restart, [MetricsServer, Crds]);
async fn what_was_learned_outlives_a_restart(context: Context) -> Result<()> {
    context.run_pod(&Load::named("steady").uses("cpu", "50m").requests("100m", "64Mi")).await?;
    context.apply(&testing::policy("all").json()).await?;
    let account = account(&context, "plumb", None).await?;
    let start = || {
        let flags = ["--interval", "2s", "--checkpoint-interval", "2s"];
        Plumb::start(&context.cluster.plane, &account.kubeconfig, &context.namespace, &flags)
    };
    let samples = || async {
        let found = context.api::<Recommendation>().get("pod-steady").await?;
        let status = found.status.context("no status yet")?;
        let samples = status.containers.first().context("no container")?.samples;
        ensure!(samples >= u64::from(LEARNED), "{samples} samples");
        Ok(())
    };
    let first = start()?;
    // A status is written for its figures, not for each sample in them.
    let taken = "plumb_samples_total{source=\"metrics-api\"}";
    wait_for("some samples", Duration::from_secs(150), || async {
        let now = first.metric(taken).await?;
        ensure!(now >= f64::from(LEARNED), "{now}");
        Ok(())
    })
    .await?;
    // They are saved by itself, without its being asked to stop.
    let saved = || first.log().matches("saved a checkpoint").count();
    let goal = saved() + 2;
    wait_for("a checkpoint", Duration::from_secs(60), || async {
        ensure!(saved() >= goal, "none is saved yet");
        Ok(())
    })
    .await?;
    let said = first.stop()?;
    ensure!(!said.contains("cannot save") && !said.contains("cannot read the checkpoint"), "{said}");
    let maps = context
        .kubectl(&["get", "configmaps", "-l", "plumb.dev/checkpoint=pack", "-o", "name"])
        .await?
        .ok()?;
    ensure!(maps.trim() == "configmap/plumb-checkpoint-v1-0of1-0of1", "{maps}");
    context.api::<Recommendation>().delete("pod-steady", &DeleteParams::default()).await?;

    let second = start()?;
    // As many at once: it would take half a minute to learn as many again.
    wait_for("the recommendation anew", Duration::from_secs(60), || async {
        context.api::<Recommendation>().get("pod-steady").await?.status.context("no status yet")
    })
    .await?;
    samples().await?;
    ensure!(second.log().contains("read the checkpoint"), "{}", second.log());
    second.stop()?;
    explained(&context).await
}

/// What plumb says of it when asked why, by itself and as a plugin of kubectl.
async fn explained(context: &Context) -> Result<()> {
    let place = format!("configmaps:{}", context.namespace);
    let own = ["explain", "pod/steady", "-n", &context.namespace, "--checkpoint", &place];
    let text = context.plumb(&own).await?.ok()?;
    for said in [
        "Pod ",
        "/steady, 1 pod",
        "VerticalScalingPolicy all",
        "  Why\n",
        "CPU usage",
        "█",
        "──── request",
        "objective Critical",
        "HistoryReady",
    ] {
        ensure!(text.contains(said), "{said:?} is missing in\n{text}");
    }
    println!("{text}");
    let plugin = as_plugin(context, &own)?;
    ensure!(plugin == text, "as a plugin it says\n{plugin}");
    let json: Value =
        serde_json::from_str(&context.plumb(&[&own[..], &["-o", "json"]].concat()).await?.ok()?)?;
    let shares = json["learned"][0]["memory"].as_array().context("no bars")?.iter();
    let sum: f64 = shares.filter_map(|bar| bar["share"].as_f64()).sum();
    ensure!((sum - 1.0).abs() < 1e-6, "{json:#}");
    // Who may not read plumb's own ConfigMaps is still told why, and what is missing.
    let rules = json!([{"apiGroups": ["plumb.dev"], "resources": ["recommendations"], "verbs": ["list"]}]);
    let reader = context.account("reader", false, rules).await?;
    let text = context.plumb_as(&reader.kubeconfig, &own).await?.ok()?;
    ensure!(text.contains("  Why\n") && text.contains("Not all is shown: cannot read"), "{text}");
    let unknown = context.plumb(&["explain", "deploy/none", "-n", &context.namespace]).await?;
    ensure!(unknown.stderr.contains("nothing is recommended for deploy/none"), "{}", unknown.stderr);
    Ok(())
}

/// kubectl finds plugins on the PATH by their names.
fn as_plugin(context: &Context, arguments: &[&str]) -> Result<String> {
    let folder = tempfile::tempdir()?;
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_plumb"), folder.path().join("kubectl-plumb"))?;
    let output = std::process::Command::new(crate::support::paths::kubernetes_program("kubectl"))
        .arg("plumb")
        .args(arguments)
        .env("PATH", folder.path())
        .env("KUBECONFIG", context.kubeconfig())
        .output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}
