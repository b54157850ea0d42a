//! Simulated time over a trace, through the very same model, policy and steps that run live, and its scores.
//!
//! Pure but for reading trace files. Rules: "How a backtest is scored" in docs/backtest.md.

pub mod arm;
pub mod arms;
pub mod engine;
pub mod generate;
pub mod node;
pub mod outcome;
pub mod score;
pub mod simulate;
pub mod template;
#[cfg(test)]
mod tests;
pub mod trace;
