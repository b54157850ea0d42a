//! Scenes: a cluster, its policies, its usage and its faults, small enough to be read and to be shrunk.

mod fleet;
pub mod literal;
mod random;

use literal::{Literal, choice, plain};

pub use random::Theme;

pub use crate::actuate::facts::Method;
pub use crate::policy::{CpuLimitRule, MemoryLimitRule, Objective};

plain! {
    /// A cluster and everything that happens to it.
    Scene {
        /// Seed of all chance in the run.
        seed: u64 = 0,
        /// Simulated hours.
        hours: u32 = 24,
        /// Hours at the end in which usage is flat and no fault begins; 0 where the end is like the rest.
        calm_hours: u32 = 0,
        /// The kubelet has the mend of kubernetes#138760: a restarted container gets the limit that was asked for.
        mended_kubelet: bool = false,
        /// Node pools.
        pools: Vec<Pool> = vec![Pool::default()],
        /// Namespaces.
        namespaces: Vec<Namespace> = vec![Namespace::default()],
        /// Workloads.
        workloads: Vec<Workload> = Vec::new(),
        /// Faults and events.
        faults: Vec<Fault> = Vec::new(),
    }
}

plain! {
    /// Nodes of one shape. A workload runs on one pool only, as if by selector and taint.
    Pool {
        /// Number of nodes.
        nodes: u32 = 2,
        /// Allocatable CPU of each, in thousandths of a core.
        milli: u64 = 8000,
        /// Allocatable memory of each, in mebibytes.
        mib: u64 = 32_768,
    }
}

plain! {
    /// A namespace and what it allows.
    Namespace {
        /// ResourceQuota on CPU requests, in thousandths of a core.
        quota_milli: Option<u64> = None,
        /// ResourceQuota on memory requests, in mebibytes.
        quota_mib: Option<u64> = None,
        /// ResourceQuota on memory limits, in mebibytes.
        quota_limits_mib: Option<u64> = None,
        /// LimitRange: least memory of a container, in mebibytes.
        least_mib: Option<u64> = None,
        /// LimitRange: most memory of a container, in mebibytes.
        most_mib: Option<u64> = None,
        /// LimitRange: most CPU of a container, in thousandths of a core.
        most_milli: Option<u64> = None,
        /// LimitRange: a memory limit is at most this many times its request.
        ratio: Option<u64> = None,
        /// ValidatingAdmissionPolicy: least CPU request of a container of a new pod, in thousandths of a core.
        policy_milli: Option<u64> = None,
    }
}

plain! {
    /// A workload and its policy.
    Workload {
        /// Kind of its controller.
        kind: Kind = Kind::Deployment,
        /// Index of its namespace.
        namespace: usize = 0,
        /// Index of the pool that its pods run on.
        pool: usize = 0,
        /// Replicas; of a DaemonSet the nodes count instead.
        replicas: u32 = 3,
        /// Containers.
        containers: Vec<Container> = vec![Container::default()],
        /// Policy that sizes it.
        policy: Policy = Policy::default(),
        /// PodDisruptionBudget: least available pods.
        min_available: Option<u32> = None,
        /// HorizontalPodAutoscaler on CPU: target utilisation in percent.
        hpa_percent: Option<u32> = None,
        /// Most replicas of the HorizontalPodAutoscaler.
        hpa_most: u32 = 6,
        /// The policy moves the autoscaler's target in place of holding the resource.
        hpa_moves: bool = false,
        /// Another operator resizes the pods back to the template each so many minutes.
        operator_minutes: Option<u32> = None,
        /// GitOps puts the replicas of the template back each so many minutes.
        gitops_minutes: Option<u32> = None,
        /// StatefulSet: pods below this ordinal keep their revision.
        partition: u32 = 0,
        /// StatefulSet, DaemonSet: a new revision is taken only by pods that were deleted.
        on_delete: bool = false,
    }
}

choice! {
    /// Kinds of controllers.
    Kind {
        /// Deployment with surge of one pod.
        Deployment,
        /// StatefulSet.
        StatefulSet,
        /// DaemonSet.
        DaemonSet,
        /// Job of pods that end after some hours.
        Job,
        /// CronJob each hour.
        CronJob,
        /// Pods that nothing makes again.
        Bare,
    }
}

plain! {
    /// A container of a template.
    Container {
        /// Its part in the pod.
        part: Part = Part::Main,
        /// CPU request, in thousandths of a core; 0: none.
        milli: u64 = 500,
        /// CPU limit, in thousandths of a core.
        limit_milli: Option<u64> = None,
        /// Memory request, in mebibytes; 0: none.
        mib: u64 = 512,
        /// Memory limit, in mebibytes.
        limit_mib: Option<u64> = Some(1024),
        /// Course of its usage.
        usage: Usage = Usage::Steady,
        /// CPU when it is busy, in thousandths of a core.
        busy_milli: u64 = 200,
        /// Memory when it is full, in mebibytes.
        full_mib: u64 = 300,
        /// Seconds that it takes to start.
        boots: u32 = 20,
        /// CPU request below which its liveness probe ends it before it is up, in thousandths of a core.
        boot_milli: u64 = 0,
        /// Memory limit below which it ends by itself before it is up, in mebibytes.
        boot_mib: u64 = 0,
        /// A resize of its CPU restarts it.
        cpu_restarts: bool = false,
        /// A resize of its memory restarts it.
        memory_restarts: bool = false,
    }
}

choice! {
    /// Parts of a container in its pod.
    Part {
        /// One of the pod's containers.
        Main,
        /// Runs beside the containers and starts before them.
        Sidecar,
        /// Runs to its end before the containers start.
        Init,
    }
}

choice! {
    /// Courses of usage.
    Usage {
        /// Flat but for noise.
        Steady,
        /// Follows its users by day and week.
        Daily,
        /// Works for an hour or two each night.
        Batch,
        /// Quiet, with short bursts.
        Spiky,
        /// Heap that grows in steps.
        Jvm,
        /// Needs a quarter more each week.
        Growing,
        /// Memory fills, then stays full.
        Caching,
        /// A release makes it need half as much again after some days.
        Shift,
        /// Nobody calls it.
        Idle,
        /// Grows without end from each start, in mebibytes an hour.
        Leak(u32),
        /// Takes this share of its memory limit, in percent, as a JVM with MaxRAMPercentage does.
        FollowsLimit(u32),
        /// Follows the recorded container of that index, from its beginning again at its end.
        Trace(u32),
        /// Steady, and this many percent of its full memory for five minutes about once in three hours.
        Burst(u32),
    }
}

plain! {
    /// Fields of a policy.
    Policy {
        /// The policy lets plumb act; else it only advises.
        acts: bool = true,
        /// Objective.
        objective: Objective = Objective::Balanced,
        /// Rule of the CPU limit.
        cpu_limit: CpuLimitRule = CpuLimitRule::Keep,
        /// Rule of the memory limit.
        memory_limit: MemoryLimitRule = MemoryLimitRule::Tail,
        /// A container without a memory limit gets one.
        add_limit: bool = false,
        /// Memory may shrink.
        shrink: bool = true,
        /// minAllowed of CPU, in thousandths of a core.
        least_milli: u64 = 5,
        /// maxAllowed of CPU.
        most_milli: Option<u64> = None,
        /// minAllowed of memory, in mebibytes.
        least_mib: u64 = 16,
        /// maxAllowed of memory.
        most_mib: Option<u64> = None,
        /// Method of actuation.
        method: Method = Method::InPlaceOrEvict,
        /// minReplicas.
        min_replicas: usize = 2,
        /// maxUnavailable in percent.
        max_unavailable: usize = 25,
        /// Largest shrink of one step, in percent.
        max_shrink: u32 = 50,
        /// Cooldown, in seconds.
        cooldown: u32 = 600,
        /// guard.observe, in seconds.
        observe: u32 = 300,
        /// band.minChangePercent.
        min_change: Option<u32> = None,
        /// history.learn, in hours.
        learn_hours: u32 = 24,
        /// Hour of the day at which a daily window of three hours opens.
        window: Option<u32> = None,
    }
}

choice! {
    /// Faults and events. Times are minutes since the start.
    Fault {
        /// The updater sees nothing new.
        StaleWatch {
            /// Begin.
            at: u32,
            /// Length.
            minutes: u32,
        },
        /// Each second round of the updater sees what the one before saw.
        LateWatch {
            /// Begin.
            at: u32,
            /// Length.
            minutes: u32,
        },
        /// A share of the updater's writes is never done, with an error.
        LostWrites {
            /// Begin.
            at: u32,
            /// Length.
            minutes: u32,
            /// Share in percent.
            percent: u32,
        },
        /// A share of the updater's writes is done, and the answer is an error.
        LostAnswers {
            /// Begin.
            at: u32,
            /// Length.
            minutes: u32,
            /// Share in percent.
            percent: u32,
        },
        /// The updater ends at a step of its next change: before it, after it, or after its status is written.
        UpdaterRestart {
            /// Begin.
            at: u32,
            /// Step: 0, 1 or 2.
            step: u32,
        },
        /// The recommender ends and starts with its last checkpoint.
        RecommenderRestart {
            /// Begin.
            at: u32,
        },
        /// A second updater acts beside the first.
        TwoLeaders {
            /// Begin.
            at: u32,
            /// Length.
            minutes: u32,
        },
        /// Admission does not answer, and pods are created as their template says.
        AdmissionDown {
            /// Begin.
            at: u32,
            /// Length.
            minutes: u32,
        },
        /// No samples arrive.
        NoMetrics {
            /// Begin.
            at: u32,
            /// Length.
            minutes: u32,
        },
        /// One sample of a workload is false.
        FalseSample {
            /// Begin.
            at: u32,
            /// Index of the workload.
            workload: usize,
            /// Factor on the true value.
            times: u32,
        },
        /// Each OOM kill is told three times.
        RepeatedKills {
            /// Begin.
            at: u32,
            /// Length.
            minutes: u32,
        },
        /// A node is cordoned and drained.
        Drain {
            /// Begin.
            at: u32,
            /// Index of the node.
            node: usize,
            /// Length.
            minutes: u32,
        },
        /// Other pods fill a node's requests.
        FullNode {
            /// Begin.
            at: u32,
            /// Index of the node.
            node: usize,
            /// Length.
            minutes: u32,
        },
        /// A new revision whose memory use is this share of the first one's.
        Release {
            /// Begin.
            at: u32,
            /// Index of the workload.
            workload: usize,
            /// Memory in percent.
            percent: u32,
        },
        /// Somebody sets the replicas.
        Scale {
            /// Begin.
            at: u32,
            /// Index of the workload.
            workload: usize,
            /// Replicas.
            replicas: u32,
        },
    }
}

impl Fault {
    /// Begin, in minutes.
    #[must_use]
    pub fn at(&self) -> u32 {
        self.span().0
    }

    /// Begin and length, in minutes; what has no length lasts one minute.
    #[must_use]
    pub fn span(&self) -> (u32, u32) {
        match *self {
            Self::StaleWatch { at, minutes }
            | Self::LateWatch { at, minutes }
            | Self::LostWrites { at, minutes, .. }
            | Self::LostAnswers { at, minutes, .. }
            | Self::TwoLeaders { at, minutes }
            | Self::AdmissionDown { at, minutes }
            | Self::NoMetrics { at, minutes }
            | Self::RepeatedKills { at, minutes }
            | Self::Drain { at, minutes, .. }
            | Self::FullNode { at, minutes, .. } => (at, minutes),
            Self::UpdaterRestart { at, .. }
            | Self::RecommenderRestart { at }
            | Self::FalseSample { at, .. }
            | Self::Release { at, .. }
            | Self::Scale { at, .. } => (at, 1),
        }
    }
}

impl Scene {
    /// Returns the scene as a Rust expression.
    #[must_use]
    pub fn text(&self) -> String {
        self.literal()
    }
}
