//! TLS and HTTP for admission reviews, with a bound on everything that a caller can make large or slow.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connections::{Budget, Connections, Place, Share};
use super::desk::Desk;
use super::keeper::Shown;
use crate::control::metrics::Reason;

/// Where the API server posts its reviews.
pub const PATH: &str = "/mutate";
/// The API server itself takes no larger object.
const MOST_BYTES: usize = 3 << 20;
/// Bodies held at once, of all callers together.
const MOST_BYTES_TOGETHER: usize = 16 << 20;
const MOST_CONNECTIONS: usize = 256;
/// Per connection. The API server opens another where it wants more.
const MOST_STREAMS: u32 = 100;
/// A caller's window: what it may have sent before we have read it.
const STREAM_WINDOW: u32 = 256 << 10;
const CONNECTION_WINDOW: u32 = 1 << 20;
const HEADERS: u32 = 16 << 10;
const HANDSHAKE: Duration = Duration::from_secs(5);
const HEADER_READ: Duration = Duration::from_secs(10);
/// From the request's header to the last of its body.
const READING: Duration = Duration::from_secs(1);
/// From there to the answer; the API server waits for 2 s for both.
const ANSWERING: Duration = Duration::from_millis(700);
const PING: Duration = Duration::from_secs(20);
/// What has begun when we are told to stop may take this long.
const FINISH: Duration = Duration::from_secs(3);

/// What a connection is served with.
#[derive(Clone)]
struct Service {
    desk: Arc<Desk>,
    connections: Arc<Connections>,
    budget: Arc<Budget>,
}

/// How connections are secured: TLS 1.2 and 1.3, with the certificate that is shown at the time.
#[must_use]
pub fn tls(shown: &Arc<Shown>) -> Arc<rustls::ServerConfig> {
    let resolver: Arc<dyn rustls::server::ResolvesServerCert> = Arc::<Shown>::clone(shown);
    let mut config = rustls::ServerConfig::builder().with_no_client_auth().with_cert_resolver(resolver);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Arc::new(config)
}

/// Serves until `stop`, then finishes what has begun.
pub async fn serve(
    listener: TcpListener,
    tls: Arc<rustls::ServerConfig>,
    desk: Arc<Desk>,
    stop: CancellationToken,
) {
    let acceptor = TlsAcceptor::from(tls);
    let service = Service {
        desk,
        connections: Connections::new(MOST_CONNECTIONS),
        budget: Budget::new(MOST_BYTES_TOGETHER),
    };
    let tasks = TaskTracker::new();
    loop {
        let stream = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of file descriptors, as a rule: what is open must close first.
                    tracing::warn!(error = error.to_string(), "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
        };
        let (acceptor, service, stop) = (acceptor.clone(), service.clone(), stop.clone());
        tasks.spawn(async move { connection(stream, acceptor, service, stop).await });
    }
    tasks.close();
    drop(tokio::time::timeout(FINISH, tasks.wait()).await);
}

async fn connection(stream: TcpStream, acceptor: TlsAcceptor, service: Service, stop: CancellationToken) {
    let place = Arc::new(service.connections.enter());
    let gauge = &service.desk.metrics().admission_connections;
    gauge.inc();
    let served = async {
        // An answer is one small segment, for which nobody should wait.
        drop(stream.set_nodelay(true));
        let handshake = tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await;
        let stream = match handshake {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                tracing::debug!(error = error.to_string(), "a TLS handshake failed");
                return service.count("tls");
            }
            Err(_) => return service.count("slow_handshake"),
        };
        http(TokioIo::new(stream), &place, &service, &stop).await;
    };
    tokio::select! {
        () = place.end.cancelled() => service.count("crowded_out"),
        () = served => {}
    }
    gauge.dec();
}

async fn http(
    stream: TokioIo<tokio_rustls::server::TlsStream<TcpStream>>,
    place: &Arc<Place>,
    service: &Service,
    stop: &CancellationToken,
) {
    let builder = builder();
    let connection = builder.serve_connection(
        stream,
        service_fn(|request| {
            let (service, place) = (service.clone(), Arc::clone(place));
            async move { Ok::<_, Infallible>(service.respond(request, &place).await) }
        }),
    );
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(error = error.to_string(), "a connection broke off");
    }
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_READ).max_buf_size(64 << 10);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MOST_STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(HEADERS)
        .max_send_buf_size(64 << 10)
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING / 2);
    builder
}

type Reply = Response<Full<Bytes>>;

impl Service {
    fn count(&self, reason: &'static str) {
        let reason = Reason { reason: reason.to_owned() };
        self.desk.metrics().admission_refusals.get_or_create(&reason).inc();
    }

    fn refuse(&self, status: StatusCode, reason: &'static str) -> Reply {
        self.count(reason);
        reply(status, "text/plain; charset=utf-8", format!("{reason}\n").into())
    }

    async fn respond(&self, request: Request<Incoming>, place: &Place) -> Reply {
        match (request.method(), request.uri().path()) {
            (&Method::POST, PATH) => {}
            (&Method::GET, "/readyz") => return ready(&self.desk.unready()),
            _ => return self.refuse(StatusCode::NOT_FOUND, "no_such_page"),
        }
        let reply = self.review(request.into_body()).await;
        if reply.status() == StatusCode::OK {
            place.was_useful();
        }
        reply
    }

    async fn review(&self, body: Incoming) -> Reply {
        let (body, _held) = match tokio::time::timeout(READING, read(body, self.budget.share())).await {
            Ok(Ok(read)) => read,
            Ok(Err((status, reason))) => return self.refuse(status, reason),
            Err(_) => return self.refuse(StatusCode::REQUEST_TIMEOUT, "slow_body"),
        };
        let begin = Instant::now();
        let answer = self.desk.answer(&body).await;
        // It is sent all the same: whoever asked may still be there.
        if begin.elapsed() > ANSWERING {
            self.count("slow_answer");
        }
        match answer {
            Ok(answer) => reply(StatusCode::OK, "application/json", answer),
            Err(_) => self.refuse(StatusCode::BAD_REQUEST, "no_review"),
        }
    }
}

fn ready(missing: &[String]) -> Reply {
    let kind = "text/plain; charset=utf-8";
    match missing {
        [] => reply(StatusCode::OK, kind, b"ok\n".to_vec()),
        missing => reply(StatusCode::SERVICE_UNAVAILABLE, kind, (missing.join("\n") + "\n").into()),
    }
}

fn reply(status: StatusCode, kind: &'static str, body: Vec<u8>) -> Reply {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    response
}

/// The whole body, and the share of the budget that it takes for as long as it is held.
fn read<B>(
    mut body: B,
    mut held: Share,
) -> impl Future<Output = Result<(Vec<u8>, Share), (StatusCode, &'static str)>>
where
    B: Body<Data = Bytes> + Unpin,
{
    const TOO_LARGE: (StatusCode, &str) = (StatusCode::PAYLOAD_TOO_LARGE, "large_body");
    async move {
        if body.size_hint().lower() > MOST_BYTES as u64 {
            return Err(TOO_LARGE);
        }
        let mut whole = Vec::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| (StatusCode::BAD_REQUEST, "broken_body"))?;
            let Ok(data) = frame.into_data() else { continue };
            if whole.len() + data.len() > MOST_BYTES {
                return Err(TOO_LARGE);
            }
            if !held.take(data.len()) {
                return Err((StatusCode::SERVICE_UNAVAILABLE, "too_many_bytes"));
            }
            whole.extend_from_slice(&data);
        }
        Ok((whole, held))
    }
}
