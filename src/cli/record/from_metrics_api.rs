//! Recording by polling the metrics API.

use std::collections::HashMap;
use std::time::Duration;

use kube::ResourceExt;

use super::spool::{Requests, Spool};
use super::{Args, Sample};
use crate::cluster::{ClusterError, Connection, pods};
use crate::sources::ContainerName;
use crate::sources::metrics_server::{self, PodUsage, Reading};
use crate::units::Timestamp;
use crate::{cli, clock};

pub(super) async fn record(args: &Args, spool: &mut Spool) -> anyhow::Result<()> {
    let connection = Connection::open(&args.connection).await?;
    let begin = clock::now();
    // The first reading shows whether anything works at all; later ones may fail for a while.
    let mut usage = metrics_server::read(&connection, args.namespace.as_deref(), None).await?;
    loop {
        store(args, &connection, spool, &usage.pods).await?;
        if args.duration.is_some_and(|d| clock::now().seconds_since(begin).unsigned_abs() >= d.seconds) {
            return Ok(());
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(args.interval.seconds)) => {}
            _ = tokio::signal::ctrl_c() => return Ok(()),
        }
        usage = match metrics_server::read(&connection, args.namespace.as_deref(), None).await {
            Ok(usage) => usage,
            Err(error) => {
                cli::note(format_args!("no samples this time: {error}"));
                Reading::default()
            }
        };
    }
}

async fn store(
    args: &Args,
    connection: &Connection,
    spool: &mut Spool,
    usage: &[PodUsage],
) -> anyhow::Result<()> {
    let mut strangers = false;
    for pod in usage {
        let at = Timestamp(pod.timestamp.timestamp());
        for container in &pod.containers {
            let name = ContainerName {
                namespace: pod.metadata.namespace.clone(),
                pod: pod.metadata.name.clone(),
                container: container.name.clone(),
            };
            let sample = Sample { at, cpu: container.cpu(), memory: container.memory() };
            spool.append(&name, std::iter::once(sample))?;
            strangers |= !spool.knows_requests(&name);
        }
    }
    if strangers {
        match requests(args, connection).await {
            Ok(requests) => {
                for (name, requests) in requests {
                    spool.set_requests(&name, requests)?;
                }
            }
            Err(error) => cli::note(format_args!("requests are left out of the trace: {error}")),
        }
    }
    Ok(())
}

async fn requests(
    args: &Args,
    connection: &Connection,
) -> Result<HashMap<ContainerName, Requests>, ClusterError> {
    let mut found = HashMap::new();
    for pod in pods::list(connection, args.namespace.as_deref(), None).await? {
        for container in pod.lasting_containers() {
            let name = ContainerName {
                namespace: pod.namespace().unwrap_or_default(),
                pod: pod.name_any(),
                container: container.name.clone(),
            };
            let requests = &container.resources.requests;
            found.insert(name, Requests { cpu: pods::cpu(requests), memory: pods::memory(requests) });
        }
    }
    Ok(found)
}
