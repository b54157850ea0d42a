//! Controllers of workloads: which pods are to be created, and which to be deleted.

use super::super::scene::{Kind, Workload};
use super::{Load, Pod, World};

/// Pods that a controller wants to create and to delete.
#[derive(Default)]
struct Wanted {
    create: Vec<u32>,
    delete: Vec<u64>,
}

impl World<'_> {
    /// Deletes what is too much and returns what is missing: workload, ordinal.
    pub(super) fn control(&mut self) -> Vec<(usize, u32)> {
        let mut missing = Vec::new();
        for place in 0..self.loads.len() {
            let (Some(workload), Some(load)) = (self.scene.workloads.get(place), self.loads.get(place))
            else {
                continue;
            };
            let wanted = match workload.kind {
                Kind::Deployment => deployment(load),
                Kind::StatefulSet => stateful_set(load, workload),
                Kind::DaemonSet => {
                    let nodes = self.nodes.iter().filter(|node| node.pool == workload.pool).count();
                    daemon_set(load, workload, u32::try_from(nodes).unwrap_or(0))
                }
                Kind::Job | Kind::Bare => once(load),
                Kind::CronJob => cron_job(load, self.now),
            };
            if workload.kind == Kind::DaemonSet {
                let nodes = self.nodes.iter().filter(|node| node.pool == workload.pool).count();
                self.loads[place].replicas = u32::try_from(nodes).unwrap_or(0);
            }
            for id in wanted.delete {
                self.delete(place, id);
                self.note(place, id, "is deleted by its controller".to_owned());
            }
            if self.now >= self.loads[place].retry {
                missing.extend(wanted.create.into_iter().map(|ordinal| (place, ordinal)));
            }
        }
        missing
    }
}

/// The lowest ordinals that no pod has.
fn free(load: &Load, count: usize) -> Vec<u32> {
    let taken = |ordinal: &u32| load.pods.iter().any(|pod| pod.stays() && pod.ordinal == *ordinal);
    (0..).filter(|ordinal| !taken(ordinal)).take(count).collect()
}

fn deployment(load: &Load) -> Wanted {
    let staying: Vec<_> = load.pods.iter().filter(|pod| pod.stays()).collect();
    let wanted = load.replicas as usize;
    let old = staying.iter().filter(|pod| pod.revision < load.revision);
    let ready = staying.iter().filter(|pod| pod.ready).count();
    let has_old = old.clone().next().is_some();
    let most = wanted + usize::from(has_old);
    if staying.len() < most {
        return Wanted { create: free(load, most - staying.len()), ..Wanted::default() };
    }
    if has_old {
        // What is not ready goes first; a ready one goes once another has come up.
        let goes = old.min_by_key(|pod| (pod.ready, pod.id)).filter(|pod| !pod.ready || ready > wanted);
        return Wanted { delete: goes.iter().map(|pod| pod.id).collect(), ..Wanted::default() };
    }
    let mut extra: Vec<_> = staying;
    extra.sort_by_key(|pod| (!pod.ready, pod.id));
    Wanted { delete: extra.iter().skip(wanted).map(|pod| pod.id).collect(), ..Wanted::default() }
}

fn stateful_set(load: &Load, workload: &Workload) -> Wanted {
    let mut before_ready = true;
    for ordinal in 0..load.replicas {
        let Some(pod) = load.pods.iter().find(|pod| pod.ordinal == ordinal) else {
            let create = if before_ready { vec![ordinal] } else { Vec::new() };
            return Wanted { create, ..Wanted::default() };
        };
        before_ready &= pod.available();
    }
    let extra: Vec<_> = load
        .pods
        .iter()
        .filter(|pod| pod.ordinal >= load.replicas && pod.stays())
        .map(|pod| pod.id)
        .collect();
    if !extra.is_empty() {
        return Wanted { delete: extra, ..Wanted::default() };
    }
    let old =
        load.pods.iter().filter(|pod| pod.revision < load.revision && pod.ordinal >= workload.partition);
    let next =
        old.max_by_key(|pod| pod.ordinal).filter(|pod| !workload.on_delete && before_ready && pod.stays());
    Wanted { delete: next.iter().map(|pod| pod.id).collect(), ..Wanted::default() }
}

fn daemon_set(load: &Load, workload: &Workload, nodes: u32) -> Wanted {
    let there = |ordinal: &u32| load.pods.iter().any(|pod| pod.ordinal == *ordinal);
    let create: Vec<u32> = (0..nodes).filter(|ordinal| !there(ordinal)).collect();
    let all_ready = create.is_empty() && load.pods.iter().all(Pod::available);
    let old = load.pods.iter().find(|pod| pod.revision < load.revision);
    let next = old.filter(|_| all_ready && !workload.on_delete);
    Wanted { create, delete: next.iter().map(|pod| pod.id).collect() }
}

/// All pods at the beginning, and none after.
fn once(load: &Load) -> Wanted {
    let create = if load.started { Vec::new() } else { (0..load.replicas).collect() };
    Wanted { create, ..Wanted::default() }
}

/// One pod each hour.
fn cron_job(load: &Load, now: i64) -> Wanted {
    let due = load.pods.is_empty() && now % 3600 < 60;
    Wanted { create: if due { vec![0] } else { Vec::new() }, ..Wanted::default() }
}
