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

/// Each right that is shipped has its row in docs/security.md, and each row its right.
#[test]
fn the_rights_are_those_that_are_documented() {
    let (shipped, page) = (file("deploy/plumb.yaml"), file("docs/security.md"));
    let mut rules = 0;
    for role in ["recommender", "updater", "webhook"] {
        let start = page.find(&format!("\n### {role}\n")).unwrap();
        let section = page[start + 4..].split("\n### ").next().unwrap();
        let name = format!("\n  name: plumb-{role}\n");
        for document in shipped.split("\n---\n").filter(|document| document.contains(&name)) {
            if !document.contains("kind: ClusterRole\n") && !document.contains("kind: Role\n") {
                continue;
            }
            let object: serde_json::Value = serde_saphyr::from_str(document).unwrap();
            for rule in object["rules"].as_array().unwrap() {
                let words = |field: &str| {
                    let all = rule[field].as_array().unwrap().iter();
                    all.map(|word| word.as_str().unwrap()).collect::<Vec<_>>().join(", ")
                };
                let group = if words("apiGroups") == "metrics.k8s.io" { " (metrics.k8s.io)" } else { "" };
                let row = format!("\n| {}{group} | {} | ", words("resources"), words("verbs"));
                assert!(section.contains(&row), "{role}: no row{row}");
                rules += 1;
            }
        }
    }
    let rights = page.split("\n## Rights\n").nth(1).unwrap().split("\n### People\n").next().unwrap();
    // A right that is off unless it is asked for is not among those that are shipped.
    let is_off = |line: &str| line.contains("only with the chart's");
    let is_row = |line: &&str| {
        line.starts_with("| ")
            && !line.contains("resources | verbs")
            && !line.starts_with("| ---")
            && !is_off(line)
    };
    assert_eq!(rights.lines().filter(is_row).count(), rules);
}

/// What the README quotes of the worked example is in it, as a run of the test has written it.
#[test]
fn the_readme_quotes_the_worked_example() {
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let (readme, example) = (file("README.md"), words(&file("docs/worked-example.md")));
    let starts = ["| CPU request ", "| memory request ", "| memory limit "];
    let quoted: Vec<&str> =
        readme.lines().filter(|line| starts.iter().any(|start| line.starts_with(start))).collect();
    assert_eq!(quoted.len(), starts.len(), "{quoted:?}");
    for line in quoted {
        let said = line.split('|').nth(1).unwrap().trim();
        assert!(example.contains(&words(said)), "{said:?} is not in docs/worked-example.md");
    }
}
