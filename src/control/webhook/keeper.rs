//! Keeps what the webhook shows and what the API server trusts in step, and renews both in time.
//!
//! Every replica does: by the Secret's resource version one of them makes each step, and the others take it over.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, ResourceExt};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_util::sync::CancellationToken;

use super::certificates::{self, Pair};
use super::policy::AdmissionPolicy;
use super::registration::{self, Registration};
use super::rotation::{self, Kept, Lifetimes, Turn};
use crate::cluster::error::Request;
use crate::cluster::{ClusterError, Connection, Live};
use crate::control::metrics::{Certificate, Metrics};
use crate::units::Timestamp;

/// On the Secret: somebody wants another authority now.
const ROTATE: &str = "plumb.dev/rotate";
/// On the Secret: when the last step was made, in seconds since 1970.
const SINCE: &str = "plumb.dev/since";
/// What is read again each so often, where nothing calls for it sooner.
const POLL: Duration = Duration::from_secs(10);
/// Steps in a row in which others may be faster, before that is left to the next turn.
const CONFLICTS: usize = 5;
/// Policies that change at once are answered at once.
const GATHER: Duration = Duration::from_millis(200);

/// The certificate that new connections are shown.
#[derive(Debug, Default)]
pub struct Shown {
    key: RwLock<Option<Arc<CertifiedKey>>>,
    pair: RwLock<Option<Pair>>,
}

impl Shown {
    /// Shows another one from now on. Connections that are open stay.
    fn show(&self, pair: &Pair) -> Result<(), certificates::CertificateError> {
        if self.pair.read().unwrap_or_else(PoisonError::into_inner).as_ref() == Some(pair) {
            return Ok(());
        }
        let key = Arc::new(certificates::certified(pair)?);
        *self.key.write().unwrap_or_else(PoisonError::into_inner) = Some(key);
        *self.pair.write().unwrap_or_else(PoisonError::into_inner) = Some(pair.clone());
        tracing::info!("the webhook shows a new certificate");
        Ok(())
    }

    /// True once there is one.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.key.read().unwrap_or_else(PoisonError::into_inner).is_some()
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.key.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Where certificates come from.
#[derive(Clone, Debug)]
pub enum Source {
    /// From an authority of our own, kept in a Secret.
    Own {
        /// Of the Secret.
        namespace: String,
        /// Of the Secret.
        name: String,
        /// How long they live.
        life: Lifetimes,
    },
    /// From files, which somebody else renews.
    Files {
        /// Certificate and what it is signed by, as PEM.
        certificate: PathBuf,
        /// Its key, as PEM.
        key: PathBuf,
        /// Whom the API server is to trust, as PEM; `None`: somebody else tells it.
        authority: Option<PathBuf>,
    },
}

/// What keeps them.
pub struct Keeper {
    /// Where the cluster is.
    pub connection: Connection,
    /// Where certificates come from.
    pub source: Source,
    /// Names of the server, sorted.
    pub names: Vec<String>,
    /// What is shown.
    pub shown: Arc<Shown>,
    /// Who is told; `None`: somebody else registers the webhook.
    pub registration: Option<Registration>,
    /// What does the same without a webhook, and has to go where there is one.
    pub policy: AdmissionPolicy,
    /// Which namespaces are selected.
    pub live: Arc<Live>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// The time.
    pub clock: fn() -> Timestamp,
}

/// Why a turn failed.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    #[error(transparent)]
    Certificate(#[from] certificates::CertificateError),
    #[error("cannot read {path}: {why}; check the flags --webhook-cert, --webhook-key and --webhook-ca")]
    File { path: String, why: std::io::Error },
}

impl Keeper {
    /// Runs until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let mut trouble = None;
        let mut alone = false;
        loop {
            match self.turn(&mut alone).await {
                Ok(()) if trouble.take().is_some() => {
                    tracing::info!("the webhook's certificates are in order again");
                }
                Ok(()) => {}
                Err(error) => {
                    let error = error.to_string();
                    if trouble.as_ref() != Some(&error) {
                        tracing::warn!(
                            error,
                            "cannot keep the webhook's certificates or registration; trying again"
                        );
                    }
                    trouble = Some(error);
                }
            }
            let pause = async {
                tokio::select! {
                    () = tokio::time::sleep(self.poll()) => {}
                    () = self.live.changed.notified() => tokio::time::sleep(GATHER).await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => break,
                () = pause => {}
            }
        }
        if let Some(registration) = &self.registration {
            registration.leave().await;
        }
    }

    fn poll(&self) -> Duration {
        match &self.source {
            Source::Own { life, .. } => {
                let settle = u64::try_from(life.settle()).unwrap_or(0);
                Duration::from_secs(settle / 3).clamp(Duration::from_secs(1), POLL)
            }
            Source::Files { .. } => POLL,
        }
    }

    async fn turn(&self, alone: &mut bool) -> Result<(), Failure> {
        if !*alone && self.registration.is_some() {
            match self.policy.remove().await {
                // Whoever may not even read one has never written one.
                Ok(()) | Err(ClusterError::Forbidden { .. }) => *alone = true,
                Err(error) => return Err(error.into()),
            }
        }
        match &self.source {
            Source::Files { certificate, key, authority } => {
                let pair = Pair { certificate: read(certificate).await?, key: read(key).await? };
                self.shown.show(&pair)?;
                self.count("leaf", &pair.certificate);
                let authority = match authority {
                    Some(path) => Some(read(path).await?),
                    None => None,
                };
                self.register(authority.as_deref()).await?;
                Ok(())
            }
            Source::Own { namespace, name, life } => {
                // What another replica has made is wanted now: without it this one shows nothing, or what nobody trusts.
                for _ in 0..CONFLICTS {
                    if self.turn_own(namespace, name, *life).await? {
                        break;
                    }
                }
                Ok(())
            }
        }
    }

    /// Answers false where another replica was faster.
    async fn turn_own(&self, namespace: &str, name: &str, life: Lifetimes) -> Result<bool, Failure> {
        let secrets: Api<Secret> = Api::namespaced(self.connection.client.clone(), namespace);
        let asked = |verb| Request { verb, resource: "secrets", namespace: Some(namespace.to_owned()) };
        let secret = self.connection.ask(asked("get"), secrets.get_opt(name)).await?;
        let kept = secret.as_ref().and_then(kept);
        let registered = match &kept {
            // What is trusted is told before it is shown.
            Some(kept) => self.register(Some(&kept.trusted())).await?,
            None => false,
        };
        let turn = Turn {
            names: &self.names,
            life,
            asked: secret.as_ref().is_some_and(|secret| secret.annotations().contains_key(ROTATE)),
            registered,
            now: (self.clock)(),
        };
        let Some(new) = rotation::turn(kept.as_ref(), &turn)? else {
            kept.map_or(Ok(()), |kept| self.take(&kept))?;
            return Ok(true);
        };
        let begun = kept.as_ref().is_none_or(|kept| kept.next.is_none()) && new.next.is_some();
        let object = written(secret.clone(), name, &new, begun);
        let params = PostParams::default();
        let answer = match &secret {
            None => self.connection.ask(asked("create"), secrets.create(&params, &object)).await,
            Some(_) => self.connection.ask(asked("update"), secrets.replace(name, &params, &object)).await,
        };
        match answer {
            Ok(_) => {
                tracing::info!(secret = format!("{namespace}/{name}"), "renewed the webhook's certificates");
                self.register(Some(&new.trusted())).await?;
                self.take(&new)?;
                Ok(true)
            }
            Err(ClusterError::Status { code: 409, .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn take(&self, kept: &Kept) -> Result<(), Failure> {
        self.shown.show(&kept.leaf)?;
        self.count("leaf", &kept.leaf.certificate);
        self.count("authority", &kept.signer.certificate);
        Ok(())
    }

    fn count(&self, certificate: &str, pem: &str) {
        if let Ok(facts) = certificates::facts(pem) {
            let label = Certificate { certificate: certificate.to_owned() };
            self.metrics.certificate_expiry.get_or_create(&label).set(facts.until.0);
        }
    }

    /// Answers whether the API server was told before.
    async fn register(&self, trusted: Option<&str>) -> Result<bool, ClusterError> {
        let Some(registration) = &self.registration else { return Ok(true) };
        // Before all is known no namespace may be taken out.
        if !self.live.knows_all() {
            return Ok(false);
        }
        let scope = self.live.read(registration::scope);
        registration.keep(&scope, trusted).await
    }
}

async fn read(path: &Path) -> Result<String, Failure> {
    let text = tokio::fs::read_to_string(path).await;
    text.map_err(|why| Failure::File { path: path.display().to_string(), why })
}

/// What a Secret keeps; `None` where that cannot be read, and is made anew.
fn kept(secret: &Secret) -> Option<Kept> {
    let data = secret.data.as_ref()?;
    let text = |name: &str| data.get(name).and_then(|bytes| String::from_utf8(bytes.0.clone()).ok());
    let pair = |name: &str| {
        Some(Pair { certificate: text(&format!("{name}.crt"))?, key: text(&format!("{name}.key"))? })
    };
    let since = secret.annotations().get(SINCE).and_then(|since| since.parse().ok());
    Some(Kept {
        signer: pair("ca")?,
        next: pair("next"),
        old: text("old.crt"),
        leaf: pair("tls")?,
        // Not known: long ago.
        since: Timestamp(since.unwrap_or(0)),
    })
}

fn written(secret: Option<Secret>, name: &str, kept: &Kept, begun: bool) -> Secret {
    let mut secret = secret.unwrap_or_else(|| Secret {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            labels: Some(
                [("app.kubernetes.io/name", "plumb"), ("app.kubernetes.io/component", "webhook")]
                    .map(|(key, value)| (key.to_owned(), value.to_owned()))
                    .into(),
            ),
            ..ObjectMeta::default()
        },
        type_: Some("kubernetes.io/tls".to_owned()),
        ..Secret::default()
    });
    let annotations = secret.annotations_mut();
    annotations.insert(SINCE.to_owned(), kept.since.0.to_string());
    if begun {
        annotations.remove(ROTATE);
    }
    let mut data = BTreeMap::new();
    let mut put =
        |name: &str, text: &str| drop(data.insert(name.to_owned(), ByteString(text.as_bytes().to_vec())));
    let pairs = [("ca", Some(&kept.signer)), ("next", kept.next.as_ref()), ("tls", Some(&kept.leaf))];
    for (name, pair) in pairs {
        let Some(pair) = pair else { continue };
        put(&format!("{name}.crt"), &pair.certificate);
        put(&format!("{name}.key"), &pair.key);
    }
    if let Some(old) = &kept.old {
        put("old.crt", old);
    }
    secret.data = Some(data);
    secret
}
