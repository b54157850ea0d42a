//! The two sources of usage: metrics.k8s.io, and a Prometheus that reads the kubelet.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::support::{Context, Load, wait_for};

fn load() -> Load {
    Load::named("steady").uses("cpu", "150m").uses("memory", "80Mi").requests("20m", "32Mi")
}

cluster_test!(kubectl_top_shows_usage, [MetricsServer]);
async fn kubectl_top_shows_usage(context: Context) -> Result<()> {
    context.run_pod(&load()).await?;
    // metrics-server needs two readings, and the kubelet takes one in 10 to 15 s.
    wait_for("kubectl top to show what the pod uses", Duration::from_secs(120), || async {
        let table = context.kubectl(&["top", "pods", "--no-headers"]).await?.ok()?;
        let fields: Vec<&str> = table.split_whitespace().collect();
        let [name, cpu, memory] = fields[..] else { anyhow::bail!("{table}") };
        let cpu: u64 = cpu.strip_suffix('m').context("no millicores")?.parse()?;
        let memory: u64 = memory.strip_suffix("Mi").context("no mebibytes")?.parse()?;
        ensure!(name == "steady", "{table}");
        ensure!((100..=200).contains(&cpu) && (80..=100).contains(&memory), "{table}");
        Ok(())
    })
    .await
}

cluster_test!(prometheus_has_container_series, [Prometheus]);
async fn prometheus_has_container_series(context: Context) -> Result<()> {
    context.run_pod(&load()).await?;
    let prometheus = context.cluster.prometheus().await?;
    let namespace = &context.namespace;
    let memory = format!(r#"container_memory_working_set_bytes{{container!="",namespace="{namespace}"}}"#);
    wait_for("Prometheus to know the pod's memory", Duration::from_secs(90), || async {
        let series = prometheus.query(&memory).await?;
        let ours = series.iter().find(|series| series.metric.get("container").is_some_and(|c| c == "load"));
        let ours = ours.with_context(|| format!("{} other series", series.len()))?;
        ensure!(ours.metric.get("pod").is_some_and(|pod| pod == "steady"), "{:?}", ours.metric);
        let mib = ours.value.1.parse::<f64>()? / f64::from(1 << 20);
        ensure!((80.0..100.0).contains(&mib), "{mib} MiB");
        Ok(())
    })
    .await?;
    let selector = format!(r#"{{container="load",namespace="{namespace}"}}"#);
    let cpu = format!("rate(container_cpu_usage_seconds_total{selector}[1m])");
    wait_for("Prometheus to know the pod's CPU", Duration::from_secs(120), || async {
        let series = prometheus.query(&cpu).await?;
        let ours = series.first().context("no series")?;
        let cores: f64 = ours.value.1.parse()?;
        ensure!((0.1..0.2).contains(&cores), "{cores} cores");
        Ok(())
    })
    .await
}
