//! The last day of one resource of one container: the highest usage of each half hour, with requests and limit.

use super::super::explain::Unit;
use super::super::page::axis;
use super::Html;

const WIDTH: f64 = 460.0;
const HEIGHT: f64 = 180.0;
const LEFT: f64 = 56.0;
const BOTTOM: f64 = 22.0;
/// A limit this many times above everything else is named and not drawn: the usage could not be seen.
const FAR: f64 = 4.0;

/// What is drawn.
pub(super) struct Picture<'a> {
    pub(super) title: &'a str,
    pub(super) levels: &'a [Option<f64>],
    pub(super) current: Option<f64>,
    pub(super) target: Option<f64>,
    pub(super) limit: Option<f64>,
    pub(super) unit: Unit,
}

/// Draws it; nothing where nothing was seen.
pub(super) fn draw(html: &mut Html, picture: &Picture<'_>) {
    let used = picture.levels.iter().flatten().copied().fold(0.0, f64::max);
    if used <= 0.0 {
        return;
    }
    let asked = [picture.current, picture.target].into_iter().flatten().fold(used, f64::max);
    let limit = picture.limit.filter(|limit| *limit <= asked * FAR);
    let ticks = steps(picture.unit, limit.map_or(asked, |limit| limit.max(asked)) * 1.02);
    let top = ticks.last().copied().unwrap_or(1.0).max(f64::MIN_POSITIVE);
    let y = |value: f64| (HEIGHT - BOTTOM) * (1.0 - (value / top).clamp(0.0, 1.0)) + 6.0;
    html.put(format_args!("<figure><figcaption>"));
    html.text(picture.title);
    html.put(format_args!("<small>Highest of each half hour of the last day.</small></figcaption>\n"));
    let said = words(picture, used);
    html.picture(&format!("viewBox=\"0 0 {WIDTH} {}\"", HEIGHT + 8.0), picture.title, &said);
    for tick in &ticks {
        let y = y(*tick);
        html.put(format_args!("<path class=\"grid\" d=\"M{LEFT} {y:.1}H{WIDTH}\"/>"));
        html.put(format_args!("<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">", LEFT - 6.0, y + 4.0));
        html.text(&label(picture.unit, *tick));
        html.put(format_args!("</text>\n"));
    }
    bars(html, picture.levels, y);
    for (class, value) in [("current", picture.current), ("target", picture.target), ("top", limit)] {
        if let Some(value) = value {
            html.put(format_args!("<path class=\"{class}\" d=\"M{LEFT} {:.1}H{WIDTH}\"/>\n", y(value)));
        }
    }
    for (share, name) in [(0.0, "24 h ago"), (0.5, "12 h ago"), (1.0, "now")] {
        let anchor = if share > 0.9 { "end" } else { "start" };
        let x = LEFT + (WIDTH - LEFT) * share;
        html.put(format_args!(
            "<text x=\"{x:.1}\" y=\"{}\" text-anchor=\"{anchor}\">{name}</text>",
            HEIGHT + 4.0
        ));
    }
    html.put(format_args!("</svg>\n<ul class=\"keys\">"));
    for (class, name, value) in [
        ("target", "recommended request", picture.target),
        ("current", "request now", picture.current),
        ("top", "recommended limit", picture.limit),
    ] {
        if let Some(value) = value {
            html.put(format_args!(
                "<li><svg viewBox=\"0 0 28 10\" aria-hidden=\"true\"><path class=\"{class}\" d=\"M0 5H28\"/></svg>{name} "
            ));
            html.text(&label(picture.unit, value));
            html.put(format_args!("</li>"));
        }
    }
    html.put(format_args!("</ul></figure>\n"));
}

fn bars(html: &mut Html, levels: &[Option<f64>], y: impl Fn(f64) -> f64) {
    let width = (WIDTH - LEFT) / levels.len().max(1) as f64;
    for (place, level) in levels.iter().enumerate() {
        let Some(level) = level else { continue };
        let (x, top) = (LEFT + width * place as f64, y(*level));
        html.put(format_args!(
            "<rect class=\"half\" x=\"{x:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{:.1}\"/>",
            width - 0.6,
            y(0.0) - top
        ));
    }
    html.put(format_args!("\n"));
}

/// The picture in words.
fn words(picture: &Picture<'_>, used: f64) -> String {
    let label = |value| label(picture.unit, value);
    let seen = picture.levels.iter().flatten().count();
    let mut text = format!("Usage reached {} in {seen} half hours. ", label(used));
    for (name, value) in [
        ("Request now", picture.current),
        ("Recommended request", picture.target),
        ("Recommended limit", picture.limit),
    ] {
        if let Some(value) = value {
            text.push_str(&format!("{name}: {}. ", label(value)));
        }
    }
    text
}

fn label(unit: Unit, value: f64) -> String {
    match unit {
        Unit::Cores => axis::cores(value),
        Unit::Bytes => axis::bytes(value),
    }
}

fn steps(unit: Unit, most: f64) -> Vec<f64> {
    match unit {
        Unit::Cores => axis::steps(most),
        Unit::Bytes => axis::byte_steps(most),
    }
}
