//! Plays one scene and prints what came of it, and how fast.

use std::time::Instant;

use plumb_core::replay::simulate::scene::{Container, Fault, Usage, Workload};
use plumb_core::replay::simulate::{Options, Scene, run};

#[allow(clippy::print_stdout, reason = "an example that prints")]
fn main() {
    let container = Container { usage: Usage::Daily, ..Container::default() };
    let workload = Workload { containers: vec![container], ..Workload::default() };
    let mut days = 0.0;
    let begin = Instant::now();
    for seed in 0..20 {
        let scene = Scene {
            seed,
            workloads: vec![workload.clone()],
            faults: vec![Fault::Scale { at: 300, workload: 0, replicas: 5 }],
            ..Scene::default()
        };
        let outcome = run(&scene, &Options::default());
        days += outcome.pod_days;
        if seed == 0 {
            println!("{outcome:#?}");
            for v in &outcome.violations {
                println!("{v}");
            }
        }
    }
    let seconds = begin.elapsed().as_secs_f64();
    println!("{days:.0} pod-days in {seconds:.2} s: {:.0} a second", days / seconds);
}
