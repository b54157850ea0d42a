//! What one process of `plumb run` does, of all that plumb does.

use clap::ValueEnum;

/// A part of plumb's work that can have a process of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Role {
    /// Learns from usage and OOM kills, and writes Recommendations
    Recommender,
    /// Resizes the pods that policies in mode Auto select, in place or by eviction
    Updater,
    /// Answers the API server's reviews of new pods, and so gives them their sizes. Any number of processes can
    Webhook,
}

impl Role {
    /// What a process does that is told nothing else: everything.
    pub(super) const ALL: [Self; 3] = [Self::Recommender, Self::Updater, Self::Webhook];

    /// Roles in words, for the log.
    pub(super) fn names(roles: &[Self]) -> String {
        let names = roles.iter().filter_map(ValueEnum::to_possible_value);
        names.map(|name| name.get_name().to_owned()).collect::<Vec<_>>().join(",")
    }
}
