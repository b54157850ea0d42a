//! A cluster that stays: `up` starts one in the background, `down` stops it.

use std::fs;
use std::fs::File;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use tokio::signal::unix::{SignalKind, signal};

use super::cluster::Cluster;
use super::leftovers::Traces;
use super::process::{Identity, Run};
use super::{leftovers, node, paths};

/// The run that `up` and `down` mean.
const ID: &str = "keep";
const START: Duration = Duration::from_secs(300);
const STOP: Duration = Duration::from_secs(60);

fn dir() -> PathBuf {
    paths::root().join("run").join(ID)
}

/// The one that runs, if one does.
fn running() -> Option<Identity> {
    Identity::read(&dir().join("owner")).ok().filter(|owner| owner.is_alive())
}

/// `up [--prometheus]`: leaves a cluster running, and says how to use it.
pub fn up(arguments: &[String]) -> Result<()> {
    if let Some(reason) = node::unavailable() {
        bail!("no cluster can run here: {reason}");
    }
    if running().is_none() {
        // Here and not in the background, so that one sees what takes minutes the first time.
        paths::build(&["kubernetes", "load", "runtime", "deb", "metrics-server"])?;
        start(arguments)?;
    }
    print!("{}", wait_ready()?);
    Ok(())
}

fn start(arguments: &[String]) -> Result<()> {
    fs::create_dir_all(paths::root())?;
    let log = File::create(paths::root().join("keep.log"))?;
    let mut keeper = Command::new(std::env::current_exe()?);
    keeper.arg("keep").arg(ID).args(arguments).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    let mut keeper = keeper.spawn()?;
    let begin = Instant::now();
    while running().is_none() {
        if keeper.try_wait()?.is_some() || begin.elapsed() > STOP {
            bail!("the cluster did not start: {}", last_words());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

fn last_words() -> String {
    fs::read_to_string(paths::root().join("keep.log")).unwrap_or_default()
}

fn wait_ready() -> Result<String> {
    let begin = Instant::now();
    loop {
        if let Ok(text) = fs::read_to_string(dir().join("ready")) {
            return Ok(text);
        }
        ensure!(running().is_some(), "the cluster did not start: {}", last_words());
        ensure!(begin.elapsed() < START, "the cluster is not ready after {} s", START.as_secs());
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// `down`: stops the cluster that `up` has left running.
pub fn down() -> Result<()> {
    let Some(keeper) = running() else {
        leftovers::clean_dead_runs()?;
        eprintln!("no cluster is running");
        return Ok(());
    };
    let traces = Traces::of(&dir())?;
    keeper.stop(STOP);
    let begin = Instant::now();
    while dir().exists() && begin.elapsed() < STOP {
        std::thread::sleep(Duration::from_millis(100));
    }
    let found = leftovers::found(&dir(), traces.as_ref());
    ensure!(found.is_empty(), "the cluster has left on the machine: {}", found.join(", "));
    eprintln!("the cluster is stopped");
    Ok(())
}

/// The process behind `up`: holds the cluster until it is told to stop.
///
/// Of the run `id`. `--prometheus` adds that, `--control-plane` leaves out all but the control plane.
pub fn keep(id: &str, arguments: &[String]) -> Result<()> {
    // Closing the terminal that it was started from must not end it.
    rustix::process::setsid().context("failed to leave the terminal")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let (mut interrupt, mut terminate) =
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let run = Arc::new(Run::begin(id)?);
        let result = tokio::select! {
            failed = serve(&run, arguments) => failed,
            _ = interrupt.recv() => Ok(()),
            _ = terminate.recv() => Ok(()),
        };
        tokio::task::block_in_place(|| run.end())?;
        result
    })
}

async fn serve(run: &Arc<Run>, arguments: &[String]) -> Result<()> {
    let has = |option: &str| arguments.iter().any(|argument| argument == option);
    let cluster = Cluster::start(run, "main").await?;
    let plane = &cluster.plane;
    let mut text = format!(
        "Kubernetes {} at {}: control plane ready after {:.1} s\n",
        paths::kubernetes(),
        plane.server,
        plane.took.as_secs_f64(),
    );
    if !has("--control-plane") {
        let node = cluster.node().await?;
        text.push_str(&format!("node {} ready after {:.1} s\n", node::NAME, node.took.as_secs_f64()));
        cluster.metrics_server().await?;
        if has("--prometheus") {
            text.push_str(&format!("Prometheus at {}\n", cluster.prometheus().await?.url));
        }
    }
    text.push_str(&format!("logs in {}; `make cluster-down` stops it\n", run.logs.display()));
    text.push_str(&format!("export KUBECONFIG={}\n", plane.kubeconfig("admin").display()));
    let part = run.dir.join("ready.part");
    fs::write(&part, text)?;
    // Renamed, so that nobody reads half of it.
    fs::rename(&part, run.dir.join("ready"))?;
    std::future::pending::<()>().await;
    Err(anyhow!("waiting forever has ended"))
}
