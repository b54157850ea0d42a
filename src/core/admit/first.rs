//! The first size of a container: what admission gives to a new pod, without a pod's JSON.

use super::bounds::Bounds;
use super::figures::Figures;
use super::pod::Kind;
use super::rules::{Want, apply};
use crate::policy::{ContainerSize, Recommendation};

/// The size that admission gives to the container of a new pod of one container whose template states `stated`, where
/// neither LimitRange nor quota has a say. A Guaranteed pod stays one.
#[must_use]
pub fn first_size(stated: &ContainerSize, advice: &Recommendation) -> ContainerSize {
    let want = Want::of(advice, Kind::Container);
    let own = Figures::from(stated);
    let class = super::class::class(&std::iter::once(&own));
    ContainerSize::from(&apply(&own, &want, class, &Bounds::default(), false))
}
