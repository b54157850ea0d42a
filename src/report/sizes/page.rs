//! The rows as a page: self-contained, without script.

use super::super::page::html::Html;
use super::super::prices::dollars_a_month;
use super::{Row, Scan, dash};
use crate::units::{Bytes, Cores};

/// Column heads with what they mean, for who points at them or has them read out.
const HEADS: [(&str, &str); 9] = [
    ("Pods", "how many run it now"),
    ("CPU request", "what is reserved now, and what the usage asks for"),
    ("CPU limit", "now, and recommended"),
    ("Memory request", "what is reserved now, and what the body of the usage asks for"),
    ("Memory limit", "now, and what the tail of the usage asks for"),
    ("Saves a month", "for all pods together; below zero where they need more"),
    ("OOM kills", "in the history"),
    ("Confidence", "low: less than a day of history; high: a week or more"),
    ("Days", "of history"),
];

/// The page. Names come from outside and are escaped.
#[must_use]
pub fn page(scan: &Scan) -> String {
    let mut html = Html::page("plumb scan");
    html.put(format_args!("<main>\n<h1>plumb scan</h1>\n<p class=\"lead\">"));
    html.text(&format!(
        "{:.0} days of history from {}; whose the pods are: {}.",
        scan.days, scan.source, scan.owners
    ));
    html.put(format_args!("</p>\n"));
    summary(&mut html, scan);
    html.put(format_args!(
        "<div class=\"wide\"><table>\n<caption>What most is saved on first</caption>\n<thead><tr><th scope=\"col\">Workload</th>"
    ));
    for (head, meaning) in HEADS {
        html.put(format_args!("<th scope=\"col\"><abbr title=\"{meaning}\">{head}</abbr></th>"));
    }
    html.put(format_args!("</tr></thead>\n<tbody>\n"));
    scan.containers.iter().for_each(|row| line(&mut html, row));
    html.put(format_args!("</tbody></table></div>\n"));
    reasons(&mut html, scan);
    html.put(format_args!("<footer>Written by plumb {}.</footer>\n</main>\n", env!("CARGO_PKG_VERSION")));
    html.end()
}

fn summary(html: &mut Html, scan: &Scan) {
    let total = &scan.total;
    html.put(format_args!(
        "<p>Requests of all pods: CPU {} → {}, memory {} → {}; saves <b>",
        Cores(total.cpu_now),
        Cores(total.cpu_recommended),
        Bytes::from_f64(total.memory_now),
        Bytes::from_f64(total.memory_recommended)
    ));
    html.text(&dollars_a_month(total.saves_monthly));
    html.put(format_args!(
        "</b> at ${} for a core-hour and ${} for a GiB-hour.</p>\n",
        scan.price_core_hour, scan.price_gib_hour
    ));
}

fn line(html: &mut Html, row: &Row) {
    html.put(format_args!("<tr class=\"a0\"><th scope=\"row\">"));
    html.text(&row.name());
    html.put(format_args!("</th><td>{}</td>", row.replicas));
    let (now, then) = (row.current, row.recommended);
    let mut cell = |now: Option<String>, then: String| {
        html.put(format_args!("<td>"));
        html.text(&format!("{} → {then}", now.unwrap_or_else(|| "?".to_owned())));
        html.put(format_args!("</td>"));
    };
    cell(now.map(|now| dash(now.cpu_request)), dash(then.cpu_request));
    cell(now.map(|now| dash(now.cpu_limit)), dash(then.cpu_limit));
    cell(now.map(|now| dash(now.memory_request)), dash(then.memory_request));
    cell(now.map(|now| dash(now.memory_limit)), dash(then.memory_limit));
    html.put(format_args!("<td>"));
    html.text(&row.saves_monthly.map_or_else(|| "?".to_owned(), dollars_a_month));
    html.put(format_args!(
        "</td><td>{}</td><td>{}</td><td>{:.1}</td></tr>\n",
        row.oom_kills, row.confidence, row.days
    ));
}

fn reasons(html: &mut Html, scan: &Scan) {
    html.put(format_args!("<h2>Why</h2>\n"));
    for row in scan.containers.iter().filter(|row| !row.reasons.is_empty()) {
        html.put(format_args!("<details><summary><b>"));
        html.text(&row.name());
        html.put(format_args!("</b> <span>"));
        html.text(&format!("{}, {} samples", row.kind, row.samples));
        html.put(format_args!("</span></summary>\n<ul>\n"));
        for reason in &row.reasons {
            html.put(format_args!("<li>"));
            html.text(reason);
            html.put(format_args!("</li>\n"));
        }
        html.put(format_args!("</ul></details>\n"));
    }
}
