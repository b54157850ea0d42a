//! Whether the cluster has what plumb needs: its version, plumb's own resources, the rights, and the same time.

use futures::StreamExt;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::APIResourceList;
use kube::Api;
use kube::api::PostParams;
use serde::Deserialize;

use super::error::Request;
use super::finding::Finding;
use super::{ClusterError, Connection};
use crate::units::Timestamp;

/// What plumb is to do: each includes the ones before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Purpose {
    /// `plumb scan`: read only, nothing installed
    Scan,
    /// `plumb run` with policies of mode Recommend
    #[default]
    Recommend,
    /// `plumb run` with policies of mode Auto
    Auto,
}

/// A right, as an access review asks for it.
#[derive(Clone, Copy, Debug)]
struct Right {
    purpose: Purpose,
    verbs: &'static [&'static str],
    group: &'static str,
    resource: &'static str,
    subresource: &'static str,
    /// There is one in each namespace.
    namespaced: bool,
    /// It is needed in plumb's own namespace only.
    own: bool,
}

const fn right(
    purpose: Purpose,
    verbs: &'static [&'static str],
    group: &'static str,
    resource: &'static str,
) -> Right {
    Right { purpose, verbs, group, resource, subresource: "", namespaced: true, own: false }
}

/// In plumb's own namespace: the Lease and the checkpoints.
const fn own(verbs: &'static [&'static str], group: &'static str, resource: &'static str) -> Right {
    Right { own: true, ..right(Purpose::Recommend, verbs, group, resource) }
}

const WATCH: &[&str] = &["list", "watch"];

/// What each purpose needs; deploy/ grants the same.
const RIGHTS: &[Right] = &[
    right(Purpose::Scan, &["list"], "", "pods"),
    right(Purpose::Scan, &["list"], "apps", "replicasets"),
    right(Purpose::Scan, &["list"], "batch", "jobs"),
    right(Purpose::Recommend, &["watch"], "", "pods"),
    Right { namespaced: false, ..right(Purpose::Recommend, WATCH, "", "nodes") },
    Right { namespaced: false, ..right(Purpose::Recommend, WATCH, "", "namespaces") },
    right(Purpose::Recommend, WATCH, "", "limitranges"),
    right(Purpose::Recommend, WATCH, "", "resourcequotas"),
    right(Purpose::Recommend, WATCH, "autoscaling", "horizontalpodautoscalers"),
    right(Purpose::Recommend, &["watch"], "apps", "replicasets"),
    right(Purpose::Recommend, WATCH, "apps", "deployments"),
    right(Purpose::Recommend, WATCH, "apps", "statefulsets"),
    right(Purpose::Recommend, WATCH, "apps", "daemonsets"),
    right(Purpose::Recommend, &["watch"], "batch", "jobs"),
    right(Purpose::Recommend, WATCH, "batch", "cronjobs"),
    right(Purpose::Recommend, WATCH, "plumb.dev", "verticalscalingpolicies"),
    Right {
        namespaced: false,
        ..right(Purpose::Recommend, WATCH, "plumb.dev", "clusterverticalscalingpolicies")
    },
    Right {
        subresource: "status",
        ..right(Purpose::Recommend, &["patch"], "plumb.dev", "verticalscalingpolicies")
    },
    right(
        Purpose::Recommend,
        &["list", "watch", "create", "patch", "delete"],
        "plumb.dev",
        "recommendations",
    ),
    Right { subresource: "status", ..right(Purpose::Recommend, &["patch"], "plumb.dev", "recommendations") },
    right(Purpose::Recommend, &["create", "patch"], "events.k8s.io", "events"),
    own(&["get", "create", "update"], "coordination.k8s.io", "leases"),
    own(&["list", "create", "patch", "delete"], "", "configmaps"),
    Right { subresource: "resize", ..right(Purpose::Auto, &["patch"], "", "pods") },
    Right { subresource: "eviction", ..right(Purpose::Auto, &["create"], "", "pods") },
    right(Purpose::Auto, WATCH, "", "events"),
    right(Purpose::Auto, WATCH, "policy", "poddisruptionbudgets"),
];

impl Right {
    fn words(&self, verb: &str) -> String {
        let mut words = format!("may {verb} {}", self.resource);
        if !self.subresource.is_empty() {
            words = format!("{words}/{}", self.subresource);
        }
        if !self.group.is_empty() {
            words = format!("{words}.{}", self.group);
        }
        words
    }
}

/// Checks the version, plumb's own resources and the rights, in one namespace or in all.
pub async fn check(
    connection: &Connection,
    purpose: Purpose,
    namespace: Option<&str>,
    now: Timestamp,
) -> Vec<Finding> {
    let mut findings = match server(connection, now).await {
        Ok(findings) => findings,
        Err(error) => return vec![unreachable(&error, true)],
    };
    findings.push(resize(connection, purpose >= Purpose::Auto).await);
    if purpose >= Purpose::Recommend {
        findings.push(own_resources(connection).await);
    }
    let asked = RIGHTS.iter().filter(|right| right.purpose <= purpose);
    let asked = asked.flat_map(|right| right.verbs.iter().map(move |verb| (right, *verb)));
    let reviews = futures::stream::iter(asked.map(|(r, verb)| review(connection, r, verb, namespace)));
    findings.extend(reviews.buffered(8).collect::<Vec<_>>().await);
    findings
}

/// The API server cannot be asked at all.
#[must_use]
pub fn unreachable(error: &ClusterError, needed: bool) -> Finding {
    let text = error.to_string();
    let (detail, fix) = text.split_once("; ").unwrap_or((&text, ""));
    Finding::not_there("API server", needed, detail, fix)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Version {
    git_version: String,
}

/// Its version and its clock.
async fn server(connection: &Connection, now: Timestamp) -> Result<Vec<Finding>, ClusterError> {
    let asked = Request { verb: "get", resource: "the server's version", namespace: None };
    let bad = |detail: String| ClusterError::Other { request: asked.clone(), detail };
    let request =
        http::Request::get("/version").body(kube::client::Body::empty()).map_err(|e| bad(e.to_string()))?;
    let response = connection.ask(asked.clone(), connection.client.send(request)).await?;
    let date = response.headers().get(http::header::DATE).and_then(|date| date.to_str().ok());
    let skew = date.and_then(|date| chrono::DateTime::parse_from_rfc2822(date).ok());
    let status = response.status();
    let body = response.into_body().collect_bytes().await.map_err(|e| bad(e.to_string()))?;
    if !status.is_success() {
        return Err(ClusterError::Status {
            request: asked,
            code: status.as_u16(),
            message: "is that the API server?".to_owned(),
        });
    }
    let version: Version = serde_json::from_slice(&body).map_err(|e| bad(e.to_string()))?;
    let mut findings =
        vec![Finding::ok("API server", format!("{} at {}", version.git_version, connection.server))];
    if let Some(server) = skew {
        findings.push(clock("API server", Timestamp(server.timestamp()), now));
    }
    Ok(findings)
}

/// Whether two clocks agree well enough for samples to be told in order.
#[must_use]
pub fn clock(whose: &str, theirs: Timestamp, ours: Timestamp) -> Finding {
    /// A sample from further in the future is refused.
    const MOST: i64 = 60;
    let off = theirs.seconds_since(ours);
    let check = format!("clock of {whose}");
    if off.abs() <= MOST {
        return Finding::ok(check, format!("{} s from ours", off.abs()));
    }
    let side = if off > 0 { "ahead of" } else { "behind" };
    Finding::wrong(check, format!("{} s {side} ours", off.abs()), "set both clocks by NTP")
}

async fn resources(
    connection: &Connection,
    path: &'static str,
) -> Result<Option<APIResourceList>, ClusterError> {
    let asked = Request { verb: "discover", resource: path, namespace: None };
    let request = http::Request::get(path).body(Vec::new());
    let request =
        request.map_err(|error| ClusterError::Other { request: asked.clone(), detail: error.to_string() })?;
    match connection.ask(asked, connection.client.request::<APIResourceList>(request)).await {
        Ok(list) => Ok(Some(list)),
        Err(ClusterError::Status { code: 404, .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

async fn resize(connection: &Connection, needed: bool) -> Finding {
    let check = "resizing of running pods";
    match resources(connection, "/api/v1").await {
        Ok(Some(list)) if list.resources.iter().any(|resource| resource.name == "pods/resize") => {
            Finding::ok(check, "pods/resize is served")
        }
        Ok(_) => Finding::not_there(
            check,
            needed,
            "this API server has no pods/resize",
            "run Kubernetes 1.33 or later; until then policies act by eviction only",
        ),
        Err(error) => Finding::not_there(check, needed, error.to_string(), ""),
    }
}

async fn own_resources(connection: &Connection) -> Finding {
    let check = "plumb's own resources";
    let fix = "plumb crds | kubectl apply --server-side -f -";
    let list = match resources(connection, "/apis/plumb.dev/v1alpha1").await {
        Ok(Some(list)) => list,
        Ok(None) => return Finding::not_there(check, true, "plumb.dev/v1alpha1 is not served", fix),
        Err(error) => return Finding::not_there(check, true, error.to_string(), fix),
    };
    let wanted = ["verticalscalingpolicies", "clusterverticalscalingpolicies", "recommendations"];
    let lacking = wanted.iter().filter(|name| !list.resources.iter().any(|r| r.name == **name));
    let lacking: Vec<&str> = lacking.copied().collect();
    if lacking.is_empty() {
        return Finding::ok(check, "plumb.dev/v1alpha1 is served");
    }
    Finding::not_there(check, true, format!("plumb.dev/v1alpha1 lacks {}", lacking.join(", ")), fix)
}

async fn review(connection: &Connection, right: &Right, verb: &str, namespace: Option<&str>) -> Finding {
    let check = right.words(verb);
    let own = Some(connection.default_namespace.as_str()).filter(|_| right.own);
    let place = own.or(namespace).filter(|_| right.namespaced);
    let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let attributes = ResourceAttributes {
        verb: some(verb),
        group: some(right.group),
        resource: some(right.resource),
        subresource: some(right.subresource),
        namespace: place.map(str::to_owned),
        ..ResourceAttributes::default()
    };
    let spec = SelfSubjectAccessReviewSpec { resource_attributes: Some(attributes), ..Default::default() };
    let question = SelfSubjectAccessReview { spec, ..Default::default() };
    let api: Api<SelfSubjectAccessReview> = Api::all(connection.client.clone());
    let asked = Request {
        verb: "create",
        resource: "selfsubjectaccessreviews.authorization.k8s.io",
        namespace: None,
    };
    let everywhere = place.map_or_else(|| "in all namespaces".to_owned(), |n| format!("in namespace {n}"));
    let everywhere = if right.namespaced { everywhere } else { "in the cluster".to_owned() };
    match connection.ask(asked, api.create(&PostParams::default(), &question)).await {
        Ok(answer) if answer.status.as_ref().is_some_and(|status| status.allowed) => {
            Finding::ok(check, everywhere)
        }
        Ok(_) => {
            let fix = format!("grant it by a role, as deploy/ does: {}", grant(right, verb));
            Finding::not_there(check, true, format!("not {everywhere}"), fix)
        }
        Err(error) => Finding::not_there(check, true, error.to_string(), ""),
    }
}

/// The rule that grants a right.
fn grant(right: &Right, verb: &str) -> String {
    let slash = if right.subresource.is_empty() { "" } else { "/" };
    format!(
        "{{apiGroups: [{:?}], resources: [{:?}], verbs: [{verb}]}}",
        right.group,
        format!("{}{slash}{}", right.resource, right.subresource),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_read_as_a_person_says_them() {
        let words = |resource: &str, sub: &str| {
            let right = RIGHTS.iter().find(|r| r.resource == resource && r.subresource == sub).unwrap();
            (right.words(right.verbs[0]), grant(right, right.verbs[0]))
        };
        assert_eq!(words("pods", "resize").0, "may patch pods/resize");
        assert_eq!(words("replicasets", "").0, "may list replicasets.apps");
        assert_eq!(
            words("recommendations", "status").1,
            r#"{apiGroups: ["plumb.dev"], resources: ["recommendations/status"], verbs: [patch]}"#
        );
    }

    #[test]
    fn clocks_may_be_off_by_a_little() {
        assert!(!clock("x", Timestamp(100), Timestamp(130)).fails());
        assert_eq!(clock("x", Timestamp(400), Timestamp(100)).detail, "300 s ahead of ours");
        assert_eq!(clock("x", Timestamp(100), Timestamp(400)).detail, "300 s behind ours");
    }
}
