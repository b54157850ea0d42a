//! What was seen -> what is needed. Pure: no clock, no input or output, nothing of Kubernetes; time is an argument.
//!
//! A sample enters a [`Series`] (one container of one workload, all replicas pooled). Out comes an [`Estimate`]: for
//! each resource the request that the body of the usage asks for, and for memory the limit that its tail asks for.
//! Several simple rules propose a level; each keeps the running cost of what it would have done; the cheapest speaks
//! (Rzadca et al., "Autopilot", EuroSys 2020, section 3.2). docs/decisions/0002-estimate.md says why it is made so.

mod bounds;
mod candidates;
mod costs;
mod demand;
mod estimate;
mod fleet;
mod half;
mod histogram;
mod hold;
mod level;
mod number;
mod prices;
mod prior;
mod recent;
mod replica;
mod ride;
mod series;
mod snapshot;
mod startup;
mod tail;
mod tuning;

pub use bounds::{Confidence, quantile_interval};
pub use demand::Demand;
pub use estimate::{Because, Estimate, LimitNeed, Need};
pub use fleet::{Fleet, SeriesId};
pub use histogram::{Histogram, MAX_BUCKETS};
pub use hold::{Hold, HoldRule};
pub use level::Level;
pub use prices::{LimitPrices, Prices, RequestPrices};
pub use prior::Prior;
pub use recent::Recent;
pub use replica::{Most, Observed, Replica, Usage};
pub use series::{Refused, Series};
pub use snapshot::{
    SnapshotError, VERSION as SNAPSHOT_VERSION, read as read_snapshot, write as write_snapshot,
};
pub use startup::Startup;
pub use tail::Tail;
pub use tuning::{BASES, Damping, MARGINS, Model, Tuning};
