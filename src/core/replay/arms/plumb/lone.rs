//! A workload of one pod of one container: admission gives the pod its first size, and the updater resizes it.
//!
//! The kubelet does at once what it is asked for, the node has room, and nobody disturbs.

use std::sync::Arc;

use crate::actuate::facts::{Container, MaxUnavailable, Pod, Rules, Workload};
use crate::actuate::step::Pace;
use crate::actuate::{Deed, Settings, Updater};
use crate::admit::first_size;
use crate::policy::{ContainerSize, Recommendation};
use crate::units::Timestamp;

/// Resizes and evictions a second: more than one pod ever asks for.
const UNLIMITED: f64 = 1e6;
/// Seconds for which the updater watches a change of the first pod, as a policy that says nothing has it.
const OBSERVE: i64 = 300;

/// One pod and the updater that looks after it.
#[derive(Debug)]
pub(super) struct Lone {
    pace: Pace,
    updater: Updater,
    /// The workload; without a pod before the first size.
    workload: Workload,
}

impl Lone {
    /// No pod yet; the updater keeps this pace.
    pub(super) fn new(pace: Pace) -> Self {
        Self { pace, updater: updater(), workload: workload(pace) }
    }

    /// Forgets the pod and whatever was learned of it.
    pub(super) fn reset(&mut self) {
        *self = Self::new(self.pace);
    }

    /// The size in force; `None` before the first.
    pub(super) fn asked(&self) -> Option<&ContainerSize> {
        self.workload.pods.first().and_then(|pod| pod.containers.first()).map(|container| &container.asked)
    }

    /// Follows `advice` at `now`; returns the new size in force where it changes. `stated`: the template's size.
    /// `killed`: the container was OOM-killed at `now`.
    pub(super) fn act(
        &mut self,
        advice: &Recommendation,
        stated: &ContainerSize,
        now: Timestamp,
        killed: bool,
    ) -> Option<ContainerSize> {
        if self.workload.pods.is_empty() {
            return self.create(advice, stated, now);
        }
        for (_, kept) in &mut self.workload.advice {
            *kept = *advice;
        }
        for container in self.workload.pods.iter_mut().flat_map(|pod| &mut pod.containers).filter(|_| killed)
        {
            container.oom_killed = Some(now);
            container.restarts = container.restarts.saturating_add(1);
        }
        let settings = Settings {
            paused: false,
            resize_served: true,
            limits_only_grow: false,
            admission_answers: true,
            warming_up: false,
        };
        let plan = self.updater.plan(std::slice::from_ref(&self.workload), &settings, now);
        let action = plan.actions.into_iter().next()?;
        self.updater.accepted(&action, &self.workload, now);
        match action.deed {
            Deed::Resize(change) | Deed::PutBack(change) | Deed::EndBoost(change) => {
                let pod = self.workload.pods.first_mut()?;
                pod.resized = Some(now);
                let container = pod.containers.first_mut()?;
                let to = change.sizes.first()?.to;
                (container.asked, container.given) = (to, to);
                Some(to)
            }
            Deed::Evict => self.create(advice, stated, now),
        }
    }

    /// Makes a new pod, by way of admission; `None` where nothing is known that it could request.
    fn create(
        &mut self,
        advice: &Recommendation,
        stated: &ContainerSize,
        now: Timestamp,
    ) -> Option<ContainerSize> {
        if advice.target.cpu_request.is_none() && advice.target.memory_request.is_none() {
            return None;
        }
        let size = first_size(stated, advice);
        let id = self.workload.pods.first().map_or(1, |pod| pod.id.wrapping_add(1));
        self.workload.advice = vec![(Arc::clone(&self.workload.key), *advice)];
        self.workload.pods = vec![pod(id, &self.workload.key, size, now)];
        Some(size)
    }
}

fn updater() -> Updater {
    Updater::new(UNLIMITED, UNLIMITED).with_warm_up(0)
}

fn workload(pace: Pace) -> Workload {
    let max_unavailable = MaxUnavailable::Count(1);
    let rules = Rules { min_replicas: 1, max_unavailable, pace, observe: OBSERVE, ..Rules::default() };
    Workload { key: "app".into(), rules, ..Workload::default() }
}

fn pod(id: u128, name: &Arc<str>, size: ContainerSize, now: Timestamp) -> Pod {
    let container = Container { name: Arc::clone(name), given: size, asked: size, ..Container::default() };
    Pod {
        id,
        node: Some(Arc::clone(name)),
        running: true,
        ready: true,
        managed: true,
        stamped: true,
        created: Some(now),
        containers: vec![container],
        ..Pod::default()
    }
}
