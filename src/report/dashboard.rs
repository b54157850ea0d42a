//! The dashboard's pages: all workloads, and one of them. HTML with SVG, without script, from what the cluster holds.
//!
//! Pure: Recommendations in, text out. What comes from the cluster (names, words) is escaped.

mod day;
#[cfg(test)]
mod tests;
mod workload;

use std::cmp::Reverse;
use std::fmt::Write as _;

pub use workload::workload;

use super::page::html::Html;
use super::prices::{Prices, dollars_a_month};
use crate::api::{
    Amount, Confidence, ContainerKind, Mode, Recommendation, RecommendationStatus, ResourceAmounts, Resources,
};
use crate::units::{Bytes, Cores};

/// The style sheet of all pages.
pub const STYLE: &str = concat!(include_str!("page/page.css"), include_str!("dashboard/dashboard.css"));

/// Rows on a page: more are on the next.
const ROWS: usize = 100;

/// What a person asks of the page with all workloads, as it stands in the address.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(default)]
pub struct Query {
    /// Only this namespace; empty: all.
    pub namespace: String,
    /// Only what has this in its name; empty: all.
    pub name: String,
    /// What comes first.
    pub sort: Sort,
    /// Which page, from 0.
    pub page: usize,
}

/// What comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sort {
    /// What saves most.
    #[default]
    Saves,
    /// What needs most more.
    Costs,
    /// The most OOM kills.
    Ooms,
    /// Namespace and name.
    Name,
}

impl Sort {
    const ALL: [(Self, &'static str, &'static str); 4] = [
        (Self::Saves, "saves", "saves most"),
        (Self::Costs, "costs", "needs most more"),
        (Self::Ooms, "ooms", "most OOM kills"),
        (Self::Name, "name", "name"),
    ];

    fn word(self) -> &'static str {
        Self::ALL.iter().find(|(sort, ..)| *sort == self).map_or("", |(_, word, _)| word)
    }
}

/// A recommendation as a row.
struct Row<'a> {
    namespace: &'a str,
    object: &'a str,
    of: &'a Recommendation,
    status: &'a RecommendationStatus,
    now: ResourceAmounts,
    saves: Option<f64>,
}

impl<'a> Row<'a> {
    fn of(of: &'a Recommendation, prices: &Prices) -> Option<Self> {
        let status = of.status.as_ref()?;
        let now = requests(status, |container| &container.current);
        let then = requests(status, |container| &container.target);
        Some(Self {
            namespace: of.metadata.namespace.as_deref()?,
            object: of.metadata.name.as_deref()?,
            of,
            status,
            saves: prices.saves(&now, &then, status.replicas),
            now,
        })
    }

    fn name(&self) -> String {
        let workload = &self.of.spec.workload_ref;
        format!("{} {}/{}", workload.kind, self.namespace, workload.name)
    }

    fn is_wanted(&self, query: &Query) -> bool {
        let name = &self.of.spec.workload_ref.name;
        (query.namespace.is_empty() || query.namespace == self.namespace)
            && (query.name.is_empty() || name.contains(&query.name))
    }
}

/// What a pod's lasting containers request together.
fn requests(
    status: &RecommendationStatus,
    of: impl Fn(&crate::api::ContainerRecommendation) -> &Resources,
) -> ResourceAmounts {
    let lasting =
        || status.containers.iter().filter(|container| container.kind != ContainerKind::Init).map(&of);
    ResourceAmounts {
        cpu: lasting()
            .filter_map(|resources| Some(resources.requests.cpu.as_ref()?.value().as_cores()))
            .reduce(|a, b| Cores(a.0 + b.0))
            .map(Amount::from),
        memory: lasting()
            .filter_map(|resources| resources.requests.memory.as_ref()?.value().as_bytes())
            .reduce(|a, b| Bytes(a.0.saturating_add(b.0)))
            .map(Amount::from),
    }
}

/// All workloads.
#[must_use]
pub fn overview(all: &[Recommendation], query: &Query, prices: &Prices) -> String {
    let mut rows: Vec<Row<'_>> = all.iter().filter_map(|one| Row::of(one, prices)).collect();
    let mut namespaces: Vec<String> = rows.iter().map(|row| row.namespace.to_owned()).collect();
    namespaces.sort_unstable();
    namespaces.dedup();
    rows.retain(|row| row.is_wanted(query));
    let saves = |row: &Row<'_>| row.saves.unwrap_or_default();
    rows.sort_by(|a, b| a.namespace.cmp(b.namespace).then_with(|| a.object.cmp(b.object)));
    match query.sort {
        Sort::Saves => rows.sort_by(|a, b| saves(b).total_cmp(&saves(a))),
        Sort::Costs => rows.sort_by(|a, b| saves(a).total_cmp(&saves(b))),
        Sort::Ooms => rows.sort_by_key(|row| Reverse(row.status.summary.oom_kills)),
        Sort::Name => {}
    }
    let mut html = Html::served("plumb");
    html.put(format_args!("<main>\n<header><h1>plumb</h1>\n"));
    totals(&mut html, &rows, prices);
    html.put(format_args!("</header>\n"));
    choices(&mut html, query, &namespaces);
    table(&mut html, &rows, query);
    pages(&mut html, rows.len(), query);
    html.put(format_args!(
        "<footer>As the cluster's Recommendation objects say. plumb {}.</footer>\n</main>\n",
        env!("CARGO_PKG_VERSION")
    ));
    html.end()
}

fn totals(html: &mut Html, rows: &[Row<'_>], prices: &Prices) {
    let (mut now, mut then, mut kills, mut saves) = ((0.0, 0.0), (0.0, 0.0), 0_u64, 0.0);
    let mut held = 0_usize;
    for row in rows {
        let replicas = f64::from(row.status.replicas);
        let target = requests(row.status, |container| &container.target);
        for (sum, amounts) in [(&mut now, &row.now), (&mut then, &target)] {
            sum.0 += amounts.cpu.as_ref().map_or(0.0, |cpu| cpu.value().as_cores().0) * replicas;
            let memory = amounts.memory.as_ref().and_then(|memory| memory.value().as_bytes());
            sum.1 += memory.map_or(0.0, Bytes::as_f64) * replicas;
        }
        kills += u64::from(row.status.summary.oom_kills);
        saves += row.saves.unwrap_or_default();
        held += usize::from(matches!(row.status.summary.state.as_deref(), Some("Blocked" | "Degraded")));
    }
    html.put(format_args!("<dl class=\"facts\">\n"));
    for (name, value) in [
        ("Workloads", rows.len().to_string()),
        ("CPU requests", change(cores(now.0), cores(then.0))),
        ("Memory requests", change(bytes(now.1), bytes(then.1))),
        ("Saves", dollars_a_month(saves)),
        ("OOM kills", kills.to_string()),
        ("Blocked or degraded", held.to_string()),
    ] {
        html.put(format_args!("<div><dt>{name}</dt><dd>{value}</dd></div>\n"));
    }
    html.put(format_args!(
        "</dl>\n<p class=\"lead\">At ${} for a core-hour and ${} for a GiB-hour.</p>\n",
        prices.core_hour, prices.gib_hour
    ));
}

/// Both with their unit, which is said once where it is the same.
fn change((from, unit): (String, &str), (to, other): (String, &str)) -> String {
    if unit == other { format!("{from} → {to} {other}") } else { format!("{from} {unit} → {to} {other}") }
}

fn cores(value: f64) -> (String, &'static str) {
    (if value >= 10.0 { format!("{value:.1}") } else { format!("{value:.2}") }, "cores")
}

fn bytes(value: f64) -> (String, &'static str) {
    let gib = value / crate::units::GIB as f64;
    if gib >= 1.0 { (format!("{gib:.1}"), "GiB") } else { (format!("{:.0}", gib * 1024.0), "MiB") }
}

/// A form that works without script: it asks for the same page with other words in its address.
fn choices(html: &mut Html, query: &Query, namespaces: &[String]) {
    html.put(format_args!(
        "<form class=\"choices\" method=\"get\" action=\"/\" role=\"search\">\n<label>Namespace <select name=\"namespace\">\
         <option value=\"\">all</option>"
    ));
    for namespace in namespaces {
        html.put(format_args!("<option value=\""));
        html.text(namespace);
        html.put(format_args!("\"{}>", if *namespace == query.namespace { " selected" } else { "" }));
        html.text(namespace);
        html.put(format_args!("</option>"));
    }
    html.put(format_args!("</select></label>\n<label>Name <input name=\"name\" maxlength=\"253\" value=\""));
    html.text(&query.name);
    html.put(format_args!("\"></label>\n<label>First <select name=\"sort\">"));
    for (sort, word, text) in Sort::ALL {
        let selected = if sort == query.sort { " selected" } else { "" };
        html.put(format_args!("<option value=\"{word}\"{selected}>{text}</option>"));
    }
    html.put(format_args!("</select></label>\n<button>Show</button>\n</form>\n"));
}

fn table(html: &mut Html, rows: &[Row<'_>], query: &Query) {
    if rows.is_empty() {
        html.put(format_args!(
            "<p>No recommendation is to be shown. A workload has one when a VerticalScalingPolicy selects it.</p>\n"
        ));
        return;
    }
    html.put(format_args!(
        "<div class=\"wide\"><table class=\"rows\">\n<caption>Recommendations</caption>\n<thead><tr>"
    ));
    for head in ["Workload", "Pods", "CPU", "Memory", "Saves", "OOM kills", "Confidence", "State"] {
        html.put(format_args!("<th scope=\"col\">{head}</th>"));
    }
    html.put(format_args!("</tr></thead>\n<tbody>\n"));
    for row in rows.iter().skip(query.page.saturating_mul(ROWS)).take(ROWS) {
        line(html, row);
    }
    html.put(format_args!("</tbody></table></div>\n"));
}

fn line(html: &mut Html, row: &Row<'_>) {
    let summary = &row.status.summary;
    html.put(format_args!("<tr><th scope=\"row\"><a href=\"{}\">", address(row.namespace, row.object)));
    html.text(&row.name());
    html.put(format_args!("</a></th><td>{}</td>", row.status.replicas));
    let saves = row.saves.map(dollars_a_month);
    let confidence = match summary.confidence {
        Confidence::Low => "low",
        Confidence::Medium => "medium",
        Confidence::High => "high",
    };
    let state = match (summary.state.as_deref(), row.of.spec.mode) {
        (Some(state), Mode::Auto) => format!("{state} (Auto)"),
        (Some(state), Mode::Recommend) => state.to_owned(),
        (None, _) => "-".to_owned(),
    };
    for text in [
        summary.cpu.as_deref().unwrap_or("-"),
        summary.memory.as_deref().unwrap_or("-"),
        saves.as_deref().unwrap_or("-"),
        &summary.oom_kills.to_string(),
        confidence,
        &state,
    ] {
        html.put(format_args!("<td>"));
        html.text(text);
        html.put(format_args!("</td>"));
    }
    html.put(format_args!("</tr>\n"));
}

/// Where a workload's own page is.
fn address(namespace: &str, object: &str) -> String {
    format!("/workload/{}/{}", encoded(namespace), encoded(object))
}

/// Percent-encoded but for what any part of an address may hold (RFC 3986, unreserved).
fn encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _infallible = write!(out, "%{byte:02X}");
        }
    }
    out
}

fn pages(html: &mut Html, rows: usize, query: &Query) {
    let pages = rows.div_ceil(ROWS);
    if pages < 2 {
        return;
    }
    html.put(format_args!("<nav aria-label=\"Pages\"><ul>"));
    let way = |page: usize| {
        format!(
            "/?namespace={}&amp;name={}&amp;sort={}&amp;page={page}",
            encoded(&query.namespace),
            encoded(&query.name),
            query.sort.word()
        )
    };
    if query.page > 0 {
        html.put(format_args!("<li><a rel=\"prev\" href=\"{}\">Previous</a></li>", way(query.page - 1)));
    }
    html.put(format_args!("<li>Page {} of {pages}</li>", query.page.saturating_add(1)));
    if query.page.saturating_add(1) < pages {
        html.put(format_args!("<li><a rel=\"next\" href=\"{}\">Next</a></li>", way(query.page + 1)));
    }
    html.put(format_args!("</ul></nav>\n"));
}
