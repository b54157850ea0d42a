//! A token bucket with the time passed in.

use crate::units::Timestamp;

/// How many of something may be done, and how fast they may be done again.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    per_second: f64,
    most: f64,
    tokens: f64,
    at: Option<Timestamp>,
}

impl Bucket {
    /// So many a second over time, and `most` at once. Starts full.
    #[must_use]
    pub fn new(per_second: f64, most: f64) -> Self {
        Self { per_second, most, tokens: most, at: None }
    }

    /// Fills it up to `now`. A clock that went back fills nothing.
    pub fn fill(&mut self, now: Timestamp) {
        let elapsed = self.at.map_or(0, |at| now.seconds_since(at)).max(0);
        self.tokens = (self.tokens + elapsed as f64 * self.per_second).min(self.most);
        self.at = Some(now);
    }

    /// Another rate and size from now on.
    pub fn adjust(&mut self, per_second: f64, most: f64) {
        (self.per_second, self.most, self.tokens) = (per_second, most, self.tokens.min(most));
    }

    /// Whether there is one to be taken.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.tokens >= 1.0
    }

    /// Takes one; false where there is none.
    pub fn take(&mut self) -> bool {
        let there = self.holds();
        if there {
            self.tokens -= 1.0;
        }
        there
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_fills_with_time_and_no_further_than_it_holds() {
        let mut bucket = Bucket::new(0.5, 3.0);
        let mut taken = |at| {
            bucket.fill(Timestamp(at));
            (0..10).filter(|_| bucket.take()).count()
        };
        assert_eq!([taken(0), taken(0), taken(4), taken(5), taken(1000), taken(10)], [3, 0, 2, 0, 3, 0]);
    }
}
