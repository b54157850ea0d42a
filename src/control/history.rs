//! From a piece of the past to the fleet: the samples of each series, its replicas' together, in the order of time.
//!
//! Pure: the piece is read already.

use std::collections::BTreeMap;

use crate::cluster::index::stable_hash;
use crate::model::{Fleet, HoldRule, Level, Model, Most, Replica, SeriesId, Tuning, Usage};
use crate::sources::ContainerName;
use crate::sources::prometheus::history::{Kills, Piece, Point};
use crate::units::{Bytes, Cores, Timestamp};

/// Below so many hours of history start-up is not kept apart: a new workload has nothing else to go by.
const YOUNG_HOURS: f32 = 1.0;

/// CPU of a container that ran for fewer seconds of a step says little of it.
const LEAST_AGE: i64 = 150;

/// Half-life of a sample in a scan, in seconds: a week, so that each day of it has its say.
const STANDING_HALF_LIFE: i64 = 7 * 86_400;

/// The model for sizes that stay until somebody scans again. They must hold at all hours, so that only the rules that
/// look at whole days have a voice; those that follow the last hours are for who resizes each time.
#[must_use]
pub fn standing_model() -> Model {
    let levels = std::array::from_fn(|place| match place {
        0 => Level::P80,
        1 => Level::P90,
        _ => Level::P98,
    });
    let standing = |tuning: Tuning| Tuning {
        levels,
        half_life: STANDING_HALF_LIFE,
        memory: STANDING_HALF_LIFE,
        // Nor does what stands wait until growth is worth a change.
        hold: HoldRule { underrun: None, ..tuning.hold },
        ..tuning
    };
    Model { cpu: standing(Tuning::cpu()), memory: standing(Tuning::memory()), ..Model::default() }
}

/// Where the samples of a container belong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its series.
    pub series: SeriesId,
    /// It runs to its end, as Jobs do: its start-up is a part of its need.
    pub ends: bool,
    /// What is not later than this is known already.
    pub after: Option<Timestamp>,
}

impl Place {
    fn wants(self, at: Timestamp) -> bool {
        self.after.is_none_or(|after| at > after)
    }
}

/// What became of a piece.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fed {
    /// Samples taken in.
    pub samples: u64,
    /// Samples refused: absurd, or too old.
    pub refused: u64,
    /// OOM kills taken in that were new.
    pub kills: u64,
}

impl std::ops::AddAssign for Fed {
    fn add_assign(&mut self, more: Self) {
        self.samples += more.samples;
        self.refused += more.refused;
        self.kills += more.kills;
    }
}

/// Takes a piece in. `place` says which series a container belongs to; what belongs to none is left out.
/// `is_new` says of each kill (its number among those of its step, and its id) whether it is not counted already.
pub fn feed(
    fleet: &mut Fleet,
    piece: &Piece,
    mut place: impl FnMut(&ContainerName) -> Option<Place>,
    mut is_new: impl FnMut(SeriesId, &Kills, Option<Bytes>, u64) -> bool,
) -> Fed {
    let is_new: &mut IsNew<'_> = &mut is_new;
    let mut fed = Fed::default();
    for (place, replicas) in by_series(&piece.cpu, &mut place) {
        feed_cpu(fleet, piece, place, &replicas, &mut fed);
    }
    // Memory and kills in one order: what a kill taught decays from its own time.
    let mut kills = kills_by_series(&piece.kills, &mut place);
    for (place, replicas) in by_series(&piece.memory, &mut place) {
        let kills = kills.remove(&place.series).unwrap_or_default();
        feed_memory(fleet, piece, place, &replicas, &kills, is_new, &mut fed);
    }
    for (series, kills) in kills {
        kills.into_iter().for_each(|kill| feed_kill(fleet, series, kill, is_new, &mut fed));
    }
    fed
}

type IsNew<'a> = dyn FnMut(SeriesId, &Kills, Option<Bytes>, u64) -> bool + 'a;

type Replicas<'a> = Vec<&'a (ContainerName, Vec<Point>)>;

fn by_series<'a>(
    list: &'a [(ContainerName, Vec<Point>)],
    place: &mut impl FnMut(&ContainerName) -> Option<Place>,
) -> Vec<(Place, Replicas<'a>)> {
    let mut groups: BTreeMap<SeriesId, (Place, Replicas<'a>)> = BTreeMap::new();
    for entry in list {
        if let Some(place) = place(&entry.0) {
            groups.entry(place.series).or_insert_with(|| (place, Vec::new())).1.push(entry);
        }
    }
    groups.into_values().collect()
}

/// The points of all replicas in the order of time, each with its replica.
fn in_time(replicas: &Replicas<'_>) -> Vec<(Timestamp, f64, usize)> {
    let points = replicas
        .iter()
        .enumerate()
        .flat_map(|(replica, (_, points))| points.iter().map(move |(at, value)| (*at, *value, replica)));
    let mut points: Vec<_> = points.collect();
    // Stable, and fast on runs that are sorted already.
    points.sort_by_key(|(at, _, _)| *at);
    points
}

/// Whether start-up is kept apart for this series now.
fn keeps_startup_apart(fleet: &Fleet, place: Place) -> bool {
    !place.ends && fleet.get(place.series).is_some_and(|series| series.hours() >= YOUNG_HOURS)
}

/// Seconds from the container's start to `at`, where they are known to be few.
fn age_of(piece: &Piece, container: &ContainerName, at: Timestamp) -> Option<i64> {
    #[expect(clippy::cast_possible_truncation, reason = "a few hundred seconds")]
    Piece::at(piece.young.get(container), at).map(|age| age as i64)
}

/// The CPU of a step as of the part of it in which the container ran: Prometheus takes a rate over all of it.
fn whole(piece: &Piece, container: &ContainerName, at: Timestamp, value: f64) -> f64 {
    /// A start is known to the second, and a scrape comes some seconds after.
    const LEAST: i64 = 30;
    match age_of(piece, container, at) {
        Some(age) if age < piece.step => value * piece.step as f64 / age.max(LEAST).min(piece.step) as f64,
        _ => value,
    }
}

fn feed_cpu(fleet: &mut Fleet, piece: &Piece, place: Place, replicas: &Replicas<'_>, fed: &mut Fed) {
    let mut state = vec![Replica::default(); replicas.len()];
    for (at, value, replica) in in_time(replicas) {
        let Some((name, _)) = replicas.get(replica).filter(|_| place.wants(at)) else { continue };
        let Some(replica) = state.get_mut(replica) else { continue };
        if !place.ends && age_of(piece, name, at).is_some_and(|age| age < LEAST_AGE.min(piece.step)) {
            continue;
        }
        let usage = Usage {
            at,
            window: Some(piece.step),
            cpu: Some(Cores(whole(piece, name, at, value))),
            stalled: Some(Piece::at(piece.throttled.get(name), at).unwrap_or(0.0).clamp(0.0, 1.0) as f32),
            age: keeps_startup_apart(fleet, place).then(|| age_of(piece, name, at)).flatten(),
            most: Most { node_cpu: piece.largest_node, ..Most::default() },
            ..Usage::default()
        };
        let observed = fleet.observe(place.series, replica, &usage);
        observed.cpu.into_iter().for_each(|verdict| count(verdict.is_ok(), fed));
    }
    state.iter_mut().for_each(|replica| fleet.finish(place.series, replica, place.ends));
}

fn feed_memory(
    fleet: &mut Fleet,
    piece: &Piece,
    place: Place,
    replicas: &Replicas<'_>,
    kills: &[&Kills],
    is_new: &mut IsNew<'_>,
    fed: &mut Fed,
) {
    let mut kills = kills.iter().peekable();
    let mut state = vec![Replica::default(); replicas.len()];
    for (at, value, replica) in in_time(replicas) {
        while let Some(kill) = kills.next_if(|kill| kill.at <= at) {
            feed_kill(fleet, place.series, kill, is_new, fed);
        }
        let Some((name, _)) = replicas.get(replica).filter(|_| place.wants(at)) else { continue };
        let Some(replica) = state.get_mut(replica) else { continue };
        let usage = Usage {
            at,
            window: Some(piece.step),
            // A working set of 0 is a container that is not there yet, not one that needs nothing.
            memory: Some(Bytes::from_f64(value)).filter(|memory| memory.0 > 0),
            age: keeps_startup_apart(fleet, place).then(|| age_of(piece, name, at)).flatten(),
            ..Usage::default()
        };
        let observed = fleet.observe(place.series, replica, &usage);
        observed.memory.into_iter().for_each(|verdict| count(verdict.is_ok(), fed));
    }
    state.iter_mut().for_each(|replica| fleet.finish(place.series, replica, place.ends));
    kills.for_each(|kill| feed_kill(fleet, place.series, kill, is_new, fed));
}

fn count(taken: bool, fed: &mut Fed) {
    if taken {
        fed.samples += 1;
    } else {
        fed.refused += 1;
    }
}

fn kills_by_series<'a>(
    kills: &'a [Kills],
    place: &mut impl FnMut(&ContainerName) -> Option<Place>,
) -> BTreeMap<SeriesId, Vec<&'a Kills>> {
    let mut groups: BTreeMap<SeriesId, Vec<&Kills>> = BTreeMap::new();
    for kill in kills {
        if let Some(place) = place(&kill.container).filter(|place| place.wants(kill.at)) {
            groups.entry(place.series).or_default().push(kill);
        }
    }
    groups.values_mut().for_each(|kills| kills.sort_by_key(|kill| kill.at));
    groups
}

/// Each kill counts. Where the limit is not known it was at what the series had used at most.
fn feed_kill(fleet: &mut Fleet, series: SeriesId, kill: &Kills, is_new: &mut IsNew<'_>, fed: &mut Fed) {
    let most = fleet.get(series).map_or(0.0, |known| f64::from(known.tail().peak()));
    let limit = kill.limit.unwrap_or_else(|| Bytes::from_f64(most * crate::units::MIB as f64));
    if limit.0 == 0 {
        return;
    }
    for number in 0..kill.count {
        let id = kill_id(kill, number);
        if is_new(series, kill, Some(limit), id) {
            fed.kills += u64::from(fleet.add_oom(series, kill.at, limit, id, None));
        }
    }
}

/// The same kill read twice has the same id.
fn kill_id(kill: &Kills, number: u32) -> u64 {
    let name = &kill.container;
    let texts = [name.namespace.as_bytes(), name.pod.as_bytes(), name.container.as_bytes()];
    let numbers = [kill.at.0.to_le_bytes(), u64::from(number).to_le_bytes()];
    let bytes = texts.into_iter().flat_map(|text| text.iter().copied().chain([0]));
    stable_hash(bytes.chain(numbers.into_iter().flatten()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Series;
    use crate::policy::Rules;
    use crate::testing::container_name;

    const STEP: i64 = 300;

    fn points(from: i64, count: i64, value: f64) -> Vec<Point> {
        (0..count).map(|i| (Timestamp(from + i * STEP), value)).collect()
    }

    fn fleet() -> (Fleet, Place) {
        let mut fleet = Fleet::new(Model::default());
        let series = fleet.add(Series::default()).unwrap();
        (fleet, Place { series, ends: false, after: None })
    }

    fn take(fleet: &mut Fleet, piece: &Piece, place: impl FnMut(&ContainerName) -> Option<Place>) -> Fed {
        feed(fleet, piece, place, |_, _, _, _| true)
    }

    #[test]
    fn what_is_known_already_is_left_out() {
        let (mut fleet, place) = fleet();
        let kill = |at| Kills {
            container: container_name("a"),
            at: Timestamp(at),
            count: 1,
            limit: Some(Bytes::from_mib(64)),
        };
        let piece = Piece {
            step: STEP,
            cpu: vec![(container_name("a"), points(0, 10, 0.1))],
            memory: vec![(container_name("a"), points(0, 10, 1e8))],
            kills: vec![kill(STEP * 2), kill(STEP * 8)],
            ..Piece::default()
        };
        let place = Place { after: Some(Timestamp(4 * STEP)), ..place };
        let fed = take(&mut fleet, &piece, |_| Some(place));
        assert_eq!(fed, Fed { samples: 10, refused: 0, kills: 1 });
    }

    #[test]
    fn replicas_are_pooled_in_the_order_of_time() {
        let (mut fleet, place) = fleet();
        let cpu =
            vec![(container_name("a"), points(0, 2000, 0.1)), (container_name("b"), points(0, 2000, 0.3))];
        let memory =
            vec![(container_name("a"), points(0, 2000, 1e8)), (container_name("b"), points(0, 2000, 2e8))];
        let piece = Piece { step: STEP, end: Timestamp(1999 * STEP), cpu, memory, ..Piece::default() };
        let fed = take(&mut fleet, &piece, |_| Some(place));
        // Days later than the first samples of the one the other's are not too old.
        assert_eq!(fed, Fed { samples: 8000, refused: 0, kills: 0 });
        let series = fleet.get(place.series).unwrap();
        assert!((series.hours() - 1999.0 * 300.0 / 3600.0).abs() < 1.0, "{}", series.hours());
    }

    #[test]
    fn kills_count_once_each_and_in_their_place() {
        let (mut fleet, place) = fleet();
        let kill = |at: i64, count| Kills {
            container: container_name("a"),
            at: Timestamp(at),
            count,
            limit: Some(Bytes::from_mib(64)),
        };
        let kills = vec![kill(STEP * 3, 2), kill(STEP * 50, 1)];
        let memory = vec![(container_name("a"), points(0, 10, 6e7))];
        let piece = Piece { step: STEP, end: Timestamp(STEP * 50), memory, kills, ..Piece::default() };
        assert_eq!(take(&mut fleet, &piece, |_| Some(place)).kills, 3);
        assert_eq!(fleet.get(place.series).unwrap().kills(), 3);
        let mut series = fleet.get(place.series).unwrap().clone();
        let estimate = series.estimate(&Rules::default().prices(), &Model::default());
        assert!(estimate.limit.unwrap().tail >= 1.3 * 64.0 * f64::from(1 << 20));
    }

    #[test]
    fn start_up_is_kept_apart_once_there_is_more() {
        let (mut fleet, place) = fleet();
        let mut cpu = points(0, 100, 0.1);
        cpu[50].1 = 2.0;
        let young = [(container_name("a"), vec![(cpu[50].0, 400.0)])].into();
        let piece = Piece { step: STEP, cpu: vec![(container_name("a"), cpu)], young, ..Piece::default() };
        take(&mut fleet, &piece, |_| Some(place));
        let mut series = fleet.get(place.series).unwrap().clone();
        assert_eq!(series.startup().samples, 1);
        let estimate = series.estimate(&Rules::default().prices(), &Model::default());
        assert!(estimate.cpu.unwrap().target < 0.2);
    }

    #[test]
    fn what_stands_holds_at_all_hours() {
        let mut fleet = Fleet::new(standing_model());
        let place = Place { series: fleet.add(Series::default()).unwrap(), ends: false, after: None };
        let day = |(at, _): Point| (at, if (at.0 % 86_400) < 40_000 { 0.6 } else { 0.05 });
        // Its last hours are of the night.
        let cpu: Vec<Point> = points(0, 288 * 14, 0.0).into_iter().map(day).collect();
        let piece = Piece { step: STEP, cpu: vec![(container_name("a"), cpu)], ..Piece::default() };
        take(&mut fleet, &piece, |_| Some(place));
        let mut series = fleet.get(place.series).unwrap().clone();
        let target = series.estimate(&Rules::default().prices(), &standing_model()).cpu.unwrap().target;
        assert!((0.58..0.8).contains(&target), "{target}");
    }

    #[test]
    fn what_belongs_to_nobody_is_left_out() {
        let (mut fleet, _) = fleet();
        let piece =
            Piece { step: STEP, cpu: vec![(container_name("a"), points(0, 9, 1.0))], ..Piece::default() };
        assert_eq!(take(&mut fleet, &piece, |_| None), Fed::default());
    }
}
