//! The questions: PromQL for what cAdvisor and kube-state-metrics know of containers.
//!
//! Each is summed up to one series a container, so that a second scrape of the same kubelet, a pair of Prometheus
//! replicas and a container's earlier cgroups neither double nor split it.

use std::collections::BTreeSet;

use super::options::LabelNames;
use super::pressure::PodName;

/// The shortest span over which a rate is taken: two scrapes at the usual interval of a minute, and some.
const SHORTEST_RATE: i64 = 150;

/// How far back the scrape before the last may be.
const TWO_SCRAPES: i64 = 300;

/// Questions about the containers of one namespace or of all.
#[derive(Clone, Debug)]
pub struct Queries {
    /// Labels of what the kubelet's cAdvisor says.
    pub usage: LabelNames,
    /// Labels of what kube-state-metrics says.
    pub state: LabelNames,
    only_usage: String,
    only_state: String,
    only_pods: String,
    /// All series must have this too.
    matcher: Option<String>,
}

impl Queries {
    /// What is asked of the kubelet's series.
    pub(super) fn matching_usage(&self) -> String {
        self.only_usage.clone()
    }

    /// What is asked of kube-state-metrics' series: of those of containers, or of all.
    pub(super) fn matching_state(&self, container: bool) -> String {
        if container { self.only_state.clone() } else { self.with_pod() }
    }

    fn with_pod(&self) -> String {
        let pod = format!("{}!=\"\",{}!=\"\"", self.state.pod, self.state.namespace);
        if self.only_pods.is_empty() { pod } else { format!("{pod},{}", self.only_pods) }
    }
}

impl Queries {
    /// For one namespace or all; `matcher` is what else all series must have.
    #[must_use]
    pub fn new(usage: &LabelNames, exported: bool, matcher: Option<&str>, namespace: Option<&str>) -> Self {
        let state = if exported { usage.exported() } else { usage.clone() };
        let more = |names: &LabelNames| {
            let namespace = namespace.map(|n| format!("{}={}", names.namespace, quoted(n)));
            [namespace, matcher.map(str::to_owned)].into_iter().flatten().collect::<Vec<_>>()
        };
        let joined = |mut first: Vec<String>, names: &LabelNames| {
            first.extend(more(names));
            first.join(",")
        };
        // A pod's own series has no container, and old versions name its pause container POD.
        let real = |LabelNames { namespace, pod, container }: &LabelNames| {
            vec![format!(r#"{container}!="",{container}!="POD",{pod}!="",{namespace}!="""#)]
        };
        Self {
            only_usage: joined(real(usage), usage),
            only_state: joined(real(&state), &state),
            only_pods: joined(Vec::new(), &state),
            matcher: matcher.map(str::to_owned),
            usage: usage.clone(),
            state,
        }
    }

    fn by(names: &LabelNames) -> String {
        format!("by ({}, {}, {})", names.namespace, names.pod, names.container)
    }

    fn by_usage(&self) -> String {
        Self::by(&self.usage)
    }

    fn by_state(&self) -> String {
        Self::by(&self.state)
    }

    /// CPU in cores, averaged over a step. Old versions have a series for each core.
    #[must_use]
    pub fn cpu(&self, step: i64) -> String {
        let (by, only, window) = (self.by_usage(), &self.only_usage, step.max(SHORTEST_RATE));
        format!("max {by} (sum without (cpu) (rate(container_cpu_usage_seconds_total{{{only}}}[{window}s])))")
    }

    /// CPU in cores between the last two scrapes.
    #[must_use]
    pub fn cpu_now(&self) -> String {
        let (by, only) = (self.by_usage(), &self.only_usage);
        let rate = format!("irate(container_cpu_usage_seconds_total{{{only}}}[{TWO_SCRAPES}s])");
        format!("max {by} (sum without (cpu) ({rate}))")
    }

    /// When each container was measured last, in seconds since 1970.
    #[must_use]
    pub fn scraped_at(&self) -> String {
        format!("max {} (timestamp({}))", self.by_usage(), self.memory_now())
    }

    /// The peak of the memory working set in a step, in bytes.
    #[must_use]
    pub fn memory(&self, step: i64) -> String {
        let (by, metric) = (self.by_usage(), self.memory_now());
        if step <= 60 {
            // No longer than between two scrapes: there is no peak between.
            return format!("max {by} ({metric})");
        }
        format!("max {by} (max_over_time({metric}[{step}s]))")
    }

    fn memory_now(&self) -> String {
        format!("container_memory_working_set_bytes{{{}}}", self.only_usage)
    }

    /// How many containers there are at a time.
    #[must_use]
    pub fn count(&self) -> String {
        format!("count(max {} ({}))", self.by_usage(), self.memory_now())
    }

    /// The share of scheduling periods in which a container was throttled, where it was.
    #[must_use]
    pub fn throttled(&self, step: i64) -> String {
        let (by, only, window) = (self.by_usage(), &self.only_usage, step.max(SHORTEST_RATE));
        let rate = |what: &str| {
            format!("max {by} (rate(container_cpu_cfs_{what}periods_total{{{only}}}[{window}s]))")
        };
        format!("({} / {}) > 0", rate("throttled_"), rate(""))
    }

    /// The same between the last two scrapes, so many seconds ago, of all containers that have a CPU limit.
    #[must_use]
    pub fn throttled_at(&self, ago: i64) -> String {
        let (by, only, before) = (self.by_usage(), &self.only_usage, offset(ago));
        let rate = |what: &str| {
            let counter = format!("container_cpu_cfs_{what}periods_total{{{only}}}");
            format!("max {by} (irate({counter}[{TWO_SCRAPES}s]{before}))")
        };
        format!("{} / {}", rate("throttled_"), rate(""))
    }

    /// The share of time between the last two scrapes in which all tasks of a container waited for CPU, where that is
    /// more than a twentieth: the kernel's pressure stall information, which a kubelet shows on cgroup v2. So many
    /// seconds ago.
    #[must_use]
    pub fn starved_at(&self, ago: i64) -> String {
        let (by, only, before) = (self.by_usage(), &self.only_usage, offset(ago));
        let counter = format!("container_pressure_cpu_stalled_seconds_total{{{only}}}");
        format!("max {by} (irate({counter}[{TWO_SCRAPES}s]{before})) > 0.05")
    }

    /// The share of time between the last two scrapes in which all tasks of a container waited for memory, likewise.
    #[must_use]
    pub fn memory_starved_at(&self, ago: i64) -> String {
        let (by, only, before) = (self.by_usage(), &self.only_usage, offset(ago));
        let counter = format!("container_pressure_memory_stalled_seconds_total{{{only}}}");
        format!("max {by} (irate({counter}[{TWO_SCRAPES}s]{before})) > 0.05")
    }

    /// Cores of the largest node that a kubelet tells of.
    #[must_use]
    pub fn largest_node(&self) -> String {
        let matcher = self.matcher.as_deref().unwrap_or_default();
        format!("max(machine_cpu_cores{{{matcher}}})")
    }

    /// Containers of which something was known so many seconds ago.
    #[must_use]
    pub fn known(&self, ago: i64) -> String {
        format!("max {} ({}{})", self.by_usage(), self.memory_now(), offset(ago))
    }

    /// OOM kills that a container's cgroup counts, where there were some.
    #[must_use]
    pub fn oom_total(&self) -> String {
        let (by, only) = (self.by_usage(), &self.only_usage);
        format!("max {by} (container_oom_events_total{{{only}}}) > 0")
    }

    /// Seconds since a container started, where they are fewer than `below`.
    #[must_use]
    pub fn young(&self, below: i64) -> String {
        let (by, only) = (self.by_usage(), &self.only_usage);
        format!("(time() - max {by} (container_start_time_seconds{{{only}}})) < {below}")
    }

    /// OOM kills in a container's cgroup since a step ago, where there were some, as the kubelet saw them.
    #[must_use]
    pub fn oom_events(&self, step: i64) -> String {
        let (by, only) = (self.by_usage(), &self.only_usage);
        grown(&format!("max {by} (container_oom_events_total{{{only}}}"), step)
    }

    /// Restarts since a step ago of containers whose last end was an OOM kill, where there were some.
    ///
    /// The kubelet's own count goes with the container, often before it is scraped; this one stays with the pod.
    #[must_use]
    pub fn oom_restarts(&self, step: i64) -> String {
        let (by, only) = (self.by_state(), &self.only_state);
        let restarts = grown(&format!("max {by} (kube_pod_container_status_restarts_total{{{only}}}"), step);
        format!(
            "({restarts}) and (max {by} \
             (kube_pod_container_status_last_terminated_reason{{reason=\"OOMKilled\",{only}}}) > 0)"
        )
    }

    /// Requests or limits, by container and resource. Over the last `window` seconds where that is more than 0.
    #[must_use]
    pub fn sizes(&self, what: &str, window: i64) -> String {
        let LabelNames { namespace, pod, container } = &self.state;
        let metric = format!("kube_pod_container_resource_{what}{{{}}}", self.only_state);
        format!("max by ({namespace}, {pod}, {container}, resource) ({})", over(&metric, window))
    }

    /// Memory limits as the kubelet set them; 0 is none.
    #[must_use]
    pub fn cgroup_limits(&self, window: i64) -> String {
        let metric = format!("container_spec_memory_limit_bytes{{{}}}", self.only_usage);
        format!("max {} ({})", self.by_usage(), over(&metric, window))
    }

    /// Who controls each pod that there was in the last `window` seconds.
    #[must_use]
    pub fn pod_owners(&self, window: i64) -> String {
        let LabelNames { namespace, pod, .. } = &self.state;
        self.owners(&format!("{namespace}, {pod}"), "kube_pod_owner", window)
    }

    /// Who controls each ReplicaSet.
    #[must_use]
    pub fn replicaset_owners(&self, window: i64) -> String {
        self.owners(&format!("{}, replicaset", self.state.namespace), "kube_replicaset_owner", window)
    }

    /// Who controls each Job.
    #[must_use]
    pub fn job_owners(&self, window: i64) -> String {
        let names = format!("{}, job_name", self.state.namespace);
        self.owners(&names, "kube_job_owner", window)
    }

    fn owners(&self, by: &str, metric: &str, window: i64) -> String {
        let metric = format!("{metric}{{{}}}", self.only_pods);
        format!("max by ({by}, owner_kind, owner_name) ({})", over(&metric, window))
    }
}

fn offset(ago: i64) -> String {
    if ago > 0 { format!(" offset {ago}s") } else { String::new() }
}

/// What the kubelet's series of these pods have. Of each namespace's pods and of each name's namespaces all: whoever
/// asks leaves out the others.
pub(super) fn matching(names: &LabelNames, pods: &[PodName]) -> String {
    let any = |of: fn(&PodName) -> &String| {
        let all: BTreeSet<String> = pods.iter().map(|pod| of(pod).replace('.', "\\.")).collect();
        quoted(&all.into_iter().collect::<Vec<_>>().join("|"))
    };
    let (namespaces, pods) = (any(|(namespace, _)| namespace), any(|(_, pod)| pod));
    format!("{}=~{namespaces},{}=~{pods}", names.namespace, names.pod)
}

fn over(metric: &str, window: i64) -> String {
    if window > 0 { format!("max_over_time({metric}[{window}s])") } else { metric.to_owned() }
}

/// What a counter has grown by since `step` seconds ago. `increase` would leave out what falls between the last
/// sample of one step and the first of the next.
fn grown(counter: &str, step: i64) -> String {
    format!("({counter}) - {counter} offset {step}s)) > 0")
}

/// A label's value as PromQL writes it.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queries() -> Queries {
        Queries::new(&LabelNames::default(), false, None, None)
    }

    #[test]
    fn the_questions_as_they_are_asked() {
        let only = r#"container!="",container!="POD",pod!="",namespace!="""#;
        assert_eq!(
            queries().cpu(300),
            format!(
                "max by (namespace, pod, container) \
                 (sum without (cpu) (rate(container_cpu_usage_seconds_total{{{only}}}[300s])))"
            )
        );
        assert!(queries().cpu(60).contains("[150s]"));
        assert!(queries().memory(60).ends_with(&format!("(container_memory_working_set_bytes{{{only}}})")));
        assert_eq!(
            queries().oom_events(300),
            format!(
                "(max by (namespace, pod, container) (container_oom_events_total{{{only}}}) - \
                 max by (namespace, pod, container) (container_oom_events_total{{{only}}} offset 300s)) > 0"
            )
        );
    }

    #[test]
    fn some_pods_at_a_time_of_before() {
        let pod = |namespace: &str, name: &str| (namespace.to_owned(), name.to_owned());
        let pods = [pod("shop", "web.1"), pod("shop", "db-0"), pod("other", "db-0")];
        let only = matching(&LabelNames::default(), &pods);
        assert_eq!(only, r#"namespace=~"other|shop",pod=~"db-0|web\\.1""#);
        let queries = Queries::new(&LabelNames::default(), false, Some(&only), None);
        assert!(queries.throttled_at(70).contains("[300s] offset 70s))"), "{}", queries.throttled_at(70));
        assert!(!queries.starved_at(0).contains("offset"));
        assert!(queries.known(5).ends_with(r#""} offset 5s)"#), "{}", queries.known(5));
    }

    #[test]
    fn other_labels_a_matcher_and_a_namespace() {
        let names: LabelNames = "ns,pod_name,container_name".parse().unwrap();
        let queries = Queries::new(&names, true, Some(r#"cluster="prod""#), Some("sh\"op"));
        let cpu = queries.cpu(300);
        assert!(cpu.contains("by (ns, pod_name, container_name)"), "{cpu}");
        assert!(cpu.contains(r#"pod_name!="",ns!="",ns="sh\"op",cluster="prod"}"#), "{cpu}");
        let owners = queries.pod_owners(0);
        assert!(owners.contains("by (exported_ns, exported_pod_name, owner_kind, owner_name)"), "{owners}");
        assert!(owners.contains(r#"kube_pod_owner{exported_ns="sh\"op",cluster="prod"}"#), "{owners}");
    }
}
