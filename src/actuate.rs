//! Recommendation + what is in force -> what to do now. Pure.

pub mod step;
