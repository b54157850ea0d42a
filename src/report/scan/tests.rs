use serde_json::json;

use super::*;
use crate::testing::{self, container};

fn fixture() -> (Vec<LeanPod>, Vec<PodUsage>) {
    let pod = |name: &str, cpu: &str| {
        testing::pod(name)
            .controlled_by("StatefulSet", "db", "u")
            .containers([container("db").requests(cpu, "1Gi"), container("side")])
            .init_containers([container("once").with("/resources/requests/cpu", "9")])
            .running()
            .object()
    };
    let usage = |name: &str, cpu: &str, memory: &str| {
        serde_json::from_value(json!({
            "metadata": {"name": name, "namespace": "shop"}, "timestamp": "2026-01-01T00:00:00Z", "window": "10s",
            "containers": [{"name": "db", "usage": {"cpu": cpu, "memory": memory}},
                           {"name": "side", "usage": {"cpu": "1000000n", "memory": "nonsense"}}]
        }))
        .unwrap()
    };
    (
        vec![pod("db-0", "500m"), pod("db-1", "500m"), pod("db-2", "500m")],
        vec![usage("db-0", "100m", "512Mi"), usage("db-1", "300m", "256Mi")],
    )
}

#[test]
fn replicas_are_pooled_and_what_is_unknown_stays_unknown() {
    let (pods, usage) = fixture();
    let rows = rows(&pods, &Owners::default(), &usage);
    assert_eq!(rows.len(), 2, "an init container that ends has no row");
    let db = &rows[0];
    assert_eq!((db.pods, db.measured_pods), (3, 2));
    assert_eq!(db.cpu.request, Some(0.5));
    assert!((db.cpu.usage.unwrap() - 0.2).abs() < 1e-9 && (db.cpu.ratio.unwrap() - 0.4).abs() < 1e-9);
    assert_eq!(db.cpu.max_usage, Some(0.3));
    assert!((db.unused_cpu() - 0.6).abs() < 1e-9, "two pods have both figures");
    assert_eq!(db.memory.ratio, Some(0.375));
    let side = &rows[1];
    assert_eq!((side.cpu.request, side.cpu.ratio), (None, None));
    assert_eq!((side.memory.usage, side.memory.max_usage), (None, None), "nonsense is no figure");
}

#[test]
fn the_table_fits_80_columns_for_ordinary_names() {
    let (pods, usage) = fixture();
    let table = table(&rows(&pods, &Owners::default(), &usage));
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 3);
    assert!(lines.iter().all(|line| line.chars().count() <= 80), "{table}");
    assert!(
        lines[1].contains("sts/db")
            && lines[1].contains("500m")
            && lines[1].contains("200m")
            && lines[1].contains(" 40 ")
    );
    assert!(lines[2].contains(" - "));
}

#[test]
fn no_pods_is_said_in_words() {
    assert_eq!(table(&[]), "No pods found.\n");
}
