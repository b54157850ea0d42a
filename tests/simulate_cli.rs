//! `plumb simulate` as a user meets it: a policy on a generated and on a recorded fleet, and how it refuses.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Write as _;
use std::fs;

use assert_cmd::Command;
use serde_json::Value;
use tempfile::TempDir;

fn plumb(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plumb"));
    command.arg("simulate").args(arguments);
    command
}

fn json(arguments: &[&str]) -> Value {
    let output = plumb(arguments).args(["-o", "json"]).assert().success().get_output().stdout.clone();
    serde_json::from_slice(&output).unwrap()
}

#[test]
fn a_policy_is_tried_beside_plumb_switched_off() {
    let dir = TempDir::new().unwrap();
    let policy = dir.path().join("policy.yaml");
    let text = "apiVersion: plumb.dev/v1alpha1\nkind: VerticalScalingPolicy\nmetadata: {name: p}\nspec:\n  mode: Auto\n  \
                history: {learn: 0s}\n";
    fs::write(&policy, text).unwrap();
    let flags = ["--workloads", "3", "--days", "1", "--policy", policy.to_str().unwrap()];
    let report = json(&flags);
    let (with, without) = (&report["plumb"], &report["off"]);
    assert!(with["resizes"].as_u64().unwrap() > 0, "{report:#}");
    assert_eq!((&without["resizes"], &without["evictions"]), (&0.into(), &0.into()), "{report:#}");
    assert!(with["requestedCores"].as_f64() < without["requestedCores"].as_f64(), "{report:#}");
    assert_eq!(json(&flags), report, "the same seed gives the same fleet");
    let table = plumb(&flags).assert().success().get_output().stdout.clone();
    let table = String::from_utf8(table).unwrap();
    let said: Vec<&str> = table.lines().filter(|line| !line.starts_with("broken")).collect();
    assert!(said.iter().all(|line| line.chars().count() <= 80), "{table}");
    for part in
        ["WITH PLUMB", "SWITCHED OFF", "pods resized in place", "OOM kills at a limit", "minutes not ready"]
    {
        assert!(table.contains(part), "{part} is missing in\n{table}");
    }
}

#[test]
fn a_recorded_fleet_is_followed() {
    let dir = TempDir::new().unwrap();
    let trace = dir.path().join("usage.csv");
    let mut text = "container_id,timestamp_s,cpu_cores,memory_bytes\n".to_owned();
    for id in ["a", "b"] {
        for slot in 0..288 {
            writeln!(text, "{id},{},0.{},{}", slot * 300, 1 + slot % 4, 200_000_000).unwrap();
        }
    }
    fs::write(&trace, text).unwrap();
    let report = json(&["--trace", trace.to_str().unwrap(), "--days", "2"]);
    assert_eq!(report["workloads"], 2, "{report:#}");
    // People ask for 1.3 times the highest of 0.4 cores.
    let asked = report["off"]["requestedCores"].as_f64().unwrap();
    assert!((1.0..1.1).contains(&asked), "{report:#}");
    assert_eq!(report["off"]["kills"], 0, "{report:#}");
}

#[test]
fn what_cannot_be_simulated_is_refused_or_named() {
    let dir = TempDir::new().unwrap();
    let policy = dir.path().join("policy.yaml");
    let with = |spec: &str| {
        let head = "apiVersion: plumb.dev/v1alpha1\nkind: VerticalScalingPolicy\nmetadata: {name: p}\nspec: ";
        fs::write(&policy, format!("{head}{spec}\n")).unwrap();
        let output = plumb(&["--workloads", "1", "--days", "1", "--policy", policy.to_str().unwrap()])
            .output()
            .unwrap();
        (output.status.success(), String::from_utf8(output.stderr).unwrap())
    };
    let (ran, said) = with("{containers: [{name: '*', resources: [cpu]}]}");
    assert!(!ran && said.contains("must size both resources"), "{said}");
    let (ran, said) = with("{containers: 7}");
    assert!(!ran && said.contains("is not a VerticalScalingPolicy") && said.lines().count() == 1, "{said}");
    let (ran, said) = with("{containers: [{name: app}]}");
    assert!(ran && said.contains("named containers"), "{said}");
    plumb(&["--days", "0"]).assert().code(2);
    plumb(&["--trace", "/nowhere.csv"]).assert().code(1);
}
