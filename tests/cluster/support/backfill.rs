//! A Prometheus of the past: what it knows was written by us, as blocks made from text by its own promtool.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::process::{Run, free_port};
use super::{paths, wait_for};

/// Seconds between two samples: what most scrape at.
const SCRAPE: i64 = 60;
/// Prometheus's own blocks are as long; text of more than one is read anew for each.
const BLOCK: i64 = 7200;

/// What one pod's container did.
pub struct Story {
    pub namespace: String,
    pub pod: String,
    pub container: String,
    /// Controller of the pod, as kube-state-metrics has it: kind and name.
    pub owner: Option<(&'static str, String)>,
    /// Requests and limits: CPU in cores, memory in bytes.
    pub requests: (f64, f64),
    pub memory_limit: f64,
    /// Cores and bytes at a time since the start of the story, in seconds.
    pub usage: fn(i64) -> (f64, f64),
    /// When it was killed for memory, in seconds since the start.
    pub kills: &'static [i64],
}

impl Story {
    fn labels(&self) -> String {
        format!("namespace=\"{}\",pod=\"{}\",container=\"{}\"", self.namespace, self.pod, self.container)
    }
}

/// Whole seconds since 1970, a minute at most behind now.
pub fn now() -> i64 {
    let now = plumb::clock::now().0.unsigned_abs();
    i64::try_from(now).expect("a time") / SCRAPE * SCRAPE
}

/// A Prometheus that knows the stories of the last `days` days, and reads nothing. Answers its address.
pub async fn start(
    run: &Arc<Run>,
    name: &str,
    stories: &[Story],
    days: i64,
    state_metrics: bool,
) -> Result<String> {
    tokio::task::block_in_place(|| paths::build(&["deb"]))?;
    let dir = run.subdirectory(name)?;
    tokio::task::block_in_place(|| write(run, &dir, stories, days, state_metrics))?;
    let config = dir.join("prometheus.json");
    fs::write(&config, "{}")?;
    let listen = format!("127.0.0.1:{}", free_port()?);
    let mut command = Command::new(paths::deb("prometheus", "usr/bin/prometheus"));
    command.arg("--config.file").arg(&config).arg("--storage.tsdb.path").arg(dir.join("data"));
    command.args(["--storage.tsdb.retention.time", "60d", "--web.listen-address", &listen]);
    run.spawn(name, &mut command)?;
    let url = format!("http://{listen}");
    wait_for("Prometheus to be ready", Duration::from_secs(60), || async {
        run.check_running(name)?;
        let answer = reqwest::get(format!("{url}/-/ready")).await?;
        ensure!(answer.status().is_success(), "{}", answer.status());
        Ok(())
    })
    .await
    .with_context(|| run.log_tail(name))?;
    Ok(url)
}

fn write(run: &Run, dir: &Path, stories: &[Story], days: i64, state_metrics: bool) -> Result<()> {
    let (begin, end) = (now() - days * 86_400, now());
    let text = dir.join("part.om");
    let mut cpu = vec![0.0; stories.len()];
    let mut from = begin;
    while from <= end {
        let to = ((from.div_euclid(BLOCK) + 1) * BLOCK).min(end + SCRAPE);
        let times: Vec<i64> = (from..to).step_by(SCRAPE as usize).collect();
        let mut part = usage(stories, &mut cpu, begin, &times);
        if state_metrics {
            state(&mut part, stories, begin, &times);
        }
        part.push_str("# EOF\n");
        fs::write(&text, part)?;
        let mut promtool = Command::new(paths::deb("prometheus", "usr/bin/promtool"));
        promtool.args(["tsdb", "create-blocks-from", "openmetrics", "--quiet"]);
        let output = run.output(promtool.arg(&text).arg(dir.join("data")))?;
        ensure!(output.status.success(), "promtool: {}", String::from_utf8_lossy(&output.stderr));
        from = times.last().copied().unwrap_or(to) + SCRAPE;
    }
    fs::remove_file(&text)?;
    Ok(())
}

fn usage(stories: &[Story], cpu: &mut [f64], begin: i64, times: &[i64]) -> String {
    let mut text = "# TYPE container_cpu_usage_seconds counter\n".to_owned();
    for (story, total) in stories.iter().zip(cpu) {
        let labels = story.labels();
        for at in times {
            *total += (story.usage)(at - begin).0 * SCRAPE as f64;
            writeln!(text, "container_cpu_usage_seconds_total{{{labels}}} {total:.3} {at}").unwrap();
        }
    }
    text.push_str("# TYPE container_memory_working_set_bytes gauge\n");
    for story in stories {
        let labels = story.labels();
        for at in times {
            let bytes = (story.usage)(at - begin).1;
            writeln!(text, "container_memory_working_set_bytes{{{labels}}} {bytes:.0} {at}").unwrap();
        }
    }
    text
}

/// What kube-state-metrics says.
fn state(text: &mut String, stories: &[Story], begin: i64, times: &[i64]) {
    let mut gauge = |name: &str, kind: &str, lines: &dyn Fn(&Story) -> Vec<(String, f64)>| {
        writeln!(text, "# TYPE {} {kind}", name.trim_end_matches("_total")).unwrap();
        for story in stories {
            for (labels, value) in lines(story) {
                for at in times {
                    writeln!(text, "{name}{{{labels}}} {value} {at}").unwrap();
                }
            }
        }
    };
    gauge("kube_pod_owner", "gauge", &|story| {
        let Some((kind, name)) = &story.owner else { return Vec::new() };
        let (namespace, pod) = (&story.namespace, &story.pod);
        let labels = format!(
            "namespace=\"{namespace}\",pod=\"{pod}\",owner_kind=\"{kind}\",owner_name=\"{name}\",owner_is_controller=\"true\""
        );
        vec![(labels, 1.0)]
    });
    gauge("kube_pod_container_resource_requests", "gauge", &|story| {
        let labels = |resource: &str| format!("{},resource=\"{resource}\"", story.labels());
        vec![(labels("cpu"), story.requests.0), (labels("memory"), story.requests.1)]
    });
    gauge("kube_pod_container_resource_limits", "gauge", &|story| {
        vec![(format!("{},resource=\"memory\"", story.labels()), story.memory_limit)]
    });
    kills(text, stories, begin, times);
}

fn kills(text: &mut String, stories: &[Story], begin: i64, times: &[i64]) {
    text.push_str("# TYPE kube_pod_container_status_restarts counter\n");
    let count = |story: &Story, at: i64| story.kills.iter().filter(|kill| begin + **kill <= at).count();
    for story in stories {
        for at in times {
            let (labels, count) = (story.labels(), count(story, *at));
            writeln!(text, "kube_pod_container_status_restarts_total{{{labels}}} {count} {at}").unwrap();
        }
    }
    text.push_str("# TYPE kube_pod_container_status_last_terminated_reason gauge\n");
    for story in stories {
        for at in times.iter().filter(|at| count(story, **at) > 0) {
            let labels = format!("{},reason=\"OOMKilled\"", story.labels());
            writeln!(text, "kube_pod_container_status_last_terminated_reason{{{labels}}} 1 {at}").unwrap();
        }
    }
}
