//! The custom resource definitions in crds/ are those of the types in src/api.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

#[test]
fn crds_folder_is_up_to_date() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("crds");
    let fresh = tempfile::tempdir().unwrap();
    assert_cmd::cargo::cargo_bin_cmd!("plumb").arg("crds").arg("--out").arg(fresh.path()).assert().success();
    let names = |dir: &Path| {
        let mut names: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    assert_eq!(names(&folder), names(fresh.path()), "run `plumb crds --out crds`");
    for name in names(&folder) {
        let (kept, made) =
            (fs::read_to_string(folder.join(&name)), fs::read_to_string(fresh.path().join(&name)));
        assert_eq!(kept.unwrap(), made.unwrap(), "crds/{name:?} is out of date: run `plumb crds --out crds`");
    }
}

#[test]
fn printed_as_one_stream_of_documents() {
    let output = assert_cmd::cargo::cargo_bin_cmd!("plumb").arg("crds").assert().success();
    let text = String::from_utf8(output.get_output().stdout.clone()).unwrap();
    assert_eq!(text.matches("\nkind: CustomResourceDefinition\n").count(), 3);
    assert_eq!(text.matches("---\n").count(), 3);
}
