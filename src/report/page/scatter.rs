//! The trade that each sizer makes, as a picture: what is left over against what goes wrong. Nearer to the corner is better.

use super::html::{Html, style};
use crate::replay::outcome::Outcome;

const WIDTH: f64 = 480.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 52.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 40.0;

/// One arm's place.
struct Place<'a> {
    arm: usize,
    name: &'a str,
    x: f64,
    y: f64,
}

/// Memory slack against OOM kills.
pub(super) fn memory(html: &mut Html, outcome: &Outcome) {
    let places = places(outcome, |figures| Some((figures.memory_slack?, figures.oom_kills as f64)));
    let words = Words {
        title: "Memory: slack against OOM kills",
        note: "left and low is better; kills on a logarithmic scale",
        x: "memory slack",
        y: "OOM kills",
    };
    picture(html, &words, &places, Scale::Kills);
}

/// CPU slack against shortfall.
pub(super) fn cpu(html: &mut Html, outcome: &Outcome) {
    let places = places(outcome, |figures| Some((figures.cpu_slack?, figures.cpu_shortfall?)));
    let words = Words {
        title: "CPU: slack against shortfall",
        note: "left and low is better",
        x: "CPU slack",
        y: "CPU shortfall",
    };
    picture(html, &words, &places, Scale::Share);
}

fn places(
    outcome: &Outcome,
    figure: impl Fn(&crate::replay::score::Figures) -> Option<(f64, f64)>,
) -> Vec<Place<'_>> {
    let arms = outcome.arms.iter().enumerate();
    arms.filter_map(|(arm, o)| figure(&o.figures).map(|(x, y)| Place { arm, name: &o.name, x, y })).collect()
}

struct Words {
    title: &'static str,
    note: &'static str,
    x: &'static str,
    y: &'static str,
}

/// What the height means.
#[derive(Clone, Copy)]
enum Scale {
    /// A count, drawn as log(1 + count): 0 and 1000 both have a place.
    Kills,
    /// A share, drawn as it is.
    Share,
}

impl Scale {
    fn place(self, y: f64) -> f64 {
        match self {
            Self::Kills => (1.0 + y).log10(),
            Self::Share => y,
        }
    }

    fn ticks(self, max: f64) -> Vec<f64> {
        match self {
            Self::Kills => [0.0, 1.0, 10.0, 100.0, 1e3, 1e4, 1e5, 1e6]
                .into_iter()
                .filter(|tick| *tick <= max.max(1.0) * 1.5)
                .collect(),
            Self::Share => steps(max),
        }
    }

    fn label(self, y: f64) -> String {
        match self {
            Self::Kills => format!("{y:.0}"),
            Self::Share => share(y),
        }
    }
}

/// Round steps from 0 to at least `max`, about four of them.
fn steps(max: f64) -> Vec<f64> {
    let max = max.max(1e-4);
    let magnitude = 10.0_f64.powf((max / 4.0).log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0, 10.0]
        .map(|m| m * magnitude)
        .into_iter()
        .find(|s| *s * 4.0 >= max)
        .unwrap_or(max);
    (0..=4).map(|i| f64::from(i) * step).collect()
}

fn share(value: f64) -> String {
    let percent = value * 100.0;
    if percent >= 10.0 || percent == 0.0 {
        format!("{percent:.0} %")
    } else if percent >= 1.0 {
        format!("{percent:.1} %")
    } else {
        format!("{percent:.2} %")
    }
}

fn picture(html: &mut Html, words: &Words, places: &[Place<'_>], scale: Scale) {
    if places.is_empty() {
        return;
    }
    let most = |value: fn(&Place<'_>) -> f64| places.iter().map(value).fold(0.0, f64::max);
    let (xs, ys) = (steps(most(|p| p.x)), scale.ticks(most(|p| p.y)));
    let far = |ticks: &[f64]| ticks.last().copied().unwrap_or(1.0);
    let tall = scale.place(far(&ys)).max(scale.place(most(|p| p.y))) * 1.04;
    let at_x = |x: f64| LEFT + x / far(&xs) * (WIDTH - LEFT - RIGHT);
    let at_y = |y: f64| HEIGHT - BOTTOM - scale.place(y) / tall * (HEIGHT - TOP - BOTTOM);
    html.put(format_args!(
        "<figure><figcaption>{}<small>{}</small></figcaption>\n<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"",
        words.title, words.note
    ));
    for place in places {
        html.text(&format!(
            "{}: {} {}, {} {}. ",
            place.name,
            words.x,
            share(place.x),
            words.y,
            scale.label(place.y)
        ));
    }
    html.put(format_args!("\">\n"));
    for x in &xs {
        let x_at = at_x(*x);
        html.put(format_args!(
            "<path class=\"grid\" d=\"M{x_at:.1} {TOP}V{:.1}\"/><text x=\"{x_at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>\n",
            HEIGHT - BOTTOM,
            HEIGHT - BOTTOM + 16.0,
            share(*x)
        ));
    }
    for y in &ys {
        let y_at = at_y(*y);
        html.put(format_args!(
            "<path class=\"grid\" d=\"M{LEFT} {y_at:.1}H{:.1}\"/><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\n",
            WIDTH - RIGHT,
            LEFT - 6.0,
            y_at + 4.0,
            scale.label(*y)
        ));
    }
    html.put(format_args!(
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\n",
        WIDTH - RIGHT,
        HEIGHT - 6.0,
        words.x
    ));
    points(html, places, at_x, at_y);
    html.put(format_args!("</svg></figure>\n"));
}

fn points(html: &mut Html, places: &[Place<'_>], at_x: impl Fn(f64) -> f64, at_y: impl Fn(f64) -> f64) {
    // Names are set from the top down, each at least a line below the last that stands near it.
    let mut order: Vec<&Place<'_>> = places.iter().collect();
    order.sort_by(|a, b| at_y(a.y).total_cmp(&at_y(b.y)));
    let mut names: Vec<(f64, f64)> = Vec::new();
    for place in order {
        let (x, y) = (at_x(place.x), at_y(place.y));
        html.put(format_args!("<g class=\"a{}\">", style(place.arm)));
        mark(html, place.arm, x, y);
        let width = place.name.chars().count() as f64 * 7.5 + 10.0;
        let left = x + width > WIDTH - RIGHT;
        let mut name_y = y + 4.0;
        while names.iter().any(|(nx, ny)| (nx - x).abs() < 70.0 && (ny - name_y).abs() < 12.0) {
            name_y += 13.0;
        }
        names.push((x, name_y));
        let (name_x, anchor) = if left { (x - 9.0, "end") } else { (x + 9.0, "start") };
        html.put(format_args!(
            "<text class=\"name\" x=\"{name_x:.1}\" y=\"{name_y:.1}\" text-anchor=\"{anchor}\">"
        ));
        html.text(place.name);
        html.put(format_args!("</text></g>\n"));
    }
}

/// An arm's mark around a point: a shape of its own, for who does not tell colours apart.
pub(super) fn mark(html: &mut Html, arm: usize, x: f64, y: f64) {
    match style(arm) {
        0 => html.put(format_args!("<circle class=\"mark\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"6\"/>")),
        1 => html.put(format_args!(
            "<rect class=\"mark\" x=\"{:.1}\" y=\"{:.1}\" width=\"10\" height=\"10\"/>",
            x - 5.0,
            y - 5.0
        )),
        2 => html.put(format_args!("<path class=\"mark\" d=\"M{x:.1} {:.1}l6 11h-12z\"/>", y - 6.5)),
        3 => html.put(format_args!(
            "<path class=\"mark\" d=\"M{x:.1} {:.1}l6.5 6.5l-6.5 6.5l-6.5-6.5z\"/>",
            y - 6.5
        )),
        4 => html.put(format_args!(
            "<path class=\"mark\" d=\"M{:.1} {:.1}h4v4h4v4h-4v4h-4v-4h-4v-4h4z\"/>",
            x - 2.0,
            y - 6.0
        )),
        _ => html.put(format_args!("<path class=\"mark\" d=\"M{x:.1} {:.1}l-6-11h12z\"/>", y + 6.5)),
    }
}
