//! More CPU for containers that start up: on top of what they need, and noted, so that it can be taken back.

use super::bounds::{self, Bounds};
use super::figures::{CPU, Figures, milli};
use super::pod::{Container, Kind};
use super::stamp::StampedContainer;
use super::{Part, class};
use crate::units::Cores;

/// What a container is given while it starts up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Boosted {
    /// CPU request, in thousandths of a core.
    pub(super) request: u64,
    /// CPU limit, likewise.
    pub(super) limit: Option<u64>,
    /// For how many seconds after its start; `None`: until its pod is ready.
    pub(super) seconds: Option<u64>,
}

/// Adds what is wanted of it, to all containers or to none: where a LimitRange or a quota has no room for it, or the
/// pod's class would change, it starts with what it needs.
pub(super) fn add(parts: &mut [Part<'_>], bounds: &Bounds) {
    if parts.iter().all(|part| boosted(part).is_none()) {
        return;
    }
    let plain = class::class(&parts.iter().map(|part| &part.new));
    let mut tried = parts.to_vec();
    for (part, tried) in parts.iter_mut().zip(&mut tried) {
        part.boosted = boosted(part);
        // What it states already is there to stay: it comes again with what it was given.
        (tried.own, tried.new) = (part.stated, part.given());
    }
    let fits = bounds::has_room(&tried, &bounds.left) && bounds::check(&tried, bounds).is_ok();
    if !fits || class::class(&tried.iter().map(|part| &part.new)) != plain {
        parts.iter_mut().for_each(|part| part.boosted = None);
    }
}

/// It should have more to start with, and there was no room for that.
pub(super) fn is_left_out(part: &Part<'_>) -> bool {
    part.boosted.is_none() && boosted(part).is_some()
}

fn boosted(part: &Part<'_>) -> Option<Boosted> {
    let (want, request) = (part.want?, part.new.cpu_request?);
    let boost = want.boost.filter(|boost| want.cpu.is_some() && boost.cpu > request)?;
    if part.kind == Kind::Init || restarts(part.container) {
        return None;
    }
    let limit = part.new.cpu_limit.map(|plain| {
        let limit = want.rules.cpu_limit(Cores::from_milli(boost.cpu), &(&part.new).into(), &want.most);
        limit.map_or(0, Cores::to_milli).max(plain).max(boost.cpu)
    });
    Some(Boosted { request: boost.cpu, limit, seconds: boost.seconds })
}

/// A resize of its CPU restarts it, so that what was given could not be taken back quietly.
fn restarts(container: &Container) -> bool {
    let mut cpu = container.resize_policy.iter().filter(|policy| policy.resource_name == CPU);
    cpu.any(|policy| policy.restart_policy == "RestartContainer")
}

/// What a container had before it was given more, where it has just that: the pod comes again after other webhooks.
pub(super) fn without(own: Figures, noted: Option<&StampedContainer>) -> Option<Figures> {
    let noted = noted?;
    let boost = noted.boost.as_ref()?;
    let is = |text: Option<&String>, figure: Option<u64>| text.map(|text| milli(text)) == figure.map(Some);
    (is(boost.requests.cpu.as_ref(), own.cpu_request) && is(boost.limits.cpu.as_ref(), own.cpu_limit)).then(
        || {
            let plain = |text: Option<&String>| text.and_then(|text| milli(text));
            Figures {
                cpu_request: plain(noted.requests.cpu.as_ref()),
                cpu_limit: plain(noted.limits.cpu.as_ref()),
                ..own
            }
        },
    )
}
