//! Builders of the objects that tests need, with a default for every field that a test does not set.
//!
//! Compiled for tests only: under `cfg(test)` and, for the tests in tests/cluster, by the Cargo feature `testing`.
//! A builder gives either `json()`, the object as a person applies it, or `object()`, the object as the API server
//! returns it, as any type that reads it: a whole Deployment, or one of the partial types of [`crate::cluster`].

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod builder;
mod deployment;
mod pod;
mod policy;
// The same file in both crates: a feature of the core would compile the core twice.
#[path = "core/testing/pure.rs"]
pub mod pure;
mod recommendation;
#[cfg(test)]
mod tests;
mod workload;

pub use builder::{Builder, NAMESPACE, kind, object, owner_reference};
pub use deployment::deployment;
pub use pod::{container, pod};
pub use policy::{cluster_policy, policy};
pub use pure::{NOW, series};
pub use recommendation::{recommendation, recommended, resources};
pub use workload::{Workload, container_name, object_key, workload};
