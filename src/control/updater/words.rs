//! What was done, in words: for metrics, logs and events.

use crate::actuate::{Action, Deed};

/// As metrics and logs name it.
pub(super) fn verb(deed: &Deed) -> &'static str {
    match deed {
        Deed::Resize(_) => "resize",
        Deed::PutBack(_) => "roll_back",
        Deed::EndBoost(_) => "end_boost",
        Deed::Evict => "evict",
    }
}

/// What was done, container by container: `app: cpu 500m → 180m, memory limit 64Mi → 120Mi`.
pub(super) fn words(action: &Action) -> String {
    let (Deed::Resize(change) | Deed::PutBack(change) | Deed::EndBoost(change)) = &action.deed else {
        let why = if action.urgent { "it serves nobody as it is" } else { "it cannot be resized in place" };
        return format!("evicted to come up again with its new size: {why}");
    };
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
