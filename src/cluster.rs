//! The cluster, reduced on arrival to the facts that plumb uses: pods, their containers' sizes, their workloads.
//!
//! May know Kubernetes and its API server. Decides nothing about sizes.

pub mod checks;
pub mod connect;
pub mod error;
pub mod finding;
pub mod owners;
pub mod pods;
pub mod resize;

pub use connect::{Connection, ConnectionOptions};
pub use error::ClusterError;
