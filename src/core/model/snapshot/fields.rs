//! What a series puts into the lanes of a pack, and how it is read back: in pairs, in the same order.

use super::SnapshotError;
use super::bytes::{Lane, Reader, Writer, log};
use crate::model::costs::Costs;
use crate::model::demand::Demand;
use crate::model::half::Half;
use crate::model::histogram::{Histogram, MAX_BUCKETS};
use crate::model::hold::Kept;
use crate::model::recent::{FIVES, HALVES, Parts, Recent, slot_of};
use crate::model::ride::{MOST, Ride};
use crate::model::series::Series;
use crate::model::startup::Startup;
use crate::model::tail::{DAYS, Kills, MOST_DOUBTFUL, SLOT, Tail};
use crate::model::tuning::{BASES, MARGINS};

type Result<T> = std::result::Result<T, SnapshotError>;

/// Steps to a power of two, as a power of two itself: of sizes, of recent maxima, of what only weighs others, of debts.
const SIZE: u32 = 6;
const MAXIMUM: u32 = 5;
const WEIGHT: u32 = 3;
const DEBT: u32 = 2;
/// The mean of logarithms is kept in these parts.
const MEAN: f32 = 64.0;
/// The reference time of the costs lies on a whole hour.
const HOUR: i64 = 3600;

/// The first version of a pack that says whether memory follows its limit.
const RIDES: u8 = 2;

/// `time` is the time of the series before, and then of this one.
pub(super) fn put_series(out: &mut Writer, series: &Series, time: &mut i64) {
    for count in [series.samples, series.refused, series.throttled] {
        out.unsigned(Lane::Count, u64::from(count));
    }
    let Startup { cpu, memory, samples } = series.startup;
    out.unsigned(Lane::Count, u64::from(samples));
    put_near(out, Lane::Amount, &mut 0, log(cpu, MAXIMUM));
    put_near(out, Lane::Amount, &mut 0, log(memory, MAXIMUM));
    put_demand(out, &series.cpu, time);
    put_demand(out, &series.memory, time);
    put_tail(out, &series.tail, *time);
    put_ride(out, &series.tail.ride);
    if let Some(kills) = &series.tail.kills {
        out.unsigned(Lane::Count, u64::from(kills.doubtful));
    }
}

/// `version` is that of the pack.
pub(super) fn get_series(from: &mut Reader<'_>, time: &mut i64, version: u8) -> Result<Series> {
    let (samples, refused, throttled) = (from.u32()?, from.u32()?, from.u32()?);
    let startup_samples = from.u32()?;
    let cpu = get_amount(from, Lane::Amount, &mut 0, MAXIMUM)?;
    let memory = get_amount(from, Lane::Amount, &mut 0, MAXIMUM)?;
    let startup = Startup { cpu, memory, samples: startup_samples };
    let (cpu, memory) = (get_demand(from, time)?, get_demand(from, time)?);
    let mut tail = get_tail(from, *time)?;
    if version >= RIDES {
        tail.ride = get_ride(from)?;
        if let Some(kills) = &mut tail.kills {
            kills.doubtful = from.up_to(Lane::Count, u64::from(MOST_DOUBTFUL))? as u8;
        }
    }
    Ok(Series { cpu, memory, tail, startup, samples, refused, throttled, seen: 0 })
}

/// A logarithm as its distance from the one before that was not 0, which it replaces; 0 for 0.
fn put_near(out: &mut Writer, lane: Lane, before: &mut i64, log: i64) {
    if log == 0 {
        return out.unsigned(lane, 0);
    }
    let step = log - *before;
    out.unsigned(lane, ((step.unsigned_abs() << 1) | u64::from(step < 0)) + 1);
    *before = log;
}

fn get_near(from: &mut Reader<'_>, lane: Lane, before: &mut i64) -> Result<i64> {
    let Some(step) = from.unsigned(lane)?.checked_sub(1) else { return Ok(0) };
    let size = i64::try_from(step >> 1).unwrap_or(i64::MAX);
    let log = before.saturating_add(if step & 1 == 1 { -size } else { size });
    if step == 1 || log <= 0 {
        return Err(from.wrong(lane, "no amount"));
    }
    *before = log;
    Ok(log)
}

fn get_amount(from: &mut Reader<'_>, lane: Lane, before: &mut i64, fine: u32) -> Result<f32> {
    let log = get_near(from, lane, before)?;
    from.amount(lane, log, fine)
}

fn put_tail(out: &mut Writer, tail: &Tail, time: i64) {
    out.signed(Lane::Count, tail.slot - time.div_euclid(SLOT));
    let peak = log(tail.peak, SIZE);
    put_near(out, Lane::Amount, &mut 0, peak);
    let below = top_of(peak) - tail.mean;
    out.signed(Lane::Amount, (below * MEAN).round() as i64);
    put_near(out, Lane::Amount, &mut 0, log(tail.slots, MAXIMUM));
    put_near(out, Lane::Amount, &mut 0, log(tail.squares, MAXIMUM));
    put_near(out, Lane::Amount, &mut peak.clone(), log(tail.open, SIZE));
    put_days(out, peak, &tail.days);
    let Some(kills) = &tail.kills else { return out.unsigned(Lane::Count, 0) };
    out.unsigned(Lane::Count, u64::from(kills.count.max(1)));
    kills.seen.iter().for_each(|id| out.unsigned(Lane::Count, u64::from(*id)));
    let lesson = log(kills.lesson, SIZE);
    put_near(out, Lane::Amount, &mut 0, lesson);
    put_days(out, lesson, &kills.days);
}

fn get_tail(from: &mut Reader<'_>, time: i64) -> Result<Tail> {
    let slot = from.signed(Lane::Count)?.saturating_add(time.div_euclid(SLOT));
    let peak = get_near(from, Lane::Amount, &mut 0)?;
    let below = from.signed(Lane::Amount)?.clamp(-100_000, 100_000) as f32 / MEAN;
    let mut tail = Tail { slot, mean: top_of(peak) - below, ..Tail::default() };
    tail.peak = from.amount(Lane::Amount, peak, SIZE)?;
    tail.slots = get_amount(from, Lane::Amount, &mut 0, MAXIMUM)?;
    tail.squares = get_amount(from, Lane::Amount, &mut 0, MAXIMUM)?;
    tail.open = get_amount(from, Lane::Amount, &mut peak.clone(), SIZE)?;
    tail.days = get_days(from, peak)?;
    let count = from.u32()?;
    if count > 0 {
        let seen = [from.u32()?, from.u32()?, from.u32()?, from.u32()?];
        let lesson = get_near(from, Lane::Amount, &mut 0)?;
        let days = get_days(from, lesson)?;
        let lesson = from.amount(Lane::Amount, lesson, SIZE)?;
        tail.kills = Some(Box::new(Kills { count, seen, lesson, days, doubtful: 0 }));
    }
    Ok(tail)
}

fn put_ride(out: &mut Writer, ride: &Ride) {
    out.unsigned(Lane::Count, (u64::from(ride.evidence) << 1) | u64::from(ride.now));
    if ride.evidence > 0 || ride.now {
        put_near(out, Lane::Amount, &mut 0, log(ride.limit.get(), SIZE));
    }
}

fn get_ride(from: &mut Reader<'_>) -> Result<Ride> {
    let code = from.up_to(Lane::Count, (u64::from(MOST) << 1) | 1)?;
    let mut ride = Ride { evidence: (code >> 1) as u8, now: code & 1 == 1, ..Ride::default() };
    if code > 0 {
        ride.limit = Half::new(get_amount(from, Lane::Amount, &mut 0, SIZE)?);
    }
    Ok(ride)
}

/// The natural logarithm of a peak that was written so.
fn top_of(peak: i64) -> f32 {
    peak as f32 * (std::f32::consts::LN_2 / (1_u32 << SIZE) as f32)
}

fn put_days(out: &mut Writer, mut before: i64, days: &[Half; DAYS]) {
    days.iter().for_each(|day| put_near(out, Lane::Amount, &mut before, log(day.get(), SIZE)));
}

fn get_days(from: &mut Reader<'_>, mut before: i64) -> Result<[Half; DAYS]> {
    let mut days = [Half::default(); DAYS];
    for day in &mut days {
        *day = Half::new(get_amount(from, Lane::Amount, &mut before, SIZE)?);
    }
    Ok(days)
}

fn put_demand(out: &mut Writer, demand: &Demand, time: &mut i64) {
    let seen = demand.last != i64::MIN;
    out.unsigned(Lane::Count, u64::from(seen));
    if !seen {
        return;
    }
    out.step(Lane::Count, time, demand.last);
    // Near to the newest sample, so kept as what lies between.
    let since = demand.last.saturating_sub(demand.closed).max(0);
    out.signed(Lane::Count, if demand.closed == i64::MIN { -1 } else { since });
    out.count(
        demand.chosen.map_or(0, |(base, margin)| usize::from(base) * MARGINS + usize::from(margin) + 1),
    );
    put_near(out, Lane::Amount, &mut 0, log(demand.hours, MAXIMUM));
    let mut near = 0;
    for value in [demand.mean, demand.peak, demand.before, demand.step] {
        put_near(out, Lane::Amount, &mut near, log(value, SIZE));
    }
    put_costs(out, &demand.costs, demand.last);
    put_holds(out, &demand.holds, log(demand.mean, SIZE));
    let mut near = log(demand.mean, MAXIMUM);
    for percentile in &demand.percentiles {
        put_near(out, Lane::Recent, &mut near, log(percentile.get(), MAXIMUM));
    }
    put_recent(out, &demand.recent, log(demand.mean, MAXIMUM));
    put_histogram(out, &demand.histogram, demand.last);
}

fn get_demand(from: &mut Reader<'_>, time: &mut i64) -> Result<Demand> {
    let mut demand = Demand::default();
    if from.up_to(Lane::Count, 1)? == 0 {
        return Ok(demand);
    }
    demand.last = from.step(Lane::Count, time)?;
    let since = from.signed(Lane::Count)?;
    demand.closed = if since < 0 { i64::MIN } else { demand.last.saturating_sub(since) };
    let chosen = from.up_to(Lane::Count, (BASES * MARGINS) as u64)?.checked_sub(1);
    demand.chosen = chosen.map(|chosen| ((chosen / MARGINS) as u8, (chosen % MARGINS) as u8));
    demand.settled = demand.chosen.is_some();
    demand.hours = get_amount(from, Lane::Amount, &mut 0, MAXIMUM)?;
    let mut near = 0;
    for value in [&mut demand.mean, &mut demand.peak, &mut demand.before, &mut demand.step] {
        *value = get_amount(from, Lane::Amount, &mut near, SIZE)?;
    }
    demand.costs = get_costs(from, demand.last)?;
    demand.holds = get_holds(from, log(demand.mean, SIZE))?;
    let mut near = log(demand.mean, MAXIMUM);
    for percentile in &mut demand.percentiles {
        *percentile = Half::new(get_amount(from, Lane::Recent, &mut near, MAXIMUM)?);
    }
    demand.recent = get_recent(from, slot_of(demand.last), log(demand.mean, MAXIMUM))?;
    demand.histogram = get_histogram(from, demand.last)?;
    Ok(demand)
}

fn put_costs(out: &mut Writer, costs: &Costs, last: i64) {
    out.signed(Lane::Count, last.div_euclid(HOUR) - costs.reference.div_euclid(HOUR));
    let (mut near, mut changes) = (0, 0);
    for value in [&costs.used].into_iter().chain(&costs.reserved) {
        put_near(out, Lane::Amount, &mut near, log(*value, SIZE));
    }
    for value in &costs.changes {
        put_near(out, Lane::Amount, &mut changes, log(*value, WEIGHT));
    }
    let used = log(costs.used, WEIGHT);
    for short in &costs.short {
        let mut near = used;
        short.iter().for_each(|value| put_near(out, Lane::Short, &mut near, log(value.get(), WEIGHT)));
    }
}

fn get_costs(from: &mut Reader<'_>, last: i64) -> Result<Costs> {
    let hour = last.div_euclid(HOUR).saturating_sub(from.signed(Lane::Count)?);
    let mut costs = Costs { reference: hour.saturating_mul(HOUR), ..Costs::default() };
    let (mut near, mut changes) = (0, 0);
    costs.used = get_amount(from, Lane::Amount, &mut near, SIZE)?;
    for value in &mut costs.reserved {
        *value = get_amount(from, Lane::Amount, &mut near, SIZE)?;
    }
    for value in &mut costs.changes {
        *value = get_amount(from, Lane::Amount, &mut changes, WEIGHT)?;
    }
    let used = log(costs.used, WEIGHT);
    for short in &mut costs.short {
        let mut near = used;
        for value in short {
            *value = Half::new(get_amount(from, Lane::Short, &mut near, WEIGHT)?);
        }
    }
    Ok(costs)
}

fn put_holds(out: &mut Writer, holds: &[Kept; BASES], mut near: i64) {
    for hold in holds {
        let (held, debt) = (hold.held.get(), log(hold.held.get(), DEBT));
        put_near(out, Lane::Amount, &mut near, log(held, SIZE));
        put_near(out, Lane::Amount, &mut log(held, MAXIMUM), log(hold.top.get(), MAXIMUM));
        put_near(out, Lane::Amount, &mut debt.clone(), log(hold.debt, DEBT));
    }
}

fn get_holds(from: &mut Reader<'_>, mut near: i64) -> Result<[Kept; BASES]> {
    let mut holds = [Kept::default(); BASES];
    for hold in &mut holds {
        let held = get_amount(from, Lane::Amount, &mut near, SIZE)?;
        hold.held = Half::new(held);
        let held = hold.held.get();
        hold.top = Half::new(get_amount(from, Lane::Amount, &mut log(held, MAXIMUM), MAXIMUM)?);
        hold.debt = get_amount(from, Lane::Amount, &mut log(held, DEBT), DEBT)?;
    }
    Ok(holds)
}

/// The newest short slot is that of the newest sample.
fn put_recent(out: &mut Writer, recent: &Recent, mut near: i64) {
    let Parts { five, half, before, base, .. } = recent.parts();
    out.unsigned(Lane::Count, u64::from(base));
    five.iter().for_each(|five| put_near(out, Lane::Recent, &mut near, log(five.get(), MAXIMUM)));
    let mut near = 64;
    for code in half.iter().chain([&before]) {
        put_near(out, Lane::Recent, &mut near, i64::from(code.div_ceil(2)));
    }
}

fn get_recent(from: &mut Reader<'_>, newest: i64, mut near: i64) -> Result<Recent> {
    let base = from.up_to(Lane::Count, u64::from(u16::MAX))? as u16;
    let (mut five, mut half) = ([Half::default(); FIVES], [0; HALVES]);
    for five in &mut five {
        *five = Half::new(get_amount(from, Lane::Recent, &mut near, MAXIMUM)?);
    }
    let mut near = 64;
    let mut code = || {
        let code = get_near(from, Lane::Recent, &mut near)?;
        // The lower of two codes that are written alike.
        let lower = u8::try_from((code * 2 - 1).max(0));
        lower.map_err(|_| from.wrong(Lane::Recent, "no amount"))
    };
    for half in &mut half {
        *half = code()?;
    }
    let before = code()?;
    let parts = Parts { newest, five: &five, half: &half, before, base };
    Recent::from_parts(&parts).ok_or_else(|| from.wrong(Lane::Recent, "no amount"))
}

fn put_histogram(out: &mut Writer, histogram: &Histogram, last: i64) {
    let (reference, first, weights) = histogram.parts();
    out.count(weights.len());
    out.signed(Lane::Count, last.saturating_sub(reference));
    out.unsigned(Lane::Count, u64::from(first));
    let mut before = 0;
    weights.iter().for_each(|weight| out.step(Lane::Weight, &mut before, rounded(*weight)));
}

fn get_histogram(from: &mut Reader<'_>, last: i64) -> Result<Histogram> {
    let len = from.up_to(Lane::Count, MAX_BUCKETS as u64)?;
    let reference = last.saturating_sub(from.signed(Lane::Count)?);
    let first = from.up_to(Lane::Count, u64::from(u16::MAX))? as u16;
    let mut before = 0;
    let weight = |_| {
        let code = from.step(Lane::Weight, &mut before)?;
        weight(code).ok_or_else(|| from.wrong(Lane::Weight, "no weight"))
    };
    let weights = (0..len).map(weight).collect::<Result<Vec<_>>>()?;
    Histogram::from_parts(reference, first, &weights).ok_or_else(|| from.wrong(Lane::Weight, "no bucket"))
}

/// Weights up to this are exact; above, eight of them to a power of two.
const EXACT: u32 = 16;
/// The largest that is kept.
const HEAVIEST: u32 = 0xF0;

fn rounded(weight: u8) -> i64 {
    let weight = u32::from(weight);
    if weight < EXACT {
        return i64::from(weight);
    }
    // To nearest: half a step is added before the low bits go.
    let weight = (weight + (1 << (weight.ilog2() - 4))).min(HEAVIEST);
    let power = weight.ilog2();
    i64::from(EXACT + (power - 4) * 8 + ((weight >> (power - 3)) & 7))
}

fn weight(code: i64) -> Option<u8> {
    let code = u32::try_from(code).ok()?;
    if code < EXACT {
        return u8::try_from(code).ok();
    }
    let (power, part) = (4 + (code - EXACT) / 8, (code - EXACT) % 8);
    (power < 8).then(|| ((8 + part) << (power - 3)) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_lose_little_and_only_once() {
        for exact in 0..=u8::MAX {
            let back = weight(rounded(exact)).unwrap();
            assert_eq!(weight(rounded(back)), Some(back), "{exact}");
            let off = f32::from(back) - f32::from(exact);
            assert!(off.abs() <= f32::from(exact) * 0.07, "{exact}: {back}");
        }
        assert_eq!((weight(-1), weight(1 << 20)), (None, None));
    }
}
