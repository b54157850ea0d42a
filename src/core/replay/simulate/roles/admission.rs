//! Admission: the template of a new pod through `admit::admit`, and its patch applied.

use std::collections::BTreeMap;

use serde_json::json;

use super::super::scene::{Part, Workload};
use super::super::size::{Size, mib};
use super::super::world::World;
use super::recommender::Advice;
use super::time;
use crate::actuate::facts::SizesByName;
use crate::admit::{self, Bounds, Extent, Kind, Left, Operation, Pod, Range, Verdict, Want};
use crate::policy::Amounts;
use crate::units::{Bytes, Cores, Quantity};

/// Sizes that admission gives to a new pod; `None` where it leaves the pod alone. `back`: what pods had before, where
/// new ones are to be given that.
pub(in crate::replay::simulate) fn admitted(
    world: &World<'_>,
    (workload, template): (&Workload, &[Size]),
    advice: &Advice,
    back: Option<&SizesByName>,
) -> Option<Vec<Size>> {
    let wants = advice.iter().zip(&workload.containers).map(|((name, advice), spec)| {
        let back = back.and_then(|back| back.iter().find(|(other, _)| other == name));
        let mut wanted = Want::of(advice, kind(spec.part));
        if let Some((_, had)) = back {
            (wanted.most, wanted.young, wanted.given_back) = (Amounts::default(), false, true);
            wanted.cpu = wanted.cpu.and(had.cpu_request.map(Cores::to_milli));
            wanted.memory = wanted.memory.and(had.memory_request.map(|bytes| bytes.0));
            wanted.memory_limit = had.memory_limit.map(|bytes| bytes.0);
        }
        if workload.hpa_percent.is_some() && !workload.hpa_moves {
            wanted.cpu = None;
        }
        (&**name, wanted)
    });
    let wanted = admit::Advice { recommendation: "simulated", wants: wants.collect() };
    let pod = pod(workload, template, advice)?;
    let operations = match admit::admit(&pod, &wanted, &bounds(world, workload), time(world.now)) {
        Verdict::Stamp { operations, .. } => operations,
        Verdict::Stamped | Verdict::Leave(_) => return None,
    };
    let mut sizes = template.to_vec();
    for operation in &operations {
        apply(&mut sizes, workload, operation);
    }
    Some(sizes)
}

fn kind(part: Part) -> Kind {
    match part {
        Part::Main => Kind::Container,
        Part::Sidecar => Kind::Sidecar,
        Part::Init => Kind::Init,
    }
}

/// The pod as an admission review carries it; `None` where it cannot be read.
fn pod(workload: &Workload, template: &[Size], advice: &Advice) -> Option<Pod> {
    let (mut main, mut init) = (Vec::new(), Vec::new());
    for ((container, size), (name, _)) in workload.containers.iter().zip(template).zip(advice) {
        let requests = amounts(size.cpu, size.memory);
        let resources = json!({"requests": requests, "limits": amounts(size.cpu_limit, size.memory_limit)});
        let policy = (container.part == Part::Sidecar).then_some("Always");
        let made = json!({"name": &**name, "resources": resources, "restartPolicy": policy});
        if container.part == Part::Main {
            main.push(made);
        } else {
            init.push(made);
        };
    }
    let pod = json!({"metadata": {}, "spec": {"containers": main, "initContainers": init}});
    Pod::read(&pod.to_string())
}

fn amounts(cpu: Option<u64>, memory: Option<u64>) -> BTreeMap<&'static str, String> {
    let cpu = cpu.map(|milli| ("cpu", format!("{milli}m")));
    let memory = memory.map(|bytes| ("memory", bytes.to_string()));
    cpu.into_iter().chain(memory).collect()
}

/// Applies one operation of the patch; those that are not about resources change nothing here.
fn apply(sizes: &mut [Size], workload: &Workload, operation: &Operation) {
    let (path, value) = match operation {
        Operation::Add { path, value } => (path, Some(value)),
        Operation::Remove { path } => (path, None),
    };
    let mut parts = path.trim_start_matches('/').split('/');
    let (Some("spec"), Some(list), Some(index), Some("resources")) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return;
    };
    let Some(what) = parts.next() else { return };
    let (main, index) = (list == "containers", index.parse::<usize>().unwrap_or(usize::MAX));
    let mut alike = sizes
        .iter_mut()
        .zip(&workload.containers)
        .filter(|(_, spec)| (spec.part == Part::Main) == main)
        .map(|(size, _)| size);
    let Some(size) = alike.nth(index) else { return };
    let read = |name: &str| -> Option<Quantity> { value?.get(name)?.as_str()?.parse().ok() };
    let cpu = read("cpu").map(|quantity| quantity.as_cores().to_milli());
    let memory = read("memory").and_then(Quantity::as_bytes).map(|bytes: Bytes| bytes.0);
    if what == "requests" {
        (size.cpu, size.memory) = (cpu, memory);
    } else {
        (size.cpu_limit, size.memory_limit) = (cpu, memory);
    }
}

fn bounds(world: &World<'_>, workload: &Workload) -> Bounds {
    let Some(namespace) = world.scene.namespaces.get(workload.namespace) else { return Bounds::default() };
    let (used, hard) = (world.used(workload.namespace), world.hard(workload.namespace));
    let left = |which: usize| Some(hard.get(which).copied().flatten()?.saturating_sub(*used.get(which)?));
    Bounds {
        container: Extent {
            cpu: Range { most: namespace.most_milli, ..Range::default() },
            memory: Range {
                least: namespace.least_mib.map(mib),
                most: namespace.most_mib.map(mib),
                default_limit: None,
                ratio: namespace.ratio.map(|ratio| ratio * 1000),
            },
        },
        pod: Extent::default(),
        left: Left {
            cpu_requests: left(0),
            cpu_limits: None,
            memory_requests: left(1),
            memory_limits: left(2),
            spares_best_effort: false,
        },
    }
}
