#![allow(clippy::cast_sign_loss, reason = "what is cast is positive")]

use super::*;
use crate::actuate::facts::{Method, PodId, Rules};
use crate::actuate::{Deed, Settings, Updater};
use crate::model::Confidence;
use crate::policy::{Amounts, ContainerSize, LimitRules, Recommendation};
use crate::testing::pure;
use crate::units::Timestamp;

const CALM: Settings = Settings {
    paused: false,
    resize_served: true,
    admission_answers: true,
    limits_only_grow: false,
    warming_up: false,
};

fn size(cores: f64) -> ContainerSize {
    pure::size((cores * 1000.0).round() as u64, 100, 100)
}

fn pod(id: PodId, cores: f64) -> Pod {
    Pod { created: Some(Timestamp(0)), revision: None, ..pure::pod(id, size(cores)) }
}

fn target(percent: u32) -> Target {
    Target { place: 0, measure: Measure::Cpu, container: None, percent, kept: None }
}

/// A load that is shared by as many pods as an autoscaler wants, each of them sized by what it uses.
struct World {
    workload: Workload,
    updater: Updater,
    now: i64,
    /// Cores that all pods together use.
    load: f64,
    /// The autoscaler's target moves with the request.
    moves: bool,
    made: PodId,
}

impl World {
    fn new(pods: u128, cores: f64, percent: u32, load: f64, moves: bool) -> Self {
        let scaler = Scaler { name: "web".into(), targets: vec![target(percent)] };
        let rules = Rules { method: Method::InPlace, min_replicas: 1, observe: 60, ..Rules::default() };
        let pods_of = (0..pods).map(|id| pod(id, cores)).collect();
        let scalers = vec![scaler];
        let workload =
            Workload { key: "shop/web".into(), rules, scalers, pods: pods_of, ..Workload::default() };
        let updater = Updater::new(10.0, 1.0);
        Self { workload, updater, now: 1_800_000_000, load, moves, made: pods }
    }

    fn request(&self) -> f64 {
        mean_request(&self.workload, &self.workload.scalers[0].targets[0]).unwrap()
    }

    /// Fifteen seconds: the autoscaler's turn, the recommender's, the updater's.
    fn turn(&mut self) {
        let usage = self.load / self.workload.pods.len() as f64;
        // Kubernetes: the number of pods times use over target, rounded up, but for a tolerance of a tenth.
        let target = f64::from(self.workload.scalers[0].targets[0].percent) / 100.0;
        let ratio = usage / (self.request() * target);
        if (ratio - 1.0).abs() > 0.1 {
            let wanted = (self.workload.pods.len() as f64 * ratio).ceil().clamp(1.0, 50.0) as usize;
            let newest = self.workload.pods.last().unwrap().containers[0].asked.cpu_request.unwrap().0;
            while self.workload.pods.len() < wanted {
                self.workload.pods.push(pod(self.made, newest));
                self.made += 1;
            }
            self.workload.pods.truncate(wanted);
        }
        let need = self.load / self.workload.pods.len() as f64 * 1.15;
        let advice = Recommendation {
            target: size(need),
            lower: size(need * 0.9),
            upper: size(need * 1.1),
            cpu_hold: None,
            memory_hold: None,
            limits: LimitRules::default(),
            most: Amounts::default(),
            young: false,
            confidence: Confidence::High,
        };
        self.workload.advice = vec![("app".into(), advice)];
        let now = Timestamp(self.now);
        let mut seen = self.workload.clone();
        if !self.moves {
            seen.scalers.clear();
        }
        let plan = self.updater.plan(&[seen], &CALM, now);
        let pods = plan.actions.len();
        for action in &plan.actions {
            self.updater.accepted(action, &self.workload.clone(), now);
            if let Deed::Resize(change) | Deed::PutBack(change) = &action.deed {
                let pod = self.workload.pods.iter_mut().find(|pod| pod.id == action.pod).unwrap();
                (pod.containers[0].asked, pod.containers[0].given) = (change.sizes[0].to, change.sizes[0].to);
            }
        }
        for (_, rescale) in &plan.rescales {
            assert!(pods == 0, "never both at once");
            for (of, kept) in &rescale.targets {
                let target = &mut self.workload.scalers[0].targets[of.place];
                (target.percent, target.kept) = (kept.percent, Some(*kept));
            }
        }
        self.now += 15;
    }
}

#[test]
fn at_what_is_scaled_stays_whatever_the_request_does() {
    let mut world = World::new(4, 0.2, 80, 0.4, true);
    let rescale = due(&world.workload).pop().unwrap();
    assert!(!rescale.moves(), "it is only noted at first");
    let noted = rescale.targets[0].1;
    assert!((noted.threshold - 0.16).abs() < 1e-9 && noted.percent == 80);
    world.workload.scalers[0].targets[0].kept = Some(noted);
    assert!(due(&world.workload).is_empty());
    // One of four is doubled: the mean is 250m.
    world.workload.pods[0].containers[0].asked = size(0.4);
    let rescale = due(&world.workload).pop().unwrap();
    assert_eq!((rescale.targets[0].1.percent, rescale.moves()), (64, true));
    // A person sets another one: what that comes to is kept from now on.
    world.workload.scalers[0].targets[0].percent = 50;
    let kept = due(&world.workload).pop().unwrap().targets[0].1;
    assert!((kept.threshold - 0.125).abs() < 1e-9 && kept.percent == 50);
    // A pod that asks for nothing is nothing to measure by.
    world.workload.pods[1].containers[0].asked.cpu_request = None;
    assert!(due(&world.workload).is_empty());
}

#[test]
fn a_target_of_one_container_goes_by_that_container() {
    let mut world = World::new(1, 0.2, 80, 0.4, true);
    let mut other = world.workload.pods[0].containers[0].clone();
    (other.name, other.asked) = ("side".into(), size(0.6));
    world.workload.pods[0].containers.push(other);
    let whole = due(&world.workload).pop().unwrap().targets[0].1.threshold;
    world.workload.scalers[0].targets[0].container = Some("app".into());
    let one = due(&world.workload).pop().unwrap().targets[0].1.threshold;
    assert!((whole - 0.64).abs() < 1e-9 && (one - 0.16).abs() < 1e-9, "{whole} {one}");
}

/// Load, pods, request and target far from what is needed, either way: after an hour nothing moves any more, and as
/// many pods are there as the load and what was scaled at call for.
#[test]
fn the_pair_converges() {
    for (cores, percent, load) in [(1.0, 60, 4.0), (0.1, 90, 2.0), (0.5, 50, 1.0), (0.25, 80, 9.0)] {
        let threshold = cores * f64::from(percent) / 100.0;
        let mut world = World::new(4, cores, percent, load, true);
        for _ in 0..2000 {
            world.turn();
        }
        let rest = (world.workload.pods.len(), world.request(), world.workload.scalers.clone());
        for _ in 0..500 {
            world.turn();
            let now = (world.workload.pods.len(), world.request(), world.workload.scalers.clone());
            assert_eq!(now, rest, "{cores} cores at {percent} %, load {load}");
        }
        let called_for = load / threshold;
        let pods = rest.0 as f64;
        assert!((pods - called_for).abs() <= called_for * 0.15 + 1.0, "{pods} pods, called for {called_for}");
        let need = load / pods * 1.15;
        assert!((rest.1 - need).abs() <= need * 0.15, "request {} where {need} is needed", rest.1);
    }
}

/// The same where the request alone moves: the two drive each other to the end of the scale.
#[test]
fn the_request_alone_would_drive_the_number_of_pods() {
    let mut world = World::new(4, 0.5, 60, 1.0, false);
    let called_for = 1.0 / 0.3;
    for _ in 0..2000 {
        world.turn();
    }
    let pods = world.workload.pods.len() as f64;
    assert!((pods - called_for).abs() > called_for, "{pods} pods");
}
