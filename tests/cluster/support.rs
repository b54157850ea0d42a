//! What the cluster tests stand on: real programs, started on this machine and stopped again.
//!
//! From the bottom up: where things are ([`paths`]), processes that never outlive a run ([`process`], [`leftovers`]),
//! the parts of a cluster ([`control_plane`], [`node`], [`services`], [`metrics_server`], [`prometheus`], [`kwok`], [`vpa`]), what a test
//! asks of them ([`cluster`], [`pods`], [`wait`]), the tests and their run ([`registry`], [`lanes`], [`suite`]), and a cluster that stays ([`keep`]).

#[macro_use]
pub mod registry;

pub mod admission_fleet;
pub mod backfill;
pub mod certificates;
pub mod cgroups;
pub mod cluster;
pub mod conform;
pub mod control_plane;
pub mod custom_kinds;
pub mod faults;
pub mod keep;
pub mod kwok;
pub mod lanes;
pub mod leftovers;
pub mod listing_speed;
pub mod measured;
pub mod metrics_server;
pub mod node;
pub mod older;
pub mod paths;
pub mod plumb;
pub mod pods;
pub mod process;
pub mod prometheus;
pub mod recommended;
pub mod roles;
pub mod services;
pub mod stand_in;
pub mod suite;
pub mod tls;
pub mod transcript;
pub mod vpa;
pub mod wait;

pub use cluster::Context;
pub use pods::Load;
pub use registry::Need;
pub use suite::{Suite, soak};
pub use wait::{later_second, wait_for};
