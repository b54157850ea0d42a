//! Containers over time: usage, every arm's request and memory limit as steps, and OOM kills.
//!
//! Everything is drawn in columns of equal time, so that a page's size depends on its containers, not on their samples.

use super::lines::{Columns, band, column_of, kills, steps, top};
use super::palette::{Palette, key};
use super::scale::round_up;
use super::text::{Unit, count, escape, percent, short, span, thousands};
use crate::replay::engine::limit_of;
use crate::replay::outcome::Outcome;
use crate::replay::trace::Series;
use crate::units::Bytes;

/// The height of a drawing, in its own units.
pub(super) const HEIGHT: f64 = 500.0;
const DAY: i64 = 86_400;

/// A container of an outcome, to be drawn.
pub(super) struct Course<'a> {
    pub(super) outcome: &'a Outcome,
    pub(super) container: usize,
    pub(super) palette: &'a Palette,
    /// How many columns its time is cut into.
    pub(super) columns: usize,
    /// Unique on the page.
    pub(super) id: String,
}

/// The containers of an outcome, those that have most to tell first: most OOM kills, then the largest requests.
pub(super) fn most_telling(outcome: &Outcome) -> Vec<usize> {
    let weight = |container: usize| {
        let sums =
            || outcome.arms.iter().filter_map(move |arm| arm.containers.get(container)).map(|c| &c.sums);
        let kills: u64 = sums().map(|s| s.oom_kills).sum();
        let gib: f64 =
            sums().map(|s| s.memory_requested / (1_u64 << 30) as f64 / 4.0 + s.cpu_requested).sum();
        (kills, gib)
    };
    let mut order: Vec<(usize, (u64, f64))> = (0..outcome.containers.len()).map(|c| (c, weight(c))).collect();
    order.sort_by(|(_, a), (_, b)| b.0.cmp(&a.0).then(b.1.total_cmp(&a.1)));
    order.into_iter().map(|(container, _)| container).collect()
}

impl Course<'_> {
    fn series(&self) -> &Series {
        &self.outcome.containers[self.container]
    }

    fn time(&self) -> Columns {
        Columns::of(self.series(), self.columns)
    }

    /// The container as an element that opens.
    pub(super) fn render(&self, open: bool) -> String {
        let series = self.series();
        let known = |values: &[f64]| values.iter().any(|value| !value.is_nan());
        let mut charts = String::new();
        if known(series.cpu()) {
            charts += &self.chart(Unit::Cores);
        }
        if known(series.memory()) {
            charts += &self.chart(Unit::Bytes);
        }
        if charts.is_empty() {
            charts += "<p>It has no known sample.</p>";
        }
        let name = escape(&series.id);
        format!(
            "<details class=\"course\" data-name=\"{name}\"{}><summary><span class=\"id\">{name}</span>{}</summary>\n{charts}</details>\n",
            if open { " open" } else { "" },
            self.summary(),
        )
    }

    /// In a line: what the first arm leaves unused, and each arm's kills.
    fn summary(&self) -> String {
        let mut text = String::new();
        let sums = |arm: usize| Some(&self.outcome.arms.get(arm)?.containers.get(self.container)?.sums);
        let share = |part: f64, whole: f64| (whole > 0.0).then(|| part / whole);
        if let Some((arm, s)) = self.outcome.arms.first().zip(sums(0)) {
            let slack: Vec<String> = [
                ("CPU", share(s.cpu_slack, s.cpu_requested)),
                ("memory", share(s.memory_slack, s.memory_requested)),
            ]
            .into_iter()
            .filter_map(|(what, slack)| Some(format!("{what} {}", percent(Some(slack?), 0))))
            .collect();
            if !slack.is_empty() {
                text += &format!(
                    "<span class=\"fact\">slack of {}: {}</span>",
                    escape(&arm.name),
                    slack.join(", ")
                );
            }
        }
        let kills: Vec<String> = (0..self.outcome.arms.len())
            .filter_map(|arm| sums(arm).filter(|s| s.oom_kills > 0).map(|s| (arm, s.oom_kills)))
            .map(|(arm, kills)| format!("{} {}", escape(&self.outcome.arms[arm].name), thousands(kills)))
            .collect();
        let kills = if kills.is_empty() { "none".to_owned() } else { kills.join(", ") };
        text + &format!("<span class=\"fact\">OOM kills: {kills}</span>")
    }

    fn chart(&self, unit: Unit) -> String {
        let time = self.time();
        let (usage, lines, marks) = self.drawn(unit, time);
        let most = usage.max.iter().chain(lines.iter().map(|line| &line.max)).copied().fold(0.0, f64::max);
        let whole = unit.step(most).0;
        let max = (round_up(most * 1.03 / whole) * whole).max(f64::MIN_POSITIVE);
        let title = match unit {
            Unit::Cores => "CPU",
            Unit::Bytes => "Memory",
        };
        let id = format!("{}{}", self.id, unit.name());
        let inside: String = lines.iter().map(|line| line.path(max)).collect();
        let summary: Vec<String> = lines
            .iter()
            .filter(|line| !line.is_limit)
            .map(|line| format!("{} last requests {}", line.name, unit.write(line.last)))
            .collect();
        format!(
            "<figure class=\"chart\" data-unit=\"{}\" data-max=\"{max}\" data-span=\"{}\">\n<figcaption>{title}</figcaption>\n\
             <div class=\"plot\">{}<svg class=\"lines\" viewBox=\"0 0 {} {HEIGHT}\" preserveAspectRatio=\"none\" role=\"img\" \
             aria-labelledby=\"{id}t {id}d\"><title id=\"{id}t\">{title} of {}: usage and requests over {}</title>\
             <desc id=\"{id}d\">Usage up to {}; {}.</desc>{}{}{inside}</svg>{}</div>{marks}</figure>\n",
            unit.name(),
            time.span(),
            y_axis(unit, max),
            time.count,
            escape(&self.series().id),
            span_in_words(time.span()),
            unit.write(usage.max.iter().copied().fold(0.0, f64::max)),
            escape(&summary.join(", ")),
            self.background(time),
            usage.paths(max),
            x_axis(time),
        )
    }

    /// What is drawn: usage, the arms' lines, and the lanes of kills as HTML.
    fn drawn(&self, unit: Unit, time: Columns) -> (Usage, Vec<Line>, String) {
        let series = self.series();
        let used = if unit == Unit::Cores { series.cpu() } else { series.memory() };
        let usage = Usage::of(time, series.times(), used);
        let mut lines = Vec::new();
        let mut marks = String::new();
        // The first arm is drawn last, above the others.
        for arm in self.outcome.arms.iter().rev() {
            let Some(container) = arm.containers.get(self.container) else { continue };
            let look = self.palette.look(&arm.name);
            let line = |is_limit, value: fn(&crate::replay::arm::Size) -> Option<f64>| {
                let decided = container.decisions.iter();
                let points: Vec<(usize, f64)> =
                    decided.filter_map(|d| Some((column_of(time, d.at.0)?, value(&d.size)?))).collect();
                Line::of(&arm.name, look, is_limit, time.count, points)
            };
            if unit == Unit::Cores {
                lines.extend(line(false, |size| size.cpu_request.map(|cpu| cpu.0)));
                continue;
            }
            let untied = |size: &crate::replay::arm::Size| size.memory_limit > size.memory_request;
            if container.decisions.iter().any(|d| untied(&d.size)) {
                lines.extend(line(true, |size| limit_of(size).map(Bytes::as_f64)));
            }
            lines.extend(line(false, |size| size.memory_request.map(Bytes::as_f64)));
            if container.sums.oom_kills > 0 {
                let at = kills(time, series, &container.decisions, &self.outcome.rules);
                marks = lane(&arm.name, look, container.sums.oom_kills, time, &at) + &marks;
            }
        }
        (usage, lines, marks)
    }

    /// Days, and the warm-up in which nothing is scored.
    fn background(&self, time: Columns) -> String {
        let scale = time.count as f64 / time.span().max(1) as f64;
        let warm = (self.outcome.rules.warmup as f64 * scale).clamp(0.0, time.count as f64);
        let days: String = ticks(time.span())
            .into_iter()
            .map(|at| format!("M{:.1} 0V{HEIGHT}", at as f64 * scale))
            .collect();
        let quarters: String =
            (1_u8..4).map(|q| format!("M0 {}H{}", HEIGHT * f64::from(q) / 4.0, time.count)).collect();
        format!(
            "<rect class=\"warm\" width=\"{warm:.1}\" height=\"{HEIGHT}\"/><path class=\"grid\" d=\"{days}{quarters}\"/>"
        )
    }
}

/// Usage per column.
struct Usage {
    min: Vec<f64>,
    max: Vec<f64>,
}

impl Usage {
    fn of(time: Columns, times: &[i64], used: &[f64]) -> Self {
        let mut usage = Self { min: vec![f64::NAN; time.count], max: vec![f64::NAN; time.count] };
        for (&at, &used) in times.iter().zip(used) {
            if let Some(column) = column_of(time, at) {
                // The other operand wins over NAN.
                usage.min[column] = usage.min[column].min(used);
                usage.max[column] = usage.max[column].max(used);
            }
        }
        usage
    }

    fn paths(&self, max: f64) -> String {
        format!(
            "<path class=\"band\" d=\"{}\"/><path class=\"use\" d=\"{}\"/>",
            band(&self.min, &self.max, max),
            top(&self.max, max)
        )
    }
}

/// One arm's request or limit.
struct Line {
    name: String,
    look: usize,
    is_limit: bool,
    /// (column, value) where it changes.
    points: Vec<(usize, f64)>,
    columns: usize,
    max: f64,
    last: f64,
}

impl Line {
    fn of(
        name: &str,
        look: usize,
        is_limit: bool,
        columns: usize,
        points: Vec<(usize, f64)>,
    ) -> Option<Self> {
        let last = points.last()?.1;
        let max = points.iter().map(|(_, value)| *value).fold(0.0, f64::max);
        Some(Self { name: name.to_owned(), look, is_limit, points, columns, max, last })
    }

    fn path(&self, max: f64) -> String {
        format!(
            "<path class=\"a{} {}\" data-arm=\"{}\" d=\"{}\"/>",
            self.look,
            if self.is_limit { "lim" } else { "req" },
            escape(&self.name),
            steps(&self.points, self.columns, max)
        )
    }
}

/// A row below the chart: when an arm's container was killed.
fn lane(name: &str, look: usize, kills: u64, time: Columns, at: &[usize]) -> String {
    let marks: String = at.iter().map(|column| format!("M{column}.5 1V9")).collect();
    format!(
        "<div class=\"lane a{look}\"><span>{}{}</span><svg viewBox=\"0 0 {} 10\" preserveAspectRatio=\"none\" role=\"img\" \
         aria-label=\"{}\"><path class=\"kill\" d=\"{marks}\"/></svg></div>\n",
        key(look),
        escape(name),
        time.count,
        escape(&format!("{}: {}", name, count(kills, "OOM kill"))),
    )
}

fn y_axis(unit: Unit, max: f64) -> String {
    let (whole, suffix) = unit.step(max * 0.999);
    let labels: String = (0_u8..=4)
        .rev()
        .map(|quarter| max * f64::from(quarter) / 4.0)
        .map(|value| if value > 0.0 { format!("{}{suffix}", short(value / whole)) } else { "0".to_owned() })
        .map(|label| format!("<span>{label}</span>"))
        .collect();
    format!("<div class=\"y\" aria-hidden=\"true\">{labels}</div>")
}

/// Times that get a line and a label, in seconds from the start: whole days or hours, at most 15.
fn ticks(span: i64) -> Vec<i64> {
    const STEPS: [i64; 12] = [
        600,
        3600,
        10_800,
        21_600,
        DAY,
        2 * DAY,
        7 * DAY,
        14 * DAY,
        28 * DAY,
        91 * DAY,
        364 * DAY,
        3640 * DAY,
    ];
    let step = STEPS.into_iter().find(|step| span / step <= 14).unwrap_or(span.max(1));
    (1..).map(|n| n * step).take_while(|at| *at < span).take(15).collect()
}

fn x_axis(time: Columns) -> String {
    let span = time.span().max(1);
    let at: Vec<i64> = ticks(span);
    let label = |at: i64| {
        if at % DAY == 0 && span > 2 * DAY {
            format!("day {}", at / DAY + 1)
        } else {
            format!("{} h", at as f64 / 3600.0)
        }
    };
    let labels: String = at
        .iter()
        .enumerate()
        .map(|(place, &at)| {
            // A narrow page leaves out three of four.
            let keep = place % 4;
            format!(
                "<text class=\"t{keep}\" x=\"{:.2}%\" y=\"13\">{}</text>",
                100.0 * at as f64 / span as f64,
                label(at)
            )
        })
        .collect();
    format!("<svg class=\"x\" aria-hidden=\"true\">{labels}</svg>")
}

fn span_in_words(seconds: i64) -> String {
    let hours = (seconds + 1800) / 3600;
    if hours >= 48 { span((hours + 12) / 24 * DAY) } else { span(hours.max(1) * 3600) }
}
