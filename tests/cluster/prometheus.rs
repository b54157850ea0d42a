//! From a real Prometheus that reads a real node: `plumb scan --prometheus` finds the need, `plumb record` writes the
//! same usage down, and `plumb doctor` says what is there.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use libtest_mimic::Trial;
use serde_json::Value;

use crate::support::{Context, Load, Need, Suite, wait_for};

const NEEDS: &[Need] = &[Need::Prometheus, Need::MetricsServer, Need::Crds];

pub fn trials(suite: &Suite) -> Vec<Trial> {
    vec![suite.trial("prometheus_is_scanned_recorded_and_checked", NEEDS, scanned_recorded_and_checked)]
}

async fn scanned_recorded_and_checked(context: Context) -> Result<()> {
    let load = Load::named("web").uses("cpu", "100m").uses("memory", "60Mi").requests("400m", "256Mi");
    context.apply(&load.deployment(1)).await?;
    let url = context.cluster.prometheus().await?.url.clone();
    let namespace = context.namespace.clone();
    let scan =
        ["scan", "--prometheus", &url, "-n", &namespace, "--history", "30m", "--step", "15s", "-o", "json"];
    let row = wait_for("plumb scan --prometheus to know the need", Duration::from_secs(200), || async {
        let said: Value = serde_json::from_str(&context.plumb(&scan).await?.ok()?)?;
        let row = said["containers"][0].clone();
        let cores =
            row["recommended"]["cpuRequest"].as_f64().with_context(|| format!("no CPU yet: {said}"))?;
        // What a history of minutes says of CPU is little; tests/cluster/history.rs has one of days.
        ensure!(cores > 0.0 && cores < 0.3, "{row}");
        ensure!(row["recommended"]["memoryRequest"].is_number(), "{row}");
        Ok(row)
    })
    .await?;
    ensure!(row["kind"] == "Deployment" && row["workload"] == "web" && row["container"] == "load", "{row}");
    let mib = |field: &str| row["recommended"][field].as_f64().map(|bytes| bytes / f64::from(1 << 20));
    let request = mib("memoryRequest").context("no request")?;
    ensure!((60.0..100.0).contains(&request), "{request} MiB: {row}");
    ensure!(row["current"]["memoryRequest"] == 268_435_456, "{row}");
    ensure!(row["savesMonthly"].as_f64().is_some_and(|dollars| dollars > 0.0), "{row}");

    let table = context
        .plumb(&["scan", "--prometheus", &url, "-n", &namespace, "--history", "30m", "--step", "15s"])
        .await?
        .ok()?;
    ensure!(table.contains("web") && table.lines().all(|line| line.chars().count() <= 80), "{table}");
    recorded(&context, &url).await?;
    checked(&context, &url).await
}

async fn recorded(context: &Context, url: &str) -> Result<()> {
    let out = context.cluster.plane.dir.join(format!("{}-prometheus.csv", context.namespace));
    let path = out.to_str().context("a path that is text")?;
    let arguments = [
        "record",
        "--prometheus",
        url,
        "-n",
        &context.namespace,
        "--since",
        "30m",
        "--step",
        "15s",
        "--out",
        path,
    ];
    let said = context.plumb(&arguments).await?;
    ensure!(said.code == Some(0), "{said:?}");
    let trace = std::fs::read_to_string(&out)?;
    let both = trace.lines().skip(1).filter(|line| line.split(',').all(|field| !field.is_empty())).count();
    ensure!(both >= 2 && trace.contains(&format!("{}/web-", context.namespace)), "{trace}");
    // What it wrote is a trace.
    context.plumb(&["backtest", path, "--warmup", "0s", "--arms", "plumb"]).await?.ok()?;
    Ok(())
}

async fn checked(context: &Context, url: &str) -> Result<()> {
    let said =
        context.plumb(&["doctor", "--prometheus", url, "-n", &context.namespace, "-o", "json"]).await?;
    let findings: Value = serde_json::from_str(&said.stdout).with_context(|| format!("{said:?}"))?;
    ensure!(!findings.to_string().contains("\"wrong\""), "{findings}");
    // Whoever asks a port on which nothing listens is told what to do, by exit code too.
    let said =
        context.plumb(&["doctor", "--prometheus", "http://127.0.0.1:1", "-n", &context.namespace]).await?;
    ensure!(said.code == Some(1) && said.stdout.contains("127.0.0.1:1"), "{said:?}");
    Ok(())
}
