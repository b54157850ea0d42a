//! What a backtest asks of a sizer: the one interface of plumb's own model and of the peers it is compared with.

use crate::policy::ContainerSize;
use crate::units::{Bytes, Cores, Timestamp};

/// What a sizer sees of one sample. Never more than it could have seen live.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Observation {
    /// When; strictly later than the container's previous one.
    pub at: Timestamp,
    /// CPU over the interval, where known.
    pub cpu: Option<Cores>,
    /// Memory at the instant, where known. Where it passed the limit in force this is the limit, never the true value.
    pub memory: Option<Bytes>,
    /// The limit at which the container was OOM-killed in this sample.
    pub oom: Option<Bytes>,
    /// Whether a decision may be made now. Warm-up is over or ends with the next sample, and the last chance to decide is at least
    /// one decision interval ago, or there was an OOM kill. A sizer that is not asked still learns.
    pub may_decide: bool,
}

/// A size of one container: what a sizer decides.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Size {
    /// CPU request; `None` while no CPU sample has been seen.
    pub cpu_request: Option<Cores>,
    /// Memory request; `None` while no memory sample has been seen.
    pub memory_request: Option<Bytes>,
    /// Memory limit; `None`: no limit, nothing is killed. An arm that ties both gives the request.
    pub memory_limit: Option<Bytes>,
}

/// A sizer under test. One value serves one container at a time.
pub trait Arm {
    /// Forgets everything: the next sample is the first of another container.
    fn reset(&mut self);

    /// Tells what people set before the sizer came (see [`template`](super::template::template)), after each reset.
    fn template(&mut self, _stated: &ContainerSize) {}

    /// Learns from one sample and, where it may, answers with the size that holds from the next sample on. `None`
    /// leaves what is in force. An answer while `may_decide` is false is ignored.
    fn step(&mut self, seen: &Observation) -> Option<Size>;
}
