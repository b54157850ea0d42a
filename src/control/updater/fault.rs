//! Ends the process at a step that the environment names: for the tests of what a crash there leaves behind. Only builds
//! with the feature `testing` do that.
//!
//! `PLUMB_FAULT=STEP`, STEP being one of `STEPS`. Read once; where it is not set, a step costs one comparison.

#[cfg(feature = "testing")]
use std::sync::OnceLock;

/// The steps of a resize, of an eviction, and of what is said of them.
#[cfg(feature = "testing")]
const STEPS: [&str; 6] =
    ["before-resize", "after-resize", "before-evict", "after-evict", "before-status", "after-status"];

/// This step is reached.
#[cfg(not(feature = "testing"))]
pub(super) fn reach(_step: &str) {}

/// This step is reached.
#[cfg(feature = "testing")]
pub(super) fn reach(step: &str) {
    static FAULT: OnceLock<Option<&'static str>> = OnceLock::new();
    let fault = FAULT.get_or_init(|| {
        let wanted = std::env::var("PLUMB_FAULT").ok()?;
        let known = STEPS.into_iter().find(|step| *step == wanted);
        match known {
            Some(step) => tracing::warn!(step, "PLUMB_FAULT is set, which is for tests: ends at that step"),
            None => tracing::warn!(wanted, "PLUMB_FAULT names no step, and does nothing"),
        }
        known
    });
    if fault.is_some_and(|fault| fault == step) {
        std::process::abort();
    }
}
