//! What people read: the same data as a table, JSON or a page.
//!
//! Pure: values in, text out.

pub mod backtest;
pub mod dashboard;
pub mod demo;
pub mod explain;
pub mod findings;
pub mod page;
pub mod prices;
pub mod reference;
pub mod saved;
pub mod scan;
pub mod simulate;
pub mod sizes;
mod table;

pub use table::Table;
