//! Whatever a manifest looks like, `plumb export` changes sizes in it and nothing else.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use plumb::export::target::{Amounts, Container, Target, Workload, Written};
use plumb::export::{Options, edit};
use proptest::prelude::*;
use serde_json::Value;

fn written(text: &str) -> Written {
    Written { value: text.parse().unwrap(), text: text.to_owned() }
}

/// What each of the containers a, b and c should have: exactly that, so that nothing is within a band.
fn targets() -> Vec<Target> {
    let container = |name: &str, cpu: &str, memory: &str| {
        let of = |request: &str, limit| {
            let value = written(request).value;
            Amounts { request: Some(written(request)), band: Some((value, value)), limit, add_limit: false }
        };
        let limit = Some(written("900Mi"));
        Container { name: name.to_owned(), init: false, cpu: of(cpu, None), memory: of(memory, limit) }
    };
    vec![Target {
        workload: Workload { namespace: "shop".into(), kind: "Deployment".into(), name: "web".into() },
        api_version: "apps/v1".into(),
        containers: vec![
            container("a", "110m", "111Mi"),
            container("b", "2", "222Mi"),
            container("c", "330m", "3Gi"),
        ],
    }]
}

/// An amount as people write it.
fn amount() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["1", "\"1\"", "'250m'", "100m", "0.5", "1Gi", "\"512Mi\"", "64M"])
}

fn comment() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["", "", " # why", "  # ünïcode: {a: [b", " # plumbing: no mark"])
}

/// The resources of a container, as lines below it; `{}` stands for its indentation.
fn resources() -> impl Strategy<Value = String> {
    let absent = Just(String::new());
    let empty = (prop::sample::select(vec!["", " {}", " null", " ~", " { }"]), comment())
        .prop_map(|(value, comment)| format!("{{}}resources:{value}{comment}\n"));
    let flow = (amount(), amount(), comment(), any::<bool>()).prop_map(|(cpu, memory, comment, limits)| {
        let limits = if limits { format!(", limits: {{memory: {memory}}}") } else { String::new() };
        format!("{{}}resources: {{requests: {{cpu: {cpu}}}{limits}}}{comment}\n")
    });
    let block = (amount(), amount(), comment(), comment(), any::<[bool; 3]>()).prop_map(
        |(cpu, memory, first, second, [has_cpu, has_memory, has_limit])| {
            let mut text = format!("{{}}resources:{first}\n");
            if has_cpu || has_memory {
                text.push_str(&format!("{{}}  requests:{second}\n"));
            }
            if has_memory {
                text.push_str(&format!("{{}}    memory: {memory}{first}\n"));
            }
            if has_cpu {
                text.push_str(&format!("{{}}    cpu: {cpu}{second}\n"));
            }
            if has_limit {
                text.push_str(&format!("{{}}  limits: {{cpu: {cpu}, memory: {memory}}}\n"));
            }
            text
        },
    );
    prop_oneof![absent, empty, flow, block]
}

fn container(name: &'static str) -> impl Strategy<Value = String> {
    (resources(), comment(), any::<[bool; 4]>()).prop_map(
        move |(resources, comment, [first, argument, blank, in_braces])| {
            if in_braces && resources.is_empty() {
                return format!("@- {{name: {name}, image: \"x:1\"}}{comment}\n");
            }
            let mut lines = vec![format!("{{}}image: \"x:1\"{comment}\n")];
            if argument {
                lines.push("{}args:\n{}- |\n{}  cpu: 1\n{}  # no comment\n".to_owned());
            }
            if blank {
                lines.push("\n".to_owned());
            }
            lines.insert(if first { 0 } else { lines.len() }, resources);
            format!("@- name: {name}{comment}\n{}", lines.concat().replace("{}", "@  "))
        },
    )
}

fn manifest() -> impl Strategy<Value = String> {
    let containers = (container("a"), container("b"), container("c"));
    (containers, any::<[bool; 3]>(), prop::sample::select(vec![0_usize, 2, 5])).prop_map(
        |((a, b, c), [crlf, trailing, marker], deeper)| {
            let indent = " ".repeat(6 + deeper);
            let containers = format!("{a}{b}{c}").replace('@', &indent);
            let head = if marker { "---\n# head\n" } else { "" };
            let mut text = format!(
                "{head}kind: Deployment\nmetadata: {{name: web, namespace: shop}} # ours\nspec:\n  template:\n    spec:\n\
                 \x20     containers:\n{containers}"
            );
            if !trailing {
                text.truncate(text.trim_end().len());
            }
            if crlf { text.replace('\n', "\r\n") } else { text }
        },
    )
}

/// What a text says, with the sizes of each container taken out: name to requests and limits.
fn parts(text: &str) -> (Value, Vec<Value>) {
    let mut value: Value = serde_saphyr::from_str(text).unwrap();
    let containers = value["spec"]["template"]["spec"]["containers"].as_array_mut().unwrap();
    let sizes = containers
        .iter_mut()
        .map(|container| container.as_object_mut().unwrap().remove("resources").unwrap_or_default())
        .collect();
    (value, sizes)
}

fn quantity(value: &Value) -> Option<plumb::units::Quantity> {
    match value {
        Value::String(text) => text.parse().ok(),
        Value::Number(number) => number.to_string().parse().ok(),
        _ => None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn sizes_change_and_nothing_else(text in manifest()) {
        let targets = targets();
        let edited = edit(&text, &targets, Options::default()).unwrap();
        prop_assert!(edited.left.is_empty(), "{:?}", edited.left);
        prop_assert_eq!(edited.containers, 3);
        let ((before, had), (after, has)) = (parts(&text), parts(&edited.text));
        prop_assert_eq!(before, after);
        for ((has, had), wanted) in has.iter().zip(&had).zip(&targets[0].containers) {
            let cpu = quantity(&has["requests"]["cpu"]);
            prop_assert_eq!(cpu, wanted.cpu.request.as_ref().map(|to| to.value));
            let memory = quantity(&has["requests"]["memory"]);
            prop_assert_eq!(memory, wanted.memory.request.as_ref().map(|to| to.value));
            // A limit is there where it was, and never below the request.
            for (limit, request) in [("cpu", cpu), ("memory", memory)] {
                let now = quantity(&has["limits"][limit]);
                prop_assert_eq!(now.is_some(), !had["limits"][limit].is_null());
                prop_assert!(now.is_none() || now >= request);
            }
        }
        // Comments stay, in their order; so do line ends.
        let comments = |text: &str| -> Vec<String> {
            text.lines().filter_map(|line| Some(line.split_once(" #")?.1.trim().to_owned())).collect()
        };
        prop_assert_eq!(comments(&text), comments(&edited.text));
        let breaks = edited.text.matches('\n').count();
        let expected = if text.contains("\r\n") { breaks } else { 0 };
        prop_assert_eq!(edited.text.matches("\r\n").count(), expected);
        prop_assert_eq!(text.ends_with('\n'), edited.text.ends_with('\n'));
    }

    /// Whatever a file holds, nothing panics, and what is changed can be read.
    #[test]
    fn anything_is_read_or_refused(text in "[-a-z:{}\\[\\], \"'#&*|>\n]{0,120}") {
        if let Ok(edited) = edit(&text, &targets(), Options::default()) {
            prop_assert_eq!(edited.text, text);
        }
    }
}
