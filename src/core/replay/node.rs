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
///
/// These are the very draws of numpy's `default_rng(1).choice(n, 20, replace=False)`, so that a scorer written in Python gets the same
/// node pressure.
fn draws(n: usize) -> Vec<Vec<usize>> {
    let mut random = Pcg64::seeded_with_1();
    (0..DRAWS).map(|_| draw(n, &mut random)).collect()
}

/// Floyd's algorithm: one number below each of the last 20 sizes, or, where it was drawn before, the size itself.
fn draw(n: usize, random: &mut Pcg64) -> Vec<usize> {
    let mut drawn = Vec::with_capacity(NODE_SIZE);
    for last in n.saturating_sub(NODE_SIZE)..n {
        let candidate = random.up_to(last);
        drawn.push(if drawn.contains(&candidate) { last } else { candidate });
    }
    // numpy shuffles what it drew. The order says nothing here, but its random numbers are used up.
    for i in (1..drawn.len()).rev() {
        drawn.swap(i, random.up_to(i));
    }
    drawn
}

/// PCG64, the generator behind numpy's `default_rng` (O'Neill, HMC-CS-2014-0905).
struct Pcg64 {
    state: u128,
    /// The upper half of the last number, where only its lower half was used.
    half: Option<u32>,
}

impl Pcg64 {
    const MULTIPLIER: u128 = 0x2360_ed05_1fc6_5da4_4385_df64_9fcc_f645;
    /// What numpy makes of seed 1.
    const STATE: u128 = 0x9c5b_484b_fedb_756c_2a6e_7d6f_320f_bc7e;
    const INCREMENT: u128 = 0x922a_f2da_2645_f895_a198_57b9_5740_937b;

    fn seeded_with_1() -> Self {
        Self { state: Self::STATE, half: None }
    }

    fn next_u32(&mut self) -> u32 {
        if let Some(half) = self.half.take() {
            return half;
        }
        self.state = self.state.wrapping_mul(Self::MULTIPLIER).wrapping_add(Self::INCREMENT);
        let folded = (self.state >> 64) as u64 ^ self.state as u64;
        let next = folded.rotate_right((self.state >> 122) as u32);
        self.half = Some((next >> 32) as u32);
        next as u32
    }

    /// Evenly from 0 to `last`, at most 2^32 - 2 (Lemire, TOMACS 2019).
    fn up_to(&mut self, last: usize) -> usize {
        let Some(n) = u32::try_from(last).ok().filter(|&last| last > 0).and_then(|last| last.checked_add(1))
        else {
            return 0;
        };
        loop {
            let product = u64::from(self.next_u32()) * u64::from(n);
            if product as u32 >= n.wrapping_neg() % n {
                return (product >> 32) as usize;
            }
        }
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

    /// First and last of 40 draws, as numpy 2.4 printed them.
    #[test]
    fn draws_are_those_of_numpy() {
        for (n, first, last) in [
            (
                20,
                [7, 18, 2, 17, 15, 19, 6, 11, 10, 3, 1, 9, 5, 4, 12, 8, 14, 13, 16, 0],
                [17, 5, 8, 10, 13, 7, 1, 6, 19, 0, 12, 18, 3, 9, 2, 16, 4, 15, 11, 14],
            ),
            (
                77,
                [16, 47, 76, 19, 9, 45, 27, 61, 6, 29, 57, 30, 59, 52, 2, 58, 20, 72, 18, 41],
                [74, 15, 59, 67, 70, 27, 10, 68, 4, 75, 24, 14, 32, 46, 11, 65, 43, 73, 12, 25],
            ),
            (
                9999,
                [
                    2489, 6435, 275, 2729, 1439, 7538, 4722, 9474, 857, 4229, 9488, 5108, 8681, 8217, 347,
                    8271, 3114, 4089, 2568, 5494,
                ],
                [
                    558, 2282, 9230, 9261, 9186, 4494, 1560, 9720, 711, 9732, 4002, 2090, 5032, 7999, 1919,
                    9127, 6340, 1468, 2005, 3983,
                ],
            ),
        ] {
            let draws = draws(n);
            assert_eq!((draws.len(), &draws[0][..], &draws[39][..]), (40, &first[..], &last[..]));
        }
    }

    #[test]
    fn too_few_containers_have_no_pressure() {
        assert_eq!(pressure(vec![load(&[(0, 1.0, 1.0)]); 19]), None);
        assert_eq!(pressure(vec![load(&[(0, 1.0, 1.0)]); 20]), Some(0.0));
    }
}
