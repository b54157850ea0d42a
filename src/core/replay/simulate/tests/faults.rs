//! Scenes in which the simulator found a fault of plumb, shrunk.

use crate::replay::simulate::scene::*;
use crate::replay::simulate::{Options, run};
#[test]
fn dbg_oom() {
    let scene = Scene {
        seed: 29,
        hours: 4,
        workloads: vec![Workload {
            kind: Kind::StatefulSet,
            replicas: 2,
            containers: vec![Container {
                milli: 1560,
                limit_milli: Some(1560),
                mib: 518,
                limit_mib: Some(518),
                usage: Usage::Batch,
                busy_milli: 780,
                full_mib: 259,
                ..Container::default()
            }],
            ..Workload::default()
        }],
        ..Scene::default()
    };
    for l in run(&scene, &Options::default()).log.iter().take(130) {
        println!("{l}");
    }
}
