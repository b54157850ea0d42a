//! What can go wrong between us and the API server, in words that say what failed, on what, and what to do.

use std::error::Error as StdError;
use std::fmt;

/// A request to the API server that failed, or could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// There is no configuration that says where the cluster is.
    #[error(
        "no cluster to talk to: {detail}; set KUBECONFIG or pass --kubeconfig FILE (inside a pod, mount its service account)"
    )]
    NoConfig {
        /// What was looked for in vain.
        detail: String,
    },
    /// There is a configuration, but it cannot be used.
    #[error("the kubeconfig cannot be used: {detail}; `kubectl config view` shows it")]
    BadConfig {
        /// What is wrong with it.
        detail: String,
    },
    /// No answer.
    #[error(
        "cannot reach the API server at {server}: {detail}; check that it runs, and the kubeconfig's address and certificate authority"
    )]
    Unreachable {
        /// The address that was tried.
        server: String,
        /// What the network said.
        detail: String,
    },
    /// No answer in time.
    #[error(
        "the API server at {server} did not answer within {seconds} s when asked to {request}; try again, or look at its load"
    )]
    TimedOut {
        /// The address that was asked.
        server: String,
        /// For what.
        request: Request,
        /// How long we waited.
        seconds: u64,
    },
    /// The server does not know who we are.
    #[error(
        "the API server at {server} does not accept our credentials ({detail}); renew them, or check the kubeconfig's user"
    )]
    Unauthorized {
        /// The address that was asked.
        server: String,
        /// What the server said.
        detail: String,
    },
    /// The server knows who we are and refuses.
    #[error("not allowed to {request}: {detail}; grant {request} to this user or service account{narrower}")]
    Forbidden {
        /// What was asked.
        request: Request,
        /// What the server said.
        detail: String,
        /// What could be asked instead, or nothing.
        narrower: &'static str,
    },
    /// The server does not serve this API.
    #[error("this cluster does not serve {what}: {hint}")]
    NotServed {
        /// The API.
        what: &'static str,
        /// What to do about it.
        hint: &'static str,
    },
    /// The server answered, but with an error of another kind.
    #[error("failed to {request}: {message} (HTTP {code})")]
    Status {
        /// What was asked.
        request: Request,
        /// HTTP status.
        code: u16,
        /// What the server said.
        message: String,
    },
    /// Anything else.
    #[error("failed to {request}: {detail}")]
    Other {
        /// What was asked.
        request: Request,
        /// What went wrong.
        detail: String,
    },
}

/// What was asked of the API server: `list pods in namespace shop`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Verb, such as list.
    pub verb: &'static str,
    /// Resource with its group where it has one, such as replicasets.apps.
    pub resource: &'static str,
    /// Namespace, or `None` for all.
    pub namespace: Option<String>,
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ", self.verb, self.resource)?;
        match &self.namespace {
            Some(namespace) => write!(f, "in namespace {namespace}"),
            None => f.write_str("in all namespaces"),
        }
    }
}

impl ClusterError {
    /// Puts a failed request into words.
    #[must_use]
    pub fn explain(error: kube::Error, server: &str, request: Request) -> Self {
        match error {
            kube::Error::Api(status) => match status.code {
                401 => Self::Unauthorized { server: server.to_owned(), detail: status.message },
                403 => Self::Forbidden {
                    narrower: if request.namespace.is_none() {
                        ", or name one namespace with -n"
                    } else {
                        ""
                    },
                    request,
                    detail: status.message,
                },
                code => Self::Status { request, code, message: status.message },
            },
            kube::Error::Service(error) => {
                Self::Unreachable { server: server.to_owned(), detail: root_cause(&*error) }
            }
            kube::Error::HyperError(error) => {
                Self::Unreachable { server: server.to_owned(), detail: root_cause(&error) }
            }
            kube::Error::Auth(error) => {
                Self::Unauthorized { server: server.to_owned(), detail: root_cause(&error) }
            }
            other => Self::Other { request, detail: root_cause(&other) },
        }
    }
}

/// The innermost error says what happened; those around it only which layer noticed.
pub(crate) fn root_cause(error: &(dyn StdError + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
