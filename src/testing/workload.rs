//! Names of workloads, of their containers, and of objects.

use super::NAMESPACE;
use super::builder::api_version;
use crate::api::WorkloadReference;
use crate::cluster::index::{ObjectKey, WorkloadKey};
use crate::control::book::SeriesKey;
use crate::sources::ContainerName;

/// A workload by its names.
#[derive(Clone, Debug)]
pub struct Workload {
    kind: String,
    name: String,
    api_version: String,
}

/// The Deployment of that name in namespace `shop`.
#[must_use]
pub fn workload(name: &str) -> Workload {
    let kind = "Deployment".to_owned();
    Workload { api_version: api_version(&kind).to_owned(), kind, name: name.to_owned() }
}

/// The name of an object in namespace `shop`.
#[must_use]
pub fn object_key(name: &str) -> ObjectKey {
    ObjectKey { namespace: NAMESPACE.into(), name: name.into() }
}

/// The container `app` of a pod in namespace `shop`.
#[must_use]
pub fn container_name(pod: &str) -> ContainerName {
    ContainerName { namespace: NAMESPACE.to_owned(), pod: pod.to_owned(), container: "app".to_owned() }
}

impl Workload {
    /// Sets the kind, with its group and version.
    #[must_use]
    pub fn kind(self, kind: &str) -> Self {
        Self { kind: kind.to_owned(), api_version: api_version(kind).to_owned(), ..self }
    }

    /// Sets group and version.
    #[must_use]
    pub fn api_version(self, api_version: &str) -> Self {
        Self { api_version: api_version.to_owned(), ..self }
    }

    /// The key under which the index knows it.
    #[must_use]
    pub fn key(&self) -> WorkloadKey {
        WorkloadKey {
            namespace: NAMESPACE.into(),
            kind: self.kind.as_str().into(),
            name: self.name.as_str().into(),
            api_version: self.api_version.as_str().into(),
        }
    }

    /// The key of one of its containers' series.
    #[must_use]
    pub fn series(&self, container: &str) -> SeriesKey {
        SeriesKey { workload: self.key(), container: container.into() }
    }

    /// A reference to it, as in a policy's target or a Recommendation.
    #[must_use]
    pub fn reference(&self) -> WorkloadReference {
        WorkloadReference {
            api_version: self.api_version.clone(),
            kind: self.kind.clone(),
            name: self.name.clone(),
        }
    }
}
