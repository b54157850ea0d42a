//! Any bytes as an admission review: answered or refused, never a panic. What is stamped is a patch that can be
//! applied, leaves no request above its limit, and comes to rest.

#![no_main]

use json_patch::Patch;
use libfuzzer_sys::fuzz_target;
use plumb::admit::{
    Advice, Boost, Bounds, Extent, Kind, Left, Pod, Range, Verdict, Want, admit,
};
use plumb::control::webhook::review::{self, Review};
use plumb::policy::{CpuLimitRule, LimitRules, MemoryLimitRule};
use plumb::units::{Bytes, Quantity, Timestamp};
use serde_json::Value;
use serde_json::value::RawValue;

fuzz_target!(|data: &[u8]| {
    let Ok(read) = review::read(data) else { return };
    let Some(raw) = read.pod else { return };
    let Some(pod) = review::pod(raw) else { return };
    let want = |kind, cpu, memory, rules| Want {
        kind,
        cpu: Some(cpu),
        memory: Some(memory),
        memory_limit: Some(memory * 2),
        rules,
        young: cpu == 7,
        boost: (cpu > 10).then_some(Boost { cpu: cpu * 3, seconds: Some(60) }),
    };
    let ratio = LimitRules {
        cpu: CpuLimitRule::Ratio,
        memory: MemoryLimitRule::Ratio,
        ..LimitRules::default()
    };
    let headroom = LimitRules { memory: MemoryLimitRule::Headroom(Bytes(256 << 20)), ..LimitRules::default() };
    let advice = Advice {
        recommendation: "deployment-web",
        wants: vec![
            ("app", want(Kind::Container, 180, 300 << 20, LimitRules::default())),
            ("two", want(Kind::Container, 7, 1 << 20, ratio)),
            ("proxy", want(Kind::Sidecar, 30, 50 << 20, LimitRules::default())),
            ("setup", want(Kind::Init, 90, 20 << 20, headroom)),
        ],
    };
    for bounds in [Bounds::default(), narrow()] {
        judge(&read, raw, &pod, &advice, &bounds);
    }
});

/// A namespace that leaves little room.
fn narrow() -> Bounds {
    let cpu = Range { least: Some(20), most: Some(500), default_limit: None, ratio: Some(2500) };
    let memory = Range { least: Some(8 << 20), most: Some(1 << 30), default_limit: Some(1 << 28), ratio: None };
    let left = Left { cpu_requests: Some(300), memory_limits: Some(1 << 30), ..Left::default() };
    Bounds { container: Extent { cpu, memory }, pod: Extent::default(), left }
}

fn judge(read: &Review<'_>, raw: &RawValue, pod: &Pod, advice: &Advice<'_>, bounds: &Bounds) {
    let now = Timestamp(1_800_000_000);
    let Verdict::Stamp { operations, .. } = admit(pod, advice, bounds, now) else { return };
    assert!(!review::answer(&read.uid, &operations).is_empty());
    // Half of a surrogate pair is not seen where it stands in what is skipped. The API server writes none.
    let Ok(mut object) = serde_json::from_str::<Value>(raw.get()) else { return };
    let patch: Patch = serde_json::from_value(serde_json::json!(operations)).expect("a patch");
    json_patch::patch(&mut object, &patch).expect("it can be applied");
    let text = object.to_string();
    let again = Pod::read(&text).expect("it still is a pod");
    assert_eq!(admit(&again, advice, bounds, now), Verdict::Stamped, "{text}");
    let Some(app) = again.spec.containers.iter().find(|container| container.name == "app") else { return };
    let Some(resources) = &app.resources else { return };
    for (name, request) in &resources.requests {
        let (Ok(request), Some(limit)) = (request.0.parse::<Quantity>(), resources.limits.get(name)) else {
            continue;
        };
        let sized = name == "cpu" || name == "memory";
        assert!(!sized || limit.0.parse::<Quantity>().is_ok_and(|limit| request <= limit), "{text}");
    }
}
