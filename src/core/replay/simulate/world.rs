//! Simulated cluster: what API server, scheduler, kubelet and controllers do to pods, as far as a resizer sees it.

pub(super) mod api;
mod controllers;
mod hpa;
mod kubelet;
mod scheduler;

use super::Tally;
use super::log::Log;
use super::rules;
use super::scene::{Kind, Part, Scene, Workload};
use super::size::{Size, mib};
use super::usage::{Flow, SLOT};
use crate::actuate::facts::Resize;
use crate::replay::generate::chance::Chance;
use crate::replay::trace::Series;

/// Slots of the memory peaks that a container remembers: one hour.
pub(super) const PEAKS: usize = 12;

/// Seconds of a restart that no back-off delays.
pub(super) const RESTARTS: i64 = 1;

/// State of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Others have to run first, or its pod has no node.
    Waiting,
    /// Starts, and is up then.
    Starting(i64),
    /// Runs.
    Up,
    /// Was killed, and is started again then.
    Backoff(i64),
    /// Ran to its end.
    Done,
}

/// A container of a pod.
#[derive(Clone, Debug)]
pub(super) struct Running {
    pub(super) asked: Size,
    pub(super) given: Size,
    /// Memory limit of its cgroup.
    pub(super) in_force: Option<u64>,
    /// Memory limit in force when it last started.
    pub(super) started_with: Option<u64>,
    pub(super) state: State,
    pub(super) started: i64,
    pub(super) restarts: u32,
    pub(super) oom_killed: Option<i64>,
    /// The node was full, and the kill says nothing of its limit.
    pub(super) killed_by_node: bool,
    /// Seconds that it will wait after its next kill.
    pub(super) backoff: i64,
    pub(super) memory: u64,
    pub(super) cpu: f64,
    pub(super) throttled: f32,
    pub(super) peaks: [u64; PEAKS],
    pub(super) part: Part,
}

impl Running {
    /// Returns whether it runs beside the others, and is no init container that ends.
    pub(super) fn lasts(&self) -> bool {
        self.part != Part::Init
    }

    /// Highest memory of the last hour.
    pub(super) fn peak(&self) -> u64 {
        self.peaks.iter().copied().max().unwrap_or(0)
    }

    pub(super) fn runs(&self) -> bool {
        matches!(self.state, State::Up | State::Starting(_))
    }
}

/// A pod.
#[derive(Clone, Debug)]
pub(super) struct Pod {
    pub(super) id: u64,
    pub(super) ordinal: u32,
    pub(super) revision: u32,
    pub(super) node: Option<usize>,
    pub(super) created: i64,
    /// Gone then.
    pub(super) leaves: Option<i64>,
    pub(super) ready: bool,
    pub(super) stamped: bool,
    pub(super) resize: Resize,
    pub(super) resized: Option<i64>,
    /// The field manager of its last resize is not plumb's.
    pub(super) resized_by_other: bool,
    /// Its status has a resize that the kubelet looks at then.
    pub(super) sync: i64,
    /// A resize reached a container that was down (kubernetes#138760): its cgroup keeps its limit for good.
    pub(super) trapped: bool,
    /// Ends then, where its kind ends.
    pub(super) ends: Option<i64>,
    /// Kubelet refused its last memory limit since then.
    pub(super) failing_since: Option<i64>,
    pub(super) guaranteed: bool,
    pub(super) best_effort: bool,
    pub(super) containers: Vec<Running>,
}

impl Pod {
    pub(super) fn stays(&self) -> bool {
        self.leaves.is_none()
    }

    pub(super) fn available(&self) -> bool {
        self.ready && self.stays()
    }

    /// Containers that run beside each other.
    pub(super) fn lasting(&self) -> impl Iterator<Item = &Running> {
        self.containers.iter().filter(|container| container.lasts())
    }

    /// Returns whether all containers have started, so that it is no longer Pending.
    pub(super) fn has_started(&self) -> bool {
        self.containers.iter().all(|container| container.state != State::Waiting)
    }

    /// Amount that scheduler and quota count of it, by the amount of each container.
    pub(super) fn held(&self, amount: impl Fn(&Running) -> Option<u64>) -> u64 {
        rules::held(self.containers.iter().map(|container| (container.part, amount(container).unwrap_or(0))))
    }

    /// Requests that its kubelet has promised it: CPU, memory.
    pub(super) fn holds(&self) -> (u64, u64) {
        (self.held(|container| container.given.cpu), self.held(|container| container.given.memory))
    }

    /// Requests that its spec states.
    pub(super) fn asks(&self) -> (u64, u64) {
        (self.held(|container| container.asked.cpu), self.held(|container| container.asked.memory))
    }

    /// Requests that the scheduler keeps for it: also what it is still to get, unless it never will.
    pub(super) fn keeps(&self) -> (u64, u64) {
        if self.resize == Resize::Infeasible {
            return self.holds();
        }
        (
            self.held(|container| container.given.cpu.max(container.asked.cpu)),
            self.held(|container| container.given.memory.max(container.asked.memory)),
        )
    }
}

/// A workload as it runs.
#[derive(Clone, Debug)]
pub(super) struct Load {
    pub(super) pods: Vec<Pod>,
    pub(super) replicas: u32,
    pub(super) revision: u32,
    /// Memory use of each revision, in percent of the first one's.
    pub(super) percents: Vec<u32>,
    pub(super) template: Vec<Size>,
    pub(super) flows: Vec<Flow>,
    /// No pod is created before then, as the last try was refused.
    pub(super) retry: i64,
    pub(super) refusals: u32,
    /// The first and the last refusal of a new pod since one was created.
    pub(super) refused: Option<(i64, i64)>,
    pub(super) started: bool,
    /// Autoscaler: its target, and the threshold that plumb noted with it.
    pub(super) hpa: (u32, Option<(f64, u32)>),
    pub(super) scaled: i64,
    pub(super) tally: Tally,
}

/// A node.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) pool: usize,
    pub(super) milli: u64,
    pub(super) memory: u64,
    pub(super) cordoned: bool,
    /// Requests of pods that are none of the scene's workloads.
    pub(super) ballast: (u64, u64),
    pub(super) name: std::sync::Arc<str>,
}

/// An OOM kill that has still to be told.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kill {
    pub(super) load: usize,
    pub(super) pod: u64,
    pub(super) container: usize,
    pub(super) limit: Option<u64>,
    pub(super) restarts: u32,
}

/// The cluster.
#[derive(Clone, Debug)]
pub(super) struct World<'a> {
    pub(super) scene: &'a Scene,
    pub(super) now: i64,
    pub(super) nodes: Vec<Node>,
    pub(super) loads: Vec<Load>,
    pub(super) chance: Chance,
    pub(super) log: Log,
    pub(super) pod_seconds: u64,
    /// CPU that pods requested, in thousandths of a core times seconds.
    pub(super) milli_seconds: u64,
    /// Memory that pods requested, in mebibytes times seconds.
    pub(super) mib_seconds: u64,
    pub(super) kills: Vec<Kill>,
    /// Something changes until then.
    pub(super) busy: i64,
    pub(super) calm: bool,
    slot: i64,
    next_id: u64,
}

impl<'a> World<'a> {
    /// Makes the cluster of a scene, without pods.
    pub(super) fn new(scene: &'a Scene, traces: &[Series]) -> Self {
        let nodes = (0..).zip(&scene.pools).flat_map(|(pool, shape)| {
            (0..shape.nodes).map(move |number| Node {
                pool,
                milli: shape.milli,
                memory: mib(shape.mib),
                cordoned: false,
                ballast: (0, 0),
                name: format!("node-{pool}-{number}").into(),
            })
        });
        let loads =
            (0..).zip(&scene.workloads).map(|(place, workload)| load(scene.seed, place, workload, traces));
        Self {
            scene,
            now: 0,
            nodes: nodes.collect(),
            loads: loads.collect(),
            chance: Chance::new(scene.seed ^ 0x51ab),
            log: Log::new(),
            pod_seconds: 0,
            milli_seconds: 0,
            mib_seconds: 0,
            kills: Vec::new(),
            busy: 60,
            calm: false,
            slot: -1,
            next_id: 1,
        }
    }

    /// Adds a line to the log, and keeps the clock slow for a while.
    pub(super) fn note(&mut self, load: usize, pod: u64, text: String) {
        self.busy = self.busy.max(self.now + 60);
        self.log.add(self.now, load, pod, text);
    }

    pub(super) fn pod(&self, load: usize, pod: u64) -> Option<&Pod> {
        self.loads.get(load)?.pods.iter().find(|other| other.id == pod)
    }

    pub(super) fn pod_mut(&mut self, load: usize, pod: u64) -> Option<&mut Pod> {
        self.loads.get_mut(load)?.pods.iter_mut().find(|other| other.id == pod)
    }

    /// Moves the cluster on to `now`. Returns the pods that controllers want: workload, ordinal.
    pub(super) fn tick(&mut self, now: i64) -> Vec<(usize, u32)> {
        let elapsed = u64::try_from(now - self.now).unwrap_or(0);
        self.count(elapsed);
        self.now = now;
        let slot = now / SLOT;
        let new_slot = slot != self.slot;
        if new_slot {
            self.slot = slot;
            self.advance(slot);
        }
        self.leave();
        self.run(slot, new_slot);
        self.autoscale();
        let wanted = self.control();
        self.schedule();
        wanted
    }

    fn count(&mut self, elapsed: u64) {
        for (load, workload) in self.loads.iter_mut().zip(&self.scene.workloads) {
            let ready = load.pods.iter().filter(|pod| pod.available()).count() as u64;
            let wanted = match workload.kind {
                // What has ended is not missing.
                Kind::Job | Kind::CronJob => load.pods.len() as u64,
                _ => u64::from(load.replicas),
            };
            load.tally.unready_seconds += wanted.saturating_sub(ready) * elapsed;
            self.pod_seconds += load.pods.len() as u64 * elapsed;
            for container in load.pods.iter().flat_map(|pod| &pod.containers).filter(|one| one.lasts()) {
                self.milli_seconds += container.asked.cpu.unwrap_or(0) * elapsed;
                self.mib_seconds += (container.asked.memory.unwrap_or(0) >> 20) * elapsed;
            }
        }
    }

    /// Moves the courses of usage on; where the end of the scene is calm they stand still.
    fn advance(&mut self, slot: i64) {
        if self.calm {
            return;
        }
        for (load, workload) in self.loads.iter_mut().zip(&self.scene.workloads) {
            for (flow, container) in load.flows.iter_mut().zip(&workload.containers) {
                flow.advance(container, slot * SLOT);
            }
        }
    }

    fn leave(&mut self) {
        let now = self.now;
        for load in &mut self.loads {
            load.pods.retain(|pod| pod.leaves.is_none_or(|at| now < at));
        }
    }

    /// The next time at which something changes by itself, no later than `most`.
    pub(super) fn next(&self, most: i64) -> i64 {
        let mut next = most.min((self.now / SLOT + 1) * SLOT);
        let pods = self.loads.iter().flat_map(|load| &load.pods);
        for pod in pods {
            next = next.min(pod.leaves.unwrap_or(next)).min(pod.ends.unwrap_or(next));
            if pod.sync > self.now {
                next = next.min(pod.sync);
            }
            for container in &pod.containers {
                if let State::Starting(at) | State::Backoff(at) = container.state {
                    next = next.min(at);
                }
            }
        }
        next.max(self.now + 1)
    }
}

fn load(seed: u64, place: u64, workload: &Workload, traces: &[Series]) -> Load {
    let seeds = (1_u64..).map(|number| seed ^ (place * 16 + number).wrapping_mul(0x2545_f491_4f6c_dd1d));
    let flows =
        workload.containers.iter().zip(seeds).map(|(container, seed)| Flow::new(container, seed, traces));
    Load {
        pods: Vec::new(),
        replicas: workload.replicas,
        revision: 0,
        percents: vec![100],
        template: workload.containers.iter().map(template).collect(),
        flows: flows.collect(),
        retry: 0,
        refusals: 0,
        refused: None,
        started: false,
        hpa: (workload.hpa_percent.unwrap_or(0), None),
        scaled: 0,
        tally: Tally::default(),
    }
}

/// A container's size as its template states it, after the API server's defaults.
fn template(container: &super::scene::Container) -> Size {
    let stated = |amount: u64| Some(amount).filter(|amount| *amount > 0);
    let limit = container.limit_mib.map(mib);
    Size {
        cpu: stated(container.milli).or(container.limit_milli),
        cpu_limit: container.limit_milli,
        memory: stated(mib(container.mib)).or(limit),
        memory_limit: limit,
    }
}
