//! Kubernetes Events: only what a person should know of, and each at most every ten minutes.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use tokio::time::Instant;

use crate::api::GROUP;
use crate::cluster::Connection;
use crate::cluster::index::{ObjectKey, WorkloadKey};

const QUIET: Duration = Duration::from_secs(600);
/// The API server takes 1,024 bytes of note; a character takes up to four.
const MOST_CHARS: usize = 250;
const PATIENCE: Duration = Duration::from_secs(5);

/// Publishes events; a failure to do so fails nothing else.
pub struct Events {
    recommender: Recorder,
    updater: Recorder,
    said: Mutex<HashMap<(String, String), Instant>>,
}

impl Events {
    /// As `instance` of plumb.
    #[must_use]
    pub fn new(connection: &Connection, instance: &str) -> Self {
        let recorder = |role: &str| {
            let reporter =
                Reporter { controller: format!("{GROUP}/{role}"), instance: Some(instance.to_owned()) };
            Recorder::new(connection.client.clone(), reporter)
        };
        Self { recommender: recorder("recommender"), updater: recorder("updater"), said: Mutex::default() }
    }

    /// A container was OOM killed: on the workload's recommendation.
    pub async fn oom_killed(&self, recommendation: &ObjectKey, note: String) {
        if !self.is_news(&format!("{}/{}", recommendation.namespace, recommendation.name), "OOMObserved") {
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
        publish(&self.recommender, &event, &regarding).await;
    }

    /// Something keeps a workload's pods as they are: on the workload.
    pub async fn held(&self, workload: &WorkloadKey, reason: &str, note: &str) {
        if self.is_news(&workload.to_string(), reason) {
            self.acted(workload, reason, false, note.to_owned()).await;
        }
    }

    /// Something was done to a workload's pod: on the workload.
    pub async fn acted(&self, workload: &WorkloadKey, reason: &str, warning: bool, note: String) {
        let regarding = ObjectReference {
            api_version: Some(workload.api_version.to_string()),
            kind: Some(workload.kind.to_string()),
            name: Some(workload.object().to_owned()),
            namespace: Some(workload.namespace.to_string()),
            ..ObjectReference::default()
        };
        let type_ = if warning { EventType::Warning } else { EventType::Normal };
        let (reason, action) = (reason.to_owned(), "Resize".to_owned());
        let note = note.chars().take(MOST_CHARS).collect();
        let event = Event { type_, reason, note: Some(note), action, secondary: None };
        publish(&self.updater, &event, &regarding).await;
    }

    fn is_news(&self, of: &str, reason: &str) -> bool {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.retain(|_, at| at.elapsed() < QUIET);
        said.insert((of.to_owned(), reason.to_owned()), Instant::now()).is_none()
    }
}

async fn publish(recorder: &Recorder, event: &Event, regarding: &ObjectReference) {
    match tokio::time::timeout(PATIENCE, recorder.publish(event, regarding)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(error = error.to_string(), "cannot publish an event"),
        Err(_) => tracing::debug!("publishing an event took too long"),
    }
}
