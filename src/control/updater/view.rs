//! From the watched cluster to what the updater decides by. Pure but for the lock on the index that the caller holds.

mod loans;
mod others;
mod places;
#[cfg(test)]
mod tests;

use std::borrow::Borrow;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

pub(super) use self::loans::Loans;
use self::loans::has_more;
use self::others::Others;
use super::{kept, status};
use crate::actuate::Remembered;
use crate::actuate::facts::{
    Around, BackOff, Before, Boost, Container, MaxUnavailable, Method, Place, Pod, RefusedCreation, Resize,
    Rollback, Rules, Stalled, Workload,
};
use crate::actuate::state::Cause;
use crate::actuate::step::Pace;
use crate::api::{self, Actuation, Band, Mode, PolicyReference};
use crate::cluster::Index;
use crate::cluster::index::{
    BackOffState, ContainerLife, ContainerShape, Labels, Life, ObjectKey, Owner, PAUSE, Phase, PodFacts,
    Previous, RefusedPods, ResizeState, Sizes, Uid, WorkloadKey, WorkloadPods, Workloads, Written, group,
    rolls_out_in_steps,
};
use crate::control::rules::Tempo;
use crate::control::select::Candidate;
use crate::control::webhook::registration::leaves_out;
use crate::control::{advice, rules, window};
use crate::policy::ContainerSize;
use crate::units::{Cores, Timestamp};

/// A workload that is acted on.
pub(super) struct Seen {
    /// What is decided by.
    pub(super) workload: Workload,
    /// Which it is.
    pub(super) key: WorkloadKey,
    /// Its recommendation.
    pub(super) recommendation: ObjectKey,
    /// Its pods by id.
    pub(super) pods: HashMap<u128, ObjectKey>,
    /// What of its policy cannot be honoured.
    pub(super) problem: Option<String>,
    /// Another controller that resizes pods of it, by its field manager.
    pub(super) resizer: Option<Arc<str>>,
    /// Why the kubelet can never do a resize that was asked for, in its own words.
    pub(super) kubelet: Option<String>,
}

impl Borrow<Workload> for Seen {
    fn borrow(&self) -> &Workload {
        &self.workload
    }
}

/// A pod that is never ready keeps what it was lent for its start for so long, in seconds: as long as a policy may lend.
const LONGEST_BOOST: i64 = 3600;

/// The kind of the cluster's policies.
const CLUSTER_POLICY: &str = "ClusterVerticalScalingPolicy";

/// All workloads.
type ByName<'a> = HashMap<(Arc<str>, String, String), (WorkloadKey, WorkloadPods<'a>)>;

/// One round's view of the cluster.
pub(super) struct View {
    /// All workloads whose policies have them changed.
    pub(super) seen: Vec<Seen>,
    /// Recommendations in mode Auto that nothing can be done for, and why.
    pub(super) idle: Vec<(ObjectKey, Cause)>,
    /// Whether admission gave its size to the pod of theirs that was made last; `None` where no pod was made since, or
    /// since a pause.
    pub(super) answers: Option<bool>,
    /// Owners of custom kinds that have to be asked for: their pods are not seen before that.
    pub(super) unknown: Vec<(ObjectKey, Arc<Owner>)>,
}

/// Reads the index.
pub(super) fn see(
    index: &Index,
    stalled: &HashMap<Uid, Stalled>,
    loans: &mut Loans,
    paused_until: Option<Timestamp>,
    now: Timestamp,
) -> View {
    let mut workloads = ByName::new();
    let Workloads { workloads: all, unknown, .. } = index.workloads();
    let unknown: Vec<(ObjectKey, Arc<Owner>)> = unknown.into_values().collect();
    for (key, pods) in all {
        let name = (Arc::clone(&key.namespace), key.kind.to_string(), key.name.to_string());
        workloads.insert(name, (key, pods));
    }
    let refused = index.refused();
    for key in refused.keys() {
        let name = (Arc::clone(&key.namespace), key.kind.to_string(), key.name.to_string());
        workloads.entry(name).or_insert_with(|| (key.clone(), WorkloadPods::none()));
    }
    loans.learn(index, &workloads);
    let mut others = Others::of(index, stalled);
    let (mut seen, mut idle) = (Vec::new(), Vec::new());
    let mut newest: Option<(Timestamp, bool)> = None;
    for (name, written) in index.recommendations.iter().filter(|(_, written)| written.mode == Mode::Auto) {
        let (Some(reference), Some(policy)) = (&written.workload, &written.policy) else { continue };
        let wanted = (Arc::clone(&name.namespace), reference.kind.clone(), reference.name.clone());
        if written.containers.is_empty() {
            idle.push((name.clone(), Cause::NoAdvice));
            continue;
        }
        let Some((key, pods)) = workloads.get(&wanted) else {
            // Pods of an owner that has still to be asked for may be its.
            if !unknown.iter().any(|(owned, _)| owned.namespace == name.namespace) {
                idle.push((name.clone(), Cause::NoPod));
            }
            continue;
        };
        let Some((actuation, band, paused)) = acting(index, policy, &name.namespace) else { continue };
        if group(&reference.api_version) != group(&key.api_version) {
            continue;
        }
        let since = written.sized_since().map(|since| since.max(paused_until.unwrap_or(since)));
        let asked_about = pods.pods.iter().filter(|_| !leaves_out(&key.namespace, &pods.labels));
        for (_, pod) in asked_about {
            let made = pod.life.created.filter(|created| since.is_some_and(|since| *created > since));
            newest = newest.max(made.map(|made| (made, pod.life.stamped)));
        }
        let mut found = one((index, &mut others), name, written, (key, pods), (actuation, band, paused), now);
        found.workload.refused = refused.get(key).and_then(|refused| {
            let RefusedPods { first, last, why, .. } = refused.clone();
            Some(RefusedCreation { first, last, why: why? })
        });
        seen.push(found);
    }
    let acted_on: HashSet<&WorkloadKey> = seen.iter().map(|seen| &seen.key).collect();
    let others = workloads.values().filter(|(key, _)| !acted_on.contains(key));
    let lent: Vec<_> = others.filter_map(|(key, pods)| lent(index, key, pods, loans, now)).collect();
    seen.extend(lent);
    seen.sort_by(|a, b| a.recommendation.cmp(&b.recommendation));
    View { seen, idle, answers: newest.map(|(_, stamped)| stamped), unknown }
}

/// A workload that no policy acts on any more, where pods of it still have what they were lent for the start: that is
/// taken back all the same.
fn lent(
    index: &Index,
    key: &WorkloadKey,
    pods: &WorkloadPods<'_>,
    loans: &Loans,
    now: Timestamp,
) -> Option<Seen> {
    let due: Vec<_> = pods.pods.iter().filter(|(_, facts)| has_more(facts) && loans.has(facts)).collect();
    if due.is_empty() {
        return None;
    }
    let rules = Rules {
        method: Method::InPlace,
        min_replicas: usize::MAX,
        max_unavailable: MaxUnavailable::Count(0),
        pace: rules::pace(&Band::default(), &Actuation::default()),
        observe: 0,
        open: true,
        paused: is_marked(Some(&pods.labels)) || is_marked(index.namespaces.get(&key.namespace)),
        owned_by_vpa: false,
        resized_by_other: false,
        loans_only: true,
        cpu_scaled: false,
        memory_scaled: false,
    };
    let workload = Workload {
        key: Arc::from(format!("{}/{}/{}", key.namespace, key.kind, key.name)),
        namespace: Arc::clone(&key.namespace),
        replicas: None,
        advice: Vec::new(),
        given_since: None,
        rules,
        before: None,
        remembered: Remembered::default(),
        rollback: None,
        scalers: Vec::new(),
        bound_to_nodes: false,
        rolls_out_in_steps: false,
        refused: None,
        around: Around::default(),
        pods: due.iter().map(|(_, facts)| pod(index, (facts, key), None, now)).collect(),
    };
    let names = due.iter().map(|(name, facts)| (facts.uid.number(), (*name).clone())).collect();
    // There is no Recommendation to say anything on.
    let none = ObjectKey { namespace: Arc::clone(&key.namespace), name: "".into() };
    Some(Seen {
        workload,
        key: key.clone(),
        recommendation: none,
        pods: names,
        problem: None,
        resizer: None,
        kubelet: None,
    })
}

fn is_marked(labels: Option<&Arc<Labels>>) -> bool {
    labels.is_some_and(|labels| labels.get(PAUSE).is_some_and(|value| value == "true"))
}

/// What the policy says of acting, and whether it is paused; `None` where it does not let pods be changed. Its own word
/// counts: what the recommendation says of it may be from before it was changed.
fn acting<'a>(
    index: &'a Index,
    policy: &PolicyReference,
    namespace: &Arc<str>,
) -> Option<(&'a Actuation, &'a Band, bool)> {
    let is_paused = |metadata: &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta| {
        let of = |map: Option<&std::collections::BTreeMap<String, String>>| {
            map.and_then(|map| map.get(PAUSE)).is_some_and(|value| value == "true")
        };
        of(metadata.annotations.as_ref()) || of(metadata.labels.as_ref())
    };
    if policy.kind == CLUSTER_POLICY {
        let key = ObjectKey { namespace: Arc::from(""), name: policy.name.as_str().into() };
        let found = index.cluster_policies.get(&key)?.as_ref().ok()?;
        if found.spec.mode != Mode::Auto {
            return None;
        }
        return Some((&found.spec.actuation, &found.spec.band, is_paused(&found.metadata)));
    }
    let key = ObjectKey { namespace: Arc::clone(namespace), name: policy.name.as_str().into() };
    let found = index.policies.get(&key)?.as_ref().ok()?;
    if found.spec.mode != Mode::Auto {
        return None;
    }
    Some((&found.spec.actuation, &found.spec.band, is_paused(&found.metadata)))
}

fn one(
    (index, others): (&Index, &mut Others<'_>),
    name: &ObjectKey,
    written: &Written,
    (key, pods): (&WorkloadKey, &WorkloadPods<'_>),
    (actuation, band, paused): (&Actuation, &Band, bool),
    now: Timestamp,
) -> Seen {
    let (open, problem) = match window::is_open(&actuation.windows, now) {
        Ok(open) => (open, None),
        Err(problem) => (false, Some(window::named(&problem))),
    };
    let (rollback, unreadable) = match &written.rollback {
        Some(Ok(back)) => (Some(Rollback { at: back.at, until: back.until, times: back.times }), None),
        Some(Err(error)) => (None, Some(error.clone())),
        None => (None, None),
    };
    let problem = problem.or(unreadable.clone());
    let paused = paused || is_marked(Some(&pods.labels)) || is_marked(index.namespaces.get(&name.namespace));
    let scaling = others.scaling(key, &pods.owners, actuation.hpa);
    let resizer =
        pods.pods.iter().find_map(|(_, facts)| facts.life.touched.as_ref()?.resized_by_other.clone());
    let candidate = Candidate { key, labels: &pods.labels, owners: &pods.owners };
    let tempo = Tempo::of(actuation);
    let is_of_cluster = written.policy.as_ref().is_some_and(|policy| policy.kind == CLUSTER_POLICY);
    let walls = others.walls.walls(index, &candidate).filter(|_| !is_of_cluster);
    let tempo = walls.map_or(tempo, |walls| tempo.within(walls));
    let rules = Rules {
        method: match actuation.method {
            api::Method::InPlace => Method::InPlace,
            api::Method::InPlaceOrEvict => Method::InPlaceOrEvict,
            api::Method::Evict => Method::Evict,
            api::Method::OnCreate => Method::OnCreate,
        },
        min_replicas: tempo.min_replicas,
        max_unavailable: tempo.max_unavailable,
        pace: Pace { max_shrink: tempo.max_shrink, cooldown: tempo.cooldown, ..rules::pace(band, actuation) },
        observe: i64::try_from(actuation.guard.observe.seconds).unwrap_or(i64::MAX),
        open,
        paused: paused || unreadable.is_some(),
        owned_by_vpa: others.is_owned(key, &pods.owners),
        resized_by_other: resizer.is_some(),
        loans_only: false,
        cpu_scaled: scaling.holds(false, None),
        memory_scaled: scaling.holds(true, None),
    };
    let stalled = others.stalled;
    let stalled = |facts: &PodFacts| stalled.get(&facts.uid).copied();
    let workload = Workload {
        key: Arc::from(format!("{}/{}", name.namespace, name.name)),
        namespace: Arc::clone(&name.namespace),
        replicas: pods.replicas.and_then(|replicas| usize::try_from(replicas).ok()),
        advice: written.containers.iter().map(|said| (Arc::clone(&said.name), advice::read(said))).collect(),
        given_since: written.sized_since(),
        rules,
        before: before(written),
        remembered: written.acted.canary.as_deref().map(kept::read).unwrap_or_default(),
        rollback,
        scalers: scaling.moved(),
        bound_to_nodes: &*key.kind == "DaemonSet",
        rolls_out_in_steps: pods.owners.iter().any(|owner| rolls_out_in_steps(owner)),
        refused: None,
        around: Around {
            gives: written.acted.new_pods.map(|new| status::given_of(new.given)).unwrap_or_default(),
            left_out: leaves_out(&key.namespace, &pods.labels),
            template: template(pods),
            ..others.places.around(key, pods)
        },
        pods: pods
            .pods
            .iter()
            .map(|(_, facts)| {
                let mut pod =
                    Pod { place: others.places.of(facts), ..pod(index, (facts, key), stalled(facts), now) };
                for container in &mut pod.containers {
                    container.cpu_scaled = scaling.holds(false, Some(&container.name));
                    container.memory_scaled = scaling.holds(true, Some(&container.name));
                }
                pod
            })
            .collect(),
    };
    let names = pods.pods.iter().map(|(name, facts)| (facts.uid.number(), (*name).clone()));
    let kubelet = pods.pods.iter().find_map(|(_, facts)| facts.life.touched.as_ref()?.infeasible.as_deref());
    let (key, recommendation, kubelet) = (key.clone(), name.clone(), kubelet.map(str::to_owned));
    Seen { workload, key, recommendation, pods: names.collect(), problem, resizer, kubelet }
}

/// What was kept of what its pods had, over restarts.
fn before(written: &Written) -> Option<Before> {
    let of = |sizes: fn(&Previous) -> &Sizes| {
        let all = written.acted.previous.iter();
        all.map(|previous| (Arc::clone(&previous.name), size(sizes(previous)))).collect()
    };
    (!written.acted.previous.is_empty())
        .then(|| Before { had: of(|previous| &previous.had), meant: of(|previous| &previous.meant) })
}

fn template(pods: &WorkloadPods<'_>) -> Vec<(Arc<str>, ContainerSize)> {
    let containers = pods.template.iter().flat_map(|template| template.0.iter());
    containers.map(|(name, sizes)| (Arc::clone(name), size(sizes))).collect()
}

fn pod(
    index: &Index,
    (facts, workload): (&PodFacts, &WorkloadKey),
    stalled: Option<Stalled>,
    now: Timestamp,
) -> Pod {
    let life = &facts.life;
    let containers = facts.shape.containers.iter().enumerate();
    let (inits, containers): (Vec<_>, Vec<_>) =
        containers.partition(|(_, shape)| shape.kind == api::ContainerKind::Init);
    let all = |of: Vec<(usize, &ContainerShape)>| {
        of.into_iter().map(|(place, shape)| container(facts, place, shape, now)).collect()
    };
    Pod {
        id: facts.uid.number(),
        node: facts.node.clone(),
        running: facts.phase == Phase::Running && facts.node.is_some(),
        ready: life.ready,
        leaving: life.leaving,
        managed: facts.shape.restarts_always && index.replaces(&facts.origin) && !workload.ends(),
        may_not_be_evicted: life.may_not_be_evicted,
        paused: life.paused,
        stamped: life.stamped,
        created: life.created,
        revision: life.revision.clone(),
        resize: match life.resize {
            ResizeState::None => Resize::None,
            ResizeState::Asked | ResizeState::InProgress => Resize::UnderWay,
            ResizeState::Failing => Resize::Failing,
            ResizeState::Deferred => Resize::Deferred,
            ResizeState::Infeasible => Resize::Infeasible,
        },
        resized: life.touched.as_ref().and_then(|touched| touched.resized),
        class: rules::class(facts.shape.qos),
        sized_as_whole: facts.shape.pod != Sizes::default(),
        stalled,
        place: Place::default(),
        containers: all(containers),
        inits: all(inits),
    }
}

fn container(facts: &PodFacts, place: usize, shape: &ContainerShape, now: Timestamp) -> Container {
    let lives = facts.life.containers.as_ref().and_then(|lives| lives.get(place));
    let ContainerLife { restarts, down, back_off, oom_killed } = lives.copied().unwrap_or_default();
    let asked = facts.life.asked.as_ref().and_then(|asked| asked.get(place));
    Container {
        name: Arc::clone(&shape.name),
        sidecar: shape.kind == api::ContainerKind::Sidecar,
        given: size(&shape.sizes),
        asked: size(asked.unwrap_or(&shape.sizes)),
        boost: boost(&facts.life, place, asked.unwrap_or(&shape.sizes), now),
        cpu_scaled: false,
        memory_scaled: false,
        cpu_restarts: shape.cpu_restarts,
        memory_restarts: shape.memory_restarts,
        restarts,
        down,
        back_off: match back_off {
            BackOffState::None => BackOff::None,
            BackOffState::Delayed => BackOff::Delayed,
            BackOffState::Shown => BackOff::Shown,
        },
        oom_killed,
    }
}

fn boost(life: &Life, place: usize, asked: &Sizes, now: Timestamp) -> Option<Boost> {
    let boost = life.touched.as_ref()?.boosts.iter().find(|boost| boost.place == place)?;
    // What is lent is given back: whatever the note says, nothing grows by it.
    let no_more = |noted: Option<Cores>, asked: Option<Cores>| {
        noted.filter(|noted| asked.is_some_and(|asked| *noted <= asked))
    };
    Some(Boost {
        cpu_request: no_more(boost.then.requests.cpu(), asked.requests.cpu()),
        cpu_limit: no_more(boost.then.limits.cpu(), asked.limits.cpu()),
        over: match boost.seconds {
            None => life.ready || life.created.is_some_and(|at| now.seconds_since(at) >= LONGEST_BOOST),
            Some(seconds) => boost.started.is_some_and(|started| now.seconds_since(started) >= seconds),
        },
    })
}

/// As it is decided by.
pub(super) fn size(sizes: &Sizes) -> ContainerSize {
    ContainerSize {
        cpu_request: sizes.requests.cpu(),
        cpu_limit: sizes.limits.cpu(),
        memory_request: sizes.requests.memory,
        memory_limit: sizes.limits.memory,
    }
}
