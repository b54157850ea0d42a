//! Builders of the core's values for its own tests, with a default for every field that a test does not set.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

pub mod pure;

pub use pure::{NOW, series};
