//! plumb's promises, tried on a real Kubernetes that is started on this machine: no part of it is a double.
//!
//! `cargo test --features testing --test cluster` runs them; one file holds one promise, and `support` starts what they run on. The
//! same program leaves a cluster running: `cargo test --features testing --test cluster -- up`, and `-- down`.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a test program talks to a terminal")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends by them")]
#![allow(missing_docs, unreachable_pub, clippy::missing_errors_doc, reason = "nobody uses it from outside")]

#[macro_use]
mod support;

mod admission;
mod admission_certificates;
mod admission_holds;
mod admission_killed;
mod admission_never_refuses;
mod admission_policy;
mod admission_replicas;
mod admission_speed;
mod admission_under_attack;
mod chart;
mod conformance_admission;
mod conformance_controllers;
mod conformance_oom;
mod conformance_quota;
mod conformance_resize;
mod crash_loop;
mod crds;
mod dashboard;
mod ending;
mod every_kind;
mod fleet;
mod healing;
mod history;
mod import;
mod metrics;
mod new_pods;
mod older_server;
mod one_need;
mod oom_answered;
mod oom_kill;
mod owners;
mod owners_known;
mod past;
mod pausing;
mod recommender;
mod recommender_on_node;
mod refusals;
mod resize;
mod scale;
mod scan;
mod scan_speed;
mod sources;
mod startup_boost;
mod taking_back;
mod updater;
mod updater_crashes;
mod updater_guard;
mod updater_scale;
mod webhook;

use std::path::Path;
use std::process::ExitCode;

use support::{Suite, keep, process};

fn main() -> ExitCode {
    rustls::crypto::ring::default_provider().install_default().expect("nobody has installed another");
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (command, rest) = match arguments.split_first() {
        Some((command, rest)) => (command.as_str(), rest),
        None => ("", &[][..]),
    };
    let result = match (command, rest) {
        ("up", options) => keep::up(options),
        ("down", []) => keep::down(),
        ("keep", [id, options @ ..]) => keep::keep(id, options),
        ("watch", [dir]) => process::watch(Path::new(dir)),
        _ => return test(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn test() -> ExitCode {
    Suite::new().expect("a runtime").main()
}
