//! `/healthz`, `/readyz` and `/metrics`.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::metrics::Metrics;

/// What the pages tell of.
#[derive(Clone)]
pub struct Pages {
    /// What `/metrics` serves.
    pub metrics: Arc<Metrics>,
    /// What is missing before we are ready; nothing once we are.
    pub unready: Arc<dyn Fn() -> Vec<String> + Send + Sync>,
    /// Which loops stand still, where one does: only another start can help.
    pub stuck: Arc<dyn Fn() -> Vec<String> + Send + Sync>,
}

/// Begins to listen. Answers the address, which has a real port where port 0 was asked for.
///
/// # Errors
/// When the address cannot be had.
pub async fn bind(address: SocketAddr) -> std::io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// Serves the pages until `stop`.
///
/// # Errors
/// When the listener fails.
pub async fn serve(listener: TcpListener, pages: Pages, stop: CancellationToken) -> std::io::Result<()> {
    let router = Router::new()
        .route("/healthz", get(healthy))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(pages);
    axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await
}

async fn healthy(State(pages): State<Pages>) -> impl IntoResponse {
    nothing_or(&(pages.stuck)())
}

async fn ready(State(pages): State<Pages>) -> impl IntoResponse {
    nothing_or(&(pages.unready)())
}

fn nothing_or(missing: &[String]) -> (StatusCode, String) {
    if missing.is_empty() {
        (StatusCode::OK, "ok\n".to_owned())
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, missing.join("\n") + "\n")
    }
}

async fn metrics(State(pages): State<Pages>) -> impl IntoResponse {
    match pages.metrics.text() {
        Ok(text) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, kind)], text).into_response()
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
