//! OOM kills by Prometheus's counters: what they have grown by between two readings.

use std::collections::{BTreeMap, HashSet};

use crate::cluster::index::stable_hash;
use crate::sources::ContainerName;
use crate::sources::prometheus::now::Usage;
use crate::units::Timestamp;

/// More kills of one container between two readings are not believed.
const MOST_KILLS: u32 = 100;
/// A counter is remembered for this many seconds after it was read last.
const REMEMBERED_SECONDS: i64 = 86_400;
/// A container's start and a scrape are told by different clocks.
const CLOCK_SECONDS: i64 = 60;

/// The counters of kills as Prometheus told of them last. One that is missing from a reading, or goes back while its
/// container runs on, is remembered.
#[derive(Default)]
pub(super) struct Counters {
    /// By container, with the time at which it was read last.
    counts: BTreeMap<ContainerName, (u32, Timestamp)>,
    /// Hashes of the names of all containers of the last reading: one of them without a count had no kill.
    known: HashSet<u64>,
    read: Option<Timestamp>,
}

impl Counters {
    /// The counters that have grown since they were read last: container, by how many, the number of the first, and since
    /// when. `began` says when a container started. What was before the first reading of a counter is the past, but where
    /// its container is known to have had no kill until then, or to have started since.
    pub(super) fn grown<'a>(
        &mut self,
        usage: &'a Usage,
        now: Timestamp,
        began: impl Fn(&ContainerName) -> Option<Timestamp>,
    ) -> Vec<(&'a ContainerName, u32, u32, Timestamp)> {
        let mut grown = Vec::new();
        if let Some(since) = self.read {
            for (name, count) in &usage.oom_kills {
                let last = self.counts.get(name).copied();
                let since = last.map_or(since, |(_, at)| at);
                let anew = || began(name).is_some_and(|at| since.seconds_since(at) <= CLOCK_SECONDS);
                let before = match last {
                    Some((last, _)) if last <= *count => last,
                    None if self.known.contains(&hash(name)) => 0,
                    _ if anew() => 0,
                    // With its container it would have begun anew: somebody else's count was read.
                    Some((last, _)) => last,
                    None => *count,
                };
                if *count > before {
                    grown.push((name, (count - before).min(MOST_KILLS), before + 1, since));
                }
            }
        }
        self.note(usage, now, began);
        grown
    }

    fn note(&mut self, usage: &Usage, now: Timestamp, began: impl Fn(&ContainerName) -> Option<Timestamp>) {
        for (name, count) in &usage.oom_kills {
            match self.counts.get_mut(name) {
                Some((last, at)) => {
                    let anew = began(name).is_some_and(|began| at.seconds_since(began) <= CLOCK_SECONDS);
                    (*last, *at) = (if anew { *count } else { (*last).max(*count) }, now);
                }
                None => drop(self.counts.insert(name.clone(), (*count, now))),
            }
        }
        self.counts.retain(|_, (_, at)| now.seconds_since(*at) < REMEMBERED_SECONDS);
        self.known = usage.containers.keys().map(hash).collect();
        self.read = Some(now);
    }
}

fn hash(name: &ContainerName) -> u64 {
    let texts = [name.namespace.as_bytes(), name.pod.as_bytes(), name.container.as_bytes()];
    stable_hash(texts.into_iter().flat_map(|text| text.iter().copied().chain([0])))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::Sample;
    use crate::testing::container_name;

    /// Reads counters, of which the containers named in `idle` have none.
    fn read(
        counters: &mut Counters,
        list: &[(&str, u32)],
        idle: &[&str],
        at: i64,
        began: impl Fn(&ContainerName) -> Option<Timestamp>,
    ) -> Vec<(String, u32, u32, i64)> {
        let at = Timestamp(at);
        let bare = Sample { at, window: None, cpu: None, memory: None, stalled: None, memory_stalled: 0.0 };
        let names = list.iter().map(|(pod, _)| pod).chain(idle);
        let usage = Usage {
            containers: names.map(|pod| (container_name(pod), bare)).collect(),
            oom_kills: list.iter().map(|(pod, count)| (container_name(pod), *count)).collect(),
        };
        let grown = counters.grown(&usage, at, began);
        grown
            .into_iter()
            .map(|(name, count, first, since)| (name.pod.clone(), count, first, since.0))
            .collect()
    }

    fn old(_: &ContainerName) -> Option<Timestamp> {
        Some(Timestamp(-100_000))
    }

    #[test]
    fn counters_tell_what_is_new() {
        let mut counters = Counters::default();
        let mut grown = |list: &[(&str, u32)], at: i64| read(&mut counters, list, &["b"], at, old);
        assert_eq!(grown(&[("a", 3)], 10), vec![], "what was before");
        assert_eq!(grown(&[("a", 5), ("b", 1)], 20), vec![("a".into(), 2, 4, 10), ("b".into(), 1, 1, 10)]);
        assert_eq!(grown(&[("a", 5), ("b", 1)], 30), vec![]);
        assert_eq!(grown(&[("b", 100_000)], 60), vec![("b".into(), MOST_KILLS, 2, 30)]);
    }

    #[test]
    fn what_is_missing_once_or_goes_back_a_little_is_not_new() {
        let mut counters = Counters::default();
        let mut grown = |list: &[(&str, u32)], at: i64| read(&mut counters, list, &[], at, old);
        assert_eq!(grown(&[("a", 40)], 1000), vec![]);
        assert_eq!(grown(&[], 1030), vec![], "missing");
        assert_eq!(grown(&[("a", 40)], 1060), vec![], "and back");
        assert_eq!(grown(&[("a", 39)], 1090), vec![], "another replica of Prometheus");
        assert_eq!(grown(&[("a", 41)], 1120), vec![("a".into(), 1, 41, 1090)]);
        assert_eq!(grown(&[("a", 41), ("c", 40)], 1150), vec![], "nobody knows since when");
        assert_eq!(grown(&[("a", 41), ("c", 41)], 1180), vec![("c".into(), 1, 41, 1150)]);
    }

    #[test]
    fn a_container_that_starts_anew_counts_from_nothing() {
        let mut counters = Counters::default();
        assert_eq!(read(&mut counters, &[("a", 40)], &[], 1000, old), vec![]);
        let again = |_: &ContainerName| Some(Timestamp(1010));
        assert_eq!(read(&mut counters, &[("a", 1)], &[], 1030, again), vec![("a".into(), 1, 1, 1000)]);
        assert_eq!(read(&mut counters, &[("a", 2)], &[], 1060, again), vec![("a".into(), 1, 2, 1030)]);
        let new = vec![("d".into(), 2, 1, 1060)];
        assert_eq!(read(&mut counters, &[("a", 2), ("d", 2)], &[], 1090, |_| Some(Timestamp(1070))), new);
    }
}
