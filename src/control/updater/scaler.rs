//! HorizontalPodAutoscalers whose targets move with the requests: from the index to what is decided by, and from there
//! to a patch that applies to what was seen or not at all.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::actuate::rescale::{Kept, Measure, Rescale, Scaler, Target};
use crate::cluster::error::Request;
use crate::cluster::index::{Autoscaler, ObjectKey, Share, THRESHOLDS};
use crate::cluster::{ClusterError, Connection};

/// At what one of an autoscaler's metrics scales, as the annotation has it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Noted {
    /// Cores or bytes of one pod.
    threshold: f64,
    /// The target that plumb has set for that, in percent.
    percent: u32,
}

/// By what a metric is found again: its place may change, what it measures does not.
fn name(measure: Measure, container: Option<&str>) -> String {
    let measure = match measure {
        Measure::Cpu => "cpu",
        Measure::Memory => "memory",
    };
    container.map_or_else(|| measure.to_owned(), |container| format!("{measure}/{container}"))
}

/// What cannot be read counts as not noted: then what stands is what a person wants.
fn noted(text: Option<&str>) -> BTreeMap<String, Noted> {
    let read: BTreeMap<String, Noted> =
        text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    read.into_iter().filter(|(_, noted)| noted.threshold.is_finite() && noted.threshold > 0.0).collect()
}

/// As it is decided by.
pub(super) fn scaler(key: &ObjectKey, found: &Autoscaler) -> Scaler {
    let noted = noted(found.thresholds.as_deref());
    let target = |share: &Share| {
        let measure = if share.memory { Measure::Memory } else { Measure::Cpu };
        let kept = noted.get(&name(measure, share.container.as_deref()));
        Target {
            place: share.place,
            measure,
            container: share.container.as_deref().map(Arc::from),
            percent: share.percent,
            kept: kept.map(|noted| Kept { threshold: noted.threshold, percent: noted.percent }),
        }
    };
    Scaler { name: Arc::from(&*key.name), targets: found.shares.iter().map(target).collect() }
}

/// The patch. It is refused where the object is another one than was seen.
fn patch(found: &Autoscaler, rescale: &Rescale) -> Result<Value, serde_json::Error> {
    let mut notes = noted(found.thresholds.as_deref());
    let mut steps = vec![json!({"op": "test", "path": "/metadata/resourceVersion", "value": found.version})];
    for (target, kept) in &rescale.targets {
        let noted = Noted { threshold: kept.threshold, percent: kept.percent };
        notes.insert(name(target.measure, target.container.as_deref()), noted);
        if target.percent != kept.percent {
            let field = if target.container.is_some() { "containerResource" } else { "resource" };
            let path = format!("/spec/metrics/{}/{field}/target/averageUtilization", target.place);
            steps.push(json!({"op": "replace", "path": path, "value": kept.percent}));
        }
    }
    let notes = serde_json::to_string(&notes)?;
    steps.push(if found.annotated {
        let path = format!("/metadata/annotations/{}", THRESHOLDS.replace('/', "~1"));
        json!({"op": "add", "path": path, "value": notes})
    } else {
        json!({"op": "add", "path": "/metadata/annotations", "value": {THRESHOLDS: notes}})
    });
    Ok(Value::Array(steps))
}

/// Writes it. True: accepted. False: the object has changed meanwhile, which the next round sees.
pub(super) async fn write(
    connection: &Connection,
    key: &ObjectKey,
    found: &Autoscaler,
    rescale: &Rescale,
) -> Result<bool, String> {
    let steps = patch(found, rescale).and_then(serde_json::from_value).map_err(|error| error.to_string())?;
    let api: Api<HorizontalPodAutoscaler> = Api::namespaced(connection.client.clone(), &key.namespace);
    let asked = Request {
        verb: "patch",
        resource: "horizontalpodautoscalers.autoscaling",
        namespace: Some(key.namespace.to_string()),
    };
    let patch: Patch<()> = Patch::Json(steps);
    let params = PatchParams::default();
    let answer = api.patch(&key.name, &params, &patch);
    match connection.ask(asked, answer).await {
        Ok(_) => Ok(true),
        // A test that fails is an invalid patch to the API server.
        Err(ClusterError::Status { code: 404 | 409 | 422, .. }) => Ok(false),
        Err(error) => Err(error.to_string()),
    }
}

/// What was done, in words; `None` where at what it scales was only noted.
pub(super) fn words(rescale: &Rescale) -> Option<String> {
    let one = |(target, kept): &(Target, Kept)| {
        let name = name(target.measure, target.container.as_deref());
        (target.percent != kept.percent).then(|| format!("{name} {}% → {}%", target.percent, kept.percent))
    };
    let parts: Vec<_> = rescale.targets.iter().filter_map(one).collect();
    (!parts.is_empty()).then(|| {
        format!(
            "HorizontalPodAutoscaler {}: target {}, as the request has moved",
            rescale.scaler,
            parts.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::object_key;

    #[test]
    fn a_patch_notes_at_what_is_scaled_and_finds_it_again() {
        let share = |place, container: Option<&str>| Share {
            place,
            memory: false,
            container: container.map(str::to_owned),
            percent: 80,
        };
        let mut found = Autoscaler {
            shares: vec![share(1, None), share(2, Some("app"))],
            version: "7".to_owned(),
            ..Autoscaler::default()
        };
        let key = object_key("web");
        let seen = scaler(&key, &found);
        let kept = Kept { threshold: 0.16, percent: 64 };
        let targets =
            vec![(seen.targets[0].clone(), kept), (seen.targets[1].clone(), Kept { percent: 80, ..kept })];
        let rescale = Rescale { scaler: seen.name, targets };
        let steps = patch(&found, &rescale).unwrap();
        assert_eq!(steps[0], json!({"op": "test", "path": "/metadata/resourceVersion", "value": "7"}));
        let path = "/spec/metrics/1/resource/target/averageUtilization";
        assert_eq!(steps[1], json!({"op": "replace", "path": path, "value": 64}));
        let text = steps[2]["value"][THRESHOLDS].as_str().unwrap();
        assert!(words(&rescale).unwrap().contains("target cpu 80% → 64%,"));
        // What a person has written beside it stays, and so does what cannot be read.
        (found.thresholds, found.annotated) = (Some(text.to_owned()), true);
        let again = scaler(&key, &found);
        assert!(
            again
                .targets
                .iter()
                .all(|target| target.kept.is_some_and(|kept| (kept.threshold - 0.16).abs() < 1e-9))
        );
        assert_eq!(
            patch(&found, &rescale).unwrap()[2]["path"],
            "/metadata/annotations/plumb.dev~1thresholds"
        );
        found.thresholds = Some("{\"cpu\": {\"threshold\": -1, \"percent\": 3}}".to_owned());
        assert!(scaler(&key, &found).targets[0].kept.is_none());
    }
}
