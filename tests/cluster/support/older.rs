//! The API server as it would be without pods/resize and streaming lists, as Kubernetes 1.31 is: the real one, behind a server
//! that asks it for a subresource that it does not know wherever that one is asked for, and refuses to stream a list.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, Result};
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use http::{Request, Response, Uri};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

use super::certificates::Authority;
use super::tls;

/// Runs until it is dropped.
pub struct Older {
    /// Somebody's kubeconfig, by which he reaches the API server through this.
    pub kubeconfig: PathBuf,
    /// Where it is, as kubeconfigs say it.
    cluster: Value,
    /// How often a resize was asked for.
    pub asked: Arc<AtomicUsize>,
    /// How many lists were asked for that are out of the server's memory.
    pub listed: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

/// The server behind.
struct Behind {
    address: String,
    tls: TlsConnector,
    /// Who may do everything: what is not known is refused as such to those only who would have the right to it.
    admin: HeaderValue,
    asked: Arc<AtomicUsize>,
    listed: Arc<AtomicUsize>,
}

type Answer = Response<UnsyncBoxBody<Bytes, hyper::Error>>;

impl Older {
    /// Before the API server of that kubeconfig. `admin`: that of somebody who may do everything.
    pub async fn start(kubeconfig: &PathBuf, admin: &PathBuf) -> Result<Self> {
        let read =
            |path: &PathBuf| Ok::<Value, anyhow::Error>(serde_json::from_slice(&std::fs::read(path)?)?);
        let (mut own, admin) = (read(kubeconfig)?, read(admin)?);
        let cluster = &mut own["clusters"][0]["cluster"];
        let server = cluster["server"].as_str().context("no server")?;
        let trusted = std::fs::read(cluster["certificate-authority"].as_str().context("no authority")?)?;
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(&trusted)?)?;
        let client = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let token = admin["users"][0]["user"]["token"].as_str().context("no token")?;
        let (asked, listed) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let behind = Arc::new(Behind {
            address: server.trim_start_matches("https://").to_owned(),
            tls: TlsConnector::from(Arc::new(client)),
            admin: HeaderValue::from_str(&format!("Bearer {token}"))?,
            asked: asked.clone(),
            listed: listed.clone(),
        });
        let authority = Authority::new()?;
        let acceptor = tls::acceptor(&authority)?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        cluster["server"] = format!("https://{}", listener.local_addr()?).into();
        let trust = kubeconfig.with_extension("older.crt");
        std::fs::write(&trust, authority.certificate())?;
        cluster["certificate-authority"] = trust.to_string_lossy().into();
        let cluster = cluster.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, behind) = (acceptor.clone(), behind.clone());
                tokio::spawn(async move {
                    // A connection that fails shows in what its client gets.
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let service = service_fn(|request| behind.pass(request));
                    let served = hyper::server::conn::http1::Builder::new();
                    _ = served.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        let mut older = Self { kubeconfig: PathBuf::new(), cluster, asked, listed, task };
        older.kubeconfig = older.kubeconfig_of(kubeconfig)?;
        Ok(older)
    }

    /// The kubeconfig by which somebody else reaches the API server through this.
    pub fn kubeconfig_of(&self, kubeconfig: &PathBuf) -> Result<PathBuf> {
        let mut own: Value = serde_json::from_slice(&std::fs::read(kubeconfig)?)?;
        own["clusters"][0]["cluster"] = self.cluster.clone();
        let path = kubeconfig.with_extension("older");
        std::fs::write(&path, serde_json::to_vec(&own)?)?;
        Ok(path)
    }
}

impl Drop for Older {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Behind {
    /// Hands on a request as it is, and its answer as it comes; a connection for each, as watches never end.
    async fn pass(&self, mut request: Request<Incoming>) -> Result<Answer> {
        let all = request.uri().path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        let (path, query) = all.split_once('?').unwrap_or((all, ""));
        let lists_kinds = path == "/api/v1";
        let has = |what: &str| query.split('&').any(|pair| pair == what);
        if has("sendInitialEvents=true") {
            return refusal();
        }
        if has("resourceVersion=0") && !has("watch=true") {
            self.listed.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(pod) = path.strip_suffix("/resize").filter(|path| path.contains("/pods/")) {
            self.asked.fetch_add(1, Ordering::Relaxed);
            let uri: Uri = format!("{pod}/nobody-serves-this?{query}").parse()?;
            *request.uri_mut() = uri;
            request.headers_mut().insert(AUTHORIZATION, self.admin.clone());
        }
        // What is served of the core group, asked for before it is used: a list in which no pods/resize is.
        if lists_kinds {
            *request.uri_mut() = "/apis/apps/v1".parse()?;
        }
        request.headers_mut().insert(HOST, HeaderValue::from_str(&self.address)?);
        let stream = TcpStream::connect(&self.address).await?;
        let stream = self.tls.connect(ServerName::try_from("127.0.0.1")?, stream).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(sender.send_request(request).await?.map(BodyExt::boxed_unsync))
    }
}

/// What a server says that does not know streaming lists.
fn refusal() -> Result<Answer> {
    let text = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Invalid", "code": 422,
        "message": "ListOptions.meta.k8s.io \"\" is invalid: sendInitialEvents: Forbidden: sendInitialEvents is forbidden \
                    for watch unless the WatchList feature gate is enabled"});
    let body = Full::new(Bytes::from(text.to_string())).map_err(|never| match never {});
    let answer = Response::builder().status(422).header(CONTENT_TYPE, "application/json");
    Ok(answer.body(body.boxed_unsync())?)
}
