use proptest::prelude::*;

use super::*;
use crate::actuate::updater::{Settings, Updater};
use crate::model::Confidence;
use crate::policy::{Amounts, LimitRules};
use crate::testing::pure::{NOW, pod, size};

const SETTINGS: Settings = Settings {
    paused: false,
    resize_served: true,
    admission_answers: true,
    limits_only_grow: false,
    warming_up: false,
};

/// Bounds of a tenth to either side.
fn advice(milli: u64, mib: u64, young: bool) -> Recommendation {
    let around = |share: u64| ContainerSize {
        cpu_request: Some(Cores::from_milli(milli * share / 100)),
        memory_request: Some(Bytes::from_mib(mib * share / 100)),
        ..ContainerSize::default()
    };
    Recommendation {
        target: size(milli, mib, mib * 2),
        lower: around(90),
        upper: around(110),
        cpu_hold: None,
        memory_hold: None,
        limits: LimitRules::default(),
        most: Amounts::default(),
        young,
        confidence: Confidence::High,
    }
}

fn workload(wants: Option<Recommendation>, pods: Vec<Pod>) -> Workload {
    Workload {
        key: "shop/web".into(),
        advice: wants.map(|wants| ("app".into(), wants)).into_iter().collect(),
        pods,
        ..Workload::default()
    }
}

fn plan(workload: &Workload) -> WorkloadPlan {
    let mut updater = Updater::new(10.0, 1.0).with_warm_up(0);
    updater.plan(std::slice::from_ref(workload), &SETTINGS, NOW).workloads.remove(&workload.key).unwrap()
}

fn told(workload: &Workload) -> (&'static str, String) {
    let (state, cause) = of(workload, &plan(workload), NOW);
    (state.word(), cause.to_string())
}

#[test]
fn each_state_is_told_in_words_that_say_why() {
    let fits = || pod(1, size(200, 200, 400));
    let wants = || Some(advice(200, 200, false));
    let is = |workload: &Workload, state: &str, why: &str| {
        let (told, cause) = told(workload);
        assert_eq!((told, cause.as_str()), (state, why));
    };
    is(&workload(wants(), vec![fits(), pod(2, size(209, 210, 400))]), "Applied", "");
    is(&workload(None, vec![fits()]), "Learning", "no sample of its usage yet");
    is(&workload(wants(), Vec::new()), "Waiting", "it has no pod");
    let mut pending = fits();
    pending.running = false;
    is(&workload(wants(), vec![pending]), "Waiting", "1 pod not running yet");
    // 101m where 16m are needed, soon after its last change.
    let mut large = pod(1, size(101, 200, 400));
    large.resized = Some(NOW);
    is(
        &workload(Some(advice(16, 200, false)), vec![large]),
        "Waiting",
        "1 pod outside the band; a change is not due yet",
    );
    let mut young = pod(1, size(101, 200, 400));
    young.resized = Some(NOW);
    let (state, why) = told(&workload(Some(advice(16, 200, true)), vec![young]));
    assert_eq!(
        (state, why.as_str()),
        ("Learning", "1 pod outside the band; the history is too short to lower more")
    );
    let mut going = pod(1, size(100, 100, 400));
    going.containers[0].asked = size(200, 200, 400);
    going.resize = Resize::UnderWay;
    assert_eq!(told(&workload(wants(), vec![going])).0, "Resizing");
    let mut killed = fits();
    killed.containers[0].oom_killed = Some(NOW.plus(-300));
    killed.containers[0].restarts = 2;
    is(&workload(wants(), vec![killed]), "Healing", "container app was OOMKilled at 400Mi (2 restarts)");
    let mut full = pod(1, size(100, 100, 400));
    full.containers[0].asked = size(200, 200, 400);
    full.resize = Resize::Deferred;
    assert_eq!(told(&workload(wants(), vec![full])).0, "Blocked");
}

#[derive(Clone, Debug)]
struct Facts {
    milli: u64,
    mib: u64,
    asked: bool,
    resize: u8,
    running: bool,
    killed: Option<i64>,
    down: bool,
    resized: Option<i64>,
}

fn facts() -> impl Strategy<Value = Facts> {
    let sizes = (
        prop::sample::select(vec![20, 100, 181, 195, 205, 219, 230, 900]),
        prop::sample::select(vec![64, 190, 205, 400]),
    );
    let life = (any::<bool>(), 0_u8..5, prop::bool::weighted(0.9), prop::option::weighted(0.2, 0_i64..2000));
    (sizes, life, prop::bool::weighted(0.1), prop::option::of(0_i64..4000)).prop_map(
        |((milli, mib), (asked, resize, running, killed), down, resized)| Facts {
            milli,
            mib,
            asked,
            resize,
            running,
            killed,
            down,
            resized,
        },
    )
}

fn made(id: u128, facts: &Facts) -> Pod {
    let mut made = pod(id, size(facts.milli, facts.mib, 400));
    if facts.asked {
        made.containers[0].asked = size(200, 200, 400);
    }
    made.resize = match facts.resize {
        0 => Resize::UnderWay,
        1 => Resize::Deferred,
        2 => Resize::Infeasible,
        _ => Resize::None,
    };
    (made.running, made.ready) = (facts.running, facts.running && !facts.down);
    made.containers[0].down = facts.down;
    made.containers[0].oom_killed = facts.killed.map(|ago| NOW.plus(-ago));
    made.resized = facts.resized.map(|ago| NOW.plus(-ago));
    made
}

proptest! {
    #[test]
    fn the_state_is_true(all in prop::collection::vec(facts(), 0..4), young in any::<bool>()) {
        let pods = all.iter().enumerate().map(|(id, facts)| made(id as u128, facts)).collect();
        let workload = workload(Some(advice(200, 200, young)), pods);
        let plan = plan(&workload);
        let (state, cause) = of(&workload, &plan, NOW);
        prop_assert_eq!(cause == Cause::None, matches!(state, State::Applied | State::Degraded));
        if state == State::Applied {
            prop_assert!(!all.is_empty() && plan.acting == 0 && plan.held.is_empty());
            for facts in &all {
                prop_assert!(facts.running && facts.resize != 0);
                // A tenth to either side of 200, and what is too little to be worth a change.
                prop_assert!((180..=222).contains(&facts.milli) && (180..=222).contains(&facts.mib));
                prop_assert!(facts.killed.is_none_or(|ago| ago >= 600 && !facts.down), "an OOM loop");
            }
        }
        let loops = all.iter().any(|facts| facts.killed.is_some_and(|ago| ago < 600 || facts.down));
        prop_assert!(!loops || matches!(state, State::Healing | State::Blocked | State::Degraded), "{state:?}");
    }
}
