//! Driver: simulated time, the roles of plumb in their turns, and the watch over the invariants.

mod updater;

use std::sync::Arc;

use super::faults::{Begins, Faults, Now};
use super::invariants::Watch;
use super::roles::{self, Around, Recommender};
use super::scene::Scene;
use super::size::Size;
use super::world::World;
use super::{Mutation, Options, Outcome, Tally};
use crate::actuate::facts::{SizesByName, Workload};
use crate::actuate::reason::Hold;
use crate::actuate::{Given, Updater};

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
pub fn run(scene: &Scene, options: &Options<'_>) -> Outcome {
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
    /// Sizes that new pods are given, and those that pods had before.
    given: Vec<(Given, Option<SizesByName>)>,
    seen: Vec<Workload>,
    rounds: u64,
    scraped: i64,
    saved: i64,
    crash: Option<u32>,
    holds: Vec<Vec<Hold>>,
    watch: Watch,
    options: Options<'a>,
}

fn updater() -> Updater {
    Updater::new(RATES.0, RATES.1)
}

impl<'a> Driver<'a> {
    fn new(scene: &'a Scene, options: Options<'a>) -> Self {
        let key = |place| Some(Arc::from(format!("{place}")));
        let around = (0..scene.workloads.len()).map(|place| Around { key: key(place), ..Around::default() });
        Self {
            world: World::new(scene, options.traces),
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
        let Some(template) = self.world.loads.get(load).map(|load| load.template.clone()) else { return };
        let sized = self.admit(load, &template, going);
        let stamped = sized.is_some();
        let sizes = sized.unwrap_or_else(|| template.clone());
        match self.world.create(load, ordinal, &sizes, stamped) {
            Ok(id) => {
                if let Some(state) = self.world.loads.get_mut(load) {
                    (state.started, state.refusals, state.refused) = (true, 0, None);
                }
                self.watch.created(&self.world, &self.recommender, (load, id), going);
            }
            Err(refusal) => {
                let now = self.world.now;
                if let Some(state) = self.world.loads.get_mut(load) {
                    state.refusals += 1;
                    state.refused = Some((state.refused.map_or(now, |(first, _)| first), now));
                    state.retry = now + (i64::from(state.refusals) * 10).min(300);
                }
                self.world.note(load, 0, format!("a pod is not created: {refusal}"));
                self.watch.not_created(&self.world, (load, stamped), refusal, going);
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
