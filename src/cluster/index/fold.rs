//! Folding what the watches tell into the index.

use std::sync::Arc;

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{LimitRange, Namespace, Node, ResourceQuota};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as RawQuantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::DeserializeGuard;
use kube::core::object::HasSpec;
use kube::{Resource, ResourceExt};

use super::allowed::{Limits, Ratio};
use super::facts::{
    Autoscaler, ContainerShape, ControllerFacts, Labels, MemoryEvent, NodeFacts, ObjectKey, Origin, Owner,
    Phase, PodFacts, Qos, Shape, Share, Size, Sizes, THRESHOLDS, Template, Uid, VerticalAutoscaler,
    stable_hash,
};
use super::intern::Interner;
use super::kinds::{self, Named, Pool};
use super::life::{PAUSE, doubt, note_raises};
use super::placement::{Placement, Taint};
use super::quotas::ScopedQuota;
use super::shortages::{shortages, timestamp};
use super::{Index, Readable, Sizing, Table, Unreadable, Written};
use crate::api::{Bounded, ClusterVerticalScalingPolicy, ContainerKind, VerticalScalingPolicy};
use crate::cluster::pods::{LeanContainer, LeanContainerStatus, LeanPod, LeanSpec};
use crate::cluster::refused::LeanRefusal;
use crate::cluster::slim::{Guarded, Slim, Stampable};
use crate::cluster::vpa::LeanVpa;
use crate::units::Timestamp;

/// What one kind's watch does to the index.
pub trait Fold<K> {
    /// The watch begins to list everything.
    fn begin(&mut self);
    /// An object is there. Answers what news it brings of memory.
    fn apply(&mut self, object: K, now: Timestamp) -> Vec<MemoryEvent>;
    /// An object is gone; this is what it was last. Answers what news it brings of memory.
    fn delete(&mut self, object: K, now: Timestamp) -> Vec<MemoryEvent>;
    /// Everything is listed: what was not is gone.
    fn finish(&mut self, now: Timestamp);
    /// True once everything was listed.
    fn synced(&self) -> bool;
}

impl Fold<LeanPod> for Index {
    fn begin(&mut self) {
        self.pods.begin();
    }

    fn apply(&mut self, pod: LeanPod, now: Timestamp) -> Vec<MemoryEvent> {
        let key = self.object_key(&pod.metadata);
        let mut facts = self.pod_facts(&pod);
        let events = self.news(&pod, &key, &mut facts, now);
        self.pods.put(key, facts);
        events
    }

    fn delete(&mut self, pod: LeanPod, now: Timestamp) -> Vec<MemoryEvent> {
        let key = self.object_key(&pod.metadata);
        let mut facts = self.pod_facts(&pod);
        // The last thing that one hears of a pod may be how it was killed.
        let events = self.news(&pod, &key, &mut facts, now);
        if self.pods.get(&key).is_some_and(|known| known.uid == facts.uid) {
            self.pods.remove(&key);
        }
        events
    }

    fn finish(&mut self, _: Timestamp) {
        drop(self.pods.finish());
    }

    fn synced(&self) -> bool {
        self.pods.synced()
    }
}

impl Index {
    fn object_key(&mut self, metadata: &ObjectMeta) -> ObjectKey {
        ObjectKey {
            namespace: self.names.text(metadata.namespace.as_deref().unwrap_or_default()),
            name: metadata.name.as_deref().unwrap_or_default().into(),
        }
    }

    fn owner(&mut self, metadata: &ObjectMeta) -> Option<Arc<Owner>> {
        let owners = metadata.owner_references.as_deref()?;
        let owner = owners.iter().find(|owner| owner.controller == Some(true))?;
        let owner = Owner {
            api_version: self.names.text(&owner.api_version),
            kind: self.names.text(&owner.kind),
            name: self.names.text(&owner.name),
            uid: Uid::from(owner.uid.as_str()),
        };
        Some(self.owners.value(owner))
    }

    fn origin(&mut self, metadata: &ObjectMeta) -> Origin {
        let controller = self.owner(metadata);
        let none = Labels::new();
        let labels = metadata.labels.as_ref().unwrap_or(&none);
        let name = metadata.name.as_deref().unwrap_or_default();
        let origin =
            Origin::of(controller, Named { name, labels, node: None }, || self.labels.value(labels.clone()));
        let pool = origin.pool.map(|pool| self.pools.value(Pool::clone(&pool)));
        Origin { pool, role: origin.role.map(|role| self.names.text(&role)), ..origin }
    }

    fn pod_facts(&mut self, pod: &LeanPod) -> PodFacts {
        let status = &pod.status;
        let qos = match status.qos_class.as_deref() {
            Some("Guaranteed") => Qos::Guaranteed,
            Some("BestEffort") => Qos::BestEffort,
            _ => Qos::Burstable,
        };
        let mut containers = Vec::new();
        for container in &pod.spec.containers {
            containers.push(self.container(container, ContainerKind::Container, pod));
        }
        for container in &pod.spec.init_containers {
            let sidecar = container.restart_policy.as_deref() == Some("Always");
            let kind = if sidecar { ContainerKind::Sidecar } else { ContainerKind::Init };
            containers.push(self.container(container, kind, pod));
        }
        // The kubelet makes static pods, whose mirror it controls.
        let mut owners = pod.metadata.owner_references.iter().flatten();
        let made_for_node = owners
            .any(|owner| owner.controller == Some(true) && matches!(&*owner.kind, "DaemonSet" | "Node"));
        let placement = Placement::read(&pod.spec, made_for_node, &mut self.names);
        let shape = Shape {
            containers: containers.into(),
            pod: Sizes::of(&pod.spec.resources),
            qos,
            restarts_always: pod.spec.restart_policy.as_deref().is_none_or(|policy| policy == "Always"),
            placement: self.placements.value(placement),
        };
        PodFacts {
            uid: Uid::from(pod.metadata.uid.as_deref().unwrap_or_default()),
            origin: self.origin(&pod.metadata),
            shape: self.shapes.value(shape),
            node: pod.spec.node_name.as_deref().map(|node| self.names.text(node)),
            phase: match status.phase.as_str() {
                "Running" => Phase::Running,
                "Succeeded" | "Failed" => Phase::Ended,
                _ => Phase::Pending,
            },
            started: status.start_time.as_deref().and_then(timestamp),
            life: self.life(pod),
            restarted: restarted(pod),
            firm: Box::default(),
            told: shortages(pod).iter().map(|shortage| shortage.key).collect(),
        }
    }

    fn container(&mut self, container: &LeanContainer, kind: ContainerKind, pod: &LeanPod) -> ContainerShape {
        let status = status(pod, container);
        let sizes = match status {
            Some(status) => Sizes::given(&container.resources, &status.resources),
            None => Sizes::of(&container.resources),
        };
        let restarts = |resource: &str| {
            let mut rules = container.resize_policy.iter();
            rules.any(|rule| rule.resource_name == resource && rule.restart_policy == "RestartContainer")
        };
        ContainerShape {
            name: self.names.text(&container.name),
            kind,
            sizes,
            cpu_restarts: restarts("cpu"),
            memory_restarts: restarts("memory"),
        }
    }

    /// What the pod's status tells of memory that it did not tell before.
    fn news(&self, pod: &LeanPod, key: &ObjectKey, facts: &mut PodFacts, now: Timestamp) -> Vec<MemoryEvent> {
        let known = self.pods.get(key).filter(|known| known.uid == facts.uid);
        let told = known.map(|known| &*known.told).unwrap_or_default();
        let mut firm = known.map(|known| known.firm.to_vec()).unwrap_or_default();
        if let Some(known) = known.filter(|known| !Arc::ptr_eq(&known.shape, &facts.shape)) {
            note_raises(&known.shape, &facts.shape, &mut firm, now);
        }
        let new = shortages(pod).into_iter().filter(|shortage| !told.contains(&shortage.key));
        let mut events: Vec<MemoryEvent> = new
            .map(|shortage| MemoryEvent {
                id: stable_hash(format!("{:x}/{:x}", facts.uid.0, shortage.key).bytes()),
                pod: key.clone(),
                origin: facts.origin.clone(),
                container: shortage.container,
                // A kubelet's clock that is ahead must not date a kill into the future.
                at: shortage.at.map_or(now, |at| at.min(now)),
                what: shortage.what,
            })
            .collect();
        events.sort_by_key(|event| event.at);
        events.iter_mut().for_each(|event| doubt(event, &mut firm));
        facts.firm = firm.into();
        events
    }

    fn controller_facts(&mut self, metadata: &ObjectMeta) -> ControllerFacts {
        let owner = self.owner(metadata);
        let labels = if self.without_labels { Labels::new() } else { labels_and_pause(metadata) };
        let labels = self.labels.value(labels);
        let key = Some(self.object_key(metadata));
        ControllerFacts { key, owner, labels, ..ControllerFacts::default() }
    }

    fn template(&mut self, pods: &LeanSpec) -> Template {
        let containers = pods.containers.iter().chain(&pods.init_containers);
        let sizes = |container: &LeanContainer| Sizes::of_template(&container.resources);
        Template(containers.map(|container| (self.names.text(&container.name), sizes(container))).collect())
    }

    fn depart(&mut self, uid: Uid, facts: Option<ControllerFacts>, now: Timestamp) {
        if let Some(facts) = facts {
            self.departed.insert(uid, ControllerFacts { gone: Some(now), ..facts });
        }
    }

    /// The same for an owner that was asked for, and what it is a run of.
    pub fn custom_facts(
        &mut self,
        owner: &Owner,
        metadata: &ObjectMeta,
    ) -> (ControllerFacts, Option<Arc<Pool>>) {
        let template = kinds::template(owner, metadata).map(|template| self.pools.value(template));
        (self.controller_facts(metadata), template)
    }
}

/// Kinds that stand above pods.
macro_rules! controllers {
    ($($kind:ty => $table:ident),* $(,)?) => {$(
        impl Fold<Slim<$kind>> for Index {
            fn begin(&mut self) {
                self.$table.begin();
            }

            fn apply(&mut self, object: Slim<$kind>, _: Timestamp) -> Vec<MemoryEvent> {
                let template = object.spec.pods().map(|pods| Arc::new(self.template(pods)));
                let (replicas, own) = (object.spec.replicas(), self.controller_facts(&object.metadata));
                let facts = ControllerFacts { template, replicas, ..own };
                self.$table.put(Uid::from(object.metadata.uid.as_deref().unwrap_or_default()), facts);
                Vec::new()
            }

            fn delete(&mut self, object: Slim<$kind>, now: Timestamp) -> Vec<MemoryEvent> {
                let uid = Uid::from(object.metadata.uid.as_deref().unwrap_or_default());
                let facts = self.$table.remove(&uid);
                self.depart(uid, facts.map(Arc::unwrap_or_clone), now);
                Vec::new()
            }

            fn finish(&mut self, now: Timestamp) {
                for (uid, facts) in self.$table.finish() {
                    self.depart(uid, Some(Arc::unwrap_or_clone(facts)), now);
                }
            }

            fn synced(&self) -> bool {
                self.$table.synced()
            }
        }
    )*};
}

controllers! {
    ReplicaSet => replica_sets,
    Job => jobs,
    Deployment => deployments,
    StatefulSet => stateful_sets,
    DaemonSet => daemon_sets,
    CronJob => cron_jobs,
}

/// Kinds of which each object becomes one entry of a table: how it becomes key and value.
macro_rules! objects {
    ($($kind:ty => $table:ident: |$index:ident, $object:ident| $key:expr => $value:expr),* $(,)?) => {$(
        impl Fold<$kind> for Index {
            fn begin(&mut self) {
                self.$table.begin();
            }

            fn apply(&mut self, object: $kind, _: Timestamp) -> Vec<MemoryEvent> {
                let ($index, $object) = (&mut *self, &object);
                let key = $key;
                let value = $value;
                self.$table.put(key, value);
                Vec::new()
            }

            fn delete(&mut self, object: $kind, _: Timestamp) -> Vec<MemoryEvent> {
                let ($index, $object) = (&mut *self, &object);
                let key = $key;
                self.$table.remove(&key);
                Vec::new()
            }

            fn finish(&mut self, _: Timestamp) {
                let _gone = self.$table.finish();
            }

            fn synced(&self) -> bool {
                self.$table.synced()
            }
        }
    )*};
}

objects! {
    Slim<Namespace> => namespaces: |index, object|
        index.names.text(&object.name_any()) =>
        index.labels.value(labels_and_pause(&object.metadata)),
    Node => nodes: |index, object|
        index.names.text(&object.name_any()) => node_facts(object, &mut index.names),
    LimitRange => limit_ranges: |index, object|
        index.object_key(&object.metadata) => limits(object),
    ResourceQuota => quotas: |index, object|
        index.object_key(&object.metadata) => ScopedQuota::read(object, &mut index.names),
    DeserializeGuard<VerticalScalingPolicy> => policies: |index, object|
        index.object_key(object.meta()) => readable(object),
    DeserializeGuard<ClusterVerticalScalingPolicy> => cluster_policies: |index, object|
        index.object_key(object.meta()) => readable(object),
    HorizontalPodAutoscaler => autoscalers: |index, object|
        index.object_key(&object.metadata) => autoscaler(object),
    LeanVpa => vertical_autoscalers: |index, object|
        index.object_key(&object.metadata) => VerticalAutoscaler {
            kind: object.spec.target_ref.kind.clone(),
            name: object.spec.target_ref.name.clone(),
            acts: object.acts(),
        },
    LeanRefusal => refusals: |index, object|
        index.object_key(&object.metadata) => index.refused_pods(object),
    Guarded => recommendations: |index, object|
        index.object_key(object.meta()) => object.whole.as_ref().map(|object| Written::of(object, &mut index.names)).unwrap_or_default(),
    Stampable => sizings: |index, object|
        index.object_key(object.meta()) => object.whole.as_ref().map(|whole| Sizing::of(whole, &object.metadata, &mut index.names)).unwrap_or_default(),
}

/// The labels, and the annotation that pauses, as if it were one of them: so nothing else of annotations is kept.
fn labels_and_pause(metadata: &ObjectMeta) -> Labels {
    let mut labels = metadata.labels.clone().unwrap_or_default();
    if let Some(value) = metadata.annotations.as_ref().and_then(|annotations| annotations.get(PAUSE)) {
        labels.insert(PAUSE.to_owned(), value.clone());
    }
    labels
}

fn readable<K: Clone + ResourceExt + HasSpec<Spec: Bounded>>(object: &DeserializeGuard<K>) -> Readable<K> {
    match &object.0 {
        Ok(object) => {
            let mut object = object.clone();
            object.managed_fields_mut().clear();
            object.spec_mut().bound();
            Ok(Arc::new(object))
        }
        Err(invalid) => Err(Unreadable {
            error: invalid.error.clone(),
            generation: invalid.metadata.generation,
            uid: invalid.metadata.uid.clone(),
        }),
    }
}

type Quantities = std::collections::BTreeMap<String, RawQuantity>;

fn size(quantities: Option<&Quantities>) -> Size {
    quantities.map(Size::of).unwrap_or_default()
}

fn node_facts(node: &Node, names: &mut Interner<str>) -> NodeFacts {
    let allocatable = node.status.as_ref().and_then(|status| status.allocatable.as_ref());
    let pods = allocatable.and_then(|all| all.get("pods")?.0.parse::<crate::units::Quantity>().ok());
    let size = size(allocatable);
    let unschedulable = node.spec.as_ref().and_then(|spec| spec.unschedulable).unwrap_or(false);
    let labels = node.metadata.labels.iter().flatten();
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_deref()).unwrap_or_default();
    NodeFacts {
        milli_cpu: size.milli_cpu.unwrap_or(0),
        memory: size.memory.unwrap_or_default(),
        pods: pods.and_then(|pods| Some(pods.as_bytes()?.0)).unwrap_or(u64::MAX),
        schedulable: !unschedulable,
        labels: labels.map(|(key, value)| (names.text(key), names.text(value))).collect(),
        taints: Taint::all(taints, names),
    }
}

/// Only what is measured against the request matters: an absolute value does not move with it.
fn autoscaler(object: &HorizontalPodAutoscaler) -> Autoscaler {
    let spec = &object.spec;
    let metrics = spec.metrics.iter().flatten().enumerate();
    let shares = metrics.filter_map(|(place, metric)| {
        let own = metric.resource.as_ref().map(|metric| (&metric.name, &metric.target, None));
        let of_container = metric.container_resource.as_ref();
        let of_container =
            of_container.map(|metric| (&metric.name, &metric.target, Some(metric.container.clone())));
        let (name, target, container) = own.or(of_container)?;
        let percent = u32::try_from(target.average_utilization?).ok()?;
        let memory = match name.as_str() {
            "cpu" => false,
            "memory" => true,
            _ => return None,
        };
        Some(Share { place, memory, container, percent })
    });
    let annotations = object.metadata.annotations.as_ref();
    Autoscaler {
        kind: spec.scale_target_ref.kind.clone(),
        name: spec.scale_target_ref.name.clone(),
        shares: shares.collect(),
        owned: object.metadata.owner_references.iter().flatten().any(|owner| owner.controller == Some(true)),
        thresholds: annotations.and_then(|all| all.get(THRESHOLDS)).cloned(),
        annotated: annotations.is_some_and(|all| !all.is_empty()),
        version: object.metadata.resource_version.clone().unwrap_or_default(),
    }
}

fn limits(object: &LimitRange) -> Limits {
    let mut found = Limits::default();
    for item in object.spec.iter().flat_map(|spec| &spec.limits) {
        match item.type_.as_str() {
            "Container" => {
                found.container_min = super::merge(found.container_min, size(item.min.as_ref()), u64::max);
                found.container_max = super::merge(found.container_max, size(item.max.as_ref()), u64::min);
                let default = size(item.default.as_ref());
                found.container_default = super::merge(found.container_default, default, u64::min);
                let ratio = ratio(item.max_limit_request_ratio.as_ref());
                found.container_ratio = super::narrower(found.container_ratio, ratio);
            }
            "Pod" => {
                found.pod_min = super::merge(found.pod_min, size(item.min.as_ref()), u64::max);
                found.pod_max = super::merge(found.pod_max, size(item.max.as_ref()), u64::min);
                let ratio = ratio(item.max_limit_request_ratio.as_ref());
                found.pod_ratio = super::narrower(found.pod_ratio, ratio);
            }
            _ => {}
        }
    }
    found
}

fn ratio(quantities: Option<&Quantities>) -> Ratio {
    let thousandths = |name: &str| {
        let quantity: crate::units::Quantity = quantities?.get(name)?.0.parse().ok()?;
        // A thousandth of a part, rounded down: what is at the bound is inside of it.
        Some((quantity.as_cores().to_milli()).saturating_sub(u64::from(!is_milli(quantity))))
    };
    Ratio { cpu: thousandths("cpu"), memory: thousandths("memory") }
}

fn is_milli(quantity: crate::units::Quantity) -> bool {
    crate::units::Quantity::from_milli(quantity.as_cores().to_milli()) == quantity
}

/// All tables with a listing of their own, for what waits for them.
impl<K: std::hash::Hash + Eq, V> Table<K, V> {
    /// `Some(name)` where nothing was listed yet.
    pub fn missing(&self, name: &'static str) -> Option<&'static str> {
        (!self.synced()).then_some(name)
    }
}

fn status<'a>(pod: &'a LeanPod, container: &LeanContainer) -> Option<&'a LeanContainerStatus> {
    let mut statuses = pod.status.container_statuses.iter().chain(&pod.status.init_container_statuses);
    statuses.find(|status| status.name == container.name)
}

/// The containers that run not for the first time, by their place in the shape, and since when.
fn restarted(pod: &LeanPod) -> Box<[(u8, Timestamp)]> {
    let containers = pod.spec.containers.iter().chain(&pod.spec.init_containers);
    let again = containers.enumerate().filter_map(|(place, container)| {
        let status = status(pod, container).filter(|status| status.restart_count > 0)?;
        let started = status.state.running.as_ref()?.started_at.as_deref().and_then(timestamp)?;
        Some((u8::try_from(place).ok()?, started))
    });
    again.collect()
}
