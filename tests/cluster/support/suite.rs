//! The run of all cluster tests: side by side, each in a cluster that it has for itself, and nothing left at the end.

use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use libtest_mimic::{Arguments, Failed, Trial};
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};

use super::cluster::Context;
use super::lanes::{self, Lanes};
use super::leftovers::Traces;
use super::process::Run;
use super::registry::{self, Need, Test};
use super::{leftovers, node};

/// Number of slowest tests printed at the end.
const SLOWEST: usize = 10;

/// No test waits longer than this; each has shorter limits of its own.
const LIMIT: Duration = Duration::from_secs(480);

/// The same, for a run of what takes longer: `PLUMB_TEST_LIMIT` seconds.
fn limit() -> Duration {
    let stated = std::env::var("PLUMB_TEST_LIMIT").ok().and_then(|seconds| seconds.parse().ok());
    stated.map_or(LIMIT, Duration::from_secs)
}

/// True where the long forms of tests run too: `make soak`.
pub fn soak() -> bool {
    std::env::var_os("PLUMB_SOAK").is_some()
}

/// The run of all tests.
#[derive(Clone)]
pub struct Suite(Arc<Inner>);

struct Inner {
    runtime: Runtime,
    run: Mutex<State>,
    lanes: Lanes,
    skipped: Mutex<Vec<(&'static str, &'static str)>>,
    took: Mutex<Vec<(Duration, &'static str)>>,
}

/// How far the run is.
enum State {
    NotBegun,
    Running(Arc<Run>),
    Over,
}

impl Suite {
    /// A run that has not begun.
    pub fn new() -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build()?;
        let (run, lanes, skipped, took) =
            (Mutex::new(State::NotBegun), Lanes::default(), Mutex::default(), Mutex::default());
        let suite = Self(Arc::new(Inner { runtime, run, lanes, skipped, took }));
        suite.end_on_signal()?;
        Ok(suite)
    }

    /// Runs the tests that the command line names, prints what each took, and ends all that they have started.
    pub fn main(&self) -> ExitCode {
        let tests = match registry::tests() {
            Ok(tests) => tests,
            Err(error) => {
                eprintln!("error: {error:#}");
                return ExitCode::FAILURE;
            }
        };
        let mut arguments = Arguments::from_args();
        arguments.test_threads.get_or_insert_with(lanes::carried);
        let conclusion =
            libtest_mimic::run(&arguments, tests.into_iter().map(|test| self.trial(test)).collect());
        let clean = self.end();
        for (name, reason) in self.0.skipped.lock().unwrap().iter() {
            eprintln!("skipped: {name}: {reason}");
        }
        self.print_slowest();
        if let Err(error) = &clean {
            eprintln!("error: {error:#}");
        }
        if clean.is_ok() { conclusion.exit_code() } else { ExitCode::FAILURE }
    }

    fn trial(&self, test: &'static Test) -> Trial {
        let on_a_node = |need: &Need| matches!(need, Need::Node | Need::MetricsServer | Need::Prometheus);
        let reason = node::unavailable().filter(|_| test.needs.iter().any(on_a_node));
        let suite = self.clone();
        match reason {
            None => Trial::test(test.name, move || suite.run(test)),
            // Whoever runs this in CI believes that all of it ran.
            Some(reason) if std::env::var("CI").is_ok_and(|ci| ci == "true") => {
                Trial::test(test.name, move || Err(Failed::from(format!("cannot run here: {reason}"))))
            }
            Some(reason) => {
                self.0.skipped.lock().unwrap().push((test.name, reason));
                Trial::test(test.name, || Ok(())).with_ignored_flag(true)
            }
        }
    }

    fn run(&self, test: &'static Test) -> Result<(), Failed> {
        let begin = Instant::now();
        let result = self.0.runtime.block_on(self.in_a_lane(test));
        let took = begin.elapsed();
        let failed = result.is_err();
        eprintln!("{:6.1} s  {}{}", took.as_secs_f64(), test.name, if failed { "  FAILED" } else { "" });
        self.0.took.lock().unwrap().push((took, test.name));
        result.map_err(|error| Failed::from(format!("{error:#}")))
    }

    /// Runs a test in a cluster that it has for itself.
    async fn in_a_lane(&self, test: &'static Test) -> Result<()> {
        let cluster = self.0.lanes.take(&self.begun()?, test.needs).await?;
        let prefix: String =
            test.name.chars().map(|c| if c.is_ascii_lowercase() { c } else { '-' }).collect();
        let context = Context::new(cluster.clone(), prefix.trim_matches('-')).await?;
        let result = tokio::time::timeout(limit(), (test.run)(context.clone())).await;
        let result = result.unwrap_or_else(|_| Err(anyhow!("not done after {} s", limit().as_secs())));
        let result = match (result, test.fails) {
            (Ok(()), None) => Ok(()),
            (Err(error), Some(fault)) if format!("{error:#}").contains(fault.error) => {
                eprintln!("{} fails by a known fault: {}", test.name, fault.cause);
                Ok(())
            }
            (Ok(()), Some(fault)) => Err(anyhow!("it passes: take `fails` away from it ({})", fault.cause)),
            (Err(error), _) => Err(anyhow!("{error:#}\n\n{}", context.describe().await)),
        };
        if test.needs.contains(&Need::Fresh) {
            return result;
        }
        let given_back = self.0.lanes.give_back(cluster).await;
        result.and_then(|()| given_back.context("failed to clean up after it"))
    }

    /// The run's directory and processes; begun by the first test that runs, so that `--list` starts nothing.
    fn begun(&self) -> Result<Arc<Run>> {
        let mut state = self.0.run.lock().unwrap();
        match &*state {
            State::Running(run) => Ok(run.clone()),
            State::Over => Err(anyhow!("the run is over")),
            State::NotBegun => {
                let run = Arc::new(Run::begin(&format!("test-{}", std::process::id()))?);
                *state = State::Running(run.clone());
                Ok(run)
            }
        }
    }

    fn print_slowest(&self) {
        let mut took = self.0.took.lock().unwrap();
        took.sort();
        if took.len() > SLOWEST {
            eprintln!("the slowest:");
        }
        for (took, name) in took.iter().rev().take(SLOWEST) {
            eprintln!("{:6.1} s  {name}", took.as_secs_f64());
        }
    }

    /// Stops everything, and looks whether anything of ours is left on the machine.
    fn end(&self) -> Result<()> {
        // Held until all is clean: who comes here meanwhile waits for that.
        let mut state = self.0.run.lock().unwrap();
        let State::Running(run) = std::mem::replace(&mut *state, State::Over) else { return Ok(()) };
        let traces = Traces::of(&run.dir)?;
        run.end()?;
        self.0.runtime.block_on(async { self.0.lanes.clear() });
        let found = leftovers::found(&run.dir, traces.as_ref());
        anyhow::ensure!(found.is_empty(), "this run has left on the machine: {}", found.join(", "));
        Ok(())
    }

    fn end_on_signal(&self) -> Result<()> {
        let suite = self.clone();
        let _guard = self.0.runtime.enter();
        let (mut interrupt, mut terminate) =
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        self.0.runtime.spawn(async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            eprintln!("cluster: stopping");
            let code = match tokio::task::block_in_place(|| suite.end()) {
                Ok(()) => 130,
                Err(error) => {
                    eprintln!("error: {error:#}");
                    1
                }
            };
            std::process::exit(code);
        });
        Ok(())
    }
}
