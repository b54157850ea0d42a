//! Usage made from a seed, the same as benches/peers/trace.go makes: whole numbers only, so that no rounding can differ.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "each test uses its part, and fails by panicking"
)]

/// SplitMix64 (Steele, Lea, Flood, OOPSLA 2014).
pub struct SplitMix(pub u64);

impl SplitMix {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to n - 1.
    pub fn below(&mut self, n: i64) -> i64 {
        i64::try_from(self.next() % n.unsigned_abs()).unwrap()
    }
}

/// One sample: seconds, millicores, bytes, and the request at which the container was OOM-killed; 0: it was not.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Usage {
    pub index: i64,
    pub at: i64,
    pub milli: i64,
    pub bytes: i64,
    pub oom: i64,
}

/// Samples of a container of that shape, `step` seconds apart. Every seventh run of 500 is missing, and every 997th sample is an OOM kill at
/// the memory that it shows.
pub fn generate(shape: &str, seed: u64, start: i64, step: i64, samples: i64) -> Vec<Usage> {
    let mut random = SplitMix(seed);
    let all = (0..samples).map(|index| {
        let (milli, bytes) = amounts(shape, index * step / 60, &mut random);
        let oom = if index % 997 == 996 { bytes + 1 } else { 0 };
        Usage { index, at: start + index * step, milli, bytes, oom }
    });
    all.filter(|usage| usage.index / 500 % 7 != 6).collect()
}

fn amounts(shape: &str, minute: i64, random: &mut SplitMix) -> (i64, i64) {
    let (a, b) = (random.below(1_000_000), random.below(1_000_000));
    let day = minute % 1440;
    let triangle = day.min(1440 - day);
    match shape {
        "wave" => (50 + 2 * triangle + a % 50, 500_000_000 + 100_000 * triangle + 10 * b),
        "growth" => (100 + minute / 10 + a % 30, 200_000_000 + 50_000 * minute + b),
        "spikes" if a % 200 == 0 => (4000 + a % 997, 4_000_000_000),
        "spikes" => (20 + a % 10, 100_000_000 + b),
        "restarts" => (500 + a % 500, 100_000_000 + minute % 2880 * 1_000_000),
        "zeros" if b % 10 == 0 => (a % 300, 0),
        "zeros" => (0, 200_000_000 + 100 * b),
        // "flat"
        _ => (200 + a % 20, 300_000_000 + b),
    }
}
