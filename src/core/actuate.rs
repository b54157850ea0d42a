//! Recommendation + what is in force -> what to do now. Pure.
//!
//! Knows pods and workloads as [`facts`] only, and what the cluster said of them last: it never assumes that what was
//! asked for has been done.

pub mod bucket;
mod change;
mod class;
pub mod facts;
mod given;
mod guard;
mod newcomer;
mod pod;
mod ranges;
pub mod reason;
pub mod rescale;
mod rounds;
mod shares;
pub mod state;
pub mod step;
mod turn;
mod updater;

pub use change::{Change, NewSize};
pub use given::Given;
pub use guard::{Degraded, How, Remembered, Watched, pause_after};
pub use updater::{Action, Deed, Plan, Settings, Updater, WorkloadPlan};
