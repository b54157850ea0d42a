//! Carries the book over restarts: restored at the start and when we come to lead, saved each interval and at the end.
//!
//! The book is copied pack by pack, where something in a pack has changed; what takes time (packing, writing, reading)
//! is done beside the loop, which has its next turn when that is done. Losing a checkpoint loses no correctness, only
//! confidence: what goes wrong here is logged, and nothing waits for it.

mod add;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::book::{Book, Kept, SeriesKey};
use super::checkpoint::{BETWEEN, CheckpointError, Checkpoints, Entry, Problem, Put, Restored, Saved};
use crate::cluster::index::WorkloadKey;
use crate::model::{Series, SeriesId};
use crate::units::Timestamp;

pub use self::add::{Added, add};

/// Restores and saves.
pub struct Keeper {
    work: Work,
    interval: Duration,
    due: Instant,
    /// What was saved last is known, and may be written over.
    ready: bool,
    saving: Option<Saving>,
    /// What went wrong last, told once.
    trouble: Option<String>,
}

/// Who has the checkpoints in hand.
enum Work {
    /// We.
    Idle(Box<Checkpoints>),
    /// A task.
    Busy(JoinHandle<(Box<Checkpoints>, Done)>),
    /// A task that is through.
    Through(Box<Checkpoints>, Done),
    /// Nobody: a task has panicked.
    Lost,
}

/// What a task has done.
enum Done {
    Loaded(Result<(Vec<Restored>, Vec<Problem>), CheckpointError>),
    Put(Vec<Name>, Result<Put, CheckpointError>),
    Finished(Result<u32, CheckpointError>),
}

/// A series as it is saved, in the book, and its key as text.
type Name = (SeriesId, SeriesKey, String);

/// A save on its way.
struct Saving {
    begun: Instant,
    now: Timestamp,
    /// Packs that are still to be looked at, with the series that go there.
    left: BTreeMap<u32, Vec<Name>>,
    packs: BTreeSet<u32>,
    series: usize,
    saved: Saved,
}

impl Keeper {
    /// One that saves so often.
    #[must_use]
    pub fn new(checkpoints: Checkpoints, interval: Duration) -> Self {
        let due = Instant::now() + interval;
        Self {
            work: Work::Idle(Box::new(checkpoints)),
            interval,
            due,
            ready: false,
            saving: None,
            trouble: None,
        }
    }

    /// Waits until it wants a turn. May be given up and called again.
    pub async fn wait(&mut self) {
        match &mut self.work {
            Work::Idle(_) => tokio::time::sleep_until(self.due).await,
            Work::Busy(task) => {
                let done = task.await;
                self.work = done.map_or(Work::Lost, |(checkpoints, done)| Work::Through(checkpoints, done));
            }
            Work::Through(..) => {}
            Work::Lost => std::future::pending().await,
        }
    }

    /// Reads what was saved, beside the loop. What is in the book already stays.
    pub fn load(&mut self) {
        self.saving = None;
        match std::mem::replace(&mut self.work, Work::Lost) {
            Work::Idle(mut checkpoints) | Work::Through(mut checkpoints, _) => {
                self.work = Work::Busy(tokio::spawn(async move {
                    let loaded = checkpoints.load().await;
                    (checkpoints, Done::Loaded(loaded))
                }));
            }
            // It is read at the next turn.
            work => (self.work, self.ready, self.due) = (work, false, Instant::now()),
        }
    }

    /// One turn: takes in what was read, goes on with a save, or begins one where we lead and it is due. Answers whether
    /// there may be something new in the book.
    pub fn turn(&mut self, book: &mut Book, now: Timestamp, leads: bool) -> bool {
        let read = matches!(self.work, Work::Through(_, Done::Loaded(Ok(_))));
        match std::mem::replace(&mut self.work, Work::Lost) {
            Work::Through(checkpoints, done) => {
                self.work = Work::Idle(checkpoints);
                self.take(done, book);
            }
            work => self.work = work,
        }
        if !matches!(self.work, Work::Idle(_)) {
            return read;
        }
        if !leads {
            // Another one saves now; what is half saved is as if this process had ended on the way.
            self.saving = None;
        }
        if self.saving.is_none() {
            if Instant::now() < self.due {
                return read;
            }
            self.due = Instant::now() + self.interval;
            if !self.ready {
                self.load();
                return read;
            }
            if !leads {
                return read;
            }
            self.begin(book, now);
        }
        self.go_on(book);
        read
    }

    /// Saves all, to its end.
    pub async fn finish(&mut self, book: &mut Book, now: Timestamp, leads: bool) {
        self.drain(book, now, leads).await;
        // What could not be read before is read first.
        let turns = if self.ready { 1 } else { 2 };
        for _ in 0..turns {
            self.due = Instant::now();
            self.turn(book, now, leads);
            self.drain(book, now, leads).await;
        }
    }

    /// Until no task is at work.
    async fn drain(&mut self, book: &mut Book, now: Timestamp, leads: bool) {
        while matches!(self.work, Work::Busy(_) | Work::Through(..)) {
            self.wait().await;
            self.turn(book, now, leads);
        }
    }

    /// Reads what was saved, to its end.
    pub async fn restore(&mut self, book: &mut Book, now: Timestamp) {
        self.load();
        self.wait().await;
        self.turn(book, now, false);
    }

    fn take(&mut self, done: Done, book: &mut Book) {
        match done {
            Done::Loaded(Ok((restored, problems))) => {
                for problem in problems {
                    tracing::error!(problem = problem.to_string(), "a part of the checkpoint is lost");
                }
                let mut count = 0;
                for one in restored {
                    if let Some(key) = key(&one.key) {
                        book.restore(&key, one.kept);
                        count += 1;
                    }
                }
                tracing::info!(series = count, "read the checkpoint");
                (self.ready, self.trouble) = (true, None);
            }
            Done::Loaded(Err(error)) => {
                self.ready = false;
                self.tell("cannot read the checkpoint, and saves none until it can", &error.to_string());
            }
            Done::Put(names, result) => self.took(&names, result, book),
            Done::Finished(result) => {
                let Some(saving) = self.saving.take() else { return };
                match result {
                    Ok(removed) => {
                        let took = format!("{:.1} s", saving.begun.elapsed().as_secs_f64());
                        let Saved { packs, written, bytes, .. } = saving.saved;
                        let series = saving.series;
                        tracing::debug!(series, packs, written, removed, bytes, took, "saved a checkpoint");
                        self.trouble = None;
                    }
                    Err(error) => self.fail(&error),
                }
            }
        }
    }

    fn took(&mut self, names: &[Name], result: Result<Put, CheckpointError>, book: &mut Book) {
        let Some(saving) = &mut self.saving else { return };
        let written = match result {
            Ok(Put::Stands) => return,
            Ok(Put::Written(bytes)) => {
                saving.saved.written += 1;
                saving.saved.bytes += bytes;
                return;
            }
            Ok(Put::TooLarge) => None,
            Err(error) => Some(error),
        };
        // It is not saved after all.
        for (id, _, _) in names {
            book.set_changed(*id, true);
        }
        let now = saving.now;
        let error = match (written, &mut self.work) {
            (None, Work::Idle(checkpoints)) => checkpoints.spread().err(),
            (error, _) => error,
        };
        match error {
            Some(error) => self.fail(&error),
            // Every pack is another one now.
            None => self.begin(book, now),
        }
    }

    fn fail(&mut self, error: &CheckpointError) {
        self.saving = None;
        self.tell("cannot save a checkpoint; trying again", &error.to_string());
    }

    /// Notes which series goes into which pack.
    fn begin(&mut self, book: &Book, now: Timestamp) {
        let Work::Idle(checkpoints) = &mut self.work else { return };
        let mut left: BTreeMap<u32, Vec<Name>> = BTreeMap::new();
        let names: Vec<Name> = book.keys().map(|(key, id)| (id, key.clone(), text(key))).collect();
        let series = names.len();
        match checkpoints.begin(series) {
            Ok(true) => {}
            Ok(false) => return self.saving = None,
            Err(error) => return self.fail(&error),
        }
        for name in names.into_iter().filter(|(_, _, text)| checkpoints.has(text)) {
            left.entry(checkpoints.pack_of(&name.2)).or_default().push(name);
        }
        let packs: BTreeSet<u32> = left.keys().copied().collect();
        let saved = Saved { packs: u32::try_from(packs.len()).unwrap_or(u32::MAX), ..Saved::default() };
        self.saving = Some(Saving { begun: Instant::now(), now, left, packs, series, saved });
    }

    /// Hands the next pack in which something has changed to a task; at the end, the rest of the work.
    fn go_on(&mut self, book: &mut Book) {
        let Some(saving) = &mut self.saving else { return };
        let mut checkpoints = match std::mem::replace(&mut self.work, Work::Lost) {
            Work::Idle(checkpoints) => checkpoints,
            work => return self.work = work,
        };
        let now = saving.now;
        while let Some((number, names)) = saving.left.pop_first() {
            let changed = names.iter().any(|(id, _, _)| book.is_changed(*id));
            if !changed && checkpoints.stands(number, names.iter().map(|(_, _, text)| text.as_str())) {
                continue;
            }
            let kept = names.into_iter().filter_map(|name| Some((book.kept(name.0, &name.1)?, name)));
            let kept: Vec<(Kept, Name)> = kept.collect();
            for (_, (id, _, _)) in &kept {
                book.set_changed(*id, false);
            }
            self.work = Work::Busy(tokio::spawn(async move {
                let mut entries: Vec<Entry<'_>> =
                    kept.iter().map(|(kept, (_, _, key))| Entry { key, kept, changed: true }).collect();
                let put = checkpoints.put(number, &mut entries, now).await;
                drop(entries);
                (checkpoints, Done::Put(kept.into_iter().map(|(_, name)| name).collect(), put))
            }));
            return;
        }
        let packs = std::mem::take(&mut saving.packs);
        self.work = Work::Busy(tokio::spawn(async move {
            let finished = checkpoints.finish(&packs).await;
            (checkpoints, Done::Finished(finished))
        }));
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
    Ok(found.filter_map(|(saved, one)| Some((of(&one.key)?, one.kept.series, saved))).collect())
}

/// A key as it is saved.
fn text(key: &SeriesKey) -> String {
    let WorkloadKey { namespace, kind, name, api_version } = &key.workload;
    [api_version, kind, namespace, name, &key.container].map(ToString::to_string).join(&BETWEEN.to_string())
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
    use crate::control::kills::Told;
    use crate::testing::{NOW, workload};
    use crate::units::Bytes;

    fn series(name: &str) -> SeriesKey {
        workload(name).series("app")
    }

    fn kill(book: &mut Book, name: &str, id: u64) -> bool {
        let told = Told { pod: "web-1", at: NOW, limit: Some(Bytes::from_mib(64)), id, lived: None };
        book.kill(&series(name), &told)
    }

    fn keeper(path: &std::path::Path) -> Keeper {
        Keeper::new(Checkpoints::in_folder(path), Duration::from_secs(600))
    }

    #[test]
    fn keys_are_read_as_they_are_written() {
        let web = series("web");
        assert_eq!(text(&web), "apps/v1|Deployment|shop|web|app");
        assert_eq!(key(&text(&web)), Some(web));
        assert_eq!(key("web"), None);
    }

    #[tokio::test]
    async fn what_is_saved_beside_the_loop_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let (mut book, mut first) = (Book::default(), keeper(dir.path()));
        first.restore(&mut book, NOW).await;
        for number in 0..4000 {
            kill(&mut book, &format!("web-{number}"), number);
        }
        first.finish(&mut book, NOW, false).await;
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "it does not lead");
        // Turn by turn, as the loop has them.
        first.due = Instant::now();
        first.turn(&mut book, NOW, true);
        let mut turns = 0;
        while first.saving.is_some() {
            first.wait().await;
            if turns == 0 {
                assert!(kill(&mut book, "late", 5000), "the loop goes on");
            }
            first.turn(&mut book, NOW, true);
            turns += 1;
        }
        assert_eq!(turns, 5, "a turn for each of 4 packs, and one to clean up");
        assert!(book.is_changed(book.keys().find(|(key, _)| **key == series("late")).unwrap().1));
        first.finish(&mut book, NOW, true).await;

        let (mut again, mut second) = (Book::default(), keeper(dir.path()));
        second.restore(&mut again, NOW).await;
        assert_eq!(again.len(), 4001);
        assert!(again.keys().all(|(_, id)| !again.is_changed(id)));
        assert!(!kill(&mut again, "web-7", 7), "it was counted");
        assert!(kill(&mut again, "web-7", 8));
        assert_eq!(again.known(&series("web-7")).unwrap().series.kills(), 2);
        // Only the pack in which something has changed is written.
        second.due = Instant::now();
        second.turn(&mut again, NOW.plus(600), true);
        let mut written = 0;
        while let Some(saving) = &second.saving {
            written = saving.saved.written;
            second.wait().await;
            second.turn(&mut again, NOW.plus(600), true);
        }
        assert_eq!(written, 1);
    }

    #[tokio::test]
    async fn what_cannot_be_written_is_tried_again() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("packs");
        let (mut book, mut keeper) = (Book::default(), keeper(&place));
        keeper.restore(&mut book, NOW).await;
        kill(&mut book, "web", 1);
        // A file where the folder was.
        std::fs::remove_dir(&place).unwrap();
        std::fs::write(&place, "").unwrap();
        keeper.finish(&mut book, NOW, true).await;
        assert!(keeper.trouble.is_some());
        std::fs::remove_file(&place).unwrap();
        std::fs::create_dir(&place).unwrap();
        keeper.finish(&mut book, NOW, true).await;
        assert_eq!(keeper.trouble, None);
        assert_eq!(std::fs::read_dir(&place).unwrap().count(), 1);
    }
}
