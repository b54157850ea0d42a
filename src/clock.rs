//! The one place that reads a clock. Everything that decides is given the time.

use crate::units::Timestamp;

/// Now, by the system's clock.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the place that the lint points to")]
pub fn now() -> Timestamp {
    Timestamp(chrono::Utc::now().timestamp())
}
