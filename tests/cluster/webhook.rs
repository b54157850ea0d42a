//! The API server reaches an admission webhook that runs beside it, by `clientConfig.url`, and takes its patch.

use std::time::Duration;

use anyhow::{Result, ensure};
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use serde_json::{Value, json};

use crate::support::{Context, tls::JsonServer, wait_for};

cluster_test!(webhook_by_url_is_reached, [Fresh]);
async fn webhook_by_url_is_reached(context: Context) -> Result<()> {
    let server = JsonServer::start(mark).await?;
    let name = format!("{}.plumb.test", context.namespace);
    let configuration: MutatingWebhookConfiguration = serde_json::from_value(json!({
        "metadata": {"name": name},
        "webhooks": [{
            "name": name,
            "clientConfig": {
                "url": format!("{}/mutate", server.url),
                "caBundle": ByteString(server.authority.clone().into_bytes()),
            },
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": context.namespace}},
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"], "operations": ["CREATE"]}],
            "failurePolicy": "Fail", "sideEffects": "None", "admissionReviewVersions": ["v1"], "timeoutSeconds": 5,
        }],
    }))?;
    let configurations: Api<MutatingWebhookConfiguration> = Api::all(context.client());
    configurations.create(&PostParams::default(), &configuration).await?;
    let maps = context.api::<ConfigMap>();
    let map: ConfigMap = serde_json::from_value(json!({"metadata": {"generateName": "seen-"}}))?;
    // The server takes up a new webhook within a second or so; a map made before that is not marked.
    let marked = wait_for("the webhook to mark an object", Duration::from_secs(30), || async {
        let made = maps.create(&PostParams::default(), &map).await?;
        let mark = made.data.as_ref().and_then(|data| data.get("mark").cloned());
        ensure!(mark.as_deref() == Some("plumb"), "data: {:?}", made.data);
        Ok(())
    })
    .await;
    configurations.delete(&name, &DeleteParams::default()).await?;
    marked
}

/// Answers an AdmissionReview with a patch that adds a mark. The patch is sent as a list of numbers, as the `kube`
/// crate does it, where others send base64.
fn mark(review: &Value) -> Value {
    let patch = json!([{"op": "add", "path": "/data", "value": {"mark": "plumb"}}]).to_string();
    json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "response": {
            "uid": review["request"]["uid"], "allowed": true,
            "patchType": "JSONPatch", "patch": patch.into_bytes(),
        },
    })
}
