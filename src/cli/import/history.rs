//! VPA's checkpoints, as one of plumb's.

use anyhow::Context;
use chrono::DateTime;

use super::note;
use super::read::Found;
use crate::clock;
use crate::cluster::index::WorkloadKey;
use crate::cluster::{Connection, ConnectionOptions};
use crate::control::book::SeriesKey;
use crate::control::checkpoint::{Checkpoints, Place, Shard};
use crate::control::keeper;
use crate::import::{Checkpoint, Seen, Vpa, series};
use crate::model::{Model, Series};
use crate::units::Timestamp;

/// Writes what there is to be learned of, and tells what came of it.
pub(super) async fn write(options: &ConnectionOptions, place: &Place, found: &Found) -> anyhow::Result<()> {
    let now = clock::now();
    let mut learned = Vec::new();
    for checkpoint in &found.checkpoints {
        match one(checkpoint, &found.vpas, now) {
            Ok(one) => learned.push(one),
            Err(why) => note(format_args!("checkpoint {} is left out: {why}", checkpoint.metadata.name)),
        }
    }
    let mut checkpoints = match place {
        Place::Folder(folder) => Checkpoints::in_folder(folder),
        _ => Checkpoints::open(place, &Connection::open(options).await?, Shard::default()),
    };
    let added = keeper::add(&mut checkpoints, learned, now).await.context("cannot write the checkpoint")?;
    for problem in &added.problems {
        note(problem);
    }
    note(format_args!(
        "wrote what VPA has learned of {} containers; of {} plumb knows itself already, which stays. \
         Not carried over: the time of day, the order of samples, and memory between the daily peaks",
        added.added, added.known
    ));
    Ok(())
}

fn one(checkpoint: &Checkpoint, vpas: &[Vpa], now: Timestamp) -> Result<(SeriesKey, Series), String> {
    let namespace =
        checkpoint.metadata.namespace.as_deref().ok_or("it has no namespace: name one with -n")?;
    let name = &checkpoint.spec.vpa_object_name;
    let same =
        |vpa: &&Vpa| vpa.metadata.name == *name && vpa.metadata.namespace.as_deref() == Some(namespace);
    let vpa = vpas.iter().find(same);
    let vpa =
        vpa.ok_or_else(|| format!("the VerticalPodAutoscaler {namespace}/{name} that it is of is not here"))?;
    let policy = crate::import::convert(vpa, false)?.policy;
    let target =
        policy.spec.target.and_then(|target| target.workload_ref).ok_or("its VPA names no workload")?;
    let key = SeriesKey {
        workload: WorkloadKey {
            namespace: namespace.into(),
            kind: target.kind.as_str().into(),
            name: target.name.as_str().into(),
            api_version: target.api_version.as_str().into(),
        },
        container: checkpoint.spec.container_name.as_str().into(),
    };
    let time = |text: Option<&String>| {
        let text = text.ok_or_else(|| "it does not say when its samples were".to_owned())?;
        let at = DateTime::parse_from_rfc3339(text).map_err(|_| format!("{text:?} is no time"))?;
        Ok::<_, String>(Timestamp(at.timestamp().min(now.0)))
    };
    let status = &checkpoint.status;
    let seen = Seen {
        first: time(status.first_sample_start.as_ref())?,
        last: time(status.last_sample_start.as_ref())?,
    };
    let series = series(status, seen, &Model::default()).map_err(|error| error.to_string())?;
    Ok((key, series))
}
