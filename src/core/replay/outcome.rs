//! Whole traces through whole sets of sizers: what each decided, and its score.

use rayon::prelude::*;

use super::arm::Arm;
use super::arms::NamedArm;
use super::engine::{Decision, Rules, replay};
use super::node::{Load, pressure};
use super::score::{Figures, Sums, score};
use super::template::template;
use super::trace::{Allocations, Series, TraceError};

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
    arm.template(&template(series, &given.get(&series.id).copied().unwrap_or_default()));
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
