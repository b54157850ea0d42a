//! The command line: one file per verb, and what they share.
//!
//! Reads flags and environment, prints to stdout and stderr, and chooses the exit code. Decides nothing about sizes.

mod backtest;
mod config;
mod crds;
mod dashboard;
mod demo;
mod doctor;
mod explain;
mod export;
mod import;
mod input;
mod pause;
mod record;
mod reference;
mod rollback;
mod run;
mod scan;
mod shell;
mod simulate;

use std::fmt;
use std::io::{self, Write};
use std::pin::Pin;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};

/// What the exit codes mean, at the end of the help.
const EXIT_CODES: &str =
    "Exit codes: 0 all is well; 1 it failed, or a check found something; 2 wrong flags or values";

/// Keeps every container in a Kubernetes cluster at the size that it really needs.
#[derive(Debug, Parser)]
#[command(name = "plumb", version, about, max_term_width = 100, arg_required_else_help = true, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Replay recorded usage through sizers and score what they would have set
    Backtest(backtest::Args),
    /// Print a script that lets a shell complete plumb's words
    Completions(shell::Completions),
    /// Print the custom resource definitions, to be applied with kubectl
    Crds(crds::Args),
    /// Show the cluster's recommendations in a browser, served on this machine
    Dashboard(dashboard::Args),
    /// See plumb at work on a generated fleet or a trace of your own; needs no cluster
    Demo(demo::Args),
    /// Check that all is there that plumb needs, and say what to do where it is not
    Doctor(doctor::Args),
    /// Say why a workload is recommended what it is, and what would change it
    Explain(explain::Args),
    /// Write what is recommended into your own files: manifests, Kustomize patches, Helm values
    Export(export::Args),
    /// Turn what another autoscaler was told and has learned into plumb's own: `plumb import vpa`
    Import(import::Args),
    /// Write the manual's pages, for man
    Man(shell::Man),
    /// Keep plumb from changing any pod, until `plumb resume`
    Pause(pause::Args),
    /// Write usage from a live cluster as a trace, for `plumb backtest`
    Record(record::Args),
    /// Write the pages of docs/ that are made from the program
    #[command(hide = true)]
    Reference(reference::Args),
    /// End what `plumb pause` began
    Resume(pause::Args),
    /// Give a workload back what it had before plumb changed it, and leave it alone for a while
    Rollback(rollback::Args),
    /// Recommend sizes for the workloads that policies select, as Recommendation objects, until stopped
    Run(Box<run::Args>),
    /// Show requests against usage, of every workload, right now
    Scan(scan::Args),
    /// Try a policy on a simulated fleet, or search simulated clusters for a broken promise
    Simulate(simulate::Args),
}

/// How results are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// Columns for a person
    #[default]
    Table,
    /// One JSON document
    Json,
    /// YAML
    Yaml,
}

/// Reads the command line, the environment and the file that `--config` names. Where they ask for help or for what is
/// not there, this prints it and ends the process, as is usual.
#[must_use]
pub fn parse() -> Cli {
    config::parse(&std::env::args_os().collect::<Vec<_>>()).unwrap_or_else(|error| error.exit())
}

/// Runs what the command line asks for. An error is one line on stderr and exit code 1; wrong flags are exit code 2.
#[must_use]
pub fn run(cli: Cli) -> ExitCode {
    // One provider of cryptography for all of the process's TLS. It is an error only where one is installed already.
    drop(rustls::crypto::ring::default_provider().install_default());
    match dispatch(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads our output may stop reading: `plumb scan | head` is no failure.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            note(one_line(&error));
            ExitCode::FAILURE
        }
    }
}

fn dispatch(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Backtest(args) => backtest::run(&args),
        Command::Completions(args) => shell::completions(&args),
        Command::Crds(args) => crds::run(&args),
        Command::Dashboard(args) => block_on(dashboard::run(args)),
        Command::Demo(args) => demo::run(&args),
        Command::Doctor(args) => block_on(interruptible(doctor::run(args))),
        Command::Explain(args) => block_on(interruptible(explain::run(args))),
        Command::Export(args) => block_on(interruptible(export::run(args))),
        Command::Import(args) => block_on(interruptible(import::run(args))),
        Command::Man(args) => shell::man(&args),
        Command::Pause(args) => block_on(interruptible(pause::pause(args))),
        Command::Resume(args) => block_on(interruptible(pause::resume(args))),
        Command::Record(args) => block_on(record::run(args)),
        Command::Reference(args) => reference::run(&args),
        Command::Rollback(args) => block_on(interruptible(rollback::run(args))),
        Command::Run(args) => block_on(run::run(*args)),
        Command::Scan(args) => block_on(interruptible(scan::run(args))),
        Command::Simulate(args) => simulate::run(&args),
    }
}

/// Runs what talks to a cluster.
fn block_on(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    // Boxed, so that the compiler generates the runtime's loop once and not for each verb.
    let work: Pin<Box<dyn Future<Output = anyhow::Result<()>>>> = Box::pin(work);
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?.block_on(work)
}

/// Ends the work at the first Ctrl-C, for what has nothing to finish.
async fn interruptible(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    tokio::select! {
        result = work => result,
        _ = tokio::signal::ctrl_c() => anyhow::bail!("interrupted"),
    }
}

/// A line for the person, beside the results.
fn note(line: impl fmt::Display) {
    // Nothing is left to do where stderr is gone.
    drop(writeln!(io::stderr(), "plumb: {line}"));
}

/// A bar for work of so many parts; shown on a terminal only.
fn progress(parts: u64, what: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} {eta}");
    let bar = ProgressBar::new(parts).with_message(what);
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// The whole chain of an error in one line: what failed, on what, what to do.
fn one_line(error: &anyhow::Error) -> String {
    format!("{error:#}").lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ")
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
            || cause
                .downcast_ref::<serde_json::Error>()
                .is_some_and(|e| e.io_error_kind() == Some(io::ErrorKind::BrokenPipe))
    })
}
