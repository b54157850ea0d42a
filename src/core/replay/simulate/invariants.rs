//! Invariants: rules that plumb may never break, each with a name, watched at each step of a run.

mod newcomers;
mod pace;
mod serving;
mod sizes;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;

use super::faults::Now;
use super::log::clock;
use super::roles::Recommender;
use super::rules::Refusal;
use super::scene::{Scene, Workload};
use super::size::Size;
use super::world::World;
use crate::actuate::facts::Workload as Seen;
use crate::actuate::{Action, Plan};

/// Lines of a pod's story in a violation.
const STORY: usize = 14;
/// Hours of calm from which on plumb has to have settled: needs follow the day before, too.
const CALM: u32 = 28;
/// Seconds at the end of a calm scene in which a pod is changed once at most, as needs are still being learned.
const LAST: i64 = 4 * 3600;

macro_rules! invariants {
    ($($(#[doc = $text:literal])* $variant:ident = $name:literal,)*) => {
        /// Names of the invariants.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Invariant {
            $($(#[doc = $text])* $variant,)*
        }

        impl Invariant {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// Name, as it is printed.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

invariants! {
    /// No request or limit is set outside minAllowed and maxAllowed.
    Bounds = "bounds",
    /// No resize is asked for that a LimitRange forbids.
    LimitRange = "limit-range",
    /// No pod is stamped so that a LimitRange refuses it; one that a policy of the cluster refuses is created as its template
    /// says within a quarter of an hour.
    BlockedCreation = "blocked-creation",
    /// A new pod that would come up with what its template says comes up within half an hour.
    Boots = "boots",
    /// A pod that a rollout waits for gets its growth within half an hour.
    StuckRollout = "stuck-rollout",
    /// Under rule Ratio a limit keeps the ratio that the template has.
    TemplateRatio = "template-ratio",
    /// Under rule Keep a limit stays, but where the request would pass it.
    KeepLimit = "keep-limit",
    /// No memory limit is lowered below the last hour's peak and a margin.
    LimitBelowPeak = "limit-below-peak",
    /// No change of the QoS class is asked for.
    QosClass = "qos-class",
    /// In the first day no limit is lowered, and no request below half of what its template says.
    LoweredWhileYoung = "lowered-while-young",
    /// Neither request nor limit of memory is lowered where shrink is false.
    LoweredWithoutShrink = "lowered-without-shrink",
    /// One change lowers a request or a limit by no more than the policy's step.
    Step = "step",
    /// A pod is not changed again within the cooldown, but after an OOM kill.
    Cooldown = "cooldown",
    /// What has grown of a pod is not lowered within half an hour (CPU) or an hour (memory).
    Swing = "swing",
    /// Resizes, refusals and evictions are bounded for each pod or workload and hour.
    Endless = "endless",
    /// Never fewer Ready pods than maxUnavailable of spec.replicas allows, because of plumb.
    Budget = "budget",
    /// No eviction whose successor gets what the evicted pod had.
    UselessEviction = "useless-eviction",
    /// No further eviction where the last successor came up without sizes.
    EvictionWithoutAdmission = "eviction-without-admission",
    /// No urgent eviction of a pod that is Ready.
    HealthyEvicted = "healthy-evicted",
    /// No pod is replaced for a kill after which the kubelet restarts the container at once.
    RestartsItself = "restarts-itself",
    /// Of pods in OOM loops no more are replaced at once than one and maxUnavailable of spec.replicas.
    HealBudget = "heal-budget",
    /// An OOM loop that a node can hold, and the policy allows, is healed within an hour.
    OomLoop = "oom-loop",
    /// Each pod that is not as it should be has a reason.
    HoldReason = "hold-reason",
    /// Once faults have ended and usage is flat, plumb writes nothing more.
    Settles = "settles",
    /// Over the seeds of a scene no more OOM kills than without plumb.
    Kills = "kills",
    /// Over the seeds of a scene no more unready time than without plumb.
    Unready = "unready",
    /// A namespace fares as well beside another as alone.
    Tenancy = "tenancy",
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A broken invariant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The invariant that broke.
    pub invariant: Invariant,
    /// Seed of the scene.
    pub seed: u64,
    /// Seconds since the start.
    pub at: i64,
    /// Index of the workload.
    pub workload: usize,
    /// Number of the pod; 0: the workload.
    pub pod: u64,
    /// Sentence that says what broke.
    pub message: String,
    /// Last lines of the log about the pod.
    pub story: Vec<String>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { invariant, seed, at, workload, pod, message, story } = self;
        writeln!(
            f,
            "{invariant} broke at {} (seed {seed}, workload {workload}, pod {pod}): {message}",
            clock(*at)
        )?;
        story.iter().try_for_each(|line| writeln!(f, "    {line}"))
    }
}

/// A move of one figure of a container.
#[derive(Clone, Copy, Debug)]
struct Move {
    at: i64,
    grew: bool,
}

/// History of a pod, as far as an invariant asks for it.
#[derive(Clone, Debug, Default)]
struct Past {
    changed: Option<i64>,
    moves: Vec<[Option<Move>; 3]>,
    resizes: VecDeque<i64>,
    refusals: VecDeque<i64>,
    others: Option<i64>,
    load: usize,
    /// Changes at the end of a calm scene.
    late: u32,
}

/// Size that the kubelet had given to a container, and the memory limit of its cgroup.
type Had = (Size, Option<u64>);

/// History of a workload.
#[derive(Clone, Debug, Default)]
struct LoadPast {
    evictions: VecDeque<i64>,
    /// Sizes and limits in force of evicted pods whose successors have not come, and when they were evicted.
    evicted: VecDeque<(u64, i64, Vec<Had>)>,
    /// When the last successor of an evicted pod came up without sizes.
    unstamped: Option<i64>,
    /// New pods are refused since then.
    refused: Option<i64>,
    /// New pods do not boot since then.
    failing: Option<i64>,
    /// A rollout waits for growth since then.
    stuck: Option<i64>,
    /// By container: first and last kill of a loop, and their number.
    loops: Vec<Option<(i64, i64, u32)>>,
}

/// Watch over the invariants of a run.
#[derive(Clone, Debug)]
pub(super) struct Watch {
    found: Vec<Violation>,
    pods: BTreeMap<u64, Past>,
    loads: Vec<LoadPast>,
    /// Without plumb nothing is its fault.
    on: bool,
}

impl Watch {
    /// Starts before the first step.
    pub(super) fn new(scene: &Scene, on: bool) -> Self {
        let past = |workload: &Workload| LoadPast {
            loops: vec![None; workload.containers.len()],
            ..LoadPast::default()
        };
        Self {
            found: Vec::new(),
            pods: BTreeMap::new(),
            loads: scene.workloads.iter().map(past).collect(),
            on,
        }
    }

    /// The broken invariants.
    pub(super) fn violations(self) -> Vec<Violation> {
        self.found
    }

    /// Notes a broken invariant, the first of each for each workload.
    fn broke(&mut self, world: &World<'_>, invariant: Invariant, (load, pod): (usize, u64), message: String) {
        let known = |other: &Violation| other.invariant == invariant && other.workload == load;
        if !self.on || self.found.iter().any(known) {
            return;
        }
        self.found.push(Violation {
            invariant,
            seed: world.scene.seed,
            at: world.now,
            workload: load,
            pod,
            message,
            story: world.log.story(load, pod, STORY),
        });
    }

    /// Looks at the world after each step.
    pub(super) fn look(&mut self, world: &World<'_>, going: &Now) {
        self.look_for_loops(world, going);
        self.look_for_boots(world, going);
    }

    /// A pod was created.
    pub(super) fn created(
        &mut self,
        world: &World<'_>,
        recommender: &Recommender,
        (load, id): (usize, u64),
        going: &Now,
    ) {
        if let Some(past) = self.loads.get_mut(load) {
            past.refused = None;
        }
        self.check_stamp(world, recommender, (load, id));
        self.check_successor(world, (load, id), going);
    }

    /// Somebody else has changed a pod.
    pub(super) fn changed_by_others(&mut self, id: u64, now: i64) {
        self.pods.entry(id).or_default().others = Some(now);
    }

    /// A plan was made.
    pub(super) fn planned(&mut self, world: &World<'_>, seen: &[Seen], plan: &Plan) {
        for workload in seen {
            let Some(said) = plan.workloads.get(&workload.key) else { continue };
            self.look_for_growth(world, workload, said);
            let held: usize = said.held.values().sum();
            let running = workload.staying().filter(|pod| pod.running || pod.is_stuck()).count();
            let counted = said.steady + said.acting + held;
            if counted < running {
                let load = workload.key.parse().unwrap_or(0);
                let message =
                    format!("{running} pods run, and {counted} of them are steady, acted on or held");
                self.broke(world, Invariant::HoldReason, (load, 0), message);
            }
        }
    }

    /// plumb asks for a resize.
    pub(super) fn resizes(
        &mut self,
        world: &World<'_>,
        recommender: &Recommender,
        (load, id): (usize, u64),
        (action, sizes): (&Action, &[Size]),
        going: &Now,
    ) {
        self.check_sizes(world, recommender, (load, id), (action, sizes));
        self.check_pace(world, (load, id), (action, sizes), going);
        self.check_restart(world, (load, id), sizes, going);
    }

    /// The API server has refused something.
    pub(super) fn refused(&mut self, world: &World<'_>, (load, id): (usize, u64), refusal: Refusal) {
        if refusal == Refusal::LimitRange {
            let message = "a resize is refused by the LimitRange".to_owned();
            self.broke(world, Invariant::LimitRange, (load, id), message);
        }
        if refusal == Refusal::QosClass {
            let message = "a resize is refused as it would change the QoS class".to_owned();
            self.broke(world, Invariant::QosClass, (load, id), message);
        }
        self.count_refusal(world, (load, id), &refusal.to_string());
    }

    /// The run has ended.
    pub(super) fn end(&mut self, world: &World<'_>) {
        let hours = world.scene.calm_hours;
        let late = self.pods.iter().filter(|(_, past)| past.late > 1);
        let late: Vec<_> = late.map(|(id, past)| (past.load, *id, past.late)).collect();
        for (load, id, count) in late {
            let workload = world.scene.workloads.get(load);
            // Where the policy's pace is slow, more changes are due.
            let slow =
                |workload: &Workload| workload.policy.max_shrink < 50 || workload.policy.cooldown > 600;
            if workload.is_none_or(slow) {
                continue;
            }
            let message = format!(
                "plumb changed it {count} times in the last 4 of {hours} hours without faults and with flat usage"
            );
            self.broke(world, Invariant::Settles, (load, id), message);
        }
    }

    /// Counts a change at the end of a calm scene. What only shrinks is on its way in steps, which end by themselves.
    fn count_late(&mut self, world: &World<'_>, (load, id): (usize, u64)) {
        let scene = world.scene;
        let past = self.pods.entry(id).or_default();
        past.load = load;
        let late = world.now >= i64::from(scene.hours) * 3600 - LAST;
        past.late += u32::from(late && scene.calm_hours >= CALM);
    }
}

/// Drops times that are more than an hour ago, adds this one, and counts them.
fn within_an_hour(times: &mut VecDeque<i64>, now: i64) -> usize {
    while times.front().is_some_and(|at| now - at >= 3600) {
        times.pop_front();
    }
    times.push_back(now);
    times.len()
}
