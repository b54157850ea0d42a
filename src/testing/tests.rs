use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Node, Pod};
use serde_json::json;

use super::*;
use crate::api::{Recommendation, VerticalScalingPolicy};

#[test]
fn json_is_the_object_as_a_person_applies_it() {
    let reference = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"});
    let found = policy("web").auto().for_deployment("web").actuation(json!({"method": "InPlace"})).json();
    let spec =
        json!({"mode": "Auto", "actuation": {"method": "InPlace"}, "target": {"workloadRef": reference}});
    let expected = json!({"apiVersion": "plumb.dev/v1alpha1", "kind": "VerticalScalingPolicy",
                          "metadata": {"name": "web"}, "spec": spec});
    assert_eq!(found, expected);
    let template = json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": []}});
    let found = deployment("web").replicas(2).template(template.clone()).json();
    let expected = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "web"}}, "template": template}});
    assert_eq!(found, expected);
    let found = recommendation("web").named("a").for_custom_workload("b/v1", "C", "d").by_policy("e").json();
    let expected = json!({"apiVersion": "plumb.dev/v1alpha1", "kind": "Recommendation", "metadata": {"name": "a"},
        "spec": {"workloadRef": {"apiVersion": "b/v1", "kind": "C", "name": "d"},
                 "policyRef": {"kind": "VerticalScalingPolicy", "name": "e"}, "mode": "Recommend"}});
    assert_eq!(found, expected);
    let all = policy("all").all_containers(json!({"minAllowed": {"cpu": "900"}})).json();
    assert_eq!(all["spec"], json!({"containers": [{"name": "*", "minAllowed": {"cpu": "900"}}]}));
}

#[test]
fn object_has_the_namespace_that_the_api_server_would_give() {
    let namespace = |object: kube::core::ObjectMeta| object.namespace;
    assert_eq!(namespace(pod("web-1").object::<Pod>().metadata).as_deref(), Some(NAMESPACE));
    assert_eq!(
        namespace(deployment("web").namespace("a").object::<Deployment>().metadata).as_deref(),
        Some("a")
    );
    assert_eq!(
        namespace(policy("all").object::<VerticalScalingPolicy>().metadata).as_deref(),
        Some(NAMESPACE)
    );
    assert_eq!(namespace(object("Node", "n").object::<Node>().metadata), None);
    let app = recommended("app").target("180m", "300Mi", "400Mi").startup_boost("540m", "60s");
    let found: Recommendation =
        recommendation("web").containers([app]).condition("Blocked", "a", "b").object();
    assert_eq!(
        found.status.unwrap().containers[0].target.limits.memory.as_ref().unwrap().to_string(),
        "400Mi"
    );
}

#[test]
fn any_field_can_be_set_by_its_path() {
    let found =
        pod("web-1").with("/spec/containers/0/resources/limits/cpu", 1).with("/a~1b/c~0d", "e").json();
    assert_eq!(found["spec"]["containers"][0]["resources"], json!({"limits": {"cpu": 1}}));
    assert_eq!(found["a/b"]["c~d"], "e");
}
