//! Whether Prometheus has what plumb reads: that it answers, that each series is there with the labels that are
//! configured, that it is fresh, and how far back it goes.

use super::{Prometheus, PrometheusError, Queries};
use crate::cluster::checks::clock;
use crate::cluster::finding::Finding;
use crate::units::Timestamp;

/// Older than this, the newest sample is stale.
const FRESH_SECONDS: f64 = 300.0;
/// How far back is looked, in days.
const BACK: [i64; 4] = [14, 7, 3, 1];

/// Whose labels a series has.
#[derive(Clone, Copy, PartialEq, Eq)]
enum From {
    Kubelet,
    StateMetrics,
}

/// A series that plumb reads.
struct Wanted {
    metric: &'static str,
    from: From,
    /// Whether it names containers, or only pods.
    container: bool,
    needed: bool,
    /// What is not known without it.
    brings: &'static str,
}

const fn kubelet(metric: &'static str, needed: bool, brings: &'static str) -> Wanted {
    Wanted { metric, from: From::Kubelet, container: true, needed, brings }
}

const fn state(metric: &'static str, container: bool, brings: &'static str) -> Wanted {
    Wanted { metric, from: From::StateMetrics, container, needed: false, brings }
}

const WANTED: &[Wanted] = &[
    kubelet("container_cpu_usage_seconds_total", true, "CPU usage"),
    kubelet("container_memory_working_set_bytes", true, "memory usage"),
    kubelet("container_start_time_seconds", false, "what of the usage is start-up"),
    kubelet(
        "container_cpu_cfs_throttled_periods_total",
        false,
        "which CPU samples were held down by a limit",
    ),
    kubelet(
        "container_pressure_cpu_stalled_seconds_total",
        false,
        "which CPU samples were held down by other pods (PSI, on cgroup v2)",
    ),
    kubelet("container_oom_events_total", false, "OOM kills of single processes"),
    state("kube_pod_container_resource_requests", true, "requests, where there is no access to the cluster"),
    state("kube_pod_owner", false, "whose pods that are gone were"),
    state("kube_pod_container_status_restarts_total", true, "OOM kills of the past"),
];

/// Checks all of it. `needed`: whether plumb cannot do without Prometheus.
pub async fn check(
    prometheus: &Prometheus,
    namespace: Option<&str>,
    now: Timestamp,
    needed: bool,
) -> Vec<Finding> {
    let server = match prometheus.server_time().await {
        Ok(server) => server,
        Err(error) => return vec![failed("Prometheus", &error, needed)],
    };
    let mut findings = vec![Finding::ok("Prometheus", format!("answers at {}", prometheus.url()))];
    findings.extend(server.map(|server| clock("Prometheus", server, now)));
    let queries = prometheus.queries(namespace);
    for wanted in WANTED {
        let found = series(prometheus, &queries, wanted, now, needed).await;
        findings.push(found.unwrap_or_else(|error| failed(wanted.metric, &error, needed && wanted.needed)));
    }
    if findings.iter().any(Finding::fails) {
        return findings;
    }
    for found in [fresh(prometheus, &queries, now).await, depth(prometheus, &queries, now).await] {
        findings.push(found.unwrap_or_else(|error| failed("history", &error, needed)));
    }
    for warning in prometheus.take_warnings() {
        findings.push(Finding::wrong("warning of Prometheus", warning, "some answers may be incomplete"));
    }
    findings
}

fn failed(check: &str, error: &PrometheusError, needed: bool) -> Finding {
    let text = error.to_string();
    let (detail, fix) = text.split_once("; ").unwrap_or((&text, ""));
    Finding::not_there(check, needed, detail, fix)
}

async fn series(
    prometheus: &Prometheus,
    queries: &Queries,
    wanted: &Wanted,
    now: Timestamp,
    needed: bool,
) -> Result<Finding, PrometheusError> {
    let metric = wanted.metric;
    let (names, selector) = match wanted.from {
        From::Kubelet => (&queries.usage, queries.matching_usage()),
        From::StateMetrics => (&queries.state, queries.matching_state(wanted.container)),
    };
    let count = number(prometheus, &format!("count({metric}{{{selector}}})"), now).await?.unwrap_or(0.0);
    if count > 0.0 {
        return Ok(Finding::ok(metric, format!("{count} series")));
    }
    let needed = needed && wanted.needed;
    // Without the labels asked for: is it there at all, and how is it labelled? Best told by a series of a pod.
    let mut example = None;
    let exported = format!("exported_{}", names.pod);
    for pod in [names.pod.as_str(), "pod", "pod_name", &exported] {
        let like = format!("topk(1, {metric}{{{pod}!=\"\"}})");
        example = example.or(prometheus.instant(&like, now).await?.into_iter().next());
    }
    let any = prometheus.instant(&format!("topk(1, {metric})"), now).await?;
    let Some(example) = example.as_ref().or(any.first()) else {
        let ended = number(prometheus, &format!("count(last_over_time({metric}[1h]))"), now).await?;
        if let Some(ended) = ended.filter(|_| needed) {
            let detail = format!("no series now, but {ended} within the last hour");
            return Ok(Finding::wrong(metric, detail, "look at Prometheus's page of targets"));
        }
        let fix = match wanted.from {
            From::Kubelet => "let Prometheus scrape the kubelets' /metrics/cadvisor",
            From::StateMetrics => "install kube-state-metrics and let Prometheus scrape it",
        };
        return Ok(Finding::not_there(
            metric,
            needed,
            format!("no series; it brings {}", wanted.brings),
            fix,
        ));
    };
    let has: Vec<&str> = example.label_names().collect();
    let fix = if has.contains(&exported.as_str()) {
        "scrape kube-state-metrics with honorLabels, or add --prometheus-exported-labels".to_owned()
    } else if has.contains(&"pod_name") {
        "add --prometheus-labels namespace,pod_name,container_name".to_owned()
    } else if !has.contains(&"pod") {
        "let a pod run, and keep the labels of containers when scraping the kubelets".to_owned()
    } else {
        "name the labels with --prometheus-labels, and check --prometheus-matcher and -n".to_owned()
    };
    let detail = format!("no series matches {{{selector}}}; one there has the labels {}", has.join(", "));
    if needed {
        return Ok(Finding::wrong(metric, detail, fix));
    }
    Ok(Finding::not_there(metric, false, detail, fix))
}

async fn number(prometheus: &Prometheus, query: &str, at: Timestamp) -> Result<Option<f64>, PrometheusError> {
    let answer = prometheus.instant(query, at).await?;
    Ok(answer.first().and_then(|series| series.points().next()).map(|(_, value)| value))
}

async fn fresh(
    prometheus: &Prometheus,
    queries: &Queries,
    now: Timestamp,
) -> Result<Finding, PrometheusError> {
    let check = "newest sample";
    let selector = queries.matching_usage();
    let query = format!("time() - max(timestamp(container_memory_working_set_bytes{{{selector}}}))");
    Ok(match number(prometheus, &query, now).await? {
        Some(age) if age <= FRESH_SECONDS => Finding::ok(check, format!("{age:.0} s old")),
        Some(age) => Finding::wrong(check, format!("{age:.0} s old"), "look at Prometheus's page of targets"),
        None => Finding::wrong(check, "none within 5 minutes", "look at Prometheus's page of targets"),
    })
}

async fn depth(
    prometheus: &Prometheus,
    queries: &Queries,
    now: Timestamp,
) -> Result<Finding, PrometheusError> {
    let check = "history";
    for days in BACK {
        let count = number(prometheus, &queries.count(), now.plus(-days * 86_400)).await?.unwrap_or(0.0);
        if count > 0.0 {
            return Ok(Finding::ok(check, format!("{count} containers {days} days ago")));
        }
    }
    Ok(Finding::not_there(
        check,
        false,
        "less than a day",
        "recommendations are of low confidence until there is more",
    ))
}
