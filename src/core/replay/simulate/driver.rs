//! Driver: simulated time, the roles of plumb in their turns, and the watch over the invariants.

use std::sync::Arc;

use super::faults::{Begins, Faults, Now};
use super::invariants::Watch;
use super::roles::{self, Advice, Around, Recommender};
use super::rules::Refusal;
use super::scene::Scene;
use super::size::Size;
use super::world::World;
use super::{Mutation, Options, Outcome, Tally};
use crate::actuate::facts::{SizesByName, Workload};
use crate::actuate::reason::Hold;
use crate::actuate::{Action, Change, Deed, Given, Plan, Settings, Updater};

/// Seconds of a step while something changes, and else.
const STEPS: (i64, i64) = (5, 150);
/// Seconds between two scrapes in the first hour, and after that.
const SCRAPES: (i64, i64) = (60, 300);
/// Seconds between two checkpoints.
const SAVES: i64 = 600;
/// Resizes and evictions a second, as by default.
const RATES: (f64, f64) = (10.0, 1.0);

/// Plays a scene and says what came of it.
#[must_use]
pub fn run(scene: &Scene, options: &Options) -> Outcome {
    let mut driver = Driver::new(scene, *options);
    let end = i64::from(scene.hours) * 3600;
    let calm = end - i64::from(scene.calm_hours) * 3600;
    let mut now = 0;
    while now < end {
        driver.world.calm = scene.calm_hours > 0 && now >= calm;
        driver.step(now);
        now = driver.next().min(end);
    }
    driver.end()
}

struct Driver<'a> {
    world: World<'a>,
    faults: Faults,
    recommender: Recommender,
    /// The leader, and one that took over before the first knew.
    updaters: [Updater; 2],
    around: Vec<Around>,
    /// What new pods are given, and what they had before.
    given: Vec<(Given, Option<SizesByName>)>,
    seen: Vec<Workload>,
    rounds: u64,
    scraped: i64,
    saved: i64,
    crash: Option<u32>,
    holds: Vec<Vec<Hold>>,
    watch: Watch,
    options: Options,
}

fn updater() -> Updater {
    Updater::new(RATES.0, RATES.1)
}

impl<'a> Driver<'a> {
    fn new(scene: &'a Scene, options: Options) -> Self {
        let key = |place| Some(Arc::from(format!("{place}")));
        let around = (0..scene.workloads.len()).map(|place| Around { key: key(place), ..Around::default() });
        Self {
            world: World::new(scene),
            faults: Faults::new(scene.faults.len()),
            recommender: Recommender::new(scene),
            updaters: [updater(), updater()],
            around: around.collect(),
            given: vec![(Given::Target, None); scene.workloads.len()],
            seen: Vec::new(),
            rounds: 0,
            scraped: i64::MIN / 2,
            saved: 0,
            crash: None,
            holds: vec![Vec::new(); scene.workloads.len()],
            watch: Watch::new(scene, options.plumb),
            options,
        }
    }

    fn next(&self) -> i64 {
        let now = self.world.now;
        let most = if now < self.world.busy { now + STEPS.0 } else { self.world.next(now + STEPS.1) };
        self.faults.next(&self.world.scene.faults, now, most)
    }

    fn step(&mut self, now: i64) {
        let wanted = self.world.tick(now);
        let (going, begins) = self.faults.step(&mut self.world);
        for (load, ordinal) in wanted {
            self.create(load, ordinal, &going);
        }
        self.others();
        if self.options.plumb {
            self.recommend(&going, &begins);
            self.update(&going);
        }
        self.watch.look(&self.world, &going);
        self.world.kills.clear();
    }

    /// Creates a pod: admission, then LimitRange and quota.
    fn create(&mut self, load: usize, ordinal: u32, going: &Now) {
        let scene = self.world.scene;
        if scene.workloads.get(load).is_none() {
            return;
        }
        let Some(template) = self.world.loads.get(load).map(|load| load.template.clone()) else { return };
        let sized = self.admit(load, &template, going);
        let stamped = sized.is_some();
        let sizes = sized.unwrap_or_else(|| template.clone());
        match self.world.create(load, ordinal, &sizes, stamped) {
            Ok(id) => {
                if let Some(state) = self.world.loads.get_mut(load) {
                    (state.started, state.refusals) = (true, 0);
                }
                self.watch.created(&self.world, &self.recommender, (load, id), going);
            }
            Err(refusal) => {
                let now = self.world.now;
                if let Some(state) = self.world.loads.get_mut(load) {
                    state.refusals += 1;
                    state.retry = now + (i64::from(state.refusals) * 10).min(300);
                }
                self.world.note(load, 0, format!("a pod is not created: {refusal}"));
                self.watch.not_created(&self.world, (load, stamped), refusal);
            }
        }
    }

    fn admit(&self, load: usize, template: &[Size], going: &Now) -> Option<Vec<Size>> {
        let workload = self.world.scene.workloads.get(load)?;
        let advice = self.recommender.advice.get(load).filter(|advice| !advice.is_empty())?;
        if !self.options.plumb || going.admission_down || !workload.policy.acts {
            return None;
        }
        let (given, had) = self.given.get(load)?;
        let back = match given {
            Given::Target => None,
            Given::Previous => had.as_ref(),
            Given::Nothing => return None,
        };
        if self.options.mutation == Some(Mutation::EmptyStamp) {
            return Some(template.to_vec());
        }
        roles::admitted(&self.world, (workload, template), advice, back)
    }

    /// Other operators and GitOps, which put back what their templates say.
    fn others(&mut self) {
        let (now, scene) = (self.world.now, self.world.scene);
        for (place, workload) in scene.workloads.iter().enumerate() {
            let due =
                |minutes: Option<u32>| minutes.is_some_and(|each| now % (i64::from(each.max(1)) * 60) == 0);
            if due(workload.gitops_minutes)
                && let Some(load) = self.world.loads.get_mut(place)
            {
                load.replicas = workload.replicas;
            }
            if now > 0 && due(workload.operator_minutes) {
                let Some(load) = self.world.loads.get(place) else { continue };
                let template = load.template.clone();
                let differs = load.pods.iter().filter(|pod| {
                    pod.stays() && pod.containers.iter().zip(&template).any(|(one, size)| one.asked != *size)
                });
                let pods: Vec<_> = differs.map(|pod| pod.id).collect();
                for id in pods {
                    // Where it cannot, the operator tries again at its next turn.
                    self.world.resize(place, id, &template, "its operator").ok();
                    self.watch.changed_by_others(id, now);
                }
            }
        }
    }

    fn recommend(&mut self, going: &Now, begins: &Begins) {
        let now = self.world.now;
        if begins.recommender_restart {
            self.recommender.restart();
        }
        let mut hit = vec![false; self.world.loads.len()];
        for kill in self.world.kills.clone() {
            if self.options.mutation != Some(Mutation::DeafToKills) {
                for _ in 0..if going.repeated_kills { 3 } else { 1 } {
                    self.recommender.killed(&kill, now);
                }
            }
            hit[kill.load] = true;
        }
        let each = if now < 3600 { SCRAPES.0 } else { SCRAPES.1 };
        let due = now - self.scraped >= each;
        if due {
            self.scraped = now - now.rem_euclid(each);
            if !going.no_metrics {
                self.recommender.scrape(&self.world, each, begins.false_sample);
            }
        }
        for (place, hit) in hit.into_iter().enumerate() {
            let unknown =
                self.recommender.advice[place].is_empty() && !self.world.loads[place].pods.is_empty();
            if due || hit || unknown {
                self.recommender.advise(&self.world, place);
            }
        }
        if now - self.saved >= SAVES {
            self.saved = now;
            self.recommender.save();
        }
        if let Some(step) = begins.updater_restart {
            self.crash = Some(step);
        }
    }

    fn update(&mut self, going: &Now) {
        self.rounds += 1;
        let keeps = going.stale || going.late && self.rounds % 2 == 0;
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
                seen.rules.max_unavailable = crate::actuate::facts::MaxUnavailable::Percent(100);
                for pod in &mut seen.pods {
                    pod.ready = true;
                }
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
        let plan = self.updaters[leader].plan(&seen, &settings, roles::time(now));
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
                self.world.log.add(now, place, 0, format!("held: {text}"));
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
        self.world.resize(load, id, &sizes, by)?;
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
                    let half = self.rounds % 2 == 0;
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
            around.gives_previous = said.given != Given::Target;
            if let Some(given) = self.given.get_mut(place) {
                *given = (said.given, around.before.as_ref().map(|before| before.had.clone()));
            }
        }
    }

    fn end(mut self) -> Outcome {
        self.watch.end(&self.world);
        let workloads: Vec<_> = self.world.loads.iter().map(|load| load.tally).collect();
        let mut total = Tally::default();
        workloads.iter().for_each(|tally| total.add(tally));
        Outcome {
            total,
            workloads,
            pod_days: self.world.pod_seconds as f64 / 86_400.0,
            core_days: self.world.milli_seconds as f64 / 86_400_000.0,
            gib_days: self.world.mib_seconds as f64 / 86_400.0 / 1024.0,
            log_hash: self.world.log.hash(),
            log_lines: self.world.log.count(),
            log: self.world.log.lines(),
            violations: self.watch.violations(),
        }
    }
}

/// The word that the updater is told, as control/updater/act.rs reads the API server's answer.
fn hold(refusal: Refusal) -> Hold {
    match refusal {
        Refusal::NodeTooSmall => Hold::NodeTooSmall,
        Refusal::QosClass => Hold::QosClass,
        Refusal::Invalid => Hold::Invalid,
        Refusal::LimitRange | Refusal::Quota => Hold::AdmissionRefuses,
        Refusal::Budget => Hold::DisruptionBudget,
        Refusal::Gone => Hold::ApiServer,
    }
}
