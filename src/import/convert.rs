//! From a VerticalPodAutoscaler to a VerticalScalingPolicy, with a note on each field.

use std::collections::{BTreeMap, BTreeSet};

use kube::ResourceExt;
use kube::api::ObjectMeta;
use serde::Serialize;
use serde_json::Value;

use super::vpa::{self, Vpa};
use crate::api::{
    Amount, BoostDuration, ContainerPolicy, CpuBoost, CpuLimitRule, MemoryLimitRule, Method, Mode,
    PolicyTarget, ResourceAmounts, ResourceName, Span, StartupBoost, VerticalScalingPolicy,
    VerticalScalingPolicySpec, WorkloadReference,
};
use crate::units::Cores;

/// As many entries for containers as a policy may hold.
const MOST_CONTAINERS: usize = 32;

/// What became of one field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Note {
    /// Its path in the VPA.
    pub field: String,
    /// What it said.
    pub was: String,
    /// What it became; `None` where it has no equal.
    pub became: Option<String>,
    /// Why, or what is different.
    pub why: String,
}

/// A policy, and how it came about.
#[derive(Clone, Debug)]
pub struct Imported {
    /// The policy.
    pub policy: VerticalScalingPolicy,
    /// A note on each field of the VPA.
    pub notes: Vec<Note>,
}

impl Imported {
    /// Namespace and name.
    #[must_use]
    pub fn name(&self) -> String {
        match self.policy.namespace() {
            Some(namespace) => format!("{namespace}/{}", self.policy.name_any()),
            None => self.policy.name_any(),
        }
    }

    /// The policy as an object, without what it would have by default anyway.
    ///
    /// # Errors
    /// Where it cannot be written, which no policy is known to do.
    pub fn object(&self) -> Result<Value, serde_json::Error> {
        let mut object = serde_json::to_value(&self.policy)?;
        let plain = serde_json::to_value(VerticalScalingPolicySpec::default())?;
        if let Some(spec) = object.get_mut("spec") {
            without(spec, &plain);
            for container in spec.get_mut("containers").and_then(Value::as_array_mut).into_iter().flatten() {
                let name = container.get("name").cloned().unwrap_or_default();
                let plain: ContainerPolicy = serde_json::from_value(serde_json::json!({"name": name}))?;
                without(container, &serde_json::to_value(plain)?);
                if let Value::Object(fields) = container {
                    fields.insert("name".to_owned(), name);
                }
            }
        }
        Ok(object)
    }
}

/// Takes away what is the same in `plain`.
fn without(value: &mut Value, plain: &Value) {
    let (Value::Object(fields), Value::Object(plain)) = (value, plain) else { return };
    fields.retain(|name, field| {
        let Some(plain) = plain.get(name) else { return true };
        if field == plain {
            return false;
        }
        without(field, plain);
        true
    });
}

/// Notes as they are taken.
#[derive(Default)]
struct Notes(Vec<Note>);

impl Notes {
    #[expect(clippy::needless_pass_by_value, reason = "texts, numbers and what is borrowed alike")]
    fn became(&mut self, field: &str, was: impl ToString, became: impl ToString, why: &str) {
        let (field, was) = (field.to_owned(), was.to_string());
        self.0.push(Note { field, was, became: Some(became.to_string()), why: why.to_owned() });
    }

    #[expect(clippy::needless_pass_by_value, reason = "texts, numbers and what is borrowed alike")]
    fn no_equal(&mut self, field: &str, was: impl ToString, why: &str) {
        let (field, was) = (field.to_owned(), was.to_string());
        self.0.push(Note { field, was, became: None, why: why.to_owned() });
    }

    fn unknown(&mut self, path: &str, rest: &BTreeMap<String, Value>) {
        for (name, value) in rest {
            let why = match name.as_str() {
                "oomBumpUpRatio" | "oomMinBumpUp" => {
                    "after an OOM kill plumb raises the limit that was hit by half, by 16Mi at least, and learns from there"
                }
                "memoryAggregationIntervalSeconds" | "memoryAggregationIntervalCount" => {
                    "plumb takes every sample of memory, and chooses per container how much of the past counts"
                }
                "evictAfterOOMSeconds" => "plumb answers an OOM kill at once, whenever it comes",
                _ => "not a field that plumb knows of VPA's",
            };
            self.no_equal(&format!("{path}.{name}"), value, why);
        }
    }
}

/// The policy that says what a VPA says. `keep_mode`: in mode Auto where the VPA acts. Else it only
/// recommends, until a person says more.
///
/// # Errors
/// Where there is no workload that it could be for.
pub fn convert(vpa: &Vpa, keep_mode: bool) -> Result<Imported, String> {
    let mut notes = Notes::default();
    let target =
        vpa.spec.target_ref.as_ref().filter(|target| !target.kind.is_empty() && !target.name.is_empty());
    let Some(target) = target else {
        return Err(
            "it has no spec.targetRef with kind and name: there is no workload to be sized".to_owned()
        );
    };
    let reference = WorkloadReference {
        api_version: target.api_version.clone().unwrap_or_else(|| api_version(&target.kind).to_owned()),
        kind: target.kind.clone(),
        name: target.name.clone(),
    };
    notes.became(
        "spec.targetRef",
        format!("{} {}", target.kind, target.name),
        "target.workloadRef",
        if target.api_version.is_some() { "" } else { "its apiVersion was absent, and is assumed" },
    );
    let mut spec = VerticalScalingPolicySpec {
        target: Some(PolicyTarget { workload_ref: Some(reference), ..PolicyTarget::default() }),
        ..VerticalScalingPolicySpec::default()
    };
    update_policy(vpa.spec.update_policy.as_ref(), keep_mode, &mut spec, &mut notes);
    if let Some(resources) = &vpa.spec.resource_policy {
        containers(resources, &mut spec, &mut notes);
    }
    for recommender in vpa.spec.recommenders.iter().flatten() {
        notes.no_equal("spec.recommenders", &recommender.name, "plumb recommends itself, by `objective`");
    }
    if let Some(stated) = &vpa.spec.startup_boost
        && let Some(boost) = boost("spec.startupBoost", stated, &mut notes)
    {
        boost_all(&boost, &mut spec);
    }
    notes.unknown("spec", &vpa.spec.rest);
    let mut policy = VerticalScalingPolicy::new(&vpa.metadata.name, spec);
    policy.metadata = ObjectMeta {
        name: Some(vpa.metadata.name.clone()),
        namespace: vpa.metadata.namespace.clone(),
        labels: (!vpa.metadata.labels.is_empty()).then(|| vpa.metadata.labels.clone()),
        ..ObjectMeta::default()
    };
    Ok(Imported { policy, notes: notes.0 })
}

/// More CPU at the start, where it is a factor.
fn boost(path: &str, stated: &Value, notes: &mut Notes) -> Option<StartupBoost> {
    let cpu = stated.get("cpu");
    let field = |name: &str| cpu.and_then(|cpu| cpu.get(name));
    let factor = field("factor").and_then(Value::as_u64).filter(|factor| (2..=100).contains(factor));
    let (Some(factor), None) = (factor, field("quantity")) else {
        notes.no_equal(
            path,
            stated,
            "plumb gives a multiple of the CPU target, from above 1 to 100 times as much",
        );
        return None;
    };
    let seconds = field("durationSeconds").and_then(Value::as_u64).unwrap_or(0);
    let (duration, why) = match seconds {
        0 => (BoostDuration::UntilReady, ""),
        3601.. => (
            BoostDuration::For(Span::seconds(3600)),
            "an hour at most, counted from the start of the container: what it needs for longer belongs to its request",
        ),
        _ => (
            BoostDuration::For(Span::seconds(seconds)),
            "counted from the start of the container, where VPA counts from when its pod is ready",
        ),
    };
    notes.became(path, stated, format!("startupBoost: {factor} times the CPU, {duration}"), why);
    let factor = Amount::from(Cores::from_milli(factor * 1000));
    Some(StartupBoost { cpu: CpuBoost { factor, duration } })
}

/// For every container that has none of its own.
fn boost_all(boost: &StartupBoost, spec: &mut VerticalScalingPolicySpec) {
    if spec.containers.iter().all(|container| container.name != "*")
        && spec.containers.len() < MOST_CONTAINERS
    {
        spec.containers.push(plain("*"));
    }
    for container in &mut spec.containers {
        container.startup_boost.get_or_insert_with(|| boost.clone());
    }
}

/// An entry that says nothing.
fn plain(name: &str) -> ContainerPolicy {
    ContainerPolicy {
        name: name.to_owned(),
        resources: vec![ResourceName::Cpu, ResourceName::Memory],
        min_allowed: None,
        max_allowed: None,
        cpu: Default::default(),
        memory: Default::default(),
        startup_boost: None,
    }
}

fn api_version(kind: &str) -> &'static str {
    match kind {
        "Job" | "CronJob" => "batch/v1",
        "ReplicationController" => "v1",
        _ => "apps/v1",
    }
}

fn update_policy(
    update: Option<&vpa::UpdatePolicy>,
    keep_mode: bool,
    spec: &mut VerticalScalingPolicySpec,
    notes: &mut Notes,
) {
    let said = update.and_then(|update| update.update_mode.as_deref());
    let (mode, method, why) = match said.unwrap_or("Recreate") {
        "Off" => (Mode::Recommend, None, ""),
        "Initial" => (Mode::Auto, Some(Method::OnCreate), ""),
        "Recreate" => (Mode::Auto, Some(Method::Evict), ""),
        "InPlaceOrRecreate" => (Mode::Auto, Some(Method::InPlaceOrEvict), ""),
        "InPlace" => (Mode::Auto, Some(Method::InPlace), ""),
        "Auto" => (
            Mode::Auto,
            Some(Method::InPlaceOrEvict),
            "VPA's Auto evicts; plumb resizes in place and evicts only where that cannot be. As VPA does it: method Evict",
        ),
        _ => (Mode::Recommend, None, "not a mode that plumb knows of VPA's: it only recommends"),
    };
    let was = said.unwrap_or("absent, which is Recreate");
    let path = "spec.updatePolicy.updateMode";
    if !keep_mode && mode == Mode::Auto {
        let method = method.map_or_else(String::new, |method| format!(", method {method:?}"));
        notes.became(
            path,
            was,
            format!("mode Recommend{method}"),
            "changes nothing yet; set mode Auto, or --keep-mode, to act",
        );
    } else {
        spec.mode = mode;
        let method = method.map_or_else(String::new, |method| format!(", actuation.method {method:?}"));
        notes.became(path, was, format!("mode {mode:?}{method}"), why);
    }
    if let Some(method) = method {
        spec.actuation.method = method;
    }
    let Some(update) = update else { return };
    if let Some(least) = update.min_replicas {
        match u32::try_from(least).ok().filter(|least| *least <= 100_000) {
            Some(least) => {
                spec.actuation.min_replicas = least;
                notes.became(
                    "spec.updatePolicy.minReplicas",
                    least,
                    format!("actuation.minReplicas {least}"),
                    "with fewer replicas plumb evicts none, but still resizes in place",
                );
            }
            None => notes.no_equal("spec.updatePolicy.minReplicas", least, "from 0 to 100000 is meant"),
        }
    }
    for requirement in update.eviction_requirements.iter().flatten() {
        notes.no_equal(
            "spec.updatePolicy.evictionRequirements",
            requirement,
            "plumb resizes in place first, so that few pods are evicted; `memory.shrink: false` never takes memory away",
        );
    }
    notes.unknown("spec.updatePolicy", &update.rest);
}

fn containers(resources: &vpa::ResourcePolicy, spec: &mut VerticalScalingPolicySpec, notes: &mut Notes) {
    let mut names = BTreeSet::new();
    for (at, stated) in resources.container_policies.iter().flatten().enumerate() {
        let path = format!("spec.resourcePolicy.containerPolicies[{at}]");
        let name =
            stated.container_name.clone().filter(|name| !name.is_empty()).unwrap_or_else(|| "*".to_owned());
        if !names.insert(name.clone()) {
            notes.no_equal(
                &path,
                &name,
                "a second entry for this container: the first one holds, as with VPA",
            );
            continue;
        }
        if spec.containers.len() >= MOST_CONTAINERS {
            notes.no_equal(
                &path,
                &name,
                "a policy holds 32 entries: name the others by \"*\", or by a second policy",
            );
            continue;
        }
        spec.containers.push(container(&path, &name, stated, notes));
    }
    notes.unknown("spec.resourcePolicy", &resources.rest);
}

fn container(path: &str, name: &str, stated: &vpa::ContainerPolicy, notes: &mut Notes) -> ContainerPolicy {
    let mut own = plain(name);
    notes.became(&format!("{path}.containerName"), name, format!("containers: name {name:?}"), "");
    controlled(path, stated, &mut own, notes);
    let least = amounts(&format!("{path}.minAllowed"), stated.min_allowed.as_ref(), notes);
    let most = amounts(&format!("{path}.maxAllowed"), stated.max_allowed.as_ref(), notes);
    own.min_allowed = lowered(path, least, most.as_ref(), notes);
    own.max_allowed = most;
    match stated.controlled_values.as_deref() {
        Some("RequestsOnly") => {
            (own.cpu.limit, own.memory.limit) = (CpuLimitRule::Keep, MemoryLimitRule::Keep);
            let path = format!("{path}.controlledValues");
            notes.became(
                &path,
                "RequestsOnly",
                "cpu.limit Keep, memory.limit Keep",
                "a limit below its request is raised to it",
            );
        }
        Some("RequestsAndLimits") => {
            (own.cpu.limit, own.memory.limit) = (CpuLimitRule::Ratio, MemoryLimitRule::Ratio);
            let path = format!("{path}.controlledValues");
            notes.became(&path, "RequestsAndLimits", "cpu.limit Ratio, memory.limit Ratio", "");
        }
        Some(other) => notes.no_equal(
            &format!("{path}.controlledValues"),
            other,
            "not a value that plumb knows of VPA's",
        ),
        None => notes.became(
            &format!("{path}.controlledValues"),
            "absent",
            "cpu.limit Keep, memory.limit Tail",
            "plumb's own: VPA scales limits with the requests; as VPA does it: limit Ratio of both",
        ),
    }
    if let Some(stated) = &stated.startup_boost {
        own.startup_boost = boost(&format!("{path}.startupBoost"), stated, notes);
    }
    notes.unknown(path, &stated.rest);
    own
}

/// Which resources are sized: none in mode Off.
fn controlled(path: &str, stated: &vpa::ContainerPolicy, own: &mut ContainerPolicy, notes: &mut Notes) {
    if let Some(listed) = &stated.controlled_resources {
        let has = |name: &str| listed.iter().any(|listed| listed == name);
        own.resources = [("cpu", ResourceName::Cpu), ("memory", ResourceName::Memory)]
            .into_iter()
            .filter_map(|(name, resource)| has(name).then_some(resource))
            .collect();
        let path = format!("{path}.controlledResources");
        notes.became(&path, listed.join(", "), "resources", "");
        for other in listed.iter().filter(|name| !matches!(name.as_str(), "cpu" | "memory")) {
            notes.no_equal(&path, other, "plumb sizes cpu and memory");
        }
    }
    match stated.mode.as_deref() {
        Some("Off") => {
            own.resources.clear();
            notes.became(&format!("{path}.mode"), "Off", "resources []", "the container is left alone");
        }
        None | Some("Auto") => {}
        Some(other) => notes.no_equal(&format!("{path}.mode"), other, "not a mode that plumb knows of VPA's"),
    }
}

fn amounts(
    path: &str,
    stated: Option<&BTreeMap<String, Value>>,
    notes: &mut Notes,
) -> Option<ResourceAmounts> {
    let mut found = ResourceAmounts::default();
    for (name, value) in stated? {
        let path = format!("{path}.{name}");
        let slot = match name.as_str() {
            "cpu" => &mut found.cpu,
            "memory" => &mut found.memory,
            _ => {
                notes.no_equal(&path, value, "plumb sizes cpu and memory");
                continue;
            }
        };
        // A YAML float such as 0.5 is what its text says.
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        match serde_json::from_value::<Amount>(Value::String(text.clone())) {
            Ok(amount) => {
                let key = path.rsplit("].").next().unwrap_or(&path).to_owned();
                notes.became(&path, &text, format!("{key} {amount}"), "");
                *slot = Some(amount);
            }
            Err(error) => notes.no_equal(&path, &text, &error.to_string()),
        }
    }
    (found != ResourceAmounts::default()).then_some(found)
}

/// The floor, where it is above the ceiling lowered to that: of both, VPA lets the ceiling win, and plumb takes no such policy.
fn lowered(
    path: &str,
    least: Option<ResourceAmounts>,
    most: Option<&ResourceAmounts>,
    notes: &mut Notes,
) -> Option<ResourceAmounts> {
    let mut least = least?;
    let Some(most) = most else { return Some(least) };
    for (name, low, high) in [("cpu", &mut least.cpu, &most.cpu), ("memory", &mut least.memory, &most.memory)]
    {
        if let (Some(floor), Some(ceiling)) = (low.as_ref(), high)
            && floor.value() > ceiling.value()
        {
            notes.became(
                &format!("{path}.minAllowed.{name}"),
                floor,
                format!("minAllowed.{name} {ceiling}"),
                "it was above maxAllowed, which wins",
            );
            *low = Some(ceiling.clone());
        }
    }
    Some(least)
}
