//! A running pod's containers get other resources, in place, through the pod's `resize` subresource.
//!
//! Asks the API server, which checks and writes it down; whether and when the node follows is in the pod's status.

use std::time::Duration;

use kube::api::{Api, Patch, PatchParams};
use kube::core::Status;
use serde_json::{Map, Value, json};

use super::error::Request;
use super::pods::LeanPod;
use super::{ClusterError, Connection};
use crate::units::{Bytes, Cores, MIB};

/// The field manager of resizes: by it plumb tells its own from another controller's.
const MANAGER: &str = "plumb-updater";
/// How long the API server may take, admission included. It gives up on its own after 60 s.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Whether the API server knows the subresource: from Kubernetes 1.33, unless it is switched off.
///
/// # Errors
/// When the API server cannot be asked.
pub async fn is_served(connection: &Connection) -> Result<bool, ClusterError> {
    let asked = Request { verb: "list", resource: "the kinds of the core group", namespace: None };
    let found = connection.ask(asked, connection.client.list_core_api_resources("v1")).await?;
    Ok(found.resources.iter().any(|resource| resource.name == "pods/resize"))
}

/// What to give one container. What is `None` stays as it is: a limit cannot be taken away from a running container.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ContainerResize {
    /// The container's name.
    pub container: String,
    /// It is an init container that keeps running.
    pub sidecar: bool,
    /// What is reserved.
    pub requests: Amounts,
    /// What may not be passed.
    pub limits: Amounts,
}

/// CPU and memory, either or both.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Amounts {
    /// Cores.
    pub cpu: Option<Cores>,
    /// Bytes.
    pub memory: Option<Bytes>,
}

/// Why a resize was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum ResizeError {
    /// The pod is gone.
    #[error("failed to resize pod {pod}: it is gone")]
    NotFound {
        /// The pod's name.
        pod: String,
    },
    /// Another pod has the name now.
    #[error("failed to resize pod {pod}: another pod has its name now")]
    UidChanged {
        /// The pod's name.
        pod: String,
    },
    /// More than the node has, even if nothing else ran there.
    #[error("failed to resize pod {pod}: its node can never hold that: {message}")]
    NodeTooSmall {
        /// The pod's name.
        pod: String,
        /// What the server said.
        message: String,
    },
    /// The pod's node is not one that resizes.
    #[error("failed to resize pod {pod}: its node does not resize pods: {message}")]
    NodeUnsupported {
        /// The pod's name.
        pod: String,
        /// What the server said.
        message: String,
    },
    /// We lack the right.
    #[error("not allowed to resize pod {pod}: grant patch pods/resize: {message}")]
    Denied {
        /// The pod's name.
        pod: String,
        /// What the server said.
        message: String,
    },
    /// Admission refuses: a quota, a limit range, a webhook or a policy.
    #[error("failed to resize pod {pod}: the cluster's admission refuses: {message}")]
    Refused {
        /// The pod's name.
        pod: String,
        /// What the server said.
        message: String,
    },
    /// The API server lowers no memory limit of a running container (Kubernetes 1.33).
    #[error(
        "failed to resize pod {pod}: the API server lowers no memory limit of a running container: {message}"
    )]
    LimitsOnlyGrow {
        /// The pod's name.
        pod: String,
        /// What the server said.
        message: String,
    },
    /// These resources can never be the pod's: a limit below its request, or another quality of service.
    #[error("failed to resize pod {pod}: {message}")]
    Invalid {
        /// The pod's name.
        pod: String,
        /// What the server said.
        message: String,
    },
    /// The API server is older than the subresource (Kubernetes 1.33 has it by default).
    #[error("failed to resize pod {pod}: this cluster's API server has no pods/resize")]
    NotServed {
        /// The pod's name.
        pod: String,
    },
    /// The API server has too much to do.
    #[error("failed to resize pod {pod}: the API server asks to try again{}", after(.retry_after))]
    Throttled {
        /// The pod's name.
        pod: String,
        /// When to try again, where the server said so.
        retry_after: Option<Duration>,
    },
    /// No answer in time: it may have been done all the same.
    #[error("failed to resize pod {pod}: no answer within {} s", TIMEOUT.as_secs())]
    TimedOut {
        /// The pod's name.
        pod: String,
    },
    /// Anything else.
    #[error("failed to resize pod {pod}")]
    Other {
        /// The pod's name.
        pod: String,
        /// What went wrong.
        #[source]
        source: kube::Error,
    },
}

fn after(time: &Option<Duration>) -> String {
    time.map(|time| format!(" in {} s", time.as_secs())).unwrap_or_default()
}

/// Gives the containers of the pod with this name and uid other resources. Returns the pod as it was accepted.
///
/// The client should be one that does not retry: what is refused now is the caller's to think about.
///
/// # Errors
/// When it is not accepted; [`ResizeError`] says why.
pub async fn resize(
    pods: &Api<LeanPod>,
    pod: &str,
    uid: &str,
    containers: &[ContainerResize],
) -> Result<LeanPod, ResizeError> {
    let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
    let patch = Patch::Strategic(patch(uid, containers));
    let answer = pods.patch_subresource("resize", pod, &params, &patch);
    match tokio::time::timeout(TIMEOUT, answer).await {
        Ok(Ok(pod)) => Ok(pod),
        Ok(Err(kube::Error::Api(status))) => Err(explain(pod, uid, status)),
        Ok(Err(source)) => Err(ResizeError::Other { pod: pod.to_owned(), source }),
        Err(_) => Err(ResizeError::TimedOut { pod: pod.to_owned() }),
    }
}

/// Containers are merged by name, so those that are not named stay. The uid makes the server refuse a namesake.
fn patch(uid: &str, containers: &[ContainerResize]) -> Value {
    let of = |sidecar: bool| -> Vec<Value> {
        let containers = containers.iter().filter(|resize| resize.sidecar == sidecar);
        containers
            .map(|resize| {
                let mut resources = Map::new();
                for (field, amounts) in [("requests", resize.requests), ("limits", resize.limits)] {
                    let amounts = amounts.json();
                    if !amounts.is_empty() {
                        resources.insert(field.to_owned(), Value::Object(amounts));
                    }
                }
                json!({"name": resize.container, "resources": resources})
            })
            .collect()
    };
    let (own, sidecars) = (of(false), of(true));
    let mut spec = json!({"containers": own});
    if !sidecars.is_empty() {
        spec["initContainers"] = Value::Array(sidecars);
    }
    json!({"metadata": {"uid": uid}, "spec": spec})
}

impl Amounts {
    fn json(self) -> Map<String, Value> {
        let cpu = self.cpu.map(|cpu| ("cpu", cpu.to_string()));
        let memory = self.memory.map(|memory| ("memory", exactly(memory)));
        let stated = [cpu, memory].into_iter().flatten();
        stated.map(|(name, amount)| (name.to_owned(), Value::String(amount))).collect()
    }
}

/// As people write it where that is exact, since they will read it in the pod; else byte by byte.
fn exactly(memory: Bytes) -> String {
    if memory.0.is_multiple_of(MIB) { memory.to_string() } else { memory.0.to_string() }
}

/// Tells the server's refusals apart. Where the code alone does not, its words do; they are the same since 1.33.
fn explain(pod: &str, uid: &str, status: Box<Status>) -> ResizeError {
    let (pod, message) = (pod.to_owned(), status.message.clone());
    let details = status.details.as_ref();
    match status.code {
        // Of a path that is not served the server does not know what it would be.
        404 if details.is_some_and(|details| details.name == pod) => ResizeError::NotFound { pod },
        404 => ResizeError::NotServed { pod },
        409 | 422 if is_about_uid(&status, uid) => ResizeError::UidChanged { pod },
        403 if message.contains("cannot patch resource") => ResizeError::Denied { pod, message },
        403 if message.contains("enough allocatable resources") => ResizeError::NodeTooSmall { pod, message },
        400..=422 if message.contains("without support for resize") => {
            ResizeError::NodeUnsupported { pod, message }
        }
        403 => ResizeError::Refused { pod, message },
        400 | 422 if message.contains("memory limits cannot be decreased") => {
            ResizeError::LimitsOnlyGrow { pod, message }
        }
        400 | 422 => ResizeError::Invalid { pod, message },
        429 => {
            let seconds = details.map(|details| details.retry_after_seconds).filter(|seconds| *seconds > 0);
            ResizeError::Throttled { pod, retry_after: seconds.map(|s| Duration::from_secs(s.into())) }
        }
        _ => ResizeError::Other { pod, source: kube::Error::Api(status) },
    }
}

/// The server says so as a failed precondition, or as a change of a field that cannot change.
fn is_about_uid(status: &Status, uid: &str) -> bool {
    let mut causes = status.details.iter().flat_map(|details| &details.causes);
    status.code == 409 && status.message.contains(uid) || causes.any(|cause| cause.field == "metadata.uid")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The error that a Status of the server's becomes, of which only these fields count.
    fn error(code: u16, message: &str, details: &Value) -> ResizeError {
        let status = json!({"code": code, "message": message, "details": details});
        explain("web", "u-1", serde_json::from_value(status).unwrap())
    }

    fn amounts(cpu: f64, mib: u64) -> Amounts {
        Amounts { cpu: Some(Cores(cpu)), memory: Some(Bytes::from_mib(mib)) }
    }

    #[test]
    fn only_what_is_stated_is_sent() {
        let web = ContainerResize {
            container: "web".to_owned(),
            sidecar: false,
            requests: amounts(0.25, 96),
            limits: Amounts { memory: Some(Bytes::from_mib(128)), cpu: None },
        };
        let sidecar =
            ContainerResize { container: "proxy".to_owned(), sidecar: true, ..ContainerResize::default() };
        let expected = json!({
            "metadata": {"uid": "u-1"},
            "spec": {"containers": [
                {"name": "web", "resources": {
                    "requests": {"cpu": "250m", "memory": "96Mi"}, "limits": {"memory": "128Mi"},
                }},
            ], "initContainers": [{"name": "proxy", "resources": {}}]},
        });
        assert_eq!(patch("u-1", &[web, sidecar]), expected);
    }

    #[test]
    fn memory_is_exact() {
        assert_eq!(exactly(Bytes(MIB + 1)), "1048577");
        assert_eq!(exactly(Bytes::from_mib(2048)), "2Gi");
    }

    #[test]
    fn a_quota_is_told_from_a_missing_right_and_from_a_small_node() {
        let refused = |message: &str| error(403, message, &json!({"name": "web", "kind": "pods"}));
        let quota = refused(r#"pods "web" is forbidden: exceeded quota: small, requested: memory=1Gi"#);
        assert!(matches!(quota, ResizeError::Refused { .. }), "{quota:?}");
        let right = refused(r#"pods "web" is forbidden: User "u" cannot patch resource "pods/resize""#);
        assert!(matches!(right, ResizeError::Denied { .. }), "{right:?}");
        let node = refused(r#"pods "web" is forbidden: node didn't have enough allocatable resources: cpu"#);
        assert!(matches!(node, ResizeError::NodeTooSmall { .. }), "{node:?}");
    }

    #[test]
    fn throttling_says_when_to_come_back() {
        let error = error(429, "too many requests", &json!({"retryAfterSeconds": 3}));
        assert!(
            matches!(&error, ResizeError::Throttled { retry_after: Some(time), .. } if time.as_secs() == 3)
        );
        assert_eq!(error.to_string(), "failed to resize pod web: the API server asks to try again in 3 s");
    }

    #[test]
    fn a_namesake_is_told_from_wrong_sizes() {
        let invalid = |field: &str| {
            let cause = json!({"reason": "FieldValueInvalid", "message": "no", "field": field});
            error(422, "Pod \"web\" is invalid", &json!({"causes": [cause]}))
        };
        assert!(matches!(invalid("metadata.uid"), ResizeError::UidChanged { .. }));
        assert!(matches!(invalid("spec.containers[0].resources"), ResizeError::Invalid { .. }));
    }

    #[test]
    fn a_server_that_lowers_no_memory_limit_is_told_from_wrong_sizes() {
        let message = "Pod \"web\" is invalid: spec.containers[0].resources.limits[memory]: Forbidden: memory \
                       limits cannot be decreased unless resizePolicy is RestartContainer";
        let found = error(422, message, &json!({"name": "web", "kind": "Pod"}));
        assert!(matches!(found, ResizeError::LimitsOnlyGrow { .. }), "{found:?}");
    }

    #[test]
    fn an_old_server_is_told_from_a_missing_pod() {
        let gone = error(404, r#"pods "web" not found"#, &json!({"name": "web", "kind": "pods"}));
        assert!(matches!(gone, ResizeError::NotFound { .. }), "{gone:?}");
        let old = error(404, "the server could not find the requested resource", &json!({}));
        assert!(matches!(old, ResizeError::NotServed { .. }), "{old:?}");
    }
}
