//! Whether the pods that are being watched wait for CPU: asked of Prometheus, beside the loop, about those pods alone.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::actuate::facts::Stalled;
use crate::cluster::index::{ObjectKey, Uid};
use crate::control::metrics::{Metrics, Source as SourceLabel};
use crate::sources::Source;
use crate::sources::prometheus::pressure::{PodName, read};
use crate::sources::prometheus::{Prometheus, PrometheusError};
use crate::units::Timestamp;

/// How often they are asked about.
const INTERVAL: Duration = Duration::from_secs(30);
/// A reading that is older than this, in seconds, is none.
const STALE: i64 = 180;
/// Pods that are asked about at once; the others are not judged by this.
const MOST_PODS: usize = 50;
/// Of how many it is asked at once how they were before, as each has a time of its own.
const MOST_BEFORE: usize = 10;

/// A pod that is being watched.
#[derive(Clone, Debug)]
pub(super) struct Observed {
    pub(super) uid: Uid,
    pub(super) name: ObjectKey,
    /// When it was changed.
    pub(super) since: Timestamp,
}

/// What is known of the watched pods.
#[derive(Debug, Default)]
pub(super) struct Pressure(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    observed: Vec<Observed>,
    /// The share before the change.
    before: HashMap<Uid, f32>,
    /// The last one, and when it was read.
    now: HashMap<Uid, (f32, Timestamp)>,
}

impl State {
    /// Those of whom it is not known yet how they were before.
    fn is_new(&self, pod: &Observed) -> bool {
        !self.before.contains_key(&pod.uid)
    }
}

impl Pressure {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// These are being watched from now on, and no others.
    pub(super) fn observe(&self, mut pods: Vec<Observed>) {
        pods.truncate(MOST_PODS);
        let mut state = self.state();
        let is_watched = |uid: &Uid| pods.iter().any(|pod| pod.uid == *uid);
        state.before.retain(|uid, _| is_watched(uid));
        state.now.retain(|uid, _| is_watched(uid));
        state.observed = pods;
    }

    /// What is known now. Where it is not known how a pod was before, nothing can be said of it.
    pub(super) fn known(&self, now: Timestamp) -> HashMap<Uid, Stalled> {
        let state = self.state();
        let fresh = state.now.iter().filter(|(_, (_, at))| now.seconds_since(*at) < STALE);
        let both = fresh.filter_map(|(uid, (share, _))| {
            Some((*uid, Stalled { before: *state.before.get(uid)?, now: *share }))
        });
        both.collect()
    }

    /// Asks until `stop`, as long as something is watched.
    pub(super) async fn run(
        self: Arc<Self>,
        prometheus: Prometheus,
        metrics: Arc<Metrics>,
        clock: fn() -> Timestamp,
        stop: CancellationToken,
    ) {
        let mut ticks = tokio::time::interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            let asked = tokio::select! {
                () = stop.cancelled() => return,
                asked = self.ask(&prometheus, clock) => asked,
            };
            if let Err(error) = asked {
                let label = SourceLabel { source: Source::Prometheus.word().to_owned() };
                metrics.source_errors.get_or_create(&label).inc();
                tracing::warn!(
                    error = error.to_string(),
                    "cannot see whether watched pods wait for CPU; trying again"
                );
            }
        }
    }

    async fn ask(&self, prometheus: &Prometheus, clock: fn() -> Timestamp) -> Result<(), PrometheusError> {
        let (observed, new) = {
            let state = self.state();
            let new = state.observed.iter().filter(|pod| state.is_new(pod)).take(MOST_BEFORE);
            (state.observed.clone(), new.cloned().collect::<Vec<_>>())
        };
        for pod in new {
            let ago = clock().seconds_since(pod.since).max(0);
            let share = read(prometheus, &[pod_name(&pod)], ago).await?.remove(&pod_name(&pod));
            self.state().before.extend(share.map(|share| (pod.uid, share)));
        }
        if observed.is_empty() {
            return Ok(());
        }
        let names: Vec<PodName> = observed.iter().map(pod_name).collect();
        let mut shares = read(prometheus, &names, 0).await?;
        let at = clock();
        let known = observed.iter().filter_map(|pod| Some((pod.uid, (shares.remove(&pod_name(pod))?, at))));
        let known: Vec<_> = known.collect();
        self.state().now.extend(known);
        Ok(())
    }
}

fn pod_name(pod: &Observed) -> PodName {
    (pod.name.namespace.to_string(), pod.name.name.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::object_key;

    #[test]
    fn only_what_is_known_from_before_and_lately_is_judged() {
        let pod = |number: u128| Observed {
            uid: Uid::from_number(number),
            name: object_key(&format!("web-{number}")),
            since: Timestamp(1000),
        };
        let pressure = Pressure::default();
        pressure.observe((0..60).map(pod).collect());
        assert_eq!(pressure.state().observed.len(), MOST_PODS);
        let fill = |state: &mut State| {
            state.before.insert(Uid::from_number(1), 0.1);
            for number in [1, 2] {
                state.now.insert(Uid::from_number(number), (0.5, Timestamp(1100)));
            }
        };
        fill(&mut pressure.state());
        let known = pressure.known(Timestamp(1200));
        assert_eq!(known.get(&Uid::from_number(1)), Some(&Stalled { before: 0.1, now: 0.5 }));
        assert_eq!(known.len(), 1);
        assert!(pressure.known(Timestamp(1300)).is_empty(), "too old");
        pressure.observe(vec![pod(2)]);
        fill(&mut pressure.state());
        pressure.observe(vec![pod(2)]);
        assert!(pressure.known(Timestamp(1200)).is_empty(), "not watched any more");
    }
}
