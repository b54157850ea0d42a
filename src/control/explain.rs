//! Why a workload is recommended what it is: its Recommendation, what plumb's checkpoint holds of its containers, and
//! what another policy would make of that. For `plumb explain` and the dashboard.

use kube::api::Api;

use super::book::SeriesKey;
use super::checkpoint::{CheckpointError, Checkpoints, Place, Shard};
use super::keeper::saved_series;
use super::rules;
use crate::api::{
    ClusterVerticalScalingPolicy, ContainerPolicy, ContainerRecommendation, Objective, Recommendation,
    Resources, Span, VerticalScalingPolicy, WorkloadReference,
};
use crate::cluster::error::Request;
use crate::cluster::index::WorkloadKey;
use crate::cluster::{ClusterError, Connection};
use crate::model::{Model, Series};
use crate::policy::{self, Baseline, ContainerSize};
use crate::report::explain::{Explanation, Learned, WhatIf};
use crate::units::Timestamp;

/// The id of an OOM kill that never happened.
const SUPPOSED: u64 = u64::MAX;

/// Everything that can be said of a workload. What cannot be read is left out, and said so.
pub async fn explain(connection: &Connection, place: &Place, recommendation: Recommendation) -> Explanation {
    let namespace = recommendation.metadata.namespace.as_deref().unwrap_or_default();
    let saved = saved(connection, place, namespace, &recommendation.spec.workload_ref).await;
    let policy = policy(connection, namespace, &recommendation).await;
    let containers = recommendation.status.iter().flat_map(|status| &status.containers);
    let learned: Vec<_> = containers
        .filter_map(|container| {
            let known = saved.as_deref().unwrap_or_default();
            let (_, series, at) = known.iter().find(|(key, ..)| *key.container == *container.name)?;
            let what_if = policy.as_ref().map(|(objective, stated, learn)| {
                let named = |name: &str| stated.iter().find(|stated| stated.name == name);
                let rules = named(&container.name).or_else(|| named("*"));
                alternatives(container, series, (*objective, *learn), rules, *at)
            });
            Some(Learned::of(&container.name, series, what_if.unwrap_or_default()))
        })
        .collect();
    let not_learned = match (saved, policy) {
        (Err(error), _) => Some(format!("cannot read plumb's checkpoint: {error}")),
        (Ok(_), _) if learned.is_empty() => {
            Some("the checkpoint holds nothing of it yet; plumb saves one every ten minutes".to_owned())
        }
        (Ok(_), Err(error)) => Some(format!("what would change it needs the policy: {error}")),
        (Ok(_), Ok(_)) => None,
    };
    Explanation { recommendation, learned, not_learned }
}

/// What the checkpoint holds of a workload's containers, and when it was saved.
async fn saved(
    connection: &Connection,
    place: &Place,
    namespace: &str,
    workload: &WorkloadReference,
) -> Result<Vec<(SeriesKey, Series, Timestamp)>, CheckpointError> {
    let key = WorkloadKey {
        namespace: namespace.into(),
        kind: workload.kind.as_str().into(),
        name: workload.name.as_str().into(),
        api_version: workload.api_version.as_str().into(),
    };
    saved_series(&Checkpoints::open(place, connection, Shard::default()), &key).await
}

/// The objective, the containers' rules and `history.learn` of the policy that speaks for the workload.
async fn policy(
    connection: &Connection,
    namespace: &str,
    recommendation: &Recommendation,
) -> Result<(Objective, Vec<ContainerPolicy>, Span), ClusterError> {
    let reference = &recommendation.spec.policy_ref;
    let client = connection.client.clone();
    if reference.kind == "ClusterVerticalScalingPolicy" {
        let api: Api<ClusterVerticalScalingPolicy> = Api::all(client);
        let asked =
            Request { verb: "get", resource: "clusterverticalscalingpolicies.plumb.dev", namespace: None };
        let found = connection.ask(asked, api.get(&reference.name)).await?;
        return Ok((found.spec.objective, found.spec.containers, found.spec.history.learn));
    }
    let api: Api<VerticalScalingPolicy> = Api::namespaced(client, namespace);
    let asked = Request {
        verb: "get",
        resource: "verticalscalingpolicies.plumb.dev",
        namespace: Some(namespace.to_owned()),
    };
    let found = connection.ask(asked, api.get(&reference.name)).await?;
    Ok((found.spec.objective, found.spec.containers, found.spec.history.learn))
}

/// What would be recommended with another objective, and after an OOM kill at the limit. By the policy's rules alone:
/// what LimitRanges, quotas and nodes bind is not asked for.
fn alternatives(
    container: &ContainerRecommendation,
    series: &Series,
    (objective, learn): (Objective, Span),
    stated: Option<&ContainerPolicy>,
    at: Timestamp,
) -> Vec<WhatIf> {
    let model = Model::default();
    let current = size(&container.current);
    let baseline = Baseline { current, template: Some(container.template.as_ref().map_or(current, size)) };
    let answer = |change: String, other: Option<Objective>, mut series: Series| {
        let stated = stated.cloned().map(|mut stated| {
            // What is set per resource would hide what the objective changes.
            if other.is_some() {
                (stated.cpu.objective, stated.memory.objective) = (None, None);
            }
            stated
        });
        let rules = rules::of_container(other.unwrap_or(objective), stated.as_ref(), learn).rules;
        let target = policy::recommend(&series.estimate(&rules.prices(), &model), &rules, &baseline).target;
        WhatIf {
            change,
            cpu_request: target.cpu_request,
            memory_request: target.memory_request,
            memory_limit: target.memory_limit,
        }
    };
    let others = [Objective::Economy, Objective::Balanced, Objective::Critical].into_iter();
    let mut all: Vec<_> = others
        .filter(|other| *other != objective)
        .map(|other| answer(format!("objective {other:?}"), Some(other), series.clone()))
        .collect();
    let limit = container.target.limits.memory.as_ref().or(container.current.limits.memory.as_ref());
    if let Some(limit) = limit.and_then(|limit| limit.value().as_bytes()) {
        let mut killed = series.clone();
        if killed.add_oom(at, limit, SUPPOSED, &model) {
            all.push(answer(format!("an OOM kill at {limit}"), None, killed));
        }
    }
    all
}

fn size(resources: &Resources) -> ContainerSize {
    let Resources { requests, limits } = resources;
    ContainerSize {
        cpu_request: requests.cpu.as_ref().map(|cpu| cpu.value().as_cores()),
        cpu_limit: limits.cpu.as_ref().map(|cpu| cpu.value().as_cores()),
        memory_request: requests.memory.as_ref().and_then(|memory| memory.value().as_bytes()),
        memory_limit: limits.memory.as_ref().and_then(|memory| memory.value().as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, recommended, resources};
    use crate::units::{Bytes, Cores};

    #[test]
    fn alternatives_come_from_the_model_itself() {
        let series = testing::series(Timestamp(1_700_000_000), 60, 3 * 1440, |minute| {
            let noise = (minute * 7919 % 97) as f64 / 97.0;
            (Cores(0.2 + 0.2 * noise), Bytes::from_f64(1e8 * (1.0 + 0.3 * noise)))
        });
        let at = Timestamp(1_700_000_000 + 3 * 86_400);
        let container: ContainerRecommendation = recommended("app")
            .current(resources("1", "1Gi", "1Gi"))
            .with("/target/limits/memory", "200Mi")
            .object();
        let all = alternatives(&container, &series, (Objective::Balanced, Span::days(1)), None, at);
        let names: Vec<_> = all.iter().map(|what| what.change.as_str()).collect();
        assert_eq!(names, ["objective Economy", "objective Critical", "an OOM kill at 200Mi"]);
        assert!(all[0].cpu_request <= all[1].cpu_request && all[0].memory_limit <= all[1].memory_limit);
        assert!(all[2].memory_limit.unwrap() > Bytes::from_mib(200));
    }
}
