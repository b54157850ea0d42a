//! One container over time: its usage, and what each sizer had in force.
//!
//! Curves are stretched to the width of the screen; text, marks and the width of lines are not, so that a narrow screen shows as much.

use super::axis;
use super::html::Html;
use super::look::look;
use super::path::Path;
use super::sample::{Course, Stretch, kills, stretches};
use super::table;
use crate::replay::outcome::{ArmOutcome, Outcome};
use crate::replay::score::Figures;
use crate::replay::trace::Series;

/// Height of a picture and of the strip below it where times stand, in pixels.
const HEIGHT: f64 = 176.0;
const STRIP: f64 = 22.0;
/// Height of a mark.
const MARK: f64 = 11.0;
/// Requests and limits are drawn up to so many times the largest usage: beyond it the usage itself could not be seen.
const MOST_REQUEST: f64 = 4.0;
const MOST_LIMIT: f64 = 2.0;

/// Draws a container; `open` shows it at once.
pub(super) fn container(html: &mut Html, outcome: &Outcome, container: usize, open: bool) {
    let Some(series) = outcome.containers.get(container) else { return };
    html.put(format_args!("<details{}><summary><b>", if open { " open" } else { "" }));
    html.text(&series.id);
    html.put(format_args!("</b> <span>"));
    html.text(&summary(outcome, container));
    html.put(format_args!("</span></summary>\n"));
    let (mut courses, mut killed) = (Vec::new(), Vec::new());
    for arm in &outcome.arms {
        let decisions = arm.containers.get(container).map_or(&[][..], |c| c.decisions.as_slice());
        courses.push(Course::of(series, decisions));
        killed.push(kills(series, decisions, outcome.rules.warmup));
    }
    cpu(html, outcome, series, &courses);
    memory(html, outcome, series, &courses, &killed);
    let columns: Vec<table::Column<'_>> = outcome
        .arms
        .iter()
        .map(|arm| {
            let sums = arm.containers.get(container).map(|c| c.sums);
            (arm.name.as_str(), Figures::of(sums.as_slice()))
        })
        .collect();
    table::small(html, &columns);
    html.put(format_args!("</details>\n"));
}

/// OOM kills per sizer, for who does not open the picture.
fn summary(outcome: &Outcome, container: usize) -> String {
    let sums = |arm: &ArmOutcome| {
        arm.containers.get(container).map(|c| c.sums).filter(|sums| sums.memory_used > 0.0)
    };
    let kills: Vec<(&str, u64)> =
        outcome.arms.iter().filter_map(|arm| Some((arm.name.as_str(), sums(arm)?.oom_kills))).collect();
    if kills.is_empty() {
        return String::new();
    }
    if kills.iter().all(|(_, kills)| *kills == 0) {
        return "no OOM kill".to_owned();
    }
    let named: Vec<String> = kills.iter().map(|(name, kills)| format!("{name} {kills}")).collect();
    format!("OOM kills: {}", named.join(", "))
}

fn cpu(html: &mut Html, outcome: &Outcome, series: &Series, courses: &[Course]) {
    let usage = stretches(series, |_, cpu, _| cpu);
    let lines = courses.iter().zip(&outcome.arms);
    let lines = lines
        .map(|(course, arm)| Line { name: &arm.name, request: &course.cpu, limit: &[], kills: &[] })
        .collect();
    picture(
        html,
        &Picture {
            title: "CPU",
            series,
            usage,
            lines,
            warmup: outcome.rules.warmup,
            label: axis::cores,
            steps: axis::steps,
        },
    );
}

fn memory(
    html: &mut Html,
    outcome: &Outcome,
    series: &Series,
    courses: &[Course],
    killed: &[Vec<(i64, f64)>],
) {
    let usage = stretches(series, |_, _, memory| memory);
    let lines = courses.iter().zip(&outcome.arms).zip(killed);
    let lines = lines
        .map(|((course, arm), kills)| Line {
            name: &arm.name,
            request: &course.memory,
            limit: &course.limit,
            kills,
        })
        .collect();
    picture(
        html,
        &Picture {
            title: "Memory",
            series,
            usage,
            lines,
            warmup: outcome.rules.warmup,
            label: axis::bytes,
            steps: axis::byte_steps,
        },
    );
}

/// What one arm adds to a picture.
struct Line<'a> {
    name: &'a str,
    request: &'a [Stretch],
    limit: &'a [Stretch],
    kills: &'a [(i64, f64)],
}

struct Picture<'a> {
    title: &'static str,
    series: &'a Series,
    usage: Vec<Stretch>,
    lines: Vec<Line<'a>>,
    warmup: i64,
    label: fn(f64) -> String,
    steps: fn(f64) -> Vec<f64>,
}

/// From time and amount to shares of the picture.
struct Frame {
    first: i64,
    span: i64,
    top: f64,
}

impl Frame {
    fn x(&self, at: i64) -> f64 {
        (at.saturating_sub(self.first) as f64 / self.span as f64).clamp(0.0, 1.0)
    }

    /// From the top down. What is above the picture is drawn at its upper edge.
    fn y(&self, value: f64) -> f64 {
        1.0 - (value / self.top).clamp(0.0, 1.0)
    }
}

fn most(stretches: &[Stretch]) -> f64 {
    stretches.iter().filter_map(|s| s.value).fold(0.0, |most, value| most.max(value.max))
}

fn picture(html: &mut Html, picture: &Picture<'_>) {
    let used = most(&picture.usage);
    let (Some(first), Some(last)) = (picture.series.times().first(), picture.series.times().last()) else {
        return;
    };
    if used <= 0.0 {
        return;
    }
    let limited = |lines: fn(&Line<'_>) -> f64, times: f64| {
        picture.lines.iter().map(lines).fold(used, f64::max).min(used * times)
    };
    let top = limited(|l| most(l.request), MOST_REQUEST).max(limited(|l| most(l.limit), MOST_LIMIT)) * 1.04;
    let frame = Frame { first: *first, span: last.saturating_sub(*first).max(1), top };
    caption(html, picture, top);
    html.picture(
        &format!("class=\"plot\" height=\"{}\"", HEIGHT + STRIP),
        &format!("{} over time", picture.title),
        &description(picture, used, frame.span),
    );
    grid(html, picture, &frame);
    curves(html, picture, &frame);
    marks(html, picture, &frame);
    html.put(format_args!("</svg></figure>\n"));
}

fn caption(html: &mut Html, picture: &Picture<'_>, top: f64) {
    html.put(format_args!("<figure><figcaption>{}<small>", picture.title));
    html.put(format_args!(
        "{}",
        if picture.lines.iter().any(|l| !l.limit.is_empty()) {
            "Lines: requests; dotted: limits; marks: OOM kills, those close together as one."
        } else {
            "Lines: requests."
        }
    ));
    let above = |what: &str, stretches: &[Stretch], name: &str| {
        let most = most(stretches);
        (most > top).then(|| format!("{name}'s {what} up to {}", (picture.label)(most)))
    };
    let lines = picture.lines.iter();
    let above: Vec<String> = lines
        .flat_map(|line| [above("request", line.request, line.name), above("limit", line.limit, line.name)])
        .flatten()
        .collect();
    if !above.is_empty() {
        html.text(&format!(" Above the picture: {}.", above.join(", ")));
    }
    html.put(format_args!("</small></figcaption>\n"));
}

/// What is to be seen, in words.
fn description(picture: &Picture<'_>, used: f64, span: i64) -> String {
    let mut text = format!("{:.1} days; most used {}. ", span as f64 / 86_400.0, (picture.label)(used));
    for line in &picture.lines {
        let spans = || line.request.iter().filter_map(|s| s.value);
        let least = spans().fold(f64::INFINITY, |least, value| least.min(value.min));
        if least.is_finite() {
            let (least, most) = ((picture.label)(least), (picture.label)(most(line.request)));
            text.push_str(&format!("{}: request {least} to {most}", line.name));
            text.push_str(if line.kills.is_empty() { ". " } else { ", with OOM kills. " });
        }
    }
    text
}

fn grid(html: &mut Html, picture: &Picture<'_>, frame: &Frame) {
    if picture.warmup > 0 {
        html.put(format_args!(
            "<rect class=\"warm\" width=\"{:.2}%\" height=\"{HEIGHT}\"/>\n",
            frame.x(frame.first.saturating_add(picture.warmup)) * 100.0
        ));
    }
    for value in (picture.steps)(frame.top).into_iter().filter(|value| *value <= frame.top) {
        let y = frame.y(value) * HEIGHT;
        html.put(format_args!(
            "<line class=\"grid\" x1=\"0\" x2=\"100%\" y1=\"{y:.1}\" y2=\"{y:.1}\"/><text x=\"-6\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\n",
            y + 4.0,
            (picture.label)(value)
        ));
    }
    for (i, (at, name)) in axis::times(frame.span).into_iter().enumerate() {
        let x = frame.x(frame.first.saturating_add(at)) * 100.0;
        // A narrow screen has room for every other one.
        let class = if i % 2 == 1 { " class=\"odd\"" } else { "" };
        html.put(format_args!(
            "<g{class}><line class=\"tick\" x1=\"{x:.2}%\" x2=\"{x:.2}%\" y1=\"{HEIGHT}\" y2=\"{}\"/><text x=\"{x:.2}%\" y=\"{}\" text-anchor=\"middle\">{name}</text></g>\n",
            HEIGHT + 5.0,
            HEIGHT + 18.0
        ));
    }
}

fn curves(html: &mut Html, picture: &Picture<'_>, frame: &Frame) {
    html.put(format_args!(
        "<svg viewBox=\"0 0 1000 1000\" preserveAspectRatio=\"none\" width=\"100%\" height=\"{HEIGHT}\">\n"
    ));
    let path = || Path::new(|at| frame.x(at), |value| frame.y(value));
    html.put(format_args!("<path class=\"peak\" d=\"{}\"/>", path().area(&picture.usage, |span| span.max)));
    html.put(format_args!(
        "<path class=\"usage\" d=\"{}\"/>\n",
        path().area(&picture.usage, |span| span.min)
    ));
    // The first arm last, so that it lies on top.
    for (arm, line) in picture.lines.iter().enumerate().rev() {
        html.put(format_args!("<g class=\"arm a{}\">", look(arm)));
        for (class, stretches) in [("limit", line.limit), ("line", line.request)] {
            // Where the limit is the request, one line says it.
            if class == "line" || stretches != line.request {
                let steps = path().steps(stretches, frame.first.saturating_add(frame.span));
                html.put(format_args!("<path class=\"{class}\" d=\"{steps}\"/>"));
            }
        }
        html.put(format_args!("</g>\n"));
    }
    html.put(format_args!("</svg>\n"));
}

/// OOM kills; marks of different arms that would cover each other stand one above the other.
fn marks(html: &mut Html, picture: &Picture<'_>, frame: &Frame) {
    let mut taken: Vec<(f64, f64)> = Vec::new();
    for (arm, line) in picture.lines.iter().enumerate().filter(|(_, line)| !line.kills.is_empty()) {
        html.put(format_args!("<g class=\"arm a{}\">", look(arm)));
        let others = taken.len();
        for (at, usage) in line.kills {
            let (x, mut y) = (frame.x(*at) * 100.0, frame.y(*usage) * HEIGHT);
            let step = if y < HEIGHT / 2.0 { MARK } else { -MARK };
            while taken[..others].iter().any(|(tx, ty)| (tx - x).abs() < 0.8 && (ty - y).abs() < MARK) {
                y += step;
            }
            taken.push((x, y));
            html.put(format_args!("<use href=\"#m{}\" x=\"{x:.2}%\" y=\"{y:.0}\"/>", look(arm)));
        }
        html.put(format_args!("</g>\n"));
    }
}
