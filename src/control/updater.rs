//! The updater's loop: what is recommended and what runs become resizes and evictions, a few at a time.
//!
//! It decides nothing: [`crate::actuate`] does. It acts for who leads only, and looks at the kill switch before each
//! round in which something would be done.

mod act;
mod fault;
mod kept;
mod pressure;
mod registered;
mod say;
mod scaler;
mod status;
mod view;
mod words;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, stream};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use self::act::Outcome;
use self::pressure::{Observed, Pressure};
use self::registered::Registered;
use self::say::Word;
use self::status::Known;
use self::view::{Loans, Seen};
use super::events::Events;
use super::lease::Lead;
use super::metrics::{Action as ActionLabels, Metrics, Reason};
use super::pause::{PAUSE_SWITCH, PauseSwitch};
use crate::actuate::reason::Hold;
use crate::actuate::state::{self, Cause};
use crate::actuate::{Action, Deed, Plan, Settings, Updater as Core};
use crate::api::{GROUP, Mode, Recommendation};
use crate::cluster::custom::OwnerResolver;
use crate::cluster::error::Request;
use crate::cluster::index::{Acted, ObjectKey, Uid};
use crate::cluster::tasks::Pulse;
use crate::cluster::{Connection, Live};
use crate::sources::prometheus::Prometheus;
use crate::units::Timestamp;

/// The field manager of what the updater says.
const MANAGER: &str = "plumb-updater";
/// How often it is looked whether anything has changed.
const TICK: Duration = Duration::from_millis(500);
/// How often all is looked at anew, whether anything has changed or not: cooldowns end, windows open.
const ROUND: Duration = Duration::from_secs(5);
/// Actions that wait for the API server's answer at the same time.
const AT_ONCE: usize = 8;
/// A server that resizes no pods is asked again after this: it may have been updated.
const NOT_SERVED: Duration = Duration::from_secs(3600);
/// A word of ours that the watch has not told us of after this is said again.
const ECHO: Duration = Duration::from_secs(10);

/// The loop and what it needs.
pub struct Updater {
    /// Where the cluster is.
    pub connection: Connection,
    /// The watched cluster.
    pub live: Arc<Live>,
    /// Asks for owners of custom kinds.
    pub owners: OwnerResolver,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Who tells people.
    pub events: Arc<Events>,
    /// Whether we may act.
    pub lead: Lead,
    /// The time.
    pub clock: fn() -> Timestamp,
    /// Where it is asked whether watched pods wait for CPU.
    pub prometheus: Option<Prometheus>,
    /// Namespace of the kill switch.
    pub namespace: String,
    /// The kill switch as it is watched; before anything is done it is read once more.
    pub pause: PauseSwitch,
    /// Resizes a second, over time.
    pub resizes_per_second: f64,
    /// Evictions a second, over time.
    pub evictions_per_second: f64,
    /// Seconds after the start in which only urgent actions are taken.
    pub warm_up: i64,
}

/// What is kept from round to round.
struct State {
    core: Core,
    version: u64,
    last: Option<Instant>,
    /// The API server was seen to resize no pods then.
    not_served: Option<Instant>,
    registered: Registered,
    /// The API server was seen to lower no memory limit of a running container.
    limits_only_grow: bool,
    /// What was said last of each recommendation, and when, until the watch tells of it.
    said: HashMap<ObjectKey, (Acted, Instant)>,
    /// Of which something was said last, of those that wait for their turn.
    said_last: Option<ObjectKey>,
    paused: bool,
    /// When the switch was last seen to be on: pods that were created until then say nothing of admission.
    paused_until: Option<Timestamp>,
    pressure: Arc<Pressure>,
    loans: Loans,
}

impl Updater {
    /// Runs until `stop`; each turn is shown by the pulse.
    pub async fn run(self, pulse: Pulse, stop: CancellationToken) {
        let mut state = State {
            core: Core::new(self.resizes_per_second, self.evictions_per_second).with_warm_up(self.warm_up),
            version: 0,
            last: None,
            not_served: None,
            registered: Registered::default(),
            limits_only_grow: false,
            said: HashMap::new(),
            said_last: None,
            paused: false,
            paused_until: None,
            pressure: Arc::default(),
            loans: Loans::default(),
        };
        let pressure = Arc::clone(&state.pressure);
        let reading = self.prometheus.clone().map(|prometheus| {
            let (metrics, stop) = (Arc::clone(&self.metrics), stop.child_token());
            tokio::spawn(pressure.run(prometheus, metrics, self.clock, stop))
        });
        self.rounds(&mut state, &pulse, &stop).await;
        if let Some(reading) = reading {
            drop(reading.await);
        }
    }

    async fn rounds(&self, state: &mut State, pulse: &Pulse, stop: &CancellationToken) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            pulse.beat();
            if !self.lead.holds()
                || !self.live.unsynced().is_empty()
                || !self.live.knows_vertical_autoscalers()
            {
                continue;
            }
            let version = self.live.version();
            if version == state.version && state.last.is_some_and(|last| last.elapsed() < ROUND) {
                continue;
            }
            (state.version, state.last) = (version, Some(Instant::now()));
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.round(state) => {}
            }
        }
    }

    async fn round(&self, state: &mut State) {
        let now = (self.clock)();
        let begin = Instant::now();
        if self.pause.is_known() {
            state.paused = self.pause.is_paused();
        }
        state.paused_until = if state.paused { Some(now) } else { state.paused_until };
        let pressure = state.pressure.known(now);
        let view::View { seen, idle, answers, unknown } =
            view::see(&self.live.index(), &pressure, &mut state.loans, state.paused_until, now);
        self.owners.ask(unknown);
        let settings = Settings {
            paused: state.paused,
            resize_served: state.not_served.is_none_or(|at| at.elapsed() >= NOT_SERVED),
            admission_answers: match answers {
                Some(answers) => answers,
                // No new pod has shown it yet.
                None => state.registered.is_so(&self.connection).await,
            },
            limits_only_grow: state.limits_only_grow,
            warming_up: false,
        };
        let mut plan = state.core.plan(&seen, &settings, now);
        self.metrics.updater_round.observe(begin.elapsed().as_secs_f64());
        self.metrics.admission_answers.set(answers.map_or(-1, i64::from));
        if !plan.actions.is_empty() || !plan.rescales.is_empty() || state.paused {
            state.paused = self.is_paused().await;
        }
        if state.paused {
            plan.rescales.clear();
            for action in std::mem::take(&mut plan.actions) {
                let said = plan.workloads.entry(Arc::clone(&action.workload)).or_default();
                said.acting = said.acting.saturating_sub(1);
                *said.held.entry(Hold::AllPaused).or_default() += 1;
            }
        }
        self.rescale(&seen, &plan).await;
        self.act(&seen, &mut plan, state).await;
        self.count(&plan);
        state.pressure.observe(watched(&seen, &state.core));
        self.say(&seen, &idle, &plan, state, now).await;
    }

    /// The kill switch; where it cannot be read, nothing is done.
    async fn is_paused(&self) -> bool {
        let api: Api<ConfigMap> = Api::namespaced(self.connection.client.clone(), &self.namespace);
        let namespace = Some(self.namespace.clone());
        let asked = Request { verb: "get", resource: "configmaps", namespace };
        match self.connection.ask(asked, api.get_opt(PAUSE_SWITCH)).await {
            Ok(switch) => switch.is_some(),
            Err(error) => {
                tracing::warn!(
                    error = error.to_string(),
                    "cannot read the kill switch, and so changes nothing"
                );
                true
            }
        }
    }

    /// Does what is planned, and tells the core of each answer.
    async fn act(&self, seen: &[Seen], plan: &mut Plan, state: &mut State) {
        let of = |action: &Action| {
            let seen = seen.iter().find(|seen| seen.workload.key == action.workload)?;
            Some((seen, seen.pods.get(&action.pod)?))
        };
        let jobs = std::mem::take(&mut plan.actions).into_iter().filter_map(|action| {
            let (seen, pod) = of(&action)?;
            Some(async move {
                let doing = act::act(&self.connection, pod, Uid::from_number(action.pod), &action.deed);
                let outcome = self.lead.hold(doing).await;
                (action, seen, pod, outcome)
            })
        });
        let mut outcomes = stream::iter(jobs).buffer_unordered(AT_ONCE);
        while let Some((action, seen, pod, outcome)) = outcomes.next().await {
            // Whoever leads now sees what came of it.
            let Some(outcome) = outcome else { continue };
            let now = (self.clock)();
            let verb = words::verb(&action.deed);
            let labels =
                |outcome: &str| ActionLabels { action: verb.to_owned(), outcome: outcome.to_owned() };
            match outcome {
                Outcome::Accepted => {
                    state.core.accepted(&action, &seen.workload, now);
                    self.metrics.actions.get_or_create(&labels("accepted")).inc();
                    let what = words::words(&action, &seen.workload);
                    tracing::info!(
                        workload = seen.key.to_string(),
                        pod = &*pod.name,
                        verb,
                        what,
                        "changed a pod"
                    );
                    self.tell(seen, &action, pod, &what);
                }
                Outcome::Gone => drop(self.metrics.actions.get_or_create(&labels("gone")).inc()),
                Outcome::Refused(hold, why) => {
                    if hold == Hold::ResizeUnsupported && why.contains("no pods/resize") {
                        state.not_served = Some(Instant::now());
                    }
                    state.limits_only_grow |= hold == Hold::LimitsOnlyGrow;
                    state.core.refused(&action, hold, now);
                    let said = plan.workloads.entry(Arc::clone(&action.workload)).or_default();
                    said.acting = said.acting.saturating_sub(1);
                    *said.held.entry(hold).or_default() += 1;
                    self.metrics.actions.get_or_create(&labels(hold.word())).inc();
                    tracing::warn!(
                        workload = seen.key.to_string(),
                        pod = &*pod.name,
                        hold = hold.word(),
                        why,
                        "left a pod alone"
                    );
                }
            }
        }
    }

    /// Moves the targets of autoscalers whose workloads' requests have moved.
    async fn rescale(&self, seen: &[Seen], plan: &Plan) {
        for (workload, rescale) in &plan.rescales {
            let Some(seen) = seen.iter().find(|seen| seen.workload.key == *workload) else { continue };
            let key = ObjectKey {
                namespace: Arc::clone(&seen.recommendation.namespace),
                name: rescale.scaler.as_ref().into(),
            };
            let Some(found) = self.live.read(|index| index.autoscalers.get(&key).cloned()) else { continue };
            let writing = scaler::write(&self.connection, &key, &found, rescale);
            let Some(done) = self.lead.hold(writing).await else { return };
            let outcome = match done {
                Ok(true) => "accepted",
                Ok(false) => "gone",
                Err(error) => {
                    tracing::warn!(
                        error,
                        workload = seen.key.to_string(),
                        "cannot move an autoscaler's target"
                    );
                    "failed"
                }
            };
            let labels = ActionLabels { action: "rescale".to_owned(), outcome: outcome.to_owned() };
            self.metrics.actions.get_or_create(&labels).inc();
            if let (Some(note), "accepted") = (scaler::words(rescale), outcome) {
                tracing::info!(workload = seen.key.to_string(), note, "moved an autoscaler's target");
                let (events, key) = (Arc::clone(&self.events), seen.key.clone());
                tokio::spawn(async move { events.acted(&key, "Rescaled", false, note).await });
            }
        }
    }

    fn tell(&self, seen: &Seen, action: &Action, pod: &ObjectKey, what: &str) {
        let (events, key) = (Arc::clone(&self.events), seen.key.clone());
        let (reason, warning) = match action.deed {
            Deed::Resize(_) => ("Resized", false),
            Deed::PutBack(_) => ("RolledBack", true),
            Deed::EndBoost(_) => ("BoostEnded", false),
            Deed::Evict => ("EvictedForResize", false),
        };
        let note = format!("pod {}: {what}", pod.name);
        tokio::spawn(async move { events.acted(&key, reason, warning, note).await });
    }

    fn count(&self, plan: &Plan) {
        let mut held: HashMap<Hold, i64> = HashMap::new();
        for said in plan.workloads.values() {
            for (hold, count) in &said.held {
                *held.entry(*hold).or_default() += i64::try_from(*count).unwrap_or(i64::MAX);
            }
        }
        for hold in Hold::ALL {
            let labels = Reason { reason: hold.word().to_owned() };
            self.metrics.held_pods.get_or_create(&labels).set(held.get(&hold).copied().unwrap_or(0));
        }
    }

    /// Writes what is said of each workload, where that is another thing than stands there.
    async fn say(
        &self,
        seen: &[Seen],
        idle: &[(ObjectKey, Cause)],
        plan: &Plan,
        state: &mut State,
        now: Timestamp,
    ) {
        let mut due: Vec<Word> = Vec::new();
        {
            let index = self.live.index();
            for one in seen {
                let Some(said) = plan.workloads.get(&one.workload.key) else { continue };
                let Some(written) = index.recommendations.get(&one.recommendation) else { continue };
                let known = Known {
                    previous: state.core.before(&one.workload.key),
                    remembered: state.core.remembered(&one.workload.key),
                    problem: one.problem.as_deref(),
                    scaler: one.workload.scalers.first().map(|scaler| &*scaler.name),
                    resizer: one.resizer.as_deref(),
                    kubelet: one.kubelet.as_deref(),
                };
                let told = state::of(&one.workload, said, now);
                let acted = status::say(said, &told, &known, &written.acted, now);
                if acted != written.acted {
                    let news = status::is_held_anew(&acted, &written.acted).then(|| one.key.clone());
                    let (name, acts) = (one.recommendation.clone(), said.acting > 0);
                    due.push(Word { name, acted, news, acts });
                }
            }
            for (name, cause) in idle {
                let Some(written) = index.recommendations.get(name) else { continue };
                let acted = status::say_idle(cause, &written.acted, now);
                if acted != written.acted {
                    due.push(Word { name: name.clone(), acted, news: None, acts: false });
                }
            }
            // What is not acted on any more keeps no word of ours.
            let left = index
                .recommendations
                .iter()
                .filter(|(_, written)| written.mode == Mode::Recommend && written.acted != Acted::default());
            due.extend(left.map(|(name, _)| Word::none(name)));
        }
        state.said.retain(|_, (_, at)| at.elapsed() < ECHO);
        due.retain(|word| state.said.get(&word.name).is_none_or(|(known, _)| *known != word.acted));
        let due = say::in_turn(due, &mut state.said_last);
        let jobs = due.into_iter().map(|Word { name, acted, news, .. }| async move {
            let done = self.lead.hold(self.write(&name, &acted)).await;
            let done = done.unwrap_or_else(|| Err("another plumb may lead by now".to_owned()));
            if let (Some(workload), Some(held), Ok(())) = (&news, status::blocked(&acted), &done) {
                self.events.held(workload, &held.reason, &held.message).await;
            }
            (name, acted, done)
        });
        let mut done = stream::iter(jobs).buffer_unordered(AT_ONCE);
        while let Some((name, acted, done)) = done.next().await {
            match done {
                Ok(()) => drop(state.said.insert(name, (acted, Instant::now()))),
                Err(error) => tracing::warn!(error, "cannot say what was done"),
            }
        }
    }

    async fn write(&self, name: &ObjectKey, acted: &Acted) -> Result<(), String> {
        let api: Api<Recommendation> = Api::namespaced(self.connection.client.clone(), &name.namespace);
        let summary = Summary { state: acted.state.clone(), message: acted.message.clone() };
        // Whoever says nothing gives up what was its own.
        let status = match acted.state {
            Some(_) => json!({"summary": summary, "conditions": acted.conditions,
                              "previous": status::written(&acted.previous),
                              "newPods": acted.new_pods.map(status::told), "canary": acted.canary}),
            None => json!({}),
        };
        let object = json!({
            "apiVersion": format!("{GROUP}/v1alpha1"), "kind": "Recommendation",
            "metadata": {"name": name.name}, "status": status,
        });
        let params = PatchParams::apply(MANAGER).force();
        let asked = Request {
            verb: "patch",
            resource: "recommendations.plumb.dev/status",
            namespace: Some(name.namespace.to_string()),
        };
        let patch = Patch::Apply(&object);
        let answer = api.patch_status(&name.name, &params, &patch);
        fault::reach("before-status");
        let done = self.connection.ask(asked, answer).await;
        fault::reach("after-status");
        done.map(drop).map_err(|error| error.to_string())
    }
}

/// The pods that are being watched, of those that are there.
fn watched(seen: &[Seen], core: &Core) -> Vec<Observed> {
    let of = |seen: &Seen| {
        let watched = core.remembered(&seen.workload.key)?.watched.as_ref()?;
        let name = seen.pods.get(&watched.pod)?.clone();
        Some(Observed { uid: Uid::from_number(watched.pod), name, since: watched.since })
    };
    seen.iter().filter_map(of).collect()
}

/// Our part of a summary; what is not ours is not sent.
#[derive(serde::Serialize)]
struct Summary {
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
}
