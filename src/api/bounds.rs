//! The most that each duration and amount of a policy may be: said to the API server as CEL rules, and held to again
//! when a policy is read, as an older definition may let more pass.

use super::{
    Actuation, Amount, Band, BoostDuration, ClusterVerticalScalingPolicySpec, ContainerPolicy, History,
    ResourceAmounts, Span, VerticalScalingPolicySpec,
};
use crate::units::{Bytes, Cores};

/// The longest `history.window` and `history.learn`.
pub const MOST_HISTORY: Span = Span::days(90);
/// The longest `actuation.cooldown`.
pub(super) const MOST_COOLDOWN: Span = Span::days(7);
/// The longest `actuation.guard.observe`.
pub(super) const MOST_OBSERVE: Span = Span::days(1);
/// The longest `actuation.windows.duration`.
pub(super) const MOST_OPEN: Span = Span::days(31);
/// The longest `startupBoost.cpu.duration`.
const MOST_BOOST: Span = Span::minutes(60);
/// The greatest `startupBoost.cpu.factor`.
const MOST_FACTOR: Cores = Cores(100.0);
/// The greatest `maxShortfallPercent`.
const MOST_SHORTFALL: Cores = Cores(50.0);
/// The greatest `maxOomKillsPerYear`.
const MOST_KILLS: Cores = Cores(365.0);
/// More CPU than any node has.
const MOST_CPU: Cores = Cores(10_000.0);
/// More memory than any node has: 1Pi.
const MOST_MEMORY: Bytes = Bytes(1 << 50);

/// Returns the CEL rule of a duration that is at most so many days. (CEL's durations know no days, and to put hours in
/// their place costs the API server more than it allows: what follows the days is bounded by the pattern.)
pub(super) fn span_rule(most: Span) -> String {
    let days = most.seconds / 86_400;
    format!(
        "self.contains('d') ? int(self.split('d')[0]) < {days} || self == '{days}d' : duration(self) <= duration('{}s')",
        most.seconds
    )
}

/// Returns the CEL rule of an amount of CPU and one of memory.
pub(super) fn amounts_rule() -> String {
    let at_most = |field: &str, most: String| {
        format!("(!has(self.{field}) || quantity(string(self.{field})).compareTo(quantity('{most}')) <= 0)")
    };
    format!("{} && {}", at_most("cpu", MOST_CPU.to_string()), at_most("memory", MOST_MEMORY.0.to_string()))
}

/// Returns the CEL rule of an amount of memory that is above 0.
pub(super) fn headroom_rule() -> String {
    format!(
        "quantity(string(self)).isGreaterThan(quantity('0')) && quantity(string(self)).compareTo(quantity('{}')) <= 0",
        MOST_MEMORY.0
    )
}

/// A policy's numbers, held to what its definition allows.
pub trait Bounded {
    /// Lowers what is above its most.
    fn bound(&mut self);
}

impl Bounded for VerticalScalingPolicySpec {
    fn bound(&mut self) {
        bound(&mut self.containers, &mut self.band, &mut self.actuation, &mut self.history);
    }
}

impl Bounded for ClusterVerticalScalingPolicySpec {
    fn bound(&mut self) {
        bound(&mut self.containers, &mut self.band, &mut self.actuation, &mut self.history);
    }
}

fn bound(
    containers: &mut [ContainerPolicy],
    band: &mut Band,
    actuation: &mut Actuation,
    history: &mut History,
) {
    history.window = history.window.min(MOST_HISTORY);
    history.learn = history.learn.min(MOST_HISTORY);
    actuation.cooldown = actuation.cooldown.min(MOST_COOLDOWN);
    actuation.guard.observe = actuation.guard.observe.min(MOST_OBSERVE);
    for window in &mut actuation.windows {
        window.duration = window.duration.min(MOST_OPEN);
    }
    band.min_change_percent = band.min_change_percent.map(|percent| percent.min(1000));
    amounts(band.min_change.as_mut());
    for container in containers {
        amounts(container.min_allowed.as_mut());
        amounts(container.max_allowed.as_mut());
        memory(&mut container.memory.headroom);
        number(container.cpu.max_shortfall_percent.as_mut(), MOST_SHORTFALL);
        number(container.memory.max_oom_kills_per_year.as_mut(), MOST_KILLS);
        let Some(boost) = container.startup_boost.as_mut().map(|boost| &mut boost.cpu) else { continue };
        number(Some(&mut boost.factor), MOST_FACTOR);
        if let BoostDuration::For(span) = &mut boost.duration {
            *span = MOST_BOOST.min(*span);
        }
    }
}

fn amounts(stated: Option<&mut ResourceAmounts>) {
    let Some(stated) = stated else { return };
    number(stated.cpu.as_mut(), MOST_CPU);
    memory(&mut stated.memory);
}

fn number(stated: Option<&mut Amount>, most: Cores) {
    if let Some(stated) = stated.filter(|stated| stated.value().as_cores() > most) {
        *stated = Amount::from(most);
    }
}

fn memory(stated: &mut Option<Amount>) {
    if let Some(stated) = stated.as_mut()
        && stated.value().as_bytes().is_none_or(|bytes| bytes > MOST_MEMORY)
    {
        *stated = Amount::from(MOST_MEMORY);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::api::definitions;

    /// Collects the numbers, quantities and durations below a schema that nothing bounds from above: neither a
    /// maximum, nor a rule with `<=` at it, nor one at its parent that names it.
    fn unbounded(path: &str, schema: &Value, of_parent: &str, found: &mut Vec<String>) {
        let rules = schema["x-kubernetes-validations"].to_string();
        let is_number = ["integer", "number"].contains(&schema["type"].as_str().unwrap_or_default());
        let is_amount = schema["x-kubernetes-int-or-string"] == true;
        let is_span = schema["pattern"].as_str().is_some_and(|pattern| pattern.contains("{1,5}d"));
        let name = path.rsplit('.').next().unwrap_or_default();
        let has_rule = rules.contains("<=") || rules.contains("(100|[0-9]{1,2})%");
        let parent_rule = of_parent.contains(&format!("self.{name})).compareTo")) && of_parent.contains("<=");
        let is_bounded = schema.get("maximum").is_some() || has_rule || parent_rule;
        if (is_number || is_amount || is_span) && !is_bounded {
            found.push(path.to_owned());
        }
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            unbounded(&format!("{path}.{name}"), property, &rules, found);
        }
        if let Some(items) = schema.get("items") {
            if schema.get("maxItems").is_none() && !path.contains("elector") {
                found.push(format!("{path}[]"));
            }
            unbounded(path, items, "", found);
        }
    }

    #[test]
    fn every_number_that_a_namespace_can_write_is_bounded() {
        let mut found = Vec::new();
        for definition in definitions().iter().take(2) {
            let value = serde_json::to_value(definition).unwrap();
            let schema = &value["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
            assert!(schema["properties"]["history"].is_object());
            unbounded(&definition.spec.names.kind, schema, "", &mut found);
        }
        assert!(found.is_empty(), "nothing bounds {found:#?}");
    }

    #[test]
    fn what_an_older_definition_let_pass_is_lowered_when_it_is_read() {
        let huge = json!({"cpu": "90k", "memory": "4E"});
        let mut spec: VerticalScalingPolicySpec = serde_json::from_value(json!({
            "history": {"window": "99999d", "learn": "99999d"},
            "band": {"minChangePercent": 4_000_000_000_u32, "minChange": huge},
            "actuation": {"cooldown": "99999d", "guard": {"observe": "99999d"},
                          "windows": [{"schedule": "0 0 * * *", "duration": "99999d"}]},
            "containers": [{"name": "*", "minAllowed": huge, "maxAllowed": huge,
                            "cpu": {"maxShortfallPercent": "1M"},
                            "memory": {"maxOomKillsPerYear": "1M", "limit": "Headroom", "headroom": "4E"},
                            "startupBoost": {"cpu": {"factor": "1M", "duration": "99999d"}}}],
        }))
        .unwrap();
        spec.bound();
        let text = serde_json::to_value(&spec).unwrap();
        let most = json!({"cpu": "10000", "memory": "1024Ti"});
        assert_eq!(text["history"], json!({"window": "90d", "learn": "90d"}));
        assert_eq!(text["band"], json!({"minChangePercent": 1000, "minChange": most}));
        assert_eq!(text["actuation"]["cooldown"], "7d");
        assert_eq!(text["actuation"]["guard"]["observe"], "1d");
        assert_eq!(text["actuation"]["windows"][0]["duration"], "31d");
        let app = &text["containers"][0];
        assert_eq!((&app["minAllowed"], &app["maxAllowed"]), (&most, &most));
        assert_eq!(app["cpu"]["maxShortfallPercent"], "50");
        assert_eq!(app["memory"]["maxOomKillsPerYear"], "365");
        assert_eq!(app["memory"]["headroom"], "1024Ti");
        assert_eq!(app["startupBoost"]["cpu"], json!({"factor": "100", "duration": "1h"}));
    }
}
