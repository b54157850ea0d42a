//! Updater's turns: what it sees, what it plans, what becomes of it, and what it writes down for its successor.

use super::{Driver, updater};
use crate::actuate::facts::{BackOff, MaxUnavailable, Workload};
use crate::actuate::reason::Hold;
use crate::actuate::{Action, Change, Deed, Given, Plan, Settings};
use crate::replay::simulate::faults::Now;
use crate::replay::simulate::log::HELD;
use crate::replay::simulate::roles::{self, Advice};
use crate::replay::simulate::rules::Refusal;
use crate::replay::simulate::size::Size;
use crate::replay::simulate::{Mutation, Tally};

impl Driver<'_> {
    /// Lets the leaders plan and act.
    pub(super) fn update(&mut self, going: &Now) {
        self.rounds += 1;
        let keeps = going.stale || going.late && self.rounds.is_multiple_of(2);
        if !keeps || self.seen.is_empty() {
            self.seen = self.see();
        }
        let leaders = if going.two_leaders { 2 } else { 1 };
        for leader in 0..leaders {
            self.round(leader, going);
        }
    }

    fn see(&self) -> Vec<Workload> {
        let scene = self.world.scene;
        let all = scene.workloads.iter().zip(&self.world.loads).enumerate();
        let acting = all.filter(|(place, (workload, _))| {
            workload.policy.acts
                && self.recommender.advice.get(*place).is_some_and(|advice| !advice.is_empty())
        });
        acting
            .filter_map(|(place, (workload, load))| {
                let (advice, around): (&Advice, _) =
                    (self.recommender.advice.get(place)?, self.around.get(place)?);
                let mut seen = roles::workload(&self.world, workload, load, advice, around);
                self.tamper(&mut seen);
                Some(seen)
            })
            .collect()
    }

    /// Switches a guard off, where a mutation says so, by what the planner is told.
    fn tamper(&self, seen: &mut Workload) {
        match self.options.mutation {
            Some(Mutation::NoCooldown) => seen.rules.pace.cooldown = 0,
            Some(Mutation::NoStep) => seen.rules.pace.max_shrink = 1.0,
            Some(Mutation::NoBudget) => {
                seen.rules.max_unavailable = MaxUnavailable::Percent(100);
                for pod in &mut seen.pods {
                    pod.ready = true;
                }
            }
            Some(Mutation::HealAll) => seen.rules.max_unavailable = MaxUnavailable::Percent(100),
            Some(Mutation::Impatient) => {
                let containers = seen.pods.iter_mut().flat_map(|pod| &mut pod.containers);
                containers.filter(|one| one.down).for_each(|one| one.back_off = BackOff::Shown);
            }
            Some(Mutation::BlindToAdmission) => seen.pods.iter_mut().for_each(|pod| pod.stamped = true),
            _ => {}
        }
    }

    fn round(&mut self, leader: usize, going: &Now) {
        let now = self.world.now;
        // Nobody knows yet: then the first pod that is evicted will show.
        let answers = roles::answers(&self.world, &self.around).unwrap_or(true);
        let blind = self.options.mutation == Some(Mutation::BlindToAdmission);
        let settings = Settings {
            paused: false,
            resize_served: true,
            limits_only_grow: false,
            admission_answers: answers || blind,
            warming_up: false,
        };
        let seen = std::mem::take(&mut self.seen);
        let mut plan = self.updaters[leader].plan(&seen, &settings, roles::time(now));
        if self.options.mutation == Some(Mutation::HoldRollouts) {
            hold_rollouts(&seen, &mut plan);
        }
        self.watch.planned(&self.world, &seen, &plan);
        self.note_holds(leader, &plan);
        self.rescale(&plan);
        for action in &plan.actions {
            if !self.act(leader, &seen, action, going) {
                // It has ended: the next one knows what was written.
                self.updaters[leader] = updater();
                self.seen = seen;
                return;
            }
        }
        self.say(leader, &seen, &plan);
        if self.crash == Some(2) && !plan.actions.is_empty() {
            self.crash = None;
            self.updaters[leader] = updater();
        }
        self.seen = seen;
    }

    /// Logs why pods are left alone, where that has changed.
    fn note_holds(&mut self, leader: usize, plan: &Plan) {
        let now = self.world.now;
        for place in 0..self.holds.len() {
            let Some(said) = plan.workloads.get(place.to_string().as_str()) else { continue };
            let held: Vec<Hold> = said.held.keys().copied().collect();
            if let Some(known) = self.holds.get_mut(place).filter(|known| leader == 0 && **known != held) {
                let words: Vec<_> = held.iter().map(|hold| hold.word()).collect();
                let text = if words.is_empty() { "no pod is held".to_owned() } else { words.join(", ") };
                self.world.log.add(now, place, 0, format!("{HELD}{text}"));
                *known = held;
            }
        }
    }

    /// Moves targets of autoscalers.
    fn rescale(&mut self, plan: &Plan) {
        for (key, rescale) in &plan.rescales {
            let Some(place) = key.parse::<usize>().ok() else { continue };
            if let Some(load) = self.world.loads.get_mut(place) {
                for (_, kept) in &rescale.targets {
                    load.hpa = (kept.percent, Some((kept.threshold, kept.percent)));
                }
                self.world.busy = self.world.busy.max(self.world.now + 60);
            }
        }
    }

    /// Does an action; false where the process ends at it.
    fn act(&mut self, leader: usize, seen: &[Workload], action: &Action, going: &Now) -> bool {
        let now = roles::time(self.world.now);
        let Some(workload) = seen.iter().find(|workload| workload.key == action.workload) else {
            return true;
        };
        let (Ok(load), Ok(pod)) = (action.workload.parse::<usize>(), u64::try_from(action.pod)) else {
            return true;
        };
        if self.crash == Some(0) {
            self.crash = None;
            self.world.note(load, pod, "the updater ends before its change".to_owned());
            return false;
        }
        if self.happens(going.lost_writes) {
            self.world.note(load, pod, "a write of plumb is lost".to_owned());
            self.watch.count_refusal(&self.world, (load, pod), "the API server gave no answer");
            self.updaters[leader].refused(action, Hold::ApiServer, now);
            return true;
        }
        let result = match &action.deed {
            Deed::Resize(change) | Deed::PutBack(change) | Deed::EndBoost(change) => {
                self.resize((load, pod), action, change, going)
            }
            Deed::Evict => self.evict((load, pod), action, going),
        };
        if self.crash == Some(1) {
            self.crash = None;
            self.world.note(load, pod, "the updater ends after its change".to_owned());
            return false;
        }
        if self.happens(going.lost_answers) {
            self.updaters[leader].refused(action, Hold::ApiServer, now);
            return true;
        }
        match result {
            Ok(()) => self.updaters[leader].accepted(action, workload, now),
            Err(Refusal::Gone) => {}
            Err(refusal) => {
                self.tally(load).refusals += 1;
                self.world.note(load, pod, format!("plumb is refused: {refusal}"));
                self.watch.refused(&self.world, (load, pod), refusal);
                self.updaters[leader].refused(action, hold(refusal), now);
            }
        }
        true
    }

    fn happens(&mut self, percent: u32) -> bool {
        percent > 0 && self.world.chance.happens(f64::from(percent) / 100.0)
    }

    fn resize(
        &mut self,
        (load, id): (usize, u64),
        action: &Action,
        change: &Change,
        going: &Now,
    ) -> Result<(), Refusal> {
        let pod = self.world.pod(load, id).ok_or(Refusal::Gone)?;
        let before: Vec<Size> = pod.containers.iter().map(|container| container.asked).collect();
        let mut sizes = before.clone();
        let names = self.recommender.advice.get(load).map(Vec::as_slice).unwrap_or_default();
        for new in &change.sizes {
            let place = names.iter().position(|(name, _)| *name == new.container);
            if let Some(size) = place.and_then(|place| sizes.get_mut(place)) {
                *size = roles::merged(size, new);
            }
        }
        self.mutate(load, id, &mut sizes);
        let by = match (&action.deed, change.after_oom) {
            (Deed::PutBack(_), _) => "plumb, which puts back",
            (_, true) => "plumb after an OOM kill",
            _ => "plumb",
        };
        self.watch.resizes(&self.world, &self.recommender, (load, id), (action, &sizes), going);
        let restarted = self.world.resize(load, id, &sizes, by)?;
        self.tally(load).restarts += u64::from(restarted > 0);
        self.tally(load).changes += 1;
        self.watch.resized(&self.world, (load, id), (action, &before, &sizes));
        Ok(())
    }

    /// Changes what was decided, where a mutation says so.
    fn mutate(&self, load: usize, id: u64, sizes: &mut [Size]) {
        let Some(pod) = self.world.pod(load, id) else { return };
        for (size, container) in sizes.iter_mut().zip(&pod.containers) {
            match self.options.mutation {
                Some(Mutation::LimitToUsage) => {
                    let to = container.memory.max(1 << 20);
                    size.memory_limit = size.memory_limit.map(|_| to.max(size.memory.unwrap_or(0)));
                }
                Some(Mutation::NoBounds) => {
                    size.cpu = size.cpu.map(|cpu| cpu.saturating_mul(3));
                    size.memory = size.memory.map(|memory| memory.saturating_mul(2));
                    size.cpu_limit = size.cpu_limit.max(size.cpu.and(size.cpu_limit).and(size.cpu));
                    size.memory_limit = size.memory_limit.and(size.memory_limit.max(size.memory));
                }
                Some(Mutation::ShrinkAnyway) => {
                    size.memory = size.memory.map(|memory| memory / 2);
                }
                Some(Mutation::Swing) => {
                    let half = self.rounds.is_multiple_of(2);
                    size.cpu = size.cpu.map(|cpu| if half { cpu.div_ceil(2) } else { cpu });
                }
                _ => {}
            }
        }
    }

    fn evict(&mut self, (load, id): (usize, u64), action: &Action, going: &Now) -> Result<(), Refusal> {
        self.watch.evicts(&self.world, (load, id), action, going);
        let reason = if action.urgent { "plumb, urgent" } else { "plumb" };
        self.world.evict(load, id, reason)?;
        self.tally(load).evictions += 1;
        self.watch.evicted(&self.world, (load, id));
        Ok(())
    }

    fn tally(&mut self, load: usize) -> &mut Tally {
        &mut self.world.loads[load].tally
    }

    /// Writes what the next process has to know, and what new pods are given.
    fn say(&mut self, leader: usize, seen: &[Workload], plan: &Plan) {
        let now = self.world.now;
        for workload in seen {
            let Ok(place) = workload.key.parse::<usize>() else { continue };
            let updater = &self.updaters[leader];
            let (Some(around), Some(said)) = (self.around.get_mut(place), plan.workloads.get(&workload.key))
            else {
                continue;
            };
            around.before = updater.before(&workload.key).cloned();
            around.remembered = updater.remembered(&workload.key).cloned().unwrap_or_default();
            around.given_since = match said.given {
                Given::Target => around.given_since.or(Some(now)),
                Given::Previous | Given::Nothing => None,
            };
            let keeps = self.options.mutation == Some(Mutation::KeepStamping);
            around.gives = if keeps { Given::Target } else { said.given };
            if let Some(given) = self.given.get_mut(place) {
                *given = (around.gives, around.before.as_ref().map(|before| before.had.clone()));
            }
        }
    }
}

/// Leaves alone what is being rolled out.
fn hold_rollouts(seen: &[Workload], plan: &mut Plan) {
    let rolls_out =
        |key: &str| seen.iter().any(|workload| *workload.key == *key && workload.is_rolling_out());
    for action in std::mem::take(&mut plan.actions) {
        if !rolls_out(&action.workload) {
            plan.actions.push(action);
        } else if let Some(said) = plan.workloads.get_mut(&action.workload) {
            said.acting -= 1;
            *said.held.entry(Hold::Rollout).or_default() += 1;
        }
    }
}

/// The word that the updater is told, as control/updater/act.rs reads the API server's answer.
fn hold(refusal: Refusal) -> Hold {
    match refusal {
        Refusal::NodeTooSmall => Hold::NodeTooSmall,
        Refusal::QosClass => Hold::QosClass,
        Refusal::Invalid => Hold::Invalid,
        Refusal::LimitRange | Refusal::Quota | Refusal::Policy => Hold::AdmissionRefuses,
        Refusal::Budget => Hold::DisruptionBudget,
        Refusal::Gone => Hold::ApiServer,
    }
}
