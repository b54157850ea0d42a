//! The page of a backtest: one HTML file that needs nothing else, neither a host nor JavaScript.
//!
//! A few lines of script make reading easier: a name finds a container, and a pointer reads a chart. Everything that comes from
//! outside is escaped, and the page's own policy forbids whatever it does not bring itself.

mod arms;
mod courses;
mod lines;
mod palette;
mod pictures;
mod scale;
mod text;

use courses::Course;
use palette::{Palette, key};
use text::{count, escape, percent, span};

use super::saved::Saved;
use crate::replay::outcome::Outcome;
use crate::replay::score::Figures;

const STYLE: &str = include_str!("backtest_page/style.css");
const SCRIPT: &str = include_str!("backtest_page/script.js");
/// The page's policy: nothing from anywhere, but this style and this script. tests/report_page.rs checks the digests.
const POLICY: &str = "default-src 'none'; style-src 'sha256-pZJx8lggKKLX+H/9cr6seFu1Aj1Fz3716pVZS5wHpq8='; script-src 'sha256-AbjIKiSbkPxkVariHnPpaFtG+oPN0QfJppE3/DGIXlw='; img-src data:; base-uri 'none'; form-action 'none'";

/// Containers that are drawn, over all traces of a page.
pub const MAX_CONTAINERS: usize = 100;
/// Columns that are drawn, over all containers of a page: what bounds its size.
const MAX_COLUMNS: usize = 24_000;

/// What a page is made from.
#[derive(Clone, Copy, Debug)]
pub struct Page<'a> {
    /// Its head line.
    pub title: &'a str,
    /// What must be said of the data first, such as that it was generated.
    pub note: Option<&'a str>,
    /// The version of plumb.
    pub version: &'a str,
    /// The traces, replayed.
    pub outcomes: &'a [Outcome],
    /// What the first arm would have saved, where it is known what was asked for.
    pub saved: Option<&'a Saved>,
}

/// The page as HTML.
#[must_use]
pub fn render(page: &Page<'_>) -> String {
    let palette = Palette::of(page.outcomes);
    let sections: String =
        (0..).zip(page.outcomes).map(|(n, outcome)| section(page, n, outcome, &palette)).collect();
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<meta name=\"referrer\" content=\"no-referrer\">\n\
         <title>{title}</title>\n<link rel=\"icon\" href=\"data:,\">\n<style>{STYLE}</style>\n</head>\n<body>\n\
         <header>\n{LOGO}<div><h1>{title}</h1>\n<p class=\"by\">plumb {version} · {what}</p></div>\n</header>\n\
         <main>\n{note}{sections}</main>\n\
         <footer><p>Each arm saw the same samples, and at each only what it could have seen live: a request in force was decided before. \
         A sample above the memory limit in force is an OOM kill. Nothing of a container's first {warmup} is scored.</p></footer>\n\
         <script>{SCRIPT}</script>\n</body>\n</html>\n",
        title = escape(page.title),
        version = escape(page.version),
        what = what(page.outcomes),
        note = page.note.map_or_else(String::new, |note| format!("<p class=\"note\">{}</p>\n", escape(note))),
        warmup = page.outcomes.first().map_or_else(String::new, |outcome| span(outcome.rules.warmup)),
    )
}

/// A plumb bob.
const LOGO: &str = "<svg class=\"logo\" viewBox=\"0 0 24 40\" width=\"24\" height=\"40\" aria-hidden=\"true\">\
<path d=\"M12 0V19\"/><path class=\"bob\" d=\"M6 19h12v6l-6 14l-6-14z\"/></svg>\n";

/// All traces in a line.
fn what(outcomes: &[Outcome]) -> String {
    let samples: usize = outcomes.iter().flat_map(|outcome| &outcome.containers).map(|c| c.len()).sum();
    let containers: usize = outcomes.iter().map(|outcome| outcome.containers.len()).sum();
    let arms = outcomes.first().map_or(0, |outcome| outcome.arms.len());
    format!(
        "{}, {}, {}, {}",
        count(outcomes.len() as u64, "trace"),
        count(containers as u64, "container"),
        count(samples as u64, "sample"),
        count(arms as u64, "arm")
    )
}

fn section(page: &Page<'_>, place: usize, outcome: &Outcome, palette: &Palette) -> String {
    let id = format!("t{place}");
    let days = outcome.arms.first().map_or(0, |arm| arm.figures.container_days);
    let saved = page.saved.filter(|_| place == 0);
    format!(
        "<section aria-labelledby=\"{id}h\">\n<h2 id=\"{id}h\">{}</h2>\n<p class=\"facts\">{}, {} scored; the first {} of each \
         only watched; a decision each {} at most, and after an OOM kill at once.</p>\n{}<h3>All arms</h3>\n{}\
         <h3>What the slack buys</h3>\n{}{}</section>\n",
        escape(&outcome.trace),
        count(outcome.containers.len() as u64, "container"),
        count(days, "container-day"),
        span(outcome.rules.warmup),
        span(outcome.rules.interval),
        tiles(outcome, saved),
        arms::table(outcome, palette),
        pictures::all(outcome, palette, &id),
        containers(page.outcomes, outcome, palette, &id),
    )
}

/// The first arm's figures in large print, the others' beside them.
fn tiles(outcome: &Outcome, saved: Option<&Saved>) -> String {
    let Some((first, others)) = outcome.arms.split_first() else { return String::new() };
    let mut html = String::new();
    let mut tile = |head: &str, figure: String, beside: String| {
        html += &format!(
            "<div class=\"tile\"><dt>{head}</dt><dd><b>{figure}</b><span>{beside}</span></dd></div>\n"
        );
    };
    if let Some(saved) = saved {
        tile(
            "Saved a month",
            saved.dollars_text(),
            format!("{} and {} less than requested today", saved.cores_text(), saved.gib_text()),
        );
    }
    let beside = |write: fn(&Figures) -> String| {
        let each = others.iter().map(|arm| format!("{} {}", escape(&arm.name), write(&arm.figures)));
        each.collect::<Vec<_>>().join(" · ")
    };
    let figures = &first.figures;
    if figures.memory_slack.is_some() {
        let kills = |f: &Figures| text::thousands(f.oom_kills);
        tile("OOM kills", kills(figures), beside(kills));
        tile("Memory slack", percent(figures.memory_slack, 1), beside(|f| percent(f.memory_slack, 0)));
    }
    if figures.cpu_slack.is_some() {
        tile("CPU slack", percent(figures.cpu_slack, 1), beside(|f| percent(f.cpu_slack, 0)));
    }
    format!("<h3>{} in short</h3>\n<dl class=\"tiles\">\n{html}</dl>\n", escape(&first.name))
}

/// The containers of an outcome, to be opened one by one.
fn containers(all: &[Outcome], outcome: &Outcome, palette: &Palette, id: &str) -> String {
    let most = (MAX_CONTAINERS / all.len().max(1)).max(1);
    let drawn: usize = all.iter().map(|outcome| outcome.containers.len().min(most)).sum();
    let columns = (MAX_COLUMNS / drawn.max(1)).clamp(120, 600);
    let order = courses::most_telling(outcome);
    let courses: String = order
        .iter()
        .take(most)
        .enumerate()
        .map(|(place, &container)| {
            let course = Course { outcome, container, palette, columns, id: format!("{id}c{place}") };
            course.render(place == 0)
        })
        .collect();
    let left = order.len().saturating_sub(most);
    let capped = if left == 0 {
        String::new()
    } else {
        format!(
            " This page draws {most} of {}; the other {left} are in the scores only.",
            count(order.len() as u64, "container")
        )
    };
    format!(
        "<h3>Containers</h3>\n<p class=\"facts\">Usage is grey. Thick lines are requests, thin ones memory limits where they differ from \
         the request; shaded is the warm-up. Most OOM kills first.{capped}</p>\n{}{courses}",
        legend(palette)
    )
}

/// The arms, each of which can be left out of the charts.
fn legend(palette: &Palette) -> String {
    let arms: String = palette
        .arms()
        .map(|(name, look)| {
            let name = escape(name);
            format!(
                "<label><input type=\"checkbox\" class=\"show{look}\" checked>{}{name}</label>",
                key(look)
            )
        })
        .collect();
    format!(
        "<fieldset class=\"legend\"><legend>Show</legend>{arms}<label class=\"find\" hidden>Find <input type=\"search\" \
         placeholder=\"container\"></label></fieldset>\n"
    )
}
