//! What one process of `plumb run` does, of all that plumb does.

use clap::ValueEnum;

/// A part of plumb's work that can have a process of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Role {
    /// Learns from usage and OOM kills, and writes Recommendations
    Recommender,
    /// Resizes the pods that policies in mode Auto select, in place or by eviction
    Updater,
}

impl Role {
    /// What a process does that is told nothing else: everything.
    pub(super) const ALL: [Self; 2] = [Self::Recommender, Self::Updater];

    /// The name of the Lease by which one of several processes has this role.
    pub(super) fn lease(self) -> &'static str {
        match self {
            Self::Recommender => "plumb-recommender",
            Self::Updater => "plumb-updater",
        }
    }

    /// Roles in words, for the log.
    pub(super) fn names(roles: &[Self]) -> String {
        let names = roles.iter().filter_map(ValueEnum::to_possible_value);
        names.map(|name| name.get_name().to_owned()).collect::<Vec<_>>().join(",")
    }
}
