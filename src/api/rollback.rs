//! The word by which a person takes back what was done to a workload: an annotation on its Recommendation.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::{Deserialize, Serialize};

/// The annotation. Its value is a [`Rollback`] as JSON.
pub const ROLLBACK: &str = "plumb.dev/rollback";

/// What was before is wanted back, and is left alone for a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rollback {
    /// When it was asked for.
    pub at: Time,
    /// Nothing is changed until then.
    pub until: Time,
    /// How often in a row.
    pub times: u32,
}
