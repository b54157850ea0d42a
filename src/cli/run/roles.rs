//! What one process of `plumb run` does, of all that plumb does.

use clap::ValueEnum;

/// A part of plumb's work that can have a process of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Role {
    /// Learns from usage and OOM kills, and writes Recommendations; changes no workload
    Recommender,
    /// Changes running pods that policies in mode Auto select: resizes them in place, or evicts them
    Updater,
    /// Changes new pods that policies in mode Auto select: answers the API server's reviews of them, and so gives them
    /// their sizes. Any number of processes can
    Webhook,
}

impl Role {
    /// Roles in words, for the log.
    pub(super) fn names(roles: &[Self]) -> String {
        let names = roles.iter().filter_map(ValueEnum::to_possible_value);
        names.map(|name| name.get_name().to_owned()).collect::<Vec<_>>().join(",")
    }
}
