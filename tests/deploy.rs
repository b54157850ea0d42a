//! What is shipped beside the program knows the program: versions, metrics, who it runs as. That the chart is sound is
//! tried on a real API server, by tests/cluster/chart.rs.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

fn file(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// Names that begin with `plumb_`, in expressions; of a histogram its own name.
fn metrics(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let names = words.filter(|word| word.starts_with("plumb_"));
    names.map(|name| name.strip_suffix("_bucket").unwrap_or(name).to_owned()).collect()
}

#[test]
fn alerts_and_dashboard_ask_for_metrics_that_are_there() {
    let known = metrics(&file("docs/metrics.md"));
    assert!(known.len() > 20, "{known:?}");
    for name in ["alerts.yaml", "dashboard.json"] {
        let asked = metrics(&file(&format!("deploy/helm/plumb/files/{name}")));
        assert!(asked.len() > 5, "{asked:?}");
        let unknown: Vec<_> = asked.difference(&known).collect();
        assert!(unknown.is_empty(), "{name} asks for {unknown:?}");
    }
}

#[test]
fn the_dashboard_can_be_read() {
    let dashboard: serde_json::Value =
        serde_json::from_str(&file("deploy/helm/plumb/files/dashboard.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    assert!(panels.len() > 10);
    for panel in panels {
        assert!(!panel["title"].as_str().unwrap().is_empty() && panel["targets"][0]["expr"].is_string());
    }
}

#[test]
fn the_chart_is_of_this_version() {
    let chart: serde_json::Value = serde_saphyr::from_str(&file("deploy/helm/plumb/Chart.yaml")).unwrap();
    assert_eq!(chart["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(chart["appVersion"], env!("CARGO_PKG_VERSION"));
}

/// The recipe and the script make the same image: same entrypoint, same user; and the chart runs it as that user.
#[test]
fn both_ways_to_the_image_lead_to_the_same() {
    let recipe = file("deploy/Containerfile");
    assert!(recipe.contains("\nUSER 65532:65532\n") && recipe.contains("\nENTRYPOINT [\"/plumb\"]\n"));
    assert!(
        recipe.contains(&format!("/rust:{}-", env!("CARGO_PKG_RUST_VERSION"))),
        "another Rust than Cargo.toml's"
    );
    assert!(file("Makefile").contains("deploy/image.sh --user 65532 --certificates target/release/plumb"));
    let chart = file("deploy/helm/plumb/templates/deployments.yaml");
    for said in ["runAsUser: 65532", "runAsNonRoot: true", "readOnlyRootFilesystem: true"] {
        assert!(chart.contains(said), "{said}");
    }
}
