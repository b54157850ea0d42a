//! What can be wrong with an answer over HTTP, and a server that stands before another and spoils its answers so.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use futures::stream;
use http::{Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A body that may break off.
pub type Body = BoxBody<Bytes, std::io::Error>;

/// What is wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    #[default]
    None,
    /// It answers with status 500.
    Error,
    /// It does not answer.
    Silence,
    /// It answers with a page.
    Garbage,
    /// Its numbers are none.
    NotANumber,
    /// Its answer breaks off.
    Half,
}

/// What is wrong now; copies share it.
#[derive(Clone, Default)]
pub struct Switch(Arc<Mutex<Fault>>, Arc<AtomicUsize>);

impl Switch {
    pub fn set(&self, fault: Fault) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }

    /// Number of answers that were not as they should be.
    pub fn spoiled(&self) -> usize {
        self.1.load(Ordering::Relaxed)
    }

    /// An answer, with what is wrong now.
    pub async fn spoil(&self, answer: Vec<u8>) -> Result<Response<Body>> {
        let fault = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        self.1.fetch_add(usize::from(fault != Fault::None), Ordering::Relaxed);
        let length = answer.len();
        let (status, body) = match fault {
            Fault::None => (StatusCode::OK, whole(answer)),
            Fault::Error => (StatusCode::INTERNAL_SERVER_ERROR, whole(b"out of order".to_vec())),
            Fault::Silence => {
                tokio::time::sleep(Duration::from_secs(600)).await;
                (StatusCode::OK, whole(answer))
            }
            Fault::Garbage => (StatusCode::OK, whole(b"<html>a proxy's page</html>".to_vec())),
            Fault::NotANumber => (StatusCode::OK, whole(without_numbers(&answer)?)),
            Fault::Half => {
                let half = Bytes::from(answer).slice(..length / 2);
                let parts = [Ok(Frame::data(half)), Err(std::io::Error::other("broken off"))];
                (StatusCode::OK, BodyExt::boxed(StreamBody::new(stream::iter(parts))))
            }
        };
        Ok(Response::builder().status(status).header("content-type", "application/json").body(body)?)
    }
}

fn whole(bytes: Vec<u8>) -> Body {
    Full::new(Bytes::from(bytes)).map_err(|never| match never {}).boxed()
}

/// Prometheus's answer with NaN for every value, or a list of usage with quantities that are none.
fn without_numbers(answer: &[u8]) -> Result<Vec<u8>> {
    let mut answer: serde_json::Value = serde_json::from_slice(answer)?;
    for series in answer["data"]["result"].as_array_mut().into_iter().flatten() {
        series["value"][1] = "NaN".into();
    }
    for pod in answer["items"].as_array_mut().into_iter().flatten() {
        for container in pod["containers"].as_array_mut().into_iter().flatten() {
            container["usage"] = serde_json::json!({"cpu": "NaN", "memory": "-5Mi"});
        }
    }
    Ok(serde_json::to_vec(&answer)?)
}

/// A server before another.
pub struct Before {
    /// Where it answers, as `http://127.0.0.1:PORT`.
    pub url: String,
    pub switch: Switch,
    task: JoinHandle<()>,
}

impl Before {
    /// Before the one at `url`, which speaks HTTP.
    pub async fn start(url: &str) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let own = format!("http://{}", listener.local_addr()?);
        let (switch, behind) = (Switch::default(), url.to_owned());
        let task = tokio::spawn({
            let switch = switch.clone();
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    let (switch, behind) = (switch.clone(), behind.clone());
                    tokio::spawn(async move {
                        let service = service_fn(|request| pass(request, &behind, &switch));
                        // A connection that fails shows in what its client gets.
                        _ = hyper::server::conn::http1::Builder::new()
                            .serve_connection(TokioIo::new(stream), service)
                            .await;
                    });
                }
            }
        });
        Ok(Self { url: own, switch, task })
    }
}

impl Drop for Before {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass(request: Request<Incoming>, behind: &str, switch: &Switch) -> Result<Response<Body>> {
    let path = request.uri().path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let forwarded = reqwest::Client::new()
        .request(request.method().clone(), format!("{behind}{path}"))
        .headers(request.headers().clone());
    let body = request.into_body().collect().await?.to_bytes();
    let answer = forwarded.body(body).send().await?.bytes().await?;
    switch.spoil(answer.to_vec()).await
}
