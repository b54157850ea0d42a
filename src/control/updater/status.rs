//! What the updater says of a workload: state, message and the conditions Applied, Blocked and Degraded. Pure; the state
//! is [`crate::actuate::state`]'s.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff;

use super::kept;
use crate::actuate::facts::Before;
use crate::actuate::reason::Hold;
use crate::actuate::state::{Cause, State};
use crate::actuate::{Given, Remembered, WorkloadPlan};
use crate::api::{self, Amount, PreviousSize, ResourceAmounts, Resources};
use crate::cluster::index::{Acted, NewPods, Previous, Size, Sizes};
use crate::control::compose::{condition, dated};
use crate::policy::ContainerSize;
use crate::units::{Cores, Timestamp, counted};

/// What else is known of a workload.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Known<'a> {
    /// What its pods had before.
    pub(super) previous: Option<&'a Before>,
    /// What of its first pod the next process is to know.
    pub(super) remembered: Option<&'a Remembered>,
    /// What of the policy cannot be honoured.
    pub(super) problem: Option<&'a str>,
    /// The autoscaler whose target moves with its requests.
    pub(super) scaler: Option<&'a str>,
    /// Another controller that resizes its pods.
    pub(super) resizer: Option<&'a str>,
    /// Why the kubelet can never do a resize that was asked for.
    pub(super) kubelet: Option<&'a str>,
}

/// What is to be said of a workload in that state, given what stands.
pub(super) fn say(
    plan: &WorkloadPlan,
    (state, cause): &(State, Cause),
    known: &Known<'_>,
    before: &Acted,
    now: Timestamp,
) -> Acted {
    let Known { previous: had, remembered, problem, scaler, .. } = *known;
    let problem = problem.filter(|_| plan.degraded.is_none());
    let state = if problem.is_some() { State::Blocked } else { *state };
    let message = match (&plan.degraded, problem, cause) {
        (Some(harm), _, _) => Some(evidence(harm)),
        (None, Some(problem), _) => Some(problem.to_owned()),
        (None, None, Cause::None) => None,
        (None, None, Cause::Hold(hold)) => Some(words(*hold, plan, known)),
        (None, None, other) => Some(other.to_string()),
    };
    // What holds a pod is told as Blocked also while something else is the first thing to say.
    let holds = plan.held.iter().filter(|(hold, _)| !hold.passes());
    let blocked = holds.max_by_key(|(_, count)| **count).map(|(hold, _)| *hold);
    let mut conditions = vec![
        applied(state, message.as_deref(), plan.pods, scaler),
        match (problem, blocked) {
            (Some(problem), _) => condition("Blocked", true, "PolicyInvalid", problem),
            (None, Some(hold)) => condition("Blocked", true, hold.word(), &words(hold, plan, known)),
            (None, None) => {
                condition("Blocked", false, "NothingHolds", "nothing keeps its pods from changing")
            }
        },
    ];
    if let Some(harm) = &plan.degraded {
        let reason = match (harm.asked, harm.new_pods) {
            (true, _) => "RolledBack",
            (false, None) => "ChangeDidHarm",
            (false, Some(_)) => "NewPodsFail",
        };
        conditions.push(condition("Degraded", true, reason, &evidence(harm)));
    }
    Acted {
        state: Some(state.word().to_owned()),
        message,
        conditions: conditions.into_iter().map(|made| dated(made, &before.conditions, now)).collect(),
        previous: had.map(previous).unwrap_or_default(),
        new_pods: Some(new_pods(plan, before.new_pods, now)),
        canary: remembered.and_then(kept::written).map(Box::new),
    }
}

/// What is to be said of a workload that is not acted on, as nothing is known of its needs or it has no pod.
pub(super) fn say_idle(cause: &Cause, before: &Acted, now: Timestamp) -> Acted {
    let state = if *cause == Cause::NoAdvice { State::Learning } else { State::Waiting };
    let message = cause.to_string();
    let conditions = vec![
        applied(state, Some(&message), 0, None),
        condition("Blocked", false, "NothingHolds", "nothing keeps its pods from changing"),
    ];
    Acted {
        state: Some(state.word().to_owned()),
        message: Some(message),
        conditions: conditions.into_iter().map(|made| dated(made, &before.conditions, now)).collect(),
        // Admission sizes the first pod that comes.
        new_pods: before.new_pods.or(Some(NewPods { given: api::Given::Target, since: now })),
        ..before.clone()
    }
}

/// The condition Applied: true in that state alone, and else with the state as its reason.
fn applied(state: State, message: Option<&str>, pods: usize, scaler: Option<&str>) -> Condition {
    let moves = scaler.map(|name| format!("; the target of HorizontalPodAutoscaler {name} moves with them"));
    let moves = moves.unwrap_or_default();
    if state == State::Applied {
        let verb = if pods == 1 { "runs" } else { "run" };
        let text = format!("{} {verb} with requests inside the band{moves}", counted(pods, "pod"));
        condition("Applied", true, "AllPods", &text)
    } else {
        condition("Applied", false, state.word(), &format!("{}{moves}", message.unwrap_or("see state")))
    }
}

/// Its condition Blocked, where it is true.
pub(super) fn blocked(acted: &Acted) -> Option<&Condition> {
    acted.conditions.iter().find(|condition| condition.type_ == "Blocked" && condition.status == "True")
}

/// Something keeps its pods as they are that did not before.
pub(super) fn is_held_anew(acted: &Acted, before: &Acted) -> bool {
    let reason = |acted| blocked(acted).map(|condition| condition.reason.as_str());
    reason(acted).is_some() && reason(acted) != reason(before)
}

/// Sizes of new pods, as the API server holds it.
pub(super) fn given(given: Given) -> api::Given {
    match given {
        Given::Target => api::Given::Target,
        Given::Previous => api::Given::Previous,
        Given::Nothing => api::Given::Nothing,
    }
}

/// The same as it is decided by.
pub(super) fn given_of(given: api::Given) -> Given {
    match given {
        api::Given::Target => Given::Target,
        api::Given::Previous => Given::Previous,
        api::Given::Nothing => Given::Nothing,
    }
}

fn new_pods(plan: &WorkloadPlan, before: Option<NewPods>, now: Timestamp) -> NewPods {
    let given = given(plan.given);
    before.filter(|before| before.given == given).unwrap_or(NewPods { given, since: now })
}

fn previous(kept: &Before) -> Vec<Previous> {
    let meant = |name: &str| {
        let found = kept.meant.iter().find(|(other, _)| **other == *name);
        found.map(|(_, size)| sizes(size)).unwrap_or_default()
    };
    let had = kept.had.iter();
    let one = |(name, had): &(std::sync::Arc<str>, ContainerSize)| Previous {
        name: std::sync::Arc::clone(name),
        had: sizes(had),
        meant: meant(name),
    };
    had.map(one).collect()
}

fn sizes(size: &ContainerSize) -> Sizes {
    let cpu = |cores: Option<Cores>| cores.map(Cores::to_milli);
    Sizes {
        requests: Size { milli_cpu: cpu(size.cpu_request), memory: size.memory_request },
        limits: Size { milli_cpu: cpu(size.cpu_limit), memory: size.memory_limit },
    }
}

/// What new pods are given, as the API server holds it.
pub(super) fn told(new_pods: NewPods) -> api::NewPods {
    let since = jiff::Timestamp::from_second(new_pods.since.0).unwrap_or_default();
    api::NewPods { given: new_pods.given, since: Time(since) }
}

/// What pods had before, as the API server holds it.
pub(super) fn written(previous: &[Previous]) -> Vec<PreviousSize> {
    let one = |previous: &Previous| PreviousSize {
        name: previous.name.to_string(),
        resources: amounts(&previous.had),
        target: amounts(&previous.meant),
    };
    previous.iter().map(one).collect()
}

/// A size as the API server holds it.
pub(super) fn resources(size: &ContainerSize) -> Resources {
    amounts(&sizes(size))
}

fn amounts(sizes: &Sizes) -> Resources {
    let of = |size: &Size| ResourceAmounts {
        cpu: size.cpu().map(Amount::from),
        memory: size.memory.map(Amount::from),
    };
    Resources { requests: of(&sizes.requests), limits: of(&sizes.limits) }
}

fn words(hold: Hold, plan: &WorkloadPlan, known: &Known<'_>) -> String {
    let count = plan.held.get(&hold).copied().unwrap_or(0);
    let by = known.resizer.filter(|_| hold == Hold::ResizedByOther);
    let by = by.map(|manager| format!(" (field manager {manager})")).unwrap_or_default();
    let says = known.kubelet.map_or_else(String::new, |text| format!("; the kubelet says: {text}"));
    format!("{count} of {}: {hold}{by}{says}", counted(plan.pods, "pod"))
}

fn evidence(harm: &crate::actuate::Degraded) -> String {
    let until = jiff::Timestamp::from_second(harm.until.0).unwrap_or_default();
    let what = match harm.new_pods {
        None => "it was put back, and is tried again after",
        Some(Given::Nothing) => "new pods have what their template says until",
        Some(_) => "new pods have what pods had before until",
    };
    format!("{}; {what} {until}", harm.evidence)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actuate::facts::Workload;
    use crate::actuate::state;
    use crate::model::Confidence;
    use crate::policy::{Amounts, LimitRules, Recommendation};
    use crate::testing::pure::pod;

    fn plan(pods: usize, steady: usize, held: &[(Hold, usize)]) -> WorkloadPlan {
        WorkloadPlan { pods, steady, held: held.iter().copied().collect(), ..WorkloadPlan::default() }
    }

    fn nothing() -> Recommendation {
        Recommendation {
            target: ContainerSize::default(),
            lower: ContainerSize::default(),
            upper: ContainerSize::default(),
            cpu_hold: None,
            memory_hold: None,
            limits: LimitRules::default(),
            most: Amounts::default(),
            young: false,
            confidence: Confidence::High,
        }
    }

    /// As of a workload whose pods run, and have what they should.
    fn told(plan: &WorkloadPlan) -> (State, Cause) {
        let pods = (0..plan.pods).map(|id| pod(id as u128, ContainerSize::default())).collect();
        let advice = vec![("other".into(), nothing())];
        state::of(&Workload { pods, advice, ..Workload::default() }, plan, Timestamp(1000))
    }

    fn say(plan: &WorkloadPlan, known: &Known<'_>, before: &Acted, now: Timestamp) -> Acted {
        super::say(plan, &told(plan), known, before, now)
    }

    fn said(plan: &WorkloadPlan) -> (String, String) {
        let acted = say(plan, &Known::default(), &Acted::default(), Timestamp(1000));
        (acted.state.unwrap(), acted.message.unwrap_or_default())
    }

    #[test]
    fn what_a_person_must_do_something_about_is_told_first() {
        let both = plan(4, 1, &[(Hold::Canary, 2), (Hold::DisruptionBudget, 1)]);
        let (state, message) = said(&both);
        assert_eq!(state, "Blocked");
        assert!(message.starts_with("1 of 4 pods: a PodDisruptionBudget allows no disruption"), "{message}");
        assert_eq!(said(&plan(4, 2, &[(Hold::Canary, 2)])).0, "Waiting");
        assert_eq!(said(&plan(4, 4, &[])), ("Applied".to_owned(), String::new()));
    }

    #[test]
    fn who_resizes_pods_beside_plumb_is_named() {
        let known = Known { resizer: Some("kruise-manager"), ..Known::default() };
        let held = plan(2, 1, &[(Hold::ResizedByOther, 1)]);
        let message = say(&held, &known, &Acted::default(), Timestamp(0)).message.unwrap();
        assert!(message.ends_with("put a change back (field manager kruise-manager)"), "{message}");
    }

    #[test]
    fn the_same_is_said_in_the_same_words_with_the_same_time() {
        let held = plan(2, 1, &[(Hold::NodeFull, 1)]);
        let first = say(&held, &Known::default(), &Acted::default(), Timestamp(1000));
        assert_eq!(say(&held, &Known::default(), &first, Timestamp(2000)), first);
        let blocked = first.conditions.iter().find(|c| c.type_ == "Blocked").unwrap();
        assert_eq!((blocked.status.as_str(), blocked.reason.as_str()), ("True", "NodeFull"));
        assert!(is_held_anew(&first, &Acted::default()) && !is_held_anew(&first, &first));
        let other = plan(2, 1, &[(Hold::MinReplicas, 1)]);
        let other = say(&other, &Known::default(), &first, Timestamp(2000));
        let none = say(&plan(2, 2, &[]), &Known::default(), &other, Timestamp(3000));
        assert!(is_held_anew(&other, &first) && !is_held_anew(&none, &other));
    }

    #[test]
    fn since_when_new_pods_are_given_something_is_kept_until_it_changes() {
        let first = say(&plan(1, 1, &[]), &Known::default(), &Acted::default(), Timestamp(1000));
        let is = |said: &Acted| said.new_pods.map(|new| (new.given, new.since.0)).unwrap();
        assert_eq!(is(&first), (api::Given::Target, 1000));
        let other = WorkloadPlan { given: Given::Nothing, ..plan(1, 1, &[]) };
        let owned = say(&other, &Known::default(), &first, Timestamp(2000));
        assert_eq!(is(&owned), (api::Given::Nothing, 2000));
        assert_eq!(is(&say(&other, &Known::default(), &owned, Timestamp(3000))), (api::Given::Nothing, 2000));
        assert_eq!(
            is(&say(&plan(1, 1, &[]), &Known::default(), &owned, Timestamp(4000))),
            (api::Given::Target, 4000)
        );
    }

    #[test]
    fn harm_and_a_wrong_policy_are_named() {
        let harm = crate::actuate::Degraded {
            evidence: "a container was OOM killed".to_owned(),
            at: Timestamp(0),
            until: Timestamp(3600),
            times: 1,
            asked: false,
            killed: false,
            new_pods: None,
        };
        let degraded = WorkloadPlan { degraded: Some(harm), ..plan(2, 2, &[]) };
        let (state, message) = said(&degraded);
        assert_eq!(state, "Degraded");
        assert!(message.contains("OOM killed") && message.contains("1970-01-01T01:00:00Z"), "{message}");
        let known = Known { problem: Some("actuation.windows: no"), ..Known::default() };
        let wrong = say(&plan(1, 1, &[]), &known, &Acted::default(), Timestamp(0));
        assert_eq!(wrong.state.as_deref(), Some("Blocked"));
    }

    #[test]
    fn what_the_kubelet_can_never_do_is_told_in_its_words() {
        let swap = "In-place resize of containers with swap is not supported.";
        let known = Known { kubelet: Some(swap), ..Known::default() };
        let held = say(&plan(1, 0, &[(Hold::MinReplicas, 1)]), &known, &Acted::default(), Timestamp(0));
        assert_eq!(
            held.message.unwrap(),
            format!(
                "1 of 1 pod: it has fewer replicas than minReplicas, so none is evicted; the kubelet says: {swap}"
            )
        );
    }

    #[test]
    fn one_pod_runs_and_several_run_and_a_workload_without_pods_is_not_applied() {
        let message = |acted: &Acted| acted.conditions.first().unwrap().message.clone();
        let of = |pods| say(&plan(pods, pods, &[]), &Known::default(), &Acted::default(), Timestamp(0));
        assert_eq!(message(&of(1)), "1 pod runs with requests inside the band");
        assert_eq!(message(&of(3)), "3 pods run with requests inside the band");
        let idle = say_idle(&Cause::NoPod, &of(3), Timestamp(0));
        assert_eq!((idle.state.as_deref(), message(&idle).as_str()), (Some("Waiting"), "it has no pod"));
        assert!(idle.conditions.iter().all(|condition| condition.status == "False"));
        let new = say_idle(&Cause::NoPod, &Acted::default(), Timestamp(5)).new_pods;
        assert_eq!(new, Some(NewPods { given: api::Given::Target, since: Timestamp(5) }));
        assert_eq!(say_idle(&Cause::NoAdvice, &of(3), Timestamp(0)).state.as_deref(), Some("Learning"));
    }
}
