//! However a run ends, nothing of it goes on: told to stop, or killed without a word.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Context, leftovers, paths, process::Identity, wait_for};

cluster_test!(a_run_that_is_killed_is_cleaned_up, []);
async fn a_run_that_is_killed_is_cleaned_up(_: Context) -> Result<()> {
    ends_by(Signal::KILL).await
}

cluster_test!(a_run_that_is_interrupted_is_cleaned_up, []);
async fn a_run_that_is_interrupted_is_cleaned_up(_: Context) -> Result<()> {
    ends_by(Signal::INT).await
}

async fn ends_by(signal: Signal) -> Result<()> {
    let id = format!("ending-{}-{}", signal.as_raw(), std::process::id());
    let dir = paths::root().join("run").join(&id);
    let mut keeper = Keeper::start(&id)?;
    wait_for("the run to be ready", Duration::from_secs(90), || async {
        ensure!(dir.join("ready").exists(), "{} has no file `ready`", dir.display());
        Ok(())
    })
    .await?;
    let started = processes(&dir)?;
    ensure!(started == 4, "the control plane has {started} processes");

    kill_process(Pid::from_child(&keeper.0), signal)?;
    wait_for("nothing of it to be left", Duration::from_secs(60), || async {
        let found = leftovers::found(&dir, None);
        ensure!(found.is_empty(), "{}", found.join(", "));
        Ok(())
    })
    .await?;
    let status = keeper.0.wait()?;
    ensure!(status.success() == (signal != Signal::KILL), "it ended with {status}");
    Ok(())
}

/// How many processes of a run are alive.
fn processes(dir: &Path) -> Result<usize> {
    let records: Vec<PathBuf> =
        fs::read_dir(dir.join("pids"))?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    let alive = records.iter().filter(|record| Identity::read(record).is_ok_and(Identity::is_alive));
    Ok(alive.count())
}

/// A run beside this one, which holds a control plane.
struct Keeper(Child);

impl Keeper {
    fn start(id: &str) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["keep", id, "--control-plane"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(Self(command.spawn().context("failed to start a run")?))
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        // It has ended, unless the test has failed.
        _ = self.0.kill();
        _ = self.0.wait();
    }
}
