//! Whose a pod is, where the cluster itself cannot be asked: by what kube-state-metrics remembers of owners, and where
//! there is none by what controllers call their pods.

use std::collections::HashMap;
use std::fmt;

use super::{Prometheus, PrometheusError, Queries, Range, Series};
use crate::units::Timestamp;

/// The letters of the random ends of pods' names (apimachinery's `util/rand`): no vowels, and no digits like them.
const RANDOM: &str = "bcdfghjklmnpqrstvwxz2456789";
/// The kind of what controls a pod by its name's look, where several would fit.
pub const UNKNOWN: &str = "Unknown";

/// A workload by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Workload {
    /// Namespace.
    pub namespace: String,
    /// Kind, such as Deployment; [`UNKNOWN`] where only the name is known.
    pub kind: String,
    /// Name.
    pub name: String,
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
    }
}

/// From where it is known whose a pod is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// From the API server.
    Cluster,
    /// From kube-state-metrics' series.
    StateMetrics,
    /// From the pod's name.
    Name,
}

impl Origin {
    /// In words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Cluster => "the API server",
            Self::StateMetrics => "kube-state-metrics",
            Self::Name => "the pods' names",
        }
    }
}

/// Whose each pod is.
#[derive(Debug, Default)]
pub struct Owners {
    pods: HashMap<(String, String), (Workload, Origin)>,
    /// ReplicaSets and Jobs by namespace, kind and name: whose they are.
    between: HashMap<(String, &'static str, String), (String, String)>,
    /// Kinds of the workloads that are known, by namespace and name.
    kinds: HashMap<(String, String), String>,
}

impl Owners {
    /// Notes whose a pod is, as the API server has it.
    pub fn insert(&mut self, pod: &str, workload: Workload) {
        self.note((workload.namespace.clone(), pod.to_owned()), workload, Origin::Cluster);
    }

    fn note(&mut self, pod: (String, String), workload: Workload, origin: Origin) {
        // A Pod that owns itself says nothing of other pods of like names.
        if workload.kind != "Pod" {
            self.kinds.insert((workload.namespace.clone(), workload.name.clone()), workload.kind.clone());
        }
        self.pods.insert(pod, (workload, origin));
    }

    /// Learns what kube-state-metrics said in a span of time. Nothing where it is not there.
    ///
    /// # Errors
    /// When there is no answer, or none that makes sense.
    pub async fn learn(
        &mut self,
        prometheus: &Prometheus,
        queries: &Queries,
        span: Range,
    ) -> Result<(), PrometheusError> {
        let window = span.end.seconds_since(span.start).max(span.step);
        let ask = |query: String, at: Timestamp| async move { prometheus.instant(&query, at).await };
        let sets = ask(queries.replicaset_owners(window), span.end).await?;
        let jobs = ask(queries.job_owners(window), span.end).await?;
        let pods = ask(queries.pod_owners(window), span.end).await?;
        self.take(queries, &sets, &jobs, &pods);
        Ok(())
    }

    fn take(&mut self, queries: &Queries, sets: &[Series], jobs: &[Series], pods: &[Series]) {
        let names = &queries.state;
        for (list, kind, label) in [(sets, "ReplicaSet", "replicaset"), (jobs, "Job", "job_name")] {
            for series in list {
                if let Some(owner) = owner(series) {
                    let key =
                        (series.label(&names.namespace).to_owned(), kind, series.label(label).to_owned());
                    self.between.insert(key, owner);
                }
            }
        }
        for series in pods {
            let pod = (series.label(&names.namespace).to_owned(), series.label(&names.pod).to_owned());
            if pod.0.is_empty() || pod.1.is_empty() || self.pods.contains_key(&pod) {
                continue;
            }
            let (kind, name) = match owner(series) {
                Some(owner) => self.top(&pod.0, owner),
                None => ("Pod".to_owned(), pod.1.clone()),
            };
            let workload = Workload { namespace: pod.0.clone(), kind, name };
            self.note(pod, workload, Origin::StateMetrics);
        }
    }

    /// Up from what controls a pod to the top.
    fn top(&self, namespace: &str, (kind, name): (String, String)) -> (String, String) {
        let between = match kind.as_str() {
            "ReplicaSet" => "ReplicaSet",
            "Job" => "Job",
            _ => return (kind, name),
        };
        match self.between.get(&(namespace.to_owned(), between, name.clone())) {
            Some(above) => above.clone(),
            // What is long gone is known by its name only: a Deployment's ReplicaSet ends in a hash of its template.
            None if between == "ReplicaSet" => match by_hash(&name) {
                Some(deployment) => ("Deployment".to_owned(), deployment.to_owned()),
                None => (kind, name),
            },
            None => match by_minute(&name) {
                Some(cron_job) => ("CronJob".to_owned(), cron_job.to_owned()),
                None => (kind, name),
            },
        }
    }

    /// Whose a pod is, and from where that is known.
    #[must_use]
    pub fn workload(&self, namespace: &str, pod: &str) -> (Workload, Origin) {
        if let Some(known) = self.pods.get(&(namespace.to_owned(), pod.to_owned())) {
            return known.clone();
        }
        let (kind, name) = by_name(pod);
        let known = self.kinds.get(&(namespace.to_owned(), name.to_owned()));
        let kind = known.map_or(kind, String::as_str).to_owned();
        let workload = Workload { namespace: namespace.to_owned(), kind, name: name.to_owned() };
        (workload, Origin::Name)
    }
}

/// The owner that a series of kube-state-metrics names.
fn owner(series: &Series) -> Option<(String, String)> {
    let (kind, name) = (series.label("owner_kind"), series.label("owner_name"));
    let stated = |text: &str| !text.is_empty() && text != "<none>";
    (stated(kind) && stated(name)).then(|| (kind.to_owned(), name.to_owned()))
}

/// Kind and name by what controllers call their pods.
fn by_name(pod: &str) -> (&'static str, &str) {
    if let Some((rest, end)) = pod.rsplit_once('-') {
        let random = end.len() == 5 && end.chars().all(|c| RANDOM.contains(c));
        if random {
            if let Some(name) = by_minute(rest) {
                return ("CronJob", name);
            }
            if let Some(name) = by_hash(rest) {
                return ("Deployment", name);
            }
            return (UNKNOWN, rest);
        }
        if !rest.is_empty() && end.len() <= 5 && end.chars().all(|c| c.is_ascii_digit()) {
            return ("StatefulSet", rest);
        }
    }
    ("Pod", pod)
}

/// `web-7f9c8d6b5` -> `web`: the name before a hash of a template.
fn by_hash(name: &str) -> Option<&str> {
    let (rest, hash) = name.rsplit_once('-')?;
    let is_hash = (6..=10).contains(&hash.len()) && hash.chars().all(|c| RANDOM.contains(c));
    (is_hash && !rest.is_empty()).then_some(rest)
}

/// `report-29384756` -> `report`: the name before the minute for which a CronJob's Job was due.
fn by_minute(name: &str) -> Option<&str> {
    let (rest, minute) = name.rsplit_once('-')?;
    let is_minute = minute.len() == 8 && minute.chars().all(|c| c.is_ascii_digit());
    (is_minute && !rest.is_empty()).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::super::LabelNames;
    use super::super::answer::parse;
    use super::*;

    fn series(labels: &[&str]) -> Vec<Series> {
        let all = labels.iter().map(|l| format!(r#"{{"metric":{{{l}}},"value":[1,"1"]}}"#));
        let result = all.collect::<Vec<_>>().join(",");
        parse(format!(r#"{{"status":"success","data":{{"result":[{result}]}}}}"#).as_bytes()).unwrap().0
    }

    fn found(owners: &Owners, pod: &str) -> (String, String, Origin) {
        let (workload, origin) = owners.workload("shop", pod);
        (workload.kind, workload.name, origin)
    }

    #[test]
    fn up_through_what_kube_state_metrics_says() {
        let queries = Queries::new(&LabelNames::default(), false, None, None);
        let pod = |pod: &str, kind: &str, name: &str| {
            format!(r#""namespace":"shop","pod":"{pod}","owner_kind":"{kind}","owner_name":"{name}""#)
        };
        let pods = [
            pod("web-1", "ReplicaSet", "web-abc"),
            pod("old-1", "ReplicaSet", "old-7f9c8d6b5"),
            pod("rep-1", "Job", "rep-x"),
            pod("db-0", "StatefulSet", "db"),
            pod("alone", "<none>", "<none>"),
        ];
        let sets = series(&[
            r#""namespace":"shop","replicaset":"web-abc","owner_kind":"Deployment","owner_name":"web""#,
        ]);
        let jobs =
            series(&[r#""namespace":"shop","job_name":"rep-x","owner_kind":"CronJob","owner_name":"rep""#]);
        let mut owners = Owners::default();
        owners.take(&queries, &sets, &jobs, &series(&pods.each_ref().map(String::as_str)));
        let says = |pod, kind: &str, name: &str| {
            assert_eq!(found(&owners, pod), (kind.to_owned(), name.to_owned(), Origin::StateMetrics));
        };
        says("web-1", "Deployment", "web");
        says("old-1", "Deployment", "old");
        says("rep-1", "CronJob", "rep");
        says("db-0", "StatefulSet", "db");
        says("alone", "Pod", "alone");
    }

    #[test]
    fn names_tell_where_nothing_else_does() {
        let mut owners = Owners::default();
        let agent = Workload { namespace: "shop".into(), kind: "DaemonSet".into(), name: "agent".into() };
        owners.insert("agent-zzzzz", agent);
        let says = |pod, kind: &str, name: &str| {
            assert_eq!(found(&owners, pod), (kind.to_owned(), name.to_owned(), Origin::Name));
        };
        says("web-7f9c8d6b5-x2x4z", "Deployment", "web");
        says("my-web-app-7f9c8d6b5-x2x4z", "Deployment", "my-web-app");
        says("report-29384756-x2x4z", "CronJob", "report");
        says("db-12", "StatefulSet", "db");
        says("log-x2x4z", UNKNOWN, "log");
        says("agent-x2x4z", "DaemonSet", "agent");
        says("hello", "Pod", "hello");
        says("-x2x4z", UNKNOWN, "");
    }
}
