//! What other autoscalers know, as plumb's own: objects of the Vertical Pod Autoscaler as policies, and its
//! checkpoints as series to begin with.
//!
//! Computes only: objects in, policies, series and notes out. What has no equal is named, never dropped silently.

mod convert;
mod history;
#[cfg(test)]
mod tests;
mod vpa;

pub use convert::{Imported, Note, convert};
pub use history::{BadHistory, Seen, series};
pub use vpa::{Checkpoint, CheckpointStatus, Histogram, Object, Vpa, VpaSpec, read};
