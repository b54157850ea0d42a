//! Whole traces through whole sets of sizers: what each decided, and its score.

use rayon::prelude::*;

use super::arm::Arm;
use super::arms::NamedArm;
use super::engine::{Decision, InForce, Rules, replay};
use super::node::{Load, pressure};
use super::score::{Figures, Sums, score};
use super::trace::{Allocations, Series, TraceError};
use crate::units::{Bytes, Cores, Timestamp};

/// A trace replayed: everything that a table, a file or a page says of it can be had from here.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The trace's name.
    pub trace: String,
    /// The rules that were in force.
    pub rules: Rules,
    /// The containers in the trace's order, as they were read.
    pub containers: Vec<Series>,
    /// The arms in the order in which they were asked for.
    pub arms: Vec<ArmOutcome>,
}

/// What one arm made of a trace.
#[derive(Clone, Debug)]
pub struct ArmOutcome {
    /// The arm's name.
    pub name: String,
    /// Its score over the whole trace.
    pub figures: Figures,
    /// Its decisions and sums, beside [`Outcome::containers`].
    pub containers: Vec<ContainerOutcome>,
}

/// What one arm made of one container.
#[derive(Clone, Debug, PartialEq)]
pub struct ContainerOutcome {
    /// In time order, only what changed something.
    pub decisions: Vec<Decision>,
    /// The container's part of the score.
    pub sums: Sums,
}

/// Replays every container of `containers` through each of `arms`, in parallel on rayon's current pool.
/// The outcome does not depend on the number of threads.
///
/// # Errors
/// The first fault of the trace; nothing is kept then.
pub fn run(
    trace: &str,
    containers: impl Iterator<Item = Result<Series, TraceError>> + Send,
    given: &Allocations,
    arms: &[NamedArm],
    rules: &Rules,
) -> Result<Outcome, TraceError> {
    let make = || arms.iter().map(|arm| (arm.make)()).collect::<Vec<_>>();
    let mut replayed = containers
        .enumerate()
        .par_bridge()
        .map_init(make, |sizers, (place, series)| {
            let series = series?;
            let outcomes: Vec<_> =
                sizers.iter_mut().map(|arm| one(&series, arm.as_mut(), given, rules)).collect();
            Ok((place, series, outcomes))
        })
        .collect::<Result<Vec<_>, TraceError>>()?;
    // Threads finish in any order; sums of floats depend on it.
    replayed.sort_unstable_by_key(|(place, ..)| *place);

    let mut outcome =
        Outcome { trace: trace.to_owned(), rules: *rules, containers: Vec::new(), arms: Vec::new() };
    let mut by_arm: Vec<Vec<ContainerOutcome>> = arms.iter().map(|_| Vec::new()).collect();
    for (_, series, outcomes) in replayed {
        outcome.containers.push(series);
        for (arm, container) in by_arm.iter_mut().zip(outcomes) {
            arm.push(container);
        }
    }
    outcome.arms = arms
        .par_iter()
        .zip(by_arm)
        .map(|(arm, containers)| ArmOutcome {
            name: arm.name.clone(),
            figures: figures(&outcome.containers, &containers, rules),
            containers,
        })
        .collect();
    Ok(outcome)
}

fn one(series: &Series, arm: &mut dyn Arm, given: &Allocations, rules: &Rules) -> ContainerOutcome {
    arm.reset();
    arm.allocated(&given.get(&series.id).copied().unwrap_or_default());
    let decisions = replay(series, arm, rules);
    let sums = score(series, &decisions, rules);
    ContainerOutcome { decisions, sums }
}

/// The figures of an arm, node pressure included.
#[must_use]
pub fn figures(series: &[Series], containers: &[ContainerOutcome], rules: &Rules) -> Figures {
    let sums: Vec<Sums> = containers.iter().map(|container| container.sums).collect();
    let loads = series.iter().zip(containers).map(|(series, c)| Load::of(series, &c.decisions, rules));
    Figures { node_pressure: pressure(loads.collect()), ..Figures::of(&sums) }
}

/// One point of a picture: a stretch of time, summed up.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Point {
    /// Start of the stretch.
    pub at: Timestamp,
    /// Largest CPU in it, of usage or request; absent where unknown.
    pub cpu: Option<Cores>,
    /// Largest memory in it, of usage or request; absent where unknown.
    pub memory: Option<Bytes>,
    /// Largest memory limit in it; for usage always absent.
    pub limit: Option<Bytes>,
}

impl Outcome {
    /// The usage of a container in at most `points` stretches of equal length that hold samples.
    #[must_use]
    pub fn usage(&self, container: usize, points: usize) -> Vec<Point> {
        self.containers.get(container).map_or_else(Vec::new, |series| {
            sampled(series, points, |_, cpu, memory| Point {
                cpu: (!cpu.is_nan()).then_some(Cores(cpu)),
                memory: (!memory.is_nan()).then(|| Bytes::from_f64(memory)),
                ..Point::default()
            })
        })
    }

    /// What `arm` had in force for a container, over the same stretches as [`Outcome::usage`].
    #[must_use]
    pub fn in_force(&self, arm: usize, container: usize, points: usize) -> Vec<Point> {
        let found = self.containers.get(container).zip(self.arms.get(arm));
        let Some((series, decided)) = found.and_then(|(s, arm)| Some((s, arm.containers.get(container)?)))
        else {
            return Vec::new();
        };
        let mut in_force = InForce::new(&decided.decisions);
        sampled(series, points, |at, _, _| {
            in_force.at(at).map_or_else(Point::default, |size| Point {
                cpu: size.cpu_request,
                memory: size.memory_request,
                limit: super::engine::limit_of(size),
                ..Point::default()
            })
        })
    }
}

/// Cuts the time of `series` into at most `points` stretches and keeps the largest of what `value` says of each one's samples.
fn sampled(series: &Series, points: usize, mut value: impl FnMut(i64, f64, f64) -> Point) -> Vec<Point> {
    let first = series.start().0;
    let span = series.times().last().map_or(0, |last| last.saturating_sub(first)).saturating_add(1);
    let length = span.div_euclid(i64::try_from(points.max(1)).unwrap_or(i64::MAX)).saturating_add(1);
    let mut found: Vec<Point> = Vec::new();
    for (at, cpu, memory) in series.samples() {
        let new = value(at, cpu, memory);
        let start = Timestamp(at - (at - first).rem_euclid(length));
        match found.last_mut().filter(|point| point.at == start) {
            Some(point) => {
                point.cpu = larger(point.cpu, new.cpu);
                point.memory = point.memory.max(new.memory);
                point.limit = point.limit.max(new.limit);
            }
            None => found.push(Point { at: start, ..new }),
        }
    }
    found
}

fn larger(a: Option<Cores>, b: Option<Cores>) -> Option<Cores> {
    if b > a { b } else { a }
}
