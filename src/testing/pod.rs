//! Pods and their containers.

use serde_json::{Value, json};

use super::builder::{Builder, kind, list};

/// A Pod of one container, `app`, that states no sizes.
#[must_use]
pub fn pod(name: &str) -> Builder<kind::Pod> {
    Builder::stored("Pod", name).with("/spec/containers", json!([container("app").json()]))
}

/// A container of a Pod or of a template, without sizes.
#[must_use]
pub fn container(name: &str) -> Builder<kind::Container> {
    Builder::part(json!({"name": name, "image": "registry.example.dev/app:1"}))
}

impl Builder<kind::Pod> {
    /// Sets the containers.
    #[must_use]
    pub fn containers(self, containers: impl IntoIterator<Item = Builder<kind::Container>>) -> Self {
        self.with("/spec/containers", list(containers))
    }

    /// Sets the init containers, sidecars among them.
    #[must_use]
    pub fn init_containers(self, containers: impl IntoIterator<Item = Builder<kind::Container>>) -> Self {
        self.with("/spec/initContainers", list(containers))
    }

    /// Sets the phase to Running.
    #[must_use]
    pub fn running(self) -> Self {
        self.with("/status/phase", "Running")
    }

    /// Sets the status.
    #[must_use]
    pub fn status(self, status: impl Into<Value>) -> Self {
        self.with("/status", status)
    }
}

impl Builder<kind::Container> {
    /// Sets both requests.
    #[must_use]
    pub fn requests(self, cpu: &str, memory: &str) -> Self {
        self.with("/resources/requests", json!({"cpu": cpu, "memory": memory}))
    }

    /// Sets the memory limit.
    #[must_use]
    pub fn memory_limit(self, memory: &str) -> Self {
        self.with("/resources/limits/memory", memory)
    }

    /// Sets requests and limits.
    #[must_use]
    pub fn resources(self, resources: impl Into<Value>) -> Self {
        self.with("/resources", resources)
    }

    /// Makes an init container a sidecar.
    #[must_use]
    pub fn sidecar(self) -> Self {
        self.with("/restartPolicy", "Always")
    }
}
