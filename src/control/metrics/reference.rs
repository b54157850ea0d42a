//! docs/metrics.md, from the metrics as they are registered.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::Metrics;

const HEAD: &str = "# Metrics reference

Made from the program by `make reference`. `plumb run` serves these at `/metrics` (`--listen`, port 9797) as OpenMetrics
text, in every role; what a role does not do stays at 0 or is absent. Labels are bounded: namespaces and workloads yes,
pods never. `--no-container-metrics` leaves out the gauges of each container.

deploy/helm/plumb/files has alerts (`prometheusRule.enabled`) and a dashboard for Grafana (`grafanaDashboard.enabled`).

| metric | type | labels | meaning |
| --- | --- | --- | --- |
";

/// One metric, from its lines.
#[derive(Default)]
struct Described {
    kind: String,
    meaning: String,
    labels: Vec<String>,
}

/// The page.
///
/// # Errors
/// Where a value cannot be written.
pub fn page() -> Result<String, std::fmt::Error> {
    let metrics = Metrics::default();
    metrics.touch();
    let mut page = HEAD.to_owned();
    for (name, described) in described(&metrics.text()?) {
        let Described { kind, meaning, labels } = described;
        // As it is in queries: a counter's name goes on.
        let suffix = if kind == "counter" { "_total" } else { "" };
        let labels: Vec<String> = labels.iter().map(|label| format!("`{label}`")).collect();
        writeln!(page, "| `{name}{suffix}` | {kind} | {} | {meaning} |", labels.join(", "))?;
    }
    Ok(page)
}

/// By name, from a page of OpenMetrics.
fn described(text: &str) -> BTreeMap<&str, Described> {
    let mut found: BTreeMap<&str, Described> = BTreeMap::new();
    let mut last = "";
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, meaning) = rest.split_once(' ').unwrap_or((rest, ""));
            last = name;
            meaning.trim_end_matches('.').clone_into(&mut found.entry(name).or_default().meaning);
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap_or((rest, ""));
            kind.clone_into(&mut found.entry(name).or_default().kind);
        } else if let (Some(described), Some((_, labels))) = (found.get_mut(last), line.split_once('{')) {
            let labels = labels.rsplit_once('}').map_or("", |(labels, _)| labels);
            let names = labels.split(',').filter_map(|label| Some(label.split_once('=')?.0));
            // The bucket of a histogram is Prometheus's own.
            described.labels = names.filter(|name| *name != "le").map(str::to_owned).collect();
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_kinds_and_labels_are_those_of_the_page() {
        let page = page().unwrap();
        for line in [
            "| `plumb_samples_total` | counter | `source` | Usage samples taken in |",
            "| `plumb_leader` | gauge |  | 1 where this process writes |",
            "| `plumb_updater_actions_total` | counter | `action`, `outcome` | What the updater did, or was refused |",
            "| `plumb_round_duration_seconds` | histogram |  | Time from reading usage to the last write |",
        ] {
            assert!(page.contains(line), "{line} is not in\n{page}");
        }
    }
}
