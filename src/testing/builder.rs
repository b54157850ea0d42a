//! The builder of every Kubernetes object: metadata, any other field by its path, and the ways out of it.

use std::marker::PhantomData;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// Namespace of all objects of unit tests that set no other.
pub const NAMESPACE: &str = "shop";

/// Kinds that have no namespace.
const CLUSTER_WIDE: [&str; 3] = ["Node", "Namespace", "ClusterVerticalScalingPolicy"];

/// An object under construction. `Kind` is one of [`kind`], and decides which setters it has.
#[derive(Clone, Debug)]
pub struct Builder<Kind> {
    value: Value,
    namespaced: bool,
    kind: PhantomData<Kind>,
}

/// Markers of the kinds that [`Builder`] builds.
pub mod kind {
    /// Objects with metadata of their own, unlike a container.
    pub trait Stored {}

    /// A Pod.
    #[derive(Clone, Copy, Debug)]
    pub enum Pod {}
    /// A Deployment.
    #[derive(Clone, Copy, Debug)]
    pub enum Deployment {}
    /// A VerticalScalingPolicy or ClusterVerticalScalingPolicy.
    #[derive(Clone, Copy, Debug)]
    pub enum Policy {}
    /// A Recommendation.
    #[derive(Clone, Copy, Debug)]
    pub enum Recommendation {}
    /// An object of any other kind.
    #[derive(Clone, Copy, Debug)]
    pub enum Other {}
    /// A container of a pod.
    #[derive(Clone, Copy, Debug)]
    pub enum Container {}
    /// A container of a Recommendation's status.
    #[derive(Clone, Copy, Debug)]
    pub enum Recommended {}

    impl Stored for Pod {}
    impl Stored for Deployment {}
    impl Stored for Policy {}
    impl Stored for Recommendation {}
    impl Stored for Other {}
}

/// An object of any kind with a name and no other field, such as a ReplicaSet, a Node or a LimitRange.
#[must_use]
pub fn object(kind: &str, name: &str) -> Builder<kind::Other> {
    Builder::stored(kind, name)
}

/// A reference to the controller of an object.
#[must_use]
pub fn owner_reference(kind: &str, name: &str, uid: &str) -> Value {
    json!({"apiVersion": api_version(kind), "kind": kind, "name": name, "uid": uid, "controller": true})
}

/// Group and version of a kind; those of a made-up API for a kind that Kubernetes does not have.
pub(super) fn api_version(kind: &str) -> &'static str {
    match kind {
        "Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet" => "apps/v1",
        "Job" | "CronJob" => "batch/v1",
        "HorizontalPodAutoscaler" => "autoscaling/v2",
        "VerticalScalingPolicy" | "ClusterVerticalScalingPolicy" | "Recommendation" => "plumb.dev/v1alpha1",
        "Pod" | "Node" | "Namespace" | "LimitRange" | "ResourceQuota" => "v1",
        "Rollout" | "AnalysisRun" | "Workflow" => "argoproj.io/v1alpha1",
        "LeaderWorkerSet" => "leaderworkerset.x-k8s.io/v1",
        "JobSet" => "jobset.x-k8s.io/v1alpha2",
        "TaskRun" => "tekton.dev/v1",
        "SparkApplication" => "sparkoperator.k8s.io/v1beta2",
        "Revision" => "serving.knative.dev/v1",
        _ => "example.dev/v1",
    }
}

impl<Kind> Builder<Kind> {
    /// A part of an object: it has no metadata and no namespace.
    pub(super) fn part(value: Value) -> Self {
        Self { value, namespaced: false, kind: PhantomData }
    }

    /// Sets the field at a JSON pointer, and whatever is missing on the way to it.
    #[must_use]
    pub fn with(mut self, pointer: &str, value: impl Into<Value>) -> Self {
        let mut place = &mut self.value;
        for step in pointer.split('/').skip(1) {
            let step = step.replace("~1", "/").replace("~0", "~");
            place = match place {
                Value::Array(items) => &mut items[step.parse::<usize>().unwrap()],
                other => &mut other[step],
            };
        }
        *place = value.into();
        self
    }

    /// The object as a person applies it: without a namespace, unless one is set.
    #[must_use]
    pub fn json(self) -> Value {
        self.value
    }

    /// The object as the API server returns it: in namespace `shop`, unless another is set.
    ///
    /// # Panics
    /// Panics if the JSON does not parse as a `T`.
    #[must_use]
    pub fn object<T: DeserializeOwned>(self) -> T {
        let placed = if self.namespaced && self.value["metadata"]["namespace"].is_null() {
            self.with("/metadata/namespace", NAMESPACE)
        } else {
            self
        };
        // From text, as all that is read from the API server is.
        let text = placed.value.to_string();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }
}

impl<Kind: kind::Stored> Builder<Kind> {
    pub(super) fn stored(kind: &str, name: &str) -> Self {
        let value = json!({"apiVersion": api_version(kind), "kind": kind, "metadata": {"name": name}});
        Self { value, namespaced: !CLUSTER_WIDE.contains(&kind), kind: PhantomData }
    }

    /// Sets the name.
    #[must_use]
    pub fn named(self, name: &str) -> Self {
        self.with("/metadata/name", name)
    }

    /// Sets the namespace.
    #[must_use]
    pub fn namespace(self, namespace: &str) -> Self {
        self.with("/metadata/namespace", namespace)
    }

    /// Sets the unique id, which the API server gives otherwise.
    #[must_use]
    pub fn uid(self, uid: &str) -> Self {
        self.with("/metadata/uid", uid)
    }

    /// Sets the time of creation, as RFC 3339, which the API server gives otherwise.
    #[must_use]
    pub fn created(self, time: &str) -> Self {
        self.with("/metadata/creationTimestamp", time)
    }

    /// Adds a label.
    #[must_use]
    pub fn label(mut self, key: &str, value: &str) -> Self {
        self.value["metadata"]["labels"][key] = json!(value);
        self
    }

    /// Adds an annotation.
    #[must_use]
    pub fn annotation(mut self, key: &str, value: &str) -> Self {
        self.value["metadata"]["annotations"][key] = json!(value);
        self
    }

    /// Sets the controller.
    #[must_use]
    pub fn controlled_by(self, kind: &str, name: &str, uid: &str) -> Self {
        self.with("/metadata/ownerReferences", json!([owner_reference(kind, name, uid)]))
    }
}

impl<Kind> From<Builder<Kind>> for Value {
    fn from(builder: Builder<Kind>) -> Self {
        builder.json()
    }
}

/// The containers of a list, as JSON.
pub(super) fn list<Kind>(items: impl IntoIterator<Item = Builder<Kind>>) -> Value {
    items.into_iter().map(Builder::json).collect()
}
