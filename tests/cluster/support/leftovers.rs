//! Ending a run from what it wrote down: after it has ended itself, or died without doing so.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::mount::{UnmountFlags, unmount};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

use super::process::Identity;
use super::{cgroups, node, paths};

/// What a node changes on the machine outside its run's directory; written down before it is changed.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Traces {
    /// Directories that were not there before.
    pub made: Vec<PathBuf>,
    /// Kernel settings as they were before.
    pub sysctls: BTreeMap<PathBuf, String>,
}

impl Traces {
    /// What a run has written down; `None` where it had no node.
    pub fn of(run: &Path) -> Result<Option<Self>> {
        let file = run.join("node.json");
        if !file.exists() {
            return Ok(None);
        }
        Ok(Some(serde_json::from_slice(&fs::read(file)?)?))
    }

    /// What is not as it was before, each in words.
    fn remaining(&self) -> Vec<String> {
        let made =
            self.made.iter().filter(|dir| dir.exists()).map(|dir| format!("directory {}", dir.display()));
        let changed = self.sysctls.iter().filter(|(file, before)| {
            // Compared by words: the kernel may write other white space than it was given.
            let now = fs::read_to_string(file).unwrap_or_default();
            !now.split_whitespace().eq(before.split_whitespace())
        });
        made.chain(changed.map(|(file, _)| format!("another value in {}", file.display()))).collect()
    }
}

/// Ends all that a run has started, and removes its directory. Its owner is gone, or is the caller.
pub fn clean_run(dir: &Path) -> Result<()> {
    let mut records: Vec<PathBuf> = match fs::read_dir(dir.join("pids")) {
        Ok(entries) => entries.filter_map(|entry| Some(entry.ok()?.path())).collect(),
        Err(_) if !dir.exists() => return Ok(()),
        Err(_) => Vec::new(),
    };
    // Their names begin with a running number: the last started first.
    records.sort();
    for record in records.iter().rev() {
        if let Ok(identity) = Identity::read(record) {
            identity.stop(Duration::from_secs(3));
        }
    }
    // Where somebody else has a node by now, ours was cleaned up before.
    if let Some(traces) = Traces::of(dir)?
        && node::hold_machine(Duration::from_secs(2))
    {
        clean_node(dir, &traces).context("failed to clean up after the node")?;
        node::free_machine();
    }
    unmount_below(dir)?;
    fs::remove_dir_all(dir).with_context(|| format!("failed to remove {}", dir.display()))
}

/// Ends the runs whose owner is dead.
pub fn clean_dead_runs() -> Result<()> {
    let Ok(entries) = fs::read_dir(paths::root().join("run")) else { return Ok(()) };
    for dir in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        let alive = |record: &str| Identity::read(&dir.join(record)).is_ok_and(Identity::is_alive);
        if alive("owner") {
            continue;
        }
        // Its watcher may be at it already.
        let start = Instant::now();
        while alive("watcher") && start.elapsed() < Duration::from_secs(30) {
            std::thread::sleep(Duration::from_millis(100));
        }
        clean_run(&dir)?;
    }
    Ok(())
}

/// Takes away what containerd, the kubelet and the pods have left on the machine.
fn clean_node(dir: &Path, traces: &Traces) -> Result<()> {
    for shim in processes_of(&paths::shared_program("containerd-shim-runc-v2")) {
        if let Some(pid) = Pid::from_raw(shim) {
            // Gone already is as good.
            _ = kill_process(pid, Signal::KILL);
        }
    }
    cgroups::kill_all_pods()?;
    for place in traces.made.iter().map(PathBuf::as_path).chain([dir]) {
        unmount_below(place)?;
    }
    for bridge in node::bridges() {
        node::delete_bridge(&bridge)?;
    }
    cgroups::remove_pods()?;
    for made in &traces.made {
        match fs::remove_dir_all(made) {
            Err(error) if made.exists() => {
                return Err(error).with_context(|| format!("failed to remove {}", made.display()));
            }
            _ => {}
        }
    }
    for (file, value) in &traces.sysctls {
        fs::write(file, value).with_context(|| format!("failed to restore {}", file.display()))?;
    }
    Ok(())
}

/// The ids of the processes that run this program.
pub fn processes_of(program: &Path) -> Vec<i32> {
    processes().into_iter().filter(|(_, running)| running == program).map(|(pid, _)| pid).collect()
}

/// Every process whose program can be told, with its program.
fn processes() -> Vec<(i32, PathBuf)> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let pid = entry.file_name().to_str()?.parse().ok()?;
            Some((pid, fs::read_link(entry.path().join("exe")).ok()?))
        })
        .collect()
}

/// Where something is mounted at or below a place, the innermost last.
fn mounts_below(place: &Path) -> Vec<PathBuf> {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let points = table.lines().filter_map(|line| line.split(' ').nth(4)).map(PathBuf::from);
    points.filter(|point| point.starts_with(place)).collect()
}

fn unmount_below(place: &Path) -> Result<()> {
    for point in mounts_below(place).into_iter().rev() {
        unmount(&point, UnmountFlags::DETACH)
            .with_context(|| format!("failed to unmount {}", point.display()))?;
    }
    Ok(())
}

/// What is on the machine that a finished run must not leave, each in words. `traces` is what it had written down of
/// its node, where it had one.
pub fn found(run: &Path, traces: Option<&Traces>) -> Vec<String> {
    let ours = [paths::root().join("bin"), paths::root().join("deb")];
    let mut found = Vec::new();
    // Another run in the same target directory is not ours to judge.
    let mine = run.to_string_lossy().into_owned();
    for (pid, program) in processes() {
        let command = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let started_here = ours.iter().any(|place| program.starts_with(place));
        if started_here && command.contains(&mine) {
            found.push(format!("process {pid}: {}", command.replace('\0', " ")));
        }
    }
    found.extend(mounts_below(run).iter().map(|point| format!("mount {}", point.display())));
    if run.exists() {
        found.push(format!("directory {}", run.display()));
    }
    // A node that somebody else runs now has such things too.
    if let Some(traces) = traces
        && node::hold_machine(Duration::ZERO)
    {
        found.extend(node::traces_on_machine());
        found.extend(traces.remaining());
        node::free_machine();
    }
    found
}
