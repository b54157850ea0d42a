//! What new pods of a workload are to be given: not only who runs must be left alone.

use super::facts::{Before, Workload};
use super::guard::Degraded;
use crate::units::Timestamp;

/// Which sizes a new pod is given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Given {
    /// The targets.
    #[default]
    Target,
    /// What pods had before the last change.
    Previous,
    /// None.
    Nothing,
}

impl Given {
    /// While a change is rolled back, a release or a scale-up must not bring back what did harm. What was killed for its
    /// memory is the exception: what was before may be too small, and the kill has taught better.
    pub(super) fn of(
        workload: &Workload,
        harm: Option<&Degraded>,
        before: Option<&Before>,
        now: Timestamp,
    ) -> Self {
        if workload.rules.sized_by_other().is_some() {
            return Self::Nothing;
        }
        let Some(harm) = harm.filter(|harm| now < harm.until) else { return Self::Target };
        if let Some(given) = harm.new_pods {
            // Of what only new pods were given, the template says what was before.
            return if before.is_some() { given } else { Self::Nothing };
        }
        if before.is_none() {
            return Self::Target;
        }
        let killed_since = || workload.staying().any(|pod| pod.oom_killed() >= Some(harm.at));
        if harm.asked || !(harm.killed || killed_since()) { Self::Previous } else { Self::Target }
    }
}
