//! What it costs to decide what 10,000 pods should change to: no API call, no clock.
//!
//! Three cases: nothing to do, everything to do, and everything waiting for something.

#![allow(missing_docs, reason = "criterion's macros write an item")]

use std::hint::black_box;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use plumb::actuate::facts::{Container, Pod, Rules, Workload};
use plumb::actuate::{Settings, Updater};
use plumb::model::Confidence;
use plumb::policy::{Amounts, ContainerSize, LimitRules, Recommendation};
use plumb::units::{Bytes, Cores, Timestamp};

const PODS: u128 = 10_000;
const PER_WORKLOAD: u128 = 5;
const START: i64 = 1_800_000_000;

fn size(milli: u64, mib: u64) -> ContainerSize {
    ContainerSize {
        cpu_request: Some(Cores::from_milli(milli)),
        cpu_limit: None,
        memory_request: Some(Bytes::from_mib(mib)),
        memory_limit: Some(Bytes::from_mib(mib * 2)),
    }
}

fn pod(id: u128) -> Pod {
    let container = |name: &str| Container {
        name: name.into(),
        given: size(200, 256),
        asked: size(200, 256),
        ..Container::default()
    };
    Pod {
        id,
        node: Some(format!("node-{}", id % 200).into()),
        running: true,
        ready: true,
        managed: true,
        stamped: true,
        created: Some(Timestamp(START - 86_400)),
        revision: Some("r1".into()),
        containers: vec![container("app"), container("proxy")],
        ..Pod::default()
    }
}

/// A fleet whose containers should have so much, under rules that are open or closed.
fn fleet(milli: u64, open: bool) -> Vec<Workload> {
    let advice = Recommendation {
        target: size(milli, 256),
        lower: size(milli * 9 / 10, 230),
        upper: size(milli * 11 / 10, 280),
        cpu_hold: None,
        memory_hold: None,
        limits: LimitRules::default(),
        most: Amounts::default(),
        young: false,
        confidence: Confidence::High,
    };
    let rules = Rules { open, ..Rules::default() };
    let workload = |number: u128| Workload {
        key: format!("shop/deployment-{number}").into(),
        advice: vec![("app".into(), advice), ("proxy".into(), advice)],
        given_since: Some(Timestamp(START - 3600)),
        rules,
        pods: (0..PER_WORKLOAD).map(|pod_of| pod(number * PER_WORKLOAD + pod_of)).collect(),
        ..Workload::default()
    };
    (0..PODS / PER_WORKLOAD).map(workload).collect()
}

fn planning(c: &mut Criterion) {
    let calm = Settings {
        paused: false,
        resize_served: true,
        admission_answers: true,
        limits_only_grow: false,
        warming_up: false,
    };
    let cases =
        [("steady", fleet(200, true)), ("all to change", fleet(500, true)), ("held", fleet(500, false))];
    let mut group = c.benchmark_group("plan 10,000 pods");
    group.sample_size(20);
    for (name, fleet) in &cases {
        group.bench_function(*name, |b| {
            b.iter_batched(
                || {
                    // As it is in a process that has run for a while: all pods are known.
                    let mut updater = Updater::new(10.0, 0.5);
                    updater.plan(fleet, &calm, Timestamp(START));
                    updater
                },
                |mut updater| black_box(updater.plan(fleet, &calm, Timestamp(START + 60))),
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, planning);
criterion_main!(benches);
