//! plumb keeps every container in a Kubernetes cluster at the size that it really needs.
//!
//! The map, from what decides (pure: time passed in, no input or output) to what acts:
//! - [`api`]: the custom resources, as types
//! - [`units`]: cores, bytes, time; Kubernetes quantities in and out
//! - [`replay`]: simulated time over a trace, and its scores

pub mod api;
pub mod cli;
pub mod cluster;
pub mod replay;
pub mod report;
pub mod sources;
pub mod units;
