//! A new pod as admission stamps it is one that the updater leaves alone.

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::actuate::facts::{self, Around, Workload};
use crate::actuate::{Settings, Updater};
use crate::admit::{self, Bounds, Extent, Kind, Range, Verdict, Want};
use crate::model::{Because, Confidence, Estimate, HoldRule, Level, LimitNeed, Need};
use crate::policy::{
    self, Amounts, Baseline, Class, ContainerSize, CpuLimitRule, Explained, Fitted, MemoryLimitRule,
    NamespaceBounds, RangeBounds, Recommendation, Rules, limits_of_class,
};
use crate::testing::pure::{NOW, pod};
use crate::units::{Bytes, Cores, Quantity};

const CONTAINERS: [(&str, Kind); 4] =
    [("setup", Kind::Init), ("proxy", Kind::Sidecar), ("app", Kind::Container), ("cache", Kind::Container)];
const CALM: Settings = Settings {
    paused: false,
    resize_served: true,
    limits_only_grow: false,
    admission_answers: true,
    warming_up: false,
};

/// A container as its template states it, its policy and what is known of its need.
#[derive(Clone, Debug)]
struct Spec {
    template: ContainerSize,
    /// The sizes of the pods that run.
    current: ContainerSize,
    rules: Rules,
    need: Option<Estimate>,
}

type Pair = (Option<u64>, Option<u64>);

fn pair(tied: bool) -> impl Strategy<Value = Pair> {
    let one = (prop::option::of(1_u64..4000), prop::option::of(0_u64..4000));
    one.prop_map(move |(request, above)| {
        let limit = above.map(|above| request.unwrap_or(1) + above);
        // The API server takes the limit for a request that is left out.
        if tied { (limit.or(request), limit.or(request)) } else { (request.or(limit), limit) }
    })
}

fn template(tied: bool) -> impl Strategy<Value = ContainerSize> {
    let whole = prop::sample::select(vec![1_u64, 1, 1000]);
    (pair(tied), pair(tied), whole).prop_map(|(cpu, memory, unit)| ContainerSize {
        cpu_request: cpu.0.map(|milli| Cores::from_milli(milli.div_ceil(unit) * unit)),
        cpu_limit: cpu.1.map(|milli| Cores::from_milli(milli.div_ceil(unit) * unit)),
        memory_request: memory.0.map(Bytes::from_mib),
        memory_limit: memory.1.map(Bytes::from_mib),
    })
}

fn rules() -> impl Strategy<Value = Rules> {
    use MemoryLimitRule as M;
    let cpu = vec![CpuLimitRule::Keep, CpuLimitRule::Ratio, CpuLimitRule::Remove, CpuLimitRule::Equal];
    let headroom = M::Headroom(Bytes::from_mib(64));
    let memory = vec![M::Tail, M::Equal, M::Ratio, headroom, M::Keep, M::Remove];
    let rules = (prop::sample::select(cpu), prop::sample::select(memory), any::<(bool, bool)>());
    let most = || prop::option::weighted(0.4, 100_u64..3000);
    (rules, most(), most()).prop_map(
        |((cpu_limit, memory_limit, (add_limit, shrink_memory)), cpu, memory)| {
            let mut rules = Rules { cpu_limit, memory_limit, add_limit, shrink_memory, ..Rules::default() };
            rules.range.max_cpu = cpu.map(Cores::from_milli);
            rules.range.max_memory = memory.map(Bytes::from_mib);
            rules
        },
    )
}

fn need(target: f64) -> Need {
    let hold = HoldRule { grow: 0.1, shrink: 0.1, price: 0.0, underrun: None };
    let because = Because {
        level: Level::P80,
        base: target,
        margin: 0.0,
        unused: 0.0,
        short: 0.0,
        damping: 1.0,
        hours: 300.0,
    };
    Need { lower: target * 0.9, target, upper: target * 1.1, hold, because }
}

fn estimate() -> impl Strategy<Value = Estimate> {
    let figure = || prop::option::weighted(0.9, 1_u64..4000);
    (figure(), figure(), 100_u64..400, any::<bool>()).prop_map(|(cpu, memory, above, young)| {
        let mib = |mib: u64| Bytes::from_mib(mib).as_f64();
        let tail = memory.map(|memory| mib(memory * above / 100));
        let limit = |tail: f64| LimitNeed {
            tail,
            equal: tail,
            peak: tail,
            deviation: 0.0,
            lesson: 0.0,
            kills: 0,
            follows_limit: false,
            equal_hold: None,
        };
        Estimate {
            cpu: cpu.map(|milli| need(milli as f64 / 1000.0)),
            memory: memory.map(|memory| need(mib(memory))),
            limit: tail.map(limit),
            confidence: Confidence::High,
            samples: 1000,
            hours: if young { 2.0 } else { 300.0 },
        }
    })
}

fn specs() -> impl Strategy<Value = Vec<Spec>> {
    let one = |tied: bool| {
        let need = prop::option::weighted(0.8, estimate());
        (template(tied), 1_u64..4, rules(), need).prop_map(|(template, part, rules, need)| {
            let current = ContainerSize {
                cpu_request: template.cpu_request.map(|cpu| Cores(cpu.0 / part as f64).ceil_milli()),
                cpu_limit: template.cpu_limit.map(|cpu| Cores(cpu.0 / part as f64).ceil_milli()),
                memory_request: template.memory_request.map(|memory| Bytes(memory.0.div_ceil(part))),
                memory_limit: template.memory_limit.map(|memory| Bytes(memory.0.div_ceil(part))),
            };
            Spec { template, current, rules, need }
        })
    };
    any::<bool>().prop_flat_map(move |tied| [one(tied), one(tied), one(tied), one(tied)].prop_map(Vec::from))
}

/// LimitRanges for containers and pods.
fn ranges() -> impl Strategy<Value = NamespaceBounds> {
    let figure = |from: u64, to: u64| prop::option::weighted(0.3, from..to);
    let range = move || {
        let ratio = || prop::option::weighted(0.2, 1000_u64..5000);
        (figure(1, 300), figure(500, 9000), figure(1, 300), figure(500, 9000), ratio(), ratio()).prop_map(
            |(least_cpu, most_cpu, least_memory, most_memory, cpu_ratio, memory_ratio)| {
                let of = |cpu: Option<u64>, memory: Option<u64>| Amounts {
                    cpu: cpu.map(Cores::from_milli),
                    memory: memory.map(Bytes::from_mib),
                };
                RangeBounds {
                    least: of(least_cpu, least_memory),
                    most: of(most_cpu, most_memory),
                    cpu_ratio,
                    memory_ratio,
                }
            },
        )
    };
    (range(), range()).prop_map(|(container, pod)| NamespaceBounds {
        container,
        pod,
        ..NamespaceBounds::default()
    })
}

/// The same bounds as admission takes them.
fn at_admission(bounds: &NamespaceBounds) -> Bounds {
    let extent = |range: &RangeBounds| Extent {
        cpu: Range {
            least: range.least.cpu.map(Cores::to_milli),
            most: range.most.cpu.map(Cores::to_milli),
            default_limit: None,
            ratio: range.cpu_ratio,
        },
        memory: Range {
            least: range.least.memory.map(|memory| memory.0),
            most: range.most.memory.map(|memory| memory.0),
            default_limit: None,
            ratio: range.memory_ratio,
        },
    };
    Bounds { container: extent(&bounds.container), pod: extent(&bounds.pod), ..Bounds::default() }
}

fn is_equal(size: &ContainerSize) -> bool {
    size.cpu_limit.is_some_and(|limit| limit.0 > 0.0)
        && size.memory_limit.is_some_and(|limit| limit.0 > 0)
        && size.cpu_limit == size.cpu_request
        && size.memory_limit == size.memory_request
}

fn class(sizes: &[ContainerSize]) -> Class {
    if sizes.iter().all(|size| *size == ContainerSize::default()) {
        Class::BestEffort
    } else if sizes.iter().all(is_equal) {
        Class::Guaranteed
    } else {
        Class::Burstable
    }
}

/// The recommendations for a workload whose pods run as their template states, as control/compose.rs makes them.
fn recommended(specs: &[Spec], bounds: &NamespaceBounds) -> Vec<Option<Recommendation>> {
    let class = class(&specs.iter().map(|spec| spec.template).collect::<Vec<_>>());
    let mut found: Vec<Option<Explained>> = specs
        .iter()
        .map(|spec| {
            let (rules, _) = policy::keep_class(&spec.rules, class);
            let baseline = Baseline { current: spec.current, template: Some(spec.template) };
            let mut found = Explained::new(spec.need.as_ref()?, &rules, &baseline);
            policy::keep_whole_cores(&mut found, class, &spec.current, rules.range.max_cpu);
            Some(found)
        })
        .collect();
    let fitted = found.iter_mut().zip(specs).zip(CONTAINERS).filter_map(|((found, spec), (_, kind))| {
        let most = spec.rules.range.most();
        Some(Fitted { init: kind == Kind::Init, current: &spec.current, most, found: found.as_mut()? })
    });
    policy::fit_pod(fitted.collect(), &[], bounds, 1);
    found
        .into_iter()
        .zip(specs)
        .map(|(found, spec)| {
            let mut size = found?.size;
            if size.lower.cpu_request.is_none() {
                (size.target.cpu_request, size.target.cpu_limit) = (None, None);
            }
            if size.lower.memory_request.is_none() {
                (size.target.memory_request, size.target.memory_limit) = (None, None);
            }
            size.limits = spec.rules.limits(Some(&spec.template));
            Some(size)
        })
        .collect()
}

fn written(size: &ContainerSize) -> Value {
    let mut resources = json!({"requests": {}, "limits": {}});
    let cpu = [("requests", size.cpu_request), ("limits", size.cpu_limit)];
    let memory = [("requests", size.memory_request), ("limits", size.memory_limit)];
    for (list, cpu) in cpu {
        if let Some(cpu) = cpu {
            resources[list]["cpu"] = json!(cpu.to_string());
        }
    }
    for (list, memory) in memory {
        if let Some(memory) = memory {
            resources[list]["memory"] = json!(memory.0.to_string());
        }
    }
    resources
}

fn read(resources: &Value) -> ContainerSize {
    let quantity = |pointer: &str| resources.pointer(pointer)?.as_str()?.parse::<Quantity>().ok();
    let cpu = |pointer: &str| quantity(pointer).map(|cpu| cpu.as_cores().ceil_milli());
    ContainerSize {
        cpu_request: cpu("/requests/cpu"),
        cpu_limit: cpu("/limits/cpu"),
        memory_request: quantity("/requests/memory").and_then(Quantity::as_bytes),
        memory_limit: quantity("/limits/memory").and_then(Quantity::as_bytes),
    }
}

/// The sizes that admission gives to a new pod, in the order of the specs; `None` where it leaves the pod alone.
fn stamped(specs: &[Spec], advice: &[Option<Recommendation>], bounds: &Bounds) -> Option<Vec<ContainerSize>> {
    let (mut init, mut main) = (Vec::new(), Vec::new());
    for ((name, kind), spec) in CONTAINERS.iter().zip(specs) {
        let policy = (*kind == Kind::Sidecar).then_some("Always");
        let container = json!({"name": name, "resources": written(&spec.template), "restartPolicy": policy});
        if *kind == Kind::Container { &mut main } else { &mut init }.push(container);
    }
    let mut object = json!({"metadata": {}, "spec": {"containers": main, "initContainers": init}});
    let wants = CONTAINERS.iter().zip(advice);
    let wants = wants.filter_map(|((name, kind), advice)| Some((*name, Want::of(advice.as_ref()?, *kind))));
    let wanted = admit::Advice { recommendation: "r", wants: wants.collect() };
    let read_pod = admit::Pod::read(&object.to_string()).unwrap();
    let Verdict::Stamp { operations, .. } = admit::admit(&read_pod, &wanted, bounds, NOW) else {
        return None;
    };
    let patch: json_patch::Patch = serde_json::from_value(json!(operations)).unwrap();
    json_patch::patch(&mut object, &patch).unwrap();
    let all = ["initContainers", "containers"]
        .into_iter()
        .flat_map(|list| object["spec"][list].as_array().unwrap());
    Some(all.map(|container| read(&container["resources"])).collect())
}

/// What the updater does with such a pod, at once and after the cooldown.
fn changes(
    sizes: &[ContainerSize],
    advice: &[Option<Recommendation>],
    bounds: &NamespaceBounds,
) -> Vec<String> {
    let class = class(sizes);
    let name = |place: usize| Arc::<str>::from(CONTAINERS[place].0);
    let container = |(place, size): (usize, &ContainerSize)| facts::Container {
        name: name(place),
        sidecar: CONTAINERS[place].1 == Kind::Sidecar,
        given: *size,
        asked: *size,
        ..facts::Container::default()
    };
    let advice = advice.iter().enumerate().filter_map(|(place, advice)| {
        let advice = (*advice)?;
        Some((name(place), Recommendation { limits: limits_of_class(&advice.limits, class), ..advice }))
    });
    let lasting = sizes.iter().enumerate().filter(|(place, _)| CONTAINERS[*place].1 != Kind::Init);
    let made = facts::Pod {
        class,
        containers: lasting.map(container).collect(),
        created: Some(NOW),
        ..pod(1, sizes[2])
    };
    let around = Around { bounds: *bounds, ..Around::default() };
    let workload = Workload {
        key: "shop/web".into(),
        advice: advice.collect(),
        given_since: Some(NOW.plus(-3600)),
        around,
        pods: vec![made],
        ..Workload::default()
    };
    let mut updater = Updater::new(1e6, 1e6).with_warm_up(0);
    let mut changes = Vec::new();
    for later in [5, 700, 4000, 90_000, 200_000] {
        let plan = updater.plan(std::slice::from_ref(&workload), &CALM, NOW.plus(later));
        changes.extend(plan.actions.iter().map(|action| format!("after {later} s: {:?}", action.deed)));
    }
    changes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn a_stamped_pod_is_one_that_the_updater_leaves_alone(specs in specs()) {
        let bounds = NamespaceBounds::default();
        let advice = recommended(&specs, &bounds);
        let Some(sizes) = stamped(&specs, &advice, &Bounds::default()) else { return Ok(()) };
        let changes = changes(&sizes, &advice, &bounds);
        prop_assert!(changes.is_empty(), "{sizes:?}\n{changes:#?}");
    }

    /// Where LimitRanges move nothing of what is recommended and given.
    #[test]
    fn the_same_holds_beside_limit_ranges_that_forbid_nothing(specs in specs(), bounds in ranges()) {
        let advice = recommended(&specs, &bounds);
        let Some(sizes) = stamped(&specs, &advice, &at_admission(&bounds)) else { return Ok(()) };
        let free = recommended(&specs, &NamespaceBounds::default());
        let target = |all: &[Option<Recommendation>]| -> Vec<_> {
            all.iter().map(|one| one.map(|one| one.target)).collect()
        };
        if target(&advice) != target(&free) || stamped(&specs, &advice, &Bounds::default()) != Some(sizes.clone()) {
            return Ok(());
        }
        let changes = changes(&sizes, &advice, &bounds);
        prop_assert!(changes.is_empty(), "{sizes:?}\n{changes:#?}");
    }
}
