//! Objects as the API server sends them, without what nobody here reads: managed fields are half of an object, and to
//! take them in costs more than all else of it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, ObjectMeta, OwnerReference, Time};
use kube::Resource;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::templates::Skimmed;
use crate::api::{
    BoostedCpu, ContainerKind, Given, LimitRules, Mode, PreviousSize, Recommendation, RecommendationSpec,
    RecommendationStatus, ResourceAmounts, ResourceName, Resources, WorkloadReference,
};

/// What is read of an object's metadata.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Metadata {
    name: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
    generation: Option<i64>,
    creation_timestamp: Option<Time>,
    deletion_timestamp: Option<Time>,
    labels: Option<BTreeMap<String, String>>,
    annotations: Option<BTreeMap<String, String>>,
    owner_references: Option<Vec<OwnerReference>>,
    managed_fields: Option<Vec<Written>>,
}

/// Who wrote by which subresource, and when; not what.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Written {
    manager: Option<String>,
    subresource: Option<String>,
    time: Option<Time>,
}

impl From<Metadata> for ObjectMeta {
    fn from(read: Metadata) -> Self {
        let resizes = read.managed_fields.into_iter().flatten();
        let resizes = resizes.filter(|written| written.subresource.as_deref() == Some("resize"));
        let resizes: Vec<_> = resizes
            .map(|written| ManagedFieldsEntry {
                manager: written.manager,
                subresource: written.subresource,
                time: written.time,
                ..ManagedFieldsEntry::default()
            })
            .collect();
        Self {
            name: read.name,
            namespace: read.namespace,
            uid: read.uid,
            resource_version: read.resource_version,
            generation: read.generation,
            creation_timestamp: read.creation_timestamp,
            deletion_timestamp: read.deletion_timestamp,
            labels: read.labels,
            annotations: read.annotations,
            owner_references: read.owner_references,
            managed_fields: (!resizes.is_empty()).then_some(resizes),
            ..Self::default()
        }
    }
}

/// Reads metadata; of its managed fields it keeps when resizes were asked for, and by whom.
pub(super) fn metadata<'de, D: Deserializer<'de>>(from: D) -> Result<ObjectMeta, D::Error> {
    Metadata::deserialize(from).map(ObjectMeta::from)
}

/// An object of kind `K` of which only the metadata is read, and of some kinds what their template asks for.
#[derive(Deserialize)]
#[serde(bound = "K: Skimmed")]
pub struct Slim<K: Skimmed> {
    /// Name, namespace, labels, owners.
    #[serde(deserialize_with = "metadata")]
    pub metadata: ObjectMeta,
    /// What is read of its spec.
    #[serde(default)]
    pub spec: K::Spec,
    #[serde(skip)]
    kind: PhantomData<fn() -> K>,
}

impl<K: Skimmed> Clone for Slim<K> {
    fn clone(&self) -> Self {
        Self { metadata: self.metadata.clone(), spec: self.spec.clone(), kind: PhantomData }
    }
}

impl<K: Skimmed> fmt::Debug for Slim<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Slim").field(&self.metadata).field(&self.spec).finish()
    }
}

impl<K: Resource<DynamicType = ()> + Skimmed> Resource for Slim<K> {
    type DynamicType = ();
    type Scope = K::Scope;

    fn kind(_: &()) -> Cow<'_, str> {
        K::kind(&())
    }

    fn group(_: &()) -> Cow<'_, str> {
        K::group(&())
    }

    fn version(_: &()) -> Cow<'_, str> {
        K::version(&())
    }

    fn plural(_: &()) -> Cow<'_, str> {
        K::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

/// A Recommendation; where somebody has written one that cannot be read, what it is called, so that it does not cost
/// the others.
#[derive(Clone, Debug)]
pub struct Guarded {
    /// Name and namespace.
    pub metadata: ObjectMeta,
    /// All of it, its metadata included.
    pub whole: Option<Recommendation>,
}

#[derive(Deserialize)]
struct Whole {
    #[serde(deserialize_with = "metadata")]
    metadata: ObjectMeta,
    spec: RecommendationSpec,
    #[serde(default)]
    status: Option<RecommendationStatus>,
}

impl<'de> Deserialize<'de> for Guarded {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = Box::<RawValue>::deserialize(from)?;
        if let Ok(Whole { metadata, spec, status }) = serde_json::from_str(text.get()) {
            let whole = Recommendation { metadata: metadata.clone(), spec, status };
            return Ok(Self { metadata, whole: Some(whole) });
        }
        let slim: Slim<Recommendation> =
            serde_json::from_str(text.get()).map_err(serde::de::Error::custom)?;
        Ok(Self { metadata: slim.metadata, whole: None })
    }
}

/// Both are Recommendations to the API server.
macro_rules! recommendations {
    ($($kind:ty),*) => {$(
        impl Resource for $kind {
            type DynamicType = ();
            type Scope = <Recommendation as Resource>::Scope;

            fn kind(_: &()) -> Cow<'_, str> {
                Recommendation::kind(&())
            }

            fn group(_: &()) -> Cow<'_, str> {
                Recommendation::group(&())
            }

            fn version(_: &()) -> Cow<'_, str> {
                Recommendation::version(&())
            }

            fn plural(_: &()) -> Cow<'_, str> {
                Recommendation::plural(&())
            }

            fn meta(&self) -> &ObjectMeta {
                &self.metadata
            }

            fn meta_mut(&mut self) -> &mut ObjectMeta {
                &mut self.metadata
            }
        }
    )*};
}

recommendations!(Guarded, Stampable);

/// A Recommendation, as far as new pods are judged by it; where that cannot be read, what it is called.
#[derive(Clone, Debug)]
pub struct Stampable {
    /// Name, namespace and annotations.
    pub metadata: ObjectMeta,
    /// What it says.
    pub whole: Option<ToStamp>,
}

/// What a Recommendation says that new pods are judged by.
#[derive(Clone, Debug)]
pub struct ToStamp {
    /// What it is about.
    pub spec: SpecToStamp,
    /// What it says.
    pub status: StatusToStamp,
}

/// What it is about.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SpecToStamp {
    /// The workload.
    pub workload_ref: WorkloadReference,
    /// Its policy's mode.
    pub mode: Mode,
}

/// What it says.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StatusToStamp {
    /// Of each container.
    pub containers: Vec<ContainerToStamp>,
    /// What they had before.
    pub previous: Vec<PreviousSize>,
    /// What new pods are given, as the updater says.
    pub new_pods: Option<GivenToStamp>,
}

/// What new pods are given.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct GivenToStamp {
    /// What it is.
    pub given: Given,
}

/// What it says of a container.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerToStamp {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: ContainerKind,
    /// What it should run with.
    pub target: Resources,
    /// How the limits of a new pod follow from its own ones.
    pub limit_rules: LimitRules,
    /// More CPU while it starts up.
    pub startup_boost: Option<BoostedCpu>,
    /// Its history is short.
    pub learning: bool,
    /// What is not here is not sized.
    pub lower: ResourceAmounts,
    /// No request or limit is set above this.
    pub max_allowed: ResourceAmounts,
    /// Resources that a HorizontalPodAutoscaler holds.
    pub held: Vec<ResourceName>,
}

/// Less of the metadata: no times, which are dear to read.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Named {
    name: Option<String>,
    namespace: Option<String>,
    resource_version: Option<String>,
    annotations: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
struct OnlyNamed {
    metadata: Named,
}

#[derive(Deserialize)]
struct NamedToStamp {
    metadata: Named,
    spec: SpecToStamp,
    #[serde(default)]
    status: StatusToStamp,
}

impl From<Named> for ObjectMeta {
    fn from(read: Named) -> Self {
        Self {
            name: read.name,
            namespace: read.namespace,
            resource_version: read.resource_version,
            annotations: read.annotations,
            ..Self::default()
        }
    }
}

impl<'de> Deserialize<'de> for Stampable {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = Box::<RawValue>::deserialize(from)?;
        if let Ok(NamedToStamp { metadata, spec, status }) = serde_json::from_str(text.get()) {
            return Ok(Self { metadata: metadata.into(), whole: Some(ToStamp { spec, status }) });
        }
        let OnlyNamed { metadata } = serde_json::from_str(text.get()).map_err(serde::de::Error::custom)?;
        Ok(Self { metadata: metadata.into(), whole: None })
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Namespace;
    use serde_json::json;

    use super::*;
    use crate::testing::recommendation;

    #[test]
    fn of_managed_fields_only_who_resized_is_kept_and_when() {
        let fields = json!([
            {"manager": "kubelet", "subresource": "status", "time": "2026-11-23T07:00:00Z", "fieldsV1": {"f:a": {}}},
            {"manager": "plumb", "subresource": "resize", "time": "2026-11-23T08:00:00Z", "fieldsV1": {"f:b": {}}}]);
        let object = json!({"metadata": {"name": "n", "labels": {"a": "b"}, "finalizers": ["x"], "managedFields": fields}});
        let read: Slim<Namespace> = serde_json::from_value(object).unwrap();
        assert_eq!(
            (read.meta().name.as_deref(), Namespace::plural(&())),
            (Some("n"), Slim::<Namespace>::plural(&()))
        );
        let kept = json!(read.metadata.managed_fields);
        assert_eq!(
            kept,
            json!([{"manager": "plumb", "subresource": "resize", "time": "2026-11-23T08:00:00Z"}])
        );
    }

    #[test]
    fn a_recommendation_that_cannot_be_read_still_has_a_name() {
        let read = |object: serde_json::Value| serde_json::from_str::<Guarded>(&object.to_string());
        let object = recommendation("web").auto().json();
        let whole = read(object.clone()).unwrap();
        assert_eq!(whole.whole.unwrap().spec.workload_ref.name, "web");
        let other = read(json!({"metadata": {"name": "r"}, "spec": {"mode": 7}})).unwrap();
        assert_eq!((other.meta().name.as_deref(), other.whole.is_none()), (Some("r"), true));
        assert!(read(json!([])).is_err());
        // As a watch tells it.
        let event = json!({"type": "ADDED", "object": object}).to_string();
        let event = event.replace(r#","type":"ADDED""#, "").replacen('{', r#"{"type":"ADDED","#, 1);
        let event: kube::core::WatchEvent<Guarded> = serde_json::from_str(&event).unwrap();
        assert!(matches!(event, kube::core::WatchEvent::Added(Guarded { whole: Some(_), .. })));
    }
}
