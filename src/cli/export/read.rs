//! Recommendations, from the cluster or from files, as targets.

use std::path::PathBuf;

use anyhow::{Context, anyhow, ensure};
use kube::Api;
use kube::api::ListParams;
use serde_json::Value;

use super::super::input::text;
use super::super::note;
use crate::api::{
    Amount, Confidence, ContainerKind, ContainerRecommendation, CpuLimitRule, MemoryLimitRule, Recommendation,
};
use crate::cluster::error::Request;
use crate::cluster::{Connection, ConnectionOptions};
use crate::export::target::{Amounts, Container, Target, Workload, Written};

/// More than the Recommendations of a large cluster.
const MAX_BYTES: u64 = 256 << 20;
const PAGE: u32 = 500;

/// From the cluster, of that namespace or of all.
pub(super) async fn cluster(
    options: &ConnectionOptions,
    namespace: Option<&str>,
    any: bool,
) -> anyhow::Result<Vec<Target>> {
    let connection = Connection::open(options).await?;
    let client = connection.client.clone();
    let api: Api<Recommendation> = match namespace {
        Some(namespace) => Api::namespaced(client, namespace),
        None => Api::all(client),
    };
    let mut found = Vec::new();
    let mut params = ListParams::default().limit(PAGE);
    loop {
        let asked = Request {
            verb: "list",
            resource: "recommendations.plumb.dev",
            namespace: namespace.map(str::to_owned),
        };
        let page = connection.ask(asked, api.list(&params)).await?;
        found.extend(page.items);
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params.continue_token = Some(token),
            None => return targets(found, any),
        }
    }
}

/// From files, of that namespace or of all.
pub(super) fn files(files: &[PathBuf], namespace: Option<&str>, any: bool) -> anyhow::Result<Vec<Target>> {
    let mut found = Vec::new();
    for file in files {
        let name = file.display();
        let text = text(file, MAX_BYTES).with_context(|| format!("cannot read {name}"))?;
        let documents: Vec<Value> = serde_saphyr::from_multiple(&text)
            .map_err(|error| anyhow!("{name}: {}", error.to_string().lines().next().unwrap_or_default()))?;
        for document in documents {
            let items = match document.get("items").and_then(Value::as_array) {
                Some(items) => items.clone(),
                None => vec![document],
            };
            for item in items {
                // Whatever else was listed along.
                if item.get("kind").and_then(Value::as_str) != Some("Recommendation") {
                    continue;
                }
                let one: Recommendation =
                    serde_json::from_value(item).map_err(|why| anyhow!("{name}: a Recommendation: {why}"))?;
                found.push(one);
            }
        }
        ensure!(
            !found.is_empty(),
            "there is no Recommendation in {name}; make it by `kubectl get recommendations -A -o yaml`"
        );
    }
    found.retain(|one| namespace.is_none_or(|of| one.metadata.namespace.as_deref() == Some(of)));
    targets(found, any)
}

fn targets(found: Vec<Recommendation>, any: bool) -> anyhow::Result<Vec<Target>> {
    ensure!(
        !found.is_empty(),
        "nothing is recommended there yet; `kubectl get recommendations -A` lists what is"
    );
    let mut young = 0;
    let mut targets = Vec::new();
    for one in found {
        let Some(status) = one.status else { continue };
        let sure = |container: &&ContainerRecommendation| {
            any || container.confidence > Confidence::Low && !container.learning
        };
        let containers: Vec<Container> = status.containers.iter().filter(sure).map(container).collect();
        young += status.containers.len() - containers.len();
        if containers.is_empty() {
            continue;
        }
        let workload = one.spec.workload_ref;
        targets.push(Target {
            workload: Workload {
                namespace: one.metadata.namespace.unwrap_or_default(),
                kind: workload.kind,
                name: workload.name,
            },
            api_version: workload.api_version,
            containers,
        });
    }
    if young > 0 {
        note(format_args!(
            "left out, having less than a day of usage or than the policy's history.learn: {young} of the containers; --any-confidence takes them in"
        ));
    }
    targets.sort_by(|a, b| a.workload.cmp(&b.workload));
    Ok(targets)
}

fn container(of: &ContainerRecommendation) -> Container {
    let written =
        |amount: &Option<Amount>| amount.as_ref().map(|a| Written { value: a.value(), text: a.to_string() });
    let band = |lower: &Option<Amount>, upper: &Option<Amount>| {
        Some((lower.as_ref()?.value(), upper.as_ref()?.value()))
    };
    let (requests, limits, rules) = (&of.target.requests, &of.target.limits, &of.limit_rules);
    Container {
        name: of.name.clone(),
        init: of.kind != ContainerKind::Container,
        cpu: Amounts {
            request: written(&requests.cpu),
            band: band(&of.lower.cpu, &of.upper.cpu),
            limit: written(&limits.cpu),
            add_limit: rules.cpu == CpuLimitRule::Equal,
        },
        memory: Amounts {
            request: written(&requests.memory),
            band: band(&of.lower.memory, &of.upper.memory),
            limit: written(&limits.memory),
            add_limit: rules.add_memory || rules.memory == MemoryLimitRule::Equal,
        },
    }
}
