//! JSON Patch (RFC 6902): the operations that turn a pod into what it should be, and no more than these.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

use super::figures::{self, CPU, MEMORY, cpu_text, memory_text};
use super::pod::{Kind, Metadata, RawAmount};
use super::stamp::{ANNOTATION, Stamp};
use super::{Figures, Part};

/// One operation. All add, and thereby replace, but for a map that ends up empty.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "op", rename_all = "lowercase")]
pub enum Operation {
    /// Sets a member.
    Add {
        /// Where, as a JSON pointer.
        path: String,
        /// To what.
        value: Value,
    },
    /// Takes a member away.
    Remove {
        /// Where, as a JSON pointer.
        path: String,
    },
}

type Map = BTreeMap<String, RawAmount>;

/// What has to change of one container. A whole map is set at once, so that no parent can be missing.
pub(super) fn container(part: &Part<'_>, operations: &mut Vec<Operation>) {
    let empty = Map::new();
    let resources = part.container.resources.as_ref();
    let (requests, limits) = resources.map_or((&empty, &empty), |known| (&known.requests, &known.limits));
    let given = part.given();
    if given == part.stated {
        return;
    }
    let Figures { cpu_request, cpu_limit, memory_request, memory_limit } = given;
    let new_requests = changed(requests, cpu_request, memory_request);
    let new_limits = changed(limits, cpu_limit, memory_limit);
    if new_requests.is_none() && new_limits.is_none() {
        return;
    }
    let list = if part.kind == Kind::Container { "containers" } else { "initContainers" };
    let path = format!("/spec/{list}/{}/resources", part.index);
    if resources.is_none() {
        operations.push(Operation::Add { path: path.clone(), value: json!({}) });
    }
    for (name, new, old) in [("requests", new_requests, requests), ("limits", new_limits, limits)] {
        let Some(new) = new else { continue };
        let path = format!("{path}/{name}");
        if !new.is_empty() {
            operations.push(Operation::Add { path, value: json!(new) });
        } else if !old.is_empty() {
            operations.push(Operation::Remove { path });
        }
    }
}

/// The map with its new entries, where one of them changed; what else is in it stays as it was written.
fn changed(map: &Map, cpu: Option<u64>, memory: Option<u64>) -> Option<Map> {
    let mut new = None;
    for (name, same, text) in [
        (CPU, figures::cpu(map) == Some(cpu), cpu.map(cpu_text)),
        (MEMORY, figures::memory(map) == Some(memory), memory.map(memory_text)),
    ] {
        if same {
            continue;
        }
        let new = new.get_or_insert_with(|| map.clone());
        match text {
            Some(text) => drop(new.insert(name.to_owned(), RawAmount(text))),
            None => drop(new.remove(name)),
        }
    }
    new
}

/// The note.
pub(super) fn annotation(metadata: &Metadata, stamp: &Stamp, operations: &mut Vec<Operation>) {
    if metadata.annotations.is_empty() {
        let value = json!({ ANNOTATION: stamp.text() });
        operations.push(Operation::Add { path: "/metadata/annotations".to_owned(), value });
    } else {
        let path = format!("/metadata/annotations/{}", ANNOTATION.replace('~', "~0").replace('/', "~1"));
        operations.push(Operation::Add { path, value: json!(stamp.text()) });
    }
}
