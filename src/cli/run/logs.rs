//! Structured logs on stderr.

use std::io::IsTerminal;

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

/// How logs are written.
#[derive(Debug, clap::Args)]
pub(crate) struct LogOptions {
    /// Format of the log lines [default: text on a terminal, else json]
    #[arg(long, value_enum, value_name = "FORMAT", env = "PLUMB_LOG_FORMAT")]
    log_format: Option<LogFormat>,
    /// What is logged: error, warn, info, debug, trace; or per module, as in RUST_LOG
    #[arg(long, value_name = "FILTER", default_value = "info", env = "PLUMB_LOG")]
    log: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    /// Lines for a person
    Text,
    /// One JSON object a line
    Json,
}

impl LogOptions {
    /// Begins to log.
    pub(crate) fn start(&self) {
        let terminal = std::io::stderr().is_terminal();
        // https://no-color.org
        let colours = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let format = self.log_format.unwrap_or(if terminal { LogFormat::Text } else { LogFormat::Json });
        // Other crates only warn, and kube not at all: what it would say of a failed request, we say.
        let filter = match self.log.as_str() {
            level @ ("error" | "warn" | "info" | "debug" | "trace") => {
                format!("warn,kube_client=off,kube_runtime=off,plumb={level}")
            }
            filter => filter.to_owned(),
        };
        let logs = tracing_subscriber::fmt()
            .with_env_filter(EnvFilter::new(filter))
            .with_writer(std::io::stderr)
            .with_target(false);
        let begun = match format {
            LogFormat::Text => logs.with_ansi(colours).try_init(),
            LogFormat::Json => logs.json().flatten_event(true).try_init(),
        };
        // Somebody logs already: then so do we, there.
        drop(begun);
    }
}
