//! The state of a workload: one word for people, and why. One pure function from facts, so that it is true whenever it
//! is written.

#[cfg(test)]
mod tests;

use std::fmt;

use super::facts::{Container, Pod, Resize, Workload};
use super::reason::Hold;
use super::step::Pace;
use super::updater::WorkloadPlan;
use crate::model::HoldRule;
use crate::policy::{ContainerSize, Recommendation};
use crate::units::{Bytes, Cores, Timestamp, counted};

/// A container counts as killed for as many seconds after its last OOM kill: between the kills of a loop it runs.
const CALM: i64 = 600;

/// The state of a workload, in the order in which a person has to hear of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// A change did harm and was put back, or a person wanted the sizes of before.
    Degraded,
    /// Something keeps pods from changing that does not pass by itself.
    Blocked,
    /// A container was OOM killed in the last ten minutes.
    Healing,
    /// Pods are being resized or replaced.
    Resizing,
    /// Too little is known of it to size it as it should be.
    Learning,
    /// Pods have still to change, and something that passes by itself comes first.
    Waiting,
    /// Each pod runs, and its requests are inside the band around their targets.
    Applied,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Learning,
        Self::Waiting,
        Self::Resizing,
        Self::Applied,
        Self::Healing,
        Self::Blocked,
        Self::Degraded,
    ];

    /// Returns the word, as STATE and metrics have it.
    #[must_use]
    pub fn word(self) -> &'static str {
        self.texts().0
    }

    /// Returns what the state means, as the table in docs/updater.md has it.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        self.texts().1
    }

    fn texts(self) -> (&'static str, &'static str) {
        match self {
            Self::Learning => ("Learning", "too little history to size its pods as they should be"),
            Self::Waiting => ("Waiting", "pods have still to change; the message says what comes first"),
            Self::Resizing => ("Resizing", "pods are being resized or replaced"),
            Self::Applied => (
                "Applied",
                "each pod runs, each request is inside the band, and nothing was OOM killed lately",
            ),
            Self::Healing => ("Healing", "a container was OOM killed in the last ten minutes"),
            Self::Blocked => {
                ("Blocked", "pods cannot change until somebody does something; the message says what")
            }
            Self::Degraded => {
                ("Degraded", "a change did harm and was put back, or `plumb rollback` was used")
            }
        }
    }
}

/// What a workload waits for, or is blocked by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Nothing: it is as it should be, or another message says all.
    None,
    /// Pods are left alone.
    Hold(Hold),
    /// A container was OOM killed, at that memory limit, and has so many restarts.
    Killed(String, Option<Bytes>, u32),
    /// It has no pod.
    NoPod,
    /// No pod of it is known to need something.
    NoAdvice,
    /// So many pods have not come to run.
    NotRunning(usize),
    /// So many pods have more CPU while they start up.
    StartingUp(usize),
    /// So many pods have requests outside the band, while the history is short.
    Young(usize),
    /// So many pods have requests outside the band, and to change them is not worth it yet.
    Outside(usize),
    /// So many pods are changing.
    Changing(usize),
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pods = |count: &usize| counted(*count, "pod");
        match self {
            Self::None => Ok(()),
            Self::Hold(hold) => hold.fmt(f),
            Self::Killed(container, limit, restarts) => {
                write!(f, "container {container} was OOMKilled")?;
                if let Some(limit) = limit {
                    write!(f, " at {limit}")?;
                }
                if *restarts > 0 {
                    write!(f, " ({})", counted(*restarts as usize, "restart"))?;
                }
                Ok(())
            }
            Self::NoPod => f.write_str("it has no pod"),
            Self::NoAdvice => f.write_str("no sample of its usage yet"),
            Self::NotRunning(count) => write!(f, "{} not running yet", pods(count)),
            Self::StartingUp(count) => write!(f, "{} with more CPU to start up", pods(count)),
            Self::Young(count) => {
                write!(f, "{} outside the band; the history is too short to lower more", pods(count))
            }
            Self::Outside(count) => write!(f, "{} outside the band; a change is not due yet", pods(count)),
            Self::Changing(count) => write!(f, "{} changing", pods(count)),
        }
    }
}

/// Returns the state of a workload and its cause, from its facts and what is planned for it.
#[must_use]
pub fn of(workload: &Workload, plan: &WorkloadPlan, now: Timestamp) -> (State, Cause) {
    // What a person has to do something about is told before what passes.
    let worst = plan.held.iter().max_by_key(|(hold, count)| (!hold.passes(), **count)).map(|(hold, _)| *hold);
    let count = |is: &dyn Fn(&Pod) -> bool| workload.staying().filter(|pod| is(pod)).count();
    let pods = count(&|_| true);
    let changing = plan.acting.max(count(&|pod| pod.resize == Resize::UnderWay));
    let idle = count(&|pod| !pod.running);
    let starting = count(&|pod| pod.containers.iter().any(|container| container.boost.is_some()));
    let (mut outside, mut young) = (0, 0);
    for pod in workload.staying() {
        let lies_outside = pod.containers.iter().filter_map(|container| {
            let advice = workload.advice(&container.name)?;
            (!is_inside(container, advice, &workload.rules.pace)).then_some(advice)
        });
        let found: Vec<_> = lies_outside.collect();
        outside += usize::from(!found.is_empty());
        young += usize::from(found.iter().any(|advice| advice.young));
    }
    match worst {
        _ if plan.degraded.is_some() => (State::Degraded, Cause::None),
        Some(hold) if !hold.passes() => (State::Blocked, Cause::Hold(hold)),
        _ if killed(workload, now).is_some() => {
            (State::Healing, killed(workload, now).unwrap_or(Cause::None))
        }
        Some(Hold::ResizeInProgress) => (State::Resizing, Cause::Hold(Hold::ResizeInProgress)),
        _ if changing > 0 => (State::Resizing, Cause::Changing(changing)),
        Some(hold) => (State::Waiting, Cause::Hold(hold)),
        None if workload.advice.is_empty() => (State::Learning, Cause::NoAdvice),
        None if pods == 0 => (State::Waiting, Cause::NoPod),
        None if idle > 0 => (State::Waiting, Cause::NotRunning(idle)),
        None if starting > 0 => (State::Waiting, Cause::StartingUp(starting)),
        None if young > 0 => (State::Learning, Cause::Young(young)),
        None if outside > 0 => (State::Waiting, Cause::Outside(outside)),
        None => (State::Applied, Cause::None),
    }
}

/// Returns the OOM kill that a workload is healed of: of a container that is down, or that was killed just now.
fn killed(workload: &Workload, now: Timestamp) -> Option<Cause> {
    let all = workload.staying().flat_map(|pod| &pod.containers);
    let lately = |container: &&Container| {
        container.oom_killed.is_some_and(|at| container.down || now.seconds_since(at) < CALM)
    };
    let last = all.filter(lately).max_by_key(|container| container.oom_killed)?;
    Some(Cause::Killed(last.name.to_string(), last.given.memory_limit, last.restarts))
}

/// True where the requests of a container, those that it was given and those that it asks for, are inside the band: so
/// near to their targets that they are left alone.
#[must_use]
pub fn is_inside(container: &Container, advice: &Recommendation, pace: &Pace) -> bool {
    [&container.given, &container.asked].into_iter().all(|size| {
        let cpu = |size: &ContainerSize| size.cpu_request.map(|cpu| cpu.0);
        let memory = |size: &ContainerSize| size.memory_request.map(Bytes::as_f64);
        let Cores(least) = pace.min_cpu;
        near(size, advice, cpu, (least, share(advice.cpu_hold, pace), true))
            && near(
                size,
                advice,
                memory,
                (pace.min_memory.as_f64(), share(advice.memory_hold, pace), advice.limits.shrink_memory),
            )
    })
}

/// Shares of growth and of shrinking below which nothing is changed.
fn share(rule: Option<HoldRule>, pace: &Pace) -> (f64, f64) {
    let rule = rule.map_or((0.1, 0.1), |rule| (rule.grow, rule.shrink));
    let (grow, shrink) = pace.min_change.map_or(rule, |share| (share, share));
    (f64::from(grow), f64::from(shrink))
}

fn near(
    size: &ContainerSize,
    advice: &Recommendation,
    of: impl Fn(&ContainerSize) -> Option<f64>,
    (least, (grow, shrink), may_shrink): (f64, (f64, f64), bool),
) -> bool {
    let Some(target) = of(&advice.target) else { return true };
    let Some(held) = of(size) else { return false };
    let (lower, upper) = (of(&advice.lower).unwrap_or(target), of(&advice.upper).unwrap_or(target));
    if target > held {
        held >= lower || target - held < least.max(grow * held)
    } else {
        held <= upper || !may_shrink || held - target < least.max(shrink * held)
    }
}
