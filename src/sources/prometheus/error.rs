//! What can go wrong between us and Prometheus, in words. No secret is in any of them.

/// What can go wrong between us and Prometheus.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PrometheusError {
    /// The address is none.
    #[error("{url:?} is no address of Prometheus: {detail}; write it like http://prometheus.monitoring:9090")]
    BadUrl {
        /// What was given, without a password.
        url: String,
        /// What is wrong with it.
        detail: String,
    },
    /// A file with a credential or a certificate cannot be used.
    #[error("cannot use {what} for Prometheus from {path}: {detail}")]
    BadFile {
        /// What should be in it.
        what: &'static str,
        /// The file.
        path: String,
        /// What is wrong with it.
        detail: String,
    },
    /// A flag's value cannot be used.
    #[error("{flag} cannot be used: {detail}")]
    BadFlag {
        /// The flag.
        flag: &'static str,
        /// What is wrong with its value.
        detail: String,
    },
    /// No answer.
    #[error("no answer from Prometheus at {url}: {detail}; check that it runs and its address")]
    Unreachable {
        /// The address.
        url: String,
        /// What the network said.
        detail: String,
    },
    /// An answer that did not come in time.
    #[error(
        "Prometheus at {url} did not answer {query:?} within {seconds} s; ask for less, or allow more time with --prometheus-timeout"
    )]
    TimedOut {
        /// The address.
        url: String,
        /// The query.
        query: String,
        /// How long we waited.
        seconds: u64,
    },
    /// An error for an answer.
    #[error("Prometheus at {url} answered HTTP {status} to {query:?}: {detail}")]
    Refused {
        /// The address.
        url: String,
        /// The query.
        query: String,
        /// HTTP status.
        status: u16,
        /// What it said.
        detail: String,
    },
    /// An answer that is none.
    #[error("Prometheus at {url} answered {query:?} with something else than it should: {detail}")]
    Garbled {
        /// The address.
        url: String,
        /// The query.
        query: String,
        /// What is wrong with it.
        detail: String,
    },
    /// More than one query may hold.
    #[error(
        "{series} containers at once are more than queries of {max_samples} samples can hold; \
         name one namespace with -n, or raise --prometheus-max-samples"
    )]
    TooMany {
        /// How many containers there are at once.
        series: u64,
        /// What a query may hold.
        max_samples: u64,
    },
}

impl PrometheusError {
    /// Whether asking the same again may well succeed.
    #[must_use]
    pub(super) fn passes(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::TimedOut { .. } => true,
            Self::Refused { status, .. } => *status >= 500 || *status == 429,
            _ => false,
        }
    }

    /// Whether a smaller question may well be answered.
    #[must_use]
    pub(super) fn is_too_large(&self) -> bool {
        match self {
            Self::TimedOut { .. } | Self::Garbled { .. } => true,
            // Prometheus says 422 for too many samples, 503 for its own timeout; a proxy before it says 502 or 504.
            Self::Refused { status, .. } => matches!(status, 413 | 422 | 502..=504),
            _ => false,
        }
    }
}
