//! One container over time: its usage, and what each sizer had in force.

use super::html::{Html, style};
use crate::replay::engine::{Decision, InForce, limit_of};
use crate::replay::outcome::{Outcome, Point};
use crate::replay::trace::Series;
use crate::units::{Bytes, Cores};

const WIDTH: f64 = 1000.0;
const HEIGHT: f64 = 210.0;
const LEFT: f64 = 58.0;
const TOP: f64 = 16.0;
const BOTTOM: f64 = 24.0;
/// Stretches of time that are drawn; each is two pixels wide on a wide screen.
const POINTS: usize = 480;
/// What is drawn at most above the usage: a request of ten times the usage would leave nothing to see.
const HEADROOM: f64 = 2.2;
/// OOM kills that are marked, per sizer.
const MOST_KILLS: usize = 40;

/// Draws a container; `open` shows it at once.
pub(super) fn container(html: &mut Html, outcome: &Outcome, container: usize, open: bool) {
    let Some(series) = outcome.containers.get(container) else { return };
    html.put(format_args!("<details{}><summary><b>", if open { " open" } else { "" }));
    html.text(&series.id);
    html.put(format_args!("</b> <span>"));
    html.text(&summary(outcome, container));
    html.put(format_args!("</span></summary>\n"));
    let usage = outcome.usage(container, POINTS);
    let arms: Vec<Vec<Point>> =
        (0..outcome.arms.len()).map(|arm| outcome.in_force(arm, container, POINTS)).collect();
    let cpu = Resource { title: "CPU request", value: |p| p.cpu.map(|c| c.0), limit: |_| None, label: cores };
    let memory = Resource {
        title: "Memory request (dotted: limit; triangles: OOM kills)",
        value: |p| p.memory.map(Bytes::as_f64),
        limit: |p| p.limit.map(Bytes::as_f64),
        label: bytes,
    };
    picture(html, &cpu, &usage, &arms, |_| Vec::new());
    picture(html, &memory, &usage, &arms, |arm| {
        let decided = outcome.arms.get(arm).and_then(|a| a.containers.get(container));
        decided.map_or_else(Vec::new, |c| kills(series, &c.decisions, outcome.rules.warmup))
    });
    html.put(format_args!("</details>\n"));
}

/// OOM kills per sizer, for who does not open the picture.
fn summary(outcome: &Outcome, container: usize) -> String {
    let of = |arm: &crate::replay::outcome::ArmOutcome| {
        arm.containers
            .get(container)
            .filter(|c| c.sums.memory_used > 0.0)
            .map(|c| format!("{} {}", arm.name, c.sums.oom_kills))
    };
    let kills: Vec<String> = outcome.arms.iter().filter_map(of).collect();
    if kills.is_empty() { String::new() } else { format!("OOM kills: {}", kills.join(", ")) }
}

fn cores(value: f64) -> String {
    Cores(value).to_string()
}

fn bytes(value: f64) -> String {
    Bytes::from_f64(value).to_string()
}

/// When a container was OOM-killed under these decisions, and at which usage.
fn kills(series: &Series, decisions: &[Decision], warmup: i64) -> Vec<(i64, f64)> {
    let mut in_force = InForce::new(decisions);
    let from = series.start().plus(warmup).0;
    let killed = |at: i64, memory: f64, in_force: &mut InForce<'_>| {
        at >= from && in_force.at(at).and_then(limit_of).is_some_and(|limit| memory > limit.as_f64())
    };
    series
        .samples()
        .filter(|(at, _, memory)| killed(*at, *memory, &mut in_force))
        .map(|(at, _, memory)| (at, memory))
        .take(MOST_KILLS)
        .collect()
}

struct Resource {
    title: &'static str,
    value: fn(&Point) -> Option<f64>,
    limit: fn(&Point) -> Option<f64>,
    label: fn(f64) -> String,
}

/// From time and amount to a place in the picture.
struct Frame {
    first: i64,
    span: f64,
    top: f64,
}

impl Frame {
    fn x(&self, at: i64) -> f64 {
        LEFT + (at - self.first) as f64 / self.span * (WIDTH - LEFT - 4.0)
    }

    /// What is above the picture is drawn at its upper edge.
    fn y(&self, value: f64) -> f64 {
        HEIGHT - BOTTOM - (value / self.top).min(1.0) * (HEIGHT - TOP - BOTTOM)
    }
}

fn picture(
    html: &mut Html,
    resource: &Resource,
    usage: &[Point],
    arms: &[Vec<Point>],
    kills: impl Fn(usize) -> Vec<(i64, f64)>,
) {
    let most = |points: &[Point], value: fn(&Point) -> Option<f64>| {
        points.iter().filter_map(value).fold(0.0, f64::max)
    };
    let used = most(usage, resource.value);
    let (Some(first), Some(last)) = (usage.first(), usage.last()) else { return };
    if used <= 0.0 {
        return;
    }
    let asked = arms.iter().map(|points| most(points, resource.value)).fold(used, f64::max);
    let frame = Frame {
        first: first.at.0,
        span: (last.at.seconds_since(first.at)).max(1) as f64,
        top: asked.min(used * HEADROOM) * 1.05,
    };
    html.put(format_args!(
        "<figure><figcaption>{}</figcaption>\n<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{} over {:.0} days; most used {}\">\n",
        resource.title,
        resource.title,
        frame.span / 86_400.0,
        (resource.label)(used)
    ));
    grid(html, resource, &frame);
    area(html, resource, usage, &frame);
    // The first arm last, so that it lies on top.
    for (arm, points) in arms.iter().enumerate().rev() {
        html.put(format_args!("<g class=\"a{}\">", style(arm)));
        steps(html, "limit", points, resource.limit, &frame);
        steps(html, "line", points, resource.value, &frame);
        for (at, memory) in kills(arm) {
            html.put(format_args!(
                "<path class=\"kill\" d=\"M{:.1} {:.1}l-4-8h8z\"/>",
                frame.x(at),
                frame.y(memory)
            ));
        }
        html.put(format_args!("</g>\n"));
    }
    html.put(format_args!("</svg></figure>\n"));
}

fn grid(html: &mut Html, resource: &Resource, frame: &Frame) {
    for part in 0..=2 {
        let value = frame.top / 2.0 * f64::from(part);
        let y = frame.y(value);
        html.put(format_args!(
            "<path class=\"grid\" d=\"M{LEFT} {y:.1}H{WIDTH}\"/><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\n",
            LEFT - 6.0,
            y + 4.0,
            (resource.label)(value)
        ));
    }
    let days = frame.span / 86_400.0;
    let every = [1.0, 2.0, 7.0, 14.0, 30.0].into_iter().find(|every| days / every <= 16.0).unwrap_or(90.0);
    let mut day = 0.0;
    while day <= days {
        let x = LEFT + day / days * (WIDTH - LEFT - 4.0);
        html.put(format_args!(
            "<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">day {day:.0}</text>\n",
            HEIGHT - 6.0
        ));
        day += every;
    }
}

fn area(html: &mut Html, resource: &Resource, usage: &[Point], frame: &Frame) {
    let floor = HEIGHT - BOTTOM;
    let mut drawing = false;
    html.put(format_args!("<path class=\"usage\" d=\""));
    let mut x_last = LEFT;
    for point in usage {
        let x = frame.x(point.at.0);
        match (resource.value)(point) {
            Some(value) => {
                if !drawing {
                    html.put(format_args!("M{x:.1} {floor}"));
                }
                html.put(format_args!("L{x:.1} {:.1}", frame.y(value)));
                drawing = true;
            }
            None if drawing => {
                html.put(format_args!("L{x_last:.1} {floor}Z"));
                drawing = false;
            }
            None => {}
        }
        x_last = x;
    }
    if drawing {
        html.put(format_args!("L{x_last:.1} {floor}Z"));
    }
    html.put(format_args!("\"/>\n"));
}

/// A line in steps, with a point only where it changes.
#[expect(clippy::float_cmp, reason = "copies of decided values, equal or not")]
fn steps(html: &mut Html, class: &str, points: &[Point], value: fn(&Point) -> Option<f64>, frame: &Frame) {
    let mut last: Option<f64> = None;
    let mut path = String::new();
    for point in points {
        let Some(now) = value(point) else { continue };
        match last {
            None => path.push_str(&format!("M{:.1} {:.1}", frame.x(point.at.0), frame.y(now))),
            Some(before) if before != now => {
                path.push_str(&format!("H{:.1}V{:.1}", frame.x(point.at.0), frame.y(now)));
            }
            Some(_) => {}
        }
        last = Some(now);
    }
    if let (Some(_), Some(end)) = (last, points.last()) {
        html.put(format_args!("<path class=\"{class}\" d=\"{path}H{:.1}\"/>", frame.x(end.at.0)));
    }
}
