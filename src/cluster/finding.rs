//! What a check of the surroundings found: one line each.

use std::fmt;

use serde::Serialize;

/// How something stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// As it should be.
    Ok,
    /// Not there, and not needed for what was asked for.
    Absent,
    /// Not there.
    Missing,
    /// There, but not as it should be.
    Wrong,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "ok",
            Self::Absent => "absent",
            Self::Missing => "missing",
            Self::Wrong => "wrong",
        })
    }
}

/// One thing that was checked.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// What was checked.
    pub check: String,
    /// How it stands.
    pub state: State,
    /// What was seen.
    pub detail: String,
    /// What to do about it; empty where nothing is to be done.
    pub fix: String,
}

impl Finding {
    /// As it should be.
    #[must_use]
    pub fn ok(check: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { check: check.into(), state: State::Ok, detail: detail.into(), fix: String::new() }
    }

    /// Not there: missing where it is `needed`, else absent.
    #[must_use]
    pub fn not_there(
        check: impl Into<String>,
        needed: bool,
        detail: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        let state = if needed { State::Missing } else { State::Absent };
        Self { check: check.into(), state, detail: detail.into(), fix: fix.into() }
    }

    /// There, but not as it should be.
    #[must_use]
    pub fn wrong(check: impl Into<String>, detail: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { check: check.into(), state: State::Wrong, detail: detail.into(), fix: fix.into() }
    }

    /// Whether what was asked for cannot work so.
    #[must_use]
    pub fn fails(&self) -> bool {
        matches!(self.state, State::Missing | State::Wrong)
    }
}
