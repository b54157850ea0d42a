//! What is known of each container series: the fleet, under names.
//!
//! Pure. Samples and kills come in under a workload's name, estimates go out under it.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use crate::cluster::index::{ObjectKey, PodFacts, Uid, WorkloadKey};
use crate::model::{Estimate, Fleet, Model, Prices, Refused, Series, SeriesId};
use crate::sources::metrics_server::PodUsage;
use crate::units::{Bytes, Timestamp};

/// Below so many hours of history start-up is not kept apart: a new workload has nothing else to go by.
const YOUNG_HOURS: f32 = 1.0;

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
}

/// What one reading of usage brought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Samples taken in.
    pub samples: u64,
    /// Samples that were seen before.
    pub known: u64,
    /// Samples refused, by reason.
    pub refused: HashMap<&'static str, u64>,
}

/// All container series by name.
#[derive(Debug)]
pub struct Book {
    fleet: Fleet,
    ids: HashMap<SeriesKey, SeriesId>,
    entries: Vec<Entry>,
    /// Time of the last sample of each pod.
    latest: HashMap<Uid, Timestamp>,
}

impl Default for Book {
    fn default() -> Self {
        Self {
            fleet: Fleet::new(Model::default()),
            ids: HashMap::new(),
            entries: Vec::new(),
            latest: HashMap::new(),
        }
    }
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

    /// All series by name.
    pub fn series(&self) -> impl Iterator<Item = (&SeriesKey, &Series)> {
        self.ids.iter().filter_map(|(key, id)| Some((key, self.fleet.get(*id)?)))
    }

    /// Takes over a series, such as one from a checkpoint. One that is known already stays.
    pub fn insert(&mut self, key: &SeriesKey, series: Series) {
        if !self.ids.contains_key(key) {
            self.place(key, series);
        }
    }

    /// The same, with when it was last killed.
    pub fn restore(&mut self, key: &SeriesKey, series: Series, last_kill: Option<Timestamp>) {
        self.insert(key, series);
        let place = self.ids.get(key).and_then(|id| usize::try_from(id.0).ok());
        if let Some(entry) = place.and_then(|place| self.entries.get_mut(place)) {
            entry.last_kill = entry.last_kill.max(last_kill);
        }
    }

    fn place(&mut self, key: &SeriesKey, series: Series) -> Option<SeriesId> {
        let id = self.fleet.add(series)?;
        let place = usize::try_from(id.0).ok()?;
        if self.entries.len() <= place {
            self.entries.resize(place + 1, Entry::default());
        }
        *self.entries.get_mut(place)? = Entry { key: Some(key.clone()), ..Entry::default() };
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

    /// The series themselves, for what takes in more than a pod's usage at a time.
    pub fn fleet(&mut self) -> &mut Fleet {
        &mut self.fleet
    }

    /// Takes in what the metrics API says of one pod. What it said before counts once.
    pub fn take(
        &mut self,
        workload: &WorkloadKey,
        pod: &PodFacts,
        usage: &PodUsage,
        now: Timestamp,
        taken: &mut Taken,
    ) {
        let at = Timestamp(usage.timestamp.timestamp());
        // A clock that is ahead by more than a moment: the sample would keep later, true ones out.
        if at.seconds_since(now) > 60 {
            *taken.refused.entry("in the future").or_default() += 1;
            return;
        }
        if self.latest.get(&pod.uid).is_some_and(|latest| *latest >= at) {
            taken.known += 1;
            return;
        }
        self.latest.insert(pod.uid, at);
        // What runs to its end is always starting up: that is its need.
        let ends = matches!(&*workload.kind, "Job" | "CronJob");
        for container in &usage.containers {
            let Some(shape) = pod.shape.containers.iter().find(|shape| *shape.name == *container.name) else {
                continue;
            };
            let key = SeriesKey { workload: workload.clone(), container: Arc::clone(&shape.name) };
            let Some(id) = self.id(&key) else { continue };
            let old = !ends && self.fleet.get(id).is_some_and(|series| series.hours() >= YOUNG_HOURS);
            let age = pod.started.filter(|_| old).map(|started| at.seconds_since(started));
            let cpu = container.cpu().map(|cpu| self.fleet.add_cpu(id, at, cpu, 0.0, age));
            // A working set of 0 is a container that is not there yet, not one that needs nothing.
            let memory = container.memory().filter(|memory| memory.0 > 0);
            let memory = memory.map(|memory| self.fleet.add_memory(id, at, memory, age));
            for verdict in [cpu, memory].into_iter().flatten() {
                match verdict {
                    Ok(()) => taken.samples += 1,
                    Err(refused) => *taken.refused.entry(word(refused)).or_default() += 1,
                }
            }
        }
    }

    /// Takes in an OOM kill. Without a known limit it was at what the container had used at most. Answers whether it
    /// is new.
    pub fn kill(&mut self, key: &SeriesKey, at: Timestamp, limit: Option<Bytes>, id: u64) -> bool {
        let Some(series) = self.id(key) else { return false };
        let most = self.fleet.get(series).map_or(0.0, |known| f64::from(known.tail().peak()));
        let limit = limit.unwrap_or_else(|| Bytes::from_f64(most * crate::units::MIB as f64));
        if let Some(entry) = usize::try_from(series.0).ok().and_then(|place| self.entries.get_mut(place)) {
            entry.last_kill = entry.last_kill.max(Some(at));
        }
        limit.0 > 0 && self.fleet.add_oom(series, at, limit, id)
    }

    /// Takes in memory that a container used when it was evicted for it.
    pub fn evicted(&mut self, key: &SeriesKey, at: Timestamp, usage: Bytes) {
        if let Some(id) = self.id(key) {
            // Refused is counted by the series.
            let _refused = self.fleet.add_memory(id, at, usage, None);
        }
    }

    /// Estimates anew what has changed, at these prices.
    pub fn refresh(&mut self, prices: &HashMap<SeriesKey, Prices>, default: Prices) {
        let of = |id: SeriesId| {
            let entry = usize::try_from(id.0).ok().and_then(|place| self.entries.get(place));
            entry.and_then(|entry| prices.get(entry.key.as_ref()?)).copied().unwrap_or(default)
        };
        let found = Mutex::new(Vec::new());
        self.fleet.refresh(of, |id, estimate| {
            found.lock().unwrap_or_else(PoisonError::into_inner).push((id, *estimate));
        });
        for (id, estimate) in found.into_inner().unwrap_or_else(PoisonError::into_inner) {
            if let Some(entry) = usize::try_from(id.0).ok().and_then(|place| self.entries.get_mut(place)) {
                entry.estimate = Some(estimate);
            }
        }
    }

    /// What is known of a container.
    #[must_use]
    pub fn known(&self, key: &SeriesKey) -> Option<Known<'_>> {
        let id = *self.ids.get(key)?;
        let entry = self.entries.get(usize::try_from(id.0).ok()?)?;
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
        self.latest.retain(|uid, _| there.contains(uid));
        for id in self.fleet.expire(before) {
            let entry = usize::try_from(id.0).ok().and_then(|place| self.entries.get_mut(place));
            if let Some(key) = entry.map(std::mem::take).and_then(|entry| entry.key) {
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

fn word(refused: Refused) -> &'static str {
    match refused {
        Refused::NotAnAmount => "not an amount",
        Refused::Absurd => "absurd",
        Refused::TooOld => "too old",
    }
}
