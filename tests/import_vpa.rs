//! VerticalPodAutoscalers in files become policies that say the same, and what they have learned a checkpoint.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use assert_cmd::Command;
use plumb::api::{Mode, VerticalScalingPolicy};
use plumb::cluster::index::WorkloadKey;
use plumb::control::checkpoint::Checkpoints;
use plumb::control::keeper::saved_series;

const OBJECTS: &str = r#"
apiVersion: autoscaling.k8s.io/v1
kind: VerticalPodAutoscaler
metadata: {name: web, namespace: shop}
spec:
  targetRef: {apiVersion: apps/v1, kind: Deployment, name: web-v2}
  updatePolicy: {updateMode: "InPlace", minReplicas: 1}
  resourcePolicy:
    containerPolicies:
    - containerName: "*"
      minAllowed: {cpu: 50m}
      maxAllowed: {cpu: 1.5, memory: 2Gi}
  recommenders: [{name: "odd\n- injected: true"}]
---
apiVersion: v1
kind: ConfigMap
metadata: {name: other}
---
apiVersion: autoscaling.k8s.io/v1
kind: VerticalPodAutoscalerCheckpoint
metadata: {name: web-app, namespace: shop}
spec: {vpaObjectName: web, containerName: app}
status:
  version: v3
  firstSampleStart: "2026-01-01T00:00:00Z"
  lastSampleStart: "2026-01-08T00:00:00Z"
  totalSamplesCount: 10080
  cpuHistogram: {referenceTimestamp: "2026-01-08T00:00:00Z", totalWeight: 60.5, bucketWeights: {"16": 10000}}
  memoryHistogram: {referenceTimestamp: "2026-01-08T00:00:00Z", totalWeight: 9.25, bucketWeights: {"36": 10000}}
---
apiVersion: autoscaling.k8s.io/v1
kind: VerticalPodAutoscalerCheckpoint
metadata: {name: gone-app, namespace: shop}
spec: {vpaObjectName: gone, containerName: app}
"#;

fn import(args: &[&str]) -> (String, String) {
    let mut command: Command = assert_cmd::cargo::cargo_bin_cmd!("plumb");
    let command = command.env_clear().args(["import", "vpa", "-"]).args(args).write_stdin(OBJECTS);
    let output = command.assert().success().get_output().clone();
    (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn policies_with_what_became_of_each_field() {
    let (yaml, told) = import(&["--keep-mode"]);
    let policies: Vec<VerticalScalingPolicy> = serde_saphyr::from_multiple(&yaml).unwrap();
    assert_eq!(policies.len(), 1, "{yaml}");
    let spec = &policies[0].spec;
    assert_eq!((spec.mode, spec.actuation.min_replicas), (Mode::Auto, 1));
    let most = spec.containers[0].max_allowed.as_ref().unwrap();
    assert_eq!(most.cpu.as_ref().unwrap().to_string(), "1.5");
    assert!(yaml.starts_with("---\n# From VerticalPodAutoscaler shop/web\n"), "{yaml}");
    assert!(
        yaml.contains("#   spec.updatePolicy.updateMode (InPlace): mode Auto, actuation.method InPlace\n"),
        "{yaml}"
    );
    // What is written in an object ends no comment.
    assert!(yaml.contains("#   spec.recommenders (odd - injected: true): no equal; "), "{yaml}");
    assert!(told.contains("spec.recommenders") && told.contains("1 policy"), "{told}");

    let (json, _) = import(&["-o", "json"]);
    let list: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(list["items"][0]["spec"]["target"]["workloadRef"]["name"], "web-v2");
    assert_eq!(list["items"][0]["spec"].get("mode"), None);
    let (table, _) = import(&["-o", "table"]);
    assert!(table.starts_with("VPA") && table.contains("spec.targetRef"), "{table}");
}

#[tokio::test]
async fn what_was_learned_is_a_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let place = format!("file:{}", folder.path().display());
    let (_, told) = import(&["--checkpoints", &place]);
    assert!(told.contains("learned of 1 containers") && told.contains("time of day"), "{told}");
    assert!(told.contains("checkpoint gone-app is left out: the VerticalPodAutoscaler shop/gone"), "{told}");
    let key = WorkloadKey {
        namespace: "shop".into(),
        kind: "Deployment".into(),
        name: "web-v2".into(),
        api_version: "apps/v1".into(),
    };
    let found = saved_series(&Checkpoints::in_folder(folder.path()), &key).await.unwrap();
    let [(key, series, _)] = found.as_slice() else { panic!("{} series", found.len()) };
    assert_eq!(&*key.container, "app");
    let [middle] = series.cpu().histogram().quantiles([0.5], false);
    // The end of VPA's bucket 16.
    assert!((0.25..0.27).contains(&middle), "{middle}");
    // Once more: what is known stays.
    let (_, told) = import(&["--checkpoints", &place]);
    assert!(told.contains("learned of 0 containers; of 1 plumb knows"), "{told}");
}

#[test]
fn what_is_wrong_is_said_in_a_line() {
    let fails = |args: &[&str], input: &str| {
        let mut command: Command = assert_cmd::cargo::cargo_bin_cmd!("plumb");
        let command = command.env_clear().args(["import", "vpa"]).args(args).write_stdin(input.to_owned());
        let output = command.assert().code(1).get_output().clone();
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(told.starts_with("plumb: ") && !told.contains("panicked"), "{told}");
        told
    };
    assert!(fails(&["/no/such.yaml"], "").contains("cannot read /no/such.yaml"));
    assert!(fails(&["-"], "{{{").lines().count() == 1);
    assert!(fails(&["-"], "kind: Pod\napiVersion: v1\n").contains("there is no VerticalPodAutoscaler here"));
    assert!(fails(&["-", "--checkpoints", "none"], OBJECTS).contains("--checkpoints none"));
    let bare = "apiVersion: autoscaling.k8s.io/v1\nkind: VerticalPodAutoscaler\nmetadata: {name: bare}\n";
    assert!(fails(&["-"], bare).contains("VerticalPodAutoscaler bare: it has no spec.targetRef"));
}
