//! What is kept of a Recommendation that is already there: enough to tell whether it has to be written again, and
//! what it says, for those who act on it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use std::sync::Arc;

use kube::ResourceExt;

use super::facts::{Size, Sizes, hash};
use super::intern::Interner;
use crate::api::{
    Canary, Confidence, ContainerKind, ContainerRecommendation, Given, HysteresisRule, LimitRules, Mode,
    PolicyReference, ROLLBACK, Recommendation, RecommendationSpec, RecommendationStatus, ResourceAmounts,
    Resources, Rollback, WorkloadReference,
};
use crate::units::{Cores, Timestamp};

/// The conditions that the recommender writes; those of the updater are its own.
const OURS: [&str; 2] = ["HistoryReady", "Limited"];
/// Those of the updater.
const UPDATERS: [&str; 3] = ["Applied", "Blocked", "Degraded"];

/// The state of what is recommended and not acted on: the recommender's word.
pub const ADVISED: &str = "Advised";

/// A recommendation, as the API server holds it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Written {
    /// [`spec_fingerprint`] of what it is about; 0 where it cannot be read.
    pub spec: u64,
    /// [`status_fingerprint`] of what it says; 0 where it says nothing yet.
    pub status: u64,
    /// The workload that it is about; `None` where it cannot be read.
    pub workload: Option<WorkloadReference>,
    /// The recommender's conditions: when they last changed is kept.
    pub conditions: Vec<Condition>,
    /// What the updater has said.
    pub acted: Acted,
    /// The mode of its policy; Recommend where it cannot be read.
    pub mode: Mode,
    /// The policy that speaks for the workload; `None` where it cannot be read.
    pub policy: Option<PolicyReference>,
    /// What each container should have; empty where it says nothing yet.
    pub containers: Box<[Advice]>,
    /// Somebody wants back what was before, or why that cannot be read.
    pub rollback: Option<Result<RolledBack, String>>,
}

/// Somebody wants back what was before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RolledBack {
    /// When it was asked for.
    pub at: Timestamp,
    /// Nothing is changed until then.
    pub until: Timestamp,
    /// How often in a row.
    pub times: u32,
}

impl RolledBack {
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let read: Rollback =
            serde_json::from_str(text).map_err(|error| format!("annotation {ROLLBACK}: {error}"))?;
        let (at, until) = (Timestamp(read.at.0.as_second()), Timestamp(read.until.0.as_second()));
        Ok(Self { at, until, times: read.times })
    }
}

/// What a container had before, and what was meant for it then.
#[derive(Clone, Debug, PartialEq)]
pub struct Previous {
    /// The container's name.
    pub name: Arc<str>,
    /// What it had.
    pub had: Sizes,
    /// What was meant for it.
    pub meant: Sizes,
}

/// What the updater says of a workload.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Acted {
    /// The state's word; `None` where it says nothing.
    pub state: Option<String>,
    /// Why.
    pub message: Option<String>,
    /// Applied, Blocked and Degraded.
    pub conditions: Vec<Condition>,
    /// What its containers had before what is recommended was given to them.
    pub previous: Vec<Previous>,
    /// What new pods are given.
    pub new_pods: Option<NewPods>,
    /// What is known of the first pod that was changed; of most workloads nothing.
    pub canary: Option<Box<Canary>>,
}

/// What new pods are given, and since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewPods {
    /// What it is.
    pub given: Given,
    /// Since when.
    pub since: Timestamp,
}

/// What a Recommendation says of one container.
#[derive(Clone, Debug, PartialEq)]
pub struct Advice {
    /// The container's name.
    pub name: Arc<str>,
    /// Its kind.
    pub kind: ContainerKind,
    /// What it should run with. What is `None` is not recommended.
    pub target: Sizes,
    /// Requests below this are too small. `None`: this resource is not sized.
    pub lower: Size,
    /// Requests above this are too large.
    pub upper: Size,
    /// The most that a request or limit may be.
    pub most: Size,
    /// When a change of its CPU request is worth making.
    pub cpu_hysteresis: Option<HysteresisRule>,
    /// When a change of its memory request is worth making.
    pub memory_hysteresis: Option<HysteresisRule>,
    /// How its limits follow; `None`: as under a policy that says nothing.
    pub limit_rules: Option<Box<LimitRules>>,
    /// How sure the recommendation is.
    pub confidence: Confidence,
    /// Its pods are Guaranteed.
    pub guaranteed: bool,
    /// Its history is short.
    pub learning: bool,
}

impl Written {
    pub(super) fn of(object: &Recommendation, names: &mut Interner<str>) -> Self {
        let owners = object.metadata.owner_references.as_deref().unwrap_or_default();
        let owner = owners.first().map_or("", |owner| owner.uid.as_str());
        let spec = spec_fingerprint(&object.spec, owner);
        let about = Self {
            spec,
            workload: Some(object.spec.workload_ref.clone()),
            mode: object.spec.mode,
            policy: Some(object.spec.policy_ref.clone()),
            rollback: object.annotations().get(ROLLBACK).map(|text| RolledBack::read(text)),
            ..Self::default()
        };
        let Some(status) = &object.status else { return about };
        let conditions =
            status.conditions.iter().filter(|c| OURS.contains(&c.type_.as_str())).cloned().collect();
        let updaters =
            status.conditions.iter().filter(|c| UPDATERS.contains(&c.type_.as_str())).cloned().collect();
        let summary = &status.summary;
        let acted = Acted {
            state: summary.state.clone().filter(|state| state != ADVISED),
            message: summary.message.clone(),
            conditions: updaters,
            previous: status
                .previous
                .iter()
                .map(|previous| Previous {
                    name: names.text(&previous.name),
                    had: sizes_of(&previous.resources),
                    meant: sizes_of(&previous.target),
                })
                .collect(),
            new_pods: status.new_pods.as_ref().map(|new_pods| NewPods {
                given: new_pods.given,
                since: Timestamp(new_pods.since.0.as_second()),
            }),
            canary: status.canary.clone().map(Box::new),
        };
        let advice = status.containers.iter().map(|container| advice(container, names));
        Self { status: status_fingerprint(status), conditions, acted, containers: advice.collect(), ..about }
    }
}

fn advice(container: &ContainerRecommendation, names: &mut Interner<str>) -> Advice {
    let hysteresis = container.hysteresis.clone().unwrap_or_default();
    let unusual = container.limit_rules != LimitRules::default();
    Advice {
        name: names.text(&container.name),
        kind: container.kind,
        target: sizes_of(&container.target),
        lower: size(&container.lower),
        upper: size(&container.upper),
        most: container.max_allowed.as_ref().map(size).unwrap_or_default(),
        cpu_hysteresis: hysteresis.cpu,
        memory_hysteresis: hysteresis.memory,
        limit_rules: unusual.then(|| Box::new(container.limit_rules.clone())),
        confidence: container.confidence,
        guaranteed: container.guaranteed,
        learning: container.learning,
    }
}

impl Written {
    /// Since when new pods are given the targets; `None` where they are not, or where nobody has said so.
    #[must_use]
    pub fn sized_since(&self) -> Option<Timestamp> {
        self.acted.new_pods.filter(|new_pods| new_pods.given == Given::Target).map(|new_pods| new_pods.since)
    }
}

/// As what is read of pods.
#[must_use]
pub fn sizes_of(resources: &Resources) -> Sizes {
    Sizes { requests: size(&resources.requests), limits: size(&resources.limits) }
}

fn size(amounts: &ResourceAmounts) -> Size {
    Size {
        milli_cpu: amounts.cpu.as_ref().map(|cpu| Cores::to_milli(cpu.value().as_cores())),
        memory: amounts.memory.as_ref().and_then(|memory| memory.value().as_bytes()),
    }
}

/// A number for what a recommendation is about, and the uid of the policy that owns it.
#[must_use]
pub fn spec_fingerprint(spec: &RecommendationSpec, owner: &str) -> u64 {
    digest(&(spec, owner))
}

/// A number for what the recommender says. Equal numbers: nothing has to be written. What others say in the same
/// status does not count, nor do reasons and counts of samples, which change with every sample: they follow when
/// something else changes.
#[must_use]
pub fn status_fingerprint(status: &RecommendationStatus) -> u64 {
    let mut status = status.clone();
    // The updater's words.
    status.summary.state = status.summary.state.filter(|state| state == ADVISED);
    status.summary.message = None;
    status.previous.clear();
    status.new_pods = None;
    status.canary = None;
    status.conditions.retain(|condition| OURS.contains(&condition.type_.as_str()));
    for container in &mut status.containers {
        container.reasons.clear();
        container.samples = 0;
    }
    status.conditions.sort_by(|a, b| a.type_.cmp(&b.type_));
    digest(&status)
}

fn digest(value: &impl serde::Serialize) -> u64 {
    // Types of our own always become JSON; if not, 0 means: write.
    serde_json::to_vec(value).map(|bytes| hash(&bytes)).unwrap_or_default()
}
