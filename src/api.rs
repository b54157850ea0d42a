//! The custom resources as types: VerticalScalingPolicy, ClusterVerticalScalingPolicy and Recommendation.
//!
//! No logic but validation: what the API server can check is a CEL rule here, beside the field that it is about.
//! May not know: the model, the cluster's state, time.

#[expect(unreachable_pub, reason = "KubeSchema derives through a private copy of each struct")]
mod actuation;
mod amount;
mod boost;
mod bounds;
mod canary;
#[expect(
    unreachable_pub,
    clippy::duplicated_attributes,
    reason = "the derive's copies; and each printer column has a type"
)]
mod policy;
#[expect(
    unreachable_pub,
    clippy::duplicated_attributes,
    reason = "the derive's copies; and each printer column has a type"
)]
mod recommendation;
mod rollback;
#[expect(unreachable_pub, reason = "KubeSchema derives through a private copy of each struct")]
mod rules;
mod schema;
pub mod short;
mod span;
#[cfg(test)]
mod tests;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray,
};
use kube::CustomResourceExt;

pub use actuation::{Actuation, Guard, HpaRule, MaxStepPercent, Method, Window};
pub use amount::{Amount, ResourceAmounts};
pub use boost::BoostDuration;
pub use bounds::{Bounded, MOST_HISTORY};
pub use canary::{Canary, ChangedBy, Harm, WatchedPod};
pub use policy::{
    ClusterVerticalScalingPolicy, ClusterVerticalScalingPolicySpec, History, Mode, Objective, PolicyStatus,
    PolicyTarget, VerticalScalingPolicy, VerticalScalingPolicySpec, WorkloadReference,
};
pub use recommendation::{
    BoostedCpu, Confidence, ContainerKind, ContainerRecommendation, Given, Hysteresis, HysteresisRule,
    LimitRules, NewPods, PolicyReference, PreviousSize, Recommendation, RecommendationSpec,
    RecommendationStatus, Resources, Summary,
};
pub use rollback::{ROLLBACK, Rollback};
pub use rules::{
    Band, ContainerPolicy, CpuBoost, CpuLimitRule, CpuPolicy, MemoryLimitRule, MemoryPolicy, ResourceName,
    StartupBoost,
};
pub use span::{ParseSpanError, Span};

/// The API group of all of plumb's resources.
pub const GROUP: &str = "plumb.dev";

/// All custom resource definitions, in the order in which `plumb crds` prints them.
#[must_use]
pub fn definitions() -> Vec<CustomResourceDefinition> {
    [VerticalScalingPolicy::crd(), ClusterVerticalScalingPolicy::crd(), Recommendation::crd()]
        .into_iter()
        .map(|mut definition| {
            for version in &mut definition.spec.versions {
                if let Some(schema) = version.schema.as_mut().and_then(|s| s.open_api_v3_schema.as_mut()) {
                    tidy(schema);
                }
            }
            definition
        })
        .collect()
}

/// Makes a derived schema what a hand would write: descriptions without the line breaks of our source, which
/// `kubectl explain` would print in the middle of its own lines, and no formats that the API server does not know.
fn tidy(schema: &mut JSONSchemaProps) {
    if let Some(description) = &mut schema.description {
        *description =
            description.split("\n\n").map(|p| p.replace('\n', " ")).collect::<Vec<_>>().join("\n\n");
    }
    schema.format.take_if(|format| format.starts_with("uint"));
    for property in schema.properties.iter_mut().flat_map(|properties| properties.values_mut()) {
        tidy(property);
    }
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &mut schema.items {
        tidy(items);
    }
}
