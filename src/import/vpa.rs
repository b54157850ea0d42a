//! The objects of the Vertical Pod Autoscaler, as far as they are read: autoscaling.k8s.io/v1.
//!
//! What a field is called there is what it is called here; what is not known is kept, so that it can be named.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// The API group of VPA's objects.
const GROUP: &str = "autoscaling.k8s.io/";
/// Lists in lists that are followed.
const DEPTH: usize = 4;

/// What is not known of an object.
type Rest = BTreeMap<String, Value>;

/// A VPA's object, of either kind.
#[derive(Clone, Debug)]
pub enum Object {
    /// How a workload is to be sized.
    Vpa(Box<Vpa>),
    /// What was seen of one of its containers.
    Checkpoint(Box<Checkpoint>),
}

/// A VerticalPodAutoscaler.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Vpa {
    /// Name, namespace, labels.
    #[serde(default)]
    pub metadata: Metadata,
    /// What is wanted.
    #[serde(default)]
    pub spec: VpaSpec,
}

/// What is read of an object's metadata.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Metadata {
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// Its namespace; absent where it is left to kubectl.
    pub namespace: Option<String>,
    /// Its labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

/// What a VerticalPodAutoscaler asks for.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are those of the upstream API")]
pub struct VpaSpec {
    pub target_ref: Option<TargetRef>,
    pub update_policy: Option<UpdatePolicy>,
    pub resource_policy: Option<ResourcePolicy>,
    pub recommenders: Option<Vec<Recommender>>,
    pub startup_boost: Option<Value>,
    #[serde(flatten)]
    pub rest: Rest,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are those of the upstream API")]
pub struct TargetRef {
    pub api_version: Option<String>,
    pub kind: String,
    pub name: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are those of the upstream API")]
pub struct UpdatePolicy {
    pub update_mode: Option<String>,
    pub min_replicas: Option<i64>,
    pub eviction_requirements: Option<Vec<Value>>,
    #[serde(flatten)]
    pub rest: Rest,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are those of the upstream API")]
pub struct ResourcePolicy {
    pub container_policies: Option<Vec<ContainerPolicy>>,
    #[serde(flatten)]
    pub rest: Rest,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are those of the upstream API")]
pub struct ContainerPolicy {
    pub container_name: Option<String>,
    pub mode: Option<String>,
    pub min_allowed: Option<BTreeMap<String, Value>>,
    pub max_allowed: Option<BTreeMap<String, Value>>,
    pub controlled_resources: Option<Vec<String>>,
    pub controlled_values: Option<String>,
    pub startup_boost: Option<Value>,
    #[serde(flatten)]
    pub rest: Rest,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the fields are those of the upstream API")]
pub struct Recommender {
    pub name: String,
}

/// A VerticalPodAutoscalerCheckpoint.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Checkpoint {
    /// Name and namespace.
    #[serde(default)]
    pub metadata: Metadata,
    /// Which container of which VPA it is of.
    #[serde(default)]
    pub spec: CheckpointSpec,
    /// What was seen.
    #[serde(default)]
    pub status: CheckpointStatus,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are those of the upstream API")]
pub struct CheckpointSpec {
    pub vpa_object_name: String,
    pub container_name: String,
}

/// What a checkpoint holds.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are those of the upstream API")]
pub struct CheckpointStatus {
    pub version: String,
    pub cpu_histogram: Histogram,
    pub memory_histogram: Histogram,
    pub first_sample_start: Option<String>,
    pub last_sample_start: Option<String>,
    pub total_samples_count: i64,
}

/// A histogram as VPA saves it: weights of buckets by number, the largest being 10000.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are those of the upstream API")]
pub struct Histogram {
    pub bucket_weights: BTreeMap<String, u32>,
    pub total_weight: f64,
}

/// The VPA's objects in a document, lists unfolded; other kinds are passed over.
///
/// # Errors
/// What is wrong with an object of VPA's, in words that name it.
pub fn read(document: Value) -> Result<Vec<Object>, String> {
    let mut found = Vec::new();
    collect(document, DEPTH, &mut found)?;
    Ok(found)
}

fn collect(mut document: Value, depth: usize, found: &mut Vec<Object>) -> Result<(), String> {
    let text = |name: &str| document.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (kind, version) = (text("kind"), text("apiVersion"));
    if kind.ends_with("List") && depth > 0 {
        let item_kind = kind.trim_end_matches("List").to_owned();
        if let Some(Value::Array(items)) = document.get_mut("items").map(Value::take) {
            for mut item in items {
                // The items of a typed list may leave out what they are.
                if let Value::Object(fields) = &mut item
                    && !item_kind.is_empty()
                {
                    fields.entry("kind").or_insert_with(|| Value::String(item_kind.clone()));
                    fields.entry("apiVersion").or_insert_with(|| Value::String(version.clone()));
                }
                collect(item, depth - 1, found)?;
            }
        }
        return Ok(());
    }
    if !version.starts_with(GROUP) {
        return Ok(());
    }
    let name =
        document.pointer("/metadata/name").and_then(Value::as_str).unwrap_or("without a name").to_owned();
    let wrong = |error: serde_json::Error| format!("{kind} {name}: {error}");
    match kind.as_str() {
        "VerticalPodAutoscaler" => {
            found.push(Object::Vpa(serde_json::from_value(document).map_err(wrong)?));
        }
        "VerticalPodAutoscalerCheckpoint" => {
            found.push(Object::Checkpoint(serde_json::from_value(document).map_err(wrong)?));
        }
        _ => {}
    }
    Ok(())
}
