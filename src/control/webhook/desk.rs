//! From a review to its answer: from memory, in microseconds, and always an answer.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::lookup::{self, Found};
use super::review::{self, NoReview};
use crate::admit::{self, Verdict};
use crate::cluster::custom::OwnerResolver;
use crate::cluster::index::{ObjectKey, Owner};
use crate::cluster::{Index, Live};
use crate::control::metrics::{Admission, Metrics};
use crate::control::pause::PauseSwitch;
use crate::units::Timestamp;

/// A ReplicaSet's first pod is created within milliseconds of it; the watch that tells of the ReplicaSet needs as long.
const OWNER_WAIT: Duration = Duration::from_millis(300);
const OWNER_POLL: Duration = Duration::from_millis(5);

/// Where reviews are answered.
pub struct Desk {
    live: Arc<Live>,
    metrics: Arc<Metrics>,
    clock: fn() -> Timestamp,
    owners: OwnerResolver,
    pause: PauseSwitch,
}

impl Desk {
    /// Opens it.
    #[must_use]
    pub fn new(
        live: Arc<Live>,
        metrics: Arc<Metrics>,
        clock: fn() -> Timestamp,
        (owners, pause): (OwnerResolver, PauseSwitch),
    ) -> Arc<Self> {
        Arc::new(Self { live, metrics, clock, owners, pause })
    }

    /// What is missing before reviews can be answered.
    #[must_use]
    pub fn unready(&self) -> Vec<String> {
        let mut missing = self.live.unsynced();
        if !self.pause.is_known() {
            missing.push("the switch of `plumb pause` was not read yet".to_owned());
        }
        missing
    }

    /// What is counted.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// The answer to a review, as JSON.
    ///
    /// # Errors
    /// Where the body is no review.
    pub async fn answer(&self, body: &[u8]) -> Result<Vec<u8>, NoReview> {
        let begin = Instant::now();
        let review = review::read(body)?;
        let (operations, result, reason) = match self.verdict(&review).await {
            Ok(Verdict::Stamp { operations, boost_left_out: false }) => (operations, "stamped", ""),
            Ok(Verdict::Stamp { operations, .. }) => (operations, "stamped", "no_room_for_boost"),
            Ok(Verdict::Stamped) => (Vec::new(), "unchanged", "stamped_already"),
            Ok(Verdict::Leave(reason)) => (Vec::new(), "unchanged", reason.word()),
            Err(reason) => (Vec::new(), "unchanged", reason),
        };
        let labels = Admission { result: result.to_owned(), reason: reason.to_owned() };
        self.metrics.admissions.get_or_create(&labels).inc();
        let answer = review::answer(&review.uid, &operations);
        self.metrics.admission.observe(begin.elapsed().as_secs_f64());
        Ok(answer)
    }

    /// What becomes of the pod, or in a word why nothing does.
    async fn verdict(&self, review: &review::Review<'_>) -> Result<Verdict, &'static str> {
        let raw = review.pod.ok_or("no_pod_creation")?;
        let pod = review::pod(raw).ok_or("unreadable")?;
        if !self.live.knows_all() {
            return Err("not_ready");
        }
        if self.pause.is_paused() {
            return Err("paused");
        }
        let (begin, mut asked) = (Instant::now(), false);
        loop {
            let judgement = self.live.read(|index| judge(index, &review.namespace, &pod, (self.clock)()));
            match judgement {
                Judgement::Verdict(verdict) => return Ok(verdict),
                Judgement::Leave(reason) => return Err(reason),
                Judgement::Soon if begin.elapsed() < OWNER_WAIT => tokio::time::sleep(OWNER_POLL).await,
                Judgement::Soon => return Err("owner_unknown"),
                // An owner that lives for one run is new with its first pod: the answer is as near as a ReplicaSet is.
                Judgement::Ask(pod, owner) if begin.elapsed() < OWNER_WAIT => {
                    if !std::mem::replace(&mut asked, true) {
                        self.owners.ask([(pod, owner)]);
                    }
                    tokio::time::sleep(OWNER_POLL).await;
                }
                Judgement::Ask(..) => return Err("owner_asked_for"),
            }
        }
    }
}

/// What the index makes of a pod.
#[derive(Debug)]
pub enum Judgement {
    /// There is a recommendation for it.
    Verdict(Verdict),
    /// It stays as it is, and why.
    Leave(&'static str),
    /// Its owner is so young that the index does not know it yet.
    Soon,
    /// Its owner is of a kind that has to be asked for first.
    Ask(ObjectKey, Arc<Owner>),
}

/// What becomes of a pod of that namespace.
#[must_use]
pub fn judge(index: &Index, namespace: &str, pod: &admit::Pod, now: Timestamp) -> Judgement {
    match lookup::find(index, namespace, pod, now) {
        Found::Recommendation(name, sizing) => {
            let advice = lookup::advice(&name, sizing, now);
            Judgement::Verdict(admit::admit(pod, &advice, &lookup::bounds(index, namespace, pod), now))
        }
        Found::Soon => Judgement::Soon,
        Found::Ask(pod, owner) => Judgement::Ask(pod, owner),
        Found::Nothing(reason) => Judgement::Leave(reason),
    }
}
