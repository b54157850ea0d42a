//! `plumb demo`, the first thing that anyone runs: finishes with nothing beside the binary, and its table, its JSON and
//! its page say the same.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;

use serde_json::Value;

fn demo(args: &[&str]) -> String {
    let mut command = assert_cmd::cargo::cargo_bin_cmd!("plumb");
    let output = command.env_clear().arg("demo").args(args).assert().success().get_output().clone();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn table_json_and_page_say_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let page = dir.path().join("demo.html");
    let path = page.to_str().unwrap();
    let json: Value = serde_json::from_str(&demo(&["--days", "5", "--report", path, "-o", "json"])).unwrap();
    let html = fs::read_to_string(&page).unwrap();
    let text = demo(&["--days", "5", "--report", path]);
    assert_eq!(html, fs::read_to_string(&page).unwrap(), "the same seed makes the same report");
    assert!(text.contains("generated") && text.contains(path), "{text}");

    let rows = json["recommendations"].as_array().unwrap();
    assert_eq!(rows.len(), 22);
    for row in rows {
        let name = row["name"].as_str().unwrap();
        let line = text.lines().find(|line| line.starts_with(&format!("{name} "))).unwrap();
        let cells: Vec<&str> = line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect();
        assert_eq!(cells[4], row["oomKills"].to_string(), "{line}");
        assert!(html.contains(name));
    }
    let arms = json["arms"].as_array().unwrap();
    assert_eq!(arms.len(), 5);
    for arm in arms {
        let line = text.lines().find(|line| line.starts_with(arm["arm"].as_str().unwrap())).unwrap();
        let kills = arm["oomKills"].to_string();
        assert!(line.split_whitespace().any(|cell| cell == kills), "{line}");
    }
    let kills =
        |name: &str| arms.iter().find(|arm| arm["arm"] == name).unwrap()["oomKills"].as_u64().unwrap();
    assert!(kills("plumb") < kills("fixed") && json["savings"]["monthly"].as_f64().unwrap() > 0.0);
}

#[test]
fn a_trace_of_ones_own_goes_the_same_way() {
    let dir = tempfile::tempdir().unwrap();
    let (trace, page) = (dir.path().join("mine.csv"), dir.path().join("r.html"));
    let mut text = "container_id,timestamp_s,cpu_cores,memory_bytes\n".to_owned();
    for i in 0..3 * 288 {
        text.push_str(&format!("shop/web,{},0.{},{}\n", i * 300, 10 + i % 7, 200_000_000 + i * 1000));
    }
    fs::write(&trace, text).unwrap();
    let said = demo(&["--trace", trace.to_str().unwrap(), "--report", page.to_str().unwrap()]);
    assert!(said.contains("mine.csv") && said.contains("shop/web"), "{said}");
    assert!(fs::read_to_string(page).unwrap().contains("shop/web"));
}

#[test]
fn what_cannot_be_is_refused() {
    let mut command = assert_cmd::cargo::cargo_bin_cmd!("plumb");
    command.args(["demo", "--days", "1"]).assert().code(2);
    let mut command = assert_cmd::cargo::cargo_bin_cmd!("plumb");
    let error =
        command.args(["demo", "--trace", "/no/such.csv"]).assert().code(1).get_output().stderr.clone();
    assert!(String::from_utf8(error).unwrap().contains("/no/such.csv"));
}
