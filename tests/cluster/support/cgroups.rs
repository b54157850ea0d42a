//! The kernel's own view of pods: their control groups, on cgroup v1 and v2 alike.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};

const ROOT: &str = "/sys/fs/cgroup";

/// A node's control group is named by this and a number: pods of several nodes are on one machine.
pub const NODES: &str = "plumb-node-";

/// The group of each node, in every hierarchy that has one, and that of a kubelet which is not ours.
fn node_roots() -> Vec<PathBuf> {
    let of_node = |group: &PathBuf| {
        let name = group.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.starts_with(NODES) || name == "kubepods"
    };
    hierarchies().iter().flat_map(|dir| subdirectories(dir)).filter(of_node).collect()
}

/// Mount points of the control group hierarchies: one in version 2, one for each controller in version 1.
fn hierarchies() -> Vec<PathBuf> {
    let root = Path::new(ROOT);
    if root.join("cgroup.controllers").exists() { vec![root.to_owned()] } else { subdirectories(root) }
}

/// Makes a node's group in every hierarchy; the kubelet makes what is below.
pub fn make_node(name: &str) -> Result<()> {
    for hierarchy in hierarchies() {
        let group = hierarchy.join(name);
        fs::create_dir_all(&group).with_context(|| format!("failed to make {}", group.display()))?;
        // Version 1 lets no process into a group that has been given neither processors nor memory nodes.
        for file in ["cpuset.cpus", "cpuset.mems"] {
            if let (true, Ok(all)) = (group.join(file).exists(), fs::read_to_string(hierarchy.join(file))) {
                fs::write(group.join(file), all.trim())?;
            }
        }
        // Pods get the CPU that they ask for, however busy the machine is with builds and other clusters: the most that
        // either version allows, among processes of 1024 and 100 each.
        for (file, most) in [("cpu.shares", "262144"), ("cpu.weight", "10000")] {
            if group.join(file).exists() {
                fs::write(group.join(file), most)?;
            }
        }
    }
    Ok(())
}

/// Limits the memory of all pods of a node together, as the machine itself would.
pub fn limit_node(name: &str, bytes: u64) -> Result<()> {
    for group in hierarchies().iter().map(|hierarchy| hierarchy.join(name)) {
        for file in ["memory.limit_in_bytes", "memory.max"].map(|file| group.join(file)) {
            if file.exists() {
                return fs::write(&file, bytes.to_string())
                    .with_context(|| format!("failed to write {}", file.display()));
            }
        }
    }
    anyhow::bail!("{name} has no control group of memory")
}

fn subdirectories(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    // Hierarchies that are mounted together have a second name, a link.
    entries
        .filter_map(|entry| entry.ok().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())))
        .map(|entry| entry.path())
        .collect()
}

/// A group and all below it, the innermost first.
fn with_children(group: &Path) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = subdirectories(group).iter().flat_map(|child| with_children(child)).collect();
    all.push(group.to_owned());
    all
}

/// The processes of a node's pods.
pub fn pods_of(node: &str) -> Vec<i32> {
    let roots = node_roots().into_iter().filter(|root| root.ends_with(node));
    processes(roots.flat_map(|root| with_children(&root)))
}

/// Kills the processes of a node's pods, and waits until they are gone.
pub fn kill_pods(node: &str) -> Result<()> {
    kill(|| pods_of(node))
}

/// Kills the processes of all pods, and waits until they are gone.
pub fn kill_all_pods() -> Result<()> {
    kill(pod_processes)
}

fn kill(left: impl Fn() -> Vec<i32>) -> Result<()> {
    let start = Instant::now();
    loop {
        let pids = left();
        if pids.is_empty() {
            return Ok(());
        }
        ensure!(start.elapsed() < Duration::from_secs(20), "processes of pods do not die: {pids:?}");
        for pid in pids.into_iter().filter_map(Pid::from_raw) {
            // Gone already is as good.
            _ = kill_process(pid, Signal::KILL);
        }
        std::thread::sleep(Duration::from_millis(30));
    }
}

/// The processes of all pods.
fn pod_processes() -> Vec<i32> {
    processes(node_roots().into_iter().flat_map(|root| with_children(&root)))
}

/// The processes of a pod, by its uid.
pub fn processes_of(uid: &str) -> Vec<i32> {
    let group = find_group("memory", |name| name == format!("pod{uid}"));
    processes(group.iter().flat_map(|group| with_children(group)))
}

fn processes(groups: impl Iterator<Item = PathBuf>) -> Vec<i32> {
    let lists = groups.map(|group| fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default());
    let mut pids: Vec<i32> =
        lists.flat_map(|list| list.lines().filter_map(|l| l.parse().ok()).collect::<Vec<_>>()).collect();
    pids.sort_unstable();
    pids.dedup();
    pids
}

/// True where there is a group of pods.
pub fn has_pods() -> bool {
    !node_roots().is_empty()
}

/// Removes the groups of all pods, which are empty.
pub fn remove_pods() -> Result<()> {
    let start = Instant::now();
    loop {
        let left: Vec<PathBuf> = node_roots().into_iter().flat_map(|root| with_children(&root)).collect();
        let mut failed = None;
        for group in left {
            if let Err(error) = fs::remove_dir(&group)
                && group.exists()
            {
                failed = Some((error, group));
            }
        }
        match failed {
            None => return Ok(()),
            // The kernel is busy with a group for a moment after its last process has died.
            Some(_) if start.elapsed() < Duration::from_secs(10) => {
                std::thread::sleep(Duration::from_millis(50));
            }
            Some((error, group)) => {
                return Err(error).with_context(|| format!("failed to remove {}", group.display()));
            }
        }
    }
}

/// What the kernel enforces on a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes; `None` where there is no limit.
    pub memory: Option<u64>,
    /// Thousandths of a core; `None` where there is no limit.
    pub cpu: Option<u64>,
}

/// What the kernel enforces on a container, by its id without `containerd://`.
pub fn of_container(id: &str) -> Result<Limits> {
    let find = |suffix: &str| find_group(suffix, |name| name.contains(id));
    read_limits(&find("memory"), &find("cpu")).with_context(|| format!("no control group of container {id}"))
}

/// What the kernel enforces on a whole pod, by its uid.
pub fn of_pod(uid: &str) -> Result<Limits> {
    let find = |suffix: &str| find_group(suffix, |name| name == format!("pod{uid}"));
    read_limits(&find("memory"), &find("cpu")).with_context(|| format!("no control group of pod {uid}"))
}

fn find_group(controller: &str, wanted: impl Fn(&str) -> bool) -> Option<PathBuf> {
    let hierarchy = Path::new(ROOT).join(controller);
    let below = |root: &PathBuf| !hierarchy.is_dir() || root.starts_with(&hierarchy);
    let groups = node_roots().into_iter().filter(below).flat_map(|root| with_children(&root));
    groups.into_iter().find(|group| group.file_name().and_then(|n| n.to_str()).is_some_and(&wanted))
}

fn read_limits(memory: &Option<PathBuf>, cpu: &Option<PathBuf>) -> Result<Limits> {
    let memory = memory.as_deref().context("not found")?;
    let cpu = cpu.as_deref().context("not found")?;
    let read = |dir: &Path, file: &str| fs::read_to_string(dir.join(file)).map(|text| text.trim().to_owned());
    if let Ok(v2) = read(cpu, "cpu.max") {
        let (quota, period) = v2.split_once(' ').context("cpu.max is QUOTA PERIOD")?;
        return Ok(Limits {
            memory: read(memory, "memory.max")?.parse().ok(),
            cpu: millicores(quota, period),
        });
    }
    // Version 1 says "no limit" by the largest whole number of pages.
    let bytes: u64 = read(memory, "memory.limit_in_bytes")?.parse()?;
    let (quota, period) = (read(cpu, "cpu.cfs_quota_us")?, read(cpu, "cpu.cfs_period_us")?);
    Ok(Limits { memory: Some(bytes).filter(|bytes| *bytes < 1 << 60), cpu: millicores(&quota, &period) })
}

/// `None` for `max` and `-1`: no limit.
fn millicores(quota: &str, period: &str) -> Option<u64> {
    let (quota, period): (u64, u64) = (quota.parse().ok()?, period.parse().ok()?);
    Some(quota * 1000 / period)
}
