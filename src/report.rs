//! What people read: the same data as a table, JSON or a page.
//!
//! Pure: values in, text out.

pub mod backtest;
pub mod demo;
pub mod page;
pub mod saved;
pub mod scan;
mod table;

pub use table::Table;
