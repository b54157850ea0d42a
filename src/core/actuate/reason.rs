//! Why a pod is left as it is: one word for machines, and a line for people.

use std::fmt;

/// Why a pod that should change is left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hold {
    /// Everything is paused.
    AllPaused,
    /// The pod, its workload, its namespace or its policy is.
    Paused,
    /// plumb has only just started.
    WarmUp,
    /// No window of the policy is open.
    WindowClosed,
    /// It was changed not long ago.
    Cooldown,
    /// The workload is being rolled out.
    Rollout,
    /// The workload's first pod is being watched.
    Canary,
    /// The last change did harm, and was put back.
    RolledBack,
    /// As many pods as may be are on their way already.
    TooManyAtOnce,
    /// Its resize is under way.
    ResizeInProgress,
    /// Its resize waits for room on the node.
    NodeFull,
    /// Its node can never hold it.
    NodeTooSmall,
    /// No node that it may use has room for it at its new size.
    NoRoom,
    /// The API server lowers no memory limit of a running container.
    LimitsOnlyGrow,
    /// The kubelet cannot lower a memory limit below what is used.
    BelowUsage,
    /// It is killed for its memory although it has the most that it may have.
    Leaking,
    /// Its quality of service class would change.
    QosClass,
    /// The API server takes no such sizes.
    Invalid,
    /// It states nothing, and a request would change its quality of service class.
    BestEffort,
    /// It states resources as a whole, beside those of its containers.
    PodResources,
    /// The policy lets it change only when it is created.
    OnCreateOnly,
    /// It cannot be resized in place, and the policy allows nothing else.
    InPlaceOnly,
    /// A VerticalPodAutoscaler that acts sizes it.
    OwnedByVpa,
    /// Another controller resizes its pods.
    ResizedByOther,
    /// A HorizontalPodAutoscaler scales by this resource.
    HorizontalPodAutoscaler,
    /// The target of its HorizontalPodAutoscaler has to move first.
    Rescaling,
    /// The node or the API server cannot resize pods.
    ResizeUnsupported,
    /// Admission refuses: a quota, a limit range or a policy of the cluster.
    AdmissionRefuses,
    /// We lack the right.
    Forbidden,
    /// Nothing would make another one in its place.
    Unmanaged,
    /// It is bound to its node.
    BoundToNode,
    /// It carries a mark that forbids eviction.
    SafeToEvictFalse,
    /// It has fewer fellows than the policy asks for.
    MinReplicas,
    /// Too many of its fellows are not available.
    MaxUnavailable,
    /// A PodDisruptionBudget allows no disruption.
    DisruptionBudget,
    /// Admission does not give new pods their sizes.
    AdmissionSilent,
    /// Admission is never asked about its new pods.
    LeftOut,
    /// A container has ended, and the kubelet starts it again at once.
    Restarting,
    /// It was replaced a short time ago, and its successor has to wait.
    ReplacedBefore,
    /// A new pod would be given the same size.
    NoGain,
    /// More changes are due than may be made at once.
    RateLimit,
    /// The API server gave no answer, or asked to wait.
    ApiServer,
}

impl Hold {
    /// All of them.
    pub const ALL: [Self; 42] = [
        Self::AllPaused,
        Self::Paused,
        Self::WarmUp,
        Self::WindowClosed,
        Self::Cooldown,
        Self::Rollout,
        Self::Canary,
        Self::RolledBack,
        Self::TooManyAtOnce,
        Self::ResizeInProgress,
        Self::NodeFull,
        Self::NodeTooSmall,
        Self::NoRoom,
        Self::LimitsOnlyGrow,
        Self::BelowUsage,
        Self::Leaking,
        Self::QosClass,
        Self::Invalid,
        Self::BestEffort,
        Self::PodResources,
        Self::OnCreateOnly,
        Self::InPlaceOnly,
        Self::OwnedByVpa,
        Self::ResizedByOther,
        Self::HorizontalPodAutoscaler,
        Self::Rescaling,
        Self::ResizeUnsupported,
        Self::AdmissionRefuses,
        Self::Forbidden,
        Self::Unmanaged,
        Self::BoundToNode,
        Self::SafeToEvictFalse,
        Self::MinReplicas,
        Self::MaxUnavailable,
        Self::DisruptionBudget,
        Self::AdmissionSilent,
        Self::LeftOut,
        Self::Restarting,
        Self::ReplacedBefore,
        Self::NoGain,
        Self::RateLimit,
        Self::ApiServer,
    ];

    /// One word, as conditions and metrics have it.
    #[must_use]
    pub fn word(self) -> &'static str {
        self.texts().0
    }

    /// It passes by itself within minutes, and nobody has to do anything.
    #[must_use]
    pub fn passes(self) -> bool {
        matches!(
            self,
            Self::WarmUp
                | Self::Cooldown
                | Self::Canary
                | Self::TooManyAtOnce
                | Self::ResizeInProgress
                | Self::Rollout
                | Self::Rescaling
                | Self::Restarting
                | Self::ReplacedBefore
                | Self::RateLimit
                | Self::ApiServer
        )
    }

    fn texts(self) -> (&'static str, &'static str) {
        match self {
            Self::AllPaused => ("AllPaused", "plumb is paused; `plumb resume` ends that"),
            Self::Paused => {
                ("Paused", "plumb.dev/pause is set on the pod, its workload, namespace or policy")
            }
            Self::WarmUp => ("WarmUp", "the updater has just started and makes only urgent changes yet"),
            Self::WindowClosed => ("WindowClosed", "no maintenance window of the policy is open"),
            Self::Cooldown => ("Cooldown", "it was changed a short time ago"),
            Self::Rollout => ("Rollout", "the workload is being rolled out"),
            Self::Canary => ("Canary", "the first pod is being watched before the others follow"),
            Self::RolledBack => ("RolledBack", "the last change did harm and was put back"),
            Self::TooManyAtOnce => ("TooManyAtOnce", "maxUnavailable pods are already being changed"),
            Self::ResizeInProgress => ("ResizeInProgress", "a resize is in progress"),
            Self::NodeFull => ("NodeFull", "its node has no room for the new size now"),
            Self::NodeTooSmall => ("NodeTooSmall", "its node can never hold the new size"),
            Self::NoRoom => ("NoRoom", "no node that it may use has room for the new size"),
            Self::LimitsOnlyGrow => {
                ("LimitsOnlyGrow", "this version of Kubernetes lowers no memory limit of a running container")
            }
            Self::BelowUsage => {
                ("BelowUsage", "more memory is in use than the new limit allows; tried again later")
            }
            Self::Leaking => (
                "Leaking",
                "OOMKilled at the most memory that it may have: it leaks, or maxAllowed or its node is too small",
            ),
            Self::QosClass => ("QosClass", "the pod's quality of service class would change"),
            Self::Invalid => ("Invalid", "the API server rejects the new size; the updater's log says why"),
            Self::BestEffort => {
                ("BestEffort", "the pod states no resources; only a new pod can be given requests")
            }
            Self::PodResources => {
                ("PodResources", "the pod states resources as a whole, which plumb does not size")
            }
            Self::OnCreateOnly => {
                ("OnCreateOnly", "the policy's method is OnCreate: only new pods get the new size")
            }
            Self::InPlaceOnly => {
                ("InPlaceOnly", "only a new pod can get the new size, and the policy's method is InPlace")
            }
            Self::OwnedByVpa => {
                ("OwnedByVpa", "a VerticalPodAutoscaler sizes it: set its updateMode to Off, or delete it")
            }
            Self::ResizedByOther => {
                ("ResizedByOther", "another controller resizes its pods, and would put a change back")
            }
            Self::HorizontalPodAutoscaler => {
                ("HorizontalPodAutoscaler", "a HorizontalPodAutoscaler scales by this resource")
            }
            Self::Rescaling => ("Rescaling", "the target of its HorizontalPodAutoscaler moves first"),
            Self::ResizeUnsupported => {
                ("ResizeUnsupported", "the node or the API server does not support in-place resize")
            }
            Self::AdmissionRefuses => (
                "AdmissionRefuses",
                "a ResourceQuota, a LimitRange or an admission policy refuses the new size",
            ),
            Self::Forbidden => ("Forbidden", "plumb lacks a right; docs/security.md lists them"),
            Self::Unmanaged => ("Unmanaged", "no controller would replace the pod"),
            Self::BoundToNode => ("BoundToNode", "it is bound to its node and is not evicted"),
            Self::SafeToEvictFalse => {
                ("SafeToEvictFalse", "the annotation safe-to-evict of the cluster autoscaler is false on it")
            }
            Self::MinReplicas => {
                ("MinReplicas", "it has fewer replicas than minReplicas, so none is evicted")
            }
            Self::MaxUnavailable => ("MaxUnavailable", "maxUnavailable pods are already unavailable"),
            Self::DisruptionBudget => (
                "DisruptionBudget",
                "a PodDisruptionBudget allows no disruption; unhealthyPodEvictionPolicy: AlwaysAllow lets pods go that are not Ready",
            ),
            Self::AdmissionSilent => (
                "AdmissionSilent",
                "new pods are created without the recommended sizes; check that the webhook is running",
            ),
            Self::LeftOut => (
                "LeftOut",
                "the webhook is never asked about pods of kube-system and of plumb: they are resized in place only",
            ),
            Self::Restarting => ("Restarting", "the kubelet restarts a container, which is resized then"),
            Self::ReplacedBefore => (
                "ReplacedBefore",
                "its workload's pods were replaced not long ago; the pause doubles each time",
            ),
            Self::NoGain => ("NoGain", "a new pod would be given the same size"),
            Self::RateLimit => ("RateLimit", "more changes are due than the rate allows at once"),
            Self::ApiServer => ("ApiServer", "the API server gave no answer, or asked to wait"),
        }
    }
}

impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.texts().1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_word_and_a_line_of_its_own() {
        let words: std::collections::HashSet<_> = Hold::ALL.iter().map(|hold| hold.word()).collect();
        let lines: std::collections::HashSet<_> = Hold::ALL.iter().map(ToString::to_string).collect();
        assert_eq!((words.len(), lines.len()), (Hold::ALL.len(), Hold::ALL.len()));
    }

    #[test]
    fn the_table_of_the_docs_is_made_of_them() {
        let docs = include_str!("../../../docs/updater.md");
        for hold in Hold::ALL {
            let passes = if hold.passes() { " yes " } else { "  " };
            let row = format!("| `{}` | {hold} |{passes}|", hold.word());
            assert!(docs.contains(&row), "docs/updater.md lacks {row}");
        }
        for state in super::super::state::State::ALL {
            let row = format!("| `{}` | {} |", state.word(), state.meaning());
            assert!(docs.contains(&row), "docs/updater.md lacks {row}");
        }
    }
}
