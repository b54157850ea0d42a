//! The flags of the admission webhook, and its start.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::ValueEnum;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::api::Span;
use crate::clock;
use crate::cluster::custom::OwnerResolver;
use crate::cluster::{Connection, Live, Tasks};
use crate::control::http;
use crate::control::metrics::Metrics;
use crate::control::pause::PauseSwitch;
use crate::control::webhook::desk::Desk;
use crate::control::webhook::keeper::{Keeper, Shown, Source};
use crate::control::webhook::owner::Owner;
use crate::control::webhook::policy::AdmissionPolicy;
use crate::control::webhook::registration::{Address, Registration};
use crate::control::webhook::rotation::Lifetimes;
use crate::control::webhook::server;

/// A Service, or what else stands before several of us, goes on sending to one that ends for about so long.
const DRAIN: Duration = Duration::from_secs(4);
/// A pod has this.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";
/// Shorter ones would be renewed more often than they are read.
const SHORTEST: u64 = 60;

/// How the webhook is served and registered.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Admission webhook")]
pub(crate) struct WebhookOptions {
    /// How new pods get their sizes
    #[arg(long, value_enum, value_name = "MEANS", default_value_t, env = "PLUMB_ADMISSION")]
    admission: Means,
    /// Where the API server's reviews of new pods are answered
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "0.0.0.0:9443", env = "PLUMB_WEBHOOK_LISTEN")]
    webhook_listen: SocketAddr,
    /// Service by which the API server reaches us, in the Leases' namespace, on port 443 [default in a pod:
    /// plumb-webhook]
    #[arg(long, value_name = "NAME", env = "PLUMB_WEBHOOK_SERVICE", conflicts_with = "webhook_url")]
    webhook_service: Option<String>,
    /// URL by which the API server reaches us instead, without a path [default beside an API server of this machine:
    /// https://127.0.0.1:PORT]
    #[arg(long, value_name = "URL", env = "PLUMB_WEBHOOK_URL")]
    webhook_url: Option<String>,
    /// Name of the MutatingWebhookConfiguration
    #[arg(long, value_name = "NAME", default_value = "plumb", env = "PLUMB_WEBHOOK_CONFIGURATION")]
    webhook_configuration: String,
    /// ClusterRole that owns what is registered for the whole cluster: where it goes, that goes too [default: nobody]
    #[arg(long, value_name = "NAME", env = "PLUMB_WEBHOOK_OWNER")]
    webhook_owner: Option<String>,
    /// Leave the MutatingWebhookConfiguration to somebody else
    #[arg(long, env = "PLUMB_NO_WEBHOOK_REGISTRATION")]
    no_webhook_registration: bool,
    /// Secret that keeps our own authority and certificate, in the Leases' namespace
    #[arg(long, value_name = "NAME", default_value = "plumb-webhook-tls", env = "PLUMB_WEBHOOK_SECRET")]
    webhook_secret: String,
    /// How long our own certificates live; our authority 24 times as long. Both are renewed when a third is left
    #[arg(long, value_name = "SPAN", default_value = "30d", env = "PLUMB_WEBHOOK_CERT_LIFETIME")]
    webhook_cert_lifetime: Span,
    /// Certificate instead of our own, as PEM; read again when it changes
    #[arg(long, value_name = "FILE", env = "PLUMB_WEBHOOK_CERT", requires = "webhook_key")]
    webhook_cert: Option<PathBuf>,
    /// Its key, as PEM
    #[arg(long, value_name = "FILE", env = "PLUMB_WEBHOOK_KEY", requires = "webhook_cert")]
    webhook_key: Option<PathBuf>,
    /// The authority that signed it, as PEM, for the API server to trust [default: what stands in the
    /// MutatingWebhookConfiguration, such as cert-manager's injector writes]
    #[arg(long, value_name = "FILE", env = "PLUMB_WEBHOOK_CA", requires = "webhook_cert")]
    webhook_ca: Option<PathBuf>,
}

/// How new pods get their sizes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Means {
    /// The API server asks us, by an admission webhook
    #[default]
    Webhook,
    /// The API server does it itself, by a MutatingAdmissionPolicy (Kubernetes 1.36 and later)
    Policy,
}

/// Ready to be started.
pub(super) struct Webhook {
    /// `None`: the API server does it itself.
    listener: Option<TcpListener>,
    address: Option<Address>,
    names: Vec<String>,
    source: Source,
    configuration: String,
    owner: Owner,
}

/// Says what is missing before it is ready.
pub(super) type Unready = Box<dyn Fn() -> Vec<String> + Send + Sync>;

impl WebhookOptions {
    /// Takes the port, and finds out how the API server reaches it.
    pub(super) async fn bind(&self, connection: &Connection, namespace: &str) -> anyhow::Result<Webhook> {
        let owner = Owner::new(connection, self.webhook_owner.as_deref());
        anyhow::ensure!(
            self.webhook_cert_lifetime.seconds >= SHORTEST,
            "--webhook-cert-lifetime must be {SHORTEST}s or longer"
        );
        if self.admission == Means::Policy {
            tracing::info!("the API server gives new pods their sizes by an admission policy");
            return Ok(Webhook {
                listener: None,
                address: None,
                names: Vec::new(),
                source: self.source(namespace),
                configuration: self.webhook_configuration.clone(),
                owner,
            });
        }
        let (listener, listen) = http::bind(self.webhook_listen).await.with_context(|| {
            format!("cannot listen on {}; choose another with --webhook-listen", self.webhook_listen)
        })?;
        let address = self.address(connection, namespace, listen)?;
        if address.is_none() && !self.no_webhook_registration {
            tracing::warn!(
                "the webhook is not registered: an API server of another machine needs --webhook-url or --webhook-service"
            );
        }
        let names = address.as_ref().map_or_else(|| vec!["127.0.0.1".to_owned()], Address::names);
        let reached = address.as_ref().map(ToString::to_string);
        tracing::info!(listen = listen.to_string(), address = reached, "answering admission reviews");
        Ok(Webhook {
            listener: Some(listener),
            names,
            source: self.source(namespace),
            address: address.filter(|_| !self.no_webhook_registration),
            configuration: self.webhook_configuration.clone(),
            owner,
        })
    }

    fn address(
        &self,
        connection: &Connection,
        namespace: &str,
        listen: SocketAddr,
    ) -> anyhow::Result<Option<Address>> {
        let service =
            |name: &str| Address::Service { namespace: namespace.to_owned(), name: name.to_owned() };
        if let Some(url) = &self.webhook_url {
            let parsed: ::http::Uri = url.parse().context("--webhook-url")?;
            anyhow::ensure!(
                parsed.scheme_str() == Some("https") && parsed.host().is_some() && parsed.query().is_none(),
                "--webhook-url must be like https://HOST:PORT"
            );
            return Ok(Some(Address::Url(url.clone())));
        }
        Ok(match &self.webhook_service {
            Some(name) => Some(service(name)),
            None if Path::new(SERVICE_ACCOUNT).exists() => Some(service("plumb-webhook")),
            None if is_here(&connection.server) => {
                Some(Address::Own(format!("https://127.0.0.1:{}", listen.port())))
            }
            None => None,
        })
    }

    fn source(&self, namespace: &str) -> Source {
        match (&self.webhook_cert, &self.webhook_key) {
            (Some(certificate), Some(key)) => Source::Files {
                certificate: certificate.clone(),
                key: key.clone(),
                authority: self.webhook_ca.clone(),
            },
            _ => Source::Own {
                namespace: namespace.to_owned(),
                name: self.webhook_secret.clone(),
                life: Lifetimes {
                    leaf: i64::try_from(self.webhook_cert_lifetime.seconds).unwrap_or(i64::MAX),
                },
            },
        }
    }
}

/// True where the API server is on this machine.
fn is_here(server: &str) -> bool {
    let uri: Option<::http::Uri> = server.parse().ok();
    let host = uri.as_ref().and_then(::http::Uri::host).unwrap_or_default();
    host == "localhost"
        || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

impl Webhook {
    /// Starts all that it consists of.
    pub(super) fn start(
        self,
        connection: &Connection,
        pause: PauseSwitch,
        metrics: &Arc<Metrics>,
        stop: &CancellationToken,
        tasks: &Tasks,
    ) -> Unready {
        // Watches of its own: they are few, and the webhook never waits for what else goes on in this process.
        let live = Live::start_for_admission(connection, clock::now, stop, tasks);
        let policy = AdmissionPolicy::new(connection, &self.configuration, self.owner.clone());
        let Some(listener) = self.listener else {
            let nowhere = Address::Url(String::new());
            let registration = Registration::new(connection, &self.configuration, nowhere, self.owner);
            tasks.spawn(
                "the keeper of the admission policy",
                policy.run(registration, Arc::clone(&live), pause, stop.clone()),
            );
            return Box::new(move || live.unsynced());
        };
        let shown = Arc::new(Shown::default());
        let owners = OwnerResolver::start(connection, &live, clock::now, stop, tasks);
        let desk = Desk::new(Arc::clone(&live), Arc::clone(metrics), clock::now, (owners, pause));
        let drains = matches!(self.address, Some(Address::Service { .. } | Address::Url(_)));
        let keeper = Keeper {
            connection: connection.clone(),
            source: self.source,
            names: self.names,
            shown: Arc::clone(&shown),
            registration: self
                .address
                .map(|address| Registration::new(connection, &self.configuration, address, self.owner)),
            policy,
            live: Arc::clone(&live),
            metrics: Arc::clone(metrics),
            clock: clock::now,
        };
        tasks.spawn("the keeper of the webhook", keeper.run(stop.clone()));
        let drained = CancellationToken::new();
        let served = server::serve(listener, server::tls(&shown), Arc::clone(&desk), drained.clone());
        tasks.spawn("the webhook", served);
        tasks.spawn("the end of the webhook", {
            let stop = stop.clone();
            async move {
                stop.cancelled().await;
                if drains {
                    tokio::time::sleep(DRAIN).await;
                }
                drained.cancel();
            }
        });
        Box::new(move || {
            let mut missing = desk.unready();
            if !shown.is_ready() {
                missing.push("the webhook has no certificate yet".to_owned());
            }
            missing
        })
    }
}
