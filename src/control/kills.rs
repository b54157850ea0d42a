//! Which OOM kills of one series are counted, whoever told of them: pod status, or Prometheus's counters.
//!
//! Pure. A kill that both tell of counts once: they agree on the pod, and on the time within seconds of each other.

use serde::{Deserialize, Serialize};

use crate::cluster::index::stable_hash;
use crate::units::{Bytes, MIB, Timestamp};

/// How many of the latest kills are remembered. A status tells of two ends of each container, so that these are the
/// kills of a crash loop of 32 replicas; one that is older than all of them is taken as counted.
const REMEMBERED: usize = 64;
/// A counter is read some time after the kill: scraped within a minute, asked for within another.
const NEAR_SECONDS: i64 = 180;

/// Who told of a kill first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Teller {
    /// A pod's status: exact, with an id.
    Status,
    /// A counter that has grown.
    Counter,
}

/// One kill that is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Kill {
    at: i64,
    /// What the teller calls it.
    id: u64,
    /// Of the pod's name.
    pod: u32,
    /// The limit that was hit; 0 where unknown.
    mib: u32,
    teller: Teller,
    /// What the other teller calls it, once that told of it too.
    other: Option<u64>,
}

/// The latest kills of one series, in the order in which they were told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Kills(Vec<Kill>);

/// A kill, as one of the tellers has it.
#[derive(Clone, Copy, Debug)]
pub struct Told<'a> {
    /// Name of the pod.
    pub pod: &'a str,
    /// When it was at the latest.
    pub at: Timestamp,
    /// The limit that was hit.
    pub limit: Option<Bytes>,
    /// Tells it from every other of the same teller.
    pub id: u64,
    /// Seconds that the container had run, where they are known.
    pub lived: Option<i64>,
}

impl Kills {
    /// True where none is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A pod's status tells of a kill. Answers whether it is to be counted.
    pub fn status(&mut self, told: &Told<'_>) -> bool {
        self.tell(told, told.at.0, Teller::Status)
    }

    /// A counter has grown since `since`; one call for each kill. Answers whether it is to be counted.
    pub fn counter(&mut self, told: &Told<'_>, since: Timestamp) -> bool {
        self.tell(told, since.0, Teller::Counter)
    }

    fn tell(&mut self, told: &Told<'_>, since: i64, teller: Teller) -> bool {
        let known = self
            .0
            .iter()
            .any(|kill| if kill.teller == teller { kill.id == told.id } else { kill.other == Some(told.id) });
        let forgotten = self.0.len() >= REMEMBERED && self.0.iter().all(|kill| told.at.0 < kill.at);
        if known || forgotten {
            return false;
        }
        let pod = stable_hash(told.pod.bytes()) as u32;
        let (from, to) = (since.saturating_sub(NEAR_SECONDS), told.at.0.saturating_add(NEAR_SECONDS));
        let same = self.0.iter_mut().find(|kill| {
            kill.teller != teller && kill.other.is_none() && kill.pod == pod && (from..=to).contains(&kill.at)
        });
        if let Some(kill) = same {
            kill.other = Some(told.id);
            return false;
        }
        if self.0.len() >= REMEMBERED {
            self.0.remove(0);
        }
        let mib = told.limit.map_or(0, |limit| u32::try_from(limit.0 / MIB).unwrap_or(u32::MAX));
        self.0.push(Kill { at: told.at.0, id: told.id, pod, mib, teller, other: None });
        true
    }

    /// Takes over what another has counted of the same series. Answers what was not counted here: when, the limit and
    /// an id.
    pub fn merge(&mut self, other: &Self) -> Vec<(Timestamp, Option<Bytes>, u64)> {
        let mut new = Vec::new();
        for kill in &other.0 {
            let same = |known: &Kill| {
                let near = (known.at - kill.at).abs() <= NEAR_SECONDS;
                if known.teller == kill.teller {
                    return known.id == kill.id;
                }
                known.other == Some(kill.id) || (known.other.is_none() && known.pod == kill.pod && near)
            };
            match self.0.iter_mut().find(|known| same(known)) {
                Some(known) if known.teller != kill.teller => known.other = Some(kill.id),
                Some(known) => known.other = known.other.or(kill.other),
                None => {
                    self.0.push(*kill);
                    let limit = (kill.mib > 0).then(|| Bytes::from_mib(u64::from(kill.mib)));
                    new.push((Timestamp(kill.at), limit, kill.id));
                }
            }
        }
        self.0.sort_by_key(|kill| kill.at);
        let over = self.0.len().saturating_sub(REMEMBERED);
        self.0.drain(..over);
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(pod: &str, at: i64, id: u64) -> Told<'_> {
        Told { pod, at: Timestamp(at), limit: Some(Bytes::from_mib(64)), id, lived: None }
    }

    #[test]
    fn a_kill_counts_once_whoever_tells_first() {
        let mut kills = Kills::default();
        assert!(kills.status(&told("a", 1000, 1)));
        assert!(!kills.status(&told("a", 1000, 1)));
        assert!(!kills.counter(&told("a", 1060, 101), Timestamp(1030)), "the same, seen by its counter");
        assert!(!kills.counter(&told("a", 1060, 101), Timestamp(1030)), "and read again");
        assert!(
            kills.counter(&told("a", 1090, 102), Timestamp(1060)),
            "another: the status told of one only"
        );
        assert!(!kills.status(&told("a", 1085, 2)), "which the status tells of later");
        assert!(kills.status(&told("b", 1085, 3)), "another pod");
        assert!(kills.counter(&told("a", 9000, 103), Timestamp(8970)), "another time");
    }

    #[test]
    fn what_was_forgotten_is_not_counted_again() {
        let mut kills = Kills::default();
        for number in 0..200 {
            assert!(kills.status(&told("a", 1000 + number, number.unsigned_abs())));
        }
        for number in 0..200 {
            assert!(!kills.status(&told("a", 1000 + number, number.unsigned_abs())), "{number}");
        }
    }

    #[test]
    fn two_books_become_one() {
        let (mut here, mut there) = (Kills::default(), Kills::default());
        here.counter(&told("a", 1000, 7), Timestamp(700));
        there.status(&told("a", 990, 1));
        there.status(&told("a", 5000, 2));
        let new = here.merge(&there);
        assert_eq!(new, vec![(Timestamp(5000), Some(Bytes::from_mib(64)), 2)]);
        assert!(!here.status(&told("a", 990, 1)) && !here.status(&told("a", 5000, 2)));
        assert!(here.merge(&there).is_empty());
    }
}
