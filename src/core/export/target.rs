//! What a container should have, and when what a file says is far enough from it.

use std::fmt;

use crate::units::Quantity;

/// Where no bounds are known, an amount within so many percent of its target is left alone.
const BAND_PERCENT: i128 = 10;

/// Which workload.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Workload {
    /// Namespace.
    pub namespace: String,
    /// Kind, such as Deployment.
    pub kind: String,
    /// Name.
    pub name: String,
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
    }
}

/// What a workload's containers should have.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// Which.
    pub workload: Workload,
    /// Its group and version, such as apps/v1.
    pub api_version: String,
    /// Its containers.
    pub containers: Vec<Container>,
}

/// What a container should have.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Container {
    /// Its name.
    pub name: String,
    /// Whether it runs to its end, or beside, before the others start.
    pub init: bool,
    /// CPU.
    pub cpu: Amounts,
    /// Memory.
    pub memory: Amounts,
}

/// What a container should have of one resource.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Amounts {
    /// Request.
    pub request: Option<Written>,
    /// A request from the first to the second is left alone.
    pub band: Option<(Quantity, Quantity)>,
    /// Limit.
    pub limit: Option<Written>,
    /// Whether a container without a limit is given one.
    pub add_limit: bool,
}

/// An amount and how it is written.
#[derive(Clone, Debug, PartialEq)]
pub struct Written {
    /// The amount.
    pub value: Quantity,
    /// As it is written.
    pub text: String,
}

impl Amounts {
    /// Whether a request is far enough from what it should be.
    #[must_use]
    pub fn request_drifts(&self, has: Option<Quantity>) -> bool {
        match (&self.request, has, self.band) {
            (None, ..) => false,
            (Some(_), None, _) => true,
            (Some(_), Some(has), Some((lower, upper))) => has < lower || has > upper,
            (Some(target), Some(has), None) => is_far(has, target.value),
        }
    }

    /// Whether a limit is far enough from what it should be. A limit that the file does not state is stated only where
    /// the policy adds limits.
    #[must_use]
    pub fn limit_drifts(&self, has: Option<Quantity>) -> bool {
        match (&self.limit, has) {
            (None, _) => false,
            (Some(_), None) => self.add_limit,
            (Some(target), Some(has)) => is_far(has, target.value),
        }
    }
}

fn is_far(has: Quantity, target: Quantity) -> bool {
    let (has, target) = (has.as_nano(), target.as_nano());
    (has - target).abs().saturating_mul(100) > target.saturating_mul(BAND_PERCENT)
}
