//! Replacements of a workload's pods, in rounds: each pod that is there when a round begins is replaced once, and their
//! successors wait for a pause that doubles with each round.

use std::collections::HashSet;

use super::facts::{PodId, Workload};
use super::reason::Hold;
use crate::units::Timestamp;

/// Longest pause, in seconds.
const LONGEST: i64 = 86_400;
/// Seconds without a replacement, beyond the pause, after which the next round counts as a first one.
const FORGIVEN: i64 = 3600;

/// A pod that came in the place of one in an OOM loop, and loops as well, is replaced after this, in seconds; the next
/// time after twice that.
const HEALS_AGAIN: i64 = 5;
/// The same of what was replaced for its size.
const MOVES_AGAIN: i64 = 600;

/// Replacements of a workload's pods: of those in an OOM loop, and of those of another size.
#[derive(Clone, Debug)]
pub(super) struct Replaced {
    healed: Rounds,
    moved: Rounds,
}

impl Default for Replaced {
    fn default() -> Self {
        Self { healed: Rounds::new(HEALS_AGAIN), moved: Rounds::new(MOVES_AGAIN) }
    }
}

impl Replaced {
    /// Whether a pod in an OOM loop may be replaced now, or why not.
    pub(super) fn may_heal(&self, pod: PodId, now: Timestamp) -> Result<(), Hold> {
        if self.healed.may_replace(pod, now) { Ok(()) } else { Err(Hold::ReplacedBefore) }
    }

    /// Whether a pod may be replaced for its size now, or why not.
    pub(super) fn may_move(&self, pod: PodId, now: Timestamp) -> Result<(), Hold> {
        if self.moved.may_replace(pod, now) { Ok(()) } else { Err(Hold::ReplacedBefore) }
    }

    /// Notes that a pod is replaced, and whether at once.
    pub(super) fn note(&mut self, workload: &Workload, (pod, urgent): (PodId, bool), now: Timestamp) {
        let rounds = if urgent { &mut self.healed } else { &mut self.moved };
        rounds.note(workload, pod, now);
    }
}

/// Rounds in which the pods of a workload are replaced.
#[derive(Clone, Debug)]
struct Rounds {
    /// Pause after a first round, in seconds.
    first: i64,
    members: HashSet<PodId>,
    last: Option<Timestamp>,
    times: u32,
}

impl Rounds {
    /// Starts without a round; `first`: pause after the first one, in seconds.
    fn new(first: i64) -> Self {
        Self { first, members: HashSet::new(), last: None, times: 0 }
    }

    /// Returns whether a pod may be replaced now.
    fn may_replace(&self, pod: PodId, now: Timestamp) -> bool {
        let rests = self.last.is_some_and(|last| now.seconds_since(last) < self.pause());
        !rests || self.members.contains(&pod)
    }

    /// Notes that a pod is replaced.
    fn note(&mut self, workload: &Workload, pod: PodId, now: Timestamp) {
        if !self.members.contains(&pod) {
            let calm = self.last.map_or(i64::MAX, |last| now.seconds_since(last));
            let is_first = calm >= self.pause().saturating_add(FORGIVEN);
            self.times = if is_first { 1 } else { self.times.saturating_add(1) };
            self.members = workload.staying().map(|pod| pod.id).collect();
        }
        self.last = Some(now);
    }

    fn pause(&self) -> i64 {
        let doubled = 1_i64.checked_shl(self.times.saturating_sub(1)).unwrap_or(i64::MAX).max(1);
        self.first.saturating_mul(doubled).min(LONGEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::ContainerSize;
    use crate::testing::pure::pod;

    #[test]
    fn successors_wait_for_twice_as_long_each_time() {
        let web = |ids: std::ops::Range<u128>| Workload {
            pods: ids.map(|id| pod(id, ContainerSize::default())).collect(),
            ..Workload::default()
        };
        let mut rounds = Rounds::new(10);
        let mut waits = Vec::new();
        let mut now = Timestamp(0);
        for round in 0..5 {
            let first = round * 2;
            while !rounds.may_replace(first, now) {
                now = now.plus(1);
            }
            waits.push(now.0);
            for id in first..first + 2 {
                assert!(rounds.may_replace(id, now), "one of the same round does not wait");
                rounds.note(&web(first..first + 2), id, now);
            }
        }
        assert_eq!(waits, [0, 10, 30, 70, 150]);
        now = now.plus(FORGIVEN + 160);
        rounds.note(&web(10..11), 10, now);
        assert!(rounds.may_replace(12, now.plus(10)), "after an hour of calm it begins anew");
    }
}
