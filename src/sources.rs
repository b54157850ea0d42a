//! Samples and events in: what containers use and what happens to them, from wherever it is known.
//!
//! May talk to the world. Decides nothing about sizes.

pub mod metrics_server;
