//! The rows as files for `kubectl patch`: one strategic-merge patch a workload, of what changes and nothing else.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{Row, Size};
use crate::sources::prometheus::owners::UNKNOWN;
use crate::units::{Bytes, MIB};

/// A file and how to apply it.
#[derive(Clone, Debug, PartialEq)]
pub struct Patch {
    /// Name of the file.
    pub file: String,
    /// What is in it.
    pub content: Value,
    /// The line that applies it.
    pub command: String,
}

/// What no patch is written for, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct LeftOut {
    /// The workload.
    pub workload: String,
    /// Why not.
    pub why: &'static str,
}

/// A patch for each workload that can have one and where something changes.
#[must_use]
pub fn patches(rows: &[Row]) -> (Vec<Patch>, Vec<LeftOut>) {
    let mut workloads: BTreeMap<(&str, &str, &str), Vec<&Row>> = BTreeMap::new();
    for row in rows {
        workloads.entry((&row.namespace, &row.kind, &row.workload)).or_default().push(row);
    }
    let (mut patches, mut left_out) = (Vec::new(), Vec::new());
    for ((namespace, kind, name), rows) in workloads {
        match patch(namespace, kind, name, &rows) {
            Ok(Some(patch)) => patches.push(patch),
            Ok(None) => {}
            Err(why) => left_out.push(LeftOut { workload: format!("{namespace}/{name} ({kind})"), why }),
        }
    }
    (patches, left_out)
}

fn patch(namespace: &str, kind: &str, name: &str, rows: &[&Row]) -> Result<Option<Patch>, &'static str> {
    // What comes from labels goes into names of files and into a line for a shell.
    let names = [namespace, name].into_iter().chain(rows.iter().map(|row| row.container.as_str()));
    if !names.clone().all(is_name) {
        return Err("its name is none that Kubernetes gives");
    }
    let (resource, path, more): (&str, &[&str], &str) = match kind {
        "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet" => {
            (group(kind), &["spec", "template", "spec"], "")
        }
        "CronJob" => ("cronjobs.batch", &["spec", "jobTemplate", "spec", "template", "spec"], ""),
        "Pod" => ("pods", &["spec"], " --subresource resize"),
        "Job" => return Err("the template of a Job cannot be changed"),
        UNKNOWN => return Err("its kind is not known: give access to the cluster, or to kube-state-metrics"),
        _ => return Err("kubectl cannot merge a patch into a custom kind; change its template by hand"),
    };
    if rows.iter().all(|row| row.confidence == "low") {
        return Err("less than a day of history");
    }
    let containers: Vec<Value> =
        rows.iter().filter(|row| row.confidence != "low").filter_map(|row| container(row)).collect();
    if containers.is_empty() {
        return Ok(None);
    }
    let file = format!("{namespace}_{}_{name}.yaml", kind.to_lowercase());
    let content = path
        .iter()
        .rev()
        .fold(json!({ "containers": containers }), |inner, field| json!({ (*field): inner }));
    let command =
        format!("kubectl -n {namespace} patch {resource} {name} --type strategic --patch-file {file}{more}");
    Ok(Some(Patch { file, content, command }))
}

fn group(kind: &str) -> &'static str {
    match kind {
        "Deployment" => "deployments.apps",
        "StatefulSet" => "statefulsets.apps",
        "DaemonSet" => "daemonsets.apps",
        _ => "replicasets.apps",
    }
}

/// What changes of one container; `None` where nothing does.
fn container(row: &Row) -> Option<Value> {
    let (now, then) = (row.current.unwrap_or_default(), row.recommended);
    let mut resources = Map::new();
    let pairs = |size: &Size, limits: bool| {
        let (cpu, memory) = if limits {
            (size.cpu_limit, size.memory_limit)
        } else {
            (size.cpu_request, size.memory_request)
        };
        [("cpu", cpu.map(|cpu| cpu.to_string())), ("memory", memory.map(exactly))]
    };
    for (field, limits) in [("requests", false), ("limits", true)] {
        let changed = pairs(&then, limits).into_iter().zip(pairs(&now, limits));
        let changed =
            changed.filter(|(then, now)| then != now).filter_map(|((name, amount), _)| Some((name, amount?)));
        let changed: Map<String, Value> =
            changed.map(|(name, amount)| (name.to_owned(), amount.into())).collect();
        if !changed.is_empty() {
            resources.insert(field.to_owned(), changed.into());
        }
    }
    (!resources.is_empty()).then(|| json!({"name": row.container, "resources": resources}))
}

/// As Kubernetes writes it, without rounding.
fn exactly(bytes: Bytes) -> String {
    if bytes.0.is_multiple_of(MIB) { bytes.to_string() } else { bytes.0.to_string() }
}

/// A DNS subdomain.
fn is_name(text: &str) -> bool {
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
    text.len() <= 253 && edge(text.chars().next()) && edge(text.chars().last()) && text.chars().all(inner)
}
