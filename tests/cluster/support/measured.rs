//! What a process uses, for tests that measure, and a core of its own for it.

use std::ffi::OsStr;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

/// The core that what is measured runs on alone, where somebody has said so.
pub fn core() -> Option<String> {
    std::env::var("PLUMB_BENCH_CORE").ok()
}

/// A program on that core.
pub fn on_one_core(program: &(impl AsRef<OsStr> + ?Sized)) -> Command {
    let Some(core) = core() else { return Command::new(program) };
    let mut command = Command::new("taskset");
    command.arg("--cpu-list").arg(core).arg(program);
    command
}

/// Has this process run on the other cores from now on, all of its threads: who asks is not to be counted as who answers.
pub fn leave_the_core() -> Result<()> {
    let Some(core) = core() else { return Ok(()) };
    let all = std::thread::available_parallelism()?.get();
    let others: Vec<String> = (0..all).map(|core| core.to_string()).filter(|other| *other != core).collect();
    ensure!(!others.is_empty(), "there is no other core than {core}");
    let mut command = Command::new("taskset");
    command
        .args(["--all-tasks", "--cpu-list", "--pid", &others.join(",")])
        .arg(std::process::id().to_string());
    let done = command.output()?;
    ensure!(done.status.success(), "taskset: {}", String::from_utf8_lossy(&done.stderr));
    Ok(())
}

/// The memory that a process has in use now, in MiB, and the most that it ever had.
pub fn memory(pid: u32) -> Result<(u64, u64)> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)).context("no such line")?;
        let kib = line.trim().trim_end_matches("kB").trim();
        Ok::<_, anyhow::Error>(kib.parse::<u64>()? >> 10)
    };
    Ok((line("VmRSS:")?, line("VmHWM:")?))
}

/// The processor time that a process has used so far, in seconds.
pub fn cpu_seconds(pid: u32) -> Result<f64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name, in brackets, can hold anything. The kernel counts in hundredths of a second.
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks =
        |place: usize| fields.get(place).context("no such field")?.parse::<f64>().context("no number");
    Ok((ticks(11)? + ticks(12)?) / 100.0)
}
