//! Series <-> compact bytes: many series in one pack, versioned, compressed, with a checksum.
//!
//! Layout: `PLMB`, version (1 byte), CRC-32 of the rest (4 bytes, little endian), then deflate of: how many series
//! (varint), and for each its fields in the order of [`put_series`]. Times are zigzag varints, amounts the upper half
//! of their float, what was seen recently and histogram weights are one byte or two. Amounts lose at most 3 %, which
//! is one bucket; what is read back writes the same bytes again.

mod bytes;
#[cfg(test)]
mod tests;

use std::io::{Read, Write};

use flate2::{Compression, Crc};

use self::bytes::{Reader, Writer};
use super::demand::{Costs, Demand};
use super::histogram::{Histogram, MAX_BUCKETS};
use super::hold::Hold;
use super::recent::Recent;
use super::series::Series;
use super::startup::Startup;
use super::tail::Tail;
use super::tuning::{BASES, MARGINS};

const MAGIC: &[u8; 4] = b"PLMB";
/// The version that is written; older ones are none yet.
pub const VERSION: u8 = 1;
/// Bytes before what is compressed.
const HEADER: usize = 9;
/// The longest unpacked pack that is read: what 1,000,000 series take.
const LONGEST: u64 = 1 << 30;
/// The shortest that a series can be, to bound what a false count reserves.
const LEAST_SERIES: usize = 64;

/// Why a pack cannot be read. Nothing of it is then used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// It does not begin as a pack does.
    #[error("not a snapshot: byte {at} is none of one")]
    NotASnapshot {
        /// The first byte that differs, or the length where it ends before.
        at: usize,
    },
    /// A later version wrote it.
    #[error("snapshot version {found} at byte 4 is newer than {VERSION}, the newest that this build reads")]
    Newer {
        /// Its version.
        found: u8,
    },
    /// The checksum does not hold.
    #[error("damaged snapshot: bytes {HEADER} to {to} do not match the checksum at byte 5")]
    Checksum {
        /// Its length.
        to: usize,
    },
    /// What is inside is no snapshot's content.
    #[error("damaged snapshot: {what} at byte {at} of what is packed")]
    Content {
        /// Where, after unpacking.
        at: usize,
        /// What is wrong.
        what: &'static str,
    },
}

/// Packs series.
#[must_use]
pub fn write(series: &[&Series]) -> Vec<u8> {
    let mut out = Writer::default();
    out.count(series.len());
    for one in series {
        put_series(&mut out, one);
    }
    let mut packed = Vec::new();
    let mut deflate = flate2::write::DeflateEncoder::new(&mut packed, Compression::best());
    // Writing to memory does not fail.
    let written = deflate.write_all(&out.bytes).and_then(|()| deflate.finish().map(|_| ()));
    debug_assert!(written.is_ok());
    let mut crc = Crc::new();
    crc.update(&packed);
    let mut bytes = Vec::with_capacity(HEADER + packed.len());
    bytes.extend_from_slice(MAGIC);
    bytes.push(VERSION);
    bytes.extend_from_slice(&crc.sum().to_le_bytes());
    bytes.extend_from_slice(&packed);
    bytes
}

/// Unpacks series, in the order in which they were packed.
///
/// # Errors
/// Names the byte where it is not what [`write()`] writes. Nothing is then read at all.
pub fn read(bytes: &[u8]) -> Result<Vec<Series>, SnapshotError> {
    let body = check_header(bytes)?;
    let mut plain = Vec::new();
    let unpacked = flate2::read::DeflateDecoder::new(body).take(LONGEST).read_to_end(&mut plain);
    let at = plain.len();
    unpacked.map_err(|_| SnapshotError::Content { at, what: "what is packed breaks off" })?;
    let mut from = Reader::new(&plain);
    let count = from.count(plain.len() / LEAST_SERIES)?;
    let series = (0..count).map(|_| get_series(&mut from)).collect::<Result<Vec<_>, _>>()?;
    from.end()?;
    Ok(series)
}

fn check_header(bytes: &[u8]) -> Result<&[u8], SnapshotError> {
    if let Some(at) = (0..MAGIC.len()).find(|&i| bytes.get(i) != MAGIC.get(i)) {
        return Err(SnapshotError::NotASnapshot { at });
    }
    let (Some(&version), Some(sum), Some(body)) = (bytes.get(4), bytes.get(5..HEADER), bytes.get(HEADER..))
    else {
        return Err(SnapshotError::NotASnapshot { at: bytes.len() });
    };
    if version > VERSION {
        return Err(SnapshotError::Newer { found: version });
    }
    if version == 0 {
        return Err(SnapshotError::NotASnapshot { at: 4 });
    }
    let mut crc = Crc::new();
    crc.update(body);
    if crc.sum().to_le_bytes() != sum {
        return Err(SnapshotError::Checksum { to: bytes.len() });
    }
    Ok(body)
}

fn put_series(out: &mut Writer, series: &Series) {
    for count in [series.samples, series.refused, series.throttled, series.kills] {
        out.unsigned(u64::from(count));
    }
    for id in series.seen {
        out.unsigned(u64::from(id));
    }
    let Startup { cpu, memory, samples } = series.startup;
    out.amount(cpu);
    out.amount(memory);
    out.unsigned(u64::from(samples));
    put_tail(out, &series.tail);
    put_demand(out, &series.cpu);
    put_demand(out, &series.memory);
}

fn get_series(from: &mut Reader<'_>) -> Result<Series, SnapshotError> {
    let (samples, refused, throttled, kills) = (from.u32()?, from.u32()?, from.u32()?, from.u32()?);
    let seen = [from.u32()?, from.u32()?, from.u32()?, from.u32()?];
    let startup = Startup { cpu: from.amount()?, memory: from.amount()?, samples: from.u32()? };
    let tail = get_tail(from)?;
    let (cpu, memory) = (get_demand(from)?, get_demand(from)?);
    Ok(Series { cpu, memory, tail, startup, samples, refused, throttled, kills, seen })
}

fn put_tail(out: &mut Writer, tail: &Tail) {
    out.signed(tail.slot);
    out.signed(tail.at);
    // The mean of logarithms may be negative.
    out.signed(i64::from((tail.mean * 512.0) as i32));
    for value in [tail.open, tail.slots, tail.squares, tail.peak, tail.lesson, tail.kills] {
        out.amount(value);
    }
    tail.days.iter().chain(&tail.lessons).for_each(|day| out.amount(*day));
}

fn get_tail(from: &mut Reader<'_>) -> Result<Tail, SnapshotError> {
    let (slot, at) = (from.time()?, from.time()?);
    let mean = from.time()?.clamp(-100_000, 100_000) as f32 / 512.0;
    let mut tail = Tail { slot, at, mean, ..Tail::default() };
    for value in [
        &mut tail.open,
        &mut tail.slots,
        &mut tail.squares,
        &mut tail.peak,
        &mut tail.lesson,
        &mut tail.kills,
    ] {
        *value = from.amount()?;
    }
    for day in tail.days.iter_mut().chain(&mut tail.lessons) {
        *day = from.amount()?;
    }
    Ok(tail)
}

fn put_demand(out: &mut Writer, demand: &Demand) {
    let seen = demand.last != i64::MIN;
    out.byte(u8::from(seen));
    if !seen {
        return;
    }
    out.signed(demand.last);
    // Near to the newest sample, so kept as what lies between.
    out.signed(if demand.closed == i64::MIN { -1 } else { demand.last.saturating_sub(demand.closed) });
    for value in [demand.peak, demand.mean, demand.step, demand.before, demand.hours] {
        out.amount(value);
    }
    let (base, margin) = demand.chosen.unwrap_or((u8::MAX, u8::MAX));
    out.byte(base);
    out.byte(margin);
    demand.proposed.iter().for_each(|value| out.amount(*value));
    put_costs(out, &demand.costs, demand.last);
    for hold in &demand.holds {
        let (debt, top) = hold.waiting();
        [hold.held, debt, top].into_iter().for_each(|value| out.amount(value));
    }
    put_recent(out, &demand.recent);
    put_histogram(out, &demand.histogram, demand.last);
}

fn get_demand(from: &mut Reader<'_>) -> Result<Demand, SnapshotError> {
    let mut demand = Demand::default();
    if from.byte()? == 0 {
        return Ok(demand);
    }
    demand.last = from.time()?;
    let since = from.time()?;
    demand.closed = if since < 0 { i64::MIN } else { demand.last.saturating_sub(since) };
    for value in [&mut demand.peak, &mut demand.mean, &mut demand.step, &mut demand.before, &mut demand.hours]
    {
        *value = from.amount()?;
    }
    let chosen = (from.byte()?, from.byte()?);
    let known = usize::from(chosen.0) < BASES && usize::from(chosen.1) < MARGINS;
    demand.chosen = known.then_some(chosen);
    demand.settled = known;
    for value in &mut demand.proposed {
        *value = from.amount()?;
    }
    demand.costs = get_costs(from, demand.last)?;
    for hold in &mut demand.holds {
        *hold = Hold::from_parts(from.amount()?, from.amount()?, from.amount()?);
    }
    demand.recent = get_recent(from)?;
    demand.histogram = get_histogram(from, demand.last)?;
    Ok(demand)
}

fn put_costs(out: &mut Writer, costs: &Costs, last: i64) {
    out.signed(last.saturating_sub(costs.reference));
    out.amount(costs.used);
    costs.reserved.iter().chain(&costs.changes).for_each(|value| out.amount(*value));
    costs.short.iter().flatten().for_each(|value| out.amount(*value));
}

fn get_costs(from: &mut Reader<'_>, last: i64) -> Result<Costs, SnapshotError> {
    let reference = last.saturating_sub(from.time()?);
    let mut costs = Costs { reference, used: from.amount()?, ..Costs::default() };
    for value in costs.reserved.iter_mut().chain(&mut costs.changes) {
        *value = from.amount()?;
    }
    for value in costs.short.iter_mut().flatten() {
        *value = from.amount()?;
    }
    Ok(costs)
}

fn put_recent(out: &mut Writer, recent: &Recent) {
    let (newest, five, half, before) = recent.parts();
    out.signed(newest.max(-(1 << 50)));
    out.codes(five.iter().chain(half).chain([&before]));
}

fn get_recent(from: &mut Reader<'_>) -> Result<Recent, SnapshotError> {
    let newest = from.time()?;
    let (five, half, [before]) = (from.codes()?, from.codes()?, from.codes()?);
    Recent::from_parts(newest, five, half, before).ok_or_else(|| from.wrong("no amount"))
}

fn put_histogram(out: &mut Writer, histogram: &Histogram, last: i64) {
    let (reference, first, weights) = histogram.parts();
    let heaviest = weights.iter().copied().max().unwrap_or(0);
    let shift = (16 - heaviest.leading_zeros()).saturating_sub(8);
    // Cut to what is left after the shift, so that what is read back is cut alike.
    let low = weights.iter().position(|w| w >> shift > 0).unwrap_or(0);
    let high = weights.iter().rposition(|w| w >> shift > 0).map_or(0, |at| at + 1);
    let weights = weights.get(low..high).unwrap_or_default();
    out.count(weights.len());
    out.signed(last.saturating_sub(reference));
    out.unsigned(u64::from(first) + low as u64);
    out.byte(shift as u8);
    weights.iter().for_each(|weight| out.byte((weight >> shift) as u8));
}

fn get_histogram(from: &mut Reader<'_>, last: i64) -> Result<Histogram, SnapshotError> {
    let len = from.count(MAX_BUCKETS)?;
    let reference = last.saturating_sub(from.time()?);
    let first = u16::try_from(from.u32()?).map_err(|_| from.wrong("no bucket"))?;
    let shift = from.byte()?;
    if shift > 8 {
        return Err(from.wrong("no shift"));
    }
    let weights = (0..len)
        .map(|_| from.byte().map(|weight| u16::from(weight) << shift))
        .collect::<Result<Vec<_>, _>>()?;
    Histogram::from_parts(reference, first, &weights).ok_or_else(|| from.wrong("no bucket"))
}
