//! `plumb export` as it is run in a repository: files in, files out, exit codes; what comes out is kept under tests/golden.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use tempfile::TempDir;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/export").join(name)
}

/// A copy of the repository that is exported into.
fn repository() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(golden("before")).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), dir.path().join(entry.file_name())).unwrap();
    }
    dir
}

fn export(dir: &Path, more: &[&str]) -> assert_cmd::assert::Assert {
    let mut command: Command = assert_cmd::cargo::cargo_bin_cmd!("plumb");
    let recommendations = golden("recommendations.yaml");
    command
        .current_dir(dir)
        .env_clear()
        .args(["export", "-f", recommendations.to_str().unwrap()])
        .args(more)
        .assert()
}

fn said(assert: &assert_cmd::assert::Assert) -> (String, String) {
    let output = assert.get_output();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_repository_is_edited_as_kept() {
    let dir = repository();
    let done = export(dir.path(), &["."]).success();
    let (table, notes) = said(&done);
    for line in ["./web.yaml:19", "Deployment shop/web", "cpu request", "2", "180m"] {
        assert!(table.contains(line), "{line} is not in\n{table}");
    }
    assert!(notes.contains("history.learn: 1 of"), "{notes}");
    for entry in fs::read_dir(golden("after")).unwrap() {
        let entry = entry.unwrap();
        let made = fs::read_to_string(dir.path().join(entry.file_name())).unwrap();
        assert_eq!(made, fs::read_to_string(entry.path()).unwrap(), "{:?}", entry.file_name());
    }
    // Once more changes nothing, and the check is content.
    let again = export(dir.path(), &["--check", "."]).success();
    assert_eq!(said(&again).0, "");
}

#[test]
fn a_check_writes_nothing_and_fails_on_drift() {
    let dir = repository();
    let done = export(dir.path(), &["--check", "-o", "json", "web.yaml"]).code(1);
    let (json, error) = said(&done);
    let rows: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(rows[0]["file"], "web.yaml");
    assert_eq!(rows[0]["what"], "cpu request");
    assert!(error.contains("past the band"), "{error}");
    let untouched = fs::read_to_string(golden("before/web.yaml")).unwrap();
    assert_eq!(fs::read_to_string(dir.path().join("web.yaml")).unwrap(), untouched);
}

#[test]
fn what_cannot_be_read_is_named_and_the_rest_is_done() {
    let dir = repository();
    fs::write(dir.path().join("broken.yaml"), "kind: Deployment\nspec: [1, 2\nmore: 3\n").unwrap();
    let done = export(dir.path(), &["."]).code(1);
    let (table, error) = said(&done);
    assert!(error.contains("broken.yaml:") && error.contains("left as it is"), "{error}");
    assert!(table.contains("web.yaml"), "{table}");
    let gone = export(dir.path(), &["nothing.yaml"]).code(1);
    assert!(said(&gone).1.contains("cannot read nothing.yaml"));
    export(dir.path(), &[]).code(2);
}

#[test]
fn patches_are_made_and_then_kept() {
    let dir = repository();
    let done = export(dir.path(), &["--patches", "sizes"]).success();
    assert!(said(&done).1.contains("kustomization.yaml"));
    let path = dir.path().join("sizes/shop_deployment_web.yaml");
    let patch = fs::read_to_string(&path).unwrap();
    assert_eq!(patch, fs::read_to_string(golden("patch.yaml")).unwrap());
    let edited = patch.replace("cpu: 180m", "cpu: \"3\" # ours");
    fs::write(&path, edited).unwrap();
    export(dir.path(), &["--patches", "sizes", "--check"]).code(1);
    export(dir.path(), &["--patches", "sizes"]).success();
    let kept = fs::read_to_string(&path).unwrap();
    assert!(kept.contains("cpu: \"180m\" # ours"), "{kept}");
}
