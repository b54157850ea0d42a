//! The cluster, reduced on arrival to the facts that plumb uses: pods, their containers' sizes, their workloads.
//!
//! May know Kubernetes and its API server. Decides nothing about sizes.

pub mod checks;
pub mod connect;
pub mod custom;
pub mod error;
mod feed;
pub mod finding;
pub mod index;
mod listed;
pub mod owners;
pub mod pods;
pub mod refused;
pub mod resize;
mod rows;
pub mod slim;
pub mod tasks;
pub mod templates;
pub mod vpa;
pub mod watch;

pub use connect::{Connection, ConnectionOptions};
pub use error::ClusterError;
pub use index::Index;
pub use tasks::Tasks;
pub use watch::Live;
