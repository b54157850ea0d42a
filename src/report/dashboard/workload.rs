//! One workload: what it has and should have, its last day, why, what would change it, and what is held.

use super::super::explain::{Explanation, Learned, Unit, WhatIf};
use super::Html;
use super::day::{self, Picture};
use crate::api::{Amount, ContainerKind, ContainerRecommendation, Mode, Resources};
use crate::units::Bytes;

/// The page.
#[must_use]
pub fn workload(explanation: &Explanation) -> String {
    let of = &explanation.recommendation;
    let namespace = of.metadata.namespace.as_deref().unwrap_or_default();
    let name = format!("{} {namespace}/{}", of.spec.workload_ref.kind, of.spec.workload_ref.name);
    let mut html = Html::served(&format!("{name} - plumb"));
    html.put(format_args!("<main>\n<p class=\"back\"><a href=\"/\">All workloads</a></p>\n<h1>"));
    html.text(&name);
    html.put(format_args!("</h1>\n"));
    head(&mut html, explanation);
    let status = of.status.as_ref();
    for container in status.iter().flat_map(|status| &status.containers) {
        let learned = explanation.learned.iter().find(|learned| learned.name == container.name);
        section(&mut html, container, learned);
    }
    if let Some(why) = &explanation.not_learned {
        html.put(format_args!("<p>Not all is shown: "));
        html.text(why);
        html.put(format_args!("</p>\n"));
    }
    let conditions = status.map(|status| status.conditions.as_slice()).unwrap_or_default();
    if !conditions.is_empty() {
        html.put(format_args!("<h2>Conditions</h2>\n<ul class=\"conditions\">\n"));
        for condition in conditions {
            html.put(format_args!("<li><b>"));
            html.text(&format!("{} {}", condition.type_, condition.status));
            html.put(format_args!("</b> "));
            html.text(&format!("({}): {}", condition.reason, condition.message));
            html.put(format_args!("</li>\n"));
        }
        html.put(format_args!("</ul>\n"));
    }
    html.put(format_args!("</main>\n"));
    html.end()
}

fn head(html: &mut Html, explanation: &Explanation) {
    let of = &explanation.recommendation;
    let Some(status) = &of.status else {
        html.put(format_args!("<p>Nothing is recommended yet: no usage has been seen.</p>\n"));
        return;
    };
    let summary = &status.summary;
    let mode = match of.spec.mode {
        Mode::Recommend => "Recommend",
        Mode::Auto => "Auto",
    };
    html.put(format_args!("<dl class=\"facts\">\n"));
    for (name, value) in [
        ("Pods", Some(status.replicas.to_string())),
        ("CPU of a pod", summary.cpu.clone()),
        ("Memory of a pod", summary.memory.clone()),
        ("Saves", summary.saves.clone()),
        ("OOM kills", Some(summary.oom_kills.to_string())),
        ("State", summary.state.clone()),
        ("Policy", Some(format!("{} ({mode})", of.spec.policy_ref.name))),
    ] {
        let Some(value) = value else { continue };
        html.put(format_args!("<div><dt>{name}</dt><dd>"));
        html.text(&value);
        html.put(format_args!("</dd></div>\n"));
    }
    html.put(format_args!("</dl>\n"));
    if let Some(message) = &summary.message {
        html.put(format_args!("<p class=\"lead\">"));
        html.text(message);
        html.put(format_args!("</p>\n"));
    }
}

fn section(html: &mut Html, container: &ContainerRecommendation, learned: Option<&Learned>) {
    let kind = match container.kind {
        ContainerKind::Container => "Container",
        ContainerKind::Init => "Init container",
        ContainerKind::Sidecar => "Sidecar",
    };
    html.put(format_args!("<h2>{kind} "));
    html.text(&container.name);
    html.put(format_args!("</h2>\n"));
    sizes(html, container);
    if let Some(learned) = learned {
        pictures(html, container, learned);
    }
    if !container.reasons.is_empty() {
        html.put(format_args!("<h3>Why</h3>\n<ol class=\"reasons\">\n"));
        for reason in &container.reasons {
            html.put(format_args!("<li>"));
            html.text(reason);
            html.put(format_args!("</li>\n"));
        }
        html.put(format_args!("</ol>\n"));
    }
    if let Some(what_if) = learned.map(|learned| learned.what_if.as_slice()).filter(|all| !all.is_empty()) {
        alternatives(html, what_if);
    }
}

fn text(amount: Option<&Amount>) -> String {
    amount.map_or_else(|| "-".to_owned(), Amount::to_string)
}

fn sizes(html: &mut Html, container: &ContainerRecommendation) {
    html.put(format_args!("<div class=\"wide\"><table class=\"rows\">\n<caption>"));
    html.text(&format!(
        "{} samples over {} days; OOM kills: {}",
        container.samples, container.days, container.oom_kills
    ));
    if let Some(last) = &container.last_oom_kill {
        html.text(&format!(", the last at {}", last.0));
    }
    html.put(format_args!("</caption>\n<thead><tr>"));
    for head in ["Resource", "Request now", "Recommended", "Left alone between", "Limit now", "Recommended"] {
        html.put(format_args!("<th scope=\"col\">{head}</th>"));
    }
    html.put(format_args!("</tr></thead>\n<tbody>\n"));
    let of_cpu: fn(&Resources) -> [Option<&Amount>; 2] =
        |of| [of.requests.cpu.as_ref(), of.limits.cpu.as_ref()];
    let of_memory: fn(&Resources) -> [Option<&Amount>; 2] =
        |of| [of.requests.memory.as_ref(), of.limits.memory.as_ref()];
    let (lower, upper) = (&container.lower, &container.upper);
    for (name, of, lower, upper) in [
        ("CPU", of_cpu, lower.cpu.as_ref(), upper.cpu.as_ref()),
        ("Memory", of_memory, lower.memory.as_ref(), upper.memory.as_ref()),
    ] {
        let ([request, limit], [to_request, to_limit]) = (of(&container.current), of(&container.target));
        html.put(format_args!("<tr><th scope=\"row\">{name}</th>"));
        let between = match (lower, upper) {
            (None, None) => "-".to_owned(),
            (lower, upper) => format!("{} and {}", text(lower), text(upper)),
        };
        for cell in [text(request), text(to_request), between, text(limit), text(to_limit)] {
            html.put(format_args!("<td>"));
            html.text(&cell);
            html.put(format_args!("</td>"));
        }
        html.put(format_args!("</tr>\n"));
    }
    html.put(format_args!("</tbody></table></div>\n"));
}

fn pictures(html: &mut Html, container: &ContainerRecommendation, learned: &Learned) {
    let Some(last) = &learned.day else { return };
    let cores = |amount: Option<&Amount>| amount.map(|amount| amount.value().as_cores().0);
    let bytes =
        |amount: Option<&Amount>| amount.and_then(|amount| amount.value().as_bytes()).map(Bytes::as_f64);
    let (current, target) = (&container.current, &container.target);
    html.put(format_args!("<div class=\"pair\">\n"));
    day::draw(
        html,
        &Picture {
            title: "CPU",
            levels: &last.cpu,
            current: cores(current.requests.cpu.as_ref()),
            target: cores(target.requests.cpu.as_ref()),
            limit: cores(target.limits.cpu.as_ref()),
            unit: Unit::Cores,
        },
    );
    day::draw(
        html,
        &Picture {
            title: "Memory",
            levels: &last.memory,
            current: bytes(current.requests.memory.as_ref()),
            target: bytes(target.requests.memory.as_ref()),
            limit: bytes(target.limits.memory.as_ref()),
            unit: Unit::Bytes,
        },
    );
    html.put(format_args!("</div>\n"));
}

fn alternatives(html: &mut Html, what_if: &[WhatIf]) {
    html.put(format_args!(
        "<h3>What would change it</h3>\n<div class=\"wide\"><table class=\"rows\">\n<thead><tr>"
    ));
    for head in ["If", "CPU request", "Memory request", "Memory limit"] {
        html.put(format_args!("<th scope=\"col\">{head}</th>"));
    }
    html.put(format_args!("</tr></thead>\n<tbody>\n"));
    for what in what_if {
        html.put(format_args!("<tr><th scope=\"row\">"));
        html.text(&what.change);
        html.put(format_args!("</th>"));
        for cell in [
            what.cpu_request.map(|cpu| cpu.to_string()),
            what.memory_request.map(|memory| memory.to_string()),
            what.memory_limit.map(|memory| memory.to_string()),
        ] {
            html.put(format_args!("<td>"));
            html.text(cell.as_deref().unwrap_or("-"));
            html.put(format_args!("</td>"));
        }
        html.put(format_args!("</tr>\n"));
    }
    html.put(format_args!("</tbody></table></div>\n"));
}
