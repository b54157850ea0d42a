//! With a Prometheus the first recommendation is a confident one, and whatever is wrong with a source costs nothing.
//!
//! On the shared control plane; the past is written by the tests, as blocks of a real Prometheus. What stands between it
//! and plumb spoils answers, and is no part of either.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams};
use plumb::api::{Confidence, Recommendation, RecommendationStatus, VerticalScalingPolicy};
use plumb::testing;

use crate::support::backfill::{self, Story};
use crate::support::faults::{Before, Fault};
use crate::support::plumb::{Plumb, account};
use crate::support::{Context, Load, wait_for};

const MIB: f64 = 1_048_576.0;

fn steady(_: i64) -> (f64, f64) {
    (0.2, 100.0 * MIB)
}

/// As long as it ran it used twice as much: what a Deployment's pods of before say is of its need too.
fn before(_: i64) -> (f64, f64) {
    (0.4, 200.0 * MIB)
}

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
        memory_limit: 64.0 * MIB,
        usage,
        kills: &[],
    }
}

async fn status(context: &Context, name: &str) -> Result<RecommendationStatus> {
    context.api::<Recommendation>().get(name).await?.status.context("no status yet")
}

cluster_test!(the_past_makes_recommendations_confident_at_once, [Crds]);
async fn the_past_makes_recommendations_confident_at_once(context: Context) -> Result<()> {
    let namespace = context.namespace.clone();
    context.apply(&Load::named("steady").requests("500m", "256Mi").memory_limit("512Mi").json()).await?;
    context.apply(&Load::named("tight").requests("10m", "64Mi").memory_limit("64Mi").json()).await?;
    context.apply(&Load::named("web").requests("1", "1Gi").deployment(1)).await?;
    let pods = context.api::<Pod>();
    let web = wait_for("the pod of web", Duration::from_secs(30), || async {
        let pods = pods.list(&ListParams::default().labels("app=web")).await?.items;
        Ok(pods.first().context("there is none yet")?.clone())
    })
    .await?;
    let set = web.owner_references().first().context("no owner")?.name.clone();
    let kills: &[i64] = &[90_000, 150_000, 150_900];
    let stories = vec![
        story(&namespace, "steady", ("Node", "none"), steady),
        Story { kills, ..story(&namespace, "tight", ("Node", "none"), tight) },
        story(&namespace, &web.name_any(), ("ReplicaSet", &set), steady),
        story(&namespace, "web-7f9c8d6b5-x2x4z", ("ReplicaSet", "web-7f9c8d6b5"), before),
    ];
    let run = &context.cluster.plane.run;
    let url = backfill::start(run, &format!("{namespace}-past"), &stories, 3, true).await?;
    let before = Before::start(&url).await?;
    context.apply(&testing::policy("all").json()).await?;
    let rights = account(&context, "plumb", None).await?;
    let flags = ["--interval", "2s", "--checkpoint-interval", "2s", "--prometheus", &before.url];
    let flags = [&flags[..], &["--prometheus-timeout", "2"]].concat();
    let start = || Plumb::start(&context.cluster.plane, &rights.kubeconfig, &namespace, &flags);

    let plumb = start()?;
    plumb.wait_ready().await?;
    let begin = Instant::now();
    let said = || plumb.log().lines().rev().take(30).collect::<Vec<_>>().join("\n");
    let seen = confident(&context).await.with_context(said)?;
    println!("{} ms after it was ready its recommendations are confident", begin.elapsed().as_millis());
    println!("{}", context.kubectl(&["get", "recommendations"]).await?.ok()?);
    // Killed without a word, it goes on from its checkpoint.
    let saved = || plumb.log().matches("saved a checkpoint").count();
    // One may have been begun before all of that was known.
    let goal = saved() + 2;
    wait_for("a checkpoint with that", Duration::from_secs(60), || async {
        ensure!(saved() >= goal, "{} of {goal} are saved: {}", saved(), plumb.log());
        Ok(())
    })
    .await?;
    let log = plumb.kill()?;
    ensure!(!log.contains("panicked"), "{log}");
    // What it says from now on is what it knows itself.
    for name in ["pod-steady", "pod-tight", "deployment-web"] {
        context.api::<Recommendation>().delete(name, &DeleteParams::default()).await?;
    }
    let plumb = start()?;
    plumb.wait_ready().await?;
    let again = confident(&context).await?;
    ensure!(again.0 >= seen.0 && again.1 == seen.1, "samples and kills {seen:?} before, {again:?} after");
    ensure!(plumb.log().contains("read the checkpoint"), "{}", plumb.log());

    faults(&context, &plumb, &before)
        .await
        .with_context(|| plumb.log().lines().rev().take(30).collect::<Vec<_>>().join("\n"))?;
    let log = plumb.stop()?;
    ensure!(!log.contains("panicked"), "{log}");
    Ok(())
}

/// Waits until figures are near the need. Answers how many samples and kills stand behind those of `tight`.
async fn confident(context: &Context) -> Result<(u64, u32)> {
    wait_for("confident recommendations", Duration::from_secs(150), || async {
        for (name, cpu, memory) in
            [("pod-steady", 190..=260, 100..=125), ("deployment-web", 190..=520, 190..=260)]
        {
            let found = status(context, name).await?;
            let container = found.containers.first().context("no container")?;
            let requests = &container.target.requests;
            let milli = requests.cpu.as_ref().context("no CPU yet")?.value().as_cores().to_milli();
            let bytes = requests.memory.as_ref().context("no memory yet")?.value().as_bytes();
            let mib = bytes.context("no amount")?.0 >> 20;
            ensure!(container.days >= 2, "{name}: {} days", container.days);
            ensure!(container.confidence > Confidence::Low, "{name}: {:?}", container.confidence);
            ensure!(cpu.contains(&milli), "{name}: {milli}m, not in {cpu:?}");
            ensure!(memory.contains(&mib), "{name}: {mib}Mi, not in {memory:?}");
            let history =
                found.conditions.iter().find(|c| c.type_ == "HistoryReady").context("no condition")?;
            ensure!(history.status == "True", "{history:?}");
        }
        let tight = status(context, "pod-tight").await?;
        ensure!(tight.summary.oom_kills == 3, "{} kills", tight.summary.oom_kills);
        let container = tight.containers.first().context("no container")?;
        ensure!(container.samples > 1000, "{} samples", container.samples);
        Ok((container.samples, container.oom_kills))
    })
    .await
}

/// Whatever Prometheus answers, what was said stands, and the loop goes on.
async fn faults(context: &Context, plumb: &Plumb<'_>, before: &Before) -> Result<()> {
    let errors = || plumb.metric("plumb_source_errors_total{source=\"prometheus\"}");
    let rounds = || plumb.metric("plumb_round_duration_seconds_count");
    let target = || async {
        Ok::<_, anyhow::Error>(status(context, "pod-steady").await?.containers[0].target.clone())
    };
    let stands = target().await?;
    for fault in [Fault::Error, Fault::Silence, Fault::Garbage, Fault::Half] {
        let seen = errors().await?;
        before.switch.set(fault);
        wait_for(&format!("{fault:?} to be seen"), Duration::from_secs(60), || async {
            let now = errors().await?;
            ensure!(now > seen, "{now} errors, and {seen} before");
            Ok(())
        })
        .await?;
        plumb.check_running()?;
        ensure!(target().await? == stands, "{fault:?} has changed a recommendation");
        before.switch.set(Fault::None);
        wait_for(&format!("readings after {fault:?}"), Duration::from_secs(60), || async {
            let log = plumb.log();
            let last = |what: &str| log.rfind(what);
            let (failed, again) = (last("cannot read usage"), last("usage can be read again"));
            ensure!(again > failed, "not yet");
            Ok(())
        })
        .await?;
    }
    let spoiled = before.switch.spoiled();
    before.switch.set(Fault::NotANumber);
    plumb.rounds(4, Duration::from_secs(2)).await?;
    ensure!(before.switch.spoiled() >= spoiled + 2, "Prometheus was not asked");
    ensure!(target().await? == stands, "NaN has changed a recommendation");
    before.switch.set(Fault::None);
    ensure!(rounds().await? > 1.0, "no rounds");
    // The good one among them: a namespace goes, and another is answered.
    let other = Context::new(context.cluster.clone(), "going").await?;
    other.apply(&Load::named("brief").json()).await?;
    other.apply(&testing::policy("all").json()).await?;
    wait_for("the other namespace's recommendation", Duration::from_secs(60), || status(&other, "pod-brief"))
        .await?;
    context.kubectl(&["delete", "namespace", &other.namespace, "--wait=false"]).await?.ok()?;
    context.apply(&Load::named("after").json()).await?;
    wait_for("a recommendation meanwhile", Duration::from_secs(60), || status(context, "pod-after")).await?;
    wait_for("the namespace to be gone", Duration::from_secs(60), || async {
        let left = other.api::<Recommendation>().list(&ListParams::default()).await?.items.len();
        ensure!(left == 0, "{left} recommendations are left");
        Ok(())
    })
    .await?;
    plumb.check_running()?;
    context.api::<VerticalScalingPolicy>().delete("all", &DeleteParams::default()).await?;
    Ok(())
}
