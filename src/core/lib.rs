//! The pure core of plumb: computes recommendations and changes from arguments alone, time included.
//!
//! The crate depends on neither Kubernetes, nor a runtime, nor a network. The crate `plumb` re-exports its modules under
//! the same names. From what was seen to what changes:
//! - [`units`]: cores, bytes, time; Kubernetes quantities in and out
//! - [`model`]: what was seen -> what is needed
//! - [`policy`]: need + rules -> recommendation
//! - [`actuate`]: recommendation + what is in force -> what to do now
//! - [`admit`]: pod + recommendation -> what it is given when it is created
//! - [`replay`]: simulated time over a trace, and its scores
//! - [`export`]: what is recommended, into people's own files
//! - `testing`: builders for tests, in no released binary

pub mod actuate;
pub mod admit;
pub mod export;
pub mod model;
pub mod policy;
pub mod replay;
#[cfg(test)]
pub mod testing;
pub mod units;
