//! Kubelet: starts, kills and restarts containers, and does resizes or says why not.

use super::super::rules;
use super::super::scene::{Container, Kind, Part, Workload};
use super::super::usage;
use super::{Kill, Load, PEAKS, Pod, RESTARTS, Running, State, World};
use crate::actuate::facts::Resize;

/// Seconds that a resize takes.
const ACTUATES: i64 = 2;
/// Seconds after which a limit below usage is an error.
const FAILS: i64 = 5;
/// Seconds after which a deferred resize is tried again.
const RETRIES: i64 = 10;

/// Log lines and OOM kills of one step of a pod.
#[derive(Default)]
struct News {
    lines: Vec<String>,
    kills: Vec<(usize, Option<u64>, u32)>,
}

impl World<'_> {
    /// Runs all pods.
    pub(super) fn run(&mut self, slot: i64, new_slot: bool) {
        let (now, seed, scene) = (self.now, self.scene.seed, self.scene);
        let at = Moment { now, slot, new_slot, seed, calm: self.calm, mended: scene.mended_kubelet };
        for place in 0..self.loads.len() {
            let Some(workload) = scene.workloads.get(place) else { continue };
            let mut pods = std::mem::take(&mut self.loads[place].pods);
            for pod in &mut pods {
                let mut news = News::default();
                if pod.node.is_some() && pod.stays() {
                    step(pod, &self.loads[place], workload, (place, &at), &mut news);
                }
                self.told(place, pod.id, news);
            }
            self.loads[place].pods = pods;
        }
        if new_slot {
            self.relieve_nodes();
        }
        self.resize_pods();
    }

    fn told(&mut self, load: usize, pod: u64, news: News) {
        for line in news.lines {
            self.note(load, pod, line);
        }
        for (container, limit, restarts) in news.kills {
            if let Some(load) = self.loads.get_mut(load) {
                load.tally.kills += 1;
            }
            self.kills.push(Kill { load, pod, container, limit, restarts });
        }
    }

    /// Kills the container furthest above its request on each node whose memory is used up.
    fn relieve_nodes(&mut self) {
        for node in 0..self.nodes.len() {
            let on = |pod: &&Pod| pod.node == Some(node);
            let pods = self.loads.iter().flat_map(|load| &load.pods).filter(on);
            let used: u64 = pods.flat_map(|pod| &pod.containers).map(|container| container.memory).sum();
            if used <= self.nodes[node].memory {
                continue;
            }
            let mut worst: Option<(u64, usize, u64, usize)> = None;
            for (place, load) in self.loads.iter().enumerate() {
                for pod in load.pods.iter().filter(on) {
                    for (number, container) in pod.containers.iter().enumerate() {
                        let over = container.memory.saturating_sub(container.given.memory.unwrap_or(0));
                        if container.runs() && worst.is_none_or(|(most, ..)| over > most) {
                            worst = Some((over, place, pod.id, number));
                        }
                    }
                }
            }
            let Some((_, load, id, number)) = worst else { continue };
            let now = self.now;
            let mut limit = None;
            let mut restarts = 0;
            if let Some(pod) = self.pod_mut(load, id)
                && let Some(container) = pod.containers.get_mut(number)
            {
                pod.ready &= !container.lasts();
                kill(container, now);
                container.killed_by_node = true;
                (limit, restarts) = (container.given.memory_limit, container.restarts);
            }
            if let Some(load) = self.loads.get_mut(load) {
                load.tally.node_kills += 1;
            }
            self.note(load, id, format!("container {number} is OOM killed: node {node} is full"));
            self.kills.push(Kill { load, pod: id, container: number, limit, restarts });
        }
    }

    /// Looks at pods whose spec asks for another size than they have.
    fn resize_pods(&mut self) {
        let now = self.now;
        let mut due = Vec::new();
        for (place, load) in self.loads.iter().enumerate() {
            for pod in &load.pods {
                let differs = pod.resize != Resize::None;
                if differs && pod.sync <= now && pod.node.is_some() && pod.stays() {
                    due.push((place, pod.id));
                }
            }
        }
        for (place, id) in due {
            self.sync(place, id);
        }
    }

    fn sync(&mut self, place: usize, id: u64) {
        let now = self.now;
        let mended = self.scene.mended_kubelet;
        let Some(pod) = self.pod(place, id) else { return };
        let (Some(node), before) = (pod.node, pod.resize) else { return };
        let (asks, holds) = (pod.asks(), pod.holds());
        let free = self.free(node);
        let fits = asks.0 <= free.0.saturating_add(holds.0) && asks.1 <= free.1.saturating_add(holds.1);
        let whole = self.nodes.get(node).map_or((0, 0), |node| (node.milli, node.memory));
        let Some(pod) = self.pod_mut(place, id) else { return };
        let said = if asks.0 > whole.0 || asks.1 > whole.1 {
            pod.resize = Resize::Infeasible;
            pod.sync = i64::MAX;
            "resize is Infeasible"
        } else if !fits {
            pod.resize = Resize::Deferred;
            pod.sync = now + RETRIES;
            "resize is Deferred"
        } else if lowers_below_usage(pod) {
            let since = *pod.failing_since.get_or_insert(now);
            pod.resize = if now - since >= FAILS { Resize::Failing } else { Resize::UnderWay };
            pod.sync = now + FAILS;
            "resize fails: memory limit below usage"
        } else {
            actuate(pod, now, mended);
            "resize is done"
        };
        let after = pod.resize;
        if after != before {
            self.note(place, id, said.to_owned());
        }
    }
}

struct Moment {
    now: i64,
    slot: i64,
    new_slot: bool,
    seed: u64,
    calm: bool,
    mended: bool,
}

fn step(pod: &mut Pod, load: &Load, workload: &Workload, (place, at): (usize, &Moment), news: &mut News) {
    if pod.sync > at.now && pod.containers.iter().all(|container| container.state == State::Waiting) {
        return;
    }
    let percent = load.percents.get(pod.revision as usize).copied().unwrap_or(100);
    start_next(pod, workload, (at, percent), news);
    let pod_key = (place as u64) << 32 | u64::from(pod.ordinal);
    let load_share = if workload.hpa_percent.is_some() {
        f64::from(workload.replicas) / f64::from(load.replicas.max(1))
    } else {
        1.0
    };
    for (number, (container, spec)) in pod.containers.iter_mut().zip(&workload.containers).enumerate() {
        if !container.runs() {
            continue;
        }
        let shares = load.flows.get(number).map_or((1.0, 1.0), |flow| flow.shares);
        let slot = if at.calm { 0 } else { at.slot.unsigned_abs() };
        let noise = usage::noise(at.seed, pod_key * 8 + number as u64, slot);
        let age = at.now - container.started;
        let share = shares.1 * f64::from(percent) / 100.0;
        let age_now = if at.calm && matches!(spec.usage, super::super::scene::Usage::Leak(_)) {
            age.min(600)
        } else {
            age
        };
        let wanted = usage::memory(spec, share, noise, age_now, container.started_with);
        let starting = matches!(container.state, State::Starting(_));
        let cpu = usage::cpu(spec, shares.0 * load_share, noise, starting);
        container.cpu = container.given.cpu_limit.map_or(cpu, |limit| cpu.min(limit as f64));
        container.throttled = if cpu > container.cpu { (1.0 - container.cpu / cpu) as f32 } else { 0.0 };
        if container.in_force.is_some_and(|limit| wanted > limit) {
            let limit = container.given.memory_limit;
            kill(container, at.now);
            let text = format!("container {number} is OOM killed at {}", container.given);
            news.lines.push(text);
            news.kills.push((number, limit, container.restarts));
            continue;
        }
        container.memory = wanted;
        let hour = usize::try_from(at.slot).unwrap_or(0) % PEAKS;
        if at.new_slot {
            container.peaks[hour] = 0;
        }
        container.peaks[hour] = container.peaks[hour].max(wanted);
    }
    let serves = |container: &Running| !container.lasts() || container.state == State::Up;
    let ready = pod.containers.iter().all(serves);
    if ready != pod.ready {
        news.lines.push(if ready { "is ready".to_owned() } else { "is not ready".to_owned() });
        pod.ready = ready;
    }
    let ends = matches!(workload.kind, Kind::Job | Kind::CronJob);
    if ends && pod.ends.is_some_and(|end| at.now >= end) {
        pod.leaves = Some(at.now + 1);
        news.lines.push("has ended".to_owned());
    }
}

/// Starts what may start: init containers one after the other, sidecars with them, then the rest.
fn start_next(pod: &mut Pod, workload: &Workload, (at, percent): (&Moment, u32), news: &mut News) {
    let mut blocked = false;
    for (number, (container, spec)) in pod.containers.iter_mut().zip(&workload.containers).enumerate() {
        match container.state {
            State::Waiting if !blocked => start(container, spec, at),
            State::Backoff(until) if at.now >= until => {
                if at.mended {
                    container.in_force = container.given.memory_limit;
                }
                start(container, spec, at);
                news.lines.push(format!("container {number} is started again"));
            }
            State::Starting(until) if at.now >= until && !rules::boots(&container.given, spec, percent) => {
                end(container, at.now);
                news.lines.push(format!("container {number} does not come up with {}", container.given));
            }
            State::Starting(until) if at.now >= until => {
                container.state = if spec.part == Part::Init { State::Done } else { State::Up };
                if container.state == State::Done {
                    container.memory = 0;
                }
            }
            _ => {}
        }
        blocked |= match spec.part {
            Part::Init => container.state != State::Done,
            Part::Sidecar => !container.runs(),
            Part::Main => false,
        };
    }
}

fn start(container: &mut Running, spec: &Container, at: &Moment) {
    container.state = State::Starting(at.now + i64::from(spec.boots.max(1)));
    container.started = at.now;
    container.started_with = container.in_force;
}

fn kill(container: &mut Running, now: i64) {
    end(container, now);
    container.oom_killed = Some(now);
    container.killed_by_node = false;
}

/// Ends a container, which is started again after its back-off.
fn end(container: &mut Running, now: i64) {
    let (wait, next) = rules::back_off(container.backoff, now - container.started);
    container.backoff = next;
    container.state = State::Backoff(now + wait.max(RESTARTS));
    container.restarts += 1;
    container.memory = 0;
    container.cpu = 0.0;
}

/// The kubelet does not lower a memory limit below what is used.
fn lowers_below_usage(pod: &Pod) -> bool {
    pod.containers.iter().any(|container| {
        container.asked.memory_limit < container.in_force
            && container.runs()
            && container.asked.memory_limit.is_some_and(|limit| limit < container.memory)
    })
}

fn actuate(pod: &mut Pod, now: i64, mended: bool) {
    let down = pod.containers.iter().any(|container| matches!(container.state, State::Backoff(_)));
    let raises = pod.containers.iter().any(|container| {
        container.asked.memory_limit > container.given.memory_limit
            && matches!(container.state, State::Backoff(_))
    });
    pod.trapped |= down && raises && !mended;
    for container in &mut pod.containers {
        let changed = container.asked != container.given;
        container.given = container.asked;
        let waits = matches!(container.state, State::Backoff(_));
        if changed && !(pod.trapped || waits && mended) {
            container.in_force = container.given.memory_limit;
        }
    }
    pod.resize = Resize::None;
    pod.sync = now + ACTUATES;
    pod.failing_since = None;
}

/// Restarts the containers whose resize policy asks for it.
pub(super) fn restart(
    pod: &mut Pod,
    workload: &Workload,
    before: &[super::super::size::Size],
    now: i64,
) -> u32 {
    let mut count = 0;
    for ((container, spec), before) in pod.containers.iter_mut().zip(&workload.containers).zip(before) {
        let (asked, cpu) = (&container.asked, (before.cpu, before.cpu_limit));
        let restarts = spec.cpu_restarts && (asked.cpu, asked.cpu_limit) != cpu
            || spec.memory_restarts
                && (asked.memory, asked.memory_limit) != (before.memory, before.memory_limit);
        if restarts && container.runs() {
            container.state = State::Backoff(now + 1);
            container.restarts += 1;
            container.in_force = container.asked.memory_limit;
            container.memory = 0;
            pod.ready = false;
            count += 1;
        }
    }
    count
}
