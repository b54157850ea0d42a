//! What `plumb demo` prints: recommendations as kubectl prints them, what they save, and how each arm fared.
//!
//! Every figure, in text, JSON and the page, comes from one [`Outcome`].

mod progress;
mod rows;
#[cfg(test)]
mod tests;

use serde::Serialize;

use super::Table;
use super::prices::Prices;
use super::saved::Saved;
use crate::api::{Confidence, Mode};
use crate::replay::engine::InForce;
use crate::replay::outcome::{ArmOutcome, ContainerOutcome, Outcome};
use crate::replay::score::Figures;
use crate::replay::trace::{Allocations, Series};
use crate::units::{Bytes, Cores};

pub use progress::{Progress, progress};
pub use rows::{MAX_ROWS, NARROW, recommendations};

/// The page's head line.
pub const TITLE: &str = "What plumb would have done";
/// The name of a generated fleet.
pub const GENERATED: &str = "generated fleet";
/// The arm that the recommendations are from.
pub const OURS: &str = "plumb";
/// The arm that stands for today's requests.
pub const TODAY: &str = "fixed";
const DAY: i64 = 86_400;

/// The demo's result; serialised, it is the document of `-o json`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Demo {
    /// What was replayed.
    pub trace: String,
    /// Whether it was generated, and from which seed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// From the first sample to the last, in whole days, of the container that lasted longest.
    pub days: u64,
    /// Containers of which it is not known what their owners asked for: the first day's maximum x 1.3 stands for it.
    pub guessed: usize,
    /// One per container, as they stand at the trace's end.
    pub recommendations: Vec<Row>,
    /// Against today's requests, on average over the scored time.
    pub saved: Option<Saved>,
    /// Each arm's score.
    pub arms: Vec<Arm>,
    /// Where the page is.
    pub report: String,
}

/// An arm's score.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Arm {
    /// Its name.
    pub arm: String,
    /// Its figures.
    #[serde(flatten)]
    pub figures: Figures,
}

/// One recommendation, as `kubectl get recommendations` prints it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// The container's name.
    pub name: String,
    /// The mode that was simulated.
    pub mode: Mode,
    /// Today's CPU request and the one in force at the end.
    pub cpu: Change<Cores>,
    /// Today's memory request and the one in force at the end.
    pub memory: Change<Bytes>,
    /// The memory limit in force at the end.
    pub memory_limit: Option<Bytes>,
    /// OOM kills under plumb's sizes.
    pub oom_kills: u64,
    /// Dollars a month, from today's requests to those in force at the end.
    pub saves_per_month: f64,
    /// By the days of history.
    pub confidence: Confidence,
    /// What was done about it.
    pub state: &'static str,
    /// Days since the first sample.
    pub age_days: i64,
}

/// A value before and after.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Change<T> {
    /// What the owner asked for.
    pub current: Option<T>,
    /// What plumb set.
    pub target: Option<T>,
}

impl Demo {
    /// What the outcome of a replay says.
    #[must_use]
    pub fn of(
        outcome: &Outcome,
        given: &Allocations,
        seed: Option<u64>,
        prices: Prices,
        report: String,
    ) -> Self {
        let arm = |name: &str| outcome.arms.iter().find(|arm| arm.name == name);
        let recommendations = match (arm(OURS), arm(TODAY)) {
            (Some(ours), Some(today)) => rows(outcome, ours, today, prices),
            _ => Vec::new(),
        };
        let arms = outcome.arms.iter().map(|arm| Arm { arm: arm.name.clone(), figures: arm.figures });
        Self {
            trace: outcome.trace.clone(),
            seed,
            days: outcome.containers.iter().map(days).max().unwrap_or_default().unsigned_abs(),
            guessed: outcome.containers.iter().filter(|series| !given.contains_key(&series.id)).count(),
            recommendations,
            saved: Saved::between(outcome, TODAY, OURS, prices),
            arms: arms.collect(),
            report,
        }
    }
}

/// Days of history, rounded.
fn days(series: &Series) -> i64 {
    let last = series.times().last().copied().unwrap_or_default();
    (last.saturating_sub(series.start().0) + DAY / 2) / DAY
}

fn rows(outcome: &Outcome, ours: &ArmOutcome, today: &ArmOutcome, prices: Prices) -> Vec<Row> {
    let both = ours.containers.iter().zip(&today.containers);
    outcome
        .containers
        .iter()
        .zip(both)
        .map(|(series, (ours, today))| row(series, ours, today, prices))
        .collect()
}

fn row(series: &Series, ours: &ContainerOutcome, today: &ContainerOutcome, prices: Prices) -> Row {
    let before = today.decisions.last().map(|d| d.size);
    let after = in_force_at_end(series, ours);
    let cpu = Change {
        current: before.and_then(|size| size.cpu_request),
        target: after.and_then(|size| size.cpu_request),
    };
    let memory = Change {
        current: before.and_then(|size| size.memory_request),
        target: after.and_then(|size| size.memory_request),
    };
    let cost = |cpu: Option<Cores>, memory: Option<Bytes>| {
        prices.monthly(cpu.unwrap_or_default(), memory.unwrap_or_default())
    };
    // What was not sized saves nothing.
    let saves_per_month =
        after.map_or(0.0, |_| cost(cpu.current, memory.current) - cost(cpu.target, memory.target));
    let age_days = days(series);
    Row {
        name: series.id.clone(),
        mode: Mode::Auto,
        cpu,
        memory,
        memory_limit: after.and_then(|size| size.memory_limit),
        oom_kills: ours.sums.oom_kills,
        saves_per_month,
        confidence: match age_days {
            ..1 => Confidence::Low,
            1..7 => Confidence::Medium,
            7.. => Confidence::High,
        },
        state: if after.is_some() { "Applied" } else { "Advised" },
        age_days,
    }
}

fn in_force_at_end(series: &Series, container: &ContainerOutcome) -> Option<crate::replay::arm::Size> {
    let end = series.times().last()?;
    InForce::new(&container.decisions).at(*end).copied()
}

impl Demo {
    /// What was replayed, in a sentence or two.
    #[must_use]
    pub fn note(&self) -> String {
        let count = |n: u64, what| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
        let containers = count(self.recommendations.len() as u64, "container");
        let days = count(self.days, "day");
        match self.seed {
            Some(seed) => {
                format!("A generated fleet, nothing of it was measured: {containers}, {days}, seed {seed}.")
            }
            None => format!("The trace {}: {containers}, {days}.", rows::shown(&self.trace)),
        }
    }

    /// What the page begins with: what was replayed, and what that saves.
    #[must_use]
    pub fn lead(&self) -> String {
        format!("{}\n{}", self.note(), savings(self))
    }
}

/// All that the demo prints, for a terminal of so many columns.
#[must_use]
pub fn whole(demo: &Demo, columns: usize) -> String {
    format!(
        "{}\nThe first day is only watched; then plumb sizes as in mode Auto.\n\n{}\n{}\n{}\nReport: {}",
        demo.note(),
        recommendations(demo, columns),
        savings(demo),
        arms(demo),
        demo.report,
    )
}

/// What was saved, in two or three lines; empty where that is not known.
fn savings(demo: &Demo) -> String {
    let Some(saved) = &demo.saved else { return String::new() };
    let mut amounts = Vec::new();
    if saved.cores_before > 0.0 {
        amounts.push(format!("{:.1} → {:.1} cores", saved.cores_before, saved.cores_after));
    }
    if saved.gib_before > 0.0 {
        amounts.push(format!("{:.1} → {:.1} GiB", saved.gib_before, saved.gib_after));
    }
    let guessed = match demo.guessed {
        0 => String::new(),
        n => format!("(No request is known of {n}; today's is taken as the first day's maximum x 1.3.)\n"),
    };
    format!(
        "Requested on average, today → plumb: {}.\n\
         That saves {} a month, at ${} a core-hour and ${} a GiB-hour.\n{guessed}",
        if amounts.is_empty() { "nothing".to_owned() } else { amounts.join(", ") },
        saved.dollars_text(),
        saved.price_core_hour,
        saved.price_gib_hour,
    )
}

/// How each arm fared, a line each.
fn arms(demo: &Demo) -> String {
    let mut table =
        Table::new(&["ARM", ">OOM KILLS", ">MEMORY SLACK", ">CPU SLACK", ">CPU SHORTFALL", "WHAT IT IS"]);
    for Arm { arm, figures } in &demo.arms {
        let percent = |share: Option<f64>, decimals: usize| {
            share.map_or_else(|| "-".to_owned(), |share| format!("{:.decimals$}%", share * 100.0))
        };
        let kills = figures.memory_slack.map_or_else(|| "-".to_owned(), |_| figures.oom_kills.to_string());
        table.row([
            arm.clone(),
            kills,
            percent(figures.memory_slack, 1),
            percent(figures.cpu_slack, 1),
            percent(figures.cpu_shortfall, 2),
            what(arm).to_owned(),
        ]);
    }
    table.render()
}

fn what(arm: &str) -> &'static str {
    match arm {
        OURS => "this",
        "vpa" => "VPA 1.x",
        "krr" => "KRR simple",
        "window" => "Autopilot's",
        TODAY => "as today",
        _ => "",
    }
}
