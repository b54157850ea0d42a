//! Processes that never outlive the run that started them.
//!
//! Each is written down before it is used, so that whoever comes later can end it: the run itself, also on panic and
//! on Ctrl-C; a watcher process that notices when the run is gone without a word; and the next run.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use super::{leftovers, paths};

/// How long a process may take to stop when asked, before it is killed. Nothing of its data is wanted later.
const GRACE: Duration = Duration::from_secs(3);

/// All that one run of this program starts.
pub struct Run {
    /// Its files; removed at the end.
    pub dir: PathBuf,
    /// Its logs; they stay.
    pub logs: PathBuf,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    closed: bool,
    started: usize,
    running: Vec<Running>,
    watcher: Option<Child>,
}

struct Running {
    name: String,
    child: Child,
}

/// A process in writing: its id, and when it began, since ids are used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    pub pid: i32,
    pub began: u64,
}

impl Run {
    /// Begins a run: ends what dead runs left, and makes the directories.
    pub fn begin(id: &str) -> Result<Self> {
        leftovers::clean_dead_runs()?;
        let dir = paths::root().join("run").join(id);
        let logs = paths::root().join("logs").join(id);
        ensure!(!dir.exists(), "{} is in use by another run", dir.display());
        if logs.exists() {
            fs::remove_dir_all(&logs)?;
        }
        fs::create_dir_all(&logs)?;
        forget_old_logs()?;
        fs::create_dir_all(dir.join("pids"))?;
        Identity::of(std::process::id().cast_signed())?.write(&dir.join("owner"))?;
        let mut watcher = Command::new(std::env::current_exe()?);
        watcher.arg("watch").arg(&dir).stdin(Stdio::piped()).stdout(Stdio::null());
        // In a group of its own, Ctrl-C does not reach it.
        let watcher = watcher.stderr(File::create(logs.join("watch.log"))?).process_group(0).spawn()?;
        Identity::of(watcher.id().cast_signed())?.write(&dir.join("watcher"))?;
        let state = State { watcher: Some(watcher), ..State::default() };
        Ok(Self { dir, logs, state: Mutex::new(state) })
    }

    /// A new directory for a part.
    pub fn subdirectory(&self, name: &str) -> Result<PathBuf> {
        let dir = self.dir.join(name);
        fs::create_dir_all(&dir).with_context(|| format!("failed to make {}", dir.display()))?;
        Ok(dir)
    }

    /// Starts a process with its output in the run's logs.
    pub fn spawn(&self, name: &str, command: &mut Command) -> Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.closed {
            bail!("{name} is not started: the run is over");
        }
        let log = File::create(self.log(name))?;
        // A group of its own keeps Ctrl-C away: we stop it, and in the right order.
        let mut child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .spawn()
            .with_context(|| format!("failed to start {name} ({})", command.get_program().display()))?;
        let record = self.dir.join("pids").join(format!("{:04}-{name}", state.started));
        let written = Identity::of(child.id().cast_signed()).and_then(|identity| identity.write(&record));
        if let Err(error) = written {
            child.kill()?;
            child.wait()?;
            return Err(error);
        }
        state.started += 1;
        state.running.push(Running { name: name.to_owned(), child });
        Ok(())
    }

    /// Runs a command to its end. It is written down too: a run that ends meanwhile takes it along.
    pub fn output(&self, command: &mut Command) -> Result<Output> {
        let name = command.get_program().display().to_string();
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let child = child.with_context(|| format!("failed to run {name}"))?;
        // Sorted after all parts, and so ended before them.
        let record = self.dir.join("pids").join(format!("command-{}", child.id()));
        // One that has ended already needs no record, and a run that is over has no place for one.
        _ = Identity::of(child.id().cast_signed()).and_then(|identity| identity.write(&record));
        let output = child.wait_with_output().with_context(|| format!("failed to run {name}"));
        _ = fs::remove_file(&record);
        output
    }

    /// The id of a process that runs.
    pub fn pid(&self, name: &str) -> Result<u32> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let running = state.running.iter().find(|running| running.name == name);
        Ok(running.with_context(|| format!("{name} does not run"))?.child.id())
    }

    /// Ends one process as if its machine had failed.
    pub fn kill(&self, name: &str) -> Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let place = state.running.iter().position(|running| running.name == name);
        let mut running = state.running.remove(place.with_context(|| format!("{name} does not run"))?);
        drop(state);
        running.child.kill()?;
        running.child.wait()?;
        Ok(())
    }

    /// Stops one process, which may then be started again under its name.
    pub fn stop(&self, name: &str) -> Result<()> {
        self.stop_within(name, GRACE)
    }

    /// The same for one that may take longer.
    pub fn stop_within(&self, name: &str, grace: Duration) -> Result<()> {
        let mut state = self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let place = state.running.iter().position(|running| running.name == name);
        let mut running = state.running.remove(place.with_context(|| format!("{name} does not run"))?);
        drop(state);
        stop_child(&mut running.child, grace)
    }

    /// Stops what was started under this name and a part of its own, the last started first. What does not stop is for
    /// the run's end.
    pub fn stop_those_of(&self, name: &str) {
        for part in self.those_of(name).iter().rev() {
            _ = self.stop(part);
        }
    }

    /// Fails where a process that was started under this name and a part of its own has ended by itself.
    pub fn check_those_of(&self, name: &str) -> Result<()> {
        self.those_of(name).iter().try_for_each(|part| self.check_running(part))
    }

    /// What runs that was started under this name and a part of its own, the first started first.
    fn those_of(&self, name: &str) -> Vec<String> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let names = state.running.iter().map(|running| &running.name);
        let ours = |part: &&String| part.strip_prefix(name).is_some_and(|rest| rest.starts_with('-'));
        names.filter(ours).cloned().collect()
    }

    /// All that a process has written so far.
    pub fn log_text(&self, name: &str) -> String {
        fs::read(self.log(name)).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// Fails with the log's tail when the process has ended.
    pub fn check_running(&self, name: &str) -> Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let running = state.running.iter_mut().find(|running| running.name == name);
        let ended = match running {
            Some(running) => running.child.try_wait()?.map(|status| status.to_string()),
            None => Some("it was never started".to_owned()),
        };
        drop(state);
        match ended {
            Some(how) => bail!("{name} has ended ({how}){}", self.log_tail(name)),
            None => Ok(()),
        }
    }

    fn log(&self, name: &str) -> PathBuf {
        self.logs.join(format!("{name}.log"))
    }

    /// The last lines that a process wrote, for a failure's text.
    pub fn log_tail(&self, name: &str) -> String {
        const LINES: usize = 25;
        let path = self.log(name);
        let text =
            fs::read(&path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let tail = lines.get(lines.len().saturating_sub(LINES)..).unwrap_or_default().join("\n  ");
        format!("\n  last lines of {}:\n  {tail}", path.display())
    }

    /// Stops everything, the last started first: what depends on something was started after it. Safe to call again.
    pub fn end(&self) -> Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.closed = true;
        while let Some(mut running) = state.running.pop() {
            stop_child(&mut running.child, GRACE)
                .with_context(|| format!("failed to stop {}", running.name))?;
        }
        leftovers::clean_run(&self.dir)?;
        if let Some(mut watcher) = state.watcher.take() {
            // It ends when its input does, and finds nothing to do.
            drop(watcher.stdin.take());
            watcher.wait()?;
        }
        Ok(())
    }
}

/// A run that is forgotten, as when its start fails half-way, is ended all the same.
impl Drop for Run {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            eprintln!("cluster: {error:#}");
        }
    }
}

fn stop_child(child: &mut Child, grace: Duration) -> Result<()> {
    let pid = Pid::from_child(child);
    if child.try_wait()?.is_some() {
        return Ok(());
    }
    kill_process(pid, Signal::TERM)?;
    let start = Instant::now();
    while start.elapsed() < grace {
        if child.try_wait()?.is_some() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill()?;
    child.wait()?;
    Ok(())
}

impl Identity {
    /// Of a process that runs.
    pub fn of(pid: i32) -> Result<Self> {
        let stat =
            fs::read_to_string(format!("/proc/{pid}/stat")).with_context(|| format!("no process {pid}"))?;
        // The name, in parentheses, may hold spaces; the state is the first field after it, the start the twentieth.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let (Some(state), Some(began)) = (fields.first(), fields.get(19)) else {
            bail!("/proc/{pid}/stat is not as expected: {stat}");
        };
        // A zombie has ended; who should collect it may never do so.
        ensure!(*state != "Z", "process {pid} has ended");
        Ok(Self { pid, began: began.parse()? })
    }

    pub fn is_alive(self) -> bool {
        Self::of(self.pid).is_ok_and(|now| now == self)
    }

    pub fn write(self, path: &Path) -> Result<()> {
        fs::write(path, format!("{} {}\n", self.pid, self.began))?;
        Ok(())
    }

    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path)?;
        let (pid, began) = text.trim().split_once(' ').context("a process record is PID START")?;
        Ok(Self { pid: pid.parse()?, began: began.parse()? })
    }

    /// Ends a process that need not be our child. True when it was there.
    pub fn stop(self, grace: Duration) -> bool {
        let Some(pid) = Pid::from_raw(self.pid).filter(|_| self.is_alive()) else { return false };
        for (signal, wait) in [(Signal::TERM, grace), (Signal::KILL, Duration::from_secs(10))] {
            if kill_process(pid, signal).is_err() {
                return true;
            }
            let start = Instant::now();
            while start.elapsed() < wait {
                if !self.is_alive() {
                    return true;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        true
    }
}

/// The watcher: waits until the run that started it is gone, and ends what that left running.
pub fn watch(dir: &Path) -> Result<()> {
    // The run never writes; end of input is its end.
    std::io::stdin().read_to_end(&mut Vec::new())?;
    leftovers::clean_run(dir)
}

/// A port that nothing listens on, below those that the kernel gives to outgoing connections.
pub fn free_port() -> Result<u16> {
    const FIRST: u16 = 20_000;
    const COUNT: u16 = 12_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Runs side by side begin at different places.
    let offset = u16::try_from(std::process::id() % 97)? * 120;
    for _ in 0..COUNT {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + (offset.wrapping_add(step)) % COUNT;
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no free port between {FIRST} and {}", FIRST + COUNT)
}

/// Keeps the logs of the last runs only.
fn forget_old_logs() -> Result<()> {
    const KEPT: usize = 10;
    let mut runs: Vec<_> = fs::read_dir(paths::root().join("logs"))?
        .filter_map(|entry| {
            let entry = entry.ok()?;
            Some((entry.metadata().ok()?.modified().ok()?, entry.path()))
        })
        .collect();
    runs.sort();
    for (_, old) in runs.iter().rev().skip(KEPT) {
        fs::remove_dir_all(old)?;
    }
    Ok(())
}
