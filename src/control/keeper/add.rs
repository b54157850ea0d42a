//! Adds series that were learned elsewhere to a checkpoint, for a process that begins later.

use std::collections::HashSet;

use super::text;
use crate::control::book::{Kept, SeriesKey};
use crate::control::checkpoint::{CheckpointError, Checkpoints, Entry, Problem};
use crate::model::Series;
use crate::units::Timestamp;

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Added {
    /// How many are in it now that were not.
    pub added: usize,
    /// How many were in it already, and stay as they were.
    pub known: usize,
    /// What of it could not be read, and was set aside.
    pub problems: Vec<Problem>,
}

/// Adds series to a checkpoint that no process is writing.
///
/// # Errors
/// When it cannot be read or written.
pub async fn add(
    checkpoints: &mut Checkpoints,
    series: Vec<(SeriesKey, Series)>,
    now: Timestamp,
) -> Result<Added, CheckpointError> {
    let (restored, problems) = checkpoints.load().await?;
    let mut added = Added { problems, ..Added::default() };
    let mut known: HashSet<String> = restored.iter().map(|one| one.key.clone()).collect();
    let mut fresh = Vec::new();
    for (key, series) in series {
        let key = text(&key);
        if known.insert(key.clone()) {
            fresh.push((key, Kept { series, ..Kept::default() }));
        } else {
            added.known += 1;
        }
    }
    added.added = fresh.len();
    if added.added > 0 {
        let old = restored.iter().map(|one| (one.key.as_str(), &one.kept));
        let all = old.chain(fresh.iter().map(|(key, kept)| (key.as_str(), kept)));
        let entries: Vec<_> = all.map(|(key, kept)| Entry { key, kept, changed: true }).collect();
        checkpoints.save(&entries, now).await?;
    }
    Ok(added)
}
