//! What is known of each container series: the fleet, under names.
//!
//! Pure. Samples and kills come in under a workload's name, estimates go out under it.

mod ingest;
mod past;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use self::ingest::Latest;
use super::kills::{Kills, Told};
use crate::cluster::index::{ObjectKey, PodFacts, Uid, WorkloadKey};
use crate::model::{Estimate, Fleet, Model, Prices, Series, SeriesId};
use crate::units::{Bytes, MIB, Timestamp};

pub use ingest::Taken;
pub use past::{Past, Request};

/// A container of a workload: what a series goes by, across rollouts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesKey {
    /// The workload.
    pub workload: WorkloadKey,
    /// The container.
    pub container: Arc<str>,
}

impl fmt::Display for SeriesKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, container {}", self.workload, self.container)
    }
}

/// What is kept beside a series.
#[derive(Clone, Debug, Default)]
struct Entry {
    key: Option<SeriesKey>,
    estimate: Option<Estimate>,
    last_kill: Option<Timestamp>,
    kills: Kills,
    /// What is not later than this was taken in before, by this process or by one before it.
    resumed: Option<Timestamp>,
    /// What was before its first sample is in it, as far as Prometheus has it.
    whole: bool,
    /// It is not as it was saved.
    changed: bool,
}

/// All container series by name.
#[derive(Debug)]
pub struct Book {
    fleet: Fleet,
    ids: HashMap<SeriesKey, SeriesId>,
    entries: Vec<Entry>,
    /// By pod and the container's place in its shape.
    latest: HashMap<(Uid, u8), Latest>,
    /// When replicas that say no more were looked for last.
    settled: Option<Timestamp>,
    /// The newest sample of all that was taken in.
    newest: Option<Timestamp>,
    /// Whether the past is in it.
    past: Past,
}

impl Default for Book {
    fn default() -> Self {
        Self {
            fleet: Fleet::new(Model::default()),
            ids: HashMap::new(),
            entries: Vec::new(),
            latest: HashMap::new(),
            settled: None,
            newest: None,
            past: Past::default(),
        }
    }
}

/// What of a series outlives the process.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Kept {
    /// Its history.
    pub series: Series,
    /// When it was last killed.
    pub last_kill: Option<Timestamp>,
    /// Its latest kills.
    pub kills: Kills,
    /// What was before its first sample is in it.
    pub whole: bool,
}

impl Book {
    /// How many series there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.fleet.len()
    }

    /// True where there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.fleet.is_empty()
    }

    /// The names of all series.
    pub fn keys(&self) -> impl Iterator<Item = (&SeriesKey, SeriesId)> {
        self.ids.iter().map(|(key, id)| (key, *id))
    }

    fn entry(&self, id: SeriesId) -> Option<&Entry> {
        self.entries.get(usize::try_from(id.0).ok()?)
    }

    fn entry_mut(&mut self, id: SeriesId) -> Option<&mut Entry> {
        self.entries.get_mut(usize::try_from(id.0).ok()?)
    }

    /// Whether a series is not as it was saved.
    #[must_use]
    pub fn is_changed(&self, id: SeriesId) -> bool {
        self.entry(id).is_some_and(|entry| entry.changed)
    }

    /// Says whether a series is as it was saved.
    pub fn set_changed(&mut self, id: SeriesId, changed: bool) {
        if let Some(entry) = self.entry_mut(id) {
            entry.changed = changed;
        }
    }

    /// A copy of what is to be saved of a series; `None` where another, or none, has its id by now.
    #[must_use]
    pub fn kept(&self, id: SeriesId, key: &SeriesKey) -> Option<Kept> {
        let entry = self.entry(id).filter(|entry| entry.key.as_ref() == Some(key))?;
        Some(Kept {
            series: self.fleet.get(id)?.clone(),
            last_kill: entry.last_kill,
            kills: entry.kills.clone(),
            whole: entry.whole,
        })
    }

    /// Takes over what was kept of a series. One that is known already stays, with all kills that either knows.
    pub fn restore(&mut self, key: &SeriesKey, kept: Kept) {
        let Some(id) = self.ids.get(key).copied() else {
            let newest = kept.series.learned_to();
            self.newest = self.newest.max(newest);
            let Some(entry) = self.place(key, kept.series).and_then(|id| self.entry_mut(id)) else { return };
            entry.last_kill = kept.last_kill;
            entry.kills = kept.kills;
            entry.whole = kept.whole;
            entry.resumed = newest;
            entry.changed = false;
            return;
        };
        let Some(entry) = self.entry_mut(id) else { return };
        entry.last_kill = entry.last_kill.max(kept.last_kill);
        let new = entry.kills.merge(&kept.kills);
        self.count_again(id, new);
    }

    /// Counts kills of which only a record is left.
    fn count_again(&mut self, id: SeriesId, kills: Vec<(Timestamp, Option<Bytes>, u64)>) {
        for (at, limit, kill) in kills {
            let limit = limit.or_else(|| self.most_used(id));
            if let Some(limit) = limit {
                self.fleet.add_oom(id, at, limit, kill, None);
            }
        }
    }

    /// The most memory that a series had at once.
    fn most_used(&self, id: SeriesId) -> Option<Bytes> {
        let most = self.fleet.get(id).map(|known| f64::from(known.tail().peak()))?;
        Some(Bytes::from_f64(most * MIB as f64)).filter(|bytes| bytes.0 > 0)
    }

    fn place(&mut self, key: &SeriesKey, series: Series) -> Option<SeriesId> {
        let id = self.fleet.add(series)?;
        let place = usize::try_from(id.0).ok()?;
        if self.entries.len() <= place {
            self.entries.resize(place + 1, Entry::default());
        }
        let whole = self.past == Past::Read;
        *self.entries.get_mut(place)? =
            Entry { key: Some(key.clone()), whole, changed: true, ..Entry::default() };
        self.ids.insert(key.clone(), id);
        Some(id)
    }

    /// The series of that name, which is begun where there is none; `None` where no more can be held.
    pub fn id(&mut self, key: &SeriesKey) -> Option<SeriesId> {
        match self.ids.get(key) {
            Some(id) => Some(*id),
            None => self.place(key, Series::default()),
        }
    }

    /// The newest sample of all.
    #[must_use]
    pub fn newest(&self) -> Option<Timestamp> {
        self.newest
    }

    /// Takes in an OOM kill that a pod's status tells of. Without a known limit it was at what the container had used
    /// at most. Answers whether it is new.
    pub fn kill(&mut self, key: &SeriesKey, told: &Told<'_>) -> bool {
        self.count_kill(key, told, |kills| kills.status(told))
    }

    /// The same of one that a counter tells of, which has grown since `since`.
    pub fn counted_kill(&mut self, key: &SeriesKey, told: &Told<'_>, since: Timestamp) -> bool {
        self.count_kill(key, told, |kills| kills.counter(told, since))
    }

    fn count_kill(
        &mut self,
        key: &SeriesKey,
        told: &Told<'_>,
        is_new: impl FnOnce(&mut Kills) -> bool,
    ) -> bool {
        let Some(id) = self.id(key) else { return false };
        let limit = told.limit.filter(|limit| limit.0 > 0).or_else(|| self.most_used(id));
        let Some(entry) = self.entry_mut(id) else { return false };
        entry.changed = true;
        let new = is_new(&mut entry.kills);
        entry.last_kill = entry.last_kill.max(Some(told.at));
        // The same id again is not counted, whoever has forgotten it.
        new && limit.is_some_and(|limit| self.fleet.add_oom(id, told.at, limit, told.id, told.lived))
    }

    /// Whether an OOM kill teaches no larger limit: usage was never seen anywhere near it.
    #[must_use]
    pub fn is_of_node(&self, key: &SeriesKey, limit: Option<Bytes>, lived: Option<i64>) -> bool {
        let series = self.ids.get(key).and_then(|id| self.fleet.get(*id));
        series.zip(limit).is_some_and(|(series, limit)| series.is_of_node(limit, lived))
    }

    /// Takes in memory that a container used when it was evicted for it.
    pub fn evicted(&mut self, key: &SeriesKey, at: Timestamp, usage: Bytes) {
        if let Some(id) = self.id(key) {
            self.set_changed(id, true);
            // Refused is counted by the series.
            let _refused = self.fleet.add_memory(id, at, usage, None);
        }
    }

    /// Estimates anew what has changed, at these prices; what has none there at those of `others`, or not at all.
    pub fn refresh(&mut self, prices: &HashMap<SeriesKey, Prices>, others: Option<Prices>) {
        let entries = &self.entries;
        let of = |id: SeriesId| {
            let entry = usize::try_from(id.0).ok().and_then(|place| entries.get(place));
            entry.and_then(|entry| prices.get(entry.key.as_ref()?)).copied().or(others)
        };
        let found = Mutex::new(Vec::new());
        self.fleet.refresh(of, |id, estimate| {
            found.lock().unwrap_or_else(PoisonError::into_inner).push((id, *estimate));
        });
        for (id, estimate) in found.into_inner().unwrap_or_else(PoisonError::into_inner) {
            if let Some(entry) = self.entry_mut(id) {
                entry.estimate = Some(estimate);
            }
        }
    }

    /// What is known of a container.
    #[must_use]
    pub fn known(&self, key: &SeriesKey) -> Option<Known<'_>> {
        let id = *self.ids.get(key)?;
        let entry = self.entry(id)?;
        Some(Known {
            series: self.fleet.get(id)?,
            estimate: entry.estimate.as_ref(),
            last_kill: entry.last_kill,
        })
    }

    /// Forgets series that nothing came for since `before`, and pods that are gone.
    pub fn forget<'a>(
        &mut self,
        before: Timestamp,
        pods: impl Iterator<Item = (&'a ObjectKey, &'a PodFacts)>,
    ) {
        let there: HashSet<Uid> = pods.map(|(_, pod)| pod.uid).collect();
        self.settle_all(|uid, _| !there.contains(uid));
        self.latest.retain(|(uid, _), _| there.contains(uid));
        for id in self.fleet.expire(before) {
            if let Some(key) = self.entry_mut(id).map(std::mem::take).and_then(|entry| entry.key) {
                self.ids.remove(&key);
            }
        }
    }
}

/// What is known of a container.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// Its history.
    pub series: &'a Series,
    /// What it needs.
    pub estimate: Option<&'a Estimate>,
    /// When it was last killed.
    pub last_kill: Option<Timestamp>,
}
