//! Whatever is sent to the webhook, its memory is bounded and honest reviews are answered.

use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Bytes, Frame};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use k8s_openapi::api::core::v1::Secret;
use rustls::SupportedProtocolVersion;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::admission::{place, start, wait_stamped};
use crate::support::Context;
use crate::support::plumb::Plumb;
use crate::support::recommended::{container, recommend};

/// Most memory that any of this may make it use, in MiB; a build for tests, without optimisation.
const MOST: u64 = 160;

cluster_test!(whatever_is_sent_to_the_webhook_does_no_harm, [Fresh, Crds]);
async fn whatever_is_sent_to_the_webhook_does_no_harm(context: Context) -> Result<()> {
    let account = place(&context).await?;
    let containers = json!([container("load", "180m", "300Mi", "400Mi")]);
    recommend(&context, "pod-web", ("v1", "Pod", "web"), "Auto", containers).await?;
    let plumb = start(&context, &account.kubeconfig, &[]).await?;
    wait_stamped(&context).await?;
    let door = Door::of(&context, rustls::ALL_VERSIONS).await?;
    let steps = async {
        for version in rustls::ALL_VERSIONS {
            Door::of(&context, &[*version])
                .await?
                .honest(&context)
                .await
                .with_context(|| format!("{version:?}"))?;
        }
        malformed_reviews(&door, &context.namespace).await?;
        large_bodies(&door, &plumb).await?;
        slow_bodies(&door, &plumb, &context).await?;
        half_open_streams(&door, &plumb, &context).await?;
        half_open_connections(&door, &plumb, &context).await?;
        plumb.check_running()
    };
    steps.await.with_context(|| plumb.log().lines().rev().take(20).collect::<Vec<_>>().join("\n"))?;
    let (now, most) = plumb.memory()?;
    println!("memory of the webhook after all attacks: {now} MiB, at its most {most} MiB");
    ensure!(most < MOST, "it used {most} MiB");
    let log = plumb.stop()?;
    ensure!(!log.contains("panicked"), "{log}");
    Ok(())
}

/// The way to the webhook, as the API server knows it.
#[derive(Clone)]
pub struct Door {
    address: String,
    tls: TlsConnector,
    /// Small segments are sent at once, as the API server's client does.
    at_once: bool,
}

/// One connection.
pub type Client = SendRequest<Full<Bytes>>;

impl Door {
    async fn of(context: &Context, versions: &[&'static SupportedProtocolVersion]) -> Result<Self> {
        use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
        let found = kube::Api::<MutatingWebhookConfiguration>::all(context.client()).get("plumb").await?;
        let webhook = found.webhooks.into_iter().flatten().next().context("not registered")?;
        let url = webhook.client_config.url.context("no URL")?;
        let address = url.trim_start_matches("https://").trim_end_matches("/mutate").to_owned();
        let secret = context.api::<Secret>().get("plumb-webhook-tls").await?;
        let pem = secret.data.and_then(|mut data| data.remove("ca.crt")).context("no authority")?;
        Self::by(versions, &address, &pem.0)
    }

    /// To an address whose certificate that authority has signed.
    pub fn new(address: &str, authority: &[u8]) -> Result<Self> {
        Self::by(rustls::ALL_VERSIONS, address, authority)
    }

    /// The same by these versions of TLS only.
    fn by(versions: &[&'static SupportedProtocolVersion], address: &str, authority: &[u8]) -> Result<Self> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(authority)?)?;
        let tls = rustls::ClientConfig::builder_with_protocol_versions(versions);
        let mut tls = tls.with_root_certificates(roots).with_no_client_auth();
        tls.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Self { address: address.to_owned(), tls: TlsConnector::from(Arc::new(tls)), at_once: true })
    }

    /// The certificate that a new connection is shown.
    pub async fn shown(&self) -> Result<CertificateDer<'static>> {
        let stream = self.connect().await?;
        let shown = stream.get_ref().1.peer_certificates().and_then(|all| all.first()).cloned();
        Ok(shown.context("none was shown")?.into_owned())
    }

    async fn connect(&self) -> Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(&self.address).await?;
        stream.set_nodelay(self.at_once)?;
        Ok(self.tls.connect(ServerName::try_from("127.0.0.1")?, stream).await?)
    }

    /// A new connection.
    pub async fn http2<B>(&self) -> Result<SendRequest<B>>
    where
        B: Body<Data = Bytes, Error = std::convert::Infallible> + Send + Unpin + 'static,
    {
        let (sender, connection) =
            http2::handshake(TokioExecutor::new(), TokioIo::new(self.connect().await?)).await?;
        tokio::spawn(connection);
        Ok(sender)
    }

    /// A review with that body.
    pub fn request<B>(&self, body: B) -> Result<Request<B>> {
        let request = Request::post(format!("https://{}/mutate", self.address));
        Ok(request.header("content-type", "application/json").body(body)?)
    }

    /// Sends a whole body. Answers status and text.
    pub async fn post(&self, client: &mut Client, body: Vec<u8>) -> Result<(u16, String)> {
        Self::send(client, self.request(Full::new(Bytes::from(body)))?).await
    }

    /// A request for a page.
    pub fn page(&self, path: &str) -> Result<Request<Full<Bytes>>> {
        Ok(Request::get(format!("https://{}{path}", self.address)).body(Full::default())?)
    }

    /// Sends a request whole. Answers status and text.
    pub async fn send(client: &mut Client, request: Request<Full<Bytes>>) -> Result<(u16, String)> {
        client.ready().await?;
        let response = client.send_request(request).await?;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await?.to_bytes();
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    }

    /// Honest reviews by a connection of their own: the time that the slowest took.
    async fn honest(&self, context: &Context) -> Result<Duration> {
        let mut client = self.http2().await?;
        let mut slowest = Duration::ZERO;
        for _ in 0..20 {
            let begin = Instant::now();
            let body = review(&context.namespace).to_string().into_bytes();
            let (status, text) = self.post(&mut client, body).await?;
            ensure!(status == 200 && text.contains("JSONPatch"), "{status} {text}");
            slowest = slowest.max(begin.elapsed());
        }
        Ok(slowest)
    }
}

fn review(namespace: &str) -> Value {
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "u1", "kind": {"group": "", "version": "v1", "kind": "Pod"}, "namespace": namespace, "operation": "CREATE",
        "object": {"metadata": {"generateName": "web-", "labels": {"app": "web"}},
                   "spec": {"containers": [{"name": "load", "resources": {}}]}}}})
}

async fn malformed_reviews(door: &Door, namespace: &str) -> Result<()> {
    let mut client = door.http2().await?;
    let whole = review(namespace).to_string();
    // Cut off anywhere: no review, and said so.
    for end in (0..whole.len()).step_by(7) {
        let (status, text) = door.post(&mut client, whole.as_bytes()[..end].to_vec()).await?;
        ensure!(status == 400, "{status} {text} to {}", &whole[..end]);
    }
    for (member, value) in [
        ("object", json!(null)),
        ("object", json!([])),
        ("object", json!("pod")),
        ("namespace", json!(7)),
        ("operation", json!({})),
        ("kind", json!(true)),
        ("object", json!({"spec": {"containers": [null]}})),
        ("object", json!({"metadata": 1})),
        ("userInfo", json!([1, 2])),
    ] {
        let mut review = review(namespace);
        review["request"][member] = value;
        let (status, text) = door.post(&mut client, review.to_string().into_bytes()).await?;
        ensure!(status == 200 && text.contains("\"allowed\":true"), "{status} {text} to {review}");
    }
    // Nested without end, and not UTF-8.
    for body in [vec![b'['; 1 << 20], vec![0xff; 1000], br#"{"request":"#.repeat(10_000)] {
        let (status, text) = door.post(&mut client, body).await?;
        ensure!(status == 400, "{status} {text}");
    }
    Ok(())
}

async fn large_bodies(door: &Door, plumb: &Plumb<'_>) -> Result<()> {
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let mut client: Client = door.http2().await?;
        let request = door.request(Full::new(Bytes::from(vec![b' '; 10 << 20])))?;
        tasks.spawn(async move {
            client.ready().await?;
            // It may refuse before it has read all, and then close the stream.
            Ok::<_, anyhow::Error>(client.send_request(request).await.map(|answer| answer.status().as_u16()))
        });
    }
    while let Some(answer) = tasks.join_next().await {
        if let Ok(status) = answer?? {
            ensure!(status == 413, "a body of 10 MiB was answered by {status}");
        }
    }
    // As large as the API server allows, and honest; by a client that waits for word of each segment, so that small
    // windows would make it slow.
    let door = Door { at_once: false, ..door.clone() };
    let mut big = review("x");
    big["request"]["object"]["metadata"]["annotations"] = json!({"a": "x".repeat(2_500_000)});
    let body = big.to_string().into_bytes();
    let begin = Instant::now();
    for _ in 0..5 {
        let (status, text) = door.post(&mut door.http2().await?, body.clone()).await?;
        ensure!(status == 200, "a body of 2.5 MB was answered by {status} {text}");
    }
    let took = begin.elapsed() / 5;
    let (_, most) = plumb.memory()?;
    println!("16 bodies of 10 MiB at once: at most {most} MiB of memory; then one of 2.5 MB takes {took:?}");
    Ok(())
}

/// A body that never ends, or comes a byte at a time.
struct Slow(tokio::time::Interval);

impl Body for Slow {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.0.poll_tick(context).map(|_| Some(Ok(Frame::data(Bytes::from_static(b" ")))))
    }
}

async fn slow_bodies(door: &Door, plumb: &Plumb<'_>, context: &Context) -> Result<()> {
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let mut client: SendRequest<Slow> = door.http2().await?;
        let request = door.request(Slow(tokio::time::interval(Duration::from_millis(100))))?;
        tasks.spawn(async move {
            client.ready().await?;
            let begin = Instant::now();
            let answer = client.send_request(request).await;
            Ok::<_, anyhow::Error>((answer.map(|answer| answer.status().as_u16()), begin.elapsed()))
        });
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let honest = door.honest(context).await?;
    while let Some(answer) = tasks.join_next().await {
        let (answer, took) = answer??;
        ensure!(took < Duration::from_secs(4), "a slow body was waited for during {took:?}");
        if let Ok(status) = answer {
            ensure!(status == 408, "a slow body was answered by {status}");
        }
    }
    println!(
        "beside 50 slow bodies an honest review takes at most {} ms; {:?} MiB",
        honest.as_millis(),
        plumb.memory()?
    );
    ensure!(honest < Duration::from_secs(1), "it took {honest:?}");
    Ok(())
}

/// As many streams as each connection may have, opened and never finished, again and again.
async fn half_open_streams(door: &Door, plumb: &Plumb<'_>, context: &Context) -> Result<()> {
    let mut tasks = tokio::task::JoinSet::new();
    let mut clients = Vec::new();
    for _ in 0..100 {
        let client: SendRequest<Slow> = door.http2().await?;
        clients.push(client);
    }
    let begin = Instant::now();
    let mut opened = 0;
    let mut honest = Vec::new();
    // For so long, and on a slow machine until more were tried than can be open.
    while begin.elapsed() < Duration::from_secs(6)
        || (opened <= 2000 && begin.elapsed() < Duration::from_secs(30))
    {
        for client in &mut clients {
            for _ in 0..20 {
                if client.is_closed() || client.ready().await.is_err() {
                    break;
                }
                let answer =
                    client.send_request(door.request(Slow(tokio::time::interval(Duration::from_secs(60))))?);
                tasks.spawn(async move { drop(answer.await) });
                opened += 1;
            }
        }
        honest.push(door.honest(context).await?);
    }
    honest.sort();
    let (middle, slowest) = (honest[honest.len() / 2], honest[honest.len() - 1]);
    let (now, most) = plumb.memory()?;
    println!(
        "{opened} half-open streams: of 20 honest reviews the slowest takes {} ms in the middle of {} tries, at most {} ms; \
         memory {now} MiB, at its most {most} MiB",
        middle.as_millis(),
        honest.len(),
        slowest.as_millis()
    );
    ensure!(opened > 2000, "only {opened} were opened");
    // One slow try is a busy machine's.
    ensure!(middle < Duration::from_millis(1500), "it took {middle:?}");
    ensure!(slowest < Duration::from_secs(3), "it took {slowest:?}");
    Ok(())
}

/// Connections that say nothing, and such as never end their handshake.
async fn half_open_connections(door: &Door, plumb: &Plumb<'_>, context: &Context) -> Result<()> {
    let mut open = Vec::new();
    let mut secured = Vec::new();
    for number in 0..600 {
        if number % 3 == 0 {
            let mut stream = door.connect().await?;
            // Half of a preface.
            stream.write_all(b"PRI * HTTP/2.0\r\n").await?;
            secured.push(stream);
        } else {
            open.push(TcpStream::connect(&door.address).await?);
        }
    }
    let honest = door.honest(context).await?;
    wait_stamped(context).await?;
    let (_, metrics) = plumb.page("/metrics").await?;
    let connections = metrics.lines().find_map(|line| line.strip_prefix("plumb_admission_connections "));
    let connections: u32 = connections.context("no such metric")?.parse()?;
    println!(
        "600 idle connections: {connections} are kept, and an honest review takes at most {} ms",
        honest.as_millis()
    );
    ensure!(connections <= 256, "{connections} connections are open");
    // Those that were crowded out are told so.
    let mut byte = [0_u8; 1];
    let first = open.first_mut().context("none")?;
    let closed = tokio::time::timeout(Duration::from_secs(10), first.read(&mut byte)).await;
    ensure!(matches!(closed, Ok(Ok(0) | Err(_))), "it is still open");
    Ok(())
}
