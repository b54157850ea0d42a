//! A fleet that is larger than the machine: what one process needs for it.
//!
//! On a control plane of its own, with fake nodes and pods, and a stand-in for the metrics API. `PLUMB_SCALE` says how
//! many containers there are (1,000 where it says nothing), `PLUMB_SCALE_PER_POD` how many of them a pod has;
//! `make scale` measures 10,000 with an optimised build.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{ListParams, PartialObjectMeta, Patch, PatchParams, PostParams};
use plumb::api::Recommendation;
use plumb::testing;
use serde_json::{Value, json};

use crate::support::plumb::{Plumb, account, account_with};
use crate::support::recommended::resources;
use crate::support::stand_in::{self, MetricsApi};
use crate::support::{Context, Load, kwok, wait_for};

/// Replicas of one Deployment.
const REPLICAS: usize = 5;
/// Pods on a fake node.
const PODS_PER_NODE: usize = 200;

fn number(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Memory in MiB and CPU in seconds for one interval, that so many containers may take.
fn budget(containers: usize) -> (f64, f64) {
    if containers <= 10_000 { (120.0, 2.0) } else { (800.0, 20.0) }
}

cluster_test!(a_large_fleet_fits_its_budget, [Fresh, Crds, Kwok]);
async fn a_large_fleet_fits_its_budget(context: Context) -> Result<()> {
    let containers = number("PLUMB_SCALE", 1000);
    let per_pod = number("PLUMB_SCALE_PER_POD", 1).max(1);
    let long = Duration::from_secs(120 + containers as u64 / 20);
    let (deployments, pods) = (containers.div_ceil(per_pod * REPLICAS), containers.div_ceil(per_pod));
    let plane = &context.cluster.plane;
    kwok::add_nodes(plane, "scale", pods.div_ceil(PODS_PER_NODE).max(2)).await?;
    let api = context.api::<Deployment>();
    stream::iter(0..deployments)
        .map(|number| {
            let api = api.clone();
            async move {
                let deployment = serde_json::from_value(deployment(number, per_pod))?;
                api.create(&PostParams::default(), &deployment).await?;
                Ok::<_, anyhow::Error>(())
            }
        })
        .buffer_unordered(8)
        .try_collect::<Vec<()>>()
        .await?;
    let all = wait_for("the fake pods to be placed", long, || async {
        let all = placed(&context).await?;
        ensure!(all.len() == deployments * REPLICAS, "{} of {} are", all.len(), deployments * REPLICAS);
        Ok(all)
    })
    .await?;
    let names: Vec<String> = (0..per_pod).map(container).collect();
    let metrics = MetricsApi::start(plane).await?;
    let pod = |name: &String| stand_in::Pod {
        namespace: context.namespace.clone(),
        name: name.clone(),
        containers: names.clone(),
    };
    metrics.serve(all.iter().map(pod).collect());
    context.apply(&testing::cluster_policy("all").json()).await?;
    let rights = account(&context, "plumb", None).await?;
    let flags = ["--interval", "10s", "--checkpoint-interval", "30s"];
    let plumb = Plumb::start(plane, &rights.kubeconfig, &context.namespace, &flags)?;
    plumb.wait_ready().await?;
    let begin = Instant::now();
    let recommendations = context.api::<Recommendation>();
    wait_for("all recommendations", long, || async {
        plumb.check_running()?;
        let list = recommendations.list_metadata(&ListParams::default()).await?.items.len();
        ensure!(list == deployments, "{list} of {deployments} are there");
        let unknown = plumb.metric("plumb_container_series").await?;
        ensure!(unknown >= (deployments * per_pod) as f64, "{unknown} series");
        Ok(())
    })
    .await?;
    println!("{deployments} recommendations after {:.1} s", begin.elapsed().as_secs_f64());
    let measured = measure(&plumb, deployments * REPLICAS * per_pod).await?;
    plumb.check_running()?;
    let kills = if std::env::var_os("PLUMB_SCALE").is_some() { 50 } else { 5 };
    let slow = Duration::from_secs(if kills < 50 { 20 } else { 2 });
    let answers = answers(&context, kills).await.with_context(|| plumb.log())?;
    ensure!(answers <= slow, "one of {kills} OOM kills was answered after {answers:?}");
    let stopping = Instant::now();
    let log = plumb.stop()?;
    println!("stopped, with a checkpoint, in {:.1} s", stopping.elapsed().as_secs_f64());
    for line in log.lines().filter(|line| line.contains("saved a checkpoint")).take(2) {
        println!("{line}");
    }
    ensure!(!log.contains("panicked"), "{log}");
    let (memory, cpu) = budget(deployments * REPLICAS * per_pod);
    ensure!(measured.0 <= memory, "{} MiB are more than {memory}", measured.0);
    ensure!(measured.1 <= cpu, "{} s are more than {cpu}", measured.1);
    Ok(())
}

fn container(place: usize) -> String {
    if place == 0 { "load".to_owned() } else { format!("side-{place}") }
}

fn deployment(number: usize, per_pod: usize) -> Value {
    let load = Load::named(&format!("fleet-{number}")).requests("50m", "64Mi").limits("100m", "128Mi");
    let mut deployment = load.deployment(u32::try_from(REPLICAS).unwrap_or(1));
    let template = &mut deployment["spec"]["template"];
    kwok::on_fake_nodes(template);
    let first = template["spec"]["containers"][0].clone();
    let more = (0..per_pod).map(|place| {
        let mut next = first.clone();
        next["name"] = json!(container(place));
        next["resources"] =
            json!({"requests": {"cpu": "5m", "memory": "16Mi"}, "limits": {"memory": "128Mi"}});
        next
    });
    template["spec"]["containers"] = more.collect();
    deployment
}

/// The names of the pods that are placed on a node.
async fn placed(context: &Context) -> Result<Vec<String>> {
    let api = context.api::<Pod>();
    let mut names = Vec::new();
    let mut params = ListParams::default().fields("status.phase=Running").limit(2000);
    loop {
        let page: kube::core::ObjectList<PartialObjectMeta<Pod>> = api.list_metadata(&params).await?;
        names.extend(page.items.iter().map(ResourceExt::name_any));
        match page.metadata.continue_ {
            Some(token) if !token.is_empty() => params = params.continue_token(&token),
            _ => return Ok(names),
        }
    }
}

/// How long it takes from an OOM kill to the larger limit that the API server has accepted, by an updater in a process of
/// its own: the longest but for one in a hundred. A window is closed for all else: nobody carries out a resize of a fake
/// pod, and one that is under way is waited for.
async fn answers(context: &Context, kills: usize) -> Result<Duration> {
    let closed = json!({"windows": [{"schedule": "0 0 29 2 *", "duration": "1m"}]});
    context.apply(&testing::cluster_policy("all").auto().actuation(closed).json()).await?;
    let rights = account_with(context, "plumb-updater", &["updater"], None).await?;
    let flags = ["--roles", "updater", "--warm-up", "1s"];
    let plumb = Plumb::start(&context.cluster.plane, &rights.kubeconfig, &context.namespace, &flags)?;
    plumb.wait_ready().await?;
    plumb.plans(3).await?;
    let mut took = Vec::new();
    for number in 0..kills {
        took.push(answer(context, number).await.with_context(|| plumb.log())?);
    }
    took.sort_unstable();
    let at =
        |share: usize| took.get((took.len() * share / 100).min(took.len() - 1)).copied().unwrap_or_default();
    let rounds = plumb.metric("plumb_updater_plan_duration_seconds_sum").await?
        / plumb.metric("plumb_updater_plan_duration_seconds_count").await?;
    println!(
        "{kills} OOM kills answered: half of them in {:.2?}, 99 % in {:.2?}; {rounds:.3} s a plan",
        at(50),
        at(99)
    );
    plumb.stop()?;
    Ok(at(99))
}

async fn answer(context: &Context, number: usize) -> Result<Duration> {
    let (api, name) = (context.api::<Pod>(), format!("fleet-{number}"));
    let label = ListParams::default().labels(&format!("app={name}"));
    let pod =
        api.list(&label).await?.items.into_iter().next().with_context(|| format!("no pod of {name}"))?;
    let limit = |pod: &Pod| resources(pod, "load")["limits"]["memory"].clone();
    let (before, name, now) = (limit(&pod), pod.name_any(), chrono::Utc::now());
    let at = |seconds: i64| (now - chrono::TimeDelta::seconds(seconds)).to_rfc3339();
    let mut status = json!(pod.status);
    let container = status["containerStatuses"]
        .as_array_mut()
        .and_then(|all| all.iter_mut().find(|container| container["name"] == "load"));
    let container = container.context("it has no status")?;
    container["restartCount"] = json!(1);
    container["lastState"] = json!({"terminated": {"reason": "OOMKilled", "exitCode": 137, "startedAt": at(600),
        "finishedAt": at(0), "containerID": format!("containerd://{number}")}});
    let begin = Instant::now();
    api.patch_status(&name, &PatchParams::default(), &Patch::Merge(json!({"status": status}))).await?;
    wait_for("the answer to an OOM kill", Duration::from_secs(60), || async {
        let now = limit(&api.get(&name).await?);
        ensure!(now != before, "its limit is still {now}");
        Ok(())
    })
    .await?;
    Ok(begin.elapsed())
}

/// Memory in MiB at its highest, and CPU in seconds for one interval, over some of them.
async fn measure(plumb: &Plumb<'_>, containers: usize) -> Result<(f64, f64)> {
    const INTERVALS: f64 = 6.0;
    let intervals = || async {
        let samples = plumb.metric("plumb_samples_total{source=\"metrics-api\"}").await?;
        Ok::<_, anyhow::Error>(samples / (2.0 * containers as f64))
    };
    // The first ones still find everything new.
    let first = intervals().await?;
    let reach = |goal: f64| async move {
        wait_for("intervals to pass", Duration::from_secs(600), || async {
            let now = intervals().await?;
            ensure!(now >= goal, "{now} of {goal} intervals have passed");
            Ok(now)
        })
        .await
    };
    let begin = reach(first + 3.0).await?;
    let (cpu, writes) = (cpu_seconds(plumb)?, written(plumb).await?);
    let end = reach(begin + INTERVALS).await?;
    let spent = (cpu_seconds(plumb)? - cpu) / (end - begin);
    let writes = (written(plumb).await? - writes) / (end - begin);
    let (now, most) = (status(plumb, "VmRSS:")?, status(plumb, "VmHWM:")?);
    let rounds = plumb.metric("plumb_round_duration_seconds_sum").await?
        / plumb.metric("plumb_round_duration_seconds_count").await?;
    println!(
        "{containers} containers: {now:.0} MiB (at most {most:.0} MiB), {spent:.2} s of CPU an interval, \
         {writes:.0} writes an interval, {rounds:.3} s a round"
    );
    Ok((most, spent))
}

async fn written(plumb: &Plumb<'_>) -> Result<f64> {
    plumb.metric("plumb_writes_total{outcome=\"ok\"}").await
}

/// CPU that the process has used so far.
fn cpu_seconds(plumb: &Plumb<'_>) -> Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", plumb.pid()?))?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |place: usize| -> Result<f64> { Ok(fields.get(place).context("no such field")?.parse()?) };
    let per_second = rustix::param::clock_ticks_per_second() as f64;
    Ok((ticks(11)? + ticks(12)?) / per_second)
}

/// A line of the process's status, in MiB.
fn status(plumb: &Plumb<'_>, name: &str) -> Result<f64> {
    let text = std::fs::read_to_string(format!("/proc/{}/status", plumb.pid()?))?;
    let line = text.lines().find(|line| line.starts_with(name)).context("no such line")?;
    let kib: f64 = line.split_whitespace().nth(1).context("no number")?.parse()?;
    Ok(kib / 1024.0)
}
