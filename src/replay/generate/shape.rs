//! The courses that usage takes in clusters, and the chance that makes no two days alike.

use std::f64::consts::PI;

const HOUR: f64 = 3600.0;
const DAY: f64 = 24.0 * HOUR;

/// What a workload is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// Follows its users: high at midday, low at night and at weekends.
    DailyWeb,
    /// Works once a night.
    NightlyBatch,
    /// Little, and now and then much for minutes.
    Spiky,
    /// Its memory grows until it is restarted.
    Leaking,
    /// Much CPU when it starts; a heap that grows in steps and is not given back.
    Jvm,
    /// Next to nothing.
    Idle,
    /// More each day.
    Growing,
    /// Crashes every few hours, and begins anew.
    Restarting,
    /// Fills its memory and stays.
    Cache,
    /// One level for some days, then another.
    LevelShift,
}

/// A shape on its way.
pub(super) struct Course {
    shape: Shape,
    /// Moves the workload's hours, so that not all peak at once.
    offset: f64,
    /// When it was last started, in seconds.
    started: f64,
    /// How much longer a spike lasts, in samples, and its height.
    spike: (u32, f64),
    /// When it ends the next time, for what restarts.
    ends: f64,
}

impl Shape {
    pub(super) fn begin(self, chance: &mut Chance) -> Course {
        let offset = chance.between(-1.5, 1.5) * HOUR;
        let ends = match self {
            Self::Leaking => chance.between(3.0, 5.0) * DAY,
            Self::Restarting => chance.between(4.0, 9.0) * HOUR,
            Self::Jvm => chance.between(4.0, 7.0) * DAY,
            _ => f64::INFINITY,
        };
        Course { shape: self, offset, started: 0.0, spike: (0, 0.0), ends }
    }
}

impl Course {
    /// Cores and mebibytes at a time.
    #[expect(clippy::cast_precision_loss, reason = "weeks in seconds")]
    pub(super) fn next(&mut self, seconds: i64, chance: &mut Chance) -> (f64, f64) {
        let now = seconds as f64;
        if now >= self.ends {
            let lasts = self.ends - self.started;
            self.started = now;
            self.ends = now + lasts * chance.between(0.7, 1.3);
        }
        let age = now - self.started;
        let (cpu, memory) = match self.shape {
            Shape::DailyWeb => {
                let users = users(now + self.offset);
                (0.04 + 0.4 * users, 170.0 + 70.0 * users)
            }
            Shape::NightlyBatch => nightly(now + self.offset),
            Shape::Spiky => self.spiky(chance),
            Shape::Leaking => (0.04 + 0.05 * users(now), 140.0 + 7.0 * age / HOUR),
            Shape::Jvm => jvm(age, users(now + self.offset)),
            Shape::Idle => (0.003, 30.0),
            Shape::Growing => {
                let grown = 1.05_f64.powf(now / DAY);
                ((0.05 + 0.2 * users(now + self.offset)) * grown, 260.0 * grown)
            }
            Shape::Restarting => (0.15, 90.0 + 320.0 * (age / self.lasts()).min(1.0)),
            Shape::Cache => (0.1 + 0.15 * users(now), 200.0 + 1500.0 * (1.0 - (-age / (2.0 * DAY)).exp())),
            Shape::LevelShift if now < 6.3 * DAY => (0.15 + 0.1 * users(now), 220.0),
            Shape::LevelShift => (0.35 + 0.2 * users(now), 430.0),
        };
        (cpu * chance.noise(0.08), memory * chance.noise(0.012))
    }

    fn lasts(&self) -> f64 {
        self.ends - self.started
    }

    fn spiky(&mut self, chance: &mut Chance) -> (f64, f64) {
        if self.spike.0 > 0 {
            self.spike.0 -= 1;
        } else if chance.happens(0.006) {
            self.spike = (if chance.happens(0.4) { 2 } else { 1 }, chance.between(0.3, 0.9));
        } else {
            self.spike.1 = 0.0;
        }
        (0.04 + self.spike.1, 110.0 + 90.0 * self.spike.1)
    }
}

/// How many of the users are there, 0 to 1, by the hour and the day of the week; the first day is a Monday.
fn users(now: f64) -> f64 {
    let hour = now.rem_euclid(DAY) / HOUR;
    let day = now.div_euclid(DAY).rem_euclid(7.0);
    let midday = ((hour - 14.0) / 24.0 * 2.0 * PI).cos() * 0.5 + 0.5;
    midday.powf(1.5) * if day >= 5.0 { 0.55 } else { 1.0 }
}

fn nightly(now: f64) -> (f64, f64) {
    let hour = now.rem_euclid(DAY) / HOUR;
    if (2.0..3.5).contains(&hour) { (1.3, 400.0 + 500.0 * (hour - 2.0)) } else { (0.005, 60.0) }
}

fn jvm(age: f64, users: f64) -> (f64, f64) {
    let starting = age < 600.0;
    // The heap is doubled when it is full, up to what -Xmx says.
    let heap = match age / HOUR {
        hours if hours < 1.0 => 300.0,
        hours if hours < 7.0 => 520.0,
        _ => 830.0,
    };
    (if starting { 1.6 } else { 0.08 + 0.3 * users }, heap + 40.0 * users)
}

/// Chance that a seed repeats: SplitMix64 (Steele, Lea, Flood, OOPSLA 2014).
pub(super) struct Chance(u64);

impl Chance {
    /// One stream of many from a seed.
    pub(super) fn new(seed: u64, stream: u64) -> Self {
        let mut chance = Self(seed ^ stream.wrapping_mul(0xD1B5_4A32_D192_ED03));
        chance.next();
        chance
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// 0 to 1, without 1.
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    fn happens(&mut self, share: f64) -> bool {
        self.unit() < share
    }

    /// About 1, with this relative deviation: the sum of uniform values is nearly normal, and has bounds.
    fn noise(&mut self, deviation: f64) -> f64 {
        let sum: f64 = (0..4).map(|_| self.unit() - 0.5).sum();
        1.0 + sum * deviation * 3.0_f64.sqrt()
    }
}
