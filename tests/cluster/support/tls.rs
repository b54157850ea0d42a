//! A small HTTPS server on this machine, such as an admission webhook is.

use std::sync::Arc;

use anyhow::Result;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::certificates::Authority;

/// A server that answers each JSON body with another, until it is dropped.
pub struct JsonServer {
    /// `https://127.0.0.1:PORT`
    pub url: String,
    /// What a client must trust, as PEM.
    pub authority: String,
    task: tokio::task::JoinHandle<()>,
}

impl JsonServer {
    pub async fn start(answer: impl Fn(&Value) -> Value + Send + Sync + 'static) -> Result<Self> {
        let authority = Authority::new()?;
        let acceptor = acceptor(&authority)?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("https://{}", listener.local_addr()?);
        let answer = Arc::new(answer);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, answer) = (acceptor.clone(), answer.clone());
                tokio::spawn(async move {
                    // A connection that fails shows in what its client gets.
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let service = service_fn(|request| respond(request, answer.as_ref()));
                    _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Ok(Self { url, authority: authority.certificate(), task })
    }
}

/// Of a server on this machine.
pub fn acceptor(authority: &Authority) -> Result<TlsAcceptor> {
    let signed = authority.server()?;
    let chain = vec![CertificateDer::from_pem_slice(signed.certificate.as_bytes())?];
    let key = PrivateKeyDer::from_pem_slice(signed.key.as_bytes())?;
    let tls = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key)?;
    Ok(TlsAcceptor::from(Arc::new(tls)))
}

impl Drop for JsonServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn respond(
    request: Request<Incoming>,
    answer: &(impl Fn(&Value) -> Value + ?Sized),
) -> Result<Response<Full<Bytes>>> {
    let body = request.into_body().collect().await?.to_bytes();
    let answer = serde_json::to_vec(&answer(&serde_json::from_slice(&body)?))?;
    Ok(Response::builder().header("content-type", "application/json").body(Full::new(answer.into()))?)
}
