//! VerticalPodAutoscalers, with only those fields that say whom they size and whether they act.

use std::borrow::Cow;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use serde::Deserialize;

/// A VerticalPodAutoscaler as the API server sends it, read in part.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct LeanVpa {
    /// Name and namespace.
    pub metadata: ObjectMeta,
    /// What is wanted.
    #[serde(default)]
    pub spec: LeanVpaSpec,
}

/// What is wanted.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LeanVpaSpec {
    /// What it sizes.
    pub target_ref: LeanTarget,
    /// How pods get their sizes.
    pub update_policy: LeanUpdatePolicy,
}

/// What it sizes.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct LeanTarget {
    /// Kind.
    pub kind: String,
    /// Name.
    pub name: String,
}

/// How pods get their sizes.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LeanUpdatePolicy {
    /// Off, or by which means; absent means that it acts.
    pub update_mode: Option<String>,
}

impl LeanVpa {
    /// It changes pods, and does not only advise.
    #[must_use]
    pub fn acts(&self) -> bool {
        self.spec.update_policy.update_mode.as_deref() != Some("Off")
    }
}

impl Resource for LeanVpa {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        "VerticalPodAutoscaler".into()
    }

    fn group((): &()) -> Cow<'_, str> {
        "autoscaling.k8s.io".into()
    }

    fn version((): &()) -> Cow<'_, str> {
        "v1".into()
    }

    fn plural((): &()) -> Cow<'_, str> {
        "verticalpodautoscalers".into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}
