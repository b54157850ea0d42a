//! The past in the book: what was before its first samples, and in gaps, read beside it and then taken over.
//!
//! A series wants its samples in the order of time, and the past comes while the present goes on. So it goes into a book
//! of its own, which begins with what is known up to the gap, and takes the place of what was learned meanwhile: the
//! past was read up to now, and has that too.

use std::collections::HashMap;

use super::{Book, Entry, SeriesKey};
use crate::control::history::{Fed, Place, feed};
use crate::control::kills::Told;
use crate::sources::ContainerName;
use crate::sources::prometheus::history::Piece;
use crate::units::Timestamp;

/// A shorter gap is none: the steps in which the past is read are half as long.
pub(super) const GAP_SECONDS: i64 = 600;

/// Whether the past is in the book.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Past {
    /// Nobody has asked for it.
    #[default]
    Unread,
    /// It is being read.
    Reading,
    /// It was read.
    Read,
}

/// What of the past is to be read, into what.
#[derive(Debug)]
pub struct Request {
    /// The book to feed it to.
    pub book: Book,
    /// From when on.
    pub from: Timestamp,
}

impl Book {
    /// Whether the past is in it.
    #[must_use]
    pub fn past(&self) -> Past {
        self.past
    }

    /// Whether there is a gap before a sample of that time.
    #[must_use]
    pub fn ends_before(&self, sample: Option<Timestamp>) -> bool {
        let gap = |at: Timestamp| self.newest.is_none_or(|known| at.seconds_since(known) >= GAP_SECONDS);
        sample.is_some_and(gap)
    }

    /// What of the past is missing at `now`: all of the last `window` seconds where series begin without it, else what
    /// is after the newest sample. `None` where that is no gap, or where it is being read already.
    pub fn missing(&mut self, now: Timestamp, window: i64) -> Option<Request> {
        if self.past == Past::Reading {
            return None;
        }
        let whole =
            !self.ids.is_empty() && self.ids.values().all(|id| self.entry(*id).is_some_and(|e| e.whole));
        let begin = now.plus(window.saturating_neg());
        let from = if whole { self.newest.map_or(begin, |newest| newest.max(begin)) } else { begin };
        if now.seconds_since(from) < GAP_SECONDS {
            self.past = Past::Read;
            return None;
        }
        let mut book = Self { past: Past::Read, newest: self.newest, ..Self::default() };
        for (key, id) in &self.ids {
            let (Some(series), Some(entry)) = (self.fleet.get(*id), self.entry(*id)) else { continue };
            if !entry.whole {
                continue;
            }
            let (kept, newest) = (entry.clone(), series.learned_to());
            if let Some(entry) = book.place(key, series.clone()).and_then(|id| book.entry_mut(id)) {
                *entry = Entry { resumed: newest, estimate: None, ..kept };
            }
        }
        self.past = Past::Reading;
        Some(Request { book, from })
    }

    /// Takes a piece of the past in. `key_of` says which series a container belongs to.
    pub fn feed(
        &mut self,
        piece: &Piece,
        mut key_of: impl FnMut(&ContainerName) -> Option<SeriesKey>,
    ) -> Fed {
        let mut places: HashMap<&ContainerName, Option<Place>> = HashMap::new();
        let names = piece.cpu.iter().chain(&piece.memory).map(|(name, _)| name);
        for name in names.chain(piece.kills.iter().map(|kill| &kill.container)) {
            if places.contains_key(name) {
                continue;
            }
            let place = key_of(name).and_then(|key| {
                let series = self.id(&key)?;
                let ends = key.workload.ends();
                Some(Place { series, ends, after: self.entry(series)?.resumed })
            });
            places.insert(name, place);
        }
        let Self { fleet, entries, .. } = self;
        feed(
            fleet,
            piece,
            |name| places.get(name).copied().flatten(),
            |series, kill, limit, id| {
                let entry = usize::try_from(series.0).ok().and_then(|place| entries.get_mut(place));
                entry.is_some_and(|entry| {
                    entry.last_kill = entry.last_kill.max(Some(kill.at));
                    let told = Told { pod: &kill.container.pod, at: kill.at, limit, id, lived: None };
                    entry.kills.counter(&told, kill.at.plus(-piece.step))
                })
            },
        )
    }

    /// Takes over what was read of the past, in place of what was learned meanwhile, but for kills: those of either
    /// count.
    pub fn adopt(&mut self, read: &Self) {
        self.past = Past::Read;
        for (key, id) in &read.ids {
            let (Some(series), Some(entry)) = (read.fleet.get(*id), read.entry(*id)) else { continue };
            let Some(own) = self.id(key) else { continue };
            let known = self.fleet.get(own).map_or(0.0, crate::model::Series::hours);
            let Some(place) = self.entry_mut(own) else { continue };
            if known >= series.hours() {
                // Prometheus keeps less than we have.
                continue;
            }
            let mut kills = entry.kills.clone();
            let new = kills.merge(&place.kills);
            place.kills = kills;
            place.last_kill = place.last_kill.max(entry.last_kill);
            place.resumed = series.learned_to();
            place.changed = true;
            self.newest = self.newest.max(series.learned_to());
            self.fleet.replace(own, series.clone());
            self.count_again(own, new);
        }
        for entry in &mut self.entries {
            entry.changed |= entry.key.is_some() && !entry.whole;
            entry.whole = entry.key.is_some();
        }
    }
}
