//! A backtest as one page: self-contained, without script, for light and dark, for wide and narrow screens.

pub(super) mod axis;
mod bars;
mod course;
pub(super) mod html;
mod look;
mod path;
mod sample;
mod scatter;
mod table;

use std::cmp::Reverse;

use self::html::Html;
use crate::replay::outcome::Outcome;
use crate::units::GIB;

/// How many containers are drawn on a page; one that nobody scrolls through helps nobody.
const MOST_CONTAINERS: usize = 60;
/// How many of each trace are drawn at least.
const LEAST_CONTAINERS: usize = 5;
/// Memory that costs about as much as a core, in GiB; for the order of the containers only.
const GIB_PER_CORE: f64 = 8.0;
const DAY: i64 = 86_400;

/// The page. What comes from outside (names of files and containers) is escaped.
#[must_use]
pub fn render(title: &str, subtitle: &str, outcomes: &[Outcome]) -> String {
    let mut html = Html::page(title);
    look::define(&mut html);
    html.put(format_args!("<main>\n<header><h1>"));
    html.text(title);
    html.put(format_args!("</h1>\n<p class=\"lead\">"));
    html.text(subtitle);
    html.put(format_args!("</p>\n"));
    contents(&mut html, outcomes);
    html.put(format_args!("</header>\n"));
    for (place, outcome) in outcomes.iter().enumerate() {
        html.put(format_args!("<section id=\"trace{place}\">\n"));
        section(&mut html, outcome, (MOST_CONTAINERS / outcomes.len()).max(LEAST_CONTAINERS));
        html.put(format_args!("</section>\n"));
    }
    html.put(format_args!("<footer>Written by plumb {}.</footer>\n</main>\n", env!("CARGO_PKG_VERSION")));
    html.end()
}

/// Ways to the traces, where there are several.
fn contents(html: &mut Html, outcomes: &[Outcome]) {
    if outcomes.len() < 2 {
        return;
    }
    html.put(format_args!("<nav aria-label=\"Traces\"><ul>\n"));
    for (place, outcome) in outcomes.iter().enumerate() {
        html.put(format_args!("<li><a href=\"#trace{place}\">"));
        html.text(&outcome.trace);
        html.put(format_args!("</a></li>\n"));
    }
    html.put(format_args!("</ul></nav>\n"));
}

fn section(html: &mut Html, outcome: &Outcome, most: usize) {
    html.put(format_args!("<h2>"));
    html.text(&outcome.trace);
    html.put(format_args!("</h2>\n"));
    facts(html, outcome);
    let columns: Vec<table::Column<'_>> =
        outcome.arms.iter().map(|arm| (arm.name.as_str(), arm.figures)).collect();
    table::whole(html, &columns);
    html.put(format_args!("<h3>The trade that each sizer makes</h3>\n<div class=\"trio\">\n"));
    scatter::memory(html, outcome);
    scatter::cpu(html, outcome);
    bars::exposure(html, outcome);
    html.put(format_args!("</div>\n"));
    containers(html, outcome, most);
}

/// What was replayed, and by which rules.
fn facts(html: &mut Html, outcome: &Outcome) {
    let days = outcome.arms.first().map_or(0, |arm| arm.figures.container_days);
    let longest = outcome
        .containers
        .iter()
        .filter_map(|series| series.times().last().map(|last| last.saturating_sub(series.start().0)));
    let samples: usize = outcome.containers.iter().map(crate::replay::trace::Series::len).sum();
    let rules = &outcome.rules;
    html.put(format_args!("<dl class=\"facts\">\n"));
    for (name, value) in [
        ("Containers", grouped(outcome.containers.len())),
        ("Samples", grouped(samples)),
        (
            "Longest history",
            format!("{} days", axis::trimmed(longest.max().unwrap_or(0) as f64 / DAY as f64, 1)),
        ),
        ("Days scored", grouped(usize::try_from(days).unwrap_or(usize::MAX))),
        ("Warm-up", duration(rules.warmup)),
        ("Between decisions", format!("{} or more", duration(rules.interval))),
    ] {
        html.put(format_args!("<div><dt>{name}</dt><dd>{value}</dd></div>\n"));
    }
    html.put(format_args!("</dl>\n"));
}

/// A count in groups of three digits.
fn grouped(count: usize) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

fn duration(seconds: i64) -> String {
    match seconds {
        s if s >= 3600 && s % 3600 == 0 => format!("{} h", s / 3600),
        s if s >= 60 && s % 60 == 0 => format!("{} min", s / 60),
        s => format!("{s} s"),
    }
}

/// Which colour, dash and mark belongs to which sizer. Who takes the check away hides its lines.
fn legend(html: &mut Html, outcome: &Outcome) {
    html.put(format_args!("<ul class=\"legend\" aria-label=\"Sizers in the pictures\">\n"));
    for (arm, outcome) in outcome.arms.iter().enumerate() {
        html.put(format_args!(
            "<li><label><input type=\"checkbox\" class=\"s{}\" checked/>",
            look::look(arm)
        ));
        look::sample(html, arm);
        html.put(format_args!(" "));
        html.text(&outcome.name);
        html.put(format_args!("</label></li>\n"));
    }
    html.put(format_args!(
        "<li><svg width=\"34\" height=\"16\" aria-hidden=\"true\"><path class=\"peak\" d=\"M1 15V5L10 9L20 2L33 8V15Z\"/>\
         <path class=\"usage\" d=\"M1 15V9L10 12L20 8L33 12V15Z\"/></svg> usage: least and most</li>\n\
         <li><svg width=\"22\" height=\"16\" aria-hidden=\"true\"><path class=\"warm\" d=\"M0 0H22V16H0Z\"/></svg> warm-up</li>\n</ul>\n"
    ));
}

fn containers(html: &mut Html, outcome: &Outcome, most: usize) {
    let order = most_telling(outcome);
    let shown = order.len().min(most);
    html.put(format_args!(
        "<h3>Containers</h3>\n<p>Those with the most OOM kills of all sizers first, then those with the costliest slack"
    ));
    if shown < order.len() {
        html.put(format_args!(
            "; {shown} of {} are drawn, {} are left out",
            order.len(),
            order.len() - shown
        ));
    }
    html.put(format_args!(". Open one to see its usage and what each sizer had in force.</p>\n"));
    legend(html, outcome);
    for (place, container) in order.into_iter().take(shown).enumerate() {
        course::container(html, outcome, container, place == 0);
    }
}

/// The containers by how much they tell of the sizers: by OOM kills, then by what their slack costs.
fn most_telling(outcome: &Outcome) -> Vec<usize> {
    let mut order: Vec<(Reverse<u64>, f64, usize)> = (0..outcome.containers.len())
        .map(|container| {
            let sums = || outcome.arms.iter().filter_map(|arm| arm.containers.get(container)).map(|c| c.sums);
            let kills = sums().map(|sums| sums.oom_kills).sum();
            let slack = sums().map(|s| s.cpu_slack + s.memory_slack / GIB as f64 / GIB_PER_CORE);
            (Reverse(kills), slack.sum(), container)
        })
        .collect();
    // Stable: among equals the trace's own order stays.
    order.sort_by(|a, b| a.0.cmp(&b.0).then(b.1.total_cmp(&a.1)));
    order.into_iter().map(|(.., container)| container).collect()
}

#[cfg(test)]
mod tests;
