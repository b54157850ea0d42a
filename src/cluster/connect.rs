//! From a kubeconfig or a pod's service account to a client whose every request ends.

use std::path::PathBuf;
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};

use super::error::{ClusterError, Request};

/// How long one request may take. The API server gives up on its own after 60 s.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Where the cluster is; what kubectl's flags of the same names say.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ConnectionOptions {
    /// Kubeconfig file [default: $KUBECONFIG, else ~/.kube/config, else the pod's service account]
    #[arg(long, value_name = "FILE", global = true)]
    pub kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig [default: its current one]
    #[arg(long, value_name = "NAME", global = true)]
    pub context: Option<String>,
}

/// A client for one cluster, and its address for messages.
#[derive(Clone)]
pub struct Connection {
    /// Asks once: it does not retry by itself, so that an answer such as "metrics are not there" comes at once.
    pub client: Client,
    /// Address of the API server.
    pub server: String,
    /// The kubeconfig context's namespace.
    pub default_namespace: String,
}

impl Connection {
    /// Reads the configuration. Does not talk to the server yet.
    ///
    /// # Errors
    /// When there is no configuration, or it cannot be used.
    pub async fn open(options: &ConnectionOptions) -> Result<Self, ClusterError> {
        let mut config = load(options).await?;
        config.connect_timeout = Some(CONNECT_TIMEOUT);
        config.default_retry = false;
        let server = config.cluster_url.to_string().trim_end_matches('/').to_owned();
        let default_namespace = config.default_namespace.clone();
        let client = Client::try_from(config)
            .map_err(|error| ClusterError::BadConfig { detail: super::error::root_cause(&error) })?;
        Ok(Self { client, server, default_namespace })
    }

    /// Waits for `answer` for as long as a request may take, and puts a failure into words.
    ///
    /// # Errors
    /// What the server or the network said of `request`, or that nothing came in time.
    pub async fn ask<T>(
        &self,
        request: Request,
        answer: impl Future<Output = kube::Result<T>>,
    ) -> Result<T, ClusterError> {
        match tokio::time::timeout(REQUEST_TIMEOUT, answer).await {
            Ok(result) => result.map_err(|error| ClusterError::explain(error, &self.server, request)),
            Err(_) => Err(ClusterError::TimedOut {
                server: self.server.clone(),
                request,
                seconds: REQUEST_TIMEOUT.as_secs(),
            }),
        }
    }
}

async fn load(options: &ConnectionOptions) -> Result<Config, ClusterError> {
    let selection = KubeConfigOptions { context: options.context.clone(), ..KubeConfigOptions::default() };
    if let Some(path) = &options.kubeconfig {
        let file = Kubeconfig::read_from(path).map_err(|error| explain_config(&error))?;
        return Config::from_custom_kubeconfig(file, &selection)
            .await
            .map_err(|error| explain_config(&error));
    }
    match Config::from_kubeconfig(&selection).await {
        Ok(config) => Ok(config),
        // A file that is there but wrong must not silently lead to another cluster.
        Err(KubeconfigError::ReadConfig(..) | KubeconfigError::FindPath) if options.context.is_none() => {
            Config::incluster().map_err(|_| ClusterError::NoConfig { detail: absent_file() })
        }
        Err(error) => Err(explain_config(&error)),
    }
}

fn absent_file() -> String {
    match std::env::var_os("KUBECONFIG") {
        Some(path) => format!("KUBECONFIG names {}, which cannot be read", PathBuf::from(path).display()),
        None => "there is no ~/.kube/config, and this is not a pod".to_owned(),
    }
}

fn explain_config(error: &KubeconfigError) -> ClusterError {
    match error {
        KubeconfigError::ReadConfig(cause, path) => {
            ClusterError::NoConfig { detail: format!("{} cannot be read ({cause})", path.display()) }
        }
        other => {
            // A YAML error goes on with a picture of the file; its first line says it all.
            let detail = super::error::root_cause(other);
            ClusterError::BadConfig { detail: detail.lines().next().unwrap_or_default().to_owned() }
        }
    }
}
