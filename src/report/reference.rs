//! The reference of the custom resources, made from their definitions: each field with its type, its default, what it
//! may be, and what it means.

use std::fmt::Write as _;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, ValidationRule,
};

/// The page for all of these.
#[must_use]
pub fn policy(definitions: &[CustomResourceDefinition]) -> String {
    let mut text = String::from(
        "# Policy reference\n\n\
         Made from the types by `make reference`; `kubectl explain verticalscalingpolicies.spec --recursive` says the same.\n\
         Every field of a policy may be left out: its default then holds.\n",
    );
    for definition in definitions {
        let names = &definition.spec.names;
        let short = names.short_names.iter().flatten().map(|name| format!("`{name}`")).collect::<Vec<_>>();
        let _infallible = write!(
            text,
            "\n## {}\n\n`{}`, {}; short {}.\n",
            names.kind,
            definition.metadata.name.as_deref().unwrap_or_default(),
            if definition.spec.scope == "Namespaced" { "in a namespace" } else { "of the whole cluster" },
            if short.is_empty() { "name: none".to_owned() } else { short.join(", ") },
        );
        let version = definition.spec.versions.first();
        let Some(schema) = version.and_then(|version| version.schema.as_ref()?.open_api_v3_schema.as_ref())
        else {
            continue;
        };
        let _infallible = writeln!(text, "{}", schema.description.as_deref().unwrap_or_default());
        for (part, title) in [("spec", "What it asks for"), ("status", "What plumb says of it")] {
            let Some(of) = schema.properties.as_ref().and_then(|properties| properties.get(part)) else {
                continue;
            };
            let _infallible = write!(
                text,
                "\n### {title}\n\n| field of `{part}` | type | default | may be | meaning |\n| --- | --- | --- | --- | --- |\n"
            );
            fields(&mut text, "", of);
            let rules: Vec<&ValidationRule> = all_rules(of);
            if !rules.is_empty() {
                text.push_str("\nRefused by the API server:\n\n");
                for rule in rules {
                    let said = rule.message.as_deref().unwrap_or(&rule.rule);
                    let _infallible = writeln!(text, "- unless it holds: {said}");
                }
            }
        }
    }
    text
}

/// A row for each field, and below it those of its own fields.
fn fields(text: &mut String, path: &str, schema: &JSONSchemaProps) {
    for (name, field) in schema.properties.iter().flatten() {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let meaning = cell(field.description.as_deref().unwrap_or_default());
        let default = field.default.as_ref().map_or_else(String::new, |default| code(&default.0.to_string()));
        let _infallible =
            writeln!(text, "| `{path}` | {} | {default} | {} | {meaning} |", kind(field), may_be(field));
        fields(text, &path, field);
        if let Some(items) = items(field) {
            fields(text, &format!("{path}[]"), items);
        }
    }
}

fn items(schema: &JSONSchemaProps) -> Option<&JSONSchemaProps> {
    match schema.items.as_ref()? {
        JSONSchemaPropsOrArray::Schema(items) => Some(items),
        JSONSchemaPropsOrArray::Schemas(_) => None,
    }
}

fn kind(schema: &JSONSchemaProps) -> String {
    match (schema.type_.as_deref(), items(schema)) {
        (Some("array"), Some(items)) => format!("list of {}", kind(items)),
        (Some("object"), _) if schema.properties.is_none() => "map".to_owned(),
        (Some(kind), _) => kind.to_owned(),
        (None, _) if schema.x_kubernetes_int_or_string == Some(true) => "integer or string".to_owned(),
        (None, _) => "any".to_owned(),
    }
}

fn may_be(schema: &JSONSchemaProps) -> String {
    let mut said = Vec::new();
    let words: Vec<String> =
        schema.enum_.iter().flatten().map(|word| code(word.0.as_str().unwrap_or_default())).collect();
    if !words.is_empty() {
        said.push(words.join(", "));
    }
    match (schema.minimum, schema.maximum) {
        (Some(least), Some(most)) => said.push(format!("{least} to {most}")),
        (Some(least), None) => said.push(format!("at least {least}")),
        (None, Some(most)) => said.push(format!("at most {most}")),
        (None, None) => {}
    }
    if let Some(most) = schema.max_items {
        said.push(format!("at most {most} entries"));
    }
    if let Some(pattern) = &schema.pattern {
        said.push(format!("like {}", code(pattern)));
    }
    if let Some(inner) = items(schema).map(may_be).filter(|inner| !inner.is_empty()) {
        said.push(format!("each {inner}"));
    }
    said.join("; ")
}

/// What the API server checks, of a field and of all below it.
fn all_rules(schema: &JSONSchemaProps) -> Vec<&ValidationRule> {
    let mut found: Vec<&ValidationRule> = schema.x_kubernetes_validations.iter().flatten().collect();
    for field in schema.properties.iter().flat_map(|properties| properties.values()).chain(items(schema)) {
        for rule in all_rules(field) {
            if !found.iter().any(|known| known.message == rule.message && known.rule == rule.rule) {
                found.push(rule);
            }
        }
    }
    found
}

/// Text that ends neither the cell nor the line.
fn cell(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|").replace('<', "&lt;")
}

fn code(text: &str) -> String {
    format!("`{}`", cell(text).replace("&lt;", "<"))
}
