//! Owners of kinds that are not built in: whether they scale, and what they belong to themselves.
//!
//! Each role finds such owners in its own index, and hands them to its [`OwnerResolver`], which asks the API server
//! beside the role's loop and writes the answers into the index.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use kube::api::{ApiResource, DynamicObject, ObjectMeta};
use kube::core::GroupVersionKind;
use kube::{Api, discovery};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::error::Request;
use super::index::{CustomOwner, Index, ObjectKey, Owner, Uid};
use super::{ClusterError, Connection, Live, Tasks};
use crate::units::Timestamp;

/// How long an answer holds: labels change seldom, and each asks once per object.
const FRESH_SECONDS: i64 = 600;
/// An owner that the API server could not be asked for is asked for again after this.
const ASK_AGAIN_SECONDS: i64 = 60;
/// Owners that wait to be asked for, at most; the others are found again in the next round.
const WAITING: usize = 256;
/// Interval between looking for old answers, and for those that nobody needs any more.
const TIDY: Duration = Duration::from_secs(60);

/// An owner of a pod, or of what stands above one, by the namespace that it is in.
type Wanted = (ObjectKey, Arc<Owner>);

/// Asks for owners of custom kinds. Cheap to clone; ends with the role that started it.
#[derive(Clone, Debug)]
pub struct OwnerResolver {
    wanted: mpsc::Sender<Wanted>,
}

impl OwnerResolver {
    /// Starts to ask, until `stop`.
    #[must_use]
    pub fn start(
        connection: &Connection,
        live: &Arc<Live>,
        clock: fn() -> Timestamp,
        stop: &CancellationToken,
        tasks: &Tasks,
    ) -> Self {
        let (wanted, asked) = mpsc::channel(WAITING);
        let asking = Asking {
            connection: connection.clone(),
            live: Arc::clone(live),
            clock,
            kinds: HashMap::new(),
            failed: HashMap::new(),
        };
        let stop = stop.clone();
        tasks.spawn("the resolver of owners", async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = asking.run(asked) => {}
            }
        });
        Self { wanted }
    }

    /// Returns at once. What there is no room for is asked for in a later round.
    pub fn ask(&self, owners: impl IntoIterator<Item = Wanted>) {
        for owner in owners {
            if self.wanted.try_send(owner).is_err() {
                return;
            }
        }
    }
}

/// What the API server says of an owner.
#[derive(Debug)]
pub struct Answer {
    /// Its kind has /scale.
    pub scales: bool,
    /// The object.
    pub object: Object,
}

/// An owner, as far as we may read it.
#[derive(Debug)]
pub enum Object {
    /// Its metadata.
    There(Box<ObjectMeta>),
    /// There is none of that name.
    Gone,
    /// We lack the right to get it.
    Unreadable,
}

/// A kind as the API server serves it, and whether it has /scale; `None` where it serves none such.
type Kind = Option<(ApiResource, bool)>;

struct Asking {
    connection: Connection,
    live: Arc<Live>,
    clock: fn() -> Timestamp,
    /// Kinds by group and version, and by name: when they were asked for.
    kinds: HashMap<(Arc<str>, Arc<str>), (Kind, Timestamp)>,
    /// When an owner was last asked for in vain.
    failed: HashMap<Uid, Timestamp>,
}

impl Asking {
    async fn run(mut self, mut asked: mpsc::Receiver<Wanted>) {
        let mut tidy = tokio::time::interval(TIDY);
        loop {
            tokio::select! {
                wanted = asked.recv() => match wanted {
                    Some((pod, owner)) => self.ask_new(&pod, &owner).await,
                    None => return,
                },
                _ = tidy.tick() => self.tidy().await,
            }
        }
    }

    async fn ask_new(&mut self, pod: &ObjectKey, owner: &Arc<Owner>) {
        let now = (self.clock)();
        let lately = |at: &Timestamp| now.seconds_since(*at) < ASK_AGAIN_SECONDS;
        // Every round wants it until there is an answer.
        if self.live.read(|index| index.custom.contains_key(&owner.uid))
            || self.failed.get(&owner.uid).is_some_and(lately)
        {
            return;
        }
        self.ask(pod, owner, now).await;
    }

    async fn tidy(&mut self) {
        let now = (self.clock)();
        self.live.change(|index| index.forget(now));
        let old = |index: &Index| index.custom_before(now.plus(-FRESH_SECONDS)).cloned().collect();
        let old: Vec<_> = self.live.read(old);
        self.failed.retain(|_, at| now.seconds_since(*at) < ASK_AGAIN_SECONDS);
        self.kinds.retain(|_, (_, at)| now.seconds_since(*at) < FRESH_SECONDS);
        for (pod, owner) in old {
            self.ask(&pod, &owner, now).await;
        }
    }

    async fn ask(&mut self, pod: &ObjectKey, owner: &Arc<Owner>, now: Timestamp) {
        match self.answer(pod, owner, now).await {
            Ok(answer) => self.live.learn(pod, owner, &answer, now),
            Err(error) => {
                self.failed.insert(owner.uid, now);
                let owner = format!("{} {}/{}", owner.kind, pod.namespace, owner.name);
                tracing::warn!(owner, error = error.to_string(), "failed to read the owner of a pod");
            }
        }
    }

    /// A kind that is not served any more scales no more. An owner that we may not read still is a workload where its
    /// kind scales: only its labels and its own owner stay unknown.
    async fn answer(
        &mut self,
        pod: &ObjectKey,
        owner: &Owner,
        now: Timestamp,
    ) -> Result<Answer, ClusterError> {
        Ok(match self.kind(pod, owner, now).await? {
            Some((resource, scales)) => {
                let object = read(&self.connection, &pod.namespace, &owner.name, &resource).await?;
                Answer { scales, object }
            }
            None => Answer { scales: false, object: Object::Gone },
        })
    }

    async fn kind(&mut self, pod: &ObjectKey, owner: &Owner, now: Timestamp) -> Result<Kind, ClusterError> {
        let key = (Arc::clone(&owner.api_version), Arc::clone(&owner.kind));
        if let Some((known, _)) = self.kinds.get(&key) {
            return Ok(known.clone());
        }
        let (group, version) = owner.api_version.split_once('/').unwrap_or(("", &owner.api_version));
        let kind = GroupVersionKind::gvk(group, version, &owner.kind);
        let asked = requested("the kind of an owner", &pod.namespace);
        let found = self.connection.ask(asked, discovery::pinned_kind(&self.connection.client, &kind)).await;
        let kind = match found {
            Ok((resource, abilities)) => {
                let mut subresources = abilities.subresources.iter();
                Some((resource, subresources.any(|(subresource, _)| subresource.plural == "scale")))
            }
            Err(error) if is_absence(&error) => None,
            Err(error) => return Err(error),
        };
        self.kinds.insert(key, (kind.clone(), now));
        Ok(kind)
    }
}

fn requested(resource: &'static str, namespace: &str) -> Request {
    Request { verb: "get", resource, namespace: Some(namespace.to_owned()) }
}

async fn read(
    connection: &Connection,
    namespace: &str,
    name: &str,
    resource: &ApiResource,
) -> Result<Object, ClusterError> {
    let api: Api<DynamicObject> = Api::namespaced_with(connection.client.clone(), namespace, resource);
    match connection.ask(requested("an owner", namespace), api.get_metadata(name)).await {
        Ok(object) => Ok(Object::There(Box::new(object.metadata))),
        Err(error @ ClusterError::Forbidden { .. }) => {
            tracing::debug!(owner = name, kind = resource.kind, %error, "labels of an owner stay unknown");
            Ok(Object::Unreadable)
        }
        Err(error) if is_absence(&error) => Ok(Object::Gone),
        Err(error) => Err(error),
    }
}

fn is_absence(error: &ClusterError) -> bool {
    match error {
        ClusterError::Status { code, .. } => *code == 404,
        // Discovery names a kind that a group does not have by an error of its own.
        ClusterError::Other { .. } => true,
        _ => false,
    }
}

impl Index {
    /// Takes note of an answer.
    pub fn learn(&mut self, pod: &ObjectKey, owner: &Arc<Owner>, answer: &Answer, now: Timestamp) {
        let metadata = match &answer.object {
            Object::There(metadata) => Some(&**metadata),
            Object::Gone | Object::Unreadable => None,
        };
        let (facts, template) =
            metadata.map(|metadata| self.custom_facts(owner, metadata)).unwrap_or_default();
        let known = CustomOwner {
            scales: answer.scales,
            gone: matches!(answer.object, Object::Gone),
            facts,
            template,
            owner: (pod.clone(), Arc::clone(owner)),
            asked: now,
        };
        self.custom.insert(owner.uid, known);
    }
}
