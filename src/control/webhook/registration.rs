//! The MutatingWebhookConfiguration: which pods the API server asks about, whom, and whom it trusts for it.
//!
//! Written only where it differs from what it should be; who writes at the same time makes the other read again.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::{
    MatchCondition, MutatingWebhook, MutatingWebhookConfiguration, RuleWithOperations, ServiceReference,
    WebhookClientConfig,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use kube::api::{DeleteParams, ObjectMeta, PostParams};
use kube::core::Selector;
use kube::{Api, ResourceExt};

use super::owner::Owner;
use super::server;
use crate::api::Mode;
use crate::cluster::error::Request;
use crate::cluster::{ClusterError, Connection, Index};

/// The name of the webhook in its configuration: a DNS name, by Kubernetes' rule.
const WEBHOOK: &str = "pods.plumb.dev";
/// The API server waits for so long, then admits the pod unchanged.
const TIMEOUT_SECONDS: i32 = 2;
/// Whatever goes wrong with these, the cluster itself must come up without us.
const NEVER: &str = "kube-system";
/// What every namespace carries as its own label.
const NAMESPACE_LABEL: &str = "kubernetes.io/metadata.name";
/// More namespaces than these are not listed one by one.
const LISTED: usize = 500;

/// True of workloads about whose pods the webhook is never asked: those of the cluster itself, and plumb's own.
#[must_use]
pub fn leaves_out(namespace: &str, labels: &BTreeMap<String, String>) -> bool {
    namespace == NEVER || labels.get("app.kubernetes.io/name").is_some_and(|name| name == "plumb")
}

/// Conditions (CEL) on every pod that is asked about: what never is.
pub(super) const NOT_ASKED_ABOUT: [(&str, &str); 2] = [
    (
        "not-plumb-itself",
        "!has(object.metadata.labels) || !('app.kubernetes.io/name' in object.metadata.labels) || object.metadata.labels['app.kubernetes.io/name'] != 'plumb'",
    ),
    (
        "not-of-the-kubelet",
        "!has(object.metadata.annotations) || !('kubernetes.io/config.mirror' in object.metadata.annotations)",
    ),
];

/// Where the API server finds us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A Service in front of our pods, on port 443.
    Service {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// `https://HOST:PORT`, behind which others of us may answer too.
    Url(String),
    /// The same, of this very process.
    Own(String),
}

impl Address {
    /// The names that a certificate for this address needs, sorted.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        match self {
            Self::Service { namespace, name } => vec![format!("{name}.{namespace}.svc")],
            Self::Url(url) | Self::Own(url) => {
                let uri: Option<http::Uri> = url.parse().ok();
                let host = uri.as_ref().and_then(http::Uri::host).unwrap_or("127.0.0.1");
                vec![host.trim_matches(['[', ']']).to_owned()]
            }
        }
    }

    fn client_config(&self, trusted: Option<ByteString>) -> WebhookClientConfig {
        let (service, url) = match self {
            Self::Service { namespace, name } => {
                let service = ServiceReference {
                    namespace: namespace.clone(),
                    name: name.clone(),
                    path: Some(server::PATH.to_owned()),
                    port: Some(443),
                };
                (Some(service), None)
            }
            Self::Url(url) | Self::Own(url) => {
                (None, Some(format!("{}{}", url.trim_end_matches('/'), server::PATH)))
            }
        };
        WebhookClientConfig { ca_bundle: trusted, service, url }
    }
}

/// Namespaces with pods that could be stamped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// These.
    Listed(BTreeSet<String>),
    /// All but the cluster's own: too many to list.
    All,
}

impl Scope {
    /// As the API server takes it; `None` where there is no namespace at all.
    pub(super) fn selector(&self) -> Option<LabelSelector> {
        let (operator, values) = match self {
            Self::Listed(names) if names.is_empty() => return None,
            Self::Listed(names) => ("In", names.iter().cloned().collect()),
            Self::All => ("NotIn", vec![NEVER.to_owned()]),
        };
        let requirement = LabelSelectorRequirement {
            key: NAMESPACE_LABEL.to_owned(),
            operator: operator.to_owned(),
            values: Some(values),
        };
        Some(LabelSelector { match_expressions: Some(vec![requirement]), match_labels: None })
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Service { namespace, name } => write!(f, "Service {namespace}/{name}"),
            Self::Url(url) | Self::Own(url) => f.write_str(url),
        }
    }
}

impl std::fmt::Display for Scope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Listed(names) if names.is_empty() => f.write_str("no namespace"),
            Self::Listed(names) if names.len() == 1 => {
                write!(f, "namespace {}", names.first().map_or("", String::as_str))
            }
            Self::Listed(names) => {
                write!(f, "namespaces {}", names.iter().map(String::as_str).collect::<Vec<_>>().join(", "))
            }
            Self::All => f.write_str("all namespaces but the cluster's own"),
        }
    }
}

/// The labels of what is written here.
pub(super) fn labels() -> BTreeMap<String, String> {
    let labels = [("name", "plumb"), ("component", "webhook")];
    labels.map(|(key, value)| (format!("app.kubernetes.io/{key}"), value.to_owned())).into()
}

/// The namespaces that a policy in mode Auto selects.
#[must_use]
pub fn scope(index: &Index) -> Scope {
    let mut found = BTreeSet::new();
    for (key, policy) in index.policies.iter() {
        if policy.as_ref().is_ok_and(|policy| policy.spec.mode == Mode::Auto) {
            found.insert(key.namespace.to_string());
        }
    }
    for (_, policy) in index.cluster_policies.iter() {
        let Ok(policy) = policy else { continue };
        if policy.spec.mode != Mode::Auto {
            continue;
        }
        // A selector that is none selects nothing, as for the recommender.
        let Ok(selector) = policy.spec.namespace_selector.clone().map(Selector::try_from).transpose() else {
            continue;
        };
        for (namespace, _) in index.namespaces.iter() {
            if selector.as_ref().is_none_or(|selector| index.namespace_matches(namespace, selector)) {
                found.insert(namespace.to_string());
            }
        }
    }
    found.remove(NEVER);
    if found.len() > LISTED { Scope::All } else { Scope::Listed(found) }
}

/// What the configuration should be.
fn webhooks(scope: &Scope, address: &Address, trusted: Option<ByteString>) -> Vec<MutatingWebhook> {
    // A selector cannot select nothing: there is no webhook then.
    let Some(selector) = scope.selector() else { return Vec::new() };
    let condition = |(name, expression): (&str, &str)| MatchCondition {
        name: name.to_owned(),
        expression: expression.to_owned(),
    };
    vec![MutatingWebhook {
        name: WEBHOOK.to_owned(),
        client_config: address.client_config(trusted),
        rules: Some(vec![RuleWithOperations {
            api_groups: Some(vec![String::new()]),
            api_versions: Some(vec!["v1".to_owned()]),
            resources: Some(vec!["pods".to_owned()]),
            operations: Some(vec!["CREATE".to_owned()]),
            scope: Some("Namespaced".to_owned()),
        }]),
        failure_policy: Some("Ignore".to_owned()),
        match_policy: Some("Equivalent".to_owned()),
        namespace_selector: Some(selector),
        object_selector: Some(LabelSelector::default()),
        match_conditions: Some(NOT_ASKED_ABOUT.map(condition).into()),
        side_effects: "None".to_owned(),
        timeout_seconds: Some(TIMEOUT_SECONDS),
        admission_review_versions: vec!["v1".to_owned()],
        reinvocation_policy: Some("IfNeeded".to_owned()),
    }]
}

/// The configuration in the API server.
pub struct Registration {
    connection: Connection,
    api: Api<MutatingWebhookConfiguration>,
    name: String,
    address: Address,
    owner: Owner,
}

impl Registration {
    /// Of that name, for that address, and of that owner.
    #[must_use]
    pub fn new(connection: &Connection, name: &str, address: Address, owner: Owner) -> Self {
        Self {
            connection: connection.clone(),
            api: Api::all(connection.client.clone()),
            name: name.to_owned(),
            address,
            owner,
        }
    }

    fn asked(verb: &'static str) -> Request {
        Request {
            verb,
            resource: "mutatingwebhookconfigurations.admissionregistration.k8s.io",
            namespace: None,
        }
    }

    /// Makes the configuration what it should be. `trusted`: as PEM; `None`: whatever stands there is left, for
    /// whoever else writes it. Answers whether it was so already.
    ///
    /// # Errors
    /// When the API server cannot be asked or refuses.
    pub async fn keep(&self, scope: &Scope, trusted: Option<&str>) -> Result<bool, ClusterError> {
        let found = self.connection.ask(Self::asked("get"), self.api.get_opt(&self.name)).await?;
        let first = found.iter().flat_map(|found| found.webhooks.iter().flatten()).next();
        let trusted = match trusted {
            Some(pem) => Some(ByteString(pem.as_bytes().to_vec())),
            None => first.and_then(|webhook| webhook.client_config.ca_bundle.clone()),
        };
        let wanted = webhooks(scope, &self.address, trusted);
        let owner = self.owner.missing(found.as_ref().map(|found| &found.metadata)).await?;
        let is_same =
            |found: &MutatingWebhookConfiguration| found.webhooks.as_deref().unwrap_or_default() == wanted;
        if owner.is_none() && found.as_ref().is_some_and(is_same) {
            return Ok(true);
        }
        let params = PostParams::default();
        let written = match found {
            None => {
                let metadata = ObjectMeta {
                    name: Some(self.name.clone()),
                    labels: Some(labels()),
                    owner_references: owner.map(|owner| vec![owner]),
                    ..ObjectMeta::default()
                };
                let object = MutatingWebhookConfiguration { metadata, webhooks: Some(wanted) };
                self.connection.ask(Self::asked("create"), self.api.create(&params, &object)).await
            }
            Some(mut object) => {
                object.labels_mut().extend(labels());
                object.owner_references_mut().extend(owner);
                object.webhooks = Some(wanted);
                let replace = self.api.replace(&self.name, &params, &object);
                self.connection.ask(Self::asked("update"), replace).await
            }
        };
        match written {
            Ok(_) => {
                tracing::info!(
                    configuration = self.name,
                    scope = scope.to_string(),
                    "registered the webhook"
                );
                Ok(false)
            }
            // Another replica was faster; it is looked at again next turn.
            Err(ClusterError::Status { code: 409, .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Takes the configuration away where nobody else can answer in our place.
    pub async fn leave(&self) {
        if !matches!(self.address, Address::Own(_)) {
            return;
        }
        if let Err(error) = self.remove().await {
            tracing::warn!(error = error.to_string(), "cannot take the webhook's registration away");
        }
    }

    /// Takes the configuration away, where there is one.
    ///
    /// # Errors
    /// When the API server cannot be asked or refuses.
    pub async fn remove(&self) -> Result<(), ClusterError> {
        if self.connection.ask(Self::asked("get"), self.api.get_opt(&self.name)).await?.is_none() {
            return Ok(());
        }
        let params = DeleteParams::default();
        let delete = self.api.delete(&self.name, &params);
        match self.connection.ask(Self::asked("delete"), delete).await {
            Ok(_) | Err(ClusterError::Status { code: 404, .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::needless_pass_by_value, reason = "a json! that is made for the call")]

    use k8s_openapi::api::core::v1::Namespace;
    use kube::core::DeserializeGuard;
    use serde_json::{Value, json};

    use super::*;
    use crate::api::{ClusterVerticalScalingPolicy, VerticalScalingPolicy};
    use crate::cluster::index::Fold;
    use crate::cluster::slim::Slim;
    use crate::testing;
    use crate::units::Timestamp;

    fn index(policies: &[(&str, Value)], cluster: &[Value]) -> Index {
        let mut index = Index::default();
        for (namespace, labels) in
            [("shop", json!({"stage": "prod"})), ("dev", json!({})), (NEVER, json!({}))]
        {
            let object = testing::object("Namespace", namespace).with("/metadata/labels", labels);
            index.apply(object.object::<Slim<Namespace>>(), Timestamp(1));
        }
        for (namespace, spec) in policies {
            let object = testing::policy("p").namespace(namespace).spec(spec.clone());
            index.apply(object.object::<DeserializeGuard<VerticalScalingPolicy>>(), Timestamp(1));
        }
        for (number, spec) in cluster.iter().enumerate() {
            let object = testing::cluster_policy(&format!("c{number}")).spec(spec.clone());
            index.apply(object.object::<DeserializeGuard<ClusterVerticalScalingPolicy>>(), Timestamp(1));
        }
        index
    }

    #[test]
    fn only_namespaces_that_a_policy_in_auto_selects_are_seen() {
        let names = |index: &Index| match scope(index) {
            Scope::Listed(names) => names.into_iter().collect::<Vec<_>>().join(","),
            Scope::All => "all".to_owned(),
        };
        assert_eq!(names(&index(&[("shop", json!({}))], &[json!({"mode": "Recommend"})])), "");
        assert_eq!(names(&index(&[("shop", json!({"mode": "Auto"})), ("dev", json!({}))], &[])), "shop");
        let prod = json!({"mode": "Auto", "namespaceSelector": {"matchLabels": {"stage": "prod"}}});
        assert_eq!(names(&index(&[], &[prod])), "shop");
        let everywhere = index(&[(NEVER, json!({"mode": "Auto"}))], &[json!({"mode": "Auto"})]);
        assert_eq!(names(&everywhere), "dev,shop");
        let address = Address::Url("https://127.0.0.1:9443".to_owned());
        assert!(webhooks(&Scope::Listed(BTreeSet::new()), &address, None).is_empty());
    }

    #[test]
    fn an_address_has_its_names() {
        let service = Address::Service { namespace: "plumb".to_owned(), name: "plumb-webhook".to_owned() };
        assert_eq!(service.names(), ["plumb-webhook.plumb.svc"]);
        assert_eq!(Address::Url("https://127.0.0.1:9443".to_owned()).names(), ["127.0.0.1"]);
        assert_eq!(Address::Url("https://[::1]:9443/".to_owned()).names(), ["::1"]);
    }
}
