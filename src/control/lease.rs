//! Leadership by a Lease: of all plumbs of a cluster one writes.
//!
//! Whether a holder is still there is judged by when we saw its record change, on our own monotonic clock: the
//! holder's wall clock may be wrong, and ours too. A leader that could not renew in time stops before others may begin.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff;
use kube::Api;
use kube::api::{ObjectMeta, PostParams};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::cluster::error::Request;
use crate::cluster::{ClusterError, Connection};
use crate::units::Timestamp;

/// How long others wait for a holder that says nothing.
const DURATION_SECONDS: i32 = 15;
const DURATION: Duration = Duration::from_secs(15);
/// How long a leader goes on without having renewed. Shorter than what others wait.
const DEADLINE: Duration = Duration::from_secs(10);
const RETRY: Duration = Duration::from_secs(2);
/// Shorter than the deadline, so that one answer that never comes does not cost the leadership.
const ANSWER: Duration = Duration::from_secs(4);

/// Which lease, and who we are.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Namespace of the Lease.
    pub namespace: String,
    /// Name of the Lease.
    pub name: String,
    /// Unique to this process.
    pub identity: String,
}

/// Where we stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leadership {
    /// Somebody else leads, or nobody does yet; why, where something is wrong.
    Following(Option<String>),
    /// We lead.
    Leading,
    /// We led, and could not renew in time: nothing may be written any more.
    Lost,
}

/// What to do about the record.
#[derive(Debug, PartialEq)]
enum Step {
    Create,
    /// It is ours: renew it.
    Renew,
    /// Nobody's, or its holder has said nothing for too long: take it.
    Take,
    Wait,
}

/// What to do, by the record and for how long we have not seen it change.
fn step(record: Option<&LeaseSpec>, identity: &str, unchanged: Duration) -> Step {
    let Some(record) = record else { return Step::Create };
    match record.holder_identity.as_deref() {
        Some(holder) if holder == identity => Step::Renew,
        None | Some("") => Step::Take,
        Some(_) => {
            let seconds = record.lease_duration_seconds.unwrap_or(DURATION_SECONDS);
            let duration = u64::try_from(seconds).map_or(DURATION, Duration::from_secs);
            if unchanged >= duration { Step::Take } else { Step::Wait }
        }
    }
}

/// The record after a step.
fn record(before: Option<&LeaseSpec>, step: &Step, identity: &str, now: Timestamp) -> LeaseSpec {
    let time = jiff::Timestamp::from_second(now.0).ok().map(MicroTime);
    let before = before.cloned().unwrap_or_default();
    let took = *step != Step::Renew;
    LeaseSpec {
        holder_identity: Some(identity.to_owned()),
        lease_duration_seconds: Some(DURATION_SECONDS),
        acquire_time: if took { time.clone() } else { before.acquire_time.clone() },
        lease_transitions: Some(before.lease_transitions.unwrap_or(0).saturating_add(i32::from(took))),
        renew_time: time,
        ..before
    }
}

/// Runs for the leadership until `stop`, then lets go of it. Tells in `tell` where we stand.
pub async fn run(
    connection: Connection,
    candidate: Candidate,
    clock: fn() -> Timestamp,
    tell: watch::Sender<Leadership>,
    stop: CancellationToken,
) {
    let api: Api<Lease> = Api::namespaced(connection.client.clone(), &candidate.namespace);
    let mut race = Race { connection, candidate, api, clock, seen: None, renewed: None };
    loop {
        match race.turn().await {
            Ok(true) => say(&tell, Leadership::Leading),
            Ok(false) if race.renewed.is_none() => say(&tell, Leadership::Following(None)),
            Ok(false) => say(&tell, Leadership::Lost),
            Err(error) if race.renewed.is_none() => {
                say(&tell, Leadership::Following(Some(error.to_string())));
            }
            Err(error) => tracing::warn!(error = error.to_string(), "cannot renew the leadership"),
        }
        if race.renewed.is_some_and(|renewed| renewed.elapsed() > DEADLINE) {
            say(&tell, Leadership::Lost);
        }
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(RETRY) => {}
        }
    }
    if race.renewed.is_some() && *tell.borrow() == Leadership::Leading {
        race.release().await;
    }
}

fn say(tell: &watch::Sender<Leadership>, leadership: Leadership) {
    tell.send_if_modified(|known| {
        // What is lost stays lost: the process ends.
        let changed = *known != leadership && *known != Leadership::Lost;
        if changed {
            match &leadership {
                Leadership::Leading => tracing::info!("leading"),
                Leadership::Following(None) => tracing::info!("another plumb leads; standing by"),
                Leadership::Following(Some(why)) => {
                    tracing::warn!(error = why, "cannot run for the leadership");
                }
                Leadership::Lost => tracing::error!("lost the leadership"),
            }
            *known = leadership;
        }
        changed
    });
}

struct Race {
    connection: Connection,
    candidate: Candidate,
    api: Api<Lease>,
    clock: fn() -> Timestamp,
    /// The version of the record that we saw last, and when we saw it first.
    seen: Option<(String, Instant)>,
    /// When we last made the record ours.
    renewed: Option<Instant>,
}

impl Race {
    fn asked(&self, verb: &'static str) -> Request {
        let namespace = Some(self.candidate.namespace.clone());
        Request { verb, resource: "leases.coordination.k8s.io", namespace }
    }

    async fn ask<T>(
        &self,
        verb: &'static str,
        answer: impl Future<Output = kube::Result<T>>,
    ) -> Result<T, ClusterError> {
        let asked = self.asked(verb);
        match tokio::time::timeout(ANSWER, self.connection.ask(asked.clone(), answer)).await {
            Ok(answer) => answer,
            Err(_) => Err(ClusterError::TimedOut {
                server: self.connection.server.clone(),
                request: asked,
                seconds: ANSWER.as_secs(),
            }),
        }
    }

    /// One turn; true when the record is ours after it.
    async fn turn(&mut self) -> Result<bool, ClusterError> {
        // From before we ask: what the server notes is not older.
        let begin = Instant::now();
        let lease = self.ask("get", self.api.get_opt(&self.candidate.name)).await?;
        let version = lease.as_ref().and_then(|lease| lease.metadata.resource_version.clone());
        let version = version.unwrap_or_default();
        let unchanged = match &self.seen {
            Some((seen, since)) if *seen == version => begin.duration_since(*since),
            _ => {
                self.seen = Some((version, begin));
                Duration::ZERO
            }
        };
        let before = lease.as_ref().and_then(|lease| lease.spec.as_ref());
        let step = step(before.or(lease.as_ref().map(|_| &EMPTY)), &self.candidate.identity, unchanged);
        if step == Step::Wait {
            return Ok(false);
        }
        let spec = record(before, &step, &self.candidate.identity, (self.clock)());
        match self.write(lease, &step, spec).await {
            Ok(()) => {
                self.renewed = Some(begin);
                Ok(true)
            }
            // Somebody was faster.
            Err(ClusterError::Status { code: 409, .. }) if step != Step::Renew => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn write(&self, lease: Option<Lease>, step: &Step, spec: LeaseSpec) -> Result<(), ClusterError> {
        let metadata = ObjectMeta { name: Some(self.candidate.name.clone()), ..ObjectMeta::default() };
        let metadata = lease.map_or(metadata, |lease| lease.metadata);
        // The resource version in it makes the server refuse where another was faster.
        let lease = Lease { metadata, spec: Some(spec) };
        let params = PostParams::default();
        if *step == Step::Create {
            self.ask("create", self.api.create(&params, &lease)).await.map(drop)
        } else {
            self.ask("update", self.api.replace(&self.candidate.name, &params, &lease)).await.map(drop)
        }
    }

    /// Nobody's, so that the next one need not wait.
    async fn release(&self) {
        let released = async {
            let Some(lease) = self.ask("get", self.api.get_opt(&self.candidate.name)).await? else {
                return Ok(());
            };
            let spec = lease.spec.clone().unwrap_or_default();
            if spec.holder_identity.as_deref() != Some(&self.candidate.identity) {
                return Ok(());
            }
            let spec = LeaseSpec { holder_identity: Some(String::new()), ..spec };
            self.write(Some(lease), &Step::Renew, spec).await
        };
        match released.await {
            Ok(()) => tracing::info!("let go of the leadership"),
            Err::<(), ClusterError>(error) => {
                tracing::warn!(error = error.to_string(), "cannot let go of the leadership");
            }
        }
    }
}

static EMPTY: LeaseSpec = LeaseSpec {
    acquire_time: None,
    holder_identity: None,
    lease_duration_seconds: None,
    lease_transitions: None,
    preferred_holder: None,
    renew_time: None,
    strategy: None,
};

#[cfg(test)]
mod tests {
    use super::*;

    fn held_by(holder: &str) -> LeaseSpec {
        LeaseSpec { holder_identity: Some(holder.to_owned()), ..EMPTY.clone() }
    }

    #[test]
    fn a_lease_is_taken_only_when_nobody_holds_it() {
        let long = DURATION;
        assert_eq!(step(None, "me", Duration::ZERO), Step::Create);
        assert_eq!(step(Some(&EMPTY), "me", Duration::ZERO), Step::Take);
        assert_eq!(step(Some(&held_by("")), "me", Duration::ZERO), Step::Take);
        assert_eq!(step(Some(&held_by("me")), "me", long), Step::Renew);
        assert_eq!(step(Some(&held_by("other")), "me", long - RETRY), Step::Wait);
        assert_eq!(step(Some(&held_by("other")), "me", long), Step::Take);
        // A holder that asks for more time has it; nonsense is the default.
        let slow = LeaseSpec { lease_duration_seconds: Some(60), ..held_by("other") };
        assert_eq!(step(Some(&slow), "me", long), Step::Wait);
        let odd = LeaseSpec { lease_duration_seconds: Some(-5), ..held_by("other") };
        assert_eq!(step(Some(&odd), "me", RETRY), Step::Wait);
    }

    #[test]
    fn a_record_counts_who_took_it() {
        let first = record(None, &Step::Create, "me", Timestamp(100));
        assert_eq!((first.lease_transitions, first.acquire_time.is_some()), (Some(1), true));
        let renewed = record(Some(&first), &Step::Renew, "me", Timestamp(200));
        assert_eq!((renewed.lease_transitions, &renewed.acquire_time), (Some(1), &first.acquire_time));
        assert_ne!(renewed.renew_time, first.renew_time);
        assert_eq!(record(Some(&renewed), &Step::Take, "other", Timestamp(300)).lease_transitions, Some(2));
    }
}
