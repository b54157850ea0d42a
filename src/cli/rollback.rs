//! `plumb rollback`: a workload gets back what it had, and is left alone for a while.
//!
//! An annotation on its Recommendation says so; the updater does it, and admission keeps to it for new pods.

use anyhow::{bail, ensure};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff;
use kube::api::{Api, Patch, PatchParams};
use kube::{Resource as _, ResourceExt as _};
use serde_json::json;

use super::explain::Named;
use super::note;
use crate::actuate::facts;
use crate::api::{Mode, PreviousSize, ROLLBACK, Recommendation, Rollback};
use crate::clock;
use crate::cluster::Connection;
use crate::cluster::error::Request;
use crate::units::Timestamp;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    workload: Named,
    /// End what an earlier rollback began: its pods are changed again as their policy says
    #[arg(long)]
    end: bool,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let (connection, found) = args.workload.find().await?;
    let name = &args.workload.workload;
    let stands = found.annotations().get(ROLLBACK).cloned();
    if args.end {
        if stands.is_none() {
            note(format_args!("{name} was not rolled back"));
            return Ok(());
        }
        annotate(&connection, &found, None).await?;
        note(format_args!("{name}: pods are changed again as the policy says"));
        return Ok(());
    }
    let previous = found.status.as_ref().map(|status| status.previous.as_slice()).unwrap_or_default();
    ensure!(
        found.spec.mode == Mode::Auto,
        "the policy of {name} only recommends: plumb has changed no pod of it"
    );
    ensure!(!previous.is_empty(), "plumb has changed no pod of {name} yet");
    let rollback = next(stands.as_deref(), clock::now());
    annotate(&connection, &found, Some(&rollback)).await?;
    for container in previous {
        note(format_args!("{}: {}", container.name, words(container)));
    }
    note(format_args!(
        "{name} gets that back, and is left alone until {}; `plumb rollback {name} --end` ends that before",
        rollback.until.0
    ));
    Ok(())
}

/// The one after that which stands; what cannot be read counts as none.
fn next(stands: Option<&str>, now: Timestamp) -> Rollback {
    let known = stands.and_then(|text| serde_json::from_str::<Rollback>(text).ok());
    let seconds = |time: &Time| Timestamp(time.0.as_second());
    let last = known.map(|known| facts::Rollback {
        at: seconds(&known.at),
        until: seconds(&known.until),
        times: known.times,
    });
    let next = facts::Rollback::after(last, now);
    let time = |at: Timestamp| Time(jiff::Timestamp::from_second(at.0).unwrap_or_default());
    Rollback { at: time(next.at), until: time(next.until), times: next.times }
}

async fn annotate(
    connection: &Connection,
    object: &Recommendation,
    rollback: Option<&Rollback>,
) -> anyhow::Result<()> {
    let (Some(name), Some(namespace)) = (&object.meta().name, object.namespace()) else {
        bail!("the API server has sent a Recommendation without name");
    };
    let api: Api<Recommendation> = Api::namespaced(connection.client.clone(), &namespace);
    let value = rollback.map(serde_json::to_string).transpose()?;
    let patch = Patch::Merge(json!({"metadata": {"annotations": {ROLLBACK: value}}}));
    let asked = Request { verb: "patch", resource: "recommendations.plumb.dev", namespace: Some(namespace) };
    connection.ask(asked, api.patch(name, &PatchParams::default(), &patch)).await?;
    Ok(())
}

fn words(previous: &PreviousSize) -> String {
    let (requests, limits) = (&previous.resources.requests, &previous.resources.limits);
    let part = |name: &str, amount: Option<&crate::api::Amount>| amount.map(|a| format!("{name} {a}"));
    let parts = [
        part("cpu", requests.cpu.as_ref()),
        part("memory", requests.memory.as_ref()),
        part("cpu limit", limits.cpu.as_ref()),
        part("memory limit", limits.memory.as_ref()),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::NOW;

    #[test]
    fn each_one_in_a_row_lasts_twice_as_long() {
        let first = next(None, NOW);
        let lasts = |rollback: &Rollback| rollback.until.0.as_second() - rollback.at.0.as_second();
        assert_eq!((first.times, lasts(&first)), (1, 3600));
        let text = serde_json::to_string(&first).unwrap();
        let second = next(Some(&text), NOW.plus(5000));
        assert_eq!((second.times, lasts(&second)), (2, 7200));
        // Long after it has gone well, it begins anew.
        assert_eq!(next(Some(&text), NOW.plus(10_000)).times, 1);
        assert_eq!(next(Some("nonsense"), NOW).times, 1);
    }
}
