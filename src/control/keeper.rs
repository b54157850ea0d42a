//! Carries the book over restarts: restored at the start and when we come to lead, saved each interval and at the end.
//!
//! Losing a checkpoint loses no correctness, only confidence: what goes wrong here is logged, and nothing waits for it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::book::{Book, SeriesKey};
use super::checkpoint::{CheckpointError, Checkpoints, Entry};
use crate::cluster::index::WorkloadKey;
use crate::model::Series;
use crate::units::Timestamp;

/// What stands between the parts of a key; no name in Kubernetes holds it.
const BETWEEN: char = '|';

/// Restores and saves.
pub struct Keeper {
    checkpoints: Checkpoints,
    interval: Duration,
    due: Instant,
    /// What was saved last is known, and may be written over.
    ready: bool,
    /// What went wrong last, told once.
    trouble: Option<String>,
}

impl Keeper {
    /// One that saves so often.
    #[must_use]
    pub fn new(checkpoints: Checkpoints, interval: Duration) -> Self {
        let due = Instant::now() + interval;
        Self { checkpoints, interval, due, ready: false, trouble: None }
    }

    /// When it wants its next turn.
    #[must_use]
    pub fn due(&self) -> Instant {
        self.due
    }

    /// Reads what was saved. What is in the book already stays.
    pub async fn restore(&mut self, book: &mut Book) {
        match self.checkpoints.load().await {
            Ok((restored, problems)) => {
                for problem in problems {
                    tracing::error!(problem = problem.to_string(), "a part of the checkpoint is lost");
                }
                let mut count = 0;
                for one in restored {
                    if let Some(key) = key(&one.key) {
                        book.restore(&key, one.series, one.last_kill);
                        count += 1;
                    }
                }
                tracing::info!(series = count, "read the checkpoint");
                (self.ready, self.trouble) = (true, None);
            }
            Err(error) => {
                self.ready = false;
                self.tell("cannot read the checkpoint, and saves none until it can", &error.to_string());
            }
        }
    }

    /// Saves, if we lead; before that, reads what could not be read yet.
    pub async fn turn(&mut self, book: &mut Book, now: Timestamp, leads: bool) {
        self.due = Instant::now() + self.interval;
        if !self.ready {
            self.restore(book).await;
        }
        if !leads || !self.ready {
            return;
        }
        let keys: Vec<_> =
            book.series().map(|(key, series)| (text(key), series, last_kill(book, key))).collect();
        let entry = |(key, series, last_kill)| Entry { key, series, last_kill, changed: true };
        let entries: Vec<Entry<'_>> =
            keys.iter().map(|(key, series, last_kill)| entry((key.as_str(), *series, *last_kill))).collect();
        let begin = Instant::now();
        match self.checkpoints.save(&entries, now).await {
            Ok(saved) => {
                let took = format!("{:?}", begin.elapsed());
                let (series, packs, written, bytes) =
                    (entries.len(), saved.packs, saved.written, saved.bytes);
                tracing::debug!(series, packs, written, bytes, took, "saved a checkpoint");
                self.trouble = None;
            }
            Err(error) => self.tell("cannot save a checkpoint; trying again", &error.to_string()),
        }
    }

    fn tell(&mut self, what: &'static str, error: &str) {
        if self.trouble.as_deref() != Some(error) {
            tracing::warn!(error, "{what}");
            self.trouble = Some(error.to_owned());
        }
    }
}

/// What a checkpoint holds of a workload's containers, with when it was saved. Another process may be writing it.
///
/// # Errors
/// When it cannot be read.
pub async fn saved_series(
    checkpoints: &Checkpoints,
    workload: &WorkloadKey,
) -> Result<Vec<(SeriesKey, Series, Timestamp)>, CheckpointError> {
    let of = |text: &str| key(text).filter(|key| key.workload == *workload);
    let found = checkpoints.peek(|text| of(text).is_some()).await?.into_iter();
    Ok(found.filter_map(|(saved, one)| Some((of(&one.key)?, one.series, saved))).collect())
}

fn last_kill(book: &Book, key: &SeriesKey) -> Option<Timestamp> {
    book.known(key).and_then(|known| known.last_kill)
}

/// A key as it is saved.
fn text(key: &SeriesKey) -> String {
    let WorkloadKey { namespace, kind, name, api_version } = &key.workload;
    [api_version, kind, namespace, name, &key.container].map(ToString::to_string).join("|")
}

/// A key that was saved; `None` where it is none.
fn key(text: &str) -> Option<SeriesKey> {
    let parts: Vec<Arc<str>> = text.split(BETWEEN).map(Arc::from).collect();
    let [api_version, kind, namespace, name, container] = <[Arc<str>; 5]>::try_from(parts).ok()?;
    Some(SeriesKey { workload: WorkloadKey { namespace, kind, name, api_version }, container })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_they_are_written() {
        let workload = WorkloadKey {
            namespace: "shop".into(),
            kind: "Deployment".into(),
            name: "web".into(),
            api_version: "apps/v1".into(),
        };
        let web = SeriesKey { workload, container: "app".into() };
        assert_eq!(text(&web), "apps/v1|Deployment|shop|web|app");
        assert_eq!(key(&text(&web)), Some(web));
        assert_eq!(key("web"), None);
    }
}
