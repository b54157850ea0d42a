//! A backtest as one page: self-contained, without script, for light and dark, for wide and narrow screens.

mod course;
pub(super) mod html;
mod scatter;

use self::html::Html;
use crate::replay::outcome::{ArmOutcome, Outcome};

/// How many containers are drawn; a page that nobody scrolls through helps nobody.
const MOST_CONTAINERS: usize = 60;

/// The page. What comes from outside (names of files and containers) is escaped.
#[must_use]
pub fn render(title: &str, subtitle: &str, outcomes: &[Outcome]) -> String {
    let mut html = Html::page(title);
    html.put(format_args!("<main>\n<h1>"));
    html.text(title);
    html.put(format_args!("</h1>\n<p class=\"lead\">"));
    html.text(subtitle);
    html.put(format_args!("</p>\n"));
    for outcome in outcomes {
        section(&mut html, outcome);
    }
    html.put(format_args!("<footer>Written by plumb {}.</footer>\n</main>\n", env!("CARGO_PKG_VERSION")));
    html.end()
}

fn section(html: &mut Html, outcome: &Outcome) {
    html.put(format_args!("<section>\n<h2>"));
    html.text(&outcome.trace);
    let days = outcome.arms.first().map_or(0, |arm| arm.figures.container_days);
    html.put(format_args!(
        "</h2>\n<p>{} containers, {days} container-days scored. Each container is only watched for its first {} h; then it is \
         sized at most every {} min, and at once after an OOM kill.</p>\n",
        outcome.containers.len(),
        outcome.rules.warmup / 3600,
        outcome.rules.interval / 60,
    ));
    legend(html, outcome);
    scores(html, outcome);
    html.put(format_args!("<div class=\"pair\">\n"));
    scatter::memory(html, outcome);
    scatter::cpu(html, outcome);
    html.put(format_args!("</div>\n"));
    containers(html, outcome);
    html.put(format_args!("</section>\n"));
}

/// Which colour and mark belongs to which arm; said once for all pictures of a trace.
fn legend(html: &mut Html, outcome: &Outcome) {
    html.put(format_args!("<ul class=\"legend\" aria-label=\"Colours and marks\">\n"));
    for (index, arm) in outcome.arms.iter().enumerate() {
        html.put(format_args!(
            "<li><svg class=\"a{}\" width=\"34\" height=\"14\" aria-hidden=\"true\"><path class=\"line\" d=\"M1 7H33\"/>",
            html::style(index)
        ));
        scatter::mark(html, index, 17.0, 7.0);
        html.put(format_args!("</svg> "));
        html.text(&arm.name);
        html.put(format_args!("</li>\n"));
    }
    html.put(format_args!(
        "<li><svg width=\"34\" height=\"14\" aria-hidden=\"true\"><path class=\"usage\" d=\"M1 13V5L10 8L20 3L33 9V13Z\"/></svg> usage</li>\n</ul>\n"
    ));
}

/// Column heads with what they mean, for who points at them or has them read out.
const HEADS: [(&str, &str); 9] = [
    ("CPU slack", "share of the requested CPU that was not used"),
    ("CPU shortfall", "share of the used CPU that was above the request"),
    ("CPU changes", "changes of the CPU request per container and day"),
    ("Memory slack", "share of the requested memory that was not used"),
    ("Exposure", "share of the used memory that was above the request, below the limit"),
    ("OOM kills", "samples above the memory limit"),
    ("OOM-free days", "share of container-days without an OOM kill"),
    ("Memory changes", "changes of memory request or limit per container and day"),
    ("Node pressure", "share of time in which a node packed with 20 containers lacks a tenth of its memory"),
];

fn scores(html: &mut Html, outcome: &Outcome) {
    html.put(format_args!("<div class=\"wide\"><table>\n<caption>What each sizer would have done</caption>\n<thead><tr><th scope=\"col\">Sizer</th>"));
    for (head, meaning) in HEADS {
        html.put(format_args!("<th scope=\"col\"><abbr title=\"{meaning}\">{head}</abbr></th>"));
    }
    html.put(format_args!("</tr></thead>\n<tbody>\n"));
    for (index, arm) in outcome.arms.iter().enumerate() {
        html.put(format_args!("<tr class=\"a{}\"><th scope=\"row\">", html::style(index)));
        html.text(&arm.name);
        html.put(format_args!("</th>"));
        for cell in cells(arm) {
            html.put(format_args!("<td>{cell}</td>"));
        }
        html.put(format_args!("</tr>\n"));
    }
    html.put(format_args!("</tbody></table></div>\n"));
}

fn cells(arm: &ArmOutcome) -> [String; 9] {
    let figures = &arm.figures;
    let percent = |share: Option<f64>, decimals: usize| {
        share.map_or_else(|| "–".to_owned(), |share| format!("{:.decimals$} %", share * 100.0))
    };
    let number = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |value| format!("{value:.2}"));
    let (cpu, memory) = (figures.cpu_slack.is_some(), figures.memory_slack.is_some());
    [
        percent(figures.cpu_slack, 1),
        percent(figures.cpu_shortfall, 2),
        number(figures.cpu_changes_per_day.filter(|_| cpu)),
        percent(figures.memory_slack, 1),
        percent(figures.memory_exposure, 3),
        if memory { figures.oom_kills.to_string() } else { "–".to_owned() },
        percent(figures.oom_free_days.filter(|_| memory), 2),
        number(figures.memory_changes_per_day.filter(|_| memory)),
        percent(figures.node_pressure, 2),
    ]
}

fn containers(html: &mut Html, outcome: &Outcome) {
    let mut order: Vec<usize> = (0..outcome.containers.len()).collect();
    let kills = |container: usize| -> u64 {
        outcome.arms.iter().filter_map(|arm| arm.containers.get(container)).map(|c| c.sums.oom_kills).sum()
    };
    // Stable: among equals the trace's own order stays.
    order.sort_by_key(|container| std::cmp::Reverse(kills(*container)));
    let shown = order.len().min(MOST_CONTAINERS);
    html.put(format_args!("<h3>Containers</h3>\n<p>Those with the most OOM kills of any sizer first"));
    if shown < order.len() {
        html.put(format_args!("; {shown} of {} are drawn", order.len()));
    }
    html.put(format_args!(". Open one to see its usage and what each sizer had in force.</p>\n"));
    for (place, container) in order.into_iter().take(shown).enumerate() {
        course::container(html, outcome, container, place == 0);
    }
}

#[cfg(test)]
mod tests;
