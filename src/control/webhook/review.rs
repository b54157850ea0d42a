//! An admission review's JSON, in and out.
//!
//! Pure. Reads leniently: what has a uid is answered, whatever else is in it.

use std::borrow::Cow;

use k8s_openapi::ByteString;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::admit::{Operation, Pod};

/// A review that can be answered.
#[derive(Debug)]
pub struct Review<'a> {
    /// What the answer is found by.
    pub uid: Cow<'a, str>,
    /// The pod's namespace.
    pub namespace: Cow<'a, str>,
    /// The pod; `None` where the review is not about the creation of one.
    pub pod: Option<&'a RawValue>,
}

/// Why something is no review.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoReview {
    /// No JSON, or JSON of another shape.
    #[error("the body is no AdmissionReview")]
    Shape,
    /// Nothing that it could be answered by.
    #[error("the AdmissionReview has no request with a uid")]
    NoUid,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    request: Option<&'a RawValue>,
}

/// Each member by itself: one that is of a wrong type does not cost the others.
#[derive(Deserialize)]
struct Request<'a> {
    #[serde(borrow)]
    uid: Option<&'a RawValue>,
    #[serde(borrow)]
    namespace: Option<&'a RawValue>,
    #[serde(borrow)]
    operation: Option<&'a RawValue>,
    #[serde(borrow)]
    kind: Option<&'a RawValue>,
    #[serde(borrow, rename = "subResource")]
    subresource: Option<&'a RawValue>,
    #[serde(borrow)]
    object: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Kind<'a> {
    #[serde(borrow, default)]
    group: Cow<'a, str>,
    #[serde(borrow, default)]
    kind: Cow<'a, str>,
}

fn text<'a>(raw: Option<&'a RawValue>) -> Option<Cow<'a, str>> {
    #[derive(Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
    serde_json::from_str::<Text<'a>>(raw?.get()).ok().map(|text| text.0)
}

/// Reads a review.
///
/// # Errors
/// Where it cannot be answered at all.
pub fn read(body: &[u8]) -> Result<Review<'_>, NoReview> {
    let envelope: Envelope<'_> = serde_json::from_slice(body).map_err(|_| NoReview::Shape)?;
    let request = envelope.request.ok_or(NoReview::NoUid)?;
    let request: Request<'_> = serde_json::from_str(request.get()).map_err(|_| NoReview::NoUid)?;
    let uid = text(request.uid).filter(|uid| !uid.is_empty()).ok_or(NoReview::NoUid)?;
    let kind = request.kind.and_then(|raw| serde_json::from_str::<Kind<'_>>(raw.get()).ok());
    let is_pod = kind.is_some_and(|kind| kind.group.is_empty() && kind.kind == "Pod");
    let is_creation = text(request.operation).is_some_and(|operation| operation == "CREATE");
    let is_whole = text(request.subresource).is_none_or(|subresource| subresource.is_empty());
    let pod = request.object.filter(|_| is_pod && is_creation && is_whole);
    Ok(Review { uid, namespace: text(request.namespace).unwrap_or_default(), pod })
}

/// Reads the pod of a review; `None` where it is none.
#[must_use]
pub fn pod(raw: &RawValue) -> Option<Pod> {
    Pod::read(raw.get())
}

#[derive(Serialize)]
struct Answer<'a> {
    #[serde(rename = "apiVersion")]
    api_version: &'static str,
    kind: &'static str,
    response: Response<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Response<'a> {
    uid: &'a str,
    allowed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch: Option<ByteString>,
}

/// The answer to a review: allowed, always; and with these changes.
#[must_use]
pub fn answer(uid: &str, operations: &[Operation]) -> Vec<u8> {
    // Types of our own always become JSON.
    let patch = serde_json::to_vec(operations).unwrap_or_default();
    let patch = Some(ByteString(patch)).filter(|_| !operations.is_empty());
    let patch_type = patch.as_ref().map(|_| "JSONPatch");
    let response = Response { uid, allowed: true, patch_type, patch };
    let answer = Answer { api_version: "admission.k8s.io/v1", kind: "AdmissionReview", response };
    serde_json::to_vec(&answer).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn review() -> Value {
        json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
            "uid": "u\u{e9}1", "kind": {"group": "", "version": "v1", "kind": "Pod"}, "namespace": "shop",
            "operation": "CREATE", "object": {"metadata": {"name": "p"}, "spec": {"containers": []}}}})
    }

    #[test]
    fn a_review_is_read() {
        let body = review().to_string();
        let found = read(body.as_bytes()).unwrap();
        assert_eq!((&*found.uid, &*found.namespace), ("u\u{e9}1", "shop"));
        assert_eq!(pod(found.pod.unwrap()).unwrap().metadata.name, "p");
    }

    #[test]
    fn what_is_not_the_creation_of_a_pod_has_no_pod() {
        for (member, value) in [
            ("operation", json!("UPDATE")),
            ("kind", json!({"group": "", "version": "v1", "kind": "Secret"})),
            ("kind", json!({"group": "metrics.k8s.io", "version": "v1", "kind": "Pod"})),
            ("subResource", json!("eviction")),
        ] {
            let mut review = review();
            review["request"][member] = value;
            assert!(read(review.to_string().as_bytes()).unwrap().pod.is_none(), "{member}");
        }
    }

    #[test]
    fn what_cannot_be_answered_is_said_so() {
        for (body, expected) in [
            ("", NoReview::Shape),
            ("[]", NoReview::Shape),
            ("7", NoReview::Shape),
            ("{}", NoReview::NoUid),
            (r#"{"request": {}}"#, NoReview::NoUid),
            (r#"{"request": {"uid": 7}}"#, NoReview::NoUid),
            (r#"{"request": "#, NoReview::Shape),
        ] {
            assert_eq!(read(body.as_bytes()).unwrap_err(), expected, "{body}");
        }
    }

    #[test]
    fn an_answer_without_changes_has_no_patch() {
        let answer: Value = serde_json::from_slice(&answer("u\"1", &[])).unwrap();
        assert_eq!(answer["response"], json!({"uid": "u\"1", "allowed": true}));
    }
}
