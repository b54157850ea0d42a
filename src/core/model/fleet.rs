//! All series, dense, by integer id.

#[cfg(test)]
mod tests;

use rayon::prelude::*;

use super::estimate::Estimate;
use super::prices::Prices;
use super::replica::{Observed, Replica, Usage};
use super::series::{Refused, Series};
use super::tuning::Model;
use crate::units::{Bytes, Cores, Timestamp};

/// A series of a [`Fleet`]. Ids are given from 0 up; an expired one is given again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesId(pub u32);

impl SeriesId {
    fn index(self) -> usize {
        self.0 as usize
    }
}

/// One place of the fleet.
#[derive(Clone, Debug, Default)]
struct Place {
    series: Series,
    prices: Option<Prices>,
    /// Something was taken in since the last refresh.
    changed: bool,
    live: bool,
}

/// All container series that are known.
#[derive(Clone, Debug, Default)]
pub struct Fleet {
    model: Model,
    places: Vec<Place>,
    free: Vec<SeriesId>,
}

impl Fleet {
    /// No series yet.
    #[must_use]
    pub fn new(model: Model) -> Self {
        Self { model, places: Vec::new(), free: Vec::new() }
    }

    /// Adds a series, empty or from a snapshot. `None` where 2^32 are held.
    pub fn add(&mut self, series: Series) -> Option<SeriesId> {
        let place = Place { series, prices: None, changed: true, live: true };
        if let Some(id) = self.free.pop() {
            *self.places.get_mut(id.index())? = place;
            return Some(id);
        }
        let id = SeriesId(u32::try_from(self.places.len()).ok()?);
        self.places.push(place);
        Some(id)
    }

    /// The series of that id.
    #[must_use]
    pub fn get(&self, id: SeriesId) -> Option<&Series> {
        self.places.get(id.index()).filter(|place| place.live).map(|place| &place.series)
    }

    /// How many series are held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// Whether no series is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Puts another series in a series' place; an unknown id takes nothing in.
    pub fn replace(&mut self, id: SeriesId, series: Series) {
        if let Some((place, _)) = self.touch(id) {
            *place = series;
        }
    }

    fn touch(&mut self, id: SeriesId) -> Option<(&mut Series, &Model)> {
        let place = self.places.get_mut(id.index()).filter(|place| place.live)?;
        place.changed = true;
        Some((&mut place.series, &self.model))
    }

    /// Takes in CPU; see [`Series::add_cpu`]. An unknown id takes nothing in.
    ///
    /// # Errors
    /// The sample is refused, and counted, where it cannot be.
    pub fn add_cpu(
        &mut self,
        id: SeriesId,
        at: Timestamp,
        cpu: Cores,
        throttled: f32,
        age: Option<i64>,
    ) -> Result<(), Refused> {
        self.touch(id).map_or(Ok(()), |(series, model)| series.add_cpu(at, cpu, throttled, age, model))
    }

    /// Takes in memory; see [`Series::add_memory`]. An unknown id takes nothing in.
    ///
    /// # Errors
    /// The sample is refused, and counted, where it cannot be.
    pub fn add_memory(
        &mut self,
        id: SeriesId,
        at: Timestamp,
        memory: Bytes,
        age: Option<i64>,
    ) -> Result<(), Refused> {
        self.touch(id).map_or(Ok(()), |(series, model)| series.add_memory(at, memory, age, model))
    }

    /// Takes in a sample of a replica; see [`Series::observe`]. An unknown id takes nothing in.
    pub fn observe(&mut self, id: SeriesId, replica: &mut Replica, usage: &Usage) -> Observed {
        self.touch(id).map_or_else(Observed::default, |(series, model)| series.observe(replica, usage, model))
    }

    /// Takes in what is left of a replica that is gone; see [`Series::finish`].
    pub fn finish(&mut self, id: SeriesId, replica: &mut Replica, ends: bool) {
        if let Some((series, model)) = self.touch(id) {
            series.finish(replica, ends, model);
        }
    }

    /// Takes in an OOM kill; see [`Series::add_oom`]. Returns whether it was new; an unknown id takes nothing in.
    pub fn add_oom(
        &mut self,
        id: SeriesId,
        at: Timestamp,
        limit: Bytes,
        kill: u64,
        lived: Option<i64>,
    ) -> bool {
        self.touch(id).is_some_and(|(series, model)| series.add_oom_after(at, limit, kill, lived, model))
    }

    /// Estimates every series that changed since the last refresh, or whose prices did, on all threads of the current
    /// pool, and hands each to `found` on that thread. What has no prices is left for another time.
    pub fn refresh<F>(&mut self, prices: impl Fn(SeriesId) -> Option<Prices> + Sync, found: F)
    where
        F: Fn(SeriesId, &Estimate) + Sync,
    {
        let model = &self.model;
        self.places.par_iter_mut().with_min_len(256).enumerate().for_each(|(index, place)| {
            let Some(id) = u32::try_from(index).ok().filter(|_| place.live).map(SeriesId) else { return };
            let Some(prices) = prices(id) else { return };
            if place.changed || place.prices != Some(prices) {
                place.changed = false;
                place.prices = Some(prices);
                found(id, &place.series.estimate(&prices, model));
            }
        });
    }

    /// Forgets the series that took nothing in since `before`, and returns their ids. One that never did is kept only
    /// if it was added since the last refresh.
    pub fn expire(&mut self, before: Timestamp) -> Vec<SeriesId> {
        let mut gone = Vec::new();
        for (index, place) in self.places.iter_mut().enumerate() {
            let stale = place.series.heard_of().map_or(!place.changed, |newest| newest < before);
            if let (true, true, Ok(index)) = (place.live, stale, u32::try_from(index)) {
                *place = Place::default();
                gone.push(SeriesId(index));
            }
        }
        self.free.extend(&gone);
        gone
    }
}
