//! What was done, in words: for metrics, logs and events.

use crate::actuate::facts::{Container, Workload};
use crate::actuate::{Action, Change, Deed};
use crate::units::{Bytes, counted};

/// As metrics and logs name it.
pub(super) fn verb(deed: &Deed) -> &'static str {
    match deed {
        Deed::Resize(_) => "resize",
        Deed::PutBack(_) => "roll_back",
        Deed::EndBoost(_) => "end_boost",
        Deed::Evict => "evict",
    }
}

/// Says why a pod was changed and to what: `OOMKilled at 64Mi (2 restarts); app: memory limit 64Mi → 144Mi`.
pub(super) fn words(action: &Action, workload: &Workload) -> String {
    let pod = workload.pods.iter().find(|pod| pod.id == action.pod);
    let killed = pod.into_iter().flat_map(|pod| &pod.containers).filter(|one| one.oom_killed.is_some());
    let killed = killed.max_by_key(|container| container.oom_killed).filter(|_| action.urgent);
    match (&action.deed, killed) {
        (Deed::Resize(change), Some(killed)) if change.after_oom => {
            format!("{}; {}", oom_killed(killed), sizes(change))
        }
        (Deed::Resize(change) | Deed::PutBack(change) | Deed::EndBoost(change), _) => sizes(change),
        (Deed::Evict, Some(killed)) => {
            let target = workload.advice(&killed.name).map(|advice| advice.target);
            let new = target.and_then(|target| target.memory_limit.or(target.memory_request));
            format!("{}; replaced to apply {}", oom_killed(killed), memory(new))
        }
        (Deed::Evict, None) if pod.is_some_and(|pod| pod.place.unschedulable) => {
            "no node has room for it; replaced to apply the size of before".to_owned()
        }
        (Deed::Evict, None) => "replaced to apply its new size, as it cannot be resized in place".to_owned(),
    }
}

fn oom_killed(container: &Container) -> String {
    let limit = container.given.memory_limit.map_or_else(String::new, |limit| format!(" at {limit}"));
    let restarts = match container.restarts {
        0 => String::new(),
        count => format!(" ({})", counted(count as usize, "restart")),
    };
    format!("OOMKilled{limit}{restarts}")
}

fn memory(amount: Option<Bytes>) -> String {
    amount.map_or_else(|| "its new size".to_owned(), |amount| amount.to_string())
}

/// Lists what changes, container by container: `app: cpu 500m → 180m, memory limit 64Mi → 120Mi`.
fn sizes(change: &Change) -> String {
    let changed = |name: &str, from: Option<String>, to: Option<String>| {
        let none = || "none".to_owned();
        (from != to).then(|| format!("{name} {} → {}", from.unwrap_or_else(none), to.unwrap_or_else(none)))
    };
    let containers = change.sizes.iter().map(|size| {
        let (from, to) = (&size.from, &size.to);
        let parts = [
            changed("cpu", from.cpu_request.map(|c| c.to_string()), to.cpu_request.map(|c| c.to_string())),
            changed(
                "memory",
                from.memory_request.map(|m| m.to_string()),
                to.memory_request.map(|m| m.to_string()),
            ),
            changed("cpu limit", from.cpu_limit.map(|c| c.to_string()), to.cpu_limit.map(|c| c.to_string())),
            changed(
                "memory limit",
                from.memory_limit.map(|m| m.to_string()),
                to.memory_limit.map(|m| m.to_string()),
            ),
        ];
        let parts: Vec<_> = parts.into_iter().flatten().collect();
        format!("{}: {}", size.container, parts.join(", "))
    });
    containers.collect::<Vec<_>>().join("; ")
}
