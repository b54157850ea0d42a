//! Whether new pods are sized at all, where none has shown it yet: the webhook or the admission policy is registered.

use std::time::Duration;

use k8s_openapi::api::admissionregistration::v1::{
    MutatingAdmissionPolicyBinding, MutatingWebhookConfiguration,
};
use kube::Api;
use tokio::time::Instant;

use crate::cluster::error::Request;
use crate::cluster::{ClusterError, Connection};

/// Name of both, as `plumb run` registers them by default.
const NAME: &str = "plumb";
/// Time for which an answer is believed.
const FRESH: Duration = Duration::from_secs(15);

/// The last answer, and when it was given.
#[derive(Debug, Default)]
pub(super) struct Registered(Option<(bool, Instant)>);

impl Registered {
    /// Asks the API server, unless it was asked a short time ago. Where it gives no answer, nothing is registered.
    pub(super) async fn is_so(&mut self, connection: &Connection) -> bool {
        if let Some((known, at)) = self.0
            && at.elapsed() < FRESH
        {
            return known;
        }
        let known = match webhook(connection).await {
            Ok(true) => true,
            Ok(false) | Err(_) => policy(connection).await.unwrap_or(false),
        };
        self.0 = Some((known, Instant::now()));
        known
    }
}

async fn webhook(connection: &Connection) -> Result<bool, ClusterError> {
    let api: Api<MutatingWebhookConfiguration> = Api::all(connection.client.clone());
    let found = connection
        .ask(asked("mutatingwebhookconfigurations.admissionregistration.k8s.io"), api.get_opt(NAME))
        .await?;
    Ok(found.is_some_and(|found| found.webhooks.is_some_and(|webhooks| !webhooks.is_empty())))
}

async fn policy(connection: &Connection) -> Result<bool, ClusterError> {
    let api: Api<MutatingAdmissionPolicyBinding> = Api::all(connection.client.clone());
    let found = connection
        .ask(asked("mutatingadmissionpolicybindings.admissionregistration.k8s.io"), api.get_opt(NAME))
        .await?;
    Ok(found.is_some_and(|found| found.metadata.deletion_timestamp.is_none()))
}

fn asked(resource: &'static str) -> Request {
    Request { verb: "get", resource, namespace: None }
}
