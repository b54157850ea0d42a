//! The wall between what decides and what acts: pure rooms name no input, output, clock or Kubernetes type, and
//! imports point one way. The rooms and their order are explained in CONTRIBUTING.md.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Each room under src/ or src/core/, and the rooms that it may import. What is not listed here fails the test: a new
/// room states its place first.
const ROOMS: &[(&str, &[&str])] = &[
    ("units", &[]),
    ("model", &["units"]),
    ("policy", &["model", "units"]),
    ("actuate", &["policy", "model", "units"]),
    ("admit", &["policy", "units"]),
    ("replay", &["actuate", "admit", "policy", "model", "units"]),
    ("api", &["units"]),
    ("cluster", &["admit", "api", "units"]),
    ("sources", &["cluster", "api", "units"]),
    ("report", &["sources", "cluster", "api", "replay", "actuate", "policy", "model", "units"]),
    ("export", &["units"]),
    ("import", &["api", "model", "units"]),
    ("clock", &["units"]),
    (
        "control",
        &["clock", "report", "sources", "cluster", "api", "admit", "actuate", "policy", "model", "units"],
    ),
    (
        "cli",
        &[
            "control", "export", "import", "clock", "report", "sources", "cluster", "api", "replay", "admit",
            "actuate", "policy", "model", "units",
        ],
    ),
    // For tests only: no other room may import it but in its own tests.
    ("testing", &["control", "sources", "cluster", "api", "actuate", "policy", "model", "units"]),
];

/// Rooms that compute only: the crate plumb-core, in src/core.
const PURE: &[&str] = &["units", "model", "policy", "actuate", "admit", "replay", "export"];

/// What a pure room may not name, and what that would let in.
const FORBIDDEN: &[(&str, &str)] = &[
    ("kube::", "Kubernetes"),
    ("k8s_openapi", "Kubernetes"),
    ("tokio", "a runtime"),
    ("async ", "a runtime"),
    (".await", "a runtime"),
    ("reqwest", "the network"),
    ("axum", "the network"),
    ("std::net", "the network"),
    ("std::fs", "files"),
    ("std::env", "the environment"),
    ("std::process", "processes"),
    ("SystemTime", "a clock"),
    ("Instant::now", "a clock"),
    ("Utc::now", "a clock"),
    ("Local::now", "a clock"),
    ("tracing::", "logging"),
    ("println!", "printing"),
    ("thread_rng", "chance that no seed repeats"),
    ("rand::rng", "chance that no seed repeats"),
];

/// Crates that may stand in the manifest of the pure core: they compute, or parse bytes that they are given.
const CORE_DEPENDENCIES: &[&str] =
    &["chrono", "csv", "flate2", "granit-parser", "rayon", "serde", "serde_json", "statrs", "thiserror"];

/// The one place in a pure room that reads files: traces come from nowhere else.
const READS_FILES: &[&str] = &["replay/trace.rs", "replay/trace/open.rs"];

/// (room, path below src/ or src/core/, text without comments), of all code that ships.
fn sources() -> Vec<(String, String, String)> {
    fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push(path);
            }
        }
    }
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    walk(&src, &mut files);
    files
        .into_iter()
        .filter_map(|path| {
            let below = path.strip_prefix(&src).unwrap().to_string_lossy().into_owned();
            let in_core = below.starts_with("core/");
            if below.starts_with("core/examples/") {
                return None;
            }
            let below = below.strip_prefix("core/").unwrap_or(&below).to_owned();
            let room = below.split(['/', '.']).next().unwrap().to_owned();
            let is_test = below.ends_with("tests.rs") || below.contains("/tests/");
            let in_either = ["lib", "testing"].contains(&room.as_str());
            assert!(
                in_either || in_core == PURE.contains(&room.as_str()),
                "src/core: pure rooms only: {below}"
            );
            (!is_test && room != "lib" && room != "main")
                .then(|| (room, below, code(&fs::read_to_string(&path).unwrap())))
        })
        .collect()
}

/// The text without comments, and without test modules at its end.
fn code(text: &str) -> String {
    let shipped = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or(text);
    shipped.lines().map(|line| line.split("//").next().unwrap_or("")).collect::<Vec<_>>().join("\n")
}

#[test]
fn pure_rooms_stay_pure() {
    let mut broken = Vec::new();
    for (room, path, text) in sources() {
        if !PURE.contains(&room.as_str()) {
            continue;
        }
        for (name, lets_in) in FORBIDDEN {
            let excused = *lets_in == "files" && READS_FILES.contains(&path.as_str());
            if text.contains(name) && !excused {
                broken.push(format!("src/{path} names {name}, which lets in {lets_in}"));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn the_core_depends_on_what_computes() {
    let manifest =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/core/Cargo.toml")).unwrap();
    let dependencies = manifest.split("[dependencies]").nth(1).unwrap().split("\n[").next().unwrap();
    let name = |line: &str| line.split(['.', ' ', '=']).next().unwrap().to_owned();
    let others: Vec<_> = dependencies
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(name)
        .filter(|name| !CORE_DEPENDENCIES.contains(&name.as_str()))
        .collect();
    assert!(others.is_empty(), "src/core/Cargo.toml names {others:?}");
}

#[test]
fn imports_point_one_way() {
    let allowed: BTreeMap<&str, &[&str]> = ROOMS.iter().copied().collect();
    let mut broken = Vec::new();
    for (room, path, text) in sources() {
        let Some(may_import) = allowed.get(room.as_str()) else {
            broken.push(format!("src/{path}: room {room} has no place in tests/architecture.rs yet"));
            continue;
        };
        for after in text.split("crate::").skip(1) {
            let imported: String = after.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            let is_room = allowed.contains_key(imported.as_str());
            if is_room && imported != room && !may_import.contains(&imported.as_str()) {
                broken.push(format!("src/{path} imports {imported}, against the direction"));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn files_are_of_a_size_that_one_reads_in_a_sitting() {
    let long: Vec<_> = sources()
        .into_iter()
        .filter(|(_, _, text)| text.lines().count() > 500)
        .map(|(_, path, _)| path)
        .collect();
    assert!(long.is_empty(), "over 500 lines: {long:?}");
}

/// What logs hold is read by people: the Debug form of a type of ours tells them its fields, not what happened.
#[test]
fn logs_have_no_debug_format() {
    let mut broken = Vec::new();
    for (_, path, text) in sources() {
        for call in text.split("tracing::").skip(1) {
            let Some(arguments) = call.split_once("!(").map(|(_, rest)| rest) else { continue };
            let statement = arguments.split(");").next().unwrap_or_default();
            let shorthand = |argument: &str| {
                let value = argument.trim().split('=').next_back().unwrap_or_default().trim();
                value.starts_with('?')
            };
            if statement.split(',').any(shorthand) || statement.contains(":?}") {
                broken.push(format!("{path}: {}", statement.trim()));
            }
        }
    }
    assert!(broken.is_empty(), "Debug format in logs: {broken:#?}");
}
