//! How much memory each sizer leaves exposed: in use above the request, where only spare memory of the node holds it.

use super::axis;
use super::html::Html;
use super::look::{look, mark};
use super::scatter::{HEIGHT, WIDTH};
use crate::replay::outcome::Outcome;

const TOP: f64 = 8.0;
/// Height of a bar with its name above it, at most.
const ROW: f64 = 44.0;

/// A bar per arm.
pub(super) fn exposure(html: &mut Html, outcome: &Outcome) {
    let arms = outcome.arms.iter().enumerate();
    let bars: Vec<(usize, &str, f64)> =
        arms.filter_map(|(i, arm)| Some((i, arm.name.as_str(), arm.figures.memory_exposure?))).collect();
    let most = bars.iter().fold(0.0, |most: f64, bar| most.max(bar.2));
    if bars.is_empty() {
        return;
    }
    let title = "Memory: exposure";
    html.put(format_args!(
        "<figure><figcaption>{title}<small>Share of the used memory that lay above the request. Less is better.</small></figcaption>\n"
    ));
    let said: String =
        bars.iter().map(|(_, name, value)| format!("{name}: {}. ", axis::share(*value))).collect();
    let row = ((HEIGHT - TOP) / bars.len() as f64).min(ROW);
    let height = TOP + row * bars.len() as f64;
    html.picture(&format!("viewBox=\"0 0 {WIDTH} {height:.1}\""), title, &said);
    for (place, (arm, name, value)) in bars.into_iter().enumerate() {
        bar(
            html,
            arm,
            name,
            (TOP + place as f64 * row, row),
            (value, if most > 0.0 { value / most } else { 0.0 }),
        );
    }
    html.put(format_args!("</svg></figure>\n"));
}

fn bar(html: &mut Html, arm: usize, name: &str, (top, row): (f64, f64), (value, part): (f64, f64)) {
    let text = top + row * 0.4;
    html.put(format_args!("<g class=\"a{}\">", look(arm)));
    mark(html, arm, 8.0, text - 4.0);
    html.put(format_args!("<text class=\"name\" x=\"20\" y=\"{text:.1}\">"));
    html.text(name);
    html.put(format_args!(
        "</text><text x=\"{0}\" y=\"{text:.1}\" text-anchor=\"end\">{1}</text>\
         <rect class=\"track\" x=\"0\" y=\"{2:.1}\" width=\"{0}\" height=\"{3:.1}\" rx=\"2\"/>\
         <rect class=\"bar\" x=\"0\" y=\"{2:.1}\" width=\"{4:.1}\" height=\"{3:.1}\" rx=\"2\"/></g>\n",
        WIDTH,
        axis::share(value),
        top + row * 0.52,
        row * 0.24,
        (part * WIDTH).max(1.0),
    ));
}
