//! What is read of an object's spec where little is: of some kinds the template that people write, and of it what its
//! containers ask for.

use std::fmt;

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::Namespace;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Deserializer};

use super::pods::LeanSpec;
use crate::api::Recommendation;

/// A kind of which little is read.
pub trait Skimmed {
    /// What is read of a spec, where the API server sends one.
    type Spec: Clone + fmt::Debug + Default + DeserializeOwned + Send + Sync;
}

/// A spec of which nothing is read, whatever it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unread;

impl Unread {
    /// None that are known.
    pub(super) fn pods(self) -> Option<&'static LeanSpec> {
        None
    }

    /// None that are known.
    pub(super) fn replicas(self) -> Option<u32> {
        None
    }
}

impl<'de> Deserialize<'de> for Unread {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(from).map(|_| Self)
    }
}

/// A spec of which the pod template is read: its own, or that of the jobs that it makes.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Templated {
    template: Option<Template>,
    job_template: Option<JobTemplate>,
    replicas: Option<u32>,
}

impl Templated {
    /// The pods that come of it; `None` where that was not sent.
    pub(super) fn pods(&self) -> Option<&LeanSpec> {
        let own = || self.template.as_ref();
        let of_jobs = self.job_template.as_ref().map(|jobs| &jobs.spec.template);
        of_jobs.or_else(own).map(|template| &template.spec)
    }

    /// Replicas that are asked for; `None` where the kind has none, or they were not sent.
    pub(super) fn replicas(&self) -> Option<u32> {
        self.replicas
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Template {
    spec: LeanSpec,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct JobTemplate {
    spec: JobSpec,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct JobSpec {
    template: Template,
}

/// What is read of each kind's spec.
macro_rules! skimmed {
    ($($kind:ty => $spec:ty),* $(,)?) => {$(
        impl Skimmed for $kind {
            type Spec = $spec;
        }
    )*};
}

skimmed! {
    Namespace => Unread,
    Recommendation => Unread,
    // Nobody edits the template of these two: it is their owner's, or never changes.
    ReplicaSet => Unread,
    Job => Unread,
    Deployment => Templated,
    StatefulSet => Templated,
    DaemonSet => Templated,
    CronJob => Templated,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cluster::slim::Slim;
    use crate::testing::{self, container, object};

    #[test]
    fn a_template_is_read_where_one_is_sent() {
        let app = container("app").with("/resources/limits/cpu", 1);
        let deployment = testing::deployment("d").replicas(2).containers([app.clone()]);
        let read: Slim<Deployment> = deployment.clone().object();
        assert_eq!(read.spec.pods().unwrap().containers[0].name, "app");
        let containers = "/spec/jobTemplate/spec/template/spec/containers";
        let read: Slim<CronJob> = object("CronJob", "c").with(containers, json!([app.json()])).object();
        assert_eq!(read.spec.pods().unwrap().containers[0].resources.limits["cpu"].0, "1");
        // Metadata alone, and a kind whose template is nobody's.
        let read: Slim<Deployment> = object("Deployment", "d").object();
        assert!(read.spec.pods().is_none());
        let read: Slim<ReplicaSet> = deployment.object();
        assert!(read.spec.pods().is_none());
    }
}
