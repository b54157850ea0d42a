//! What a Recommendation says: from what is known of a workload's containers to its status.
//!
//! Pure.

mod boost;
mod words;

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff;

use super::advice;
use super::book::{Book, Known, SeriesKey};
use super::rules::{self, ContainerRules};
use super::select::Choice;
use crate::api::{
    self, ContainerKind, ContainerRecommendation, HpaRule, Mode, RecommendationStatus, ResourceName, Summary,
    short,
};
use crate::cluster::index::{
    ADVISED, Autoscaler, ContainerShape, Limits, Phase, Quota, Room, Shape, Share, Sizes, WorkloadKey,
    WorkloadPods,
};
use crate::model::{self, Estimate};
use crate::policy::{self, Amounts, Baseline, ContainerSize, Explained, Fitted, LimitRules, Reason};
use crate::report::prices::{Prices, dollars_a_month};
use crate::units::Timestamp;

/// What around a workload bears on what it may be.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// The namespace's LimitRanges.
    pub limits: Limits,
    /// The namespace's ResourceQuotas, as far as they count its pods.
    pub quota: Quota,
    /// What its pods can have of one node: they must fit one of these. Empty: no node is known that they may use.
    pub nodes: Arc<[Room]>,
    /// HorizontalPodAutoscalers of the workload, by whichever of its pods' owners.
    pub autoscalers: Vec<Autoscaler>,
}

impl Surroundings {
    /// Resources of a container that a HorizontalPodAutoscaler scales by, where the policy holds these, or where another
    /// controller puts the autoscaler's targets back.
    fn held(&self, rule: HpaRule, container: &str) -> Vec<ResourceName> {
        let holding = self.autoscalers.iter().filter(|found| rule == HpaRule::Hold || found.owned);
        let shares: Vec<_> = holding.flat_map(|found| &found.shares).collect();
        let of_it = |share: &&&Share| share.container.as_deref().is_none_or(|of| of == container);
        let by = |memory: bool| shares.iter().filter(of_it).any(|share| share.memory == memory);
        let all = [(ResourceName::Cpu, by(false)), (ResourceName::Memory, by(true))];
        let held = all.into_iter().filter(|(_, held)| *held);
        held.map(|(resource, _)| resource).collect()
    }
}

/// What is the same for all workloads.
#[derive(Clone, Copy, Debug)]
pub struct Common<'a> {
    /// What resources cost.
    pub prices: &'a Prices,
    /// What is wrong with the source of usage, where something is.
    pub source_error: Option<&'a str>,
    /// The API server resizes pods: what is lent for a start can be taken back.
    pub resizes: bool,
    /// Now.
    pub now: Timestamp,
}

/// One container on its way.
struct Part<'a> {
    shape: &'a ContainerShape,
    rules: ContainerRules,
    /// As the policy has them, whatever the class of the running pods.
    limit_rules: LimitRules,
    /// Other rules hold for running pods.
    guaranteed: bool,
    known: Option<Known<'a>>,
    current: ContainerSize,
    need: Estimate,
    found: Explained,
}

/// The shape that most of the pods have; of equals the newest pods'.
pub(super) fn shape<'a>(workload: &'a WorkloadPods<'a>) -> Option<&'a Arc<Shape>> {
    let count =
        |shape: &Arc<Shape>| workload.pods.iter().filter(|(_, pod)| Arc::ptr_eq(&pod.shape, shape)).count();
    let newest = workload.pods.iter().max_by_key(|(_, pod)| (count(&pod.shape), pod.started));
    newest.map(|(_, pod)| &pod.shape)
}

/// What to say of a workload. `before` are the conditions that stand.
#[must_use]
pub fn status(
    key: &WorkloadKey,
    workload: &WorkloadPods<'_>,
    choice: &Choice,
    book: &Book,
    around: &Surroundings,
    common: &Common<'_>,
    before: &[Condition],
) -> RecommendationStatus {
    let Some(shape) = shape(workload) else { return RecommendationStatus::default() };
    let running = workload.pods.iter().filter(|(_, pod)| pod.phase == Phase::Running).count();
    let replicas = u32::try_from(running).unwrap_or(u32::MAX);
    let template = |name: &str| workload.template.as_ref().and_then(|template| template.container(name));
    let of = |container| part(key, container, shape, template, choice, book);
    let mut parts: Vec<_> = shape.containers.iter().map(of).collect();
    fit_pod(&mut parts, replicas, around);
    let mut containers: Vec<_> =
        parts.iter().map(|part| container(part, shape, template(&part.shape.name))).collect();
    for container in &mut containers {
        container.held = around.held(choice.policy.actuation.hpa, &container.name);
        container.reasons.extend(words::held(&container.held));
    }
    if common.resizes {
        boost::boost(&mut containers, &parts, around);
    }
    let pod = words::total(&containers, |container| &container.target);
    let current = words::total(&containers, |container| &container.current);
    let summary = Summary {
        cpu: words::change(current.requests.cpu.as_ref(), pod.requests.cpu.as_ref()),
        memory: words::change(current.requests.memory.as_ref(), pod.requests.memory.as_ref()),
        oom_kills: containers.iter().map(|container| container.oom_kills).sum(),
        saves: common.prices.saves(&current.requests, &pod.requests, replicas).map(dollars_a_month),
        confidence: confidence(&parts),
        // What is acted on, the updater tells.
        state: (choice.policy.mode == Mode::Recommend).then(|| ADVISED.to_owned()),
        message: None,
    };
    let conditions = vec![history(&parts, common), limited(&parts)];
    RecommendationStatus {
        replicas,
        summary,
        pod,
        sizes: Some(short::write(&containers)),
        containers,
        conditions: conditions.into_iter().map(|made| dated(made, before, common.now)).collect(),
        // The updater's.
        previous: Vec::new(),
        new_pods: None,
        canary: None,
    }
}

fn part<'a>(
    key: &WorkloadKey,
    shape: &'a ContainerShape,
    pod: &Shape,
    template: impl Fn(&str) -> Option<&'a Sizes>,
    choice: &Choice,
    book: &'a Book,
) -> Part<'a> {
    let known = book.known(&SeriesKey { workload: key.clone(), container: Arc::clone(&shape.name) });
    let mut rules = rules::rules(choice, &shape.name);
    let template = template(&shape.name).map(size);
    let limit_rules = rules.rules.limits(template.as_ref());
    let (kept, guaranteed) = policy::keep_class(&rules.rules, rules::class(pod.qos));
    rules.rules = kept;
    let current = size(&shape.sizes);
    let need = need(known.as_ref(), &rules);
    let is_guaranteed = guaranteed.is_some();
    let mut found = Explained::new(&need, &rules.rules, &Baseline { current, template });
    found.reasons.extend(guaranteed);
    policy::keep_whole_cores(&mut found, rules::class(pod.qos), &current, rules.rules.range.max_cpu);
    Part { shape, rules, limit_rules, guaranteed: is_guaranteed, known, current, need, found }
}

/// The estimate without what the policy does not size, and without what rests on nothing.
fn need(known: Option<&Known<'_>>, rules: &ContainerRules) -> Estimate {
    let nothing = Estimate {
        cpu: None,
        memory: None,
        limit: None,
        confidence: model::Confidence::Low,
        samples: 0,
        hours: 0.0,
    };
    let mut need = known.and_then(|known| known.estimate).copied().unwrap_or(nothing);
    need.cpu = need.cpu.filter(|_| rules.cpu);
    need.memory = need.memory.filter(|_| rules.memory);
    // Without a sample of steady use only a kill says what the request should be.
    need.limit = need.limit.filter(|tail| rules.memory && (need.memory.is_some() || tail.lesson > 0.0));
    need
}

/// The containers of a pod must fit a node and the namespace's rules together.
fn fit_pod(parts: &mut [Part<'_>], replicas: u32, around: &Surroundings) {
    let pod = parts.iter_mut().map(|part| Fitted {
        init: part.shape.kind == ContainerKind::Init,
        current: &part.current,
        most: Amounts { cpu: part.rules.rules.range.max_cpu, memory: part.rules.rules.range.max_memory },
        found: &mut part.found,
    });
    let nodes: Vec<_> = around.nodes.iter().map(rules::node).collect();
    policy::fit_pod(pod.collect(), &nodes, &rules::namespace(&around.limits, &around.quota), replicas);
}

fn container(part: &Part<'_>, pod: &Shape, template: Option<&Sizes>) -> ContainerRecommendation {
    let Part { shape, rules, limit_rules, guaranteed, known, current, found, .. } = part;
    let last_kill = known.and_then(|known| known.last_kill);
    ContainerRecommendation {
        name: shape.name.to_string(),
        kind: shape.kind,
        current: advice::resources(current),
        template: template
            .filter(|asked| **asked != shape.sizes)
            .map(|asked| advice::resources(&size(asked))),
        reasons: words::reasons(found, shape.kind, (rules.cpu, rules.memory), pod, known.is_some()),
        samples: known.map_or(0, |known| u64::from(known.series.samples())),
        days: known.map_or(0, |known| words::days(known.series.hours())),
        oom_kills: known.map_or(0, |known| known.series.kills()),
        last_oom_kill: last_kill.and_then(|at| jiff::Timestamp::from_second(at.0).ok()).map(Time),
        ..advice::write(&found.size, rules, limit_rules, *guaranteed, current)
    }
}

fn size(sizes: &Sizes) -> ContainerSize {
    ContainerSize {
        cpu_request: sizes.requests.cpu(),
        cpu_limit: sizes.limits.cpu(),
        memory_request: sizes.requests.memory,
        memory_limit: sizes.limits.memory,
    }
}

/// The containers whose usage should be known: those that run on, and that the policy sizes.
fn measured<'a>(parts: &'a [Part<'a>]) -> impl Iterator<Item = &'a Part<'a>> {
    parts.iter().filter(|p| p.shape.kind != ContainerKind::Init && (p.rules.cpu || p.rules.memory))
}

/// The container that lacks most of the policy's `history.learn`, and by how many hours.
fn young<'a>(parts: &'a [Part<'a>]) -> Option<(&'a Part<'a>, f32)> {
    let lacking = measured(parts).filter(|part| part.found.size.young);
    let lacks = |part: &Part<'_>| part.rules.rules.learn_hours - part.need.hours;
    lacking.map(|part| (part, lacks(part))).max_by(|(_, a), (_, b)| a.total_cmp(b))
}

fn young_message(container: &str, lacks: f32, now: Timestamp) -> String {
    // To the hour: it says the same from round to round.
    let until = now.plus((f64::from(lacks) * 3600.0) as i64 + 1800);
    let until = jiff::Timestamp::from_second(until.0 / 3600 * 3600).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    format!(
        "container {container} is learned of until about {until} (the policy's history.learn): limits are not lowered, \
         and requests keep half of what people set"
    )
}

/// Low while a container is young, however long the policy says that is.
fn confidence(parts: &[Part<'_>]) -> api::Confidence {
    if young(parts).is_some() {
        return api::Confidence::Low;
    }
    measured(parts).map(|part| words::confidence(part.found.size.confidence)).min().unwrap_or_default()
}

fn history(parts: &[Part<'_>], common: &Common<'_>) -> Condition {
    /// A source may miss a few turns before what it said last is called stale.
    const STALE_SECONDS: i64 = 600;
    let unseen = measured(parts).find(|part| part.need.cpu.is_none() && part.need.limit.is_none());
    let stale = |part: &&Part<'_>| {
        let newest = part.known.and_then(|known| known.series.newest());
        newest.is_some_and(|newest| common.now.seconds_since(newest) > STALE_SECONDS)
    };
    let old = measured(parts).find(stale).filter(|_| common.source_error.is_some());
    let stale_since = measured(parts)
        .find(stale)
        .and_then(|part| Some((&part.shape.name, part.known.and_then(|known| known.series.newest())?)));
    let (status, reason, message) = if let (Some(_), Some(error)) = (unseen, common.source_error) {
        (false, "SourceFailing", format!("usage cannot be read: {error}"))
    } else if let Some(part) = unseen {
        (false, "NoSamples", format!("no usage of container {} was seen yet", part.shape.name))
    } else if let (Some(_), Some(error)) = (old, common.source_error) {
        (false, "Stale", format!("the last figures stand, as usage cannot be read: {error}"))
    } else if let Some((container, newest)) = stale_since {
        let since = jiff::Timestamp::from_second(newest.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        (
            false,
            "Stale",
            format!("the last figures stand, as no usage of container {container} was seen since {since}"),
        )
    } else if let Some((part, lacks)) = young(parts) {
        (false, "Young", young_message(&part.shape.name, lacks, common.now))
    } else if confidence(parts) == api::Confidence::Low {
        (false, "Young", "less than a day of history: the figures may still change much".to_owned())
    } else {
        (true, "Enough", "a day of history or more".to_owned())
    };
    condition("HistoryReady", status, reason, &message)
}

fn limited(parts: &[Part<'_>]) -> Condition {
    let mut binding = Vec::new();
    for part in parts {
        for reason in &part.found.reasons {
            let word = match reason {
                Reason::Bound { bound, .. } => bound.word(),
                Reason::Capped { .. } => "MaxAllowed",
                Reason::KeptBelowNeed { .. } => "LimitKept",
                _ => continue,
            };
            binding.push((word, format!("container {}: {reason}", part.shape.name)));
        }
    }
    match binding.first() {
        None => condition("Limited", false, "NothingBinds", "nothing keeps the figures from the need"),
        Some((word, _)) => {
            let text: Vec<_> = binding.iter().map(|(_, text)| text.as_str()).collect();
            condition("Limited", true, word, &text.join("; "))
        }
    }
}

pub(super) fn condition(kind: &str, status: bool, reason: &str, message: &str) -> Condition {
    Condition {
        type_: kind.to_owned(),
        status: if status { "True" } else { "False" }.to_owned(),
        reason: reason.to_owned(),
        message: message.chars().take(1024).collect(),
        last_transition_time: Time(jiff::Timestamp::UNIX_EPOCH),
        observed_generation: None,
    }
}

/// With the time since which its status is what it is.
pub fn dated(made: Condition, before: &[Condition], now: Timestamp) -> Condition {
    let same = before.iter().find(|known| known.type_ == made.type_ && known.status == made.status);
    let now = jiff::Timestamp::from_second(now.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    let since = same.map_or(Time(now), |known| known.last_transition_time.clone());
    Condition { last_transition_time: since, ..made }
}
