//! Workloads whose new pods are refused, by what the events of their controllers say.

use std::collections::HashMap;
use std::sync::Arc;

use super::facts::{ObjectKey, Origin, Owner, Uid, WorkloadKey};
use super::shortages::timestamp;
use super::{Index, Resolution};
use crate::cluster::refused::LeanRefusal;
use crate::units::Timestamp;

/// Characters of a refusal that are kept.
const MOST_CHARS: usize = 240;
/// Refusals that have nothing to do with sizes.
const OTHERS: [&str; 2] = ["looking up service account", "violates PodSecurity"];

/// Refusals of new pods that one event tells of.
#[derive(Clone, Debug, PartialEq)]
pub struct RefusedPods {
    /// What would control the pods.
    pub owner: Arc<Owner>,
    /// When the first one was refused.
    pub first: Timestamp,
    /// When the last one was.
    pub last: Timestamp,
    /// Words of who refused; `None` where nobody did, or not for a size.
    pub why: Option<Arc<str>>,
}

impl Index {
    pub(super) fn refused_pods(&mut self, event: &LeanRefusal) -> RefusedPods {
        let object = &event.involved_object;
        let owner = Owner {
            api_version: self.names.text(&object.api_version),
            kind: self.names.text(&object.kind),
            name: self.names.text(&object.name),
            uid: Uid::from(object.uid.as_str()),
        };
        let read = |time: &Option<String>| time.as_deref().and_then(timestamp);
        let created = event.metadata.creation_timestamp.as_ref().map(|at| at.0.as_second());
        let at = read(&event.event_time).or(created.map(Timestamp)).unwrap_or_default();
        RefusedPods {
            owner: self.owners.value(owner),
            first: read(&event.first_timestamp).unwrap_or(at),
            last: read(&event.last_timestamp).unwrap_or(at),
            why: refusal(&event.message).map(Arc::from),
        }
    }

    /// What is refused by workload: the first and the last one, and the last one's words.
    #[must_use]
    pub fn refused(&self) -> HashMap<WorkloadKey, RefusedPods> {
        let mut found: HashMap<WorkloadKey, RefusedPods> = HashMap::new();
        for (event, refused) in self.refusals.iter().filter(|(_, refused)| refused.why.is_some()) {
            let name =
                ObjectKey { namespace: Arc::clone(&event.namespace), name: (*refused.owner.name).into() };
            let origin = Origin { owner: Some(Arc::clone(&refused.owner)), ..Origin::default() };
            let Resolution::Workload(key) = self.resolve(&name, &origin) else { continue };
            let known = found.entry(key).or_insert_with(|| refused.clone());
            known.first = known.first.min(refused.first);
            if refused.last >= known.last {
                *known = RefusedPods { first: known.first, ..refused.clone() };
            }
        }
        found
    }
}

/// The words of who refused a pod, without its name, which is another one each time.
fn refusal(message: &str) -> Option<String> {
    let after = |mark: &str| message.split_once(mark).map(|(_, words)| words);
    let words = after(" is forbidden: ").or_else(|| after(" is invalid: ")).or_else(|| {
        let place = message.find("admission webhook ").filter(|_| message.contains("denied the request"));
        place.and_then(|place| message.get(place..))
    })?;
    (!OTHERS.iter().any(|other| words.contains(other))).then(|| words.chars().take(MOST_CHARS).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cluster::index::Fold;
    use crate::testing::NOW;

    #[test]
    fn who_refused_is_named_without_the_pod() {
        for (message, expected) in [
            (
                r#"Error creating: pods "web-7f-x2" is forbidden: exceeded quota: small, requested: cpu=1"#,
                "exceeded quota: small, requested: cpu=1",
            ),
            (
                r#"create Pod db-0 in StatefulSet db failed error: admission webhook "no.dev" denied the request: too small"#,
                r#"admission webhook "no.dev" denied the request: too small"#,
            ),
            (
                r#"Error creating: Pod "web-x" is invalid: spec.containers[0]: Invalid value"#,
                "spec.containers[0]: Invalid value",
            ),
        ] {
            assert_eq!(refusal(message).as_deref(), Some(expected));
        }
        for message in [
            r#"Error creating: pods "web-x" is forbidden: error looking up service account shop/web: serviceaccount "web" not found"#,
            r#"Error creating: pods "web-x" is forbidden: violates PodSecurity "restricted:latest": privileged"#,
            r#"Error creating: Internal error occurred: failed calling webhook "no.dev": connection refused"#,
            "Error creating: etcdserver: request timed out",
        ] {
            assert_eq!(refusal(message), None, "{message}");
        }
    }

    #[test]
    fn refusals_of_a_workload_are_told_as_one() {
        let mut index = Index::default();
        let uid = |number: u32| format!("00000000-0000-4000-8000-{number:012}");
        let set = json!({"metadata": {"name": "web-7f", "namespace": "shop", "uid": uid(2),
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": uid(1), "controller": true}]}});
        let web = json!({"metadata": {"name": "web", "namespace": "shop", "uid": uid(1)}});
        index.apply(
            serde_json::from_value::<crate::cluster::slim::Slim<k8s_openapi::api::apps::v1::Deployment>>(web)
                .unwrap(),
            NOW,
        );
        index.apply(
            serde_json::from_value::<crate::cluster::slim::Slim<k8s_openapi::api::apps::v1::ReplicaSet>>(set)
                .unwrap(),
            NOW,
        );
        for (name, first, last, words) in [("a", 0, 5, "no"), ("b", 10, 20, "still no"), ("c", 8, 9, "")] {
            let at = |second: i64| format!("2026-11-23T07:00:{second:02}Z");
            let message = if words.is_empty() {
                "timed out".to_owned()
            } else {
                format!("pods \"{name}\" is forbidden: {words}")
            };
            let event = json!({"metadata": {"name": name, "namespace": "shop"}, "message": message,
                "involvedObject": {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-7f", "uid": uid(2)},
                "firstTimestamp": at(first), "lastTimestamp": at(last)});
            index.apply(serde_json::from_value::<LeanRefusal>(event).unwrap(), NOW);
        }
        let found = index.refused();
        let (key, refused) = found.iter().next().unwrap();
        assert_eq!((&*key.kind, &*key.name, found.len()), ("Deployment", "web", 1));
        assert_eq!(
            (refused.last.seconds_since(refused.first), refused.why.as_deref()),
            (20, Some("still no"))
        );
    }
}
