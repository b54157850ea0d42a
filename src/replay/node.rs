//! Node pressure: how often nodes packed to the brim by memory requests would be short of memory.
//!
//! Exposure of one container is harmless where its neighbours leave room. So containers are drawn at random to a node whose capacity is the
//! sum of their requests, and counted is the time in which their usage together is more than a tenth above it.

use super::engine::{Decision, InForce, Rules};
use super::trace::Series;
use crate::units::{Bytes, Timestamp};

/// Containers on a node.
pub const NODE_SIZE: usize = 20;
/// Nodes that are drawn.
const DRAWS: u64 = 40;
/// Usage over requests from which a node is short.
const SHORT: f64 = 1.1;
/// A container without a sample at a time counts as it was for at most this many of the trace's times.
const FILL: usize = 3;
const SEED: u64 = 1;

/// Memory used and requested by one container at its scored samples.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Load {
    times: Vec<i64>,
    used: Vec<f64>,
    requested: Vec<f64>,
}

impl Load {
    /// The scored samples at which memory usage and request are known.
    #[must_use]
    pub fn of(series: &Series, decisions: &[Decision], rules: &Rules) -> Self {
        let mut load = Self::default();
        let mut in_force = InForce::new(decisions);
        for (at, _, used) in series.samples() {
            let request = in_force.at(at).and_then(|size| size.memory_request);
            let age = Timestamp(at).seconds_since(series.start());
            if let Some(request) = request.filter(|_| age >= rules.warmup && !used.is_nan()) {
                load.times.push(at);
                load.used.push(used);
                load.requested.push(Bytes::as_f64(request));
            }
        }
        load
    }

    /// Whether nothing was scored.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.times.is_empty()
    }

    /// Adds used and requested memory to the sums beside each time of `grid`, which holds all times of this load.
    fn add_to(&self, grid: &[i64], sums: &mut [(f64, f64)]) {
        let (mut next, mut age) = (0, usize::MAX);
        for (at, sum) in grid.iter().zip(sums) {
            if self.times.get(next) == Some(at) {
                next += 1;
                age = 0;
            } else {
                age = age.saturating_add(1);
            }
            if next > 0 && age <= FILL {
                sum.0 += self.used[next - 1];
                sum.1 += self.requested[next - 1];
            }
        }
    }
}

/// All times of `loads`, rising.
#[must_use]
pub fn grid(loads: &[Load]) -> Vec<i64> {
    let mut times: Vec<i64> = loads.iter().flat_map(|load| &load.times).copied().collect();
    times.sort_unstable();
    times.dedup();
    times
}

/// Share of the time of `grid` in which the node that holds `drawn` (indices into `loads`) is short; `None` if it is never occupied.
#[must_use]
pub fn share_short(loads: &[Load], grid: &[i64], drawn: &[usize]) -> Option<f64> {
    let mut sums = vec![(0.0, 0.0); grid.len()];
    for load in drawn.iter().filter_map(|&i| loads.get(i)) {
        load.add_to(grid, &mut sums);
    }
    let (short, occupied) = sums
        .iter()
        .filter(|(_, requested)| *requested > 0.0)
        .fold((0_u64, 0_u64), |(short, occupied), (used, requested)| {
            (short + u64::from(used / requested > SHORT), occupied + 1)
        });
    (occupied > 0).then(|| short as f64 / occupied as f64)
}

/// The mean share of time in which one of 40 nodes of 20 containers each is short. The draws are the same in every run. `None` below 20
/// containers with a score.
#[must_use]
pub fn pressure(mut loads: Vec<Load>) -> Option<f64> {
    loads.retain(|load| !load.is_empty());
    if loads.len() < NODE_SIZE {
        return None;
    }
    let grid = grid(&loads);
    let shares: Vec<f64> =
        draws(loads.len()).iter().filter_map(|drawn| share_short(&loads, &grid, drawn)).collect();
    (!shares.is_empty()).then(|| shares.iter().sum::<f64>() / shares.len() as f64)
}

/// Draws 20 of `n` without putting back, 40 times.
fn draws(n: usize) -> Vec<Vec<usize>> {
    let mut random = SplitMix(SEED);
    let draw = |random: &mut SplitMix| {
        let mut all: Vec<usize> = (0..n).collect();
        for i in 0..NODE_SIZE.min(n) {
            all.swap(i, i + random.below(n - i));
        }
        all.truncate(NODE_SIZE);
        all
    };
    (0..DRAWS).map(|_| draw(&mut random)).collect()
}

/// SplitMix64 (Steele, Lea, Flood, OOPSLA 2014).
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Evenly below `n` by the high half of a product (Lemire, TOMACS 2019); uneven by less than n / 2^64.
    fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.next()) * n as u128) >> 64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(samples: &[(i64, f64, f64)]) -> Load {
        Load {
            times: samples.iter().map(|s| s.0).collect(),
            used: samples.iter().map(|s| s.1).collect(),
            requested: samples.iter().map(|s| s.2).collect(),
        }
    }

    #[test]
    fn neighbours_with_room_make_up_for_exposure() {
        let loads = [load(&[(0, 15.0, 10.0), (1, 15.0, 10.0)]), load(&[(0, 4.0, 10.0), (1, 9.0, 10.0)])];
        let grid = grid(&loads);
        assert_eq!(share_short(&loads, &grid, &[0]), Some(1.0));
        assert_eq!(share_short(&loads, &grid, &[0, 1]), Some(0.5));
        assert_eq!(share_short(&loads, &grid, &[]), None);
    }

    #[test]
    fn a_container_without_samples_counts_for_three_times_more() {
        let silent = load(&[(0, 30.0, 10.0)]);
        let steady: Vec<_> = (0..10).map(|t| (t, 10.0, 10.0)).collect();
        let loads = [silent, load(&steady)];
        assert_eq!(share_short(&loads, &grid(&loads), &[0, 1]), Some(0.4));
    }

    #[test]
    fn draws_repeat_nobody_and_are_the_same_each_time() {
        let first = draws(50);
        assert_eq!(first, draws(50));
        assert_eq!(first.len(), 40);
        for drawn in first {
            let mut sorted = drawn.clone();
            sorted.sort_unstable();
            sorted.dedup();
            assert_eq!((sorted.len(), sorted.iter().all(|&i| i < 50)), (NODE_SIZE, true));
        }
    }

    #[test]
    fn too_few_containers_have_no_pressure() {
        assert_eq!(pressure(vec![load(&[(0, 1.0, 1.0)]); 19]), None);
        assert_eq!(pressure(vec![load(&[(0, 1.0, 1.0)]); 20]), Some(0.0));
    }
}
