//! The facts themselves: what is kept of a pod, a workload, a node and the rules of a namespace.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hash};
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity as RawQuantity;

use super::kinds::{self, Named, Pool};
use super::life::{FirmLimit, Life};
use super::placement::{Placement, Taint};
use crate::api::ContainerKind;
use crate::cluster::pods::{self, LeanResources};
use crate::units::{Bytes, Cores, Timestamp};

/// Labels of an object.
pub type Labels = BTreeMap<String, String>;

/// An object's unique id, in a sixth of the memory of its text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uid(pub(super) u128);

impl Uid {
    /// From its [`number`](Self::number).
    #[must_use]
    pub fn from_number(number: u128) -> Self {
        Self(number)
    }

    /// As a number.
    #[must_use]
    pub fn number(self) -> u128 {
        self.0
    }
}

impl fmt::Display for Uid {
    /// As the API server writes a UUID; of what was none, no object has this uid.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex = format!("{:032x}", self.0);
        let parts = [0..8, 8..12, 12..16, 16..20, 20..32].map(|range| hex.get(range).unwrap_or_default());
        f.write_str(&parts.join("-"))
    }
}

impl From<&str> for Uid {
    /// Exact for a UUID; the hash of anything else.
    fn from(text: &str) -> Self {
        let digits = text.bytes().filter(|b| *b != b'-').count();
        let hex = text.bytes().filter(|b| *b != b'-').try_fold(0_u128, |value, byte| {
            let digit = char::from(byte).to_digit(16)?;
            Some((value << 4) | u128::from(digit))
        });
        match hex {
            Some(value) if digits == 32 => Self(value),
            _ => Self(u128::from(hash(&text)) << 64 | u128::from(hash(&(text, 1_u8)))),
        }
    }
}

/// FNV-1a: the same in every build, which std's hash does not promise; for what is kept across restarts.
#[must_use]
pub fn stable_hash(bytes: impl IntoIterator<Item = u8>) -> u64 {
    bytes.into_iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// The same in every process of this build.
pub(super) fn hash(value: &impl Hash) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(value)
}

/// Who controls an object.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Owner {
    /// Group and version.
    pub api_version: Arc<str>,
    /// Kind.
    pub kind: Arc<str>,
    /// Name.
    pub name: Arc<str>,
    /// Unique id.
    pub uid: Uid,
}

impl Owner {
    /// The group alone: a new version of an API is no new workload.
    #[must_use]
    pub fn group(&self) -> &str {
        group(&self.api_version)
    }
}

/// The group of a group and version; empty for the core group.
#[must_use]
pub fn group(api_version: &str) -> &str {
    api_version.split_once('/').map_or("", |(group, _)| group)
}

/// A workload by its names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkloadKey {
    /// Namespace.
    pub namespace: Arc<str>,
    /// Kind, such as Deployment.
    pub kind: Arc<str>,
    /// Name; after a colon the role of its pods, where pods of different roles are sized apart.
    pub name: Arc<str>,
    /// Group and version, as the pods' owner references have it.
    pub api_version: Arc<str>,
}

impl WorkloadKey {
    /// The name of the object, without the role of its pods.
    #[must_use]
    pub fn object(&self) -> &str {
        kinds::object_of(&self.name)
    }

    /// Whether its pods run to their end.
    #[must_use]
    pub fn ends(&self) -> bool {
        kinds::runs_to_its_end(&self.api_version, &self.kind, &self.name)
    }
}

impl fmt::Display for WorkloadKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
    }
}

/// Namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    /// Namespace; empty where the kind has none.
    pub namespace: Arc<str>,
    /// Name.
    pub name: Box<str>,
}

/// An amount of CPU and one of memory; `None` where none is stated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Size {
    /// Thousandths of a core.
    pub milli_cpu: Option<u64>,
    /// Bytes.
    pub memory: Option<Bytes>,
}

impl Size {
    /// Reads requests or limits.
    #[must_use]
    pub fn of(stated: &BTreeMap<String, RawQuantity>) -> Self {
        Self { milli_cpu: pods::cpu(stated).map(Cores::to_milli), memory: pods::memory(stated) }
    }

    /// The CPU in cores.
    #[must_use]
    pub fn cpu(&self) -> Option<Cores> {
        self.milli_cpu.map(Cores::from_milli)
    }
}

/// Requests and limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Sizes {
    /// What is reserved.
    pub requests: Size,
    /// What may not be passed.
    pub limits: Size,
}

impl Sizes {
    /// As stated.
    #[must_use]
    pub fn of(resources: &LeanResources) -> Self {
        Self { requests: Size::of(&resources.requests), limits: Size::of(&resources.limits) }
    }

    /// As the kubelet has given it, where it says so; else as stated. Kubernetes sets a request that is left out to
    /// the limit.
    #[must_use]
    pub fn given(spec: &LeanResources, status: &LeanResources) -> Self {
        let (spec, status) = (Self::of(spec), Self::of(status));
        let either = |first: Size, second: Size| Size {
            milli_cpu: first.milli_cpu.or(second.milli_cpu),
            memory: first.memory.or(second.memory),
        };
        Self { requests: either(status.requests, spec.requests), limits: either(status.limits, spec.limits) }
    }

    /// As a pod states it that is made from this template: Kubernetes sets a request that is left out to the limit.
    #[must_use]
    pub fn of_template(resources: &LeanResources) -> Self {
        let stated = Self::of(resources);
        let (requests, limits) = (stated.requests, stated.limits);
        let requests = Size {
            milli_cpu: requests.milli_cpu.or(limits.milli_cpu),
            memory: requests.memory.or(limits.memory),
        };
        Self { requests, limits }
    }

    /// True where nothing is stated.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Kubernetes' quality of service class of a pod.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Qos {
    /// Requests equal limits, in every container.
    Guaranteed,
    /// In between.
    #[default]
    Burstable,
    /// Nothing is stated.
    BestEffort,
}

/// What all pods of one template have in common.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Shape {
    /// The containers, sidecars and init containers.
    pub containers: Box<[ContainerShape]>,
    /// What the pod as a whole asks for.
    pub pod: Sizes,
    /// Its class.
    pub qos: Qos,
    /// The kubelet starts its containers again, however they end.
    pub restarts_always: bool,
    /// Which nodes it may use.
    pub placement: Arc<Placement>,
}

/// One container of a shape.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ContainerShape {
    /// Name.
    pub name: Arc<str>,
    /// Kind.
    pub kind: ContainerKind,
    /// What it runs with.
    pub sizes: Sizes,
    /// A resize of its CPU restarts it.
    pub cpu_restarts: bool,
    /// A resize of its memory restarts it.
    pub memory_restarts: bool,
}

/// Where in its life a pod is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// Not all of it runs yet.
    #[default]
    Pending,
    /// It runs.
    Running,
    /// It has ended.
    Ended,
}

/// What is kept of a pod.
#[derive(Clone, Debug)]
pub struct PodFacts {
    /// Unique id.
    pub uid: Uid,
    /// Who made it.
    pub origin: Origin,
    /// What it consists of.
    pub shape: Arc<Shape>,
    /// Where it runs.
    pub node: Option<Arc<str>>,
    /// Where in its life it is.
    pub phase: Phase,
    /// When the kubelet took it.
    pub started: Option<Timestamp>,
    /// How it fares, for who would change it.
    pub life: Life,
    /// Containers that were started again, by their place in the shape, and when.
    pub(super) restarted: Box<[(u8, Timestamp)]>,
    /// Under which limits its containers were killed, or were before they were raised.
    pub(super) firm: Box<[FirmLimit]>,
    /// The kills and evictions that its status tells of, and that were therefore reported.
    pub(super) told: Box<[u64]>,
}

impl PodFacts {
    /// Its container of that name: its place in the shape, and what it is.
    #[must_use]
    pub fn container(&self, name: &str) -> Option<(u8, &ContainerShape)> {
        let place = self.shape.containers.iter().position(|shape| *shape.name == *name)?;
        Some((u8::try_from(place).ok()?, self.shape.containers.get(place)?))
    }

    /// When the container at that place of the shape was started last, as far as is known.
    #[must_use]
    pub fn container_started(&self, place: u8) -> Option<Timestamp> {
        let again = self.restarted.iter().find(|(restarted, _)| *restarted == place);
        again.map(|(_, at)| *at).or(self.started)
    }
}

/// Who made a pod: what its workload is found by, also when the pod is gone.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// What controls it; `None` of a pod that nothing controls, or only its node.
    pub owner: Option<Arc<Owner>>,
    /// The workload that it names itself.
    pub pool: Option<Arc<Pool>>,
    /// Its role in its owner's work, where only its name tells it.
    pub role: Option<Arc<str>>,
}

impl Origin {
    /// Reads what a pod says of itself. `controller`: what controls it, be it its node.
    #[must_use]
    pub fn of(controller: Option<Arc<Owner>>, pod: Named<'_>, labels: impl FnOnce() -> Arc<Labels>) -> Self {
        // A static pod is controlled by its node, which says nothing of what it is.
        let (node, owner): (Option<_>, Option<_>) = match controller {
            Some(owner) if owner.group().is_empty() && &*owner.kind == "Node" => (Some(owner), None),
            owner => (None, owner),
        };
        let pod = Named { node: node.as_ref().map(|node| &*node.name), ..pod };
        let pool = kinds::pool(pod, owner.as_deref(), labels).map(Arc::new);
        let role = owner.as_ref().and_then(|owner| kinds::role(pod.name, owner)).map(Arc::from);
        Self { owner, pool, role }
    }

    /// What controls the pod.
    #[must_use]
    pub fn owner(&self) -> Option<&Arc<Owner>> {
        self.owner.as_ref()
    }
}

/// Memory was not enough: a container was killed, or evicted for its use of memory.
#[derive(Clone, Debug)]
pub struct MemoryEvent {
    /// Tells this one from every other, also across restarts of plumb.
    pub id: u64,
    /// The pod.
    pub pod: ObjectKey,
    /// Who made the pod.
    pub origin: Origin,
    /// The container.
    pub container: Arc<str>,
    /// When.
    pub at: Timestamp,
    /// What happened.
    pub what: MemoryShortage,
}

/// How memory was not enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryShortage {
    /// The kernel killed it: at its limit, or, where it has none, because the node had no more.
    OomKilled {
        /// The limit in force.
        limit: Option<Bytes>,
        /// Seconds that it had run, where the status says so.
        lived: Option<i64>,
    },
    /// The kubelet evicted the pod because the node was low on memory.
    Evicted {
        /// What the container used, where the kubelet says so.
        usage: Option<Bytes>,
    },
}

/// What the template of a workload's pods asks for, of each container by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Template(pub Box<[(Arc<str>, Sizes)]>);

impl Template {
    /// What it asks for of that container; `None` where it has none of that name.
    #[must_use]
    pub fn container(&self, name: &str) -> Option<&Sizes> {
        self.0.iter().find(|(known, _)| **known == *name).map(|(_, sizes)| sizes)
    }
}

/// What is kept of a workload, or of what stands between it and its pods.
#[derive(Clone, Debug, Default)]
pub struct ControllerFacts {
    /// Its namespace and name.
    pub key: Option<ObjectKey>,
    /// Who controls it.
    pub owner: Option<Arc<Owner>>,
    /// Its labels; none are kept of what is never a selector's business.
    pub labels: Arc<Labels>,
    /// What its template asks for, where it has one that people write.
    pub template: Option<Arc<Template>>,
    /// Replicas that it asks for, where it does.
    pub replicas: Option<u32>,
    /// Since when it is gone: its pods, and news of them, may come after.
    pub gone: Option<Timestamp>,
}

/// What is kept of a HorizontalPodAutoscaler.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Autoscaler {
    /// Kind of what it scales.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// What it scales by that is a share of the request.
    pub shares: Vec<Share>,
    /// Another object controls it, such as KEDA's ScaledObject, and would put its targets back.
    pub owned: bool,
    /// What our annotation on it says.
    pub thresholds: Option<String>,
    /// It has annotations.
    pub annotated: bool,
    /// The version of the object.
    pub version: String,
}

/// A target that is a share of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// Its place among the autoscaler's metrics.
    pub place: usize,
    /// Of memory; else of CPU.
    pub memory: bool,
    /// Of this container; else of the whole pod.
    pub container: Option<String>,
    /// In percent.
    pub percent: u32,
}

/// The annotation that says at what an autoscaler scales, while its targets move with the requests.
pub const THRESHOLDS: &str = "plumb.dev/thresholds";

/// What is kept of a VerticalPodAutoscaler.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VerticalAutoscaler {
    /// Kind of what it sizes.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// It changes pods, and does not only advise.
    pub acts: bool,
}

/// What is kept of a node: what pods can have of it, and which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeFacts {
    /// Thousandths of a core.
    pub milli_cpu: u64,
    /// Bytes.
    pub memory: Bytes,
    /// How many pods it takes.
    pub pods: u64,
    /// New pods may come to it: nobody has cordoned it.
    pub schedulable: bool,
    /// Its labels.
    pub labels: Box<[(Arc<str>, Arc<str>)]>,
    /// What keeps pods away that do not tolerate it.
    pub taints: Box<[Taint]>,
}
