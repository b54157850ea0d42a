//! What each rule would have cost so far: decayed sums, by which the cost of any candidate at any prices follows.

use super::half::Half;
use super::hold::Kept;
use super::number;
use super::tuning::{BASES, MARGINS};

/// When the weight of what comes in passes 2^this, what is stored is scaled down.
const HEADROOM: f32 = 8.0;

/// The decayed sums behind the candidates' costs; see [`demand`](super::demand).
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Costs {
    /// The time at which an interval of five minutes weighs 1.
    pub(crate) reference: i64,
    pub(crate) used: f32,
    pub(crate) reserved: [f32; BASES],
    pub(crate) changes: [f32; BASES],
    pub(crate) short: [[Half; MARGINS]; BASES],
}

impl Costs {
    /// The weight of what comes in at `at`; scales what is stored down where that has grown large.
    pub(super) fn weight(&mut self, at: i64, half_life: i64) -> f32 {
        let age = number::seconds(self.reference, at) / half_life.max(1) as f32;
        if (0.0..=HEADROOM).contains(&age) {
            return number::exp2(age);
        }
        let hour = at.div_euclid(3600) * 3600;
        let scale = number::exp2(number::seconds(hour, self.reference) / half_life.max(1) as f32);
        self.used *= scale;
        for base in 0..BASES {
            self.reserved[base] *= scale;
            self.changes[base] *= scale;
            self.short[base] = self.short[base].map(|short| Half::new(short.get() * scale));
        }
        // On a whole hour, which the snapshot keeps in fewer bytes.
        self.reference = hour;
        number::exp2(number::seconds(self.reference, at) / half_life.max(1) as f32)
    }

    /// Counts what each rule would have held, and been short of at each margin, with usage of `used` at that weight.
    pub(super) fn count(
        &mut self,
        used: f32,
        weight: f32,
        holds: &[Kept; BASES],
        margins: &[f32; MARGINS],
        dither: u32,
    ) {
        self.used += weight * used;
        for ((hold, reserved), short) in holds.iter().zip(&mut self.reserved).zip(&mut self.short) {
            let held = hold.held.get();
            *reserved += weight * held;
            if used > held * margins[0] {
                // Where nothing is missing nothing is added, which is cheaper than to ask.
                for (short, margin) in short.iter_mut().zip(margins) {
                    *short = short.plus((weight * (used - held * margin)).max(0.0), dither);
                }
            }
        }
    }
}
