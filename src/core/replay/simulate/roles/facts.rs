//! Updater's view: workloads and pods of the world as the planner's facts.

use std::sync::Arc;

use super::super::scene::{Container as Specified, Kind, Part, Workload as Stated};
use super::super::world::{Load, Pod as Simulated, RESTARTS, Running, State, World};
use super::recommender::Advice;
use super::{container_size, namespace, pace, time};
use crate::actuate::facts::{
    self, BackOff, Before, Container, MaxUnavailable, Place, Pod, PodId, RefusedCreation, Rules, Workload,
};
use crate::actuate::rescale::{Kept, Measure, Scaler, Target};
use crate::actuate::{Given, Remembered};
use crate::policy::{Amounts, Class};
use crate::units::{Bytes, Cores};

/// Facts about a workload that are no pods.
#[derive(Clone, Debug, Default)]
pub(in crate::replay::simulate) struct Around {
    /// Name of the workload.
    pub(in crate::replay::simulate) key: Option<Arc<str>>,
    /// New pods are sized since then.
    pub(in crate::replay::simulate) given_since: Option<i64>,
    /// Sizes that pods had, as written.
    pub(in crate::replay::simulate) before: Option<Before>,
    /// Sizes that new pods are given.
    pub(in crate::replay::simulate) gives: Given,
    /// Canary, as written.
    pub(in crate::replay::simulate) remembered: Remembered,
}

/// Whether admission sized the newest pod that was made since new pods are given sizes; `None`: no such pod.
pub(in crate::replay::simulate) fn answers(world: &World<'_>, around: &[Around]) -> Option<bool> {
    let loads = world.loads.iter().zip(around);
    let pods = loads.flat_map(|(load, around)| {
        let since = around.given_since;
        load.pods.iter().filter(move |pod| since.is_some_and(|since| pod.created > since))
    });
    pods.map(|pod| (pod.created, pod.stamped)).max().map(|(_, stamped)| stamped)
}

/// A workload as the updater sees it.
pub(in crate::replay::simulate) fn workload(
    world: &World<'_>,
    stated: &Stated,
    load: &Load,
    advice: &Advice,
    around: &Around,
) -> Workload {
    Workload {
        key: around.key.clone().unwrap_or_else(|| "".into()),
        namespace: format!("n{}", stated.namespace).into(),
        replicas: (!matches!(stated.kind, Kind::Job | Kind::CronJob | Kind::Bare))
            .then_some(load.replicas as usize),
        advice: advice.clone(),
        given_since: around.given_since.map(time),
        rules: Rules {
            resized_by_other: load.pods.iter().any(|pod| pod.stays() && pod.resized_by_other),
            ..rules(stated, world.now)
        },
        scalers: scaler(stated, load).into_iter().collect(),
        bound_to_nodes: stated.kind == Kind::DaemonSet,
        rolls_out_in_steps: false,
        before: around.before.clone(),
        remembered: around.remembered.clone(),
        rollback: None,
        refused: load.refused.map(|(first, last)| RefusedCreation {
            first: time(first),
            last: time(last),
            why: "denied".into(),
        }),
        around: facts::Around {
            bounds: namespace(world, stated),
            free: Some(free(world, stated)),
            gives: around.gives,
            left_out: false,
            template: advice
                .iter()
                .zip(&load.template)
                .map(|((name, _), size)| (Arc::clone(name), container_size(size)))
                .collect(),
        },
        pods: load.pods.iter().map(|pod| self::pod(world, stated, pod, advice)).collect(),
    }
}

/// CPU and memory that are free on each node that the workload's pods may come to.
fn free(world: &World<'_>, stated: &Stated) -> Arc<[Amounts]> {
    let own = world.nodes.iter().enumerate().filter(|(_, node)| node.pool == stated.pool && !node.cordoned);
    own.map(|(place, _)| amounts(world.left(place))).collect()
}

fn amounts((milli, bytes): (u64, u64)) -> Amounts {
    Amounts { cpu: Some(Cores::from_milli(milli)), memory: Some(Bytes(bytes)) }
}

fn rules(stated: &Stated, now: i64) -> Rules {
    let policy = &stated.policy;
    let hour = now / 3600 % 24;
    let open = policy.window.is_none_or(|begin| {
        let since = (hour - i64::from(begin)).rem_euclid(24);
        since < 3
    });
    Rules {
        method: policy.method,
        min_replicas: policy.min_replicas,
        max_unavailable: MaxUnavailable::Percent(policy.max_unavailable),
        pace: pace(policy),
        observe: i64::from(policy.observe),
        open,
        paused: false,
        owned_by_vpa: false,
        resized_by_other: false,
        loans_only: false,
        cpu_scaled: stated.hpa_percent.is_some() && !stated.hpa_moves,
        memory_scaled: false,
    }
}

fn scaler(stated: &Stated, load: &Load) -> Option<Scaler> {
    stated.hpa_percent.filter(|_| stated.hpa_moves)?;
    let kept = load.hpa.1.map(|(threshold, percent)| Kept { threshold, percent });
    let target = Target { place: 0, measure: Measure::Cpu, container: None, percent: load.hpa.0, kept };
    Some(Scaler { name: "hpa".into(), targets: vec![target] })
}

fn pod(world: &World<'_>, stated: &Stated, pod: &Simulated, advice: &Advice) -> Pod {
    let runs = |container: &Running| container.runs() || container.restarts > 0;
    let blocked = pod.containers.iter().any(|container| !container.lasts() && container.state != State::Done);
    let parts = pod.containers.iter().zip(&stated.containers).zip(advice);
    let (lasting, ending): (Vec<_>, Vec<_>) = parts
        .map(|((container, spec), (name, _))| {
            (container.lasts(), self::container(world, container, spec, name))
        })
        .partition(|(lasts, _)| *lasts);
    let of = |parts: Vec<(bool, Container)>| parts.into_iter().map(|(_, container)| container).collect();
    Pod {
        id: PodId::from(pod.id),
        node: pod.node.and_then(|node| world.nodes.get(node)).map(|node| Arc::clone(&node.name)),
        running: pod.node.is_some() && !blocked && pod.containers.iter().any(runs),
        ready: pod.ready,
        leaving: !pod.stays(),
        managed: !matches!(stated.kind, Kind::Job | Kind::CronJob | Kind::Bare),
        may_not_be_evicted: false,
        paused: false,
        stamped: pod.stamped,
        created: Some(time(pod.created)),
        revision: Some(revision(pod.revision)),
        resize: pod.resize,
        resized: pod.resized.map(time),
        class: match (pod.guaranteed, pod.best_effort) {
            (_, true) => Class::BestEffort,
            (true, false) => Class::Guaranteed,
            (false, false) => Class::Burstable,
        },
        sized_as_whole: false,
        place: Place {
            home: pod.node.filter(|node| world.nodes.get(*node).is_some_and(|node| !node.cordoned)).map(
                |node| {
                    let (free, own) = (world.left(node), pod.keeps());
                    amounts((free.0.saturating_add(own.0), free.1.saturating_add(own.1)))
                },
            ),
            unschedulable: pod.node.is_none() && pod.stays() && pod.created < world.now,
            ..Place::default()
        },
        stalled: None,
        containers: of(lasting),
        inits: of(ending),
    }
}

fn container(world: &World<'_>, container: &Running, spec: &Specified, name: &Arc<str>) -> Container {
    let wait = match container.state {
        State::Backoff(until) => until - world.now,
        _ => 0,
    };
    Container {
        name: Arc::clone(name),
        sidecar: spec.part == Part::Sidecar,
        given: container_size(&container.given),
        asked: container_size(&container.asked),
        boost: None,
        cpu_scaled: false,
        memory_scaled: false,
        cpu_restarts: spec.cpu_restarts,
        memory_restarts: spec.memory_restarts,
        restarts: container.restarts,
        down: matches!(container.state, State::Backoff(_)),
        // In all of the back-off a resize does not take effect, unless the kubelet is mended.
        back_off: if wait > RESTARTS { BackOff::Shown } else { BackOff::None },
        oom_killed: container.oom_killed.map(time),
    }
}

fn revision(number: u32) -> Arc<str> {
    format!("r{number}").into()
}
