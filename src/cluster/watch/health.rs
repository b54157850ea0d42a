//! How long what a watch has told counts.

use crate::units::Timestamp;

/// A watch that has failed for so long is no longer acted on.
const STALE_SECONDS: i64 = 60;
/// A watch that fails is tried again within this; its pauses are 30 s at most, an answer may take as long.
const RETRIED_SECONDS: i64 = 90;

/// How a watch fares.
#[derive(Clone, Debug, Default)]
pub(super) struct Health {
    /// It has told everything once.
    pub(super) synced: bool,
    /// What is wrong with it.
    pub(super) error: Option<String>,
    /// Its first failure in a row, and the last one.
    failing: Option<(Timestamp, Timestamp)>,
}

impl Health {
    /// What it told last may not be so any more. A watch that works again may have nothing to tell for long, so that only
    /// failures that go on count.
    fn is_lost(&self, now: Timestamp) -> bool {
        self.failing.is_some_and(|(first, last)| {
            last.seconds_since(first) >= STALE_SECONDS && now.seconds_since(last) < RETRIED_SECONDS
        })
    }

    /// What it told is so.
    pub(super) fn knows(&self, now: Timestamp) -> bool {
        self.synced && !self.is_lost(now)
    }

    /// It has failed now.
    pub(super) fn fails(&mut self, now: Timestamp) {
        let first = self.failing.filter(|(_, last)| now.seconds_since(*last) < RETRIED_SECONDS);
        self.failing = Some((first.map_or(now, |(first, _)| first), now));
    }

    /// It has told something.
    pub(super) fn works(&mut self) {
        self.failing = None;
    }
}
