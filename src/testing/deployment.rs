//! Deployments.

use serde_json::Value;

use super::builder::{Builder, kind, list};
use super::container;

/// A Deployment of one pod, which it labels `app` by its own name.
#[must_use]
pub fn deployment(name: &str) -> Builder<kind::Deployment> {
    Builder::<kind::Deployment>::stored("Deployment", name)
        .with("/spec/replicas", 1)
        .with("/spec/selector/matchLabels/app", name)
        .with("/spec/template/metadata/labels/app", name)
        .containers([container("app")])
}

impl Builder<kind::Deployment> {
    /// Sets the number of pods.
    #[must_use]
    pub fn replicas(self, count: u32) -> Self {
        self.with("/spec/replicas", count)
    }

    /// Sets the containers of its pods.
    #[must_use]
    pub fn containers(self, containers: impl IntoIterator<Item = Builder<kind::Container>>) -> Self {
        self.with("/spec/template/spec/containers", list(containers))
    }

    /// Sets the whole template of its pods; they must have the label `app`.
    #[must_use]
    pub fn template(self, template: impl Into<Value>) -> Self {
        self.with("/spec/template", template)
    }
}
