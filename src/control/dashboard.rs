//! Serves the dashboard: reads Recommendations and the checkpoint when somebody looks, and writes nothing.
//!
//! On a loopback address only: who may reach it has the rights of who runs it. In a cluster `kubectl port-forward`
//! brings people there, so that the API server asks who they are.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, Query, Request as HttpRequest, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use kube::Api;
use kube::api::ListParams;
use tokio::net::TcpListener;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::checkpoint::Place;
use super::explain::explain;
use crate::api::Recommendation;
use crate::cluster::error::Request;
use crate::cluster::{ClusterError, Connection};
use crate::report::dashboard;
use crate::report::prices::Prices;

/// What was listed is shown for so long, however often somebody looks.
const FRESH: Duration = Duration::from_secs(5);
/// Recommendations in one answer of the API server.
const PAGE: u32 = 500;

/// What goes out with every answer: nothing but our own style sheet is loaded, and nobody frames or keeps a page.
const HEADERS: [(HeaderName, &str); 4] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'self'; img-src data:; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
];

/// Why the dashboard is not served.
#[derive(Debug, thiserror::Error)]
pub enum DashboardError {
    /// Anybody could look.
    #[error(
        "the dashboard is served on this machine only: {0} is no loopback address; use 127.0.0.1:PORT, and kubectl port-forward to reach it in a cluster"
    )]
    NotLoopback(SocketAddr),
    /// The address cannot be had.
    #[error("cannot listen on {address}: {error}")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// Why.
        error: std::io::Error,
    },
}

/// What the pages are made from.
pub struct Dashboard {
    connection: Connection,
    checkpoint: Place,
    prices: Prices,
    listed: Mutex<Option<(Instant, Arc<Vec<Recommendation>>)>>,
}

/// Begins to listen on a loopback address.
///
/// # Errors
/// When it is none, or cannot be had.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, DashboardError> {
    if !address.ip().is_loopback() {
        return Err(DashboardError::NotLoopback(address));
    }
    TcpListener::bind(address).await.map_err(|error| DashboardError::Listen { address, error })
}

impl Dashboard {
    /// Of this cluster, by the checkpoint there, at these prices.
    #[must_use]
    pub fn new(connection: Connection, checkpoint: Place, prices: Prices) -> Arc<Self> {
        Arc::new(Self { connection, checkpoint, prices, listed: Mutex::default() })
    }

    /// Serves until `stop`.
    ///
    /// # Errors
    /// When the listener fails.
    pub async fn serve(
        self: Arc<Self>,
        listener: TcpListener,
        stop: CancellationToken,
    ) -> std::io::Result<()> {
        let router = Router::new()
            .route("/", get(overview))
            .route("/workload/{namespace}/{name}", get(workload))
            .route("/style.css", get(style))
            .layer(middleware::from_fn(guard))
            .with_state(self);
        axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await
    }

    /// One listing at a time, and none while the last is fresh.
    async fn all(&self) -> Result<Arc<Vec<Recommendation>>, ClusterError> {
        let mut listed = self.listed.lock().await;
        if let Some((at, all)) = &*listed
            && at.elapsed() < FRESH
        {
            return Ok(Arc::clone(all));
        }
        let api: Api<Recommendation> = Api::all(self.connection.client.clone());
        let mut all = Vec::new();
        let mut next = ListParams::default().limit(PAGE);
        loop {
            let asked = Request { verb: "list", resource: "recommendations.plumb.dev", namespace: None };
            let page = self.connection.ask(asked, api.list(&next)).await?;
            all.extend(page.items);
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => next = next.continue_token(&token),
                None => break,
            }
        }
        let all = Arc::new(all);
        *listed = Some((Instant::now(), Arc::clone(&all)));
        Ok(all)
    }
}

/// Refuses who was led here under another name: a page elsewhere could make a browser ask us in its own name, and read
/// the answer (DNS rebinding).
async fn guard(request: HttpRequest, next: Next) -> Response {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()));
    let name = name.map_or(host, |(name, _)| name);
    let mut response = if matches!(name, "localhost" | "127.0.0.1" | "[::1]") {
        next.run(request).await
    } else {
        (StatusCode::MISDIRECTED_REQUEST, "the dashboard answers to localhost only\n").into_response()
    };
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

async fn overview(
    State(dashboard): State<Arc<Dashboard>>,
    Query(query): Query<dashboard::Query>,
) -> Response {
    match dashboard.all().await {
        Ok(all) => Html(dashboard::overview(&all, &query, &dashboard.prices)).into_response(),
        Err(error) => failed(&error),
    }
}

async fn workload(
    State(dashboard): State<Arc<Dashboard>>,
    Path((namespace, name)): Path<(String, String)>,
) -> Response {
    let all = match dashboard.all().await {
        Ok(all) => all,
        Err(error) => return failed(&error),
    };
    let is_it = |one: &&Recommendation| {
        one.metadata.namespace.as_deref() == Some(&namespace) && one.metadata.name.as_deref() == Some(&name)
    };
    let Some(found) = all.iter().find(is_it) else {
        return (StatusCode::NOT_FOUND, "no such recommendation\n").into_response();
    };
    let explanation = explain(&dashboard.connection, &dashboard.checkpoint, found.clone()).await;
    Html(dashboard::workload(&explanation)).into_response()
}

async fn style() -> Response {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], dashboard::STYLE).into_response()
}

fn failed(error: &ClusterError) -> Response {
    (StatusCode::BAD_GATEWAY, format!("{error}\n")).into_response()
}
