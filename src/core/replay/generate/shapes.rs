//! How the usage of each kind of container runs, as shares of its busy CPU and its full memory.

use std::f64::consts::TAU;

use super::chance::Chance;

const HOUR: f64 = 3600.0;
const DAY: f64 = 24.0 * HOUR;

/// A kind of container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::replay) enum Shape {
    /// Follows its users: busy by day, less at the weekend.
    Daily,
    /// Works for an hour or two each night.
    Batch,
    /// Quiet, with short bursts at any time.
    Spiky,
    /// Memory grows until it is restarted.
    Leaking,
    /// A burst at start, then the heap grows in steps to its plateau.
    Jvm,
    /// Nobody calls it.
    Idle,
    /// Needs a quarter more each week.
    Growing,
    /// Crashes every few hours and starts afresh.
    Restarting,
    /// Memory fills, then stays full.
    Caching,
    /// A release makes it need half as much again.
    Shift,
}

/// The course of one container. To be asked at rising times.
#[derive(Clone, Debug)]
pub(in crate::replay) struct Course {
    shape: Shape,
    /// Seconds by which its days are late.
    late: f64,
    /// Slow noise of CPU and memory.
    noise: (f64, f64),
    /// When it last started, and when it next will; in seconds.
    started: f64,
    restart: f64,
    /// How high it works until when: a burst or a night's run.
    burst: (f64, f64),
    /// The night for which a run was drawn last, and when that run begins.
    night: (f64, f64),
}

impl Course {
    pub(in crate::replay) fn new(shape: Shape, chance: &mut Chance) -> Self {
        // It has run for a while when the trace begins.
        let started = match shape {
            Shape::Leaking => -chance.between(0.0, 3.0) * DAY,
            Shape::Jvm => -chance.between(0.1, 0.5) * HOUR,
            Shape::Caching => -chance.between(1.0, 8.0) * HOUR,
            _ => -chance.between(5.0, 90.0) * DAY,
        };
        let mut course = Self {
            shape,
            late: chance.between(-0.5, 0.5) * HOUR,
            noise: (0.0, 0.0),
            started,
            restart: 0.0,
            burst: (0.0, 0.0),
            night: (-1.0, 0.0),
        };
        course.restart = (started + course.lifetime(chance)).max(HOUR);
        course
    }

    /// Seconds from one start to the next.
    fn lifetime(&self, chance: &mut Chance) -> f64 {
        match self.shape {
            Shape::Leaking => chance.between(3.2, 3.8) * DAY,
            Shape::Restarting => chance.between(2.5, 7.0) * HOUR,
            Shape::Jvm => chance.between(4.5, 6.5) * DAY,
            Shape::Daily | Shape::Spiky => chance.between(3.0, 9.0) * DAY,
            _ => 1e4 * DAY,
        }
    }

    /// CPU and memory at so many seconds from the start of the trace.
    pub(in crate::replay) fn at(&mut self, seconds: i64, chance: &mut Chance) -> (f64, f64) {
        let at = seconds as f64;
        if at >= self.restart {
            self.started = at;
            self.restart = at + self.lifetime(chance);
        }
        self.noise.0 = 0.75 * self.noise.0 + 0.66 * chance.normal();
        self.noise.1 = 0.97 * self.noise.1 + 0.24 * chance.normal();
        let (cpu, memory) = self.shares(at, chance);
        let rough = match self.shape {
            Shape::Idle => 0.25,
            Shape::Batch | Shape::Spiky => 0.10,
            _ => 0.07,
        };
        ((cpu * (1.0 + rough * self.noise.0)).max(0.0), (memory * (1.0 + 0.008 * self.noise.1)).max(0.0))
    }

    fn shares(&mut self, at: f64, chance: &mut Chance) -> (f64, f64) {
        let (day, age) = (self.daily(at), at - self.started);
        match self.shape {
            Shape::Daily => {
                let burst = self.burst(at, 2.0, (1.2, 1.7), chance);
                (day * burst.max(1.0), 0.62 + 0.3 * day + 0.06 * filled(age, DAY))
            }
            Shape::Batch => self.nightly(at, chance),
            Shape::Spiky => {
                let burst = self.burst(at, 7.0, (0.25, 1.0), chance);
                (0.06 + 0.05 * day + 0.85 * burst, 0.55 + 0.05 * day + 0.35 * burst)
            }
            Shape::Leaking => (0.3 + 0.6 * day, 0.3 + 0.7 * age / (3.6 * DAY)),
            Shape::Jvm => jvm(age, day, self.noise.1),
            Shape::Idle => (if chance.happens(0.004) { 4.0 } else { 0.6 }, 0.95),
            Shape::Growing => {
                let grown = (0.25_f64.ln_1p() * at / (7.0 * DAY)).exp().min(4.0);
                (0.8 * day * grown, (0.7 + 0.05 * day) * grown)
            }
            Shape::Restarting => {
                let boot = if age < 600.0 { 0.9 } else { 0.35 + 0.3 * day };
                (boot, 0.35 + 0.65 * (age / (7.0 * HOUR)).sqrt())
            }
            Shape::Caching => (0.25 + 0.7 * day, 0.12 + 0.86 * filled(age, 30.0 * HOUR)),
            Shape::Shift => {
                let level = if at < 8.4 * DAY { 1.0 } else { 1.5 };
                (0.65 * day * level, (0.6 + 0.06 * day) * level)
            }
        }
    }

    /// The load that users make, 0.15 to 1: a peak before noon, one in the evening, and less of it at the weekend.
    fn daily(&self, at: f64) -> f64 {
        let local = at - self.late;
        let weekday = (local / DAY).floor().rem_euclid(7.0);
        let hour = local.rem_euclid(DAY) / HOUR;
        let peak = |centre: f64, width: f64| (-((hour - centre) / width).powi(2)).exp();
        let load = (peak(11.0, 3.6) + 0.8 * peak(19.5, 2.8)).min(1.0);
        0.15 + load * if weekday >= 5.0 { 0.5 } else { 0.85 }
    }

    /// Bursts of 5 to 25 minutes, so many a day; the height now, 0 between them.
    fn burst(&mut self, at: f64, per_day: f64, (least, most): (f64, f64), chance: &mut Chance) -> f64 {
        if at >= self.burst.1 && chance.happens(per_day * 300.0 / DAY) {
            self.burst = (chance.heavy(least, most), at + (1.0 + 4.0 * chance.share()).floor() * 300.0);
        }
        if at < self.burst.1 { self.burst.0 } else { 0.0 }
    }

    /// A run each night at about half past one, of one to two hours; a small service the rest of the time.
    fn nightly(&mut self, at: f64, chance: &mut Chance) -> (f64, f64) {
        let night = (at / DAY).floor();
        if night > self.night.0 {
            self.night = (night, night * DAY + 1.5 * HOUR + self.late + chance.between(-0.2, 0.2) * HOUR);
            // Sundays do the week's work, too.
            let more = if night.rem_euclid(7.0) > 5.5 { 1.12 } else { 1.0 };
            self.burst = (more * chance.between(0.78, 0.88), self.night.1 + chance.between(1.0, 2.0) * HOUR);
        }
        let (begins, (height, ends)) = (self.night.1, self.burst);
        if at < begins || at >= ends {
            return (0.015, 0.08);
        }
        let done = (at - begins) / (ends - begins);
        // Reads, works, writes.
        let cpu = height * if done < 0.2 { 0.6 } else { 1.0 - 0.15 * (done * TAU).sin() };
        (cpu, height * (0.35 + 0.65 * (done * 2.5).min(1.0)))
    }
}

/// How far something has filled up after `age`, 0 to 1, with this time constant.
fn filled(age: f64, constant: f64) -> f64 {
    1.0 - (-age.max(0.0) / constant).exp()
}

/// Ten minutes of class loading and compiling; then the heap takes step after step and hardly gives back.
fn jvm(age: f64, day: f64, noise: f64) -> (f64, f64) {
    let steps = [(0.0, 0.45), (0.5, 0.58), (3.0, 0.7), (9.0, 0.82), (26.0, 0.9), (60.0, 0.95)];
    let heap = steps.iter().rev().find(|(after, _)| age >= after * HOUR).map_or(0.45, |(_, heap)| *heap);
    let collected = 0.015 * (age / (0.7 * HOUR)).fract();
    let cpu = if age < 600.0 { 2.4 } else { 0.12 + 0.8 * day };
    (cpu, heap + collected + 0.004 * noise)
}
