//! What is known of a workload's first pod, as it is decided by and as the API server holds it.

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff;

use super::status;
use crate::actuate::facts::SizesByName;
use crate::actuate::{Degraded, How, Remembered, Watched};
use crate::api::{Canary, ChangedBy, Harm, PreviousSize};
use crate::cluster::index::{Uid, sizes_of};
use crate::control::updater::view;
use crate::units::Timestamp;

/// `None` where there is nothing to keep.
pub(super) fn written(remembered: &Remembered) -> Option<Canary> {
    let Remembered { watched, harm } = remembered;
    let watched = watched.as_ref().map(|watched| crate::api::WatchedPod {
        uid: Uid::from_number(watched.pod).to_string(),
        since: time(watched.since),
        by: match watched.how {
            How::InPlace => ChangedBy::Resize,
            How::Restart => ChangedBy::Restart,
            How::Replace => ChangedBy::Eviction,
        },
        containers: containers(watched),
        restarts: watched.restarts,
        ready: watched.was_ready,
    });
    let harm = harm.as_ref().map(|harm| Harm {
        evidence: harm.evidence.clone(),
        at: time(harm.at),
        until: time(harm.until),
        times: harm.times,
        oom_killed: harm.killed,
        new_pods: harm.new_pods.map(status::given),
    });
    (watched.is_some() || harm.is_some()).then_some(Canary { watched, harm })
}

fn containers(watched: &Watched) -> Vec<PreviousSize> {
    let target = |name: &str| watched.targets.iter().find(|(other, _)| **other == *name);
    let before = watched.before.iter().map(|(name, had)| PreviousSize {
        name: name.to_string(),
        resources: status::resources(had),
        target: target(name).map(|(_, size)| status::resources(size)).unwrap_or_default(),
    });
    before.collect()
}

/// As it is decided by.
pub(super) fn read(canary: &Canary) -> Remembered {
    let of = |containers: &[PreviousSize], which: fn(&PreviousSize) -> &crate::api::Resources| {
        let size = |one: &PreviousSize| (Arc::from(one.name.as_str()), view::size(&sizes_of(which(one))));
        containers.iter().map(size).collect::<SizesByName>()
    };
    let watched = canary.watched.as_ref().map(|watched| Watched {
        pod: Uid::from(watched.uid.as_str()).number(),
        since: Timestamp(watched.since.0.as_second()),
        how: match watched.by {
            ChangedBy::Resize => How::InPlace,
            ChangedBy::Restart => How::Restart,
            ChangedBy::Eviction => How::Replace,
        },
        before: of(&watched.containers, |one| &one.resources),
        targets: of(&watched.containers, |one| &one.target),
        restarts: watched.restarts,
        was_ready: watched.ready,
    });
    let harm = canary.harm.as_ref().map(|harm| Degraded {
        evidence: harm.evidence.clone(),
        at: Timestamp(harm.at.0.as_second()),
        until: Timestamp(harm.until.0.as_second()),
        times: harm.times,
        asked: false,
        killed: harm.oom_killed,
        new_pods: harm.new_pods.map(status::given_of),
    });
    Remembered { watched, harm }
}

fn time(at: Timestamp) -> Time {
    Time(jiff::Timestamp::from_second(at.0).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actuate::Given;
    use crate::policy::ContainerSize;
    use crate::testing::{NOW, pure::size};
    use crate::units::{Bytes, Cores};

    #[test]
    fn what_is_written_is_read_again() {
        let size = ContainerSize { memory_limit: Some(Bytes(123_456_789)), ..size(180, 300, 0) };
        let all = Remembered {
            watched: Some(Watched {
                pod: Uid::from("0f2a3b4c-0000-4000-8000-00000000abcd").number(),
                since: NOW,
                how: How::Restart,
                before: vec![("app".into(), size)],
                targets: vec![("app".into(), ContainerSize { cpu_limit: Some(Cores(1.0)), ..size })],
                restarts: 3,
                was_ready: true,
            }),
            harm: Some(Degraded {
                evidence: "a container was OOM killed".to_owned(),
                at: NOW,
                until: NOW.plus(3600),
                times: 2,
                asked: false,
                killed: true,
                new_pods: Some(Given::Previous),
            }),
        };
        let text = serde_json::to_string(&written(&all).unwrap()).unwrap();
        assert_eq!(read(&serde_json::from_str(&text).unwrap()), all);
        assert_eq!(written(&Remembered::default()), None);
    }
}
