//! The targets of all containers in one line: a column for a person, and all that admission needs of a Recommendation
//! where it has to know ten thousand of them at once.
//!
//! `app cpu=180m memory=300Mi..400Mi; proxy kind=Sidecar cpu=20m memoryLimit=Remove`: request and limit of memory, then
//! what is not as usual. What is not sized is left out.

use serde::de::IntoDeserializer;
use serde::de::value::Error;
use serde::{Deserialize, Serialize};

use super::{Amount, BoostedCpu, ContainerRecommendation, ResourceName};

const BETWEEN_CONTAINERS: &str = "; ";
const UP_TO: &str = "..";
const ADD_MEMORY: &str = "addMemoryLimit";
const KEEP_MEMORY: &str = "keepMemory";
const HEADROOM: &str = "headroom";
const LEARNING: &str = "learning";
const CPU_RATIO: &str = "cpuRatio";
const MEMORY_RATIO: &str = "memoryRatio";
const MAX_CPU: &str = "maxCpu";
const MAX_MEMORY: &str = "maxMemory";
const HELD_CPU: &str = "heldCpu";
const HELD_MEMORY: &str = "heldMemory";

/// Writes the line; empty where there are no containers.
#[must_use]
pub fn write(containers: &[ContainerRecommendation]) -> String {
    containers.iter().map(container).collect::<Vec<_>>().join(BETWEEN_CONTAINERS)
}

fn container(advice: &ContainerRecommendation) -> String {
    let ContainerRecommendation { target, lower, limit_rules: rules, .. } = advice;
    let mut line = advice.name.clone();
    let mut add = |key: &str, value: String| {
        line.push(' ');
        line.push_str(key);
        if !value.is_empty() {
            line.push('=');
            line.push_str(&value);
        }
    };
    add_unusual(&mut add, "kind", advice.kind);
    if let Some(cpu) = target.requests.cpu.as_ref().filter(|_| lower.cpu.is_some()) {
        add("cpu", cpu.to_string());
    }
    if let Some(memory) = target.requests.memory.as_ref().filter(|_| lower.memory.is_some()) {
        let limit = target.limits.memory.as_ref().map(|limit| format!("{UP_TO}{limit}"));
        add("memory", format!("{memory}{}", limit.unwrap_or_default()));
    }
    add_unusual(&mut add, "cpuLimit", rules.cpu);
    add_unusual(&mut add, "memoryLimit", rules.memory);
    if let Some(headroom) = &rules.headroom {
        add(HEADROOM, headroom.to_string());
    }
    for (key, ratio) in [(CPU_RATIO, rules.cpu_ratio), (MEMORY_RATIO, rules.memory_ratio)] {
        if let Some(ratio) = ratio {
            add(key, ratio.to_string());
        }
    }
    let most = advice.max_allowed.as_ref();
    for (key, most) in [
        (MAX_CPU, most.and_then(|most| most.cpu.as_ref())),
        (MAX_MEMORY, most.and_then(|most| most.memory.as_ref())),
    ] {
        if let Some(most) = most {
            add(key, most.to_string());
        }
    }
    let flags = [
        (ADD_MEMORY, rules.add_memory),
        (KEEP_MEMORY, rules.keep_memory),
        (LEARNING, advice.learning),
        (HELD_CPU, advice.held.contains(&ResourceName::Cpu)),
        (HELD_MEMORY, advice.held.contains(&ResourceName::Memory)),
    ];
    for (key, holds) in flags {
        if holds {
            add(key, String::new());
        }
    }
    if let Some(BoostedCpu { cpu, duration }) = &advice.startup_boost {
        add("boost", format!("{cpu}/{duration}"));
    }
    line
}

/// Adds a word of the API, but for the one that is meant where nothing is said.
fn add_unusual<T: Serialize + Default + PartialEq>(add: &mut impl FnMut(&str, String), key: &str, word: T) {
    if word != T::default()
        && let Ok(serde_json::Value::String(text)) = serde_json::to_value(word)
    {
        add(key, text);
    }
}

/// Reads such a line: of each container name, kind, target, rules and boost, and that what it names is sized. `None`
/// where there is something in it that is not known here: then it does not say all.
#[must_use]
pub fn read(line: &str) -> Option<Vec<ContainerRecommendation>> {
    if line.is_empty() {
        return Some(Vec::new());
    }
    line.split(BETWEEN_CONTAINERS).map(read_container).collect()
}

fn read_container(part: &str) -> Option<ContainerRecommendation> {
    let mut words = part.split(' ');
    let is_label = |name: &&str| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let name = words.next().filter(is_label)?.to_owned();
    let mut read = ContainerRecommendation { name, ..ContainerRecommendation::default() };
    for word in words {
        let (key, value) = word.split_once('=').unwrap_or((word, ""));
        match key {
            "kind" => read.kind = named(value)?,
            "cpu" => {
                let cpu: Amount = value.parse().ok()?;
                read.lower.cpu = Some(cpu.clone());
                read.target.requests.cpu = Some(cpu);
            }
            "memory" => {
                let (request, limit) =
                    value.split_once(UP_TO).map_or((value, None), |(from, to)| (from, Some(to)));
                let memory: Amount = request.parse().ok()?;
                read.lower.memory = Some(memory.clone());
                read.target.requests.memory = Some(memory);
                read.target.limits.memory = limit.map(str::parse).transpose().ok()?;
            }
            "cpuLimit" => read.limit_rules.cpu = named(value)?,
            "memoryLimit" => read.limit_rules.memory = named(value)?,
            ADD_MEMORY => read.limit_rules.add_memory = true,
            KEEP_MEMORY => read.limit_rules.keep_memory = true,
            HEADROOM => read.limit_rules.headroom = Some(value.parse().ok()?),
            CPU_RATIO => read.limit_rules.cpu_ratio = Some(value.parse().ok()?),
            MEMORY_RATIO => read.limit_rules.memory_ratio = Some(value.parse().ok()?),
            MAX_CPU => read.max_allowed.get_or_insert_default().cpu = Some(value.parse().ok()?),
            MAX_MEMORY => read.max_allowed.get_or_insert_default().memory = Some(value.parse().ok()?),
            LEARNING => read.learning = true,
            HELD_CPU => read.held.push(ResourceName::Cpu),
            HELD_MEMORY => read.held.push(ResourceName::Memory),
            "boost" => {
                let (cpu, duration) = value.split_once('/')?;
                let (cpu, duration) = (cpu.parse().ok()?, duration.parse().ok()?);
                read.startup_boost = Some(BoostedCpu { cpu, duration });
            }
            _ => return None,
        }
    }
    Some(read)
}

/// Reads a word of the API; `None` where there is no such.
pub(crate) fn named<'a, T: Deserialize<'a>>(word: &'a str) -> Option<T> {
    T::deserialize(IntoDeserializer::<Error>::into_deserializer(word)).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::testing::resources;

    fn containers(value: &serde_json::Value) -> Vec<ContainerRecommendation> {
        serde_json::from_str(&value.to_string()).unwrap()
    }

    #[test]
    fn a_line_says_what_new_pods_are_given() {
        let usual = resources("180m", "300Mi", "400Mi");
        let all = containers(&json!([
            {"name": "app", "target": usual, "lower": {"cpu": "1m", "memory": "1Mi"}, "reasons": ["long"],
             "current": usual, "samples": 7},
            {"name": "proxy", "kind": "Sidecar", "target": usual, "lower": {"cpu": "1m"},
             "limitRules": {"cpu": "Remove", "memory": "Equal", "addMemory": true, "keepMemory": true},
             "maxAllowed": {"cpu": "2", "memory": "1Gi"}, "held": ["cpu", "memory"],
             "startupBoost": {"cpu": "540m", "duration": "60s"}},
            {"name": "cache", "target": usual, "lower": {"memory": "1Mi"}, "learning": true,
             "limitRules": {"memory": "Headroom", "headroom": "256Mi"}},
            {"name": "rest", "target": usual, "limitRules": {"cpu": "Ratio", "memory": "Ratio", "cpuRatio": 2.5, "memoryRatio": 1.1}},
            {"name": "idle", "target": usual}]));
        let line = write(&all);
        assert_eq!(
            line,
            "app cpu=180m memory=300Mi..400Mi; proxy kind=Sidecar cpu=180m cpuLimit=Remove memoryLimit=Equal \
             maxCpu=2 maxMemory=1Gi addMemoryLimit keepMemory heldCpu heldMemory boost=540m/1m; \
             cache memory=300Mi..400Mi memoryLimit=Headroom headroom=256Mi learning; \
             rest cpuLimit=Ratio memoryLimit=Ratio cpuRatio=2.5 memoryRatio=1.1; idle"
        );
        assert_eq!(write(&read(&line).unwrap()), line);
        assert_eq!(read("").unwrap(), []);
    }

    #[test]
    fn what_is_not_known_here_is_not_guessed() {
        for line in
            [" ", "app;", "app cpu=lots", "app cpu=1 gpu=1", "app boost=1", "app kind=Pod", "app memory=1.."]
        {
            assert_eq!(read(line), None, "{line:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_read_is_what_was_written(
            sized in any::<(bool, bool, bool)>(),
            cpu in 1_u64..100_000,
            memory in 1_u64..100_000,
            kind in prop::sample::select(vec!["Container", "Init", "Sidecar"]),
            rule in prop::sample::select(vec!["Tail", "Equal", "Ratio", "Keep", "Remove", "Headroom"]),
            flags in any::<(bool, bool, bool)>(),
            boost in prop::sample::select(vec!["untilReady", "90s", "1h"]),
            ratio in prop::option::of(1.0..100.0_f64),
            held in prop::sample::select(vec![vec![], vec!["cpu"], vec!["memory"], vec!["cpu", "memory"]]),
        ) {
            let (cpu, memory) = (format!("{cpu}m"), format!("{memory}Mi"));
            let mut value = json!({"name": "app", "kind": kind, "target": {}, "lower": {}, "learning": flags.2,
                "limitRules": {"memory": rule, "addMemory": flags.0, "keepMemory": flags.1}});
            if rule == "Headroom" {
                value["limitRules"]["headroom"] = json!(memory);
            }
            if let Some(ratio) = ratio {
                value["limitRules"]["cpuRatio"] = json!(ratio);
                value["maxAllowed"] = json!({"memory": memory});
            }
            if !held.is_empty() {
                value["held"] = json!(held);
            }
            if sized.0 {
                value["target"]["requests"]["cpu"] = json!(cpu);
                value["lower"]["cpu"] = json!(cpu);
                value["startupBoost"] = json!({"cpu": cpu, "duration": boost});
            }
            if sized.1 {
                value["target"]["requests"]["memory"] = json!(memory);
                value["lower"]["memory"] = json!(memory);
                if sized.2 {
                    value["target"]["limits"]["memory"] = json!(memory);
                }
            }
            let two = containers(&json!([value, value]));
            prop_assert_eq!(read(&write(&two)).unwrap(), two);
        }

        #[test]
        fn no_line_does_harm(line in "[a-z=/.; 0-9]{0,60}") {
            if let Some(all) = read(&line) {
                prop_assert_eq!(read(&write(&all)), Some(all));
            }
        }
    }
}
