//! The dashboard, in a browser: what it shows, that nothing from the cluster becomes markup, and that it talks to
//! nobody but this machine. Its pictures are left in target/cluster/screens.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use kube::api::{Patch, PatchParams};
use plumb::api::Recommendation;
use plumb::cluster::{Connection, ConnectionOptions};
use plumb::control::book::Kept;
use plumb::control::checkpoint::{Checkpoints, Entry, Place, Shard};
use plumb::testing;
use plumb::units::{Bytes, Cores, Timestamp};
use serde_json::json;

use crate::support::process::free_port;
use crate::support::{Context, backfill, paths, wait_for};

cluster_test!(dashboard_in_a_browser, [Crds]);
async fn dashboard_in_a_browser(context: Context) -> Result<()> {
    let folder = tempfile::tempdir()?;
    learned(&context, folder.path()).await?;
    context.apply(&testing::policy("all").json()).await?;
    for (name, cpu, ooms) in
        [("web", ["500m", "180m"], 0), ("leak", ["50m", "60m"], 7), ("batch", ["2", "700m"], 1)]
    {
        recommend(&context, name, cpu, ooms).await?;
    }
    let run = &context.cluster.plane.run;
    let address = format!("127.0.0.1:{}", free_port()?);
    let name = format!("{}-dashboard", context.namespace);
    let mut command = Command::new(env!("CARGO_BIN_EXE_plumb"));
    command.args([
        "dashboard",
        "--listen",
        &address,
        "--checkpoint",
        &format!("file:{}", folder.path().display()),
    ]);
    command.arg("--kubeconfig").arg(context.kubeconfig());
    run.spawn(&name, &mut command)?;
    let url = format!("http://{address}");
    wait_for("the dashboard", Duration::from_secs(60), || async {
        run.check_running(&name)?;
        Ok(reqwest::get(&url).await?)
    })
    .await?;
    let shown = async {
        pages(&context, &url).await?;
        only_for_this_machine(&context, &url).await?;
        browser(&context, &url)
    };
    let result = shown.await.with_context(|| run.log_tail(&name));
    tokio::task::block_in_place(|| run.stop(&name))?;
    result
}

/// A checkpoint with a day of the containers, by the hour.
async fn learned(context: &Context, folder: &Path) -> Result<()> {
    let options = ConnectionOptions { kubeconfig: Some(context.kubeconfig()), context: None };
    let connection = Connection::open(&options).await?;
    let now = backfill::now();
    let start = now - 2 * 86_400;
    let series = testing::series(Timestamp(start), 60, 2 * 1440, |minute| {
        let at = start + minute * 60;
        let wave = (at % 86_400) as f64 / 86_400.0 * std::f64::consts::TAU;
        (Cores(0.12 - 0.05 * wave.cos()), Bytes::from_mib(300 + (at % 7200).unsigned_abs() / 100))
    });
    let keys: Vec<String> = ["web", "leak", "batch"]
        .map(|name| format!("apps/v1|Deployment|{}|{name}|app", context.namespace))
        .to_vec();
    let kept = Kept { series, ..Kept::default() };
    let entry = |key| Entry { key, kept: &kept, changed: true };
    let entries: Vec<Entry<'_>> = keys.iter().map(|key| entry(key.as_str())).collect();
    let mut store = Checkpoints::open(&Place::Folder(folder.to_owned()), &connection, Shard::default());
    store.load().await?;
    store.save(&entries, Timestamp(now)).await?;
    Ok(())
}

async fn recommend(context: &Context, name: &str, cpu: [&str; 2], ooms: u32) -> Result<()> {
    let recommendation = testing::recommendation(name).auto();
    context.apply(&recommendation.clone().json()).await?;
    let app = testing::recommended("app")
        .current(testing::resources(cpu[0], "1Gi", "1Gi"))
        .target(cpu[1], "412Mi", "700Mi")
        .lower("40m", "390Mi")
        .upper("800m", "560Mi")
        .with("/samples", 4032)
        .with("/days", 14)
        .with("/oomKills", ooms)
        .with("/confidence", "high")
        .with(
            "/reasons",
            json!(["4032 samples over 336 hours: high confidence", "memory limit 700Mi: the tail"]),
        );
    let summary = json!({"cpu": format!("{} → {}", cpu[0], cpu[1]), "memory": "1Gi → 412Mi", "oomKills": ooms,
        "confidence": "high", "state": "Blocked", "message": "<img src=x onerror=alert(1)>"});
    let message = "<script>document.title='owned'</script> 0 disruptions are allowed";
    let shown = recommendation
        .containers([app])
        .condition("Blocked", "Budget", message)
        .with("/status/replicas", 3)
        .with("/status/summary", summary)
        .json();
    let status = json!({"status": shown["status"]});
    let api = context.api::<Recommendation>();
    api.patch_status(&format!("deployment-{name}"), &PatchParams::default(), &Patch::Merge(&status)).await?;
    Ok(())
}

async fn pages(context: &Context, url: &str) -> Result<()> {
    let namespace = &context.namespace;
    let page = reqwest::get(format!("{url}/?namespace={namespace}&sort=ooms")).await?;
    let policy = page.headers().get("content-security-policy").context("no policy")?.to_str()?.to_owned();
    ensure!(
        policy.starts_with("default-src 'none'; style-src 'self'") && !policy.contains("unsafe"),
        "{policy}"
    );
    let text = page.text().await?;
    let place = |name: &str| text.find(&format!("Deployment {namespace}/{name}<")).context(name.to_owned());
    ensure!(place("leak")? < place("batch")? && place("batch")? < place("web")?, "{text}");
    let own = reqwest::get(format!("{url}/workload/{namespace}/deployment-web")).await?.text().await?;
    for said in [
        "<rect class=\"half\"",
        "recommended request 180m",
        "objective Critical",
        "high confidence",
        "&lt;script&gt;",
    ] {
        ensure!(own.contains(said), "{said} is missing in {own}");
    }
    for markup in ["<script", "<img"] {
        ensure!(!own.contains(markup) && !text.contains(markup), "{markup}");
    }
    for (path, status) in
        [("/workload/none/none", 404), ("/?page=x", 400), ("/other", 404), ("/style.css", 200)]
    {
        let answer = reqwest::get(format!("{url}{path}")).await?;
        ensure!(answer.status().as_u16() == status, "{path}: {}", answer.status());
        ensure!(answer.headers().contains_key("content-security-policy"), "{path}");
    }
    Ok(())
}

async fn only_for_this_machine(context: &Context, url: &str) -> Result<()> {
    let lured = reqwest::Client::new().get(url).header("host", "rebound.example").send().await?;
    ensure!(lured.status().as_u16() == 421, "{}", lured.status());
    let open = context.plumb(&["dashboard", "--listen", "0.0.0.0:0"]).await?;
    ensure!(open.stderr.contains("no loopback address"), "{}", open.stderr);
    Ok(())
}

/// Pictures at the width of a screen and of a telephone; and the text as the browser has it, after it has run what
/// there is to run.
fn browser(context: &Context, url: &str) -> Result<()> {
    let screens = paths::root().join("screens");
    std::fs::create_dir_all(&screens)?;
    let own = format!("{url}/workload/{}/deployment-leak", context.namespace);
    for (page, address) in [("all", url), ("workload", own.as_str())] {
        for width in [1280, 400] {
            let file = screens.join(format!("dashboard-{page}-{width}.png"));
            let _old = std::fs::remove_file(&file);
            chromium(&[
                &format!("--screenshot={}", file.display()),
                &format!("--window-size={width},1400"),
                address,
            ])?;
            let size = std::fs::metadata(&file).context("no picture was made")?.len();
            ensure!(size > 10_000, "{}: {size} bytes", file.display());
        }
    }
    let dom = chromium(&["--dump-dom", &own])?;
    ensure!(dom.contains("<title>Deployment ") && !dom.contains("<title>owned"), "{dom}");
    Ok(())
}

fn chromium(arguments: &[&str]) -> Result<String> {
    let program = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"]
        .map(PathBuf::from)
        .into_iter()
        .find(|program| program.exists())
        .context("no Chromium on this machine: apt-get install chromium")?;
    let profile = tempfile::tempdir()?;
    let output = Command::new(program)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
        .args([
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--hide-scrollbars",
        ])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .args(arguments)
        .output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
