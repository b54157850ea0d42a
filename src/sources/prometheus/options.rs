//! Where Prometheus is, who we are to it, and how its series are labelled: flags, read into a client.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Certificate, Identity, Url};

use super::PrometheusError;

/// The most samples that a query may ever be asked for.
pub(super) const MOST_SAMPLES: u64 = 2_000_000;
/// The header by which Mimir, Cortex and Loki tell tenants apart.
const TENANT: HeaderName = HeaderName::from_static("x-scope-orgid");

/// Where Prometheus is and how to ask it.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Prometheus")]
pub struct PrometheusOptions {
    /// Read from this Prometheus, or what speaks its API (Thanos, Mimir, VictoriaMetrics)
    #[arg(long, value_name = "URL")]
    pub prometheus: Option<String>,
    /// File with a bearer token
    #[arg(long, value_name = "FILE", requires = "prometheus")]
    pub prometheus_token_file: Option<PathBuf>,
    /// User for basic authentication
    #[arg(long, value_name = "NAME", requires = "prometheus", conflicts_with = "prometheus_token_file")]
    pub prometheus_user: Option<String>,
    /// File with that user's password
    #[arg(long, value_name = "FILE", requires = "prometheus_user")]
    pub prometheus_password_file: Option<PathBuf>,
    /// File with the certificate authorities to trust, instead of the system's
    #[arg(long, value_name = "FILE", requires = "prometheus")]
    pub prometheus_ca: Option<PathBuf>,
    /// File with our own certificate, for mutual TLS
    #[arg(long, value_name = "FILE", requires = "prometheus_key")]
    pub prometheus_cert: Option<PathBuf>,
    /// File with its key
    #[arg(long, value_name = "FILE", requires = "prometheus_cert")]
    pub prometheus_key: Option<PathBuf>,
    /// A header to send along, as "NAME: VALUE"; may be given more than once
    #[arg(long, value_name = "HEADER", requires = "prometheus")]
    pub prometheus_header: Vec<Header>,
    /// Tenant to ask for: sent as X-Scope-OrgID
    #[arg(long, value_name = "ID", requires = "prometheus")]
    pub prometheus_tenant: Option<String>,
    /// What else all series must have, such as 'cluster="prod"'
    #[arg(long, value_name = "MATCHER", requires = "prometheus")]
    pub prometheus_matcher: Option<String>,
    /// Labels that name namespace, pod and container, where they are others
    #[arg(long, value_name = "NAMES", default_value = "namespace,pod,container")]
    pub prometheus_labels: LabelNames,
    /// kube-state-metrics is scraped without honor_labels: its labels are exported_namespace, exported_pod and so on
    #[arg(long, requires = "prometheus")]
    pub prometheus_exported_labels: bool,
    /// How many samples one query may answer with
    #[arg(long, value_name = "N", default_value_t = super::MAX_SAMPLES, value_parser = clap::value_parser!(u64).range(1000..=MOST_SAMPLES))]
    pub prometheus_max_samples: u64,
    /// How long Prometheus may take for one query, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub prometheus_timeout: u64,
}

impl PrometheusOptions {
    /// One at this address, as if no other flag were given.
    #[must_use]
    pub fn at(url: &str) -> Self {
        Self {
            prometheus: Some(url.to_owned()),
            prometheus_token_file: None,
            prometheus_user: None,
            prometheus_password_file: None,
            prometheus_ca: None,
            prometheus_cert: None,
            prometheus_key: None,
            prometheus_header: Vec::new(),
            prometheus_tenant: None,
            prometheus_matcher: None,
            prometheus_labels: LabelNames::default(),
            prometheus_exported_labels: false,
            prometheus_max_samples: super::MAX_SAMPLES,
            prometheus_timeout: 60,
        }
    }
}

/// A header; its value may be a secret and is not shown.
#[derive(Clone)]
pub struct Header {
    name: HeaderName,
    value: HeaderValue,
}

impl fmt::Debug for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: (hidden)", self.name)
    }
}

impl FromStr for Header {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = text.split_once(':').ok_or("write it like \"NAME: VALUE\"")?;
        let name =
            name.trim().parse().map_err(|_| "what is before the colon is no header's name".to_owned())?;
        let value = secret(value.trim()).ok_or("what is after the colon is no header's value")?;
        Ok(Self { name, value })
    }
}

/// The labels that name namespace, pod and container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelNames {
    /// Of the namespace.
    pub namespace: String,
    /// Of the pod.
    pub pod: String,
    /// Of the container.
    pub container: String,
}

impl Default for LabelNames {
    fn default() -> Self {
        Self { namespace: "namespace".to_owned(), pod: "pod".to_owned(), container: "container".to_owned() }
    }
}

impl LabelNames {
    /// As Prometheus renames them when a target's own label is in the way.
    pub(super) fn exported(&self) -> Self {
        let exported = |name: &String| format!("exported_{name}");
        Self {
            namespace: exported(&self.namespace),
            pod: exported(&self.pod),
            container: exported(&self.container),
        }
    }
}

impl FromStr for LabelNames {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_name = |name: &&str| {
            name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        };
        let names: Vec<&str> = text.split(',').map(str::trim).collect();
        match names[..] {
            [namespace, pod, container] if names.iter().all(is_name) => Ok(Self {
                namespace: namespace.to_owned(),
                pod: pod.to_owned(),
                container: container.to_owned(),
            }),
            _ => Err("write three names of labels, like namespace,pod,container".to_owned()),
        }
    }
}

/// The address, fit to be shown: without user and password.
pub(super) struct Address {
    pub(super) url: Url,
    pub(super) shown: String,
    pub(super) user: Option<(String, Option<String>)>,
}

/// Takes the address apart.
pub(super) fn address(text: &str) -> Result<Address, PrometheusError> {
    let hidden = text.split_once('@').map_or_else(|| text.to_owned(), |(_, host)| format!("…@{host}"));
    let bad = |detail: String| PrometheusError::BadUrl { url: hidden.clone(), detail };
    let mut url = Url::parse(text).map_err(|e| bad(e.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(bad("it must begin with http:// or https:// and name a host".to_owned()));
    }
    let user =
        (!url.username().is_empty()).then(|| (url.username().to_owned(), url.password().map(str::to_owned)));
    if url.set_username("").is_err() || url.set_password(None).is_err() {
        return Err(bad("its user cannot be read".to_owned()));
    }
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&path);
    let shown = url.to_string().trim_end_matches('/').to_owned();
    Ok(Address { url, shown, user })
}

/// The client that the flags describe.
pub(super) fn client(options: &PrometheusOptions) -> Result<reqwest::Client, PrometheusError> {
    // It is an error only where one is installed already; without one the client would panic.
    drop(rustls::crypto::ring::default_provider().install_default());
    let mut builder = reqwest::Client::builder()
        .timeout(Duration::from_secs(options.prometheus_timeout.max(1)))
        .connect_timeout(Duration::from_secs(5))
        .default_headers(headers(options)?);
    if let Some(path) = &options.prometheus_ca {
        let what = "certificate authorities";
        let certificates =
            Certificate::from_pem_bundle(&read(what, path)?).map_err(|e| bad_file(what, path, &e))?;
        if certificates.is_empty() {
            return Err(bad_file(what, path, &"it holds no certificate"));
        }
        builder = builder.tls_certs_only(certificates);
    }
    if let (Some(cert), Some(key)) = (&options.prometheus_cert, &options.prometheus_key) {
        let mut pem = read("the client certificate", cert)?;
        pem.push(b'\n');
        pem.extend(read("the client key", key)?);
        let what = "the client certificate and key";
        builder = builder.identity(Identity::from_pem(&pem).map_err(|e| bad_file(what, cert, &e))?);
    }
    builder.build().map_err(|e| PrometheusError::BadFlag {
        flag: "what --prometheus-ca, --prometheus-cert and --prometheus-key say",
        detail: crate::cluster::error::root_cause(&e),
    })
}

fn headers(options: &PrometheusOptions) -> Result<HeaderMap, PrometheusError> {
    let mut headers = HeaderMap::new();
    for Header { name, value } in &options.prometheus_header {
        headers.append(name.clone(), value.clone());
    }
    if let Some(tenant) = &options.prometheus_tenant {
        let value = HeaderValue::from_str(tenant).map_err(|_| PrometheusError::BadFlag {
            flag: "--prometheus-tenant",
            detail: "it holds characters that no header may have".to_owned(),
        })?;
        headers.insert(TENANT, value);
    }
    if let Some(path) = &options.prometheus_token_file {
        let what = "the token";
        let token = text(what, path)?;
        let value = secret(&format!("Bearer {token}"))
            .ok_or_else(|| bad_file(what, path, &"it holds characters that no token has"))?;
        headers.insert(AUTHORIZATION, value);
    }
    Ok(headers)
}

/// User and password, where flags give them.
pub(super) fn user(options: &PrometheusOptions) -> Result<Option<(String, Option<String>)>, PrometheusError> {
    let Some(user) = &options.prometheus_user else { return Ok(None) };
    let password = options.prometheus_password_file.as_deref().map(|path| text("the password", path));
    Ok(Some((user.clone(), password.transpose()?)))
}

fn secret(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn read(what: &'static str, path: &Path) -> Result<Vec<u8>, PrometheusError> {
    fs::read(path).map_err(|error| bad_file(what, path, &error))
}

fn text(what: &'static str, path: &Path) -> Result<String, PrometheusError> {
    let text = String::from_utf8(read(what, path)?);
    // The error of a text that is none would show its bytes.
    let text = text.map_err(|_| bad_file(what, path, &"it is no text"))?;
    Ok(text.trim().to_owned())
}

fn bad_file(what: &'static str, path: &Path, detail: &dyn fmt::Display) -> PrometheusError {
    PrometheusError::BadFile { what, path: path.display().to_string(), detail: detail.to_string() }
}
