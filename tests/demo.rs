//! `plumb demo` as a new user meets it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use assert_cmd::Command;
use serde_json::Value;
use tempfile::TempDir;

/// Runs the demo; returns stdout, stderr and the page.
fn demo(dir: &Path, more: &[&str]) -> (String, String, String) {
    let page = dir.join("page.html");
    let assert = Command::cargo_bin("plumb")
        .unwrap()
        // Nothing beside the binary.
        .env_clear()
        .arg("demo")
        .arg("--report")
        .arg(&page)
        .args(more)
        .assert()
        .success();
    let output = assert.get_output();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (text(&output.stdout), text(&output.stderr), fs::read_to_string(page).unwrap())
}

/// OOM kills of the arms in their order, as the page's first table says them.
fn kills_of_page(page: &str) -> Vec<u64> {
    let row = page.split("<th scope=\"row\">OOM kills").nth(1).unwrap().split("</tr>").next().unwrap();
    let cells = row.split("</td>").filter_map(|cell| cell.rsplit_once("<td")).map(|(_, cell)| cell);
    cells.map(|cell| cell.split_once('>').unwrap().1.parse().unwrap()).collect()
}

#[test]
fn the_first_look() {
    let dir = TempDir::new().unwrap();
    let (stdout, stderr, page) = demo(dir.path(), &[]);
    assert!(
        stdout.starts_with("A generated fleet, nothing of it was measured: 24 containers, 14 days, seed 1.")
    );
    let report = format!("Report: {}", dir.path().join("page.html").display());
    assert!(stdout.trim_end().ends_with(&report), "{stdout}");
    let long = |line: &&str| line.chars().count() > 80 && !line.starts_with("Report: ");
    assert_eq!(stdout.lines().find(long), None);
    assert!(stdout.contains("deployment-web") && stdout.contains("1Gi → "), "{stdout}");
    assert!(stderr.contains("a generated fleet of 24 containers"), "{stderr}");
    assert!(stderr.contains("day 14 of 14: plumb made "), "{stderr}");
    assert!(!stderr.contains('\u{1b}') && !stdout.contains('\u{1b}'), "no terminal, no colours");
    assert!(page.contains("A generated fleet, nothing of it was measured"));
}

#[test]
fn text_json_and_page_say_the_same() {
    let dir = TempDir::new().unwrap();
    let (text, ..) = demo(dir.path(), &["--days", "5", "--seed", "9"]);
    let (json, _, page) = demo(dir.path(), &["--days", "5", "--seed", "9", "-o", "json"]);
    let json: Value = serde_json::from_str(&json).unwrap();
    let arms: Vec<(String, u64)> = json["arms"]
        .as_array()
        .unwrap()
        .iter()
        .map(|arm| (arm["arm"].as_str().unwrap().to_owned(), arm["oomKills"].as_u64().unwrap()))
        .collect();
    let names: Vec<_> = arms.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["plumb", "vpa", "krr", "window", "fixed"]);
    let kills: Vec<u64> = arms.iter().map(|(_, kills)| *kills).collect();
    assert_eq!(kills, kills_of_page(&page));
    for (arm, kills) in &arms {
        let line = text.lines().find(|line| line.starts_with(&format!("{arm} "))).unwrap();
        assert_eq!(line.split_whitespace().nth(1), Some(kills.to_string().as_str()), "{line}");
    }
    let rows = json["recommendations"].as_array().unwrap();
    assert_eq!(rows.len(), 24);
    let sum: u64 = rows.iter().map(|row| row["oomKills"].as_u64().unwrap()).sum();
    assert_eq!(sum, arms[0].1, "the table's kills add up to the arm's");
    let saved = &json["saved"];
    let dollars = plumb::report::prices::dollars(saved["dollarsPerMonth"].as_f64().unwrap());
    for said in [&text, &page] {
        assert!(said.contains(&format!("That saves {dollars} a month")), "{dollars} in {said}");
    }
    let cores = |key: &str| saved[key].as_f64().unwrap();
    let line = format!("{:.1} → {:.1} cores", cores("coresBefore"), cores("coresAfter"));
    assert!(text.contains(&line), "{line} in {text}");
}

#[test]
fn a_seed_repeats_and_prices_count() {
    let dir = TempDir::new().unwrap();
    let run = |more: &[&str]| demo(dir.path(), &[&["--days", "3", "-o", "json"], more].concat());
    let (first, _, page) = run(&["--seed", "4"]);
    assert_eq!((&first, &page), (&run(&["--seed", "4"]).0, &run(&["--seed", "4"]).2));
    assert_ne!(first, run(&["--seed", "5"]).0);
    let free: Value =
        serde_json::from_str(&run(&["--price-core-hour", "0", "--price-gib-hour", "0"]).0).unwrap();
    assert_eq!(free["saved"]["dollarsPerMonth"].as_f64(), Some(0.0));
}

#[test]
fn a_trace_of_ones_own() {
    let dir = TempDir::new().unwrap();
    let mut text = "container_id,timestamp_s,cpu_cores,memory_bytes\n".to_owned();
    for place in 0..864 {
        writeln!(text, "<b>shop</b>,{},0.05,{}", place * 300, 100_000_000 + place % 9 * 1_000_000).unwrap();
    }
    let trace = dir.path().join("mine.csv");
    fs::write(&trace, text).unwrap();
    fs::write(
        dir.path().join("mine.meta.csv"),
        "container_id,alloc_cpu_cores,alloc_memory_bytes\n<b>shop</b>,2,4294967296\n",
    )
    .unwrap();
    let (stdout, stderr, page) = demo(dir.path(), &["--trace", trace.to_str().unwrap()]);
    assert!(stdout.starts_with("The trace mine: 1 container, 3 days."), "{stdout}");
    assert!(stdout.contains("2 → ") && stdout.contains("4Gi → "), "{stdout}");
    assert!(!stdout.contains("generated") && !stderr.contains("generated") && !page.contains("generated"));
    assert!(page.contains("&lt;b&gt;shop") && !page.contains("<b>shop"));
}

#[test]
fn what_cannot_be_done_is_said_in_a_line() {
    let refused = |args: &[&str]| {
        let assert = Command::cargo_bin("plumb").unwrap().arg("demo").args(args).assert().failure();
        String::from_utf8(assert.get_output().stderr.clone()).unwrap()
    };
    assert!(refused(&["--report", "/no/such/dir/x.html"]).contains("/no/such/dir/x.html"));
    assert!(refused(&["--trace", "/no/such.csv"]).contains("/no/such.csv"));
    assert!(refused(&["--price-core-hour=-1"]).contains("a price is a number from 0 up"));
    assert!(refused(&["--days", "1"]).contains("--days"));
    assert!(refused(&["--trace", "x", "--seed", "2"]).contains("cannot be used with"));
}
