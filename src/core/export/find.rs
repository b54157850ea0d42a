//! The containers in a file: by kind and name where it is a manifest or a patch of one, else by a comment behind a key.
//!
//! `resources: # plumb: Deployment shop/web app` says of any map, such as Helm values, whose resources it holds.

use super::Left;
use super::tree::{File, Kind, Node};

/// Before the words of a comment that names a container.
const MARK: &str = "plumb:";

/// A container, and where its resources are or belong.
#[derive(Debug)]
pub(super) struct Place<'f> {
    pub(super) kind: String,
    pub(super) namespace: Option<String>,
    pub(super) name: String,
    pub(super) container: String,
    pub(super) line: usize,
    /// The map that has the resources, or should have.
    pub(super) holder: &'f Node,
    /// Under which key.
    pub(super) key: String,
    /// Something around it has an anchor: others may be it too.
    pub(super) shared: bool,
}

/// All of a file; and the marks that lead nowhere.
pub(super) fn places<'f>(file: &'f File) -> (Vec<Place<'f>>, Vec<Left>) {
    let (mut found, mut left) = (Vec::new(), Vec::new());
    let mut marks: Vec<(usize, &str)> = file
        .comments
        .iter()
        .filter_map(|(line, said)| Some((*line, said.strip_prefix(MARK)?.trim())))
        .collect();
    for document in &file.documents {
        manifest(document, false, &mut found);
        marked(document, false, &mut marks, &mut found, &mut left);
    }
    for (line, said) in marks {
        let why = "no key is on the line of this comment; it belongs behind the key of the resources";
        left.push(Left { line, what: format!("# {MARK} {said}"), why });
    }
    (found, left)
}

fn manifest<'f>(node: &'f Node, shared: bool, found: &mut Vec<Place<'f>>) {
    let shared = shared || node.anchored;
    let Some(kind) = node.get("kind").and_then(Node::text) else { return };
    if kind.ends_with("List")
        && let Some(Node { kind: Kind::List { items, .. }, anchored, .. }) = node.get("items")
    {
        for item in items {
            manifest(item, shared || *anchored, found);
        }
        return;
    }
    let path: &[&str] = match kind {
        "Pod" => &["spec"],
        "CronJob" => &["spec", "jobTemplate", "spec", "template", "spec"],
        _ => &["spec", "template", "spec"],
    };
    let of = |key| node.get("metadata").and_then(|metadata| metadata.get(key)).and_then(Node::text);
    let Some(name) = of("name") else { return };
    let mut spec = node;
    let mut shared = shared;
    for key in path {
        let Some(inner) = spec.get(key) else { return };
        spec = inner;
        shared |= spec.anchored;
    }
    for list in ["containers", "initContainers"] {
        let Some(Node { kind: Kind::List { items, .. }, anchored, .. }) = spec.get(list) else { continue };
        for container in items {
            let Some(container_name) = container.get("name").and_then(Node::text) else { continue };
            found.push(Place {
                kind: kind.to_owned(),
                namespace: of("namespace").map(str::to_owned),
                name: name.to_owned(),
                container: container_name.to_owned(),
                line: container.line,
                holder: container,
                key: "resources".to_owned(),
                shared: shared || *anchored || container.anchored,
            });
        }
    }
}

fn marked<'f>(
    node: &'f Node,
    shared: bool,
    marks: &mut Vec<(usize, &str)>,
    found: &mut Vec<Place<'f>>,
    left: &mut Vec<Left>,
) {
    let shared = shared || node.anchored;
    match &node.kind {
        Kind::Map { entries, .. } => {
            for (key, value) in entries {
                // Of several keys on a line the outermost is meant.
                let mark = marks.iter().position(|(line, _)| *line == key.line);
                if let (Some(at), Some(name)) = (mark, key.text()) {
                    let (line, said) = marks.remove(at);
                    match words(said) {
                        Some((kind, namespace, workload, container)) => found.push(Place {
                            kind,
                            namespace,
                            name: workload,
                            container,
                            line,
                            holder: node,
                            key: name.to_owned(),
                            shared,
                        }),
                        None => left.push(Left {
                            line,
                            what: format!("# {MARK} {said}"),
                            why: "it should be like `# plumb: Deployment shop/web app`: kind, workload, container",
                        }),
                    }
                }
                marked(value, shared, marks, found, left);
            }
        }
        Kind::List { items, .. } => {
            for item in items {
                marked(item, shared, marks, found, left);
            }
        }
        _ => {}
    }
}

/// `Deployment shop/web app` or `Deployment web app`.
fn words(said: &str) -> Option<(String, Option<String>, String, String)> {
    let mut words = said.split_whitespace().map(str::to_owned);
    let (kind, workload, container) = (words.next()?, words.next()?, words.next()?);
    if words.next().is_some() {
        return None;
    }
    let (namespace, name) = match workload.split_once('/') {
        Some((namespace, name)) => (Some(namespace.to_owned()), name.to_owned()),
        None => (None, workload),
    };
    Some((kind, namespace, name, container))
}
