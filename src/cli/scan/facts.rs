//! What is known of the containers that run now: whose they are and what they ask for. From the API server where it
//! can be asked, else from kube-state-metrics.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use kube::ResourceExt;

use super::Args;
use crate::cli;
use crate::cluster::owners::Owners as ClusterOwners;
use crate::cluster::{ClusterError, Connection, pods};
use crate::policy::ContainerSize;
use crate::sources::ContainerName;
use crate::sources::prometheus::owners::{Owners, Workload};
use crate::sources::prometheus::{Prometheus, PrometheusError, Queries};
use crate::units::{Bytes, Cores, Timestamp};

/// What is known of the containers that run now.
pub(super) struct Facts {
    /// Whose each pod is.
    pub(super) owners: Owners,
    /// What each container asks for; an empty size is one that asks for nothing.
    pub(super) sizes: HashMap<ContainerName, ContainerSize>,
    /// The containers that run now.
    pub(super) running: BTreeSet<ContainerName>,
}

impl Facts {
    /// Asks the API server, and Prometheus for what is not known then.
    pub(super) async fn read(
        args: &Args,
        prometheus: &Prometheus,
        queries: &Queries,
        now: Timestamp,
    ) -> anyhow::Result<Self> {
        let mut running: BTreeSet<ContainerName> = prometheus
            .instant(&queries.memory(0), now)
            .await?
            .iter()
            .filter_map(|s| s.container(&queries.usage))
            .collect();
        match cluster(args).await {
            Ok(cluster) if running.is_empty() || cluster.sizes.keys().any(|name| running.contains(name)) => {
                // Init containers have their series too; what the cluster knows of a pod says which are lasting.
                let pods: BTreeSet<_> =
                    cluster.sizes.keys().map(|name| (name.namespace.clone(), name.pod.clone())).collect();
                running.retain(|name| {
                    cluster.sizes.contains_key(name)
                        || !pods.contains(&(name.namespace.clone(), name.pod.clone()))
                });
                return Ok(Self { running, ..cluster });
            }
            Ok(_) => cli::note(
                "none of the pods that Prometheus knows is in the kubeconfig's cluster, which is left out of it",
            ),
            // Who names a cluster wants it asked; who does not may have none.
            Err(error) if args.connection.kubeconfig.is_some() || args.connection.context.is_some() => {
                return Err(error.into());
            }
            Err(ClusterError::NoConfig { .. }) => {}
            Err(error) => cli::note(format_args!("going on without the API server: {error}")),
        }
        let sizes = sizes(prometheus, queries, now).await?;
        Ok(Self { owners: Owners::default(), sizes, running })
    }
}

async fn cluster(args: &Args) -> Result<Facts, ClusterError> {
    let connection = Connection::open(&args.connection).await?;
    let namespace = args.namespace.as_deref();
    let (list, cluster) = tokio::try_join!(
        pods::list(&connection, namespace, None),
        ClusterOwners::read(&connection, namespace)
    )?;
    let (mut owners, mut sizes) = (Owners::default(), HashMap::new());
    for pod in &list {
        let namespace = pod.namespace().unwrap_or_default();
        let top = cluster.workload(pod);
        let workload = Workload { namespace: namespace.clone(), kind: top.kind, name: top.name };
        owners.insert(&pod.name_any(), workload);
        for container in pod.lasting_containers() {
            let name = ContainerName {
                namespace: namespace.clone(),
                pod: pod.name_any(),
                container: container.name.clone(),
            };
            let (requests, limits) = (&container.resources.requests, &container.resources.limits);
            sizes.insert(
                name,
                ContainerSize {
                    cpu_request: pods::cpu(requests),
                    cpu_limit: pods::cpu(limits),
                    memory_request: pods::memory(requests),
                    memory_limit: pods::memory(limits),
                },
            );
        }
    }
    Ok(Facts { owners, sizes, running: BTreeSet::new() })
}

/// What kube-state-metrics says that containers ask for. Where it says something of any, it knows of all.
async fn sizes(
    prometheus: &Prometheus,
    queries: &Queries,
    now: Timestamp,
) -> Result<HashMap<ContainerName, ContainerSize>, PrometheusError> {
    let mut sizes: HashMap<ContainerName, ContainerSize> = HashMap::new();
    for what in ["requests", "limits"] {
        for series in prometheus.instant(&queries.sizes(what, 0), now).await? {
            let (Some(name), Some((_, value))) = (series.container(&queries.state), series.points().next())
            else {
                continue;
            };
            let size = sizes.entry(name).or_default();
            match (what, series.label("resource")) {
                ("requests", "cpu") => size.cpu_request = Some(Cores(value)),
                ("requests", "memory") => size.memory_request = Some(Bytes::from_f64(value)),
                ("limits", "cpu") => size.cpu_limit = Some(Cores(value)),
                ("limits", "memory") => size.memory_limit = Some(Bytes::from_f64(value)),
                _ => {}
            }
        }
    }
    Ok(sizes)
}

/// What most of the replicas ask for.
pub(super) fn usual<'a>(sizes: impl Iterator<Item = &'a ContainerSize>) -> Option<ContainerSize> {
    let mut counts: BTreeMap<_, (usize, ContainerSize)> = BTreeMap::new();
    for size in sizes {
        let key = (
            size.cpu_request.map(Cores::to_milli),
            size.cpu_limit.map(Cores::to_milli),
            size.memory_request,
            size.memory_limit,
        );
        counts.entry(key).or_insert((0, *size)).0 += 1;
    }
    counts.into_values().max_by_key(|(count, _)| *count).map(|(_, size)| size)
}
