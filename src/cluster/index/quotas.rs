//! ResourceQuotas: which pods each is for, and what of it is left.
//!
//! (Kubernetes: pkg/quota/v1/evaluator/core/pods.go, `podMatchesScopeFunc`.)

use std::sync::Arc;

use k8s_openapi::api::core::v1::{ResourceQuota, ScopedResourceSelectorRequirement};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as RawQuantity;

use super::allowed::Quota;
use super::intern::Interner;
use crate::units::Quantity;

type Quantities = std::collections::BTreeMap<String, RawQuantity>;

/// By what the scopes of quotas tell a pod apart, but for its class.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct PodScope {
    /// It states how long it may run.
    pub terminating: bool,
    /// Its priority class; `None` where it has none.
    pub priority_class: Option<Arc<str>>,
    /// A pod affinity of it looks into other namespaces.
    pub crosses_namespaces: bool,
}

/// A ResourceQuota: what of it is used, and which pods it is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScopedQuota {
    /// Hard limits and use.
    pub quota: Quota,
    /// It is for the pods that all of these match.
    pub scopes: Box<[Scope]>,
}

/// Which pods a quota is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Those that state how long they may run.
    Terminating,
    /// Those that do not.
    NotTerminating,
    /// Those of class BestEffort, of which only the number can be bounded.
    BestEffort,
    /// Those of another class.
    NotBestEffort,
    /// Those with a priority class.
    HasPriorityClass,
    /// Those without one.
    NoPriorityClass,
    /// Those with one of these priority classes.
    PriorityClassIn(Box<[Arc<str>]>),
    /// Those with none of these priority classes.
    PriorityClassNotIn(Box<[Arc<str>]>),
    /// Those whose pod affinity looks into other namespaces.
    CrossNamespacePodAffinity,
    /// No pod, as far as this program knows.
    Unknown,
}

impl Scope {
    /// True where a pod matches. What plumb sizes states requests, and so is never of class BestEffort.
    fn matches(&self, pod: &PodScope) -> bool {
        let class = pod.priority_class.as_ref();
        match self {
            Self::Terminating => pod.terminating,
            Self::NotTerminating => !pod.terminating,
            Self::BestEffort | Self::Unknown => false,
            Self::NotBestEffort => true,
            Self::HasPriorityClass => class.is_some(),
            Self::NoPriorityClass => class.is_none(),
            Self::PriorityClassIn(names) => class.is_some_and(|class| names.contains(class)),
            Self::PriorityClassNotIn(names) => class.is_none_or(|class| !names.contains(class)),
            Self::CrossNamespacePodAffinity => pod.crosses_namespaces,
        }
    }

    fn named(name: &str) -> Self {
        match name {
            "Terminating" => Self::Terminating,
            "NotTerminating" => Self::NotTerminating,
            "BestEffort" => Self::BestEffort,
            "NotBestEffort" => Self::NotBestEffort,
            "PriorityClass" => Self::HasPriorityClass,
            "CrossNamespacePodAffinity" => Self::CrossNamespacePodAffinity,
            _ => Self::Unknown,
        }
    }

    fn selected(raw: &ScopedResourceSelectorRequirement, names: &mut Interner<str>) -> Self {
        let mut values = || raw.values.iter().flatten().map(|name| names.text(name)).collect();
        match (&*raw.scope_name, &*raw.operator) {
            ("PriorityClass", "In") => Self::PriorityClassIn(values()),
            ("PriorityClass", "NotIn") => Self::PriorityClassNotIn(values()),
            ("PriorityClass", "DoesNotExist") => Self::NoPriorityClass,
            (name, "Exists") => Self::named(name),
            _ => Self::Unknown,
        }
    }
}

impl ScopedQuota {
    /// Reads a quota as its controller has last written it.
    pub(super) fn read(object: &ResourceQuota, names: &mut Interner<str>) -> Self {
        let spec = object.spec.as_ref();
        let plain = spec.and_then(|spec| spec.scopes.as_ref()).into_iter().flatten();
        let selector = spec.and_then(|spec| spec.scope_selector.as_ref());
        let selected =
            selector.and_then(|selector| selector.match_expressions.as_ref()).into_iter().flatten();
        let mut scopes: Vec<_> = plain.map(|name| Scope::named(name)).collect();
        scopes.extend(selected.map(|raw| Scope::selected(raw, names)));
        Self { quota: quota(object, scopes.contains(&Scope::NotBestEffort)), scopes: scopes.into() }
    }

    /// True where it counts such a pod.
    #[must_use]
    pub fn counts(&self, pod: &PodScope) -> bool {
        self.scopes.iter().all(|scope| scope.matches(pod))
    }
}

fn quota(object: &ResourceQuota, spares_best_effort: bool) -> Quota {
    let empty = Quantities::new();
    let status = object.status.as_ref();
    let hard = status.and_then(|status| status.hard.as_ref()).unwrap_or(&empty);
    let used = status.and_then(|status| status.used.as_ref()).unwrap_or(&empty);
    // `cpu` and `requests.cpu` are two names of the same.
    let find = |map: &Quantities, name: &str| {
        let raw = map.get(&format!("requests.{name}")).or_else(|| map.get(name))?;
        raw.0.parse::<Quantity>().ok()
    };
    let pair = |name: &str, read: fn(Quantity) -> Option<u64>| {
        let hard = find(hard, name).and_then(read)?;
        Some((hard, find(used, name).and_then(read).unwrap_or(0)))
    };
    Quota {
        cpu_requests: pair("cpu", |q| Some(q.as_cores().to_milli())),
        memory_requests: pair("memory", |q| q.as_bytes().map(|bytes| bytes.0)),
        cpu_limits: pair("limits.cpu", |q| Some(q.as_cores().to_milli())),
        memory_limits: pair("limits.memory", |q| q.as_bytes().map(|bytes| bytes.0)),
        spares_best_effort,
    }
}
