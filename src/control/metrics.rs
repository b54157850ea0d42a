//! What `/metrics` serves. Labels are bounded: namespaces and workloads yes, pods never.

pub mod reference;

use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

/// A number that is no whole one.
pub type Float = Gauge<f64, AtomicU64>;

macro_rules! label {
    ($name:ident { $($field:ident),* }) => {
        /// Labels of a metric.
        #[derive(Clone, Debug, Default, PartialEq, Eq, Hash, EncodeLabelSet)]
        pub struct $name { $(#[doc = stringify!($field)] pub $field: String),* }
    };
}
label!(Source { source });
label!(Reason { reason });
label!(Outcome { outcome });
label!(Action { action, outcome });
label!(Resource { resource });
label!(Admission { result, reason });
label!(Certificate { certificate });
label!(Namespace { namespace });
label!(Container { namespace, kind, workload, container });

/// All metrics of the process.
#[derive(Debug)]
pub struct Metrics {
    registry: Mutex<Registry>,
    /// Samples taken in.
    pub samples: Family<Source, Counter>,
    /// Samples refused.
    pub refused: Family<Reason, Counter>,
    /// Failed readings of a source.
    pub source_errors: Family<Source, Counter>,
    /// OOM kills seen.
    pub oom_kills: Family<Namespace, Counter>,
    /// Memory evictions seen.
    pub evictions: Family<Namespace, Counter>,
    /// Writes of recommendations and policies' status.
    pub writes: Family<Outcome, Counter>,
    /// Recommendations.
    pub recommendations: Family<Namespace, Gauge>,
    /// Container series in memory.
    pub series: Gauge,
    /// Pods in memory.
    pub pods: Gauge,
    /// Watches that are up to date.
    pub watch_synced: Family<Resource, Gauge>,
    /// 1 where this process leads.
    pub leader: Gauge,
    /// Time that a round took.
    pub round: Histogram,
    /// What the updater has done, or was refused.
    pub actions: Family<Action, Counter>,
    /// Pods that are left as they are, though they should change.
    pub held_pods: Family<Reason, Gauge>,
    /// Whether new pods come up with their sizes: 1 yes, 0 no, -1 not known.
    pub admission_answers: Gauge,
    /// Time that the updater's planning took.
    pub updater_round: Histogram,
    /// Admission reviews answered.
    pub admissions: Family<Admission, Counter>,
    /// Time that an answer to one took, from its last byte on.
    pub admission: Histogram,
    /// Requests to the webhook that were no admission review, or could not be read in full.
    pub admission_refusals: Family<Reason, Counter>,
    /// Open connections to the webhook.
    pub admission_connections: Gauge,
    /// When each of the webhook's certificates ends, in seconds since 1970.
    pub certificate_expiry: Family<Certificate, Gauge>,
    /// What a container's CPU request should be.
    pub target_cpu: Family<Container, Float>,
    /// What a container's memory request should be.
    pub target_memory: Family<Container, Float>,
}

impl Default for Metrics {
    fn default() -> Self {
        let metrics = Self {
            registry: Mutex::default(),
            samples: Family::default(),
            refused: Family::default(),
            source_errors: Family::default(),
            oom_kills: Family::default(),
            evictions: Family::default(),
            writes: Family::default(),
            recommendations: Family::default(),
            series: Gauge::default(),
            pods: Gauge::default(),
            watch_synced: Family::default(),
            leader: Gauge::default(),
            round: Histogram::new([0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0]),
            actions: Family::default(),
            held_pods: Family::default(),
            admission_answers: Gauge::default(),
            updater_round: Histogram::new([0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0]),
            admissions: Family::default(),
            admission: Histogram::new([
                0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002, 0.005, 0.02, 0.1, 0.5,
            ]),
            admission_refusals: Family::default(),
            admission_connections: Gauge::default(),
            certificate_expiry: Family::default(),
            target_cpu: Family::default(),
            target_memory: Family::default(),
        };
        let mut registry = Registry::with_prefix("plumb");
        metrics.register(&mut registry);
        Self { registry: Mutex::new(registry), ..metrics }
    }
}

impl Metrics {
    fn register(&self, registry: &mut Registry) {
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The program", build);
        registry.register("samples", "Usage samples taken in", self.samples.clone());
        registry.register("samples_refused", "Usage samples that were refused", self.refused.clone());
        registry.register(
            "source_errors",
            "Failed readings of a source of usage",
            self.source_errors.clone(),
        );
        registry.register("oom_kills", "OOM kills of containers seen", self.oom_kills.clone());
        registry.register(
            "memory_evictions",
            "Containers evicted because their node was low on memory",
            self.evictions.clone(),
        );
        registry.register("writes", "Writes to the API server", self.writes.clone());
        registry.register("recommendations", "Recommendations that hold now", self.recommendations.clone());
        registry.register("container_series", "Container series in memory", self.series.clone());
        registry.register("pods", "Pods in memory", self.pods.clone());
        registry.register("watch_synced", "1 where a watch is up to date", self.watch_synced.clone());
        registry.register("leader", "1 where this process writes", self.leader.clone());
        registry.register("updater_actions", "What the updater did, or was refused", self.actions.clone());
        registry.register(
            "updater_held_pods",
            "Pods that should change and are left alone, by reason",
            self.held_pods.clone(),
        );
        registry.register(
            "admission_answers",
            "1 where new pods come up with their sizes, 0 where not, -1 where not known",
            self.admission_answers.clone(),
        );
        registry.register_with_unit(
            "updater_plan_duration",
            "Time that one planning of the updater took",
            Unit::Seconds,
            self.updater_round.clone(),
        );
        registry.register_with_unit(
            "round_duration",
            "Time from reading usage to the last write",
            Unit::Seconds,
            self.round.clone(),
        );
        self.register_admission(registry);
        registry.register_with_unit(
            "container_target_cpu_request",
            "CPU request that a container should have",
            Unit::Other("cores".to_owned()),
            self.target_cpu.clone(),
        );
        registry.register_with_unit(
            "container_target_memory_request",
            "Memory request that a container should have",
            Unit::Bytes,
            self.target_memory.clone(),
        );
    }

    fn register_admission(&self, registry: &mut Registry) {
        registry.register("admission_requests", "Admission reviews answered", self.admissions.clone());
        registry.register_with_unit(
            "admission_duration",
            "Time from the last byte of an admission review to its answer",
            Unit::Seconds,
            self.admission.clone(),
        );
        registry.register(
            "admission_refusals",
            "Requests to the webhook that were no whole admission review, or were answered late",
            self.admission_refusals.clone(),
        );
        registry.register(
            "admission_connections",
            "Open connections to the webhook",
            self.admission_connections.clone(),
        );
        registry.register_with_unit(
            "certificate_expiry_timestamp",
            "When a certificate of the webhook ends",
            Unit::Seconds,
            self.certificate_expiry.clone(),
        );
    }

    /// Gives each metric with labels a value, so that it is on the page. A new one does not compile before it is here.
    fn touch(&self) {
        let Self {
            registry: _,
            samples,
            refused,
            source_errors,
            oom_kills,
            evictions,
            writes,
            recommendations,
            series: _,
            pods: _,
            watch_synced,
            leader: _,
            round: _,
            actions,
            held_pods,
            admission_answers: _,
            updater_round: _,
            admissions,
            admission: _,
            admission_refusals,
            admission_connections: _,
            certificate_expiry,
            target_cpu,
            target_memory,
        } = self;
        for of in [samples, source_errors] {
            drop(of.get_or_create(&Source::default()));
        }
        for of in [refused, admission_refusals] {
            drop(of.get_or_create(&Reason::default()));
        }
        for of in [oom_kills, evictions] {
            drop(of.get_or_create(&Namespace::default()));
        }
        for of in [target_cpu, target_memory] {
            drop(of.get_or_create(&Container::default()));
        }
        drop(writes.get_or_create(&Outcome::default()));
        drop(recommendations.get_or_create(&Namespace::default()));
        drop(watch_synced.get_or_create(&Resource::default()));
        drop(actions.get_or_create(&Action::default()));
        drop(held_pods.get_or_create(&Reason::default()));
        drop(admissions.get_or_create(&Admission::default()));
        drop(certificate_expiry.get_or_create(&Certificate::default()));
    }

    /// Sets anew what is counted per round, so that what is gone is gone; nobody reads it half-way.
    pub fn replace(&self, set: impl FnOnce(&Self)) {
        let guard = self.registry.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        self.recommendations.clear();
        self.target_cpu.clear();
        self.target_memory.clear();
        set(self);
        drop(guard);
    }

    /// All of it, as OpenMetrics text.
    ///
    /// # Errors
    /// Where a value cannot be written.
    pub fn text(&self) -> Result<String, fmt::Error> {
        let registry = self.registry.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut text = String::new();
        text::encode(&mut text, &registry)?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_convention() {
        let metrics = Metrics::default();
        metrics.samples.get_or_create(&Source { source: "metrics-server".to_owned() }).inc_by(3);
        metrics.leader.set(1);
        metrics.round.observe(0.2);
        metrics.target_cpu.get_or_create(&Container::default()).set(0.25);
        let text = metrics.text().unwrap();
        for line in [
            "plumb_samples_total{source=\"metrics-server\"} 3",
            "plumb_leader 1",
            "plumb_round_duration_seconds_count 1",
            "plumb_container_target_cpu_request_cores{namespace=\"\",kind=\"\",workload=\"\",container=\"\"} 0.25",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }
}
