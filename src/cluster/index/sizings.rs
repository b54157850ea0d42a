//! What is kept of a Recommendation where only new pods are judged by it: what each container is to be given, in a fifth
//! of the memory of all that it says.

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::facts::{Size, WorkloadKey};
use super::group;
use super::intern::Interner;
use super::written::RolledBack;
use crate::api::{
    BoostDuration, ContainerKind, CpuLimitRule, Given, MemoryLimitRule, Mode, ROLLBACK, ResourceAmounts,
    ResourceName, Resources,
};
use crate::cluster::slim::{ContainerToStamp, ToStamp};
use crate::units::{Bytes, Cores, Timestamp};

/// What a Recommendation says of new pods.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sizing {
    /// The workload that it is about; `None` where it cannot be read.
    about: Option<About>,
    /// The mode of its policy; Recommend where it cannot be read.
    pub mode: Mode,
    /// What each container should have; empty where it says nothing yet.
    pub containers: Box<[ContainerSizing]>,
    /// What new pods are given, as the updater says.
    given: Given,
    /// What was before, where new pods are given that or may be.
    back: Option<Box<Back>>,
}

#[derive(Clone, Debug, PartialEq)]
struct About {
    api_version: Arc<str>,
    kind: Arc<str>,
    name: Box<str>,
}

#[derive(Clone, Debug, PartialEq)]
struct Back {
    /// Somebody wants it back until then.
    asked_until: Option<Timestamp>,
    had: Box<[(Arc<str>, Aim)]>,
}

/// What it says of one container.
#[derive(Clone, Debug, PartialEq)]
pub struct ContainerSizing {
    /// The container's name.
    pub name: Arc<str>,
    /// What it should run with.
    pub target: Aim,
    /// What few say.
    unusual: Option<Box<Unusual>>,
    /// What becomes of the CPU limit of a new pod.
    pub cpu_limit: CpuLimitRule,
    /// What becomes of its memory limit.
    pub memory_limit: MemoryLimitRule,
    /// Whether a container without a memory limit is given one.
    pub add_memory: bool,
    /// Whether memory is never lowered.
    pub keep_memory: bool,
    /// Its history is short.
    pub learning: bool,
    /// Its kind.
    pub kind: ContainerKind,
    /// The most that a request or limit may be.
    pub most: Size,
    /// Its CPU is sized, and no autoscaler holds it: else the target that stands there is only the current request.
    pub sizes_cpu: bool,
    /// Its memory is.
    pub sizes_memory: bool,
}

/// What few containers have.
#[derive(Clone, Debug, Default, PartialEq)]
struct Unusual {
    boost: Option<(u64, BoostDuration)>,
    headroom: Option<Bytes>,
    ratios: [Option<f64>; 2],
}

impl ContainerSizing {
    /// The thousandths of a core that a new pod requests for it while it starts up, and for how long.
    #[must_use]
    pub fn boost(&self) -> Option<(u64, BoostDuration)> {
        self.unusual.as_ref()?.boost
    }

    /// CPU limit over CPU request, and the same of memory, as the template states them, by rule Ratio.
    #[must_use]
    pub fn ratios(&self) -> [Option<f64>; 2] {
        self.unusual.as_ref().map(|unusual| unusual.ratios).unwrap_or_default()
    }

    /// How far above the request the memory limit is, by rule Headroom.
    #[must_use]
    pub fn headroom(&self) -> Option<Bytes> {
        self.unusual.as_ref()?.headroom
    }
}

/// What a container should run with; `None` is not said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Aim {
    /// Thousandths of a core that it requests.
    pub cpu: Option<u64>,
    /// Memory that it requests.
    pub memory: Option<Bytes>,
    /// Memory that it may not pass.
    pub memory_limit: Option<Bytes>,
}

impl Sizing {
    pub(super) fn of(object: &ToStamp, metadata: &ObjectMeta, names: &mut Interner<str>) -> Self {
        let reference = &object.spec.workload_ref;
        let asked = metadata.annotations.as_ref().and_then(|annotations| annotations.get(ROLLBACK));
        let asked = asked.and_then(|text| RolledBack::read(text).ok());
        let asked_until = asked.map(|asked| asked.until);
        let given = object.status.new_pods.map(|new_pods| new_pods.given).unwrap_or_default();
        let previous = &object.status.previous;
        let mut had = || previous.iter().map(|had| (names.text(&had.name), aim(&had.resources))).collect();
        let wanted = asked_until.is_some() || given == Given::Previous;
        let back = wanted.then(|| Box::new(Back { asked_until, had: had() }));
        let containers = object.status.containers.iter().map(|container| of_container(container, names));
        Self {
            containers: containers.collect(),
            about: Some(About {
                api_version: names.text(&reference.api_version),
                kind: names.text(&reference.kind),
                name: reference.name.as_str().into(),
            }),
            mode: object.spec.mode,
            given,
            back,
        }
    }

    /// True where it is about that workload.
    #[must_use]
    pub fn is_about(&self, workload: &WorkloadKey) -> bool {
        self.about.as_ref().is_some_and(|about| {
            *about.kind == *workload.kind
                && *about.name == *workload.name
                && group(&about.api_version) == group(&workload.api_version)
        })
    }

    /// What new pods are given: the updater's word, which a rollback that was asked for just now is ahead of.
    #[must_use]
    pub fn given(&self, now: Timestamp) -> Given {
        let asked_until = self.back.as_ref().and_then(|back| back.asked_until);
        if self.given == Given::Target && asked_until.is_some_and(|until| now < until) {
            return Given::Previous;
        }
        self.given
    }

    /// What a container had before, where new pods are given that.
    #[must_use]
    pub fn given_back(&self, container: &str, now: Timestamp) -> Option<&Aim> {
        let back = self.back.as_ref().filter(|_| self.given(now) == Given::Previous)?;
        back.had.iter().find(|(name, _)| **name == *container).map(|(_, had)| had)
    }
}

fn of_container(container: &ContainerToStamp, names: &mut Interner<str>) -> ContainerSizing {
    let boost = container.startup_boost.as_ref();
    let rules = &container.limit_rules;
    let unusual = Unusual {
        boost: boost.map(|boost| (boost.cpu.value().as_cores().to_milli(), boost.duration)),
        headroom: rules.headroom.as_ref().and_then(|more| more.value().as_bytes()),
        ratios: [rules.cpu_ratio, rules.memory_ratio],
    };
    let is_held = |resource| container.held.contains(&resource);
    ContainerSizing {
        name: names.text(&container.name),
        target: aim(&container.target),
        unusual: (unusual != Unusual::default()).then(|| Box::new(unusual)),
        cpu_limit: rules.cpu,
        memory_limit: rules.memory,
        add_memory: rules.add_memory,
        keep_memory: rules.keep_memory,
        learning: container.learning,
        kind: container.kind,
        most: Size {
            milli_cpu: container.max_allowed.cpu.as_ref().map(|cpu| Cores::to_milli(cpu.value().as_cores())),
            memory: memory(&container.max_allowed),
        },
        sizes_cpu: container.lower.cpu.is_some() && !is_held(ResourceName::Cpu),
        sizes_memory: memory(&container.lower).is_some() && !is_held(ResourceName::Memory),
    }
}

fn aim(resources: &Resources) -> Aim {
    let cpu = resources.requests.cpu.as_ref();
    Aim {
        cpu: cpu.map(|cpu| Cores::to_milli(cpu.value().as_cores())),
        memory: memory(&resources.requests),
        memory_limit: memory(&resources.limits),
    }
}

fn memory(amounts: &ResourceAmounts) -> Option<Bytes> {
    amounts.memory.as_ref().and_then(|memory| memory.value().as_bytes())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::cluster::index::{Fold, Index};
    use crate::cluster::slim::Stampable;
    use crate::testing::{NOW, object_key, recommendation, recommended, resources, workload};

    fn kept(annotations: &Value) -> Sizing {
        let app = recommended("app")
            .target("180m", "64Mi", "96Mi")
            .with("/kind", "Sidecar")
            .with("/reasons", json!([{}]))
            .with("/lower/memory", "32Mi")
            .with("/limitRules/cpu", "Remove")
            .with("/limitRules/memory", "Headroom")
            .with("/limitRules/headroom", "256Mi")
            .with("/limitRules/cpuRatio", 2.5)
            .with("/maxAllowed", json!({"cpu": "2", "memory": "1Gi"}))
            .with("/learning", true)
            .startup_boost("540m", "60s");
        let object = recommendation("web")
            .auto()
            .containers([app])
            .with("/metadata/annotations", annotations.clone())
            .with("/status/previous", json!([{"name": "app", "resources": resources("2", "1Gi", "96Mi")}]))
            .with("/status/replicas", "nobody reads this")
            .with("/status/conditions", 7);
        let mut index = Index::default();
        index.apply(object.object::<Stampable>(), NOW);
        index.sizings.get(&object_key("deployment-web")).unwrap().clone()
    }

    #[test]
    fn of_a_recommendation_is_kept_what_new_pods_are_given() {
        let sizing = kept(&json!({}));
        let workload = |api_version: &str, name: &str| workload(name).api_version(api_version).key();
        assert!(sizing.is_about(&workload("apps/v2", "web")) && sizing.mode == Mode::Auto);
        assert!(!sizing.is_about(&workload("apps/v1", "webs")) && !sizing.is_about(&workload("x/v1", "web")));
        let [app] = &*sizing.containers else { panic!("{sizing:?}") };
        assert_eq!(
            (&*app.name, app.kind, app.sizes_cpu, app.sizes_memory),
            ("app", ContainerKind::Sidecar, false, true)
        );
        let limit = Some(Bytes::from_mib(96));
        let target = Aim { cpu: Some(180), memory: Some(Bytes::from_mib(64)), memory_limit: limit };
        assert_eq!(app.target, target);
        assert_eq!((app.cpu_limit, app.memory_limit), (CpuLimitRule::Remove, MemoryLimitRule::Headroom));
        assert_eq!((app.headroom(), app.learning), (Some(Bytes::from_mib(256)), true));
        assert_eq!(app.ratios(), [Some(2.5), None]);
        assert_eq!((app.most.milli_cpu, app.most.memory), (Some(2000), Some(Bytes(1 << 30))));
        assert!(matches!(app.boost(), Some((540, BoostDuration::For(span))) if span.seconds == 60));
        assert_eq!(sizing.given_back("app", NOW), None);
    }

    #[test]
    fn a_resource_that_an_autoscaler_holds_is_not_sized() {
        let held = |held: Value| {
            let app =
                recommended("app").target("180m", "64Mi", "96Mi").lower("1m", "1Mi").with("/held", held);
            let mut index = Index::default();
            index.apply(recommendation("web").auto().containers([app]).object::<Stampable>(), NOW);
            let sizing = index.sizings.get(&object_key("deployment-web")).unwrap();
            (sizing.containers[0].sizes_cpu, sizing.containers[0].sizes_memory)
        };
        assert_eq!(held(json!([])), (true, true));
        assert_eq!(held(json!(["cpu"])), (false, true));
        assert_eq!(held(json!(["memory"])), (true, false));
    }

    #[test]
    fn a_container_costs_the_webhook_about_a_hundred_bytes_and_the_updater_twice_that() {
        let bytes = (size_of::<ContainerSizing>(), size_of::<crate::cluster::index::Advice>());
        assert!(bytes.0 <= 112 && bytes.1 <= 240, "{bytes:?}");
    }

    #[test]
    fn what_was_before_is_given_back_for_as_long_as_somebody_wants_it() {
        let asked =
            json!({"at": "2027-01-15T07:00:00Z", "until": "2027-01-15T09:00:00Z", "times": 1}).to_string();
        let sizing = kept(&json!({ROLLBACK: asked}));
        let had = sizing.given_back("app", NOW).unwrap();
        assert_eq!((had.cpu, had.memory), (Some(2000), Some(Bytes(1 << 30))));
        assert_eq!(sizing.given_back("other", NOW), None);
        assert_eq!(sizing.given_back("app", NOW.plus(7200)), None);
        assert_eq!(kept(&json!({ROLLBACK: "nonsense"})).given_back("app", NOW), None);
    }
}
