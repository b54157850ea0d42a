//! `plumb scan` prints what pods on a real node ask for and use, with no right but to read, and says what it lacks.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::support::{Context, Load, wait_for};

/// What `plumb scan` may do, and nothing else.
fn read_rights() -> Value {
    json!([
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]},
        {"apiGroups": ["apps"], "resources": ["replicasets"], "verbs": ["list"]},
        {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["list"]},
        {"apiGroups": ["metrics.k8s.io"], "resources": ["pods"], "verbs": ["list"]},
    ])
}

fn load() -> Load {
    Load::named("web").uses("cpu", "100m").uses("memory", "60Mi").requests("200m", "128Mi")
}

cluster_test!(scan_prints_real_figures, [MetricsServer]);
async fn scan_prints_real_figures(context: Context) -> Result<()> {
    context.apply(&load().deployment(2)).await?;
    let reader = context.account("reader", false, read_rights()).await?;
    let namespace = context.namespace.as_str();
    let row = wait_for("plumb scan to show what both pods use", Duration::from_secs(150), || async {
        let json =
            context.plumb_as(&reader.kubeconfig, &["scan", "-n", namespace, "-o", "json"]).await?.ok()?;
        let rows: Vec<Value> = serde_json::from_str(&json)?;
        let row = rows.first().context("no row yet")?.clone();
        ensure!(rows.len() == 1 && row["measuredPods"] == 2, "{json}");
        // The first window of a pod may still hold its start.
        ensure!((0.07..0.14).contains(&row["cpu"]["usage"].as_f64().unwrap_or(0.0)), "{json}");
        Ok(row)
    })
    .await?;
    ensure!(row["kind"] == "Deployment" && row["workload"] == "web" && row["container"] == "load", "{row}");
    ensure!(
        row["pods"] == 2 && row["cpu"]["request"] == 0.2 && row["memory"]["request"] == 134_217_728.0,
        "{row}"
    );
    let mib = row["memory"]["usage"].as_f64().context("no memory")? / f64::from(1 << 20);
    ensure!((60.0..80.0).contains(&mib), "{mib} MiB");
    let ratio = row["cpu"]["ratio"].as_f64().context("no ratio")?;
    ensure!((0.35..0.7).contains(&ratio), "{row}");

    let table = context.plumb_as(&reader.kubeconfig, &["scan", "-n", namespace]).await?.ok()?;
    let lines: Vec<&str> = table.lines().collect();
    ensure!(lines.len() == 2 && lines[0].starts_with("NAMESPACE"), "{table}");
    ensure!(
        lines[1].contains("deploy/web") && lines[1].contains("200m") && lines[1].contains("128Mi"),
        "{table}"
    );
    Ok(())
}

cluster_test!(scan_names_missing_rights, [MetricsServer]);
async fn scan_names_missing_rights(context: Context) -> Result<()> {
    let namespace = context.namespace.as_str();
    for missing in 0..4 {
        let mut rights = read_rights();
        let left_out = rights.as_array_mut().context("a list")?.remove(missing);
        let account = context.account(&format!("lacks-{missing}"), false, rights).await?;
        let output = context.plumb_as(&account.kubeconfig, &["scan", "-n", namespace]).await?;
        let resource = left_out["resources"][0].as_str().context("a name")?;
        ensure!(output.code == Some(1) && output.stderr.lines().count() == 1, "{output:?}");
        ensure!(
            output.stderr.contains("not allowed to list") && output.stderr.contains(resource),
            "{output:?}"
        );
        ensure!(output.stderr.contains(&format!("in namespace {namespace}")), "{output:?}");
    }
    // Rights in one namespace are not rights in all; the line says what could be asked instead.
    let account = context.account("one-namespace", false, read_rights()).await?;
    let output = context.plumb_as(&account.kubeconfig, &["scan"]).await?;
    ensure!(output.code == Some(1) && output.stderr.contains("name one namespace with -n"), "{output:?}");
    Ok(())
}

cluster_test!(record_writes_a_trace, [MetricsServer]);
async fn record_writes_a_trace(context: Context) -> Result<()> {
    context.run_pod(&load()).await?;
    let namespace = context.namespace.as_str();
    let out = context.cluster.plane.dir.join(format!("{namespace}.csv.gz"));
    let path = out.to_str().context("a path that is text")?;
    let once = ["record", "--out", path, "-n", namespace, "--interval", "5s", "--duration", "1s"];
    // Each run adds what is new, so that asking again is what a user would do who was interrupted.
    let samples = wait_for("two samples in the trace", Duration::from_secs(150), || async {
        let said = context.plumb(&once).await?;
        ensure!(said.code == Some(0) && said.stderr.contains("plumb backtest"), "{said:?}");
        let mut text = String::new();
        let gzip = flate2::read::GzDecoder::new(std::fs::File::open(&out)?);
        std::io::Read::read_to_string(&mut std::io::BufReader::new(gzip), &mut text)?;
        let samples: Vec<String> = text.lines().skip(1).map(str::to_owned).collect();
        ensure!(samples.len() >= 2, "{text}");
        Ok(samples)
    })
    .await?;
    for sample in &samples {
        let fields: Vec<&str> = sample.split(',').collect();
        ensure!(fields[0] == format!("{namespace}/web/load"), "{sample}");
        let (cpu, bytes): (f64, f64) = (fields[2].parse()?, fields[3].parse()?);
        ensure!((0.0..0.3).contains(&cpu) && (40e6..90e6).contains(&bytes), "{sample}");
    }
    let meta = std::fs::read_to_string(out.with_file_name(format!("{namespace}.meta.csv")))?;
    ensure!(meta.lines().nth(1) == Some(format!("{namespace}/web/load,0.2,134217728").as_str()), "{meta}");
    // What is written is what `plumb backtest` reads; there is no day of warm-up in it yet.
    let table =
        context.plumb(&["backtest", path, "--warmup", "0s", "--arms", "vpa", "-o", "json"]).await?.ok()?;
    ensure!(serde_json::from_str::<Value>(&table)?.to_string().contains("vpa"), "{table}");
    Ok(())
}
