//! plumb keeps every container in a Kubernetes cluster at the size that it really needs.
//!
//! The map, from what decides to what acts; tests/architecture.rs holds the direction.
//! - [`units`]: cores, bytes, time; Kubernetes quantities in and out
//! - [`model`]: what was seen -> what is needed
//! - [`policy`]: need + rules -> recommendation
//! - [`actuate`]: recommendation + what is in force -> what to do now
//! - [`admit`]: pod + recommendation -> what it is given when it is created
//! - [`replay`]: simulated time over a trace, and its scores
//! - [`api`]: the custom resources, as types
//! - [`cluster`]: the cluster, reduced to the facts that plumb uses
//! - [`sources`]: samples and events in
//! - [`control`]: the loops that run in a cluster
//! - [`export`]: what is recommended, into people's own files
//! - [`import`]: what other autoscalers know, as our own
//! - [`report`]: what people read
//! - [`cli`]: the command line, one file per verb
//! - [`clock`]: the one place that reads a clock
//! - `testing`: builders for tests, in no released binary

pub mod api;
pub mod cli;
pub mod clock;
pub mod cluster;
pub mod control;
pub mod import;
pub mod report;
pub mod sources;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use plumb_core::{actuate, admit, export, model, policy, replay, units};
