//! One path: what is decided by the recommendation that was made, and by the one that was read back from a status.

use kube::core::ObjectMeta;
use serde_json::{Value, json};

use super::*;
use crate::actuate::facts::{MaxUnavailable, Method, Pod, Rules, Workload};
use crate::actuate::step::Pace;
use crate::actuate::{Deed, Settings, Updater};
use crate::admit::first_size;
use crate::api::{RecommendationSpec, RecommendationStatus, Span};
use crate::cluster::Index;
use crate::cluster::index::Fold;
use crate::cluster::slim::Guarded;
use crate::model::{Model, Series};
use crate::policy::{
    Baseline, Explained, Fitted, NamespaceBounds, RangeBounds, fit_pod, keep_class, recommend,
};
use crate::replay::arm::{Arm, Observation};
use crate::replay::arms::plumb::Plumb;
use crate::replay::{generate, trace};
use crate::testing::object_key;
use crate::testing::pure::pod;
use crate::units::{Bytes, Cores, Timestamp};

/// Samples of five minutes between two decisions.
const DECIDED_EACH: usize = 6;
const SETTINGS: Settings = Settings {
    paused: false,
    resize_served: true,
    limits_only_grow: false,
    admission_answers: true,
    warming_up: false,
};

/// What the API server makes of JSON: each number is read as a float of 64 bits and printed again.
fn stored(value: Value) -> Value {
    match value {
        Value::Number(number) => json!(number.as_f64().unwrap()),
        Value::Array(all) => all.into_iter().map(stored).collect(),
        Value::Object(all) => all.into_iter().map(|(key, value)| (key, stored(value))).collect(),
        other => other,
    }
}

/// Through the status of a Recommendation to the updater's index.
fn through(index: &mut Index, container: ContainerRecommendation) -> Recommendation {
    let spec: RecommendationSpec = serde_json::from_value(json!({"mode": "Auto",
        "workloadRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
        "policyRef": {"kind": "VerticalScalingPolicy", "name": "all"}}))
    .unwrap();
    let container = ContainerRecommendation { name: "app".to_owned(), ..container };
    let object = api::Recommendation {
        metadata: ObjectMeta {
            name: Some("deployment-web".to_owned()),
            namespace: Some(crate::testing::NAMESPACE.to_owned()),
            ..ObjectMeta::default()
        },
        spec,
        status: Some(RecommendationStatus { containers: vec![container], ..RecommendationStatus::default() }),
    };
    let mut value: Value = serde_json::from_str(&serde_json::to_string(&object).unwrap()).unwrap();
    value["status"]["containers"] = stored(value["status"]["containers"].take());
    // Counts are integers by the definition.
    for count in ["samples", "days", "oomKills"] {
        value["status"]["containers"][0][count] = json!(0);
    }
    index.apply(serde_json::from_str::<Guarded>(&value.to_string()).unwrap(), Timestamp(0));
    read(&index.recommendations.get(&object_key("deployment-web")).unwrap().containers[0])
}

/// Without the sizes in force, which stand in for what is not sized.
fn said(found: &Recommendation) -> Recommendation {
    let (cpu, memory) = (found.lower.cpu_request.is_some(), found.lower.memory_request.is_some());
    let target = ContainerSize {
        cpu_request: found.target.cpu_request.filter(|_| cpu),
        cpu_limit: found.target.cpu_limit.filter(|_| cpu),
        memory_request: found.target.memory_request.filter(|_| memory),
        memory_limit: found.target.memory_limit.filter(|_| memory),
    };
    Recommendation { target, ..*found }
}

/// A fleet of one pod, and its updater.
struct Place {
    updater: Updater,
    workload: Workload,
}

impl Place {
    fn new(pod: Pod, pace: Pace) -> Self {
        let max_unavailable = MaxUnavailable::Count(1);
        let rules =
            Rules { method: Method::InPlace, min_replicas: 1, max_unavailable, pace, ..Rules::default() };
        let workload = Workload { key: "shop/web".into(), rules, pods: vec![pod], ..Workload::default() };
        Self { updater: Updater::new(10.0, 1.0), workload }
    }

    fn in_force(&self) -> ContainerSize {
        self.workload.pods[0].containers[0].asked
    }

    /// Plans by this recommendation and does it; returns the plan in full.
    fn turn(&mut self, found: Recommendation, killed: Option<Timestamp>, now: Timestamp) -> String {
        self.workload.advice = vec![("app".into(), found)];
        let container = &mut self.workload.pods[0].containers[0];
        container.oom_killed = killed.or(container.oom_killed);
        let plan = self.updater.plan(std::slice::from_ref(&self.workload), &SETTINGS, now);
        for action in &plan.actions {
            self.updater.accepted(action, &self.workload.clone(), now);
            if let Deed::Resize(change) | Deed::PutBack(change) | Deed::EndBoost(change) = &action.deed {
                let container = &mut self.workload.pods[0].containers[0];
                (container.asked, container.given) = (change.sizes[0].to, change.sizes[0].to);
            }
        }
        format!("{:?} {:?}", plan.actions, plan.workloads)
    }
}

/// One of many policies for a container: all limit rules and objectives, and whatever else there is to state.
fn policy(number: usize) -> (ContainerRules, LimitRules, ContainerSize, bool) {
    let memory = ["Tail", "Equal", "Ratio", "Keep", "Remove", "Headroom"][number % 6];
    let cpu = ["Keep", "Ratio", "Remove", "Equal"][number / 2 % 4];
    let mut stated = json!({"name": "*",
        "cpu": {"limit": cpu},
        "memory": {"limit": memory, "shrink": number % 5 != 4}});
    if memory == "Headroom" {
        stated["memory"]["headroom"] = Value::from(["256Mi", "100000001", "1.5G"][number / 6 % 3]);
    }
    match number % 4 {
        1 => stated["maxAllowed"] = json!({"cpu": "333m", "memory": "1G"}),
        2 => stated["minAllowed"] = json!({"cpu": "10500u", "memory": "20M"}),
        3 => {
            let sized = [json!(["cpu"]), json!(["memory"]), json!(["cpu", "memory"])];
            stated["resources"] = sized[number / 4 % 3].clone();
        }
        _ => {}
    }
    let objective = [api::Objective::Economy, api::Objective::Balanced, api::Objective::Critical][number % 3];
    let learn = [Span::days(1), Span::seconds(0), Span::days(30), Span::seconds(50_000)][number / 3 % 4];
    let stated = serde_json::from_value(stated).unwrap();
    let mut sized = rules::of_container(objective, Some(&stated), learn);
    let template = ContainerSize {
        cpu_request: Some(Cores::from_milli(300 + 7 * number as u64)),
        cpu_limit: (!number.is_multiple_of(7)).then(|| Cores::from_milli(1000)),
        memory_request: Some(Bytes::from_mib(300 + 13 * number as u64)),
        memory_limit: Some(Bytes(3_000_000_001)).filter(|_| !number.is_multiple_of(11)),
    };
    let limits = sized.rules.limits(Some(&template));
    let class = if number % 8 == 5 { Class::Guaranteed } else { Class::Burstable };
    let (kept, guaranteed) = keep_class(&sized.rules, class);
    sized.rules = kept;
    (sized, limits, template, guaranteed.is_some())
}

/// Runs a container under a policy along both paths; returns how often it was changed, and whether it was young.
fn along_both(course: &trace::Series, number: usize) -> (usize, usize) {
    let (sized, limits, template, guaranteed) = policy(number);
    let prices = sized.rules.prices();
    let (model, mut series, mut index) = (Model::default(), Series::default(), Index::default());
    let mut first = pod(1, template);
    first.class = if guaranteed { Class::Guaranteed } else { Class::Burstable };
    let mut direct = Place::new(first.clone(), Pace::default());
    let mut wired = Place::new(first, Pace::default());
    let (mut changes, mut young) = (0, 0);
    for (number, (at, cpu, memory)) in course.samples().enumerate() {
        let (now, memory) = (Timestamp(at), Bytes::from_f64(memory));
        let current = direct.in_force();
        let killed = current.memory_limit.filter(|limit| memory > *limit);
        series.add_cpu(now, Cores(cpu), 0.0, None, &model).unwrap();
        let memory = memory.min(killed.unwrap_or(memory));
        series.add_memory(now, memory, None, &model).unwrap();
        if let Some(limit) = killed {
            series.add_oom(now, limit, number as u64, &model);
        } else if number % DECIDED_EACH != 0 {
            continue;
        }
        let mut need = series.estimate(&prices, &model);
        need.cpu = need.cpu.filter(|_| sized.cpu);
        need.memory = need.memory.filter(|_| sized.memory);
        need.limit = need.limit.filter(|_| sized.memory);
        let baseline = Baseline { current, template: Some(template) };
        let mut found = Explained::new(&need, &sized.rules, &baseline);
        if number % 2 == 0 {
            let most = Amounts { cpu: Some(Cores(3.0)), memory: Some(Bytes(5_000_000_000)) };
            let container = RangeBounds { most, ..RangeBounds::default() };
            let bounds = NamespaceBounds { container, ..NamespaceBounds::default() };
            let node = Amounts { cpu: Some(Cores(1.93)), memory: Some(Bytes(3_900_000_000)) };
            let one = Fitted { init: false, current: &current, most: Amounts::default(), found: &mut found };
            fit_pod(vec![one], &[node], &bounds, 1);
        }
        let made = found.size;
        let read = through(&mut index, write(&made, &sized, &limits, guaranteed, &current));
        assert_eq!(read, said(&made), "policy {number}");
        let killed = killed.map(|_| now);
        assert_eq!(direct.turn(made, killed, now), wired.turn(read, killed, now), "policy {number}");
        assert_eq!(direct.in_force(), wired.in_force());
        changes += usize::from(direct.in_force() != current);
        young += usize::from(read.young);
    }
    (changes, young)
}

#[test]
fn decisions_are_the_same_through_a_status() {
    let (fleet, _) = generate::fleet(7, 2);
    let (mut changes, mut young) = (0, 0);
    for (place, course) in fleet.iter().enumerate() {
        for number in [place, place + 24] {
            let found = along_both(course, number);
            (changes, young) = (changes + found.0, young + found.1);
        }
    }
    assert!(changes > 200 && young > 1000, "{changes} changes, {young} young");
}

#[test]
fn a_backtest_decides_as_what_is_read_back_from_a_status() {
    let (fleet, _) = generate::fleet(11, 3);
    let mut changes = 0;
    for (place, course) in fleet.iter().enumerate() {
        let (sized, ..) = policy(place * 4);
        let rules = policy::Rules { add_limit: true, ..sized.rules };
        let mut arm = Plumb::new(rules, Pace::default());
        let (model, mut series, mut index) = (Model::default(), Series::default(), Index::default());
        let mut live: Option<Place> = None;
        for (number, (at, cpu, memory)) in course.samples().enumerate() {
            let (at, cpu, memory) = (Timestamp(at), Cores(cpu), Bytes::from_f64(memory));
            let seen = Observation { at, cpu: Some(cpu), memory: Some(memory), oom: None, may_decide: true };
            let may_decide = number % DECIDED_EACH == 0;
            let scored = arm.step(&Observation { may_decide, ..seen });
            series.add_cpu(at, cpu, 0.0, None, &model).unwrap();
            series.add_memory(at, memory, None, &model).unwrap();
            if !may_decide {
                continue;
            }
            let need = series.estimate(&rules.prices(), &model);
            let current = live.as_ref().map(Place::in_force).unwrap_or_default();
            let made = recommend(&need, &rules, &Baseline::from(current));
            let limits = rules.limits(None);
            let read = through(&mut index, write(&made, &sized, &limits, false, &current));
            let place = live.get_or_insert_with(|| {
                // Admission gives the first size.
                let mut place = Place::new(pod(1, first_size(&current, &read)), Pace::default());
                place.updater = Updater::new(10.0, 1.0).with_warm_up(0);
                place
            });
            if current != ContainerSize::default() {
                place.turn(read, None, at);
            }
            let live = Some(place.in_force()).filter(|size| *size != current);
            let scored = scored.map(|size| (size.cpu_request, size.memory_request, size.memory_limit));
            let live = live.map(|size| (size.cpu_request, size.memory_request, size.memory_limit));
            assert_eq!(scored, live, "{} at {at:?}", course.id);
            changes += usize::from(live.is_some());
        }
    }
    assert!(changes > 100, "{changes} changes");
}

#[test]
fn a_status_of_before_is_read_as_under_a_policy_that_says_nothing() {
    let old: ContainerRecommendation = serde_json::from_value(json!({"name": "app", "confidence": "medium",
        "target": crate::testing::resources("180m", "300Mi", "400Mi"),
        "lower": {"cpu": "150m", "memory": "270Mi"}, "upper": {"cpu": "220m", "memory": "390Mi"},
        "limitRules": {"cpu": "Ratio", "memory": "Tail", "addMemory": false, "keepMemory": true}}))
    .unwrap();
    let found = through(&mut Index::default(), old);
    assert_eq!(
        (found.cpu_hold, found.memory_hold, found.young, found.most),
        (None, None, false, Amounts::default())
    );
    assert_eq!((found.limits.cpu_ratio, found.limits.shrink_memory), (None, false));
}

#[test]
fn what_is_no_figure_is_as_if_nothing_were_said() {
    let rule = |price: f32| api::HysteresisRule { grow: 0.1, shrink: 0.1, price, underrun: None };
    assert!(hold_rule(rule(1.0)).is_some());
    for price in [-1.0, f32::INFINITY, f32::NAN] {
        assert_eq!(hold_rule(rule(price)), None);
    }
    for ratio in [-1.0, 0.5, f64::INFINITY] {
        let written = api::LimitRules { cpu_ratio: Some(ratio), ..api::LimitRules::default() };
        assert_eq!(rules::limit_rules(&written).cpu_ratio, None);
    }
}
