use serde_json::json;

use super::past::GAP_SECONDS;
use super::*;
use crate::cluster::Index;
use crate::cluster::index::{Fold, NodeFacts};
use crate::cluster::pods::LeanPod;
use crate::model::Refused;
use crate::sources::prometheus::history::Piece;
use crate::sources::{Sample, Source};
use crate::testing::{NOW, container, container_name, pod, workload};
use crate::units::Cores;

const DAY: i64 = 86_400;

fn key() -> SeriesKey {
    workload("web").series("app")
}

fn facts(status: &serde_json::Value) -> PodFacts {
    let pod = pod("web-1").uid("u1").containers([container("app"), container("side")]);
    let mut index = Index::default();
    index.apply(pod.status(status.clone()).object::<LeanPod>(), NOW);
    index.pods.iter().next().unwrap().1.clone()
}

fn sample(at: Timestamp, cpu: f64) -> Sample {
    Sample {
        at,
        cpu: Some(Cores(cpu)),
        memory: Some(Bytes::from_mib(100)),
        window: None,
        stalled: None,
        memory_stalled: 0.0,
    }
}

fn take(book: &mut Book, pod: &PodFacts, sample: &Sample, source: Source) -> Taken {
    let (key, mut taken) = (key(), Taken::default());
    book.take_sample((&key.workload, "app"), (pod, None), sample, source, NOW, &mut taken);
    taken
}

fn learned(book: &Book) -> Option<Timestamp> {
    book.known(&key()).and_then(|known| known.series.learned_to())
}

fn samples(book: &Book) -> u32 {
    book.known(&key()).map_or(0, |known| known.series.samples())
}

#[test]
fn a_sample_counts_once_and_prometheus_wins() {
    let (mut book, pod) = (Book::default(), facts(&json!({})));
    let mut takes =
        |seconds: i64, source| take(&mut book, &pod, &sample(NOW.plus(seconds - 1000), 0.1), source).samples;
    assert_eq!(takes(0, Source::MetricsApi), 2);
    assert_eq!(takes(0, Source::MetricsApi), 0, "seen");
    assert_eq!(takes(10, Source::Prometheus), 2);
    assert_eq!(takes(10, Source::Prometheus), 0, "not scraped anew");
    assert_eq!(takes(30, Source::MetricsApi), 0, "Prometheus has it");
    assert_eq!(takes(159, Source::MetricsApi), 0, "Prometheus may miss a scrape");
    assert_eq!(takes(160, Source::MetricsApi), 2, "Prometheus is away");
    assert_eq!(takes(155, Source::Prometheus), 2, "and comes back");
    assert_eq!(takes(400, Source::Prometheus), 2);
}

#[test]
fn containers_of_a_pod_are_measured_at_times_of_their_own() {
    let (mut book, pod) = (Book::default(), facts(&json!({})));
    let (key, mut taken) = (key(), Taken::default());
    for (container, at) in [("app", 0), ("side", 9), ("app", 8), ("side", 17), ("init", 20)] {
        let sample = sample(NOW.plus(at - 100), 0.1);
        let on = (&pod, None);
        book.take_sample((&key.workload, container), on, &sample, Source::Prometheus, NOW, &mut taken);
    }
    assert_eq!((taken.samples, taken.known), (8, 0));
}

#[test]
fn a_clock_that_is_set_back_costs_nothing_but_the_time_until_it_is_right() {
    let (mut book, pod) = (Book::default(), facts(&json!({})));
    take(&mut book, &pod, &sample(NOW.plus(-60), 0.1), Source::MetricsApi);
    let (key, mut taken) = (key(), Taken::default());
    let early = NOW.plus(-7200);
    let on = (&pod, None);
    book.take_sample((&key.workload, "app"), on, &sample(NOW, 0.1), Source::MetricsApi, early, &mut taken);
    assert_eq!(taken.refused.get("in the future"), Some(&1));
    assert!(book.missing(early, DAY).is_some_and(|request| request.from < early));
    book.forget(early.plus(-DAY), std::iter::empty());
    assert_eq!(samples(&book), 2);
    assert_eq!(take(&mut book, &pod, &sample(NOW, 0.1), Source::MetricsApi).samples, 2);
}

#[test]
fn a_container_that_was_started_again_starts_up_again() {
    let again = json!({"startTime": "2026-11-01T00:00:00Z", "containerStatuses": [{"name": "app", "restartCount": 1,
        "state": {"running": {"startedAt": "2027-01-15T07:59:00Z"}}}]});
    let (mut book, pod) = (Book::default(), facts(&again));
    assert_eq!(pod.container_started(0), Some(NOW.plus(-60)));
    assert_eq!(pod.container_started(1), Some(Timestamp(1_793_491_200)));
    let mut id = None;
    for step in 0..30 {
        take(&mut book, &pod, &sample(NOW.plus(-7200 + step * 240), 0.1), Source::MetricsApi);
        id = book.id(&key());
    }
    assert_eq!(take(&mut book, &pod, &sample(NOW, 3.0), Source::MetricsApi).samples, 2);
    let series = book.fleet.get(id.unwrap()).unwrap();
    assert!(series.startup().cpu > 2.9 && series.startup().samples == 2);
}

fn told(at: Timestamp, id: u64) -> Told<'static> {
    Told { pod: "web-1", at, limit: Some(Bytes::from_mib(64)), id, lived: None }
}

#[test]
fn a_restart_goes_on_with_samples_and_kills() {
    let (mut book, pod) = (Book::default(), facts(&json!({})));
    take(&mut book, &pod, &sample(NOW.plus(-300), 0.1), Source::MetricsApi);
    for id in 1..=10 {
        assert!(book.kill(&key(), &told(NOW.plus(-50), id)));
    }
    let id = book.id(&key()).unwrap();
    let kept = book.kept(id, &key()).unwrap();
    assert!(book.is_changed(id));
    let mut next = Book::default();
    next.restore(&key(), kept);
    let id = next.id(&key()).unwrap();
    assert!(!next.is_changed(id), "it is as it was saved");
    assert_eq!(take(&mut next, &pod, &sample(NOW.plus(-300), 0.1), Source::MetricsApi).known, 1);
    for id in 1..=10 {
        assert!(!next.kill(&key(), &told(NOW.plus(-50), id)), "{id}");
    }
    assert!(next.kill(&key(), &told(NOW, 11)));
    assert_eq!(take(&mut next, &pod, &sample(NOW, 0.1), Source::MetricsApi).samples, 2);
    let known = next.known(&key()).unwrap();
    assert_eq!((known.series.kills(), known.series.samples()), (11, 4));
    assert_eq!(known.last_kill, Some(NOW));
}

fn piece(from: Timestamp, to: Timestamp) -> Piece {
    let name = container_name("web-1");
    let points = |value: f64| {
        let times = (from.0..=to.0).step_by(300);
        vec![(name.clone(), times.map(|at| (Timestamp(at), value)).collect())]
    };
    let kill = crate::sources::prometheus::history::Kills {
        container: name.clone(),
        at: to,
        count: 1,
        limit: Some(Bytes::from_mib(64)),
    };
    Piece { step: 300, end: to, cpu: points(0.3), memory: points(1e8), kills: vec![kill], ..Piece::default() }
}

#[test]
fn the_past_is_read_beside_the_present_and_taken_over() {
    let (mut book, pod) = (Book::default(), facts(&json!({})));
    take(&mut book, &pod, &sample(NOW.plus(-90), 0.1), Source::Prometheus);
    let mut request = book.missing(NOW, 14 * DAY).unwrap();
    assert_eq!(request.from, NOW.plus(-14 * DAY));
    assert!(book.missing(NOW, 14 * DAY).is_none(), "it is being read");
    let fed = request.book.feed(&piece(request.from, NOW.plus(-30)), |_| Some(key()));
    assert_eq!(fed.kills, 1);
    // Meanwhile the present goes on; the kill of a minute ago is that which the past has too.
    assert!(book.kill(&key(), &told(NOW.plus(-80), 1)));
    assert!(book.kill(&key(), &told(NOW.plus(-20_000), 2)));
    take(&mut book, &pod, &sample(NOW.plus(-60), 0.1), Source::Prometheus);
    book.adopt(&request.book);
    let known = book.known(&key()).unwrap();
    assert!(known.series.hours() > 13.9 * 24.0, "{}", known.series.hours());
    assert_eq!(known.series.kills(), 2);
    assert_eq!(book.past(), Past::Read);
    assert_eq!(take(&mut book, &pod, &sample(NOW, 0.1), Source::Prometheus).samples, 2);
}

#[test]
fn a_gap_is_read_from_the_newest_sample_on() {
    let (mut book, pod) = (Book::default(), facts(&json!({})));
    let mut request = book.missing(NOW.plus(-2 * DAY), DAY).unwrap();
    request.book.feed(&piece(NOW.plus(-3 * DAY), NOW.plus(-2 * DAY)), |_| Some(key()));
    book.adopt(&request.book);
    let kept = book.kept(book.ids[&key()], &key()).unwrap();
    let mut next = Book::default();
    next.restore(&key(), kept);
    let mut request = next.missing(NOW, 14 * DAY).unwrap();
    assert_eq!(request.from, NOW.plus(-2 * DAY));
    let fed = request.book.feed(&piece(NOW.plus(-3 * DAY), NOW), |_| Some(key()));
    assert_eq!(fed.samples, 2 * 2 * 288, "what is known already is left out");
    next.adopt(&request.book);
    let hours = next.known(&key()).unwrap().series.hours();
    assert!((71.0..73.0).contains(&hours), "{hours}");
    assert_eq!(take(&mut next, &pod, &sample(NOW, 0.1), Source::Prometheus).samples, 0);
    assert!(next.missing(NOW.plus(GAP_SECONDS - 1), 14 * DAY).is_none(), "no gap");
    assert!(!next.ends_before(None) && !next.ends_before(Some(NOW.plus(GAP_SECONDS - 1))));
    assert!(next.ends_before(Some(NOW.plus(GAP_SECONDS))), "what is new after a gap ends it");
}

/// Usage of half a minute at a time: 20m, and a core for half a minute each ten minutes.
fn bursts(half_minute: i64) -> f64 {
    if half_minute.rem_euclid(20) == 7 { 1.0 } else { 0.02 }
}

#[test]
fn one_usage_teaches_the_same_whoever_tells_of_it() {
    const HALF_MINUTES: i64 = 2 * 2880;
    let begin = NOW.plus(-HALF_MINUTES * 30);
    let live = |source, window, offset: i64| {
        let (mut book, pod) = (Book::default(), facts(&json!({})));
        for step in 1..=HALF_MINUTES {
            let memory = if step % 10 == 4 { 120 } else { 100 };
            let sample = Sample {
                window,
                memory: Some(Bytes::from_mib(memory)),
                ..sample(begin.plus(step * 30 + offset), bursts(step))
            };
            take(&mut book, &pod, &sample, source);
        }
        book
    };
    let steps = |of: &dyn Fn(i64) -> f64| {
        let slots = 1..=HALF_MINUTES / 10;
        slots.map(|slot| (begin.plus(slot * 300), of(slot))).collect::<Vec<_>>()
    };
    let mean = |slot: i64| (slot * 10 - 9..=slot * 10).map(bursts).sum::<f64>() / 10.0;
    let mut past = Book::default();
    let piece = Piece {
        step: 300,
        end: NOW,
        cpu: vec![(container_name("web-1"), steps(&mean))],
        memory: vec![(container_name("web-1"), steps(&|_| Bytes::from_mib(120).as_f64()))],
        ..Piece::default()
    };
    past.feed(&piece, |_| Some(key()));
    let need = |book: &Book| {
        let mut series = book.known(&key()).unwrap().series.clone();
        let found = series.estimate(&crate::policy::Rules::default().prices(), &Model::default());
        assert_eq!(series.learned_to(), Some(NOW));
        (found.cpu.unwrap().target, found.memory.unwrap().target)
    };
    let expected = need(&past);
    assert!((0.05..0.2).contains(&expected.0), "{expected:?}");
    let metrics = live(Source::MetricsApi, Some(30), 0);
    let prometheus = live(Source::Prometheus, None, 0);
    for book in [metrics, prometheus] {
        let found = need(&book);
        let near = |one: f64, two: f64| (one / two - 1.0).abs() < 0.01;
        assert!(near(found.0, expected.0) && near(found.1, expected.1), "{found:?} {expected:?}");
    }
}

#[test]
fn more_than_limit_or_node_can_give_is_refused_and_counted() {
    let (mut book, pod) = (Book::default(), facts(&json!({})));
    let node = NodeFacts {
        milli_cpu: 8000,
        memory: Bytes::from_mib(1 << 15),
        pods: 110,
        schedulable: true,
        labels: Box::default(),
        taints: Box::default(),
    };
    let (key, mut taken) = (key(), Taken::default());
    let hiccup = Sample { memory: Some(Bytes::from_mib(1 << 20)), ..sample(NOW, 1000.0) };
    let name = (&key.workload, "app");
    book.take_sample(name, (&pod, Some(&node)), &hiccup, Source::MetricsApi, NOW, &mut taken);
    assert_eq!(taken.samples, 0);
    assert_eq!(taken.refused.get(Refused::Impossible.word()), Some(&2));
    assert!(book.known(&key).unwrap().series.newest().is_none());
}

#[test]
fn a_pod_that_ends_early_teaches_what_it_used_so_far() {
    let (mut book, pod) = (Book::default(), facts(&json!({})));
    take(&mut book, &pod, &Sample { window: Some(15), ..sample(NOW.plus(-500), 0.7) }, Source::MetricsApi);
    assert_eq!(learned(&book), None);
    book.settle(NOW.plus(-120));
    assert_eq!(learned(&book), None, "it may only be late");
    book.settle(NOW);
    assert_eq!(learned(&book), Some(NOW.plus(-300)));
    let mut gone = Book::default();
    take(&mut gone, &pod, &Sample { window: Some(15), ..sample(NOW.plus(-10), 0.7) }, Source::MetricsApi);
    gone.forget(NOW.plus(-DAY), std::iter::empty());
    assert_eq!(learned(&gone), Some(NOW));
}
