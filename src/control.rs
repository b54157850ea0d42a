//! The loops that run in a cluster: short files that wire what decides to the world.
//!
//! May talk to the world. What decides in here ([`select`], [`naming`]) is pure.

pub mod advice;
pub mod book;
pub mod checkpoint;
pub mod compose;
pub mod dashboard;
pub mod events;
pub mod explain;
pub mod history;
pub mod http;
pub mod keeper;
pub mod kills;
pub mod lease;
pub mod metrics;
pub mod naming;
pub mod pause;
pub mod plan;
pub mod publish;
pub mod recommender;
pub mod rules;
pub mod select;
pub mod updater;
pub mod webhook;
mod window;
pub mod writer;
