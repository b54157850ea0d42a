//! A metrics API for pods that nobody runs: what each uses is made up, and served as metrics-server does.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::certificates::Authority;
use super::control_plane::ControlPlane;
use super::faults::{Body, Switch};
use super::{metrics_server, tls};

/// A pod with its containers.
#[derive(Clone, Debug)]
pub struct Pod {
    pub namespace: String,
    pub name: String,
    pub containers: Vec<String>,
}

/// One that serves.
pub struct MetricsApi {
    pub switch: Switch,
    pods: Arc<Mutex<Vec<Pod>>>,
    task: JoinHandle<()>,
}

impl MetricsApi {
    /// Serves, and registers with the API server.
    pub async fn start(plane: &ControlPlane) -> Result<Self> {
        let acceptor = tls::acceptor(&Authority::new()?)?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let (switch, pods) = (Switch::default(), Arc::new(Mutex::new(Vec::new())));
        let task = tokio::spawn({
            let (switch, pods) = (switch.clone(), Arc::clone(&pods));
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    let (acceptor, switch, pods) = (acceptor.clone(), switch.clone(), Arc::clone(&pods));
                    tokio::spawn(async move {
                        let Ok(stream) = acceptor.accept(stream).await else { return };
                        let service = service_fn(|request| answer(request, &switch, &pods));
                        _ = hyper::server::conn::http1::Builder::new()
                            .serve_connection(TokioIo::new(stream), service)
                            .await;
                    });
                }
            }
        });
        metrics_server::register(plane, port).await.context("the stand-in for the metrics API")?;
        Ok(Self { switch, pods, task })
    }

    /// Says whose usage is served from now on.
    pub fn serve(&self, pods: Vec<Pod>) {
        *self.pods.lock().unwrap_or_else(PoisonError::into_inner) = pods;
    }
}

impl Drop for MetricsApi {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(
    request: Request<Incoming>,
    switch: &Switch,
    pods: &Mutex<Vec<Pod>>,
) -> Result<Response<Body>> {
    if !request.uri().path().ends_with("/pods") {
        // The API server looks whether we are there.
        let list = r#"{"kind":"APIResourceList","apiVersion":"v1","groupVersion":"metrics.k8s.io/v1beta1","resources":[]}"#;
        return Switch::default().spoil(list.into()).await;
    }
    let list = list(&pods.lock().unwrap_or_else(PoisonError::into_inner), plumb::clock::now().0);
    switch.spoil(list.into_bytes()).await
}

/// Each container uses something of its own that goes up and down.
fn list(pods: &[Pod], now: i64) -> String {
    let time = k8s_openapi::jiff::Timestamp::from_second(now).expect("a time of this age");
    let mut text =
        r#"{"kind":"PodMetricsList","apiVersion":"metrics.k8s.io/v1beta1","metadata":{},"items":["#
            .to_owned();
    for (number, pod) in pods.iter().enumerate() {
        let comma = if number > 0 { "," } else { "" };
        let (namespace, name) = (&pod.namespace, &pod.name);
        write!(
            text,
            r#"{comma}{{"metadata":{{"name":"{name}","namespace":"{namespace}"}},"timestamp":"{time}","window":"15s","containers":["#
        )
        .unwrap();
        for (place, container) in pod.containers.iter().enumerate() {
            let comma = if place > 0 { "," } else { "" };
            let offset = i64::try_from(number * 7 + place * 3).unwrap_or(0);
            let wave = (now / 15 + offset).rem_euclid(40);
            let (nano, kibi) = ((20 + wave) * 1_000_000, (40_000 + wave * 500));
            write!(
                text,
                r#"{comma}{{"name":"{container}","usage":{{"cpu":"{nano}n","memory":"{kibi}Ki"}}}}"#
            )
            .unwrap();
        }
        text.push_str("]}");
    }
    text.push_str("]}");
    text
}
