//! The admission webhook: new pods are given their sizes, from memory, and are admitted whatever happens here.
//!
//! Runs in every process of its role; none leads. Nothing is asked of the API server while a pod waits. Whatever is in
//! doubt admits the pod unchanged, and is counted by its reason.
//! - [`review`]: an admission review's JSON, in and out
//! - [`lookup`]: from a pod to what is recommended for it and what its namespace allows
//! - [`desk`]: from a review to its answer
//! - [`server`]: TLS and HTTP, with a bound on everything
//! - [`certificates`], [`rotation`], [`keeper`]: whom the API server trusts, and how that changes
//! - [`registration`]: which pods the API server asks about
//! - [`owner`]: with whom what is written for the whole cluster goes
//! - [`policy`]: the same without a webhook, by the API server's own means

pub mod certificates;
pub mod connections;
pub mod desk;
pub mod keeper;
pub mod lookup;
pub mod owner;
pub mod policy;
pub mod registration;
pub mod review;
pub mod rotation;
pub mod server;
#[cfg(test)]
mod tests;
