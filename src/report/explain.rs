//! Why a workload is recommended what it is: its Recommendation, with what was seen of its containers as a picture.
//!
//! Text and JSON from the same data. Reads no clock and no cluster.

mod picture;
#[cfg(test)]
mod tests;

use std::fmt::Write as _;

use serde::Serialize;

pub use picture::{Bar, Unit, bars};

use super::table::Table;
use crate::api::{
    Amount, ContainerKind, ContainerRecommendation, Mode, Recommendation, RecommendationStatus, Resources,
};
use crate::model::{Recent, Series};
use crate::units::{Bytes, Cores, MIB, Timestamp};

/// Everything that is said of one workload.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// As the API server holds it.
    pub recommendation: Recommendation,
    /// What was learned of each container, where it could be read.
    pub learned: Vec<Learned>,
    /// Why what was learned is not shown, where it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_learned: Option<String>,
}

/// What was learned of one container.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Learned {
    /// The container.
    pub name: String,
    /// Usage of CPU, in cores: which share of the samples lies in which span.
    pub cpu: Vec<Bar>,
    /// The same of memory, in bytes.
    pub memory: Vec<Bar>,
    /// The last day, where anything was seen in it.
    pub day: Option<Day>,
    /// What would change the answer.
    pub what_if: Vec<WhatIf>,
}

/// The highest usage of each half hour of the last day, oldest first; `None` where none was seen.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Day {
    /// When the last of the half hours ends.
    pub end: Timestamp,
    /// Cores.
    pub cpu: Vec<Option<f64>>,
    /// Bytes.
    pub memory: Vec<Option<f64>>,
}

impl Day {
    fn of(series: &Series) -> Option<Self> {
        const HALF_HOUR: i64 = 1800;
        let newest = series.learned_to()?.0.div_euclid(HALF_HOUR);
        let ordered = |recent: &Recent, scale: f64| {
            let mut halves: Vec<_> = recent
                .by_half_hour()
                .iter()
                .map(|level| level.map(|level| f64::from(level) * scale))
                .collect();
            // By hour of the day; the half hour after the newest is the oldest.
            let day = i64::try_from(halves.len()).unwrap_or(i64::MAX).max(1);
            let oldest = usize::try_from((newest + 1).rem_euclid(day)).unwrap_or(0);
            halves.rotate_left(oldest);
            halves
        };
        let (cpu, memory) =
            (ordered(series.cpu().recent(), 1.0), ordered(series.memory().recent(), MIB as f64));
        Some(Self { end: Timestamp((newest + 1) * HALF_HOUR), cpu, memory })
    }
}

/// What would be recommended if something were otherwise.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WhatIf {
    /// If what.
    pub change: String,
    /// CPU request, in cores.
    pub cpu_request: Option<Cores>,
    /// Memory request, in bytes.
    pub memory_request: Option<Bytes>,
    /// Memory limit, in bytes.
    pub memory_limit: Option<Bytes>,
}

impl Learned {
    /// From the history of one container.
    #[must_use]
    pub fn of(name: &str, series: &Series, what_if: Vec<WhatIf>) -> Self {
        Self {
            name: name.to_owned(),
            cpu: bars(series.cpu().histogram().buckets(), 1.0),
            memory: bars(series.memory().histogram().buckets(), MIB as f64),
            day: Day::of(series),
            what_if,
        }
    }
}

impl Explanation {
    /// For a terminal; nothing is wider than 80 columns but reasons, which wrap.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = self.head();
        let status = self.recommendation.status.clone().unwrap_or_default();
        for container in &status.containers {
            text.push_str(&self.container(container));
        }
        if let Some(why) = &self.not_learned {
            let _infallible = write!(text, "\nNot all is shown: {}\n", wrapped(why, 2, 18));
        }
        text.push_str(&conditions(&status));
        text
    }

    fn head(&self) -> String {
        let spec = &self.recommendation.spec;
        let namespace = self.recommendation.metadata.namespace.as_deref().unwrap_or_default();
        let Some(status) = &self.recommendation.status else {
            return format!(
                "{} {namespace}/{}\nNothing is recommended yet: no usage has been seen.\n",
                spec.workload_ref.kind, spec.workload_ref.name
            );
        };
        let mode = match spec.mode {
            Mode::Recommend => "Recommend: nothing is changed",
            Mode::Auto => "Auto: pods are changed",
        };
        let summary = &status.summary;
        let mut text = format!(
            "{} {namespace}/{}, {}\n{} {}, mode {mode}\n\n",
            spec.workload_ref.kind,
            spec.workload_ref.name,
            match status.replicas {
                1 => "1 pod".to_owned(),
                count => format!("{count} pods"),
            },
            spec.policy_ref.kind,
            spec.policy_ref.name,
        );
        let mut line = |name: &str, value: Option<&str>| {
            if let Some(value) = value {
                let _infallible = writeln!(text, "{name:<12} {value}");
            }
        };
        line("CPU", summary.cpu.as_deref());
        line("Memory", summary.memory.as_deref());
        line("Saves", summary.saves.as_deref());
        line("State", summary.state.as_deref());
        line("", summary.message.as_deref());
        text
    }

    fn container(&self, container: &ContainerRecommendation) -> String {
        let kind = match container.kind {
            ContainerKind::Container => "Container",
            ContainerKind::Init => "Init container",
            ContainerKind::Sidecar => "Sidecar",
        };
        let mut text = format!("\n{kind} {}\n", container.name);
        text.push_str(&sizes(container));
        let days = match container.days {
            0 => "less than a day".to_owned(),
            1 => "1 day".to_owned(),
            days => format!("{days} days"),
        };
        let last = container.last_oom_kill.as_ref();
        let last = last.map_or_else(String::new, |at| format!(", the last at {}", at.0));
        let _infallible = writeln!(
            text,
            "  {} samples over {days}; OOM kills: {}{last}",
            container.samples, container.oom_kills
        );
        if !container.reasons.is_empty() {
            text.push_str("\n  Why\n");
            for (number, reason) in (1..).zip(&container.reasons) {
                let _infallible = writeln!(text, "  {number:>3}. {}", wrapped(reason, 7, 7));
            }
        }
        if let Some(learned) = self.learned.iter().find(|learned| learned.name == container.name) {
            text.push_str(&pictures(container, learned));
        }
        text
    }
}

/// Requests and limits, now and as recommended, and the bounds.
fn sizes(container: &ContainerRecommendation) -> String {
    let mut table = Table::new(&["  ", "REQUEST", "LEFT ALONE BETWEEN", "LIMIT"]);
    let text = |amount: Option<&Amount>| amount.map_or_else(|| "-".to_owned(), Amount::to_string);
    let change = |from: Option<&Amount>, to: Option<&Amount>| match (from, to) {
        (from, to) if from == to => text(to),
        (from, to) => format!("{} → {}", text(from), text(to)),
    };
    let (current, target) = (&container.current, &container.target);
    let bounds = |lower: Option<&Amount>, upper: Option<&Amount>| match (lower, upper) {
        (None, None) => "-".to_owned(),
        (lower, upper) => format!("{} and {}", text(lower), text(upper)),
    };
    let mut row = |name: &str, of: fn(&Resources) -> (Option<&Amount>, Option<&Amount>), bounds: String| {
        let ((request, limit), (to_request, to_limit)) = (of(current), of(target));
        table.row([format!("  {name}"), change(request, to_request), bounds, change(limit, to_limit)]);
    };
    let cpu = bounds(container.lower.cpu.as_ref(), container.upper.cpu.as_ref());
    // Bounds are exact to the byte; a person reads mebibytes.
    let rounded = |amount: &Option<Amount>| {
        let bytes = amount.as_ref().and_then(|amount| amount.value().as_bytes());
        bytes.and_then(|bytes| bytes.to_string().parse::<Amount>().ok())
    };
    let (lower, upper) = (rounded(&container.lower.memory), rounded(&container.upper.memory));
    let memory = bounds(lower.as_ref(), upper.as_ref());
    row("cpu", |of| (of.requests.cpu.as_ref(), of.limits.cpu.as_ref()), cpu);
    row("memory", |of| (of.requests.memory.as_ref(), of.limits.memory.as_ref()), memory);
    table.render()
}

fn pictures(container: &ContainerRecommendation, learned: &Learned) -> String {
    let target = &container.target;
    let mut text = String::new();
    let cores = |amount: Option<&Amount>| amount.map(|amount| amount.value().as_cores().0);
    let bytes =
        |amount: Option<&Amount>| amount.and_then(|amount| amount.value().as_bytes()).map(Bytes::as_f64);
    for (title, bars, unit, marks) in [
        (
            "CPU usage, share of the samples (older ones count less)",
            &learned.cpu,
            Unit::Cores,
            [("request", cores(target.requests.cpu.as_ref())), ("limit", cores(target.limits.cpu.as_ref()))],
        ),
        (
            "Memory usage, share of the samples (older ones count less)",
            &learned.memory,
            Unit::Bytes,
            [
                ("request", bytes(target.requests.memory.as_ref())),
                ("limit", bytes(target.limits.memory.as_ref())),
            ],
        ),
    ] {
        if !bars.is_empty() {
            let _infallible = write!(text, "\n  {title}\n{}", picture::draw(bars, unit, &marks));
        }
    }
    if !learned.what_if.is_empty() {
        text.push_str("\n  What would change it\n");
        let mut table = Table::new(&["    IF", "CPU REQUEST", "MEMORY REQUEST", "MEMORY LIMIT"]);
        for what in &learned.what_if {
            let dash = |amount: Option<String>| amount.unwrap_or_else(|| "-".to_owned());
            table.row([
                format!("    {}", what.change),
                dash(what.cpu_request.map(|cpu| cpu.to_string())),
                dash(what.memory_request.map(|memory| memory.to_string())),
                dash(what.memory_limit.map(|memory| memory.to_string())),
            ]);
        }
        text.push_str(&table.render());
    }
    text
}

fn conditions(status: &RecommendationStatus) -> String {
    let mut text = String::new();
    for (number, condition) in status.conditions.iter().enumerate() {
        if number == 0 {
            text.push_str("\nConditions\n");
        }
        let line =
            format!("{} {} ({}): {}", condition.type_, condition.status, condition.reason, condition.message);
        let _infallible = writeln!(text, "  {}", wrapped(&line, 4, 2));
    }
    text
}

/// Text that breaks before column 80: further lines stand in by `indent`; `before` columns of the first are taken.
fn wrapped(text: &str, indent: usize, before: usize) -> String {
    const WIDTH: usize = 80;
    let mut out = String::new();
    let mut column = before;
    for word in text.split_whitespace() {
        let length = word.chars().count();
        if !out.is_empty() {
            if column + 1 + length > WIDTH {
                let _infallible = write!(out, "\n{:indent$}", "");
                column = indent;
            } else {
                out.push(' ');
                column += 1;
            }
        }
        out.push_str(word);
        column += length;
    }
    out
}
