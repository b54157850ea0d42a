//! Kubernetes Events: only what a person should know of, and each at most every ten minutes.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use tokio::time::Instant;

use crate::api::GROUP;
use crate::cluster::Connection;
use crate::cluster::index::ObjectKey;

const QUIET: Duration = Duration::from_secs(600);
const PATIENCE: Duration = Duration::from_secs(5);

/// Publishes events; a failure to do so fails nothing else.
pub struct Events {
    recorder: Recorder,
    said: Mutex<HashMap<(ObjectKey, &'static str), Instant>>,
}

impl Events {
    /// As `instance` of plumb.
    #[must_use]
    pub fn new(connection: &Connection, instance: String) -> Self {
        let reporter = Reporter { controller: "plumb.dev/recommender".to_owned(), instance: Some(instance) };
        Self { recorder: Recorder::new(connection.client.clone(), reporter), said: Mutex::default() }
    }

    /// A container was OOM killed: on the workload's recommendation.
    pub async fn oom_killed(&self, recommendation: &ObjectKey, note: String) {
        if !self.is_news(recommendation, "OOMObserved") {
            return;
        }
        let regarding = ObjectReference {
            api_version: Some(format!("{GROUP}/v1alpha1")),
            kind: Some("Recommendation".to_owned()),
            name: Some(recommendation.name.to_string()),
            namespace: Some(recommendation.namespace.to_string()),
            ..ObjectReference::default()
        };
        let event = Event {
            type_: EventType::Warning,
            reason: "OOMObserved".to_owned(),
            note: Some(note),
            action: "Recommend".to_owned(),
            secondary: None,
        };
        match tokio::time::timeout(PATIENCE, self.recorder.publish(&event, &regarding)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(error = error.to_string(), "cannot publish an event"),
            Err(_) => tracing::debug!("publishing an event took too long"),
        }
    }

    fn is_news(&self, key: &ObjectKey, reason: &'static str) -> bool {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.retain(|_, at| at.elapsed() < QUIET);
        said.insert((key.clone(), reason), Instant::now()).is_none()
    }
}
