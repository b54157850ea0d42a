//! What is recommended, written into people's own files: manifests, Kustomize patches, Helm values; YAML and JSON.
//!
//! Pure: text and targets in, text and a list of changes out. A file is never written anew from what was read: single
//! ranges of its bytes are replaced or put in, so comments, order, quotes and line ends stay. What cannot be changed for
//! sure (an alias, an anchor, a template's braces) is left and named, and the result is read again before it is given out.
//! Knows neither files nor the cluster.
//! - [`target`]: what each container should have, and when what it has is far enough from it
//! - `tree`: YAML as a tree that knows where each node is
//! - `find`: the containers in it, by what they are or by a comment that says so
//! - `edit`: one container's resources, as replaced ranges

mod edit;
mod find;
pub mod target;
#[cfg(test)]
mod tests;
mod tree;

use self::edit::Edits;
use self::find::Place;
use self::target::{Target, Workload};

/// How a file is changed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options<'a> {
    /// Namespace of what states none.
    pub namespace: Option<&'a str>,
    /// Also change what is within the band.
    pub exact: bool,
}

/// One amount that is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Change {
    /// Line of the file, from 1: of the amount, or of what it belongs into.
    pub line: usize,
    /// `Deployment shop/web`.
    pub workload: String,
    /// Container.
    pub container: String,
    /// `cpu request`, `memory limit` and so on.
    pub what: &'static str,
    /// What the file says.
    pub from: Option<String>,
    /// What it should say.
    pub to: String,
}

/// What was left as it is though something is recommended for it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Left {
    /// Line of the file, from 1.
    pub line: usize,
    /// What it is about.
    pub what: String,
    /// Why.
    pub why: &'static str,
}

/// A file as it should be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edited {
    /// All of it.
    pub text: String,
    /// What was changed in it.
    pub changes: Vec<Change>,
    /// What could not be.
    pub left: Vec<Left>,
    /// Containers in it for which something is recommended, changed or not.
    pub containers: usize,
}

/// Why a file is not changed at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExportError {
    /// It is no YAML that we understand.
    #[error("line {line}: {what}; the file was left as it is")]
    Unreadable {
        /// Line, from 1.
        line: usize,
        /// What is wrong there.
        what: String,
    },
    /// Our own change would not read as it should.
    #[error("the changed file would not read as it should: please report this; the file was left as it is")]
    WouldBreak,
}

/// Writes into a file's text what its containers should have.
///
/// # Errors
/// Where the text cannot be read.
pub fn edit(text: &str, targets: &[Target], options: Options<'_>) -> Result<Edited, ExportError> {
    let edited = once(text, targets, options)?;
    if !edited.changes.is_empty() {
        let again = once(&edited.text, targets, options).map_err(|_| ExportError::WouldBreak)?;
        if !again.changes.is_empty() || again.containers != edited.containers {
            return Err(ExportError::WouldBreak);
        }
    }
    Ok(edited)
}

fn once(text: &str, targets: &[Target], options: Options<'_>) -> Result<Edited, ExportError> {
    let file = tree::read(text)?;
    let (places, mut left) = find::places(&file);
    let (mut edits, mut changes, mut containers) = (Edits::new(text), Vec::new(), 0);
    for place in &places {
        let Some((workload, target)) = wanted(place, targets, options.namespace, &mut left) else { continue };
        containers += 1;
        match edits.container(place, target, options.exact) {
            Ok(found) => changes.extend(found.into_iter().map(|found| Change {
                line: found.line,
                workload: workload.to_string(),
                container: place.container.clone(),
                what: found.what,
                from: found.from,
                to: found.to,
            })),
            Err((line, why)) => {
                left.push(Left { line, what: format!("{workload}, container {}", place.container), why });
            }
        }
    }
    Ok(Edited { text: edits.applied(), changes, left, containers })
}

/// What is recommended for a place.
fn wanted<'t>(
    place: &Place<'_>,
    targets: &'t [Target],
    namespace: Option<&str>,
    left: &mut Vec<Left>,
) -> Option<(&'t Workload, &'t target::Container)> {
    let namespace = place.namespace.as_deref().or(namespace);
    let mut found = targets.iter().filter(|target| {
        let of = &target.workload;
        of.kind.eq_ignore_ascii_case(&place.kind)
            && of.name == place.name
            && namespace.is_none_or(|namespace| of.namespace == namespace)
    });
    let target = found.next()?;
    if found.next().is_some() {
        let what = format!("{} {}", place.kind, place.name);
        left.push(Left { line: place.line, what, why: "it is in several namespaces; name one with -n" });
        return None;
    }
    let container = target.containers.iter().find(|container| container.name == place.container)?;
    Some((&target.workload, container))
}
