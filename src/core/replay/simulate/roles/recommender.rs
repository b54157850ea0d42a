//! Recommender: samples and kills in, advice for each workload out, by the steps that control/compose.rs takes.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::scene::{Part, Scene, Workload};
use super::super::world::{Kill, Load, World};
use super::{container_size, namespace, rules, time};
use crate::model::{Estimate, Model, Most, Replica, Series, Usage};
use crate::policy::{
    Amounts, Baseline, Class, ContainerSize, Explained, Fitted, Recommendation, fit_pod, keep_class,
};
use crate::units::{Bytes, Cores};

/// Advice for the containers of a workload.
pub(in crate::replay::simulate) type Advice = Vec<(Arc<str>, Recommendation)>;

/// The recommender and what it has learned.
#[derive(Clone, Debug)]
pub(in crate::replay::simulate) struct Recommender {
    model: Model,
    series: Vec<Vec<Series>>,
    saved: Vec<Vec<Series>>,
    /// The newest advice, by workload.
    pub(in crate::replay::simulate) advice: Vec<Advice>,
    names: Vec<Arc<str>>,
    /// The five minutes under way of each container, by workload, pod and place in the pod.
    replicas: BTreeMap<(usize, u64, usize), Replica>,
}

impl Recommender {
    /// Starts without history.
    pub(in crate::replay::simulate) fn new(scene: &Scene) -> Self {
        let series: Vec<Vec<Series>> = scene
            .workloads
            .iter()
            .map(|workload| workload.containers.iter().map(|_| Series::default()).collect())
            .collect();
        let most = scene.workloads.iter().map(|workload| workload.containers.len()).max().unwrap_or(0);
        Self {
            model: Model::default(),
            saved: series.clone(),
            series,
            advice: vec![Vec::new(); scene.workloads.len()],
            replicas: BTreeMap::new(),
            names: (0..most).map(|number| format!("c{number}").into()).collect(),
        }
    }

    /// Takes in the usage of all pods over a window of so many seconds. `factor` makes the samples of a workload false.
    pub(in crate::replay::simulate) fn scrape(
        &mut self,
        world: &World<'_>,
        window: i64,
        factor: Option<(usize, u32)>,
    ) {
        let at = time(world.now);
        let mut gone = std::mem::take(&mut self.replicas);
        for (place, load) in world.loads.iter().enumerate() {
            let factor = factor.filter(|(workload, _)| *workload == place).map_or(1, |(_, times)| times);
            let Some(series) = self.series.get_mut(place) else { continue };
            for pod in load.pods.iter().filter(|pod| pod.node.is_some() && pod.stays()) {
                let node = pod.node.and_then(|node| world.nodes.get(node));
                for (number, (series, container)) in series.iter_mut().zip(&pod.containers).enumerate() {
                    if !container.runs() {
                        continue;
                    }
                    let mut replica = gone.remove(&(place, pod.id, number)).unwrap_or_default();
                    let age = Some(world.now - container.started);
                    let cpu = Cores(container.cpu / 1000.0 * f64::from(factor));
                    let memory = Bytes(container.memory.saturating_mul(u64::from(factor)));
                    let given = container_size(&container.given);
                    let usage = Usage {
                        at,
                        window: Some(window),
                        cpu: Some(cpu),
                        memory: Some(memory),
                        stalled: Some(container.throttled),
                        age,
                        most: Most {
                            cpu_limit: given.cpu_limit,
                            memory_limit: given.memory_limit,
                            node_cpu: node.map(|node| Cores::from_milli(node.milli)),
                            node_memory: node.map(|node| Bytes(node.memory)),
                        },
                        ..Usage::default()
                    };
                    series.observe(&mut replica, &usage, &self.model);
                    self.replicas.insert((place, pod.id, number), replica);
                }
            }
        }
        for ((place, _, number), mut replica) in gone {
            if let Some(series) = self.series.get_mut(place).and_then(|series| series.get_mut(number)) {
                series.finish(&mut replica, false, &self.model);
            }
        }
    }

    /// Takes in an OOM kill.
    pub(in crate::replay::simulate) fn killed(&mut self, kill: &Kill, now: i64) {
        let Some(limit) = kill.limit else { return };
        let series = self.series.get_mut(kill.load).and_then(|series| series.get_mut(kill.container));
        if let Some(series) = series {
            let name = kill.pod << 16 | u64::from(kill.restarts);
            series.add_oom(time(now), Bytes(limit), name, &self.model);
        }
    }

    /// Hours of history of a workload: of the container that has least, of those that have any.
    pub(in crate::replay::simulate) fn hours(&self, workload: usize, container: usize) -> f32 {
        let series = self.series.get(workload).and_then(|series| series.get(container));
        series.map_or(0.0, Series::hours)
    }

    /// Writes a checkpoint.
    pub(in crate::replay::simulate) fn save(&mut self) {
        self.saved.clone_from(&self.series);
    }

    /// Starts anew from the last checkpoint.
    pub(in crate::replay::simulate) fn restart(&mut self) {
        self.series.clone_from(&self.saved);
        self.replicas.clear();
    }

    /// Makes the advice for a workload anew.
    pub(in crate::replay::simulate) fn advise(&mut self, world: &World<'_>, place: usize) {
        let (Some(workload), Some(load)) = (world.scene.workloads.get(place), world.loads.get(place)) else {
            return;
        };
        let Some(current) = shape(load) else { return };
        let own = rules(&workload.policy);
        let class = if current.1 { Class::Guaranteed } else { Class::Burstable };
        let (kept, _) = keep_class(&own, class);
        let prices = own.prices();
        let Some(series) = self.series.get_mut(place) else { return };
        let mut parts = Vec::with_capacity(series.len());
        for (series, current) in series.iter_mut().zip(&current.0) {
            let need = known(series.estimate(&prices, &self.model));
            let template = load.template.get(parts.len()).map(container_size);
            parts.push((*current, Explained::new(&need, &kept, &Baseline { current: *current, template })));
        }
        fit(world, workload, load, &mut parts);
        let named = self.names.iter().zip(parts);
        let advice = named.map(|(name, (_, found))| (Arc::clone(name), advised(&found.size)));
        if let Some(known) = self.advice.get_mut(place) {
            *known = advice.collect();
        }
    }
}

/// Without a sample of steady use only a kill says what the request should be.
fn known(mut need: Estimate) -> Estimate {
    need.limit = need.limit.filter(|tail| need.memory.is_some() || tail.lesson > 0.0);
    need
}

/// The sizes that most pods have, of equals the newest's, and whether these are Guaranteed.
fn shape(load: &Load) -> Option<(Vec<ContainerSize>, bool)> {
    let sizes = |pod: &super::super::world::Pod| -> Vec<_> {
        pod.containers.iter().map(|container| container.given).collect()
    };
    let count =
        |of: &super::super::world::Pod| load.pods.iter().filter(|pod| sizes(pod) == sizes(of)).count();
    let pod = if load.pods.len() == 1 {
        load.pods.first()
    } else {
        load.pods.iter().max_by_key(|pod| (count(pod), pod.id))
    }?;
    Some((pod.containers.iter().map(|container| container_size(&container.given)).collect(), pod.guaranteed))
}

/// Moves figures into what namespace and nodes allow.
fn fit(world: &World<'_>, workload: &Workload, load: &Load, parts: &mut [(ContainerSize, Explained)]) {
    let most = rules(&workload.policy).range.most();
    let pod = parts.iter_mut().zip(&workload.containers);
    let pod =
        pod.map(|((current, found), spec)| Fitted { init: spec.part == Part::Init, current, most, found });
    let replicas = u32::try_from(load.pods.len()).unwrap_or(u32::MAX);
    fit_pod(pod.collect(), &nodes(world, workload), &namespace(world, workload), replicas);
}

/// The nodes that a workload's pods may run on, as they are when empty.
fn nodes(world: &World<'_>, workload: &Workload) -> Vec<Amounts> {
    let own = world.nodes.iter().filter(|node| node.pool == workload.pool);
    own.map(|node| Amounts { cpu: Some(Cores::from_milli(node.milli)), memory: Some(Bytes(node.memory)) })
        .collect()
}

/// As it is read back from a Recommendation: a resource without bounds is one that is not sized.
fn advised(found: &Recommendation) -> Recommendation {
    let (cpu, memory) = (found.lower.cpu_request.is_some(), found.lower.memory_request.is_some());
    let target = &found.target;
    Recommendation {
        target: ContainerSize {
            cpu_request: target.cpu_request.filter(|_| cpu),
            cpu_limit: target.cpu_limit.filter(|_| cpu),
            memory_request: target.memory_request.filter(|_| memory),
            memory_limit: target.memory_limit.filter(|_| memory),
        },
        ..*found
    }
}
