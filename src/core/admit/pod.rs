//! A pod as an admission review carries it, read in part: what is not named here is not looked at.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// A pod that is about to be created.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct Pod {
    /// Names, labels, owners. Every object has it, and the note goes there.
    #[serde(deserialize_with = "needed_object")]
    pub metadata: Metadata,
    /// What is asked for.
    #[serde(default, deserialize_with = "object")]
    pub spec: Spec,
}

impl Pod {
    /// Reads one; `None` where it is none.
    #[must_use]
    pub fn read(json: &str) -> Option<Self> {
        serde_json::from_str::<Object<Self>>(json).ok()?.0
    }
}

/// Names, labels, owners.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Metadata {
    /// Empty where the API server makes the name.
    #[serde(deserialize_with = "or_none")]
    pub name: String,
    /// Labels.
    #[serde(deserialize_with = "or_none")]
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    #[serde(deserialize_with = "or_none")]
    pub annotations: BTreeMap<String, String>,
    /// Who made it.
    #[serde(deserialize_with = "objects")]
    pub owner_references: Vec<OwnerReference>,
}

/// One who made it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OwnerReference {
    /// Group and version.
    pub api_version: String,
    /// Kind.
    pub kind: String,
    /// Name.
    pub name: String,
    /// Unique id.
    pub uid: String,
    /// It controls the pod, where others only own it.
    #[serde(deserialize_with = "or_none")]
    pub controller: bool,
}

/// What is asked for.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Spec {
    /// The containers.
    #[serde(deserialize_with = "objects")]
    pub containers: Vec<Container>,
    /// What runs before them, or, with restart policy Always, beside them.
    #[serde(deserialize_with = "objects")]
    pub init_containers: Vec<Container>,
    /// What the pod as a whole asks for.
    #[serde(deserialize_with = "object")]
    pub resources: Resources,
    /// What its RuntimeClass takes beside its containers; the API server has written it before we are asked.
    #[serde(deserialize_with = "or_none")]
    pub overhead: BTreeMap<String, RawAmount>,
    /// Its priority class; the API server has written the default one before we are asked.
    #[serde(deserialize_with = "or_none")]
    pub priority_class_name: String,
    /// For how many seconds it may run.
    pub active_deadline_seconds: Option<i64>,
    /// Near which pods it may run.
    #[serde(deserialize_with = "object")]
    pub affinity: Affinity,
}

/// Near which pods a pod may run, as far as quotas ask for it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Affinity {
    /// Near these.
    #[serde(deserialize_with = "object")]
    pub pod_affinity: PodTerms,
    /// Away from these.
    #[serde(deserialize_with = "object")]
    pub pod_anti_affinity: PodTerms,
}

/// Terms about other pods.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct PodTerms {
    /// Those that must hold.
    #[serde(rename = "requiredDuringSchedulingIgnoredDuringExecution", deserialize_with = "objects")]
    pub required: Vec<PodTerm>,
    /// Those that should hold.
    #[serde(rename = "preferredDuringSchedulingIgnoredDuringExecution", deserialize_with = "objects")]
    pub preferred: Vec<WeightedPodTerm>,
}

/// A term that should hold.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WeightedPodTerm {
    /// The term.
    #[serde(deserialize_with = "object")]
    pub pod_affinity_term: PodTerm,
}

/// In which namespaces a term looks for pods.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodTerm {
    /// In these by name.
    #[serde(deserialize_with = "or_none")]
    pub namespaces: Vec<String>,
    /// In those with these labels; of an empty selector in all.
    #[serde(deserialize_with = "object_or_none")]
    pub namespace_selector: Option<Selector>,
}

/// A label selector, of which only its presence is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Selector {}

impl Affinity {
    /// True where a term looks for pods in other namespaces, by which a quota can tell pods apart.
    #[must_use]
    pub fn crosses_namespaces(&self) -> bool {
        [&self.pod_affinity, &self.pod_anti_affinity].into_iter().any(|terms| {
            let preferred = terms.preferred.iter().map(|weighted| &weighted.pod_affinity_term);
            let mut all = terms.required.iter().chain(preferred);
            all.any(|term| !term.namespaces.is_empty() || term.namespace_selector.is_some())
        })
    }
}

/// What kind of container it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Kind {
    /// One of the pod's containers.
    #[default]
    Container,
    /// Runs to its end before the others start.
    Init,
    /// An init container that keeps running beside the others.
    Sidecar,
}

impl Spec {
    /// Init containers and sidecars in their order, then the containers, each with its place in its own list.
    pub fn all(&self) -> impl Iterator<Item = (usize, &Container, Kind)> {
        let init = self.init_containers.iter().enumerate().map(|(index, container)| {
            let sidecar = container.restart_policy.as_deref() == Some("Always");
            (index, container, if sidecar { Kind::Sidecar } else { Kind::Init })
        });
        init.chain(self.containers.iter().enumerate().map(|(i, container)| (i, container, Kind::Container)))
    }
}

/// One container.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Container {
    /// Name, unique in the pod.
    pub name: String,
    /// Requests and limits; `None` where the field is not there at all.
    #[serde(deserialize_with = "object_or_none")]
    pub resources: Option<Resources>,
    /// Always: an init container that is a sidecar.
    pub restart_policy: Option<String>,
    /// What a resize of each resource does to it.
    #[serde(deserialize_with = "objects")]
    pub resize_policy: Vec<ResizePolicy>,
}

/// What a resize of a resource does to a container.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ResizePolicy {
    /// Of which resource.
    pub resource_name: String,
    /// RestartContainer: it is restarted.
    pub restart_policy: String,
}

/// Requests and limits, as text.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Resources {
    /// What is reserved.
    #[serde(deserialize_with = "or_none")]
    pub requests: BTreeMap<String, RawAmount>,
    /// What may not be passed.
    #[serde(deserialize_with = "or_none")]
    pub limits: BTreeMap<String, RawAmount>,
}

impl Resources {
    /// True where nothing is stated.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.requests.is_empty() && self.limits.is_empty()
    }
}

/// A quantity as it was written: as text, or as a whole number.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(transparent)]
pub struct RawAmount(pub String);

impl<'de> Deserialize<'de> for RawAmount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either {
            Text(String),
            Whole(u64),
        }
        Ok(match Either::deserialize(deserializer)? {
            Either::Text(text) => Self(text),
            Either::Whole(number) => Self(number.to_string()),
        })
    }
}

/// Go writes what is empty as null in places.
fn or_none<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// A JSON object or null. (serde's own structs are read from an array as well, by the order of their fields, and a
/// patch into such a place could not be applied.)
struct Object<T>(Option<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Only<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Only<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(|value| Object(Some(value)))
            }

            fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
                Ok(Object(None))
            }
        }

        deserializer.deserialize_any(Only(PhantomData))
    }
}

fn object_or_none<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Ok(Object::deserialize(deserializer)?.0)
}

fn object<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(object_or_none(deserializer)?.unwrap_or_default())
}

fn needed_object<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    object_or_none(deserializer)?.ok_or_else(|| de::Error::custom("null in place of an object"))
}

fn objects<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    let objects: Option<Vec<Object<T>>> = Option::deserialize(deserializer)?;
    let whole = |object: Object<T>| object.0.ok_or_else(|| de::Error::custom("null in a list of objects"));
    objects.unwrap_or_default().into_iter().map(whole).collect()
}
