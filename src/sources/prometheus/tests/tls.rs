//! Mutual TLS with an authority of one's own, against a server that lets nobody else in.

use std::path::Path;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::super::*;
use super::{ONE, http};

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn signed(authority: &Authority, usage: ExtendedKeyUsagePurpose) -> (String, String) {
    let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    params.extended_key_usages = vec![usage];
    let key = KeyPair::generate().unwrap();
    (params.signed_by(&key, authority).unwrap().pem(), key.serialize_pem())
}

/// A server that asks for a certificate by the authority; its address.
async fn serve(authority: &Authority) -> String {
    drop(rustls::crypto::ring::default_provider().install_default());
    let (certificate, key) = signed(authority, ExtendedKeyUsagePurpose::ServerAuth);
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap()).unwrap();
    let clients = WebPkiClientVerifier::builder(Arc::new(roots)).build().unwrap();
    let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let config =
        ServerConfig::builder().with_client_cert_verifier(clients).with_single_cert(chain, key).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut request = [0_u8; 8192];
            if stream.read(&mut request).await.is_ok_and(|length| length > 0) {
                drop(stream.write_all(http(200, ONE).as_bytes()).await);
                drop(stream.shutdown().await);
            }
        }
    });
    url
}

fn write(folder: &Path, name: &str, text: &str) -> Option<std::path::PathBuf> {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    Some(path)
}

async fn ask(options: &PrometheusOptions) -> Result<usize, PrometheusError> {
    let prometheus = Prometheus::open(options)?.unwrap();
    Ok(prometheus.instant("up", Timestamp(5)).await?.len())
}

#[tokio::test]
async fn who_has_the_certificate_is_let_in() {
    let folder = tempfile::tempdir().unwrap();
    let authority = authority();
    let url = serve(&authority).await;
    let (certificate, key) = signed(&authority, ExtendedKeyUsagePurpose::ClientAuth);
    let options = PrometheusOptions {
        prometheus_ca: write(folder.path(), "ca.pem", &authority.pem()),
        prometheus_cert: write(folder.path(), "cert.pem", &certificate),
        prometheus_key: write(folder.path(), "key.pem", &key),
        ..PrometheusOptions::at(&url)
    };
    assert_eq!(ask(&options).await.unwrap(), 1);

    let none = PrometheusOptions { prometheus_cert: None, prometheus_key: None, ..options.clone() };
    assert!(matches!(ask(&none).await.unwrap_err(), PrometheusError::Unreachable { .. }));
    let stranger = PrometheusOptions { prometheus_ca: None, ..options.clone() };
    let error = ask(&stranger).await.unwrap_err().to_string();
    assert!(error.contains("certificate"), "{error}");

    // A key that is none is named, and not shown.
    let garbage = write(folder.path(), "garbage.pem", "-----BEGIN PRIVATE KEY-----\nhunter2\n");
    let bad = PrometheusOptions { prometheus_key: garbage, ..options.clone() };
    let error = ask(&bad).await.unwrap_err().to_string();
    assert!(error.contains("certificate and key") && !error.contains("hunter2"), "{error}");
    let empty = PrometheusOptions { prometheus_ca: write(folder.path(), "empty.pem", ""), ..options };
    assert!(ask(&empty).await.unwrap_err().to_string().contains("no certificate"));
}
