//! The run of all cluster tests: what they need is started once, shared, and gone at the end.

use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Result, anyhow};
use libtest_mimic::{Arguments, Failed, Trial};
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::OnceCell;

use super::cluster::{Cluster, Context};
use super::leftovers::Traces;
use super::process::Run;
use super::{leftovers, node};

/// No test waits longer than this; each has shorter limits of its own.
const LIMIT: Duration = Duration::from_secs(280);

/// The same, for a run of what takes longer: `PLUMB_TEST_LIMIT` seconds.
fn limit() -> Duration {
    let stated = std::env::var("PLUMB_TEST_LIMIT").ok().and_then(|seconds| seconds.parse().ok());
    stated.map_or(LIMIT, Duration::from_secs)
}

/// What a test needs beside the control plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    Node,
    MetricsServer,
    Prometheus,
    Kwok,
    Crds,
}

/// All tests' common ground.
#[derive(Clone)]
pub struct Suite(Arc<Inner>);

struct Inner {
    runtime: Runtime,
    run: Mutex<Option<Arc<Run>>>,
    cluster: OnceCell<Result<Arc<Cluster>, String>>,
    skipped: Mutex<Vec<(String, &'static str)>>,
}

impl Suite {
    pub fn new() -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let (run, cluster, skipped) = (Mutex::default(), OnceCell::new(), Mutex::default());
        let suite = Self(Arc::new(Inner { runtime, run, cluster, skipped }));
        suite.end_on_signal()?;
        Ok(suite)
    }

    /// A test by its name, what it needs, and itself.
    pub fn trial<F, Fut>(&self, name: &str, needs: &'static [Need], test: F) -> Trial
    where
        F: FnOnce(Context) -> Fut + Send + 'static,
        Fut: Future<Output = Result<()>>,
    {
        let reason = needs.iter().find_map(|need| match need {
            Need::Node | Need::MetricsServer | Need::Prometheus => node::unavailable(),
            Need::Kwok | Need::Crds => None,
        });
        let suite = self.clone();
        let title = name.to_owned();
        match reason {
            None => Trial::test(name, move || suite.run(&title, needs, test)),
            // Whoever runs this in CI believes that all of it ran.
            Some(reason) if std::env::var("CI").is_ok_and(|ci| ci == "true") => {
                Trial::test(name, move || Err(Failed::from(format!("cannot run here: {reason}"))))
            }
            Some(reason) => {
                self.0.skipped.lock().unwrap().push((title, reason));
                Trial::test(name, || Ok(())).with_ignored_flag(true)
            }
        }
    }

    fn run<F, Fut>(&self, name: &str, needs: &[Need], test: F) -> Result<(), Failed>
    where
        F: FnOnce(Context) -> Fut,
        Fut: Future<Output = Result<()>>,
    {
        self.0
            .runtime
            .block_on(async {
                let cluster = self.cluster().await?;
                for need in needs {
                    match need {
                        Need::Node => drop(cluster.node().await?),
                        Need::MetricsServer => cluster.metrics_server().await?,
                        Need::Prometheus => drop(cluster.prometheus().await?),
                        Need::Kwok => cluster.kwok().await?,
                        Need::Crds => cluster.crds().await?,
                    }
                }
                let prefix: String =
                    name.chars().map(|c| if c.is_ascii_lowercase() { c } else { '-' }).collect();
                let context = Context::new(cluster, prefix.trim_matches('-')).await?;
                let result = tokio::time::timeout(limit(), test(context.clone())).await;
                let result =
                    result.unwrap_or_else(|_| Err(anyhow!("not done after {} s", limit().as_secs())));
                let result = match result {
                    Ok(()) => Ok(()),
                    Err(error) => Err(anyhow!("{error:#}\n\n{}", context.describe().await)),
                };
                context.clear().await?;
                result
            })
            .map_err(|error: anyhow::Error| Failed::from(format!("{error:#}")))
    }

    /// The shared cluster; started by the first test that runs, so that `--list` starts nothing.
    async fn cluster(&self) -> Result<Arc<Cluster>> {
        let start = async {
            let run = Arc::new(Run::begin(&format!("test-{}", std::process::id()))?);
            *self.0.run.lock().unwrap() = Some(run.clone());
            Cluster::start(&run, "main").await.map(Arc::new)
        };
        let begun = self.0.cluster.get_or_init(|| async { start.await.map_err(|e| format!("{e:#}")) }).await;
        begun.clone().map_err(|error| anyhow!("{error}"))
    }

    /// Runs the tests that the command line names, and ends all that they have started.
    pub fn main(&self, trials: Vec<Trial>) -> ExitCode {
        let mut arguments = Arguments::from_args();
        // They wait more than they work: for the kubelet's and the kernel's next turn.
        arguments.test_threads.get_or_insert(6);
        let conclusion = libtest_mimic::run(&arguments, trials);
        let clean = self.end();
        for (name, reason) in self.0.skipped.lock().unwrap().iter() {
            eprintln!("skipped: {name}: {reason}");
        }
        if let Err(error) = &clean {
            eprintln!("error: {error:#}");
        }
        if clean.is_ok() { conclusion.exit_code() } else { ExitCode::FAILURE }
    }

    /// Stops everything, and looks whether anything of ours is left on the machine.
    fn end(&self) -> Result<()> {
        let Some(run) = self.0.run.lock().unwrap().take() else { return Ok(()) };
        let traces = Traces::of(&run.dir)?;
        run.end()?;
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
