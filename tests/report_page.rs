//! The page that `plumb backtest --report` writes, as a browser gets it: safe, self-contained, small, the same each time.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use tempfile::TempDir;

const HEADER: &str = "container_id,timestamp_s,cpu_cores,memory_bytes\n";

/// Three days of containers with these names; every other one grows until it is OOM-killed.
fn trace(dir: &TempDir, file: &str, names: &[&str]) -> PathBuf {
    let mut text = HEADER.to_owned();
    for (place, name) in names.iter().enumerate() {
        for i in 0..864_u64 {
            let memory = if place % 2 == 0 { 100_000_000 + i * 400_000 } else { 250_000_000 };
            writeln!(text, "{name},{},0.{:02},{memory}", i * 300, 10 + i % 40).unwrap();
        }
    }
    let path = dir.path().join(file);
    fs::write(&path, text).unwrap();
    path
}

fn backtest(traces: &[&Path], report: &Path, more: &[&str]) -> Command {
    let mut command = Command::cargo_bin("plumb").unwrap();
    command.arg("backtest").args(traces).arg("--report").arg(report).args(more);
    command
}

fn page(traces: &[&Path], dir: &TempDir, more: &[&str]) -> String {
    let report = dir.path().join("out.html");
    backtest(traces, &report, more).assert().success();
    fs::read_to_string(report).unwrap()
}

/// The tags of a page, each as (name, rest).
fn tags(page: &str) -> Vec<(&str, &str)> {
    page.split('<')
        .skip(1)
        .map(|part| part.split('>').next().unwrap())
        .map(|tag| tag.split_once([' ', '\n']).unwrap_or((tag, "")))
        .collect()
}

fn attributes<'a>(page: &'a str, name: &str) -> Vec<&'a str> {
    let start = format!(" {name}=\"");
    page.split(start.as_str()).skip(1).map(|rest| rest.split('"').next().unwrap()).collect()
}

#[test]
fn nothing_is_loaded_and_nothing_runs() {
    let dir = TempDir::new().unwrap();
    let page = page(&[&trace(&dir, "t.csv", &["a", "b"])], &dir, &[]);
    assert!(page.contains(
        "http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\""
    ));
    for (tag, rest) in tags(&page) {
        assert!(
            !["script", "iframe", "img", "object", "embed", "form", "base"].contains(&tag),
            "<{tag} {rest}>"
        );
        assert!(!rest.contains(" on") && !rest.starts_with("on"), "an event handler: <{tag} {rest}>");
    }
    assert!(attributes(&page, "href").iter().all(|to| to.starts_with('#') || *to == "data:,"));
    assert!(
        !page.contains("url(")
            && !page.contains("@import")
            && !page.contains("http:")
            && !page.contains("https:")
    );
}

#[test]
fn markup_in_names_of_files_and_containers_stays_text() {
    let dir = TempDir::new().unwrap();
    let names = [
        "<script>alert(1)</script>",
        "\"><img src=x onerror=alert(1)>",
        "</title></svg>'&amp;",
        "\u{202e}gpj",
    ];
    let page = page(&[&trace(&dir, "<b onclick=x>&.csv", &names)], &dir, &[]);
    for harm in ["<script", "<img", "<b ", "</title></svg>", "\u{202e}"] {
        assert!(!page.contains(harm), "{harm}");
    }
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
    assert!(page.contains("&quot;&gt;&lt;img src=x onerror=alert(1)&gt;"));
    assert!(page.contains("<h2>&lt;b onclick=x&gt;&amp;</h2>"));
}

#[test]
fn pictures_have_names_and_descriptions_and_tables_captions() {
    let dir = TempDir::new().unwrap();
    let page = page(&[&trace(&dir, "t.csv", &["a", "b"])], &dir, &[]);
    let ids = attributes(&page, "id");
    assert_eq!(ids.len(), ids.iter().collect::<HashSet<_>>().len(), "an id is used twice");
    for (tag, rest) in tags(&page).into_iter().filter(|(tag, _)| *tag == "svg") {
        let inner = rest.contains("preserveAspectRatio");
        assert!(inner || rest.contains("role=\"img\"") || rest.contains("aria-hidden"), "<{tag} {rest}>");
    }
    for labels in attributes(&page, "aria-labelledby") {
        assert!(labels.split(' ').all(|id| ids.contains(&id)), "{labels}");
    }
    assert!(
        attributes(&page, "href").iter().filter_map(|to| to.strip_prefix('#')).all(|id| ids.contains(&id))
    );
    assert_eq!(page.matches("<table").count(), page.matches("<caption>").count());
    assert_eq!(page.matches("<h1>").count(), 1);
}

#[test]
fn every_figure_and_every_kill_is_shown() {
    let dir = TempDir::new().unwrap();
    let page = page(&[&trace(&dir, "t.csv", &["grows", "stays"])], &dir, &["--arms", "fixed"]);
    for name in [
        "CPU slack",
        "CPU shortfall",
        "CPU changes",
        "Memory slack",
        "Exposure",
        "OOM kills",
        "OOM-free days",
    ] {
        assert!(page.contains(name), "{name}");
    }
    assert!(page.find("<b>grows</b>").unwrap() < page.find("<b>stays</b>").unwrap(), "most kills first");
    let details: Vec<&str> = page.split("<details").skip(1).collect();
    assert!(
        details[0].contains("OOM kills: fixed ")
            && details[0].contains("<g class=\"arm a0\"><use href=\"#m0\"")
    );
    assert!(details[1].contains("no OOM kill") && details[1].contains("class=\"warm\""));
}

#[test]
fn several_traces_share_a_page_and_threads_change_nothing() {
    let dir = TempDir::new().unwrap();
    let (one, two) = (trace(&dir, "one.csv", &["a", "b"]), trace(&dir, "two.csv", &["c"]));
    let alone = page(&[&one, &two], &dir, &["--threads", "1"]);
    assert!(alone.contains("<a href=\"#trace1\">two</a>") && alone.matches("<section").count() == 2);
    assert_eq!(alone, page(&[&one, &two], &dir, &["--threads", "3"]));
}

#[test]
fn what_is_partly_or_hardly_known_is_drawn_too() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("odd.csv");
    let far = 253_402_300_799_i64;
    let odd = format!(
        "{HEADER}cpu,0,0.5,\ncpu,90000,0.5,\nmem,0,,5\nmem,{far},,7\nnone,0,,\nonce,3,1,1\nzero,0,0,0\nzero,99999,0,0\n"
    );
    fs::write(&file, odd).unwrap();
    let page = page(&[&file], &dir, &[]);
    assert_eq!(page.matches("<details").count(), 5);
    assert!(!page.contains("NaN") && !page.contains("inf") && page.len() < 200_000, "{}", page.len());
}

#[test]
fn a_page_that_cannot_be_written_is_named() {
    let dir = TempDir::new().unwrap();
    let file = trace(&dir, "t.csv", &["a"]);
    let failed = backtest(&[&file], &dir.path().join("no/such/out.html"), &[]).assert().failure();
    let said = String::from_utf8(failed.get_output().stderr.clone()).unwrap();
    assert!(said.contains("out.html"), "{said}");
}
