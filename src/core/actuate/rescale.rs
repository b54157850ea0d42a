//! A HorizontalPodAutoscaler and the request that it measures by: what it scales at, in cores or bytes, stays the same.
//!
//! It scales at request x target utilisation. Where the request moves, the target moves against it, so that the number
//! of pods follows the load alone and the size of a pod follows its use alone: two loops that do not drive each other.
//! By what is seen only: the requests that the pods have, and the target that stands.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use super::facts::{Pod, Workload};
use crate::units::Bytes;

/// Targets further off than this, in percent of the request, make no sense to a person, nor to the API server.
const MOST_PERCENT: f64 = 10_000.0;

/// What an autoscaler measures by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Measure {
    /// CPU.
    Cpu,
    /// Memory.
    Memory,
}

/// A HorizontalPodAutoscaler of a workload, whose policy lets its targets move.
#[derive(Clone, Debug, PartialEq)]
pub struct Scaler {
    /// Its name.
    pub name: Arc<str>,
    /// The targets that are shares of a request.
    pub targets: Vec<Target>,
}

/// A target that is a share of a request.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// Its place among all that the autoscaler measures by.
    pub place: usize,
    /// Of what.
    pub measure: Measure,
    /// Of this container; `None`: of the whole pod.
    pub container: Option<Arc<str>>,
    /// The share that stands, in percent.
    pub percent: u32,
    /// What is known of before.
    pub kept: Option<Kept>,
}

/// At what an autoscaler scales, as it was found, and the share that we have set for that.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Kept {
    /// Cores or bytes of one pod.
    pub threshold: f64,
    /// In percent. Where another stands, a person has set it, and what that comes to counts.
    pub percent: u32,
}

/// Targets of an autoscaler to be written.
#[derive(Clone, Debug, PartialEq)]
pub struct Rescale {
    /// Its name.
    pub scaler: Arc<str>,
    /// Each with what is to stand.
    pub targets: Vec<(Target, Kept)>,
}

impl Rescale {
    /// A share changes; else it is only noted at what the autoscaler scales.
    #[must_use]
    pub fn moves(&self) -> bool {
        self.targets.iter().any(|(target, kept)| target.percent != kept.percent)
    }
}

/// What has to be written of a workload's autoscalers. Before a request is moved, at what is scaled has to be known.
pub(super) fn due(workload: &Workload) -> Vec<Rescale> {
    let of = |scaler: &Scaler| {
        let due =
            scaler.targets.iter().filter_map(|target| Some((target.clone(), wanted(workload, target)?)));
        Rescale { scaler: Arc::clone(&scaler.name), targets: due.collect() }
    };
    workload.scalers.iter().map(of).filter(|rescale| !rescale.targets.is_empty()).collect()
}

/// What should stand; `None` where it does, or where nobody can say.
fn wanted(workload: &Workload, target: &Target) -> Option<Kept> {
    let request = mean_request(workload, target)?;
    let kept = target.kept.filter(|kept| kept.percent == target.percent);
    let threshold = kept.map_or(request * f64::from(target.percent) / 100.0, |kept| kept.threshold);
    #[expect(clippy::cast_sign_loss, reason = "it is clamped to what is positive")]
    let percent = (threshold / request * 100.0).round().clamp(1.0, MOST_PERCENT) as u32;
    (kept.is_none() || percent != target.percent).then_some(Kept { threshold, percent })
}

/// What the autoscaler takes for the request of one pod: the mean over its pods. `None` where one has none: then it
/// does not scale either.
fn mean_request(workload: &Workload, target: &Target) -> Option<f64> {
    let (mut sum, mut count) = (0.0, 0_u32);
    for pod in workload.staying() {
        sum += request(pod, target)?;
        count += 1;
    }
    (count > 0 && sum > 0.0).then(|| sum / f64::from(count))
}

fn request(pod: &Pod, target: &Target) -> Option<f64> {
    let of = |container: &super::facts::Container| match target.measure {
        Measure::Cpu => container.asked.cpu_request.map(|cpu| cpu.0),
        Measure::Memory => container.asked.memory_request.map(Bytes::as_f64),
    };
    match &target.container {
        Some(name) => of(pod.containers.iter().find(|container| container.name == *name)?),
        None => pod.containers.iter().map(of).sum(),
    }
}
