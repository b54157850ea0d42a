//! A cluster that rolls its pods all day: what is gone is forgotten, by all that the recommender and the updater know. In a
//! process of its own: it is the process that is measured.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says what it found"
)]

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use plumb::actuate::{Settings, Updater, facts};
use plumb::cluster::Index;
use plumb::cluster::index::Fold;
use plumb::cluster::pods::LeanPod;
use plumb::cluster::slim::{Guarded, Slim};
use plumb::control::book::{Book, Taken};
use plumb::control::compose::Common;
use plumb::control::kills::Told;
use plumb::control::plan;
use plumb::report::prices::Prices;
use plumb::testing::{Builder, container, deployment, kind, object, pod, policy};
use plumb::units::{Bytes, Timestamp};
use serde_json::json;

/// Pods, of which all are replaced in each round.
const PODS: usize = 100;
const PER_WORKLOAD: usize = 5;
/// Seconds between two rounds.
const ROUND: i64 = 30;
const START: i64 = 1_800_000_000;
const HOUR: i64 = 3600;

/// Bytes of memory that this process holds, as Linux counts them.
fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

/// What one process knows that recommends and resizes.
struct World {
    index: Index,
    book: Book,
    updater: Updater,
}

impl World {
    fn new() -> Self {
        let mut world =
            Self { index: Index::default(), book: Book::default(), updater: Updater::new(10.0, 0.5) };
        world.put::<_, kube::core::DeserializeGuard<plumb::api::VerticalScalingPolicy>>(
            policy("all").auto(),
            START,
        );
        for number in 0..PODS / PER_WORKLOAD {
            let name = format!("web-{number}");
            world.put::<_, Slim<Deployment>>(deployment(&name).uid(&name), START);
        }
        world
    }

    fn put<B, T: serde::de::DeserializeOwned>(&mut self, object: Builder<B>, now: i64)
    where
        Index: Fold<T>,
    {
        self.index.apply(object.object::<T>(), Timestamp(now));
    }

    /// Each workload is released anew, and its pods are replaced; some were killed for their memory before.
    fn roll(&mut self, round: i64, now: i64) {
        for number in 0..PODS / PER_WORKLOAD {
            let (name, old) = (format!("web-{number}"), replica_set(number, round - 1));
            let new = replica_set(number, round);
            self.put::<_, Slim<ReplicaSet>>(new.controlled_by("Deployment", &name, &name), now);
            for place in 0..PER_WORKLOAD {
                if round > 0 {
                    let gone = web(number, place, round - 1);
                    if place == 0 && round % 20 == 0 {
                        self.kill(number, gone_with(&gone, now), now);
                    }
                    self.index.delete(gone.object::<LeanPod>(), Timestamp(now));
                }
                self.put::<_, LeanPod>(web(number, place, round), now);
            }
            if round > 0 {
                self.index.delete(old.object::<Slim<ReplicaSet>>(), Timestamp(now));
            }
        }
    }

    fn kill(&mut self, number: usize, pod: LeanPod, now: i64) {
        for event in self.index.apply(pod, Timestamp(now)) {
            let key = plumb::testing::workload(&format!("web-{number}")).series("app");
            let limit = Some(Bytes::from_mib(64));
            let told = Told { pod: &event.pod.name, at: event.at, limit, id: event.id, lived: None };
            self.book.kill(&key, &told);
        }
    }

    /// Usage in, recommendations out, and what the updater makes of them.
    fn work(&mut self, prices: &Prices, now: i64) {
        let at = Timestamp(now);
        let time = chrono::DateTime::from_timestamp(now, 0).unwrap().to_rfc3339();
        let mut fleet = Vec::new();
        for (key, workload) in &self.index.workloads().workloads {
            let mut pods = Vec::new();
            for (name, pod) in &workload.pods {
                let usage = json!({"metadata": {"namespace": &*name.namespace, "name": &*name.name},
                    "timestamp": time, "window": "30s",
                    "containers": [{"name": "app", "usage": {"cpu": "100m", "memory": "50Mi"}}]});
                let usage = serde_json::from_value(usage).unwrap();
                self.book.take(key, pod, None, &usage, at, &mut Taken::default());
                let id = pod.uid.number();
                pods.push(facts::Pod {
                    id,
                    running: true,
                    ready: true,
                    created: Some(at),
                    ..facts::Pod::default()
                });
            }
            let key = key.to_string().into();
            fleet.push(facts::Workload { key, pods, ..facts::Workload::default() });
        }
        self.book.settle(at);
        let common = Common { prices, source_error: None, resizes: true, now: at };
        let plan = plan::plan(&self.index, &mut self.book, &common);
        assert_eq!(plan.workloads.len(), PODS / PER_WORKLOAD);
        for (key, write) in &plan.writes {
            let mut object = plumb::api::Recommendation::new(&key.name, write.spec.clone());
            object.metadata.namespace = Some(key.namespace.to_string());
            object.status = Some(write.status.clone());
            self.index.apply(serde_json::from_value::<Guarded>(json!(object)).unwrap(), at);
        }
        let calm = Settings {
            paused: false,
            resize_served: true,
            admission_answers: true,
            limits_only_grow: false,
            warming_up: false,
        };
        self.updater.plan(&fleet, &calm, at);
    }

    /// As the loops do each hour.
    fn forget(&mut self, now: i64) {
        self.index.forget(Timestamp(now));
        self.book.forget(Timestamp(now - 14 * 24 * HOUR), self.index.pods.iter());
    }
}

fn replica_set(number: usize, round: i64) -> Builder<kind::Other> {
    let name = format!("web-{number}-{round}");
    object("ReplicaSet", &name).uid(&name)
}

fn web(number: usize, place: usize, round: i64) -> Builder<kind::Pod> {
    let set = format!("web-{number}-{round}");
    let app = container("app").requests("500m", "64Mi").memory_limit("64Mi");
    let name = format!("{set}-{place}");
    pod(&name).uid(&name).controlled_by("ReplicaSet", &set, &set).containers([app]).running()
}

/// The same once its container was killed.
fn gone_with(pod: &Builder<kind::Pod>, now: i64) -> LeanPod {
    let at = |seconds: i64| chrono::DateTime::from_timestamp(now - seconds, 0).unwrap().to_rfc3339();
    let killed = json!({"terminated": {"reason": "OOMKilled", "startedAt": at(20), "finishedAt": at(1),
        "containerID": format!("containerd://{now}")}});
    let statuses = json!([{"name": "app", "restartCount": 1, "state": {"running": {}}, "lastState": killed}]);
    pod.clone().with("/status/containerStatuses", statuses).object()
}

#[test]
#[cfg_attr(not(target_os = "linux"), ignore = "reads /proc")]
fn a_day_of_rollouts_takes_no_more_memory_than_its_first_hours() {
    let prices = Prices { core_hour: 0.03, gib_hour: 0.004 };
    let mut world = World::new();
    let mut early = 0;
    for round in 0..24 * HOUR / ROUND {
        let now = START + round * ROUND;
        world.roll(round, now);
        world.work(&prices, now);
        if round % (HOUR / ROUND) == 0 {
            world.forget(now);
        }
        // What is remembered for an hour, and the tables that hold it, have their size by then.
        if round == 8 * HOUR / ROUND {
            early = resident();
        }
    }
    let late = resident();
    println!("{} KiB after eight hours, {} KiB after a day", early / 1024, late / 1024);
    assert!(late * 100 <= early * 102, "{early} B after eight hours, {late} B after a day");
}
