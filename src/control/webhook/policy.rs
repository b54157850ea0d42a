//! Stamping without a webhook: a MutatingAdmissionPolicy (Kubernetes 1.36 and later), evaluated by the API server itself,
//! whose parameters are the Recommendations of the pod's namespace. Nothing has to be kept in step, and no server of
//! ours is asked.
//!
//! The expressions are in policy.cel; tests/cluster holds them to what [`crate::admit`] does.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::admissionregistration::v1::{
    JSONPatch, MatchCondition, MatchResources, MutatingAdmissionPolicy, MutatingAdmissionPolicyBinding,
    MutatingAdmissionPolicyBindingSpec, MutatingAdmissionPolicySpec, Mutation, NamedRuleWithOperations,
    ParamKind, ParamRef, Variable,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::{ClusterResourceScope, Metadata};
use kube::api::{DeleteParams, ObjectMeta, PostParams};
use kube::{Api, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

use super::owner::Owner;
use super::registration::{self, NOT_ASKED_ABOUT, Registration, Scope};
use crate::cluster::error::Request;
use crate::cluster::{ClusterError, Connection, Live};
use crate::control::pause::PauseSwitch;

const EXPRESSIONS: &str = include_str!("policy.cel");
/// The block of the expressions that makes the patch; the others are its variables.
const PATCH: &str = "patch";
/// The block that says whether a Recommendation is about the pod.
const WORKLOAD: &str = "workload";
/// A Recommendation says something of new pods.
const ACTS: &str = "params.spec.mode == 'Auto' && has(params.status) && has(params.status.containers) \
                    && !(has(params.status.newPods) && params.status.newPods.given == 'Nothing')";
const NO_RESOURCES_OF_THE_POD: &str = "!has(object.spec.resources) \
                    || (!has(object.spec.resources.requests) && !has(object.spec.resources.limits))";
const POLL: Duration = Duration::from_secs(10);
const GATHER: Duration = Duration::from_millis(200);

/// The blocks of a file of expressions: a name and a colon, then the expression. Lines that begin with `//` are for
/// people, and an empty line ends a block.
fn blocks(text: &'static str) -> Vec<(&'static str, String)> {
    let block = |block: &'static str| {
        let mut lines = block.lines().filter(|line| !line.starts_with("//"));
        let name = lines.next()?.strip_suffix(':')?;
        Some((name, lines.collect::<Vec<_>>().join("\n")))
    };
    text.split("\n\n").filter_map(block).collect()
}

/// What must hold beside that.
fn others() -> impl Iterator<Item = &'static str> {
    [ACTS, NO_RESOURCES_OF_THE_POD].into_iter().chain(NOT_ASKED_ABOUT.map(|(_, expression)| expression))
}

fn spec() -> MutatingAdmissionPolicySpec {
    let (mut variables, mut mutations) = (Vec::new(), Vec::new());
    let mut conditions = Vec::new();
    for (name, expression) in blocks(EXPRESSIONS) {
        match name {
            // Before the others, as it is false of nearly all.
            WORKLOAD => conditions.push(expression),
            PATCH => mutations.push(Mutation {
                patch_type: "JSONPatch".to_owned(),
                json_patch: Some(JSONPatch { expression: Some(expression) }),
                apply_configuration: None,
            }),
            _ => variables.push(Variable { name: name.to_owned(), expression }),
        }
    }
    conditions.extend(others().map(str::to_owned));
    // One and not several: the API server evaluates all that there are, also when the first is false, and that for each
    // Recommendation of the namespace.
    let condition = MatchCondition {
        name: "speaks-of-the-pod".to_owned(),
        expression: conditions.iter().map(|part| format!("({part})")).collect::<Vec<_>>().join(" && "),
    };
    MutatingAdmissionPolicySpec {
        failure_policy: Some("Ignore".to_owned()),
        match_conditions: Some(vec![condition]),
        match_constraints: Some(MatchResources {
            resource_rules: Some(vec![NamedRuleWithOperations {
                api_groups: Some(vec![String::new()]),
                api_versions: Some(vec!["v1".to_owned()]),
                resources: Some(vec!["pods".to_owned()]),
                operations: Some(vec!["CREATE".to_owned()]),
                scope: Some("Namespaced".to_owned()),
                resource_names: None,
            }]),
            match_policy: Some("Equivalent".to_owned()),
            namespace_selector: Some(LabelSelector::default()),
            object_selector: Some(LabelSelector::default()),
            exclude_resource_rules: None,
        }),
        mutations: Some(mutations),
        param_kind: Some(ParamKind {
            api_version: Some(format!("{}/v1alpha1", crate::api::GROUP)),
            kind: Some("Recommendation".to_owned()),
        }),
        reinvocation_policy: Some("IfNeeded".to_owned()),
        variables: Some(variables),
    }
}

fn binding(name: &str, scope: &Scope) -> Option<MutatingAdmissionPolicyBindingSpec> {
    Some(MutatingAdmissionPolicyBindingSpec {
        policy_name: Some(name.to_owned()),
        param_ref: Some(ParamRef {
            name: None,
            // That of the pod.
            namespace: None,
            selector: Some(LabelSelector::default()),
            parameter_not_found_action: Some("Allow".to_owned()),
        }),
        match_resources: Some(MatchResources {
            namespace_selector: Some(scope.selector()?),
            object_selector: Some(LabelSelector::default()),
            match_policy: Some("Equivalent".to_owned()),
            resource_rules: None,
            exclude_resource_rules: None,
        }),
    })
}

/// The policy and its binding in the API server.
#[derive(Clone)]
pub struct AdmissionPolicy {
    connection: Connection,
    name: String,
    owner: Owner,
}

impl AdmissionPolicy {
    /// Of that name, and of that owner.
    #[must_use]
    pub fn new(connection: &Connection, name: &str, owner: Owner) -> Self {
        Self { connection: connection.clone(), name: name.to_owned(), owner }
    }

    /// Makes both what they should be.
    async fn keep(&self, scope: &Scope) -> Result<(), ClusterError> {
        let metadata = ObjectMeta {
            name: Some(self.name.clone()),
            labels: Some(registration::labels()),
            ..ObjectMeta::default()
        };
        let policy = MutatingAdmissionPolicy { metadata: metadata.clone(), spec: Some(spec()) };
        self.put(policy, "mutatingadmissionpolicies", |a, b| a.spec == b.spec).await?;
        match binding(&self.name, scope) {
            Some(spec) => {
                let binding = MutatingAdmissionPolicyBinding { metadata, spec: Some(spec) };
                self.put(binding, "mutatingadmissionpolicybindings", |a, b| a.spec == b.spec).await
            }
            // A policy without a binding does nothing.
            None => self.delete::<MutatingAdmissionPolicyBinding>("mutatingadmissionpolicybindings").await,
        }
    }

    /// Takes both away, where they are.
    ///
    /// # Errors
    /// When the API server cannot be asked or refuses.
    pub async fn remove(&self) -> Result<(), ClusterError> {
        self.delete::<MutatingAdmissionPolicyBinding>("mutatingadmissionpolicybindings").await?;
        self.delete::<MutatingAdmissionPolicy>("mutatingadmissionpolicies").await
    }

    async fn put<K>(
        &self,
        mut wanted: K,
        resource: &'static str,
        same: fn(&K, &K) -> bool,
    ) -> Result<(), ClusterError>
    where
        K: Resource<DynamicType = (), Scope = ClusterResourceScope>
            + Metadata<Ty = ObjectMeta>
            + Clone
            + std::fmt::Debug
            + Serialize
            + DeserializeOwned,
    {
        let api: Api<K> = Api::all(self.connection.client.clone());
        let asked = |verb| Request { verb, resource, namespace: None };
        let params = PostParams::default();
        let found = self.connection.ask(asked("get"), api.get_opt(&self.name)).await?;
        let owner = self.owner.missing(found.as_ref().map(Resource::meta)).await?;
        let owned = owner.is_none();
        Resource::meta_mut(&mut wanted).owner_references = owner.map(|owner| vec![owner]);
        let written = match found {
            Some(found) if owned && same(&found, &wanted) => {
                tracing::debug!(resource, name = self.name, "the admission policy needs no change");
                return Ok(());
            }
            Some(found) => {
                let (new, old) = (Resource::meta_mut(&mut wanted), Resource::meta(&found));
                new.resource_version = old.resource_version.clone();
                let owners = old.owner_references.iter().flatten().cloned();
                new.owner_references.get_or_insert_default().extend(owners);
                self.connection.ask(asked("update"), api.replace(&self.name, &params, &wanted)).await
            }
            None => self.connection.ask(asked("create"), api.create(&params, &wanted)).await,
        };
        match written {
            Ok(_) => {
                tracing::info!(resource, name = self.name, "wrote the admission policy");
                Ok(())
            }
            // Another replica was faster.
            Err(ClusterError::Status { code: 409, .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn delete<K>(&self, resource: &'static str) -> Result<(), ClusterError>
    where
        K: Resource<DynamicType = (), Scope = ClusterResourceScope>
            + Clone
            + std::fmt::Debug
            + DeserializeOwned,
    {
        let api: Api<K> = Api::all(self.connection.client.clone());
        let asked = |verb| Request { verb, resource, namespace: None };
        match self.connection.ask(asked("get"), api.get_opt(&self.name)).await {
            Ok(Some(_)) => {}
            // An older API server does not serve the kind, and so has none.
            Ok(None) | Err(ClusterError::NotServed { .. } | ClusterError::Status { code: 404, .. }) => {
                return Ok(());
            }
            Err(error) => return Err(error),
        }
        let params = DeleteParams::default();
        match self.connection.ask(asked("delete"), api.delete(&self.name, &params)).await {
            Ok(_) | Err(ClusterError::Status { code: 404, .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Keeps both until `stop`, and the webhook's registration away. While plumb is paused there is no binding.
    pub async fn run(
        self,
        registration: Registration,
        live: Arc<Live>,
        mut pause: PauseSwitch,
        stop: CancellationToken,
    ) {
        let mut trouble = None;
        loop {
            let turn = async {
                if !live.knows_all() {
                    return Ok(());
                }
                registration.remove().await?;
                // Without a binding the policy does nothing.
                let nowhere = || Scope::Listed(BTreeSet::new());
                let scope = if pause.is_paused() { nowhere() } else { live.read(registration::scope) };
                self.keep(&scope).await
            };
            match turn.await {
                Ok(()) if trouble.take().is_some() => {
                    tracing::info!("the admission policy is in order again");
                }
                Ok(()) => {}
                Err(error) => {
                    let error = error.to_string();
                    if trouble.as_ref() != Some(&error) {
                        tracing::warn!(error, "cannot keep the admission policy; trying again");
                    }
                    trouble = Some(error);
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(POLL) => {}
                () = pause.changed() => {}
                () = live.changed.notified() => tokio::time::sleep(GATHER).await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_expressions_are_whole() {
        let found = spec();
        let names: Vec<_> = found.variables.unwrap().into_iter().map(|variable| variable.name).collect();
        assert_eq!(names.first().unwrap(), "indices");
        assert!(names.contains(&"figures".to_owned()) && names.len() == 24, "{names:?}");
        assert_eq!(found.mutations.unwrap().len(), 1);
        // What is false of most Recommendations comes first.
        let [condition] = &found.match_conditions.unwrap()[..] else { panic!("not one") };
        assert!(condition.expression.starts_with("(params.spec.workloadRef.kind in "), "{condition:?}");
        for other in others() {
            assert!(condition.expression.contains(&format!(" && ({other})")), "{condition:?}");
        }
    }
}
