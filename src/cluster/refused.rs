//! Events by which the controllers of ReplicaSets, StatefulSets, DaemonSets and Jobs tell that a pod was refused at its
//! creation. Of these kinds only ReplicaSets tell it by their status as well.

use std::borrow::Cow;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use serde::Deserialize;

use super::slim;

/// The API server sends these events only: there are few, and each is gone after an hour.
pub(super) const SELECTOR: &str = "reason=FailedCreate";

/// An event that a pod could not be created, read in part.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LeanRefusal {
    /// Name and namespace.
    #[serde(deserialize_with = "slim::metadata")]
    pub metadata: ObjectMeta,
    /// The controller's object.
    pub involved_object: LeanInvolved,
    /// Words of the API server, with some of the controller's before.
    pub message: String,
    /// When it came first.
    pub first_timestamp: Option<String>,
    /// When it came last.
    pub last_timestamp: Option<String>,
    /// When it came, where the other two are not set.
    pub event_time: Option<String>,
}

/// An object that an event is about.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LeanInvolved {
    /// Group and version.
    pub api_version: String,
    /// Kind.
    pub kind: String,
    /// Name.
    pub name: String,
    /// Unique id.
    pub uid: String,
}

impl Resource for LeanRefusal {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        Event::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        Event::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        Event::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        Event::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}
