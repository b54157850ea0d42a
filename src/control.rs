//! The loops that run in a cluster, and what they share with single commands: short files that wire what decides to
//! the world.
//!
//! May talk to the world.

pub mod checkpoint;
pub mod history;
