//! Pod + recommendation -> JSON patch: what a new pod is given before it first runs. Pure.
//!
//! Knows a pod's own JSON and nothing else of Kubernetes. May not know who asks (a webhook), nor where the
//! recommendation comes from. Whatever is in doubt leaves the pod as it is, with the reason.

mod boost;
mod bounds;
mod class;
mod figures;
mod first;
mod patch;
mod pod;
mod rules;
mod stamp;
#[cfg(test)]
mod tests;

pub use bounds::{Bounds, Extent, Left, Range};
pub use figures::Figures;
pub use first::first_size;
pub use patch::Operation;
pub use pod::{
    Affinity, Container, Kind, Metadata, OwnerReference, Pod, PodTerm, PodTerms, ResizePolicy, Resources,
    Selector, Spec, WeightedPodTerm,
};
pub use rules::{Boost, Want};
pub use stamp::{ANNOTATION, Stamp, StampedAmounts, StampedBoost, StampedContainer};

use std::collections::HashSet;

use boost::Boosted;

use crate::policy::Class;
use crate::units::Timestamp;

/// What a recommendation says of a workload's pods.
#[derive(Clone, Debug, Default)]
pub struct Advice<'a> {
    /// Name of the recommendation.
    pub recommendation: &'a str,
    /// What each container should have, by name.
    pub wants: Vec<(&'a str, Want)>,
}

/// What becomes of a pod.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// It is given its sizes, and a note that says so.
    Stamp {
        /// What is to be changed of it.
        operations: Vec<Operation>,
        /// A LimitRange, a quota or its class leaves no room for what it should have more to start with.
        boost_left_out: bool,
    },
    /// It has them already.
    Stamped,
    /// It stays as it is, and why.
    Leave(Reason),
}

/// Why a pod stays as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// None of its containers is spoken of.
    NothingWanted,
    /// It states resources for the pod as a whole, which the containers' must fit.
    PodResources,
    /// A quantity in it is none.
    BadQuantity,
    /// Two of its containers have the same name, so that it is not known which of them is spoken of.
    SameName,
    /// The kubelet has made it from a file, and nothing may change it.
    Mirror,
    /// The namespace's LimitRange would refuse what it should be.
    LimitRange,
    /// The namespace's ResourceQuota has no room for what it should be.
    Quota,
    /// Its quality of service class would change.
    Class,
    /// It has so many annotations that one more might not be taken.
    Annotations,
}

impl Reason {
    /// One word for machines.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::NothingWanted => "nothing_wanted",
            Self::PodResources => "pod_resources",
            Self::BadQuantity => "bad_quantity",
            Self::SameName => "same_name",
            Self::Mirror => "mirror_pod",
            Self::LimitRange => "limit_range",
            Self::Quota => "quota",
            Self::Class => "qos_class",
            Self::Annotations => "annotations",
        }
    }
}

/// On a pod that the kubelet has made from a file.
const MIRROR: &str = "kubernetes.io/config.mirror";
/// The API server takes 256 KiB of annotations; others may come after us.
const MOST_ANNOTATIONS: usize = 192 * 1024;

/// One container on its way.
#[derive(Clone, Copy, Debug)]
struct Part<'a> {
    container: &'a Container,
    kind: Kind,
    /// Its place in its list.
    index: usize,
    /// What it states.
    stated: Figures,
    /// The same without what it was given to start up with.
    own: Figures,
    new: Figures,
    want: Option<&'a Want>,
    /// What it is given while it starts up.
    boosted: Option<Boosted>,
}

impl Part<'_> {
    /// What it is to start with.
    fn given(&self) -> Figures {
        match self.boosted {
            Some(Boosted { request, limit, .. }) => {
                Figures { cpu_request: Some(request), cpu_limit: limit, ..self.new }
            }
            None => self.new,
        }
    }
}

/// What becomes of a pod that is about to be created.
///
/// The same pod comes again after other webhooks have changed it: what this has set, it sets again.
#[must_use]
pub fn admit(pod: &Pod, advice: &Advice<'_>, bounds: &Bounds, at: Timestamp) -> Verdict {
    match sized(pod, advice, bounds) {
        Ok(parts) => answer(pod, advice, &parts, at),
        Err(reason) => Verdict::Leave(reason),
    }
}

fn sized<'a>(pod: &'a Pod, advice: &'a Advice<'_>, bounds: &Bounds) -> Result<Vec<Part<'a>>, Reason> {
    if pod.metadata.annotations.contains_key(MIRROR) {
        return Err(Reason::Mirror);
    }
    if !pod.spec.resources.is_empty() {
        return Err(Reason::PodResources);
    }
    let annotations = pod.metadata.annotations.iter().map(|(key, value)| key.len() + value.len());
    if annotations.sum::<usize>() > MOST_ANNOTATIONS {
        return Err(Reason::Annotations);
    }
    let mut parts = parts(pod, advice)?;
    if parts.iter().all(|part| part.want.is_none()) {
        return Err(Reason::NothingWanted);
    }
    let left = bounds.left.beside(&pod.spec.overhead).ok_or(Reason::BadQuantity)?;
    let bounds = &Bounds { left, ..*bounds };
    let before = class::class(&parts.iter().map(|part| &part.own));
    // It would be counted from then on, and what it would have to state for that is not known here.
    if before == Class::BestEffort && left.spares_best_effort {
        return Err(Reason::Quota);
    }
    let rule = if class::removes(&parts) { Class::Burstable } else { before };
    // What it states may have been halved already.
    let again = pod.metadata.annotations.contains_key(ANNOTATION);
    for part in &mut parts {
        if let Some(want) = part.want {
            part.new = rules::apply(&part.own, want, rule, bounds, again);
        }
    }
    bounds::hold_growth(&mut parts, &bounds.left)?;
    class::keep(&mut parts, before, bounds)?;
    bounds::check(&parts, bounds)?;
    boost::add(&mut parts, bounds);
    Ok(parts)
}

/// The containers with what is wanted of each. A container of another kind than the one spoken of is another one.
fn parts<'a>(pod: &'a Pod, advice: &'a Advice<'_>) -> Result<Vec<Part<'a>>, Reason> {
    let noted = pod.metadata.annotations.get(ANNOTATION).and_then(|text| Stamp::read(text));
    let mut parts = Vec::with_capacity(pod.spec.containers.len() + pod.spec.init_containers.len());
    let mut names = HashSet::with_capacity(parts.capacity());
    for (index, container, kind) in pod.spec.all() {
        if !names.insert(container.name.as_str()) {
            return Err(Reason::SameName);
        }
        let stated = Figures::of(&container.resources).ok_or(Reason::BadQuantity)?;
        let noted = noted.as_ref().and_then(|noted| noted.containers.get(&container.name));
        let own = boost::without(stated, noted).unwrap_or(stated);
        let spoken_of = |(name, want): &&(&str, Want)| *name == container.name && want.kind == kind;
        let want = advice.wants.iter().find(spoken_of).map(|(_, want)| want);
        let want = want.filter(|want| want.cpu.is_some() || want.memory.is_some());
        parts.push(Part { container, kind, index, stated, own, new: own, want, boosted: None });
    }
    Ok(parts)
}

fn answer(pod: &Pod, advice: &Advice<'_>, parts: &[Part<'_>], at: Timestamp) -> Verdict {
    let stamp = Stamp::new(advice.recommendation, at, parts);
    let known = pod.metadata.annotations.get(ANNOTATION).and_then(|text| Stamp::read(text));
    let mut operations = Vec::new();
    for part in parts {
        patch::container(part, &mut operations);
    }
    if operations.is_empty() && known.is_some_and(|known| known.says_the_same(&stamp)) {
        return Verdict::Stamped;
    }
    patch::annotation(&pod.metadata, &stamp, &mut operations);
    let boost_left_out = parts.iter().any(boost::is_left_out);
    Verdict::Stamp { operations, boost_left_out }
}
