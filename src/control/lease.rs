//! Leadership by a Lease: of all plumbs of a cluster one writes.
//!
//! Whether a holder is still there is judged by when we saw its record change, on our own monotonic clock: the
//! holder's wall clock may be wrong, and ours too. A leader stops before others may begin, also where no answer comes and
//! nothing wakes it: whoever writes asks the [`Lead`] right before, and that one knows its own end.

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
use crate::cluster::tasks::Pulse;
use crate::cluster::{ClusterError, Connection};
use crate::units::Timestamp;

/// How long others wait for a holder that says nothing.
const DURATION_SECONDS: i32 = 15;
const DURATION: Duration = Duration::from_secs(15);
/// How long a leader goes on without having renewed. What it began by then has until [`DURATION`] to be answered.
const DEADLINE: Duration = Duration::from_secs(11);
/// How long a write of a leader may take: others may begin a second later at the earliest, whatever rate their clocks have.
const WRITE: Duration = Duration::from_secs(3);
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
    /// We lead, until then; each renewal moves it.
    Leading(Instant),
    /// We led, and could not renew in time: nothing may be written any more.
    Lost,
}

/// Whether we lead. Clones stand for the same lead.
#[derive(Clone, Debug)]
pub struct Lead(watch::Receiver<Leadership>);

impl Lead {
    /// True while we lead: to be asked right before each write.
    #[must_use]
    pub fn holds(&self) -> bool {
        matches!(*self.0.borrow(), Leadership::Leading(until) if Instant::now() < until)
    }

    /// Waits for the answer to a write for as long as nobody else can lead; `None` where we do not lead, or no longer
    /// know what became of the write.
    pub async fn hold<T>(&self, write: impl Future<Output = T>) -> Option<T> {
        let until = match *self.0.borrow() {
            Leadership::Leading(until) if Instant::now() < until => until,
            _ => return None,
        };
        tokio::time::timeout_at(until + WRITE, write).await.ok()
    }

    /// Resolves when we begin to lead, or to follow. Cancel safe.
    pub async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Resolves when the lead is lost. Cancel safe.
    pub async fn lost(&mut self) {
        if self.0.wait_for(|known| *known == Leadership::Lost).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// What keeps us from standing for it, where something does.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        match &*self.0.borrow() {
            Leadership::Following(why) => why.clone(),
            Leadership::Leading(_) | Leadership::Lost => None,
        }
    }
}

/// Who stands for the lead, as far as it can be said without a server: times are of its own monotonic clock.
#[derive(Debug)]
struct Elector {
    identity: String,
    /// The version of the record that was seen last, and when the first answer with it was there.
    seen: Option<(String, Instant)>,
    /// Until when the record is ours.
    until: Option<Instant>,
}

impl Elector {
    fn new(identity: &str) -> Self {
        Self { identity: identity.to_owned(), seen: None, until: None }
    }

    /// What to do, by a record that was asked for at `begin` and came at `end`. It was there at some time between, so that
    /// it has stood unchanged from one answer's end to the next question's begin at least.
    fn read(&mut self, record: Option<(&LeaseSpec, &str)>, begin: Instant, end: Instant) -> Step {
        let version = record.map(|(_, version)| version).unwrap_or_default();
        let unchanged = match &self.seen {
            Some((seen, since)) if seen == version => begin.saturating_duration_since(*since),
            _ => {
                self.seen = Some((version.to_owned(), end));
                Duration::ZERO
            }
        };
        step(record.map(|(record, _)| record), &self.identity, unchanged)
    }

    /// The record was made ours by a turn that began then: what the server notes is not older.
    fn renewed(&mut self, begin: Instant) -> Instant {
        *self.until.insert(begin + DEADLINE)
    }
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

/// Stands for the lead until `stop`, then lets go of it.
pub struct Stand {
    connection: Connection,
    candidate: Candidate,
    clock: fn() -> Timestamp,
    tell: watch::Sender<Leadership>,
}

impl Stand {
    /// Begins as one who follows.
    #[must_use]
    pub fn new(connection: Connection, candidate: Candidate, clock: fn() -> Timestamp) -> (Self, Lead) {
        let (tell, told) = watch::channel(Leadership::Following(None));
        (Self { connection, candidate, clock, tell }, Lead(told))
    }

    /// Goes on until `stop`; each turn is shown by the pulse.
    pub async fn run(self, pulse: Pulse, stop: CancellationToken) {
        let Self { connection, candidate, clock, tell } = self;
        let api: Api<Lease> = Api::namespaced(connection.client.clone(), &candidate.namespace);
        let elector = Elector::new(&candidate.identity);
        let mut race = Race { connection, candidate, api, clock, elector };
        loop {
            pulse.beat();
            let until = race.elector.until;
            tokio::select! {
                () = stop.cancelled() => break,
                () = passes(until) => say(&tell, Leadership::Lost),
                turn = race.turn() => match (turn, until) {
                    (Ok(Some(until)), _) => say(&tell, Leadership::Leading(until)),
                    (Ok(None), None) => say(&tell, Leadership::Following(None)),
                    (Ok(None), Some(_)) => say(&tell, Leadership::Lost),
                    (Err(error), None) => say(&tell, Leadership::Following(Some(error.to_string()))),
                    (Err(error), Some(_)) => {
                        tracing::warn!(error = error.to_string(), "cannot renew the leadership");
                    }
                },
            }
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(RETRY) => {}
            }
        }
        if matches!(*tell.borrow(), Leadership::Leading(_)) {
            race.release().await;
        }
    }
}

/// Resolves when that time has come; never without one.
async fn passes(until: Option<Instant>) {
    match until {
        Some(until) => tokio::time::sleep_until(until).await,
        None => std::future::pending().await,
    }
}

fn say(tell: &watch::Sender<Leadership>, leadership: Leadership) {
    tell.send_if_modified(|known| {
        // A renewal is no news.
        if let (Leadership::Leading(known), Leadership::Leading(until)) = (&mut *known, &leadership) {
            *known = *until;
            return false;
        }
        // What is lost stays lost: the process ends.
        let changed = *known != leadership && *known != Leadership::Lost;
        if changed {
            match &leadership {
                Leadership::Leading(_) => tracing::info!("leading"),
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
    elector: Elector,
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

    /// One turn; until when the record is ours after it, where it is.
    async fn turn(&mut self) -> Result<Option<Instant>, ClusterError> {
        let begin = Instant::now();
        let lease = self.ask("get", self.api.get_opt(&self.candidate.name)).await?;
        let before = lease.as_ref().and_then(|lease| lease.spec.as_ref());
        let version =
            lease.as_ref().and_then(|lease| lease.metadata.resource_version.clone()).unwrap_or_default();
        let known = lease.as_ref().map(|_| (before.unwrap_or(&EMPTY), &*version));
        let step = self.elector.read(known, begin, Instant::now());
        if step == Step::Wait {
            return Ok(None);
        }
        let spec = record(before, &step, &self.candidate.identity, (self.clock)());
        match self.write(lease, &step, spec).await {
            Ok(()) => Ok(Some(self.elector.renewed(begin))),
            // Somebody was faster.
            Err(ClusterError::Status { code: 409, .. }) if step != Step::Renew => Ok(None),
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
mod tests;
