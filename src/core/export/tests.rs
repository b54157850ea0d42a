#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::target::{Amounts, Container, Target, Workload, Written};
use super::*;

fn amount(text: &str) -> Written {
    Written { value: text.parse().unwrap(), text: text.to_owned() }
}

fn amounts(request: &str, band: [&str; 2], limit: Option<&str>) -> Amounts {
    let band = Some((band[0].parse().unwrap(), band[1].parse().unwrap()));
    Amounts { request: Some(amount(request)), band, limit: limit.map(amount), add_limit: false }
}

/// web's container app: 180m within 100m to 300m, 300Mi within 200Mi to 400Mi, limited to 500Mi.
fn targets() -> Vec<Target> {
    vec![Target {
        workload: Workload {
            namespace: "shop".to_owned(),
            kind: "Deployment".to_owned(),
            name: "web".to_owned(),
        },
        api_version: "apps/v1".to_owned(),
        containers: vec![Container {
            name: "app".to_owned(),
            init: false,
            cpu: amounts("180m", ["100m", "300m"], None),
            memory: amounts("300Mi", ["200Mi", "400Mi"], Some("500Mi")),
        }],
    }]
}

fn edited(text: &str) -> Edited {
    edit(text, &targets(), Options::default()).unwrap()
}

/// A manifest of web, around what its container is said to be.
fn manifest(container: &str) -> String {
    format!(
        "kind: Deployment\nmetadata:\n  name: web\nspec:\n  template:\n    spec:\n      containers:\n{container}"
    )
}

fn becomes(before: &str, after: &str) {
    let found = edited(&manifest(before));
    assert_eq!(found.text, manifest(after), "{:?}", found.left);
    assert!(!found.changes.is_empty());
}

fn is_left(text: &str, why: &str) {
    let found = edited(text);
    assert_eq!(found.text, text);
    assert!(found.changes.is_empty() && found.left.iter().any(|left| left.why.contains(why)), "{found:?}");
}

#[test]
fn amounts_are_replaced_and_all_else_stays() {
    becomes(
        "      # the shop\n      - name: app   # its one\n        resources:\n          limits: {memory: \"1Gi\"}  # high\n\
         \x20         requests:\n            memory: '1Gi' # was 2\n            cpu: 2\n        image: x\n",
        "      # the shop\n      - name: app   # its one\n        resources:\n          limits: {memory: \"500Mi\"}  # high\n\
         \x20         requests:\n            memory: '300Mi' # was 2\n            cpu: 180m\n        image: x\n",
    );
}

#[test]
fn what_is_within_the_band_is_left() {
    let fine = manifest(
        "      - name: app\n        resources: {requests: {cpu: 250m, memory: 310Mi}, limits: {memory: 512Mi}}\n",
    );
    assert_eq!(edited(&fine).text, fine);
    assert_eq!(edited(&fine).containers, 1);
    let exact = edit(&fine, &targets(), Options { exact: true, namespace: None }).unwrap();
    assert!(exact.text.contains("{requests: {cpu: 180m, memory: 300Mi}, limits: {memory: 500Mi}}"));
}

#[test]
fn a_missing_block_is_put_in_at_its_depth() {
    becomes(
        "      - name: app\n        image: x\n        args:\n        - a\n        - b # last\n      - name: other\n",
        "      - name: app\n        image: x\n        args:\n        - a\n        - b # last\n        resources:\n\
         \x20         requests:\n            cpu: 180m\n            memory: 300Mi\n      - name: other\n",
    );
    for empty in ["resources:", "resources: {}", "resources: null", "resources: ~"] {
        becomes(
            &format!("      - name: app\n        {empty} # soon\n        image: x\n"),
            "      - name: app\n        resources: # soon\n          requests:\n            cpu: 180m\n\
             \x20           memory: 300Mi\n        image: x\n",
        );
    }
    becomes(
        "      - name: app\n        command:\n        - |+\n          echo\n\n",
        // Not behind the text: its empty line is its own.
        "      - name: app\n        resources:\n          requests:\n            cpu: 180m\n            memory: 300Mi\n\
         \x20       command:\n        - |+\n          echo\n\n",
    );
}

#[test]
fn missing_amounts_go_beside_those_that_are_there() {
    becomes(
        "      - name: app\n        resources:\n          requests:\n            cpu: 1\n",
        "      - name: app\n        resources:\n          requests:\n            cpu: 180m\n            memory: 300Mi\n",
    );
    becomes(
        "      - name: app\n        resources: {limits: {memory: 1Gi}}\n",
        "      - name: app\n        resources: {limits: {memory: 500Mi}, requests: {cpu: 180m, memory: 300Mi}}\n",
    );
    becomes(
        "      - name: app\n        resources: {requests: {}}\n",
        "      - name: app\n        resources: {requests: {cpu: 180m, memory: 300Mi}}\n",
    );
    becomes(
        "      - {name: app}\n",
        "      - {name: app, resources: {requests: {cpu: 180m, memory: 300Mi}}}\n",
    );
}

#[test]
fn the_last_line_needs_no_end() {
    becomes(
        "      - name: app",
        "      - name: app\n        resources:\n          requests:\n            cpu: 180m\n            memory: 300Mi",
    );
}

#[test]
fn line_ends_stay_as_they_are() {
    let before = manifest(
        "      - name: app\n        resources:\n          requests:\n            cpu: 2\n        image: ä\n",
    );
    let found = edited(&before.replace('\n', "\r\n"));
    assert_eq!(found.text, edited(&before).text.replace('\n', "\r\n"));
    assert!(found.text.contains("memory: 300Mi\r\n        image: ä\r\n"));
}

#[test]
fn a_limit_never_ends_below_the_request() {
    let found = edited(&manifest(
        "      - name: app\n        resources:\n          requests: {cpu: 10m, memory: 300Mi}\n          limits: {cpu: 20m}\n",
    ));
    assert!(
        found.text.contains("requests: {cpu: 180m, memory: 300Mi}\n          limits: {cpu: 180m}\n"),
        "{}",
        found.text
    );
}

#[test]
fn all_documents_and_lists_are_searched() {
    let one = manifest("      - name: app\n        resources: {requests: {cpu: 1}}\n");
    let text = format!("# head\n---\nkind: Service\nmetadata: {{name: web}}\n---\n{one}...\n---\n{one}");
    assert_eq!(edited(&text).changes.len(), 4);
    assert_eq!(edited(&text).containers, 2);
    let list = "kind: List\nitems:\n- kind: Deployment\n  metadata: {name: web, namespace: shop}\n  spec: {template: {spec: {containers: [{name: app}]}}}\n";
    assert!(
        edited(list).text.ends_with("[{name: app, resources: {requests: {cpu: 180m, memory: 300Mi}}}]}}}\n")
    );
    let elsewhere = list.replace("shop", "other");
    assert_eq!(edited(&elsewhere).containers, 0);
}

#[test]
fn json_stays_json() {
    let text = "{\n  \"kind\": \"Deployment\",\n  \"metadata\": {\"name\": \"web\"},\n  \"spec\": {\"template\": {\"spec\": {\"containers\": [\n    {\n      \"name\": \"app\",\n      \"resources\": {\"requests\": {\"cpu\": 2}}\n    }\n  ]}}}\n}\n";
    let found = edited(text).text;
    let value: serde_json::Value = serde_json::from_str(&found).unwrap();
    let requests = &value["spec"]["template"]["spec"]["containers"][0]["resources"]["requests"];
    assert_eq!(*requests, serde_json::json!({"cpu": "180m", "memory": "300Mi"}));
    let bare = text.replace(",\n      \"resources\": {\"requests\": {\"cpu\": 2}}", "");
    let found = edited(&bare).text;
    assert!(
        found.contains("\"name\": \"app\",\n      \"resources\": {\"requests\": {\"cpu\": \"180m\""),
        "{found}"
    );
    serde_json::from_str::<serde_json::Value>(&found).unwrap();
}

#[test]
fn helm_values_say_by_a_comment_what_they_are() {
    let text = "replicas: 2\nweb:\n  resources: # plumb: Deployment shop/web app\n    requests:\n      cpu: 2 # much\nother:\n  resources: {}\n";
    let found = edited(text);
    assert_eq!(
        found.text,
        "replicas: 2\nweb:\n  resources: # plumb: Deployment shop/web app\n    requests:\n      cpu: 180m # much\n      memory: 300Mi\nother:\n  resources: {}\n"
    );
    assert_eq!(found.changes[0].line, 5);
    let flow = "resources: {requests: {cpu: 2, memory: 1Gi}} # plumb: Deployment web app\n";
    assert!(edited(flow).text.starts_with("resources: {requests: {cpu: 180m, memory: 300Mi}} #"));
    is_left("a: 1 # plumb: web\n", "it should be like");
    is_left("a: 1\n# plumb: Deployment shop/web app\n\nb: 2\n", "no key is on the line");
}

#[test]
fn what_others_share_is_left_and_named() {
    let shared = "no: &small {requests: {cpu: 1}}\nkind: Deployment\nmetadata: {name: web}\nspec:\n  template:\n    spec:\n      containers:\n      - name: app\n        resources: *small\n";
    is_left(shared, "anchor");
    is_left(
        &manifest("      - name: app\n        resources: &all\n          requests: {cpu: 2}\n"),
        "anchor",
    );
    is_left(
        &manifest(
            "      - name: app\n        resources:\n          <<: {a: b}\n          requests: {cpu: 2}\n",
        ),
        "merges",
    );
    is_left(&manifest("      - &first\n        name: app\n"), "anchor");
    is_left(
        &manifest("      - name: app\n        resources: {requests: {cpu: {{ .Values.cpu }}}}\n"),
        "no amount",
    );
    is_left(&manifest("      - name: app\n        resources: {requests: {cpu: lots}}\n"), "no amount that");
    is_left(&manifest("      - name: app\n        resources: 5\n"), "no map of amounts");
}

#[test]
fn in_two_namespaces_one_has_to_be_named() {
    let mut all = targets();
    let mut other = all[0].clone();
    other.workload.namespace = "dev".to_owned();
    other.containers[0].cpu = amounts("20m", ["10m", "30m"], None);
    all.push(other);
    let text = manifest("      - name: app\n        resources: {requests: {cpu: 1}}\n");
    let found = edit(&text, &all, Options::default()).unwrap();
    assert!(found.changes.is_empty() && found.left[0].why.contains("-n"), "{found:?}");
    let found = edit(&text, &all, Options { namespace: Some("dev"), exact: false }).unwrap();
    assert!(found.text.contains("cpu: 20m"));
}

#[test]
fn what_cannot_be_read_is_refused_by_line() {
    let error = edit("a: 1\nb: [1, 2\nc: 3\n", &targets(), Options::default()).unwrap_err();
    assert!(matches!(error, ExportError::Unreadable { line: 2..=4, .. }), "{error}");
    let deep = "[".repeat(100);
    assert!(edit(&deep, &targets(), Options::default()).is_err());
    assert_eq!(edit("", &targets(), Options::default()).unwrap(), Edited::default());
}
