//! On a real node: what containers use and how the kernel kills them is in the Recommendations, with real parts only.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::api::DeleteParams;
use plumb::api::Recommendation;
use plumb::testing;

use crate::support::plumb::{Plumb, account};
use crate::support::{Context, Load, pods, wait_for};

cluster_test!(prometheus_alone_and_both_sources_are_enough, [Node, MetricsServer, Prometheus, Crds]);
/// Prometheus alone; then, after it was killed, both, from where it was.
async fn prometheus_alone_and_both_sources_are_enough(context: Context) -> Result<()> {
    let url = context.cluster.prometheus().await?.url.clone();
    context.apply(&testing::policy("all").with("/spec/history/learn", "0s").json()).await?;
    let steady = Load::named("steady").uses("memory", "60Mi").uses("cpu", "60m").requests("300m", "256Mi");
    context.create_pod(&steady).await?;
    let leak = Load::named("leak").uses("memory", "20Mi").uses("grow", "16Mi/s").memory_limit("64Mi");
    context.create_pod(&leak).await?;
    let flags = ["--interval", "5s", "--checkpoint-interval", "2s", "--prometheus", &url];
    let plane = &context.cluster.plane;

    // Not even the right to ask the metrics API.
    let rights = account(&context, "alone", Some("pods.metrics.k8s.io")).await?;
    let alone = Plumb::start(plane, &rights.kubeconfig, &context.namespace, &flags)?;
    alone.wait_ready().await?;
    let seen = async {
        rows_are_near_the_need(&context).await?;
        kills_count_once(&context, &alone).await
    };
    let seen =
        seen.await.with_context(|| alone.log().lines().rev().take(30).collect::<Vec<_>>().join("\n"))?;
    ensure!(alone.metric("plumb_samples_total{source=\"prometheus\"}").await? >= 4.0, "no samples");
    let said = alone.log();
    ensure!(said.contains("not allowed to list pods.metrics.k8s.io"), "{said}");
    let saved = said.matches("saved a checkpoint").count();
    wait_for("a checkpoint with that", Duration::from_secs(60), || async {
        ensure!(alone.log().matches("saved a checkpoint").count() >= saved + 2, "none yet");
        Ok(())
    })
    .await?;
    let said = alone.kill()?;
    ensure!(!said.contains("panicked"), "{said}");

    for name in ["pod-steady", "pod-leak"] {
        context.api::<Recommendation>().delete(name, &DeleteParams::default()).await?;
    }
    let rights = account(&context, "both", None).await?;
    let both = Plumb::start(plane, &rights.kubeconfig, &context.namespace, &flags)?;
    both.wait_ready().await?;
    let again = async {
        rows_are_near_the_need(&context).await?;
        kills_count_once(&context, &both).await
    };
    let again =
        again.await.with_context(|| both.log().lines().rev().take(30).collect::<Vec<_>>().join("\n"))?;
    ensure!(again.0 >= seen.0 && again.1 >= seen.1, "samples and kills {seen:?} before, {again:?} after");
    println!("samples and kills: {seen:?} before it was killed, {again:?} after");
    let said = both.stop()?;
    ensure!(!said.contains("panicked"), "{said}");
    Ok(())
}

/// As many kills as the kubelet tells of, though two sources tell of them. Answers how many samples and kills there are.
async fn kills_count_once(context: &Context, plumb: &Plumb<'_>) -> Result<(u64, u32)> {
    let pods = context.api::<Pod>();
    wait_for("as many kills as there were", Duration::from_secs(90), || async {
        let kills = || async {
            let pod = pods.get("leak").await?;
            let status = pods::container(&pod)?;
            let ended = status.state.as_ref().is_some_and(|state| state.terminated.is_some());
            Ok::<_, anyhow::Error>(u32::try_from(status.restart_count)? + u32::from(ended))
        };
        let before = kills().await?;
        ensure!(before >= 5, "killed {before} times");
        // Counted twice, the earlier ones would show after a round.
        plumb.rounds(1, Duration::from_secs(5)).await?;
        let leak = context.api::<Recommendation>().get("pod-leak").await?.status.context("no status yet")?;
        let steady =
            context.api::<Recommendation>().get("pod-steady").await?.status.context("no status yet")?;
        let (told, after) = (leak.summary.oom_kills, kills().await?);
        ensure!((before..=after).contains(&told), "killed {before} to {after} times, and {told} are told of");
        Ok((steady.containers.first().context("no container")?.samples, told))
    })
    .await
}

cluster_test!(usage_and_oom_kills_of_a_node_are_recommended_from, [Node, MetricsServer, Crds]);
async fn usage_and_oom_kills_of_a_node_are_recommended_from(context: Context) -> Result<()> {
    let rights = account(&context, "plumb", None).await?;
    let plane = &context.cluster.plane;
    let plumb = Plumb::start(plane, &rights.kubeconfig, &context.namespace, &["--interval", "5s"])?;
    plumb.wait_ready().await?;
    context.apply(&testing::policy("all").with("/spec/history/learn", "0s").json()).await?;
    let steady = Load::named("steady").uses("memory", "60Mi").uses("cpu", "60m").requests("300m", "256Mi");
    context.create_pod(&steady).await?;
    let result = async {
        kills_are_told_within_two_seconds(&context).await?;
        rows_are_near_the_need(&context).await
    };
    result.await.with_context(|| plumb.log().lines().rev().take(30).collect::<Vec<_>>().join("\n"))?;
    plumb.stop()?;
    Ok(())
}

async fn kills_are_told_within_two_seconds(context: &Context) -> Result<()> {
    let load = Load::named("leak").uses("memory", "20Mi").uses("grow", "16Mi/s").memory_limit("64Mi");
    context.create_pod(&load).await?;
    let pods = context.api::<Pod>();
    wait_for("the pod to be killed", Duration::from_secs(90), || async {
        let pod = pods.get("leak").await?;
        ensure!(pods::last_end(&pod).as_deref() == Some("OOMKilled"), "{}", pods::describe(&pod));
        Ok(())
    })
    .await?;
    let begin = Instant::now();
    let found = wait_for("the kill in the recommendation", Duration::from_secs(20), || async {
        let found = context.api::<Recommendation>().get("pod-leak").await?;
        let status = found.status.context("no status yet")?;
        ensure!(status.summary.oom_kills >= 1, "{status:?}");
        Ok(status)
    })
    .await?;
    println!(
        "an OOM kill is in the recommendation {} ms after it is in the pod's status",
        begin.elapsed().as_millis()
    );
    ensure!(begin.elapsed() < Duration::from_secs(2), "it took {:?}", begin.elapsed());
    let target = found.containers[0].target.requests.memory.as_ref().context("no memory target")?;
    let bytes = target.value().as_bytes().context("no amount")?.0;
    ensure!(bytes > 64 << 20, "it was killed at 64Mi, and {target} is recommended");
    Ok(())
}

async fn rows_are_near_the_need(context: &Context) -> Result<()> {
    wait_for("figures of the steady pod", Duration::from_secs(120), || async {
        let found = context.api::<Recommendation>().get("pod-steady").await?;
        let status = found.status.context("no status yet")?;
        let container = status.containers.first().context("no container")?;
        let requests = &container.target.requests;
        let cpu = requests.cpu.as_ref().context("no CPU target yet")?.value().as_cores().to_milli();
        let memory = requests.memory.as_ref().context("no memory target yet")?.value().as_bytes();
        let memory = memory.context("no amount")?.0 >> 20;
        // More of them that say the same are not written anew.
        ensure!(container.samples >= 1, "no samples");
        ensure!(
            (50..=150).contains(&cpu),
            "it uses 60m, and {cpu}m are recommended: {:?}",
            container.reasons
        );
        ensure!(
            (60..=110).contains(&memory),
            "it uses 60Mi, and {memory}Mi are recommended: {:?}",
            container.reasons
        );
        Ok(())
    })
    .await?;
    let table = context.kubectl(&["get", "recommendations"]).await?.ok()?;
    println!("{table}");
    let row = table.lines().find(|line| line.starts_with("pod-steady")).context("no row")?;
    for word in ["Recommend", "300m → ", "256Mi → ", "low", "Advised", "/mo"] {
        ensure!(row.contains(word), "{word} is not in {row}");
    }
    Ok(())
}
