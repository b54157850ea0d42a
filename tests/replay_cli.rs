//! `plumb backtest` as a user meets it: what it prints, and how it refuses.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use flate2::Compression;
use flate2::write::GzEncoder;
use tempfile::TempDir;

const HEADER: &str = "container_id,timestamp_s,cpu_cores,memory_bytes\n";

/// Three containers over three days.
fn trace() -> String {
    let mut text = HEADER.to_owned();
    for id in ["a", "b", "c"] {
        for i in 0..864 {
            let cpu = 0.2 + f64::from(i % 40) / 100.0;
            writeln!(text, "{id},{},{cpu},{}", i * 300, 300_000_000 + i % 7 * 10_000_000).unwrap();
        }
    }
    text
}

fn file(dir: &TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = dir.path().join(name);
    fs::write(&path, bytes).unwrap();
    path
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn backtest(trace: &Path, more: &[&str]) -> assert_cmd::assert::Assert {
    Command::cargo_bin("plumb").unwrap().arg("backtest").arg(trace).args(more).assert()
}

fn stdout(assert: &assert_cmd::assert::Assert) -> String {
    String::from_utf8(assert.get_output().stdout.clone()).unwrap()
}

/// The one line on stderr of a run that refused, and that it printed nothing else.
fn refusal(trace: &Path, more: &[&str]) -> String {
    let assert = backtest(trace, more).failure().code(1);
    assert_eq!(stdout(&assert), "");
    let text = String::from_utf8(assert.get_output().stderr.clone()).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    text
}

#[test]
fn a_table_fits_a_terminal() {
    let dir = TempDir::new().unwrap();
    let plain = file(&dir, "shop.csv", trace().as_bytes());
    let table = stdout(&backtest(&plain, &["--arms", "vpa,vpa0,krr,krr0,window,fixed"]).success());
    assert!(table.starts_with("shop: 3 containers, 6 and 9 days scored\nARM "), "{table}");
    assert_eq!(table.lines().count(), 2 + 2 * 6);
    assert!(table.lines().all(|line| line.chars().count() <= 80), "{table}");
}

#[test]
fn json_has_all_figures_and_gzip_threads_and_order_change_nothing() {
    let dir = TempDir::new().unwrap();
    let plain = file(&dir, "t.csv", trace().as_bytes());
    let packed = file(&dir, "t.csv.gz", &gzip(&trace()));
    let json = stdout(&backtest(&plain, &["-o", "json", "--threads", "1"]).success());
    assert_eq!(json, stdout(&backtest(&packed, &["-o", "json", "--threads", "3"]).success()));
    let rows: serde_json::Value = serde_json::from_str(&json).unwrap();
    let row = &rows.as_array().unwrap()[0];
    assert_eq!((row["trace"].as_str(), row["arm"].as_str()), (Some("t"), Some("plumb")));
    for name in
        ["cpuSlack", "cpuShortfall", "memorySlack", "memoryExposure", "oomFreeDays", "cpuChangesPerDay"]
    {
        assert!(row[name].is_number(), "{name} in {row}");
    }
    assert!(row["nodePressure"].is_null(), "three containers fill no node");
}

#[test]
fn decisions_are_those_of_one_arm() {
    let dir = TempDir::new().unwrap();
    let plain = file(&dir, "t.csv", trace().as_bytes());
    file(&dir, "t.meta.csv", b"container_id,alloc_cpu_cores,alloc_memory_bytes\nb,2,4294967296\n");
    let out = dir.path().join("decisions.csv");
    let out_text = out.to_str().unwrap();
    backtest(&plain, &["--arms", "fixed", "--decisions", out_text]).success();
    let text = fs::read_to_string(&out).unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(
        lines[0],
        "container_id,timestamp_s,cpu_request_cores,memory_request_bytes,memory_limit_bytes"
    );
    assert_eq!(lines[2], "b,86100,2,4294967296,4294967296");
    assert_eq!(lines.len(), 4);
    assert!(refusal(&plain, &["--arms", "vpa,krr", "--decisions", out_text]).contains("of one arm"));
}

#[test]
fn bad_traces_are_refused_in_one_line() {
    let dir = TempDir::new().unwrap();
    let whole = gzip(&trace());
    let cases: [(&str, Vec<u8>, &str); 12] = [
        ("unsorted", format!("{HEADER}a,300,1,1\na,0,1,1\n").into(), "line 3: timestamp_s 0 of a is earlier"),
        ("twice", format!("{HEADER}a,0,1,1\na,0,1,1\n").into(), "line 3: timestamp_s 0 of a is there twice"),
        (
            "back",
            format!("{HEADER}a,0,1,1\nb,0,1,1\na,9,1,1\n").into(),
            "line 4: container a was here before",
        ),
        ("header", "id,time\na,0\n".into(), "line 1: unknown column \"id\""),
        ("column", format!("{},gpu\na,0,1,1,1\n", HEADER.trim()).into(), "line 1: unknown column \"gpu\""),
        ("empty", Vec::new(), "holds no samples"),
        ("negative", format!("{HEADER}a,0,-1,1\n").into(), "line 2: cpu_cores is negative"),
        ("nan", format!("{HEADER}a,0,nan,1\n").into(), "line 2: cpu_cores is not finite"),
        ("infinite", format!("{HEADER}a,0,1,inf\n").into(), "line 2: memory_bytes is not finite"),
        ("absurd", format!("{HEADER}a,0,1,1e30\n").into(), "line 2: memory_bytes is absurd"),
        ("cut", whole[..whole.len() / 2].to_vec(), "the gzip data ends early"),
        ("bytes", [HEADER.as_bytes(), b"a\xff,0,1,1\n"].concat(), "line 2: container_id is not UTF-8"),
    ];
    for (name, bytes, says) in cases {
        let path = file(&dir, name, &bytes);
        let text = refusal(&path, &[]);
        assert!(text.contains(says) && text.contains(name), "{name}: {text}");
    }
}

#[test]
fn gaps_of_days_are_fine() {
    let dir = TempDir::new().unwrap();
    let path = file(&dir, "gap.csv", format!("{HEADER}a,0,1,1\na,900000,1,1\na,1800000,2,\n").as_bytes());
    backtest(&path, &[]).success();
}

#[test]
fn wrong_flags_are_named() {
    let dir = TempDir::new().unwrap();
    let path = file(&dir, "t.csv", trace().as_bytes());
    assert!(refusal(&path, &["--arms", "vpa,magic"]).contains("no arm \"magic\"; there are plumb ("));
    assert!(refusal(&path, &["--arms", "vpa,vpa"]).contains("arm vpa is named twice"));
    assert!(refusal(&path, &["--warmup", "1d,24h"]).contains("--warmup 1d is named twice"));
    assert!(refusal(&path, &["--interval", "0s"]).contains("--interval must be above 0"));
    assert!(refusal(Path::new("no/such.csv"), &[]).contains("no/such.csv"));
    assert!(
        refusal(&path, &["--arms", "vpa", "--decisions", "/no/such/dir/x.csv"])
            .contains("/no/such/dir/x.csv")
    );
    file(&dir, "t.meta.csv", b"container_id,alloc_cpu_cores,alloc_memory_bytes\na,-1,\n");
    assert!(refusal(&path, &[]).contains("t.meta.csv: line 2: alloc_cpu_cores is negative"));
    backtest(&path, &["--warmup", "soon"]).failure().code(2);
}

#[test]
fn a_policy_of_ones_own_is_an_arm() {
    let dir = TempDir::new().unwrap();
    let plain = file(&dir, "t.csv", trace().as_bytes());
    let policy = |spec: &str| {
        let head = "apiVersion: plumb.dev/v1alpha1\nkind: VerticalScalingPolicy\nmetadata: {name: p}\n";
        file(&dir, "p.yaml", format!("{head}spec: {spec}\n").as_bytes())
    };
    let limit = |spec: &str| {
        let path = policy(spec);
        let out = dir.path().join("d.csv");
        let (policy, out) = (path.to_str().unwrap(), out.to_str().unwrap());
        backtest(&plain, &["--arms", "fixed", "--policy", policy, "-o", "json"]).success();
        let json =
            stdout(&backtest(&plain, &["--arms", "fixed", "--policy", policy, "-o", "json"]).success());
        let rows: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(rows[0]["arm"], "policy", "{out}");
        rows[0]["limitOverUsage"].as_f64().unwrap()
    };
    let floor = "{containers: [{name: '*', minAllowed: {memory: 8Gi}}]}";
    assert!(limit(floor) > limit("{}"), "what a policy states is what is replayed");
    for (wrong, named) in [("{objective: Cheap}", "Cheap"), ("{containers: [{}]}", "name"), ("[", "p.yaml")] {
        let path = policy(wrong);
        let said = refusal(&plain, &["--policy", path.to_str().unwrap()]);
        assert!(said.contains("VerticalScalingPolicy") && said.contains(named), "{said}");
    }
}
