//! VPA's histograms: buckets that grow by a ratio, and samples whose weight doubles with every half-life.
//!
//! Follows VPA 1.8's `pkg/recommender/util` step by step, rounding included, so that the arm answers what VPA would.

/// How values fall into buckets.
#[derive(Clone, Debug, PartialEq)]
pub struct Buckets {
    /// Where each bucket starts.
    starts: Vec<f64>,
    first: f64,
    /// How much wider each bucket is than the one before; `None`: all alike.
    growth: Option<Growth>,
    /// Weight below which a bucket counts as empty.
    epsilon: f64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Growth {
    ratio: f64,
    ln_ratio: f64,
}

/// Least weight of a sample, before decay.
pub const MIN_SAMPLE_WEIGHT: f64 = 0.1;
const EPSILON: f64 = 0.001 * MIN_SAMPLE_WEIGHT;

impl Buckets {
    /// Buckets from 0 to at least `max`, the first `first` wide, each `ratio` times as wide as the one before.
    #[must_use]
    pub fn exponential(max: f64, first: f64, ratio: f64, epsilon: f64) -> Self {
        let growth = Growth { ratio, ln_ratio: ratio.ln() };
        let count = to_index(((max * (ratio - 1.0) / first + 1.0).ln() / growth.ln_ratio).ceil()) + 1;
        let start = |bucket: usize| first * (ratio.powf(bucket as f64) - 1.0) / (ratio - 1.0);
        Self { starts: (0..count).map(start).collect(), first, growth: Some(growth), epsilon }
    }

    /// Buckets from 0 to at least `max`, each `size` wide. VPA uses them in its tests only.
    #[must_use]
    pub fn linear(max: f64, size: f64, epsilon: f64) -> Self {
        let count = to_index((max / size).ceil()) + 1;
        Self { starts: (0..count).map(|b| b as f64 * size).collect(), first: size, growth: None, epsilon }
    }

    /// VPA's buckets for CPU in cores: 176, from 0.01 to 1000, growing by 5 %.
    #[must_use]
    pub fn cpu() -> Self {
        Self::exponential(1000.0, 0.01, 1.0 + 0.05, EPSILON)
    }

    /// VPA's buckets for memory in bytes: 176, from 10 MB to 1 TB, growing by 5 %.
    #[must_use]
    pub fn memory() -> Self {
        Self::exponential(1e12, 1e7, 1.0 + 0.05, EPSILON)
    }

    /// Number of buckets.
    #[must_use]
    pub fn count(&self) -> usize {
        self.starts.len()
    }

    /// Where the bucket starts; the last one's start for any later.
    #[must_use]
    pub fn start(&self, bucket: usize) -> f64 {
        self.starts[bucket.min(self.count() - 1)]
    }

    /// The bucket that holds `value`: the first for what is too small, the last for what is too large.
    #[must_use]
    pub fn find(&self, value: f64) -> usize {
        let bucket = match self.growth {
            None => value / self.first,
            Some(_) if value < self.first => 0.0,
            Some(g) => (value * (g.ratio - 1.0) / self.first + 1.0).ln() / g.ln_ratio,
        };
        to_index(bucket).min(self.count() - 1)
    }
}

/// Truncated; 0 for what is negative or not a number.
#[expect(clippy::cast_sign_loss, reason = "a cast of a negative float saturates to 0, as is wanted")]
fn to_index(x: f64) -> usize {
    x as usize
}

/// Weights over buckets, younger samples weighing more: a sample's weight doubles with each half-life of its time.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    buckets: Buckets,
    weights: Vec<f64>,
    total: f64,
    /// First and last bucket that is not empty; last and first bucket of all while all are empty.
    min: usize,
    max: usize,
    half_life: i64,
    /// The time at which a sample weighs once its weight; a multiple of the half-life.
    reference: i64,
}

/// Midnight of 1 January of the year 1, in Unix seconds: the zero of Go's clock, where the reference starts.
const YEAR_ONE: i64 = -62_135_596_800;
/// Half-lives after which the reference moves on, before weights overflow.
const MAX_AGE: i64 = 100;

impl Histogram {
    /// An empty one; `half_life` in seconds, above 0.
    #[must_use]
    pub fn new(buckets: Buckets, half_life: i64) -> Self {
        let count = buckets.count();
        Self {
            buckets,
            weights: vec![0.0; count],
            total: 0.0,
            min: count - 1,
            max: 0,
            half_life,
            reference: YEAR_ONE,
        }
    }

    /// Forgets all samples.
    pub fn clear(&mut self) {
        self.weights.fill(0.0);
        self.total = 0.0;
        self.min = self.weights.len() - 1;
        self.max = 0;
        self.reference = YEAR_ONE;
    }

    /// Adds a sample of time `at` (seconds).
    pub fn add(&mut self, value: f64, weight: f64, at: i64) {
        let weight = weight * self.growth(at);
        let bucket = self.buckets.find(value);
        self.weights[bucket] += weight;
        self.total += weight;
        if self.weights[bucket] >= self.buckets.epsilon {
            self.min = self.min.min(bucket);
            self.max = self.max.max(bucket);
        }
    }

    /// Takes back a sample that was added with the same value, weight and time.
    pub fn subtract(&mut self, value: f64, weight: f64, at: i64) {
        let weight = weight * self.growth(at);
        let bucket = self.buckets.find(value);
        let epsilon = self.buckets.epsilon;
        let less = |x: f64| if x - weight < epsilon { 0.0 } else { x - weight };
        self.total = less(self.total);
        self.weights[bucket] = less(self.weights[bucket]);
        self.tighten();
    }

    /// Whether there is no sample of weight.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.weights[self.min] < self.buckets.epsilon
    }

    /// The ends of the buckets that hold the given shares, which must rise, of the weight; 0 each if empty.
    #[must_use]
    pub fn percentiles<const N: usize>(&self, shares: [f64; N]) -> [f64; N] {
        let mut ends = [0.0; N];
        if self.is_empty() {
            return ends;
        }
        let mut bucket = self.min;
        let mut below = self.weights[bucket];
        for (end, share) in ends.iter_mut().zip(shares) {
            let threshold = share * self.total;
            while bucket < self.max && below < threshold {
                bucket += 1;
                below += self.weights[bucket];
            }
            // The last bucket has no end: its start stands in.
            *end = self.buckets.start(bucket + 1);
        }
        ends
    }

    /// Sum of all weights.
    #[must_use]
    pub fn total(&self) -> f64 {
        self.total
    }

    /// The time in seconds at which a sample weighs once its weight.
    #[must_use]
    pub fn reference(&self) -> i64 {
        self.reference
    }

    /// The buckets between the first and the last that hold weight, with their weights.
    pub fn weights(&self) -> impl Iterator<Item = (usize, f64)> + '_ {
        (self.min..=self.max).map(|bucket| (bucket, self.weights[bucket]))
    }

    /// What a sample of time `at` weighs more than one of the reference time.
    fn growth(&mut self, at: i64) -> f64 {
        if at > self.reference.saturating_add(self.half_life.saturating_mul(MAX_AGE)) {
            self.renormalise(at);
        }
        (at.saturating_sub(self.reference) as f64 / self.half_life as f64).exp2()
    }

    /// Moves the reference to the multiple of the half-life nearest to `at`; half rounds up.
    fn renormalise(&mut self, at: i64) {
        let half_lives =
            (at.saturating_sub(YEAR_ONE).saturating_add(self.half_life / 2)).div_euclid(self.half_life);
        let reference = YEAR_ONE.saturating_add(half_lives.saturating_mul(self.half_life));
        let shift = (self.reference.saturating_sub(reference) as f64 / self.half_life as f64 + 0.5).floor();
        let factor = shift.exp2();
        // What lies outside, below the least weight, keeps its value in VPA too.
        for bucket in self.min..=self.max {
            self.weights[bucket] *= factor;
        }
        self.total *= factor;
        self.reference = reference;
        self.tighten();
    }

    fn tighten(&mut self) {
        let epsilon = self.buckets.epsilon;
        while self.weights[self.min] < epsilon && self.min < self.weights.len() - 1 {
            self.min += 1;
        }
        while self.weights[self.max] < epsilon && self.max > 0 {
            self.max -= 1;
        }
    }
}
