//! When a recommendation is worth a change, and how far one change goes: the one rule for live pods and for replay.
//!
//! A request inside its bounds is left alone. Growth is taken whole: of CPU at once, of memory as soon as what is short
//! is worth it, and after a shrink not for a trifle. A shrink waits until what waiting has wasted comes to the price of a
//! change (see [`Hold`]), keeps the cooldown, and goes no further than one step. An OOM kill waits for nothing.

#[cfg(test)]
mod tests;

use crate::model::{Hold, HoldRule};
use crate::policy::{ContainerSize, CpuLimitRule, MemoryLimitRule, Recommendation, tail_limit, whole_mib};
use crate::units::{Bytes, Cores, Timestamp};

/// The pace of a policy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    /// A change by less than this share is not made; `None`: what the model holds to be worth one.
    pub min_change: Option<f32>,
    /// A change of CPU by less than this is not made.
    pub min_cpu: Cores,
    /// A change of memory by less than this is not made.
    pub min_memory: Bytes,
    /// One change lowers a request by at most this share.
    pub max_shrink: f32,
    /// Seconds after a change before a shrink.
    pub cooldown: i64,
}

impl Default for Pace {
    /// As a policy that says nothing.
    fn default() -> Self {
        Self {
            min_change: None,
            min_cpu: Cores::from_milli(10),
            min_memory: Bytes::from_mib(16),
            max_shrink: 0.5,
            cooldown: 600,
        }
    }
}

/// A limit that is raised goes to at least this many times what it was, so that a need that rises steadily raises it
/// seldom.
const LIMIT_RAISE: f64 = 1.25;
/// A limit is lowered when its need with that headroom is below this share of it.
const LIMIT_SLACK: f64 = 0.5;
/// Growth by less than this share waits after a shrink, so that a request does not swing.
const SWING: f32 = 0.5;
/// For as long as the cooldown, but for at most these seconds.
const SETTLING: i64 = 600;
/// Seconds after growth of the CPU and of the memory request before a shrink, so that what peaks for a moment is not given
/// and taken each time. An hour of CPU costs up to a tenth of slack, half an hour next to nothing (docs/decisions/0013).
pub const AFTER_GROWTH: [i64; 2] = [1800, 3600];
/// Seconds after a change before a limit is lowered.
const LIMIT_COOLDOWN: i64 = 86_400;

/// What is in force for one container, and what waits to be changed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Stepper {
    in_force: ContainerSize,
    cpu: Hold,
    memory: Hold,
    /// The last change of the CPU request, of the memory request and of the memory limit.
    changed: [Option<Timestamp>; 3],
    /// Whether the last change of the CPU request and of the memory request was a shrink.
    shrunk: [bool; 2],
    /// What weighing the CPU request and the memory request had come to before they were changed last.
    weighed: [Hold; 2],
    asked: Option<Timestamp>,
}

impl Stepper {
    /// Starts with what is in force.
    #[must_use]
    pub fn new(in_force: ContainerSize) -> Self {
        let mut stepper = Self { in_force, ..Self::default() };
        stepper.cpu.set(in_force.cpu_request.map_or(0.0, |cpu| cpu.0 as f32));
        stepper.memory.set(in_force.memory_request.map_or(0.0, |memory| memory.as_f64() as f32));
        stepper
    }

    /// Starts with what is in force of a pod that was changed at that time, by a process that is gone: what was changed is
    /// not known, so all of it may have grown.
    #[must_use]
    pub fn resumed(in_force: ContainerSize, changed: Option<Timestamp>) -> Self {
        Self { changed: [changed; 3], ..Self::new(in_force) }
    }

    /// This is what is in force: what was asked for was rounded, or somebody else has changed it. Ends the wait of a
    /// request that is another one now, and of no other: what waiting has cost the memory is not lost whenever the CPU
    /// changes.
    pub fn observe(&mut self, in_force: ContainerSize) {
        let Self { cpu, memory, .. } = Self::new(in_force);
        if in_force.cpu_request != self.in_force.cpu_request {
            self.cpu = cpu;
        }
        if in_force.memory_request != self.in_force.memory_request {
            self.memory = memory;
        }
        self.in_force = in_force;
    }

    /// What was stepped to is not done, or not yet: it is as it was `before`, but for the time that has passed and what
    /// waiting has cost.
    pub fn undo(&mut self, before: &Self) {
        // Else what is held back would be wanted again only after some time, and not whenever it is looked at.
        if self.changed[0] != before.changed[0] {
            self.cpu = self.weighed[0];
        }
        if self.changed[1] != before.changed[1] {
            self.memory = self.weighed[1];
        }
        (self.in_force, self.changed, self.shrunk) = (before.in_force, before.changed, before.shrunk);
    }

    /// What is in force.
    #[must_use]
    pub fn in_force(&self) -> &ContainerSize {
        &self.in_force
    }

    /// What to change to at `now`, taken as done; `None` to leave all as it is. `killed`: there was an OOM kill since
    /// the last call.
    pub fn step(
        &mut self,
        advice: &Recommendation,
        now: Timestamp,
        killed: bool,
        pace: &Pace,
    ) -> Option<ContainerSize> {
        let before = self.in_force;
        let elapsed = self.asked.map_or(0, |last| now.seconds_since(last)).clamp(0, 3600) as f32;
        self.asked = Some(now);
        self.step_cpu(advice, now, elapsed, pace);
        self.step_memory(advice, now, elapsed, killed, pace);
        self.step_cpu_limit(advice, &before, pace);
        self.step_memory_limit(advice, &before, now, killed, pace);
        (self.in_force != before).then_some(self.in_force)
    }

    fn step_cpu(&mut self, advice: &Recommendation, now: Timestamp, elapsed: f32, pace: &Pace) {
        let Some(target) = advice.target.cpu_request else { return };
        let bounds = Bounds {
            lower: advice.lower.cpu_request.map_or(target.0, |c| c.0),
            target: target.0,
            upper: advice.upper.cpu_request.map_or(target.0, |c| c.0),
            least: pace.min_cpu.0,
        };
        // Tied, the limit falls with the request, and a young series' limit does not fall.
        let may_fall = !(advice.young && advice.limits.cpu == CpuLimitRule::Equal);
        let cool = may_fall && self.may_shrink(0, now, pace);
        let rule = rule_of(advice.cpu_hold, pace, self.settling(0, now, pace));
        if let Some(level) = decide(&mut self.cpu, &bounds, elapsed, &rule, cool, pace) {
            self.shrunk[0] = level < f64::from(self.cpu.held);
            self.in_force.cpu_request = Some(Cores(level));
            self.weighed[0] = self.cpu;
            self.cpu.set(level as f32);
            self.changed[0] = Some(now);
        }
    }

    fn step_memory(
        &mut self,
        advice: &Recommendation,
        now: Timestamp,
        elapsed: f32,
        killed: bool,
        pace: &Pace,
    ) {
        let Some(target) = advice.target.memory_request else { return };
        let bounds = Bounds {
            lower: advice.lower.memory_request.map_or(target, |m| m).as_f64(),
            target: target.as_f64(),
            upper: advice.upper.memory_request.map_or(target, |m| m).as_f64(),
            least: if killed { 0.0 } else { pace.min_memory.as_f64() },
        };
        let stays = advice.young || advice.memory_is_capped();
        let may_fall =
            advice.limits.shrink_memory && !(stays && advice.limits.memory == MemoryLimitRule::Equal);
        let cool = may_fall && self.may_shrink(1, now, pace);
        let rule = rule_of(advice.memory_hold, pace, !killed && self.settling(1, now, pace));
        let rule = HoldRule { underrun: rule.underrun.filter(|_| !killed), ..rule };
        if let Some(level) = decide(&mut self.memory, &bounds, elapsed, &rule, cool && !killed, pace) {
            self.shrunk[1] = level < f64::from(self.memory.held);
            self.in_force.memory_request = Some(Bytes::from_f64(level));
            self.weighed[1] = self.memory;
            self.memory.set(level as f32);
            self.changed[1] = Some(now);
        }
    }

    /// Whether the request for CPU (0) or memory (1) was lowered only just now.
    fn settling(&self, resource: usize, now: Timestamp, pace: &Pace) -> bool {
        self.shrunk[resource] && !cooled(self.changed[resource], now, pace.cooldown.min(SETTLING))
    }

    /// Whether the request for CPU (0) or memory (1) was changed, and has grown, long enough ago.
    fn may_shrink(&self, resource: usize, now: Timestamp, pace: &Pace) -> bool {
        let wait =
            if self.shrunk[resource] { pace.cooldown } else { pace.cooldown.max(AFTER_GROWTH[resource]) };
        cooled(self.changed[resource], now, wait)
    }

    /// Sets the CPU limit that the rule asks for beside the request in force.
    fn step_cpu_limit(&mut self, advice: &Recommendation, before: &ContainerSize, pace: &Pace) {
        let (Some(request), Some(_)) = (self.in_force.cpu_request, advice.target.cpu_request) else { return };
        let limit = advice.limits.cpu_limit(request, before, &advice.most);
        self.in_force.cpu_limit = match (limit, before.cpu_limit) {
            (Some(limit), Some(own)) if advice.young => Some(Cores(limit.0.max(own.0))),
            (Some(_), None) if advice.young => None,
            (Some(limit), Some(own)) => {
                let least = Cores(own.0 * (1.0 - f64::from(pace.max_shrink))).ceil_milli();
                Some(Cores(limit.0.max(least.0)))
            }
            (limit, own) => limit.or(own),
        };
    }

    /// Sets the memory limit that the rule asks for beside the request in force, never below the request.
    fn step_memory_limit(
        &mut self,
        advice: &Recommendation,
        before: &ContainerSize,
        now: Timestamp,
        killed: bool,
        pace: &Pace,
    ) {
        let (Some(request), Some(_)) = (self.in_force.memory_request, advice.target.memory_request) else {
            return;
        };
        let own = before.memory_limit;
        let wanted = match advice.limits.memory {
            MemoryLimitRule::Tail => self.tail_limit(advice, own, now, killed),
            _ => advice.limits.memory_limit(request, before, &advice.most),
        };
        let Some(wanted) = wanted.filter(|_| own.is_some() || !advice.young) else { return };
        let limit = wanted.max(request).max(least_limit(own, advice, pace));
        if own != Some(limit) {
            self.in_force.memory_limit = Some(limit);
            self.changed[2] = Some(now);
        }
    }

    /// The limit that follows the tail: raised past the need so that a slowly rising one does not change it each time,
    /// and lowered seldom.
    fn tail_limit(
        &self,
        advice: &Recommendation,
        own: Option<Bytes>,
        now: Timestamp,
        killed: bool,
    ) -> Option<Bytes> {
        let need = advice.target.memory_limit?;
        let most = |limit: Bytes| advice.most.memory.map_or(limit, |most| limit.min(most.max(need)));
        let roomy = tail_limit(need, &advice.most);
        Some(match own {
            Some(own) if need <= own => {
                let idle = roomy.as_f64() < own.as_f64() * LIMIT_SLACK && !killed;
                if idle && cooled(self.changed[2], now, LIMIT_COOLDOWN) { roomy } else { own }
            }
            own => roomy.max(most(whole_mib(own.unwrap_or_default().as_f64() * LIMIT_RAISE))),
        })
    }
}

/// The least that a limit of `own` may fall to in one step.
fn least_limit(own: Option<Bytes>, advice: &Recommendation, pace: &Pace) -> Bytes {
    let Some(own) = own else { return Bytes(0) };
    // What is capped may need more than it may have: to lower what it has would kill it.
    if advice.young || !advice.limits.shrink_memory || advice.memory_is_capped() {
        return own;
    }
    whole_mib(own.as_f64() * (1.0 - f64::from(pace.max_shrink))).min(own)
}

struct Bounds {
    lower: f64,
    target: f64,
    upper: f64,
    least: f64,
}

/// When a change is made; `settling`: soon after a shrink.
fn rule_of(hold: Option<HoldRule>, pace: &Pace, settling: bool) -> HoldRule {
    let rule = hold.unwrap_or(HoldRule { grow: 0.1, shrink: 0.1, price: 0.0, underrun: None });
    let rule = pace.min_change.map_or(rule, |share| HoldRule { grow: share, shrink: share, ..rule });
    if settling { HoldRule { grow: rule.grow.max(SWING), ..rule } } else { rule }
}

fn cooled(last: Option<Timestamp>, now: Timestamp, seconds: i64) -> bool {
    last.is_none_or(|last| now.seconds_since(last) >= seconds)
}

/// The level to change to, if any. A hold that decided to shrink but may not yet goes on waiting.
fn decide(
    hold: &mut Hold,
    bounds: &Bounds,
    elapsed: f32,
    rule: &HoldRule,
    may_shrink: bool,
    pace: &Pace,
) -> Option<f64> {
    let held = f64::from(hold.held);
    if held <= 0.0 {
        return Some(bounds.target);
    }
    let inside = held >= bounds.lower && held <= bounds.upper;
    let wanted = if inside { held } else { bounds.target };
    let level = f64::from(hold.weigh(wanted as f32, elapsed, rule)?);
    if level > held {
        return ((level - held) >= bounds.least).then_some(bounds.target);
    }
    // What waited may have been higher than the target; a float's rounding must not undercut the target.
    let near = (level - bounds.target).abs() <= bounds.target * 1e-6;
    let level = if near { bounds.target } else { level };
    let level = level.max(bounds.target).max(held * (1.0 - f64::from(pace.max_shrink)));
    (may_shrink && held - level >= bounds.least).then_some(level)
}
