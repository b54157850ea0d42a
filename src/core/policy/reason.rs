//! The chain of reasons behind a recommendation: figures, put into words only on demand.

use std::fmt;

use super::bound::Bound;
use crate::model::{Because, Confidence};
use crate::units::{Bytes, Cores};

/// What a reason is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Resource {
    /// CPU request.
    Cpu,
    /// CPU limit.
    CpuLimit,
    /// Memory request.
    Memory,
    /// Memory limit.
    MemoryLimit,
}

impl Resource {
    fn is_cpu(self) -> bool {
        matches!(self, Self::Cpu | Self::CpuLimit)
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Cpu => "CPU request",
            Self::CpuLimit => "CPU limit",
            Self::Memory => "memory request",
            Self::MemoryLimit => "memory limit",
        })
    }
}

/// One step of the chain. Amounts are in cores or bytes, by the resource.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reason {
    /// How much was seen.
    Seen {
        /// Samples.
        samples: u32,
        /// Hours that they cover.
        hours: f32,
        /// How far that carries.
        confidence: Confidence,
    },
    /// The body of the usage asked for this.
    Body {
        /// Of what.
        resource: Resource,
        /// How it came about.
        because: Because,
        /// The result.
        value: f64,
    },
    /// The tail of the memory asked for this.
    Tail {
        /// Of what.
        resource: Resource,
        /// The highest peak, slowly forgotten.
        peak: f64,
        /// Standard deviation of the logarithm of the six-hour peaks.
        deviation: f32,
        /// The result.
        value: f64,
    },
    /// OOM kills asked for this.
    Killed {
        /// Of what.
        resource: Resource,
        /// How many.
        kills: u32,
        /// The result.
        value: f64,
    },
    /// The objective or a limit rule ties it to another figure.
    Tied {
        /// Of what.
        resource: Resource,
        /// In words.
        rule: &'static str,
        /// The result.
        value: f64,
    },
    /// Raised to the least allowed.
    Raised {
        /// Of what.
        resource: Resource,
        /// From what.
        from: f64,
        /// The result.
        value: f64,
    },
    /// Lowered to the most allowed.
    Capped {
        /// Of what.
        resource: Resource,
        /// From what.
        from: f64,
        /// The result.
        value: f64,
    },
    /// Memory does not shrink under this policy.
    NoShrink {
        /// Of what.
        resource: Resource,
        /// From what.
        from: f64,
        /// The result: what is in force.
        value: f64,
    },
    /// A young series takes no more than that away.
    Young {
        /// Of what.
        resource: Resource,
        /// From what.
        from: f64,
        /// The result.
        value: f64,
        /// Hours of history that it still lacks.
        lacks: f32,
    },
    /// The limit follows the request, which is raised so that the limit is large enough.
    RaisedForLimit {
        /// Of what.
        resource: Resource,
        /// From what.
        from: f64,
        /// The result.
        value: f64,
        /// The limit that is needed.
        limit: f64,
    },
    /// The policy keeps a limit that is below the need.
    KeptBelowNeed {
        /// Of what.
        resource: Resource,
        /// The limit that is needed.
        need: f64,
        /// The limit that stays.
        value: f64,
    },
    /// Rounded up.
    Rounded {
        /// Of what.
        resource: Resource,
        /// The result.
        value: f64,
    },
    /// Moved to what something outside of the policy allows.
    Bound {
        /// Of what.
        resource: Resource,
        /// From what.
        from: f64,
        /// The result.
        value: f64,
        /// By what.
        bound: Bound,
    },
    /// It was changed often, so that a change must be worth more.
    Damped {
        /// Of what.
        resource: Resource,
        /// How many times as much as one that comes seldom.
        factor: f32,
    },
    /// The pod is Guaranteed: other rules for limits than the policy's hold.
    Guaranteed,
}

fn amount(resource: Resource, value: f64) -> String {
    if resource.is_cpu() { Cores(value).to_string() } else { Bytes::from_f64(value).to_string() }
}

impl fmt::Display for Reason {
    /// One sentence without a full stop.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Seen { samples, hours, confidence } => {
                let (span, unit) = if hours < 48.0 { (hours, "hours") } else { (hours / 24.0, "days") };
                write!(f, "{samples} samples over {span:.0} {unit}: {} confidence", confidence.word())
            }
            Self::Body { resource, because, value } => {
                let base = amount(resource, because.base);
                let (unused, short) = (because.unused * 100.0, because.short * 100.0);
                write!(
                    f,
                    "{resource} {}: {} {base} x {:.2}, ",
                    amount(resource, value),
                    because.level,
                    because.margin
                )?;
                write!(f, "the cheapest so far, leaving {unused:.0} % unused and {short:.2} % short")
            }
            Self::Tail { resource, peak, deviation, value } => {
                let (value, peak) = (amount(resource, value), amount(resource, peak));
                write!(
                    f,
                    "{resource} {value}: the tail above the peak of {peak}, whose logarithm varies by {deviation:.2}"
                )
            }
            Self::Killed { resource, kills, value } => {
                write!(f, "{resource} {}: learned from {kills} OOM kills", amount(resource, value))
            }
            Self::Tied { resource, rule, value } => {
                write!(f, "{resource} {}: {rule}", amount(resource, value))
            }
            Self::Raised { resource, from, value } => {
                let (from, value) = (amount(resource, from), amount(resource, value));
                write!(f, "{resource} raised from {from} to {value}, the least allowed")
            }
            Self::Capped { resource, from, value } => {
                let (from, value) = (amount(resource, from), amount(resource, value));
                write!(f, "{resource} lowered from {from} to {value}, the most allowed")
            }
            Self::NoShrink { resource, from, value } => {
                let (from, value) = (amount(resource, from), amount(resource, value));
                write!(f, "{resource} stays at {value} instead of {from}: the policy does not shrink memory")
            }
            Self::Young { resource, from, value, lacks } => {
                let (from, value) = (amount(resource, from), amount(resource, value));
                write!(
                    f,
                    "{resource} {value} instead of {from}: the series is young, and lacks {lacks:.0} hours of the policy's history.learn"
                )
            }
            Self::RaisedForLimit { resource, from, value, limit } => {
                let (from, value) = (amount(resource, from), amount(resource, value));
                let limit = amount(Resource::MemoryLimit, limit);
                write!(
                    f,
                    "{resource} raised from {from} to {value}, so that the limit that follows it reaches {limit}"
                )
            }
            Self::KeptBelowNeed { resource, need, value } => {
                let (need, value) = (amount(resource, need), amount(resource, value));
                write!(f, "{resource} stays at {value} although {need} is needed: the policy keeps it")
            }
            Self::Bound { resource, from, value, bound } => {
                let (from, value) = (amount(resource, from), amount(resource, value));
                write!(f, "{resource} moved from {from} to {value}, {bound}")
            }
            Self::Damped { resource, factor } => {
                write!(f, "{resource} changes often: a change must be worth {factor:.1} times as much")
            }
            Self::Guaranteed => f.write_str("limits equal requests, so that the pod stays Guaranteed"),
            Self::Rounded { resource, value } => {
                write!(f, "{resource} rounded up to {}", amount(resource, value))
            }
        }
    }
}
