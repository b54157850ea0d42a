//! What much costs: it is looked at once, and what was killed does not wait for the rest.

use std::time::{Duration, Instant};

use super::*;

const JOBS: usize = 20_000;

/// Of the runs of one CronJob, each was killed for its memory and left its pod.
#[test]
fn ended_jobs_cost_no_square() {
    let mut place = Place::new();
    place.policy(json!({}));
    place.add::<Slim<CronJob>>(object("CronJob", "nightly").uid("c"));
    for number in 0..JOBS {
        let (name, uid) = (format!("nightly-{number}"), format!("j{number}"));
        let job = object("Job", &name).uid(&uid).controlled_by("CronJob", "nightly", "c");
        place.add::<Slim<Job>>(job);
        place.add::<LeanPod>(killed(&format!("{name}-x")).controlled_by("Job", &name, &uid));
    }
    let begin = Instant::now();
    assert_eq!(place.plan().workloads.len(), 1);
    // Half a minute in a debug build where each was compared with each.
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
}

/// Between their runs nothing stands behind the Recommendations of CronJobs but themselves.
#[test]
fn workloads_at_rest_cost_no_square() {
    let mut place = Place::new();
    place.policy(json!({}));
    for number in 0..JOBS / 4 {
        let name = format!("nightly-{number}");
        place.add::<Slim<CronJob>>(object("CronJob", &name).uid(&name));
        let said = testing::recommendation(&name).named(&format!("cronjob-{name}"));
        place.add::<Guarded>(said.for_workload("CronJob", &name));
    }
    let begin = Instant::now();
    let plan = place.plan();
    assert_eq!((plan.standing.len(), plan.removals.len()), (JOBS / 4, 0));
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
}

#[test]
fn what_was_killed_is_planned_alone_and_as_with_all_others() {
    let mut place = Place::new();
    place.policy(json!({}));
    let mut keys = Vec::new();
    for name in ["a", "b"] {
        place.add::<Slim<Deployment>>(testing::deployment(name).uid(name));
        let set = object("ReplicaSet", name).uid(&format!("{name}s"));
        place.add::<Slim<ReplicaSet>>(set.controlled_by("Deployment", name, name));
        let app = container("app").requests("500m", "64Mi").memory_limit("64Mi");
        let pod = testing::pod(&format!("{name}-1")).uid(&format!("{name}1"));
        let pod = pod.controlled_by("ReplicaSet", name, &format!("{name}s")).containers([app]);
        place.add::<LeanPod>(pod.running());
        keys.push(testing::workload(name).key());
    }
    place.use_for(2, "100m", "50Mi");
    let first = place.plan();
    place.write(&first);
    assert!(place.plan().writes.is_empty());
    for key in &keys {
        let told = Told { pod: "x", at: NOW, limit: Some(Bytes::from_mib(64)), id: 7, lived: None };
        assert!(place.book.kill(&SeriesKey { workload: key.clone(), container: "app".into() }, &told));
    }
    let common = Common { prices: &place.prices, source_error: None, resizes: true, now: NOW };
    let some = HashSet::from([keys[0].clone()]);
    let partly = plan_some(&place.index, &mut place.book, &common, &some);
    let names: Vec<_> = partly.writes.keys().map(|key| &*key.name).collect();
    assert_eq!(names, ["deployment-a"]);
    assert!(partly.removals.is_empty() && partly.policies.is_empty());
    // The other one is not forgotten, and this one comes to the same.
    let whole = place.plan();
    assert_eq!(whole.writes.len(), 2);
    let of = |plan: &Plan| {
        let (_, write) = plan.writes.iter().find(|(key, _)| &*key.name == "deployment-a").unwrap();
        write.fingerprints
    };
    assert_eq!(of(&partly), of(&whole));
}
