//! What goes wrong is one clear line that says what to do, and an exit code that is not 0: never a panic or a backtrace.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::thread;

use assert_cmd::Command;

/// `plumb` in a world without any cluster.
fn plumb(home: &Path) -> Command {
    let mut command = assert_cmd::cargo::cargo_bin_cmd!("plumb");
    command.env_clear().env("HOME", home).env("RUST_BACKTRACE", "1");
    command
}

/// Runs it, expects failure with one line on stderr and nothing on stdout, and returns that line.
fn fails(command: &mut Command, args: &[&str]) -> String {
    let output =
        command.args(args).timeout(std::time::Duration::from_secs(60)).assert().code(1).get_output().clone();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(stderr.lines().count(), 1, "more than a line: {stderr}");
    assert!(stderr.starts_with("plumb: ") && !stderr.contains("panicked"), "{stderr}");
    assert!(output.stdout.is_empty());
    stderr
}

fn kubeconfig(dir: &Path, server: &str) -> String {
    let path = dir.join("kubeconfig");
    let text = format!(
        "apiVersion: v1\nkind: Config\nclusters: [{{name: c, cluster: {{server: {server:?}}}}}]\n\
         contexts: [{{name: c, context: {{cluster: c, user: u}}}}]\nusers: [{{name: u, user: {{}}}}]\ncurrent-context: c\n"
    );
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn no_kubeconfig() {
    let home = tempfile::tempdir().unwrap();
    let line = fails(&mut plumb(home.path()), &["scan"]);
    assert!(line.contains("no cluster to talk to") && line.contains("set KUBECONFIG"), "{line}");
    let line = fails(plumb(home.path()).env("KUBECONFIG", "/no/such/file"), &["scan"]);
    assert!(line.contains("KUBECONFIG names /no/such/file"), "{line}");
    let line = fails(&mut plumb(home.path()), &["scan", "--kubeconfig", "/no/such/file"]);
    assert!(line.contains("/no/such/file cannot be read"), "{line}");
}

#[test]
fn a_kubeconfig_that_is_none() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("kubeconfig");
    fs::write(&path, "{{{").unwrap();
    let path = path.to_str().unwrap();
    let line = fails(&mut plumb(home.path()), &["scan", "--kubeconfig", path]);
    assert!(line.contains("line 1") && line.contains("kubectl config view"), "{line}");
    let path = kubeconfig(home.path(), "http://127.0.0.1:1");
    let line = fails(&mut plumb(home.path()), &["scan", "--kubeconfig", &path, "--context", "nowhere"]);
    assert!(line.contains("nowhere"), "{line}");
}

#[test]
fn a_server_that_nobody_reaches() {
    let home = tempfile::tempdir().unwrap();
    // Bound and closed again: a port on which nothing listens.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let path = kubeconfig(home.path(), &format!("http://127.0.0.1:{port}"));
    let line = fails(&mut plumb(home.path()), &["scan", "--kubeconfig", &path]);
    assert!(line.contains(&format!("cannot reach the API server at http://127.0.0.1:{port}")), "{line}");
    assert!(line.contains("Connection refused") && line.contains("check that it runs"), "{line}");
}

#[test]
fn a_server_that_is_no_api_server() {
    let home = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    // Serves until the test's process ends.
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut request = [0; 4096];
            drop(stream.read(&mut request));
            drop(stream.write_all(
                b"HTTP/1.1 200 OK\r\nContent-Length: 14\r\nConnection: close\r\n\r\n<html>\n</html>",
            ));
        }
    });
    let path = kubeconfig(home.path(), &format!("http://127.0.0.1:{port}"));
    let line = fails(&mut plumb(home.path()), &["scan", "--kubeconfig", &path]);
    assert!(line.contains("failed to list"), "{line}");
    let url = format!("http://127.0.0.1:{port}");
    let out = home.path().join("t.csv");
    let line =
        fails(&mut plumb(home.path()), &["record", "--prometheus", &url, "--out", out.to_str().unwrap()]);
    assert!(
        line.contains("Prometheus at http://127.0.0.1") && line.contains("with something else"),
        "{line}"
    );
}

#[test]
fn wrong_flags_are_exit_code_2_and_no_verb_shows_help() {
    let home = tempfile::tempdir().unwrap();
    plumb(home.path()).args(["scan", "-o", "nonsense"]).assert().code(2);
    plumb(home.path()).args(["frobnicate"]).assert().code(2);
    let help = plumb(home.path()).assert().code(2).get_output().stderr.clone();
    assert!(String::from_utf8(help).unwrap().contains("scan"));
}

#[test]
fn a_reader_that_stops_reading_is_no_failure() {
    let script = format!("{} crds | head -n 1", env!("CARGO_BIN_EXE_plumb"));
    let output =
        Command::new("bash").args(["-o", "pipefail", "-c", &script]).assert().success().get_output().clone();
    assert_eq!((String::from_utf8(output.stdout).unwrap().as_str(), output.stderr.len()), ("---\n", 0));
}
