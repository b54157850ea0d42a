//! The switch of `plumb pause`: a ConfigMap beside the Leases, watched. While it is there no pod is changed, and no new
//! pod is given a size.

use futures::StreamExt;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::core::PartialObjectMeta;
use kube::runtime::{WatchStreamExt, watcher};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::cluster::{Connection, Tasks};

/// The ConfigMap's name.
pub const PAUSE_SWITCH: &str = "plumb-pause";

/// Whether the switch is there; `None` until it was looked for. Clones share one watch.
#[derive(Clone, Debug)]
pub struct PauseSwitch(watch::Receiver<Option<bool>>);

impl PauseSwitch {
    /// Watches the switch in a namespace until `stop`.
    #[must_use]
    pub fn watch(connection: &Connection, namespace: &str, stop: &CancellationToken, tasks: &Tasks) -> Self {
        let (tell, told) = watch::channel(None);
        let api = Api::namespaced(connection.client.clone(), namespace);
        let (namespace, stop) = (namespace.to_owned(), stop.clone());
        tasks.spawn("the watch of the pause switch", async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = follow(api, &namespace, &tell) => {}
            }
        });
        Self(told)
    }

    /// True while the switch is there, and until it was looked for: who cannot ask does nothing.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.0.borrow().unwrap_or(true)
    }

    /// True once the switch was looked for.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.0.borrow().is_some()
    }

    /// Resolves when the switch comes or goes. Cancel safe.
    pub async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

async fn follow(api: Api<PartialObjectMeta<ConfigMap>>, namespace: &str, tell: &watch::Sender<Option<bool>>) {
    let config = watcher::Config::default().fields(&format!("metadata.name={PAUSE_SWITCH}"));
    let mut events = std::pin::pin!(watcher(api, config).default_backoff());
    let (mut listed, mut trouble) = (false, None);
    while let Some(event) = events.next().await {
        let is_there = match event {
            Ok(watcher::Event::Init) => {
                listed = false;
                continue;
            }
            Ok(watcher::Event::InitApply(_)) => {
                listed = true;
                continue;
            }
            Ok(watcher::Event::InitDone) => listed,
            Ok(watcher::Event::Apply(_)) => true,
            Ok(watcher::Event::Delete(_)) => false,
            Err(error) => {
                let error = words(error);
                if trouble.as_ref() != Some(&error) {
                    tracing::warn!(
                        error,
                        "failed to watch ConfigMap {namespace}/{PAUSE_SWITCH}; grant get, list and watch on it"
                    );
                }
                trouble = Some(error);
                continue;
            }
        };
        trouble = None;
        let changed = tell.send_if_modified(|known| known.replace(is_there) != Some(is_there));
        if changed && is_there {
            tracing::info!(
                "paused: no pod is changed, and new pods are given no sizes, until `plumb resume`"
            );
        } else if changed {
            tracing::info!("not paused: pods are changed and sized as policies say");
        }
    }
}

/// What the API server says, without the Status that it says it in.
fn words(error: watcher::Error) -> String {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchFailed(kube::Error::Api(status))
        | watcher::Error::WatchError(status) => status.message,
        other => other.to_string(),
    }
}
