//! What a pod costs in memory once it is folded into the index. In a process of its own: it is the process that is
//! measured.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says what it found"
)]

use plumb::cluster::Index;
use plumb::cluster::index::Fold;
use plumb::cluster::pods::LeanPod;
use plumb::units::Timestamp;
use serde_json::json;

const PODS: usize = 20_000;
const PER_WORKLOAD: usize = 10;

/// Bytes of memory that this process holds, as Linux counts them.
fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

/// A pod of two containers, as a Deployment makes them.
fn pod(number: usize) -> LeanPod {
    let workload = number / PER_WORKLOAD;
    let container = |name: &str| {
        json!({"name": name, "image": "registry.example.dev/team/service:1.2.3", "resources": {
            "requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}}})
    };
    serde_json::from_value(json!({
        "metadata": {"name": format!("service-{workload}-6d5f7c9b8-{number:05}"), "namespace": format!("team-{}", workload % 50),
            "uid": format!("00000000-0000-4000-8000-{number:012}"),
            "labels": {"app": format!("service-{workload}"), "pod-template-hash": "6d5f7c9b8"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "controller": true,
                "name": format!("service-{workload}-6d5f7c9b8"), "uid": format!("00000000-0000-4000-9000-{workload:012}")}]},
        "spec": {"nodeName": format!("node-{}", number % 100), "containers": [container("app"), container("proxy")]},
        "status": {"phase": "Running", "qosClass": "Burstable", "startTime": "2026-11-23T00:00:00Z"},
    }))
    .unwrap()
}

#[test]
#[cfg_attr(not(target_os = "linux"), ignore = "reads /proc")]
fn a_pod_of_two_containers_takes_less_than_half_a_kilobyte() {
    let now = Timestamp(1_800_000_000);
    let mut index = Index::default();
    // What the allocator and the first pods need is not a pod's cost.
    for number in 0..100 {
        index.apply(pod(number), now);
    }
    let before = resident();
    for number in 0..PODS {
        index.apply(pod(number), now);
    }
    let each = resident().saturating_sub(before) / PODS;
    println!("{each} bytes a pod");
    assert_eq!(index.pods.len(), PODS);
    assert!(each < 512, "{each} bytes a pod");
}
