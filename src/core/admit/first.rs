//! The first size of a container: what admission gives to a new pod, without a pod's JSON.

use super::bounds::Bounds;
use super::figures::Figures;
use super::pod::Kind;
use super::rules::{Want, apply};
use crate::policy::{ContainerSize, Recommendation};
use crate::units::{Bytes, Cores};

/// The size that admission gives to the container of a new pod of one container whose template states `stated`, where
/// neither LimitRange nor quota has a say. A Guaranteed pod stays one.
#[must_use]
pub fn first_size(stated: &ContainerSize, advice: &Recommendation) -> ContainerSize {
    let want = Want::of(advice, Kind::Container);
    let own = Figures {
        cpu_request: stated.cpu_request.map(Cores::to_milli),
        cpu_limit: stated.cpu_limit.map(Cores::to_milli),
        memory_request: stated.memory_request.map(|memory| memory.0),
        memory_limit: stated.memory_limit.map(|memory| memory.0),
    };
    let class = super::class::class(&std::iter::once(&own));
    let new = apply(&own, &want, class, &Bounds::default(), false);
    ContainerSize {
        cpu_request: new.cpu_request.map(Cores::from_milli),
        cpu_limit: new.cpu_limit.map(Cores::from_milli),
        memory_request: new.memory_request.map(Bytes),
        memory_limit: new.memory_limit.map(Bytes),
    }
}
