//! What all candidates cost at some prices: each rule at each margin, all at once.
//!
//! Laid out flat, so that the compiler works on several of them at a time.

use super::costs::Costs;
use super::tuning::{BASES, MARGINS, Tuning};

/// How many candidates there are.
const CANDIDATES: usize = BASES * MARGINS;

/// The cost of each candidate: by rule, then by margin.
pub(super) struct Candidates([f32; CANDIDATES]);

impl Candidates {
    /// Of what was learned so far, and of the tuning's prior, which weighs so much; at the prices of an underrun and of a
    /// change, of which what is unused is the unit.
    pub(super) fn of(costs: &Costs, tuning: &Tuning, weight: f32, underrun: f32, change: f32) -> Self {
        let prior = &tuning.prior;
        let (mut held, mut changed) = ([[0.0; MARGINS]; BASES], [[0.0; MARGINS]; BASES]);
        for base in 0..BASES {
            let reserved = costs.reserved[base] + weight * prior.reserved[base];
            held[base] = tuning.margins.map(|margin| reserved * margin);
            changed[base] = [change * (costs.changes[base] + weight * prior.changes[base]); MARGINS];
        }
        let (held, changed) = (held.as_flattened(), changed.as_flattened());
        let (own, others) = (costs.short.as_flattened(), prior.short.as_flattened());
        let mut all = [0.0; CANDIDATES];
        for ((((cost, held), changed), own), others) in
            all.iter_mut().zip(held).zip(changed).zip(own).zip(others)
        {
            let short = own.get() + weight * others;
            let unused = held + short - costs.used - weight;
            *cost = unused + underrun * short + changed;
        }
        Self(all)
    }

    /// What one costs.
    pub(super) fn cost(&self, base: usize, margin: usize) -> f32 {
        self.0.get(base * MARGINS + margin).copied().unwrap_or(f32::INFINITY)
    }

    /// The cheapest one that costs less than `most`, if any does.
    pub(super) fn cheapest(&self, most: f32) -> Option<(usize, usize)> {
        const LANES: usize = 4;
        let mut least = [most; LANES];
        let (fours, rest) = self.0.as_chunks::<LANES>();
        for four in fours {
            for (least, cost) in least.iter_mut().zip(four) {
                *least = if cost < least { *cost } else { *least };
            }
        }
        let least = least.iter().chain(rest).fold(most, |best, &cost| if cost < best { cost } else { best });
        if least < most {
            let at = self.0.iter().position(|cost| *cost <= least)?;
            return Some((at / MARGINS, at % MARGINS));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_the_cheapest_is_found_wherever_it_stands() {
        for at in 0..CANDIDATES {
            let mut all = [1.0; CANDIDATES];
            (all[at], all[CANDIDATES - 1]) = (-2.0, -2.0);
            let found = (at / MARGINS, at % MARGINS);
            assert_eq!(Candidates(all).cheapest(1.0), Some(found));
            assert_eq!(Candidates(all).cheapest(-2.0), None, "as cheap as what is chosen is not cheaper");
        }
        assert_eq!(Candidates([f32::NAN; CANDIDATES]).cheapest(f32::INFINITY), None);
    }
}
