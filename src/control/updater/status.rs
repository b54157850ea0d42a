//! What the updater says of a workload: state, message and the conditions Applied, Blocked and Degraded. Pure.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff;

use super::kept;
use crate::actuate::facts::Before;
use crate::actuate::reason::Hold;
use crate::actuate::{Given, Remembered, WorkloadPlan};
use crate::api::{self, Amount, PreviousSize, ResourceAmounts, Resources};
use crate::cluster::index::{Acted, NewPods, Previous, Size, Sizes};
use crate::control::compose::{condition, dated};
use crate::policy::ContainerSize;
use crate::units::{Cores, Timestamp};

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
}

/// What is to be said, given what stands.
pub(super) fn say(plan: &WorkloadPlan, known: &Known<'_>, before: &Acted, now: Timestamp) -> Acted {
    let Known { previous: had, remembered, problem, scaler, resizer } = *known;
    let moves = scaler.map(|name| format!("; the target of HorizontalPodAutoscaler {name} moves with them"));
    let moves = moves.unwrap_or_default();
    let held: usize = plan.held.values().sum();
    // What a person has to do something about is told before what passes.
    let worst = plan.held.iter().max_by_key(|(hold, count)| (!hold.passes(), **count)).map(|(hold, _)| *hold);
    let blocked = worst.filter(|hold| !hold.passes());
    let held_words = worst.map(|hold| words(hold, plan, resizer));
    let applied = held == 0 && plan.acting == 0;
    let (state, message) = match (&plan.degraded, problem) {
        (Some(harm), _) => ("Degraded", Some(evidence(harm))),
        (None, Some(problem)) => ("Blocked", Some(problem.to_owned())),
        (None, None) if blocked.is_some() => ("Blocked", held_words.clone()),
        (None, None) if applied => ("Applied", None),
        (None, None) => ("Applying", held_words.clone()),
    };
    let mut conditions = vec![
        if applied {
            condition(
                "Applied",
                true,
                "AllPods",
                &format!("{} pods run with what is recommended{moves}", plan.steady),
            )
        } else {
            let left = plan.pods.saturating_sub(plan.steady);
            condition(
                "Applied",
                false,
                "Changing",
                &format!("{left} of {} pods have still to change{moves}", plan.pods),
            )
        },
        match (problem, blocked) {
            (Some(problem), _) => condition("Blocked", true, "PolicyInvalid", problem),
            (None, Some(hold)) => condition("Blocked", true, hold.word(), &words(hold, plan, resizer)),
            (None, None) => {
                condition("Blocked", false, "NothingHolds", "nothing keeps its pods from changing")
            }
        },
    ];
    if let Some(harm) = &plan.degraded {
        let reason = if harm.asked { "RolledBack" } else { "ChangeDidHarm" };
        conditions.push(condition("Degraded", true, reason, &evidence(harm)));
    }
    Acted {
        state: Some(state.to_owned()),
        message,
        conditions: conditions.into_iter().map(|made| dated(made, &before.conditions, now)).collect(),
        previous: had.map(previous).unwrap_or_default(),
        new_pods: Some(new_pods(plan, before.new_pods, now)),
        canary: remembered.and_then(kept::written).map(Box::new),
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

fn new_pods(plan: &WorkloadPlan, before: Option<NewPods>, now: Timestamp) -> NewPods {
    let given = match plan.given {
        Given::Target => api::Given::Target,
        Given::Previous => api::Given::Previous,
        Given::Nothing => api::Given::Nothing,
    };
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

fn words(hold: Hold, plan: &WorkloadPlan, resizer: Option<&str>) -> String {
    let count = plan.held.get(&hold).copied().unwrap_or(0);
    let by = resizer.filter(|_| hold == Hold::ResizedByOther);
    let by = by.map(|manager| format!(" (field manager {manager})")).unwrap_or_default();
    format!("{count} of {} pods: {hold}{by}", plan.pods)
}

fn evidence(harm: &crate::actuate::Degraded) -> String {
    let until = jiff::Timestamp::from_second(harm.until.0).unwrap_or_default();
    format!("{}; it was put back, and is tried again after {until}", harm.evidence)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(pods: usize, steady: usize, held: &[(Hold, usize)]) -> WorkloadPlan {
        WorkloadPlan { pods, steady, held: held.iter().copied().collect(), ..WorkloadPlan::default() }
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
        assert_eq!(said(&plan(4, 2, &[(Hold::Canary, 2)])).0, "Applying");
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
        };
        let degraded = WorkloadPlan { degraded: Some(harm), ..plan(2, 2, &[]) };
        let (state, message) = said(&degraded);
        assert_eq!(state, "Degraded");
        assert!(message.contains("OOM killed") && message.contains("1970-01-01T01:00:00Z"), "{message}");
        let known = Known { problem: Some("actuation.windows: no"), ..Known::default() };
        let wrong = say(&plan(1, 1, &[]), &known, &Acted::default(), Timestamp(0));
        assert_eq!(wrong.state.as_deref(), Some("Blocked"));
    }
}
