//! What was decided becomes what the API server is asked for; its answer becomes what the updater is told.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::Eviction;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{DeleteOptions, Preconditions};
use kube::Api;
use kube::api::PostParams;
use kube::core::{ObjectMeta, Status};

use super::fault;
use crate::actuate::reason::Hold;
use crate::actuate::{Change, Deed};
use crate::cluster::Connection;
use crate::cluster::index::{ObjectKey, Uid};
use crate::cluster::pods::LeanPod;
use crate::cluster::resize::{Amounts, ContainerResize, ResizeError, resize};

/// How long an eviction may take to be accepted.
const TIMEOUT: Duration = Duration::from_secs(30);

/// What became of an action.
#[derive(Debug)]
pub(super) enum Outcome {
    /// The API server has accepted it.
    Accepted,
    /// The pod is gone, or another has its name: nothing to do.
    Gone,
    /// Not accepted: why, in a word and in words.
    Refused(Hold, String),
}

/// Does it.
pub(super) async fn act(connection: &Connection, pod: &ObjectKey, uid: Uid, deed: &Deed) -> Outcome {
    match deed {
        Deed::Resize(change) | Deed::PutBack(change) | Deed::EndBoost(change) => {
            fault::reach("before-resize");
            let outcome = resized(connection, pod, uid, change).await;
            fault::reach("after-resize");
            outcome
        }
        Deed::Evict => {
            fault::reach("before-evict");
            let outcome = evicted(connection, pod, uid).await;
            fault::reach("after-evict");
            outcome
        }
    }
}

async fn resized(connection: &Connection, pod: &ObjectKey, uid: Uid, change: &Change) -> Outcome {
    let sizes: Vec<ContainerResize> = change
        .sizes
        .iter()
        .map(|size| ContainerResize {
            container: size.container.to_string(),
            sidecar: size.sidecar,
            requests: Amounts { cpu: size.to.cpu_request, memory: size.to.memory_request },
            limits: Amounts { cpu: size.to.cpu_limit, memory: size.to.memory_limit },
        })
        .collect();
    let api: Api<LeanPod> = Api::namespaced(connection.client.clone(), &pod.namespace);
    let Err(error) = resize(&api, &pod.name, &uid.to_string(), &sizes).await else {
        return Outcome::Accepted;
    };
    let hold = match &error {
        ResizeError::NotFound { .. } | ResizeError::UidChanged { .. } => return Outcome::Gone,
        ResizeError::NodeTooSmall { .. } => Hold::NodeTooSmall,
        ResizeError::NodeUnsupported { .. } | ResizeError::NotServed { .. } => Hold::ResizeUnsupported,
        ResizeError::Denied { .. } => Hold::Forbidden,
        ResizeError::Refused { .. } => Hold::AdmissionRefuses,
        ResizeError::LimitsOnlyGrow { .. } => Hold::LimitsOnlyGrow,
        ResizeError::Invalid { message, .. } if message.contains("QOS") => Hold::QosClass,
        ResizeError::Invalid { .. } => Hold::Invalid,
        ResizeError::Throttled { .. } | ResizeError::TimedOut { .. } | ResizeError::Other { .. } => {
            Hold::ApiServer
        }
    };
    Outcome::Refused(hold, error.to_string())
}

/// By the Eviction API, which keeps to PodDisruptionBudgets, and only the pod of that uid.
async fn evicted(connection: &Connection, pod: &ObjectKey, uid: Uid) -> Outcome {
    let api: Api<Pod> = Api::namespaced(connection.client.clone(), &pod.namespace);
    let preconditions = Preconditions { uid: Some(uid.to_string()), ..Preconditions::default() };
    let eviction = Eviction {
        metadata: ObjectMeta { name: Some(pod.name.to_string()), ..ObjectMeta::default() },
        delete_options: Some(DeleteOptions {
            preconditions: Some(preconditions),
            ..DeleteOptions::default()
        }),
    };
    let params = PostParams::default();
    let answer = api.create_subresource::<Eviction, Status>("eviction", &pod.name, &params, &eviction);
    let (hold, text) = match tokio::time::timeout(TIMEOUT, answer).await {
        Ok(Ok(_)) => return Outcome::Accepted,
        Ok(Err(kube::Error::Api(status))) => match status.code {
            // A conflict is about the uid: another pod has the name.
            404 | 409 => return Outcome::Gone,
            // A budget that allows none, or more than one budget, which the API cannot weigh.
            429 => (Hold::DisruptionBudget, status.message.clone()),
            500 if status.message.contains("PodDisruptionBudget") => {
                (Hold::DisruptionBudget, status.message.clone())
            }
            403 => (Hold::Forbidden, status.message.clone()),
            code => (Hold::ApiServer, format!("{} (HTTP {code})", status.message)),
        },
        Ok(Err(error)) => (Hold::ApiServer, error.to_string()),
        Err(_) => (Hold::ApiServer, "no answer in time".to_owned()),
    };
    Outcome::Refused(hold, format!("failed to evict pod {}: {text}", pod.name))
}
