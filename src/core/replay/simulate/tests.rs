//! Tests of the simulator, and of plumb in it.

use super::scene::{Container, Scene, Usage, Workload};
use super::{Options, run};

fn simple(seed: u64) -> Scene {
    let container = Container { usage: Usage::Daily, ..Container::default() };
    let workload = Workload { containers: vec![container], ..Workload::default() };
    Scene { seed, workloads: vec![workload], ..Scene::default() }
}

#[test]
fn one_seed_gives_one_log() {
    let scene = simple(1);
    let (first, second) = (run(&scene, &Options::default()), run(&scene, &Options::default()));
    assert_eq!(first, second);
    assert!(first.changes > 0 && first.pod_days > 2.9, "{first:?}");
    assert_ne!(first.log_hash, run(&simple(2), &Options::default()).log_hash);
}
