//! What the updater says of a workload: state, message and the conditions Applied, Blocked and Degraded. Pure.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff;

use crate::actuate::WorkloadPlan;
use crate::actuate::reason::Hold;
use crate::cluster::index::Acted;
use crate::control::compose::dated;
use crate::units::Timestamp;

/// What is to be said, given what stands. `problem`: what of the policy cannot be honoured.
pub(super) fn say(plan: &WorkloadPlan, problem: Option<&str>, before: &Acted, now: Timestamp) -> Acted {
    let held: usize = plan.held.values().sum();
    // What a person has to do something about is told before what passes.
    let worst = plan.held.iter().max_by_key(|(hold, count)| (!hold.passes(), **count)).map(|(hold, _)| *hold);
    let blocked = worst.filter(|hold| !hold.passes());
    let held_words = worst.map(|hold| words(hold, plan));
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
                &format!("{} pods run with what is recommended", plan.steady),
            )
        } else {
            let left = plan.pods.saturating_sub(plan.steady);
            condition(
                "Applied",
                false,
                "Changing",
                &format!("{left} of {} pods have still to change", plan.pods),
            )
        },
        match (problem, blocked) {
            (Some(problem), _) => condition("Blocked", true, "PolicyInvalid", problem),
            (None, Some(hold)) => condition("Blocked", true, hold.word(), &words(hold, plan)),
            (None, None) => {
                condition("Blocked", false, "NothingHolds", "nothing keeps its pods from changing")
            }
        },
    ];
    if let Some(harm) = &plan.degraded {
        conditions.push(condition("Degraded", true, "ChangeDidHarm", &evidence(harm)));
    }
    Acted {
        state: Some(state.to_owned()),
        message,
        conditions: conditions.into_iter().map(|made| dated(made, &before.conditions, now)).collect(),
    }
}

fn words(hold: Hold, plan: &WorkloadPlan) -> String {
    let count = plan.held.get(&hold).copied().unwrap_or(0);
    format!("{count} of {} pods: {hold}", plan.pods)
}

fn evidence(harm: &crate::actuate::Degraded) -> String {
    let until = jiff::Timestamp::from_second(harm.until.0).unwrap_or_default();
    format!("{}; it was put back, and is tried again after {until}", harm.evidence)
}

fn condition(kind: &str, status: bool, reason: &str, message: &str) -> Condition {
    Condition {
        type_: kind.to_owned(),
        status: if status { "True" } else { "False" }.to_owned(),
        reason: reason.to_owned(),
        message: message.chars().take(1024).collect(),
        last_transition_time: Time(jiff::Timestamp::UNIX_EPOCH),
        observed_generation: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(pods: usize, steady: usize, held: &[(Hold, usize)]) -> WorkloadPlan {
        WorkloadPlan { pods, steady, held: held.iter().copied().collect(), ..WorkloadPlan::default() }
    }

    fn said(plan: &WorkloadPlan) -> (String, String) {
        let acted = say(plan, None, &Acted::default(), Timestamp(1000));
        (acted.state.unwrap(), acted.message.unwrap_or_default())
    }

    #[test]
    fn what_a_person_must_do_something_about_is_told_first() {
        let both = plan(4, 1, &[(Hold::Canary, 2), (Hold::DisruptionBudget, 1)]);
        let (state, message) = said(&both);
        assert_eq!(state, "Blocked");
        assert_eq!(message, "1 of 4 pods: a PodDisruptionBudget allows no disruption");
        assert_eq!(said(&plan(4, 2, &[(Hold::Canary, 2)])).0, "Applying");
        assert_eq!(said(&plan(4, 4, &[])), ("Applied".to_owned(), String::new()));
    }

    #[test]
    fn the_same_is_said_in_the_same_words_with_the_same_time() {
        let held = plan(2, 1, &[(Hold::NodeFull, 1)]);
        let first = say(&held, None, &Acted::default(), Timestamp(1000));
        assert_eq!(say(&held, None, &first, Timestamp(2000)), first);
        let blocked = first.conditions.iter().find(|c| c.type_ == "Blocked").unwrap();
        assert_eq!((blocked.status.as_str(), blocked.reason.as_str()), ("True", "NodeFull"));
    }

    #[test]
    fn harm_and_a_wrong_policy_are_named() {
        let harm = crate::actuate::Degraded {
            evidence: "a container was OOM killed".to_owned(),
            at: Timestamp(0),
            until: Timestamp(3600),
            times: 1,
        };
        let degraded = WorkloadPlan { degraded: Some(harm), ..plan(2, 2, &[]) };
        let (state, message) = said(&degraded);
        assert_eq!(state, "Degraded");
        assert!(message.contains("OOM killed") && message.contains("1970-01-01T01:00:00Z"), "{message}");
        let wrong = say(&plan(1, 1, &[]), Some("actuation.windows: no"), &Acted::default(), Timestamp(0));
        assert_eq!(wrong.state.as_deref(), Some("Blocked"));
    }
}
