//! `plumb doctor`: proves that each source answers and each right is there, and says what to do where it is not.

use std::io::Write;

use super::Output;
use crate::clock;
use crate::cluster::checks::{self, Purpose};
use crate::cluster::finding::Finding;
use crate::cluster::{Connection, ConnectionOptions};
use crate::report::findings;
use crate::sources::metrics_server;
use crate::sources::prometheus::{Prometheus, PrometheusOptions, checks as prometheus_checks};
use crate::units::Timestamp;

/// A sample that is older than this is stale; metrics-server has a new one every 15 s to a minute.
const FRESH_SECONDS: i64 = 180;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    connection: ConnectionOptions,
    /// Check rights and series of this namespace only [default: of all]
    #[arg(short, long, value_name = "NAME")]
    namespace: Option<String>,
    /// What plumb is to do
    #[arg(long = "for", value_enum, default_value_t)]
    purpose: Purpose,
    /// Format
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
    #[command(flatten)]
    prometheus: PrometheusOptions,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let prometheus = Prometheus::open(&args.prometheus)?;
    let mut found = cluster(&args, prometheus.is_some()).await;
    if let Some(prometheus) = &prometheus {
        found.extend(
            prometheus_checks::check(prometheus, args.namespace.as_deref(), clock::now(), true).await,
        );
    }
    let mut stdout = std::io::stdout().lock();
    match args.output {
        Output::Table => write!(stdout, "{}", findings::lines(&found))?,
        Output::Yaml => write!(stdout, "{}", serde_saphyr::to_string(&found)?)?,
        Output::Json => {
            serde_json::to_writer_pretty(&mut stdout, &found)?;
            writeln!(stdout)?;
        }
    }
    match findings::verdict(&found) {
        None => Ok(()),
        Some(verdict) => anyhow::bail!(verdict),
    }
}

/// A scan of what Prometheus knows works without a cluster, and with Prometheus the metrics API is not needed.
async fn cluster(args: &Args, prometheus: bool) -> Vec<Finding> {
    let namespace = args.namespace.as_deref();
    let needed = args.purpose > Purpose::Scan || !prometheus;
    let connection = match Connection::open(&args.connection).await {
        Ok(connection) => connection,
        Err(error) => return vec![checks::unreachable(&error, needed)],
    };
    let now = clock::now();
    let mut found = checks::check(&connection, args.purpose, namespace, now).await;
    if found.len() == 1 {
        // It cannot be reached: there is nothing else to ask.
        return found;
    }
    let usage = metrics_server::read(&connection, namespace, None).await;
    found.push(match usage {
        Ok(usage) => {
            let newest = usage.pods.iter().map(|pod| Timestamp(pod.timestamp.timestamp())).max();
            metrics(usage.pods.len(), newest, now, !prometheus)
        }
        Err(error) => {
            let text = error.to_string();
            let (detail, fix) = text.split_once(": ").unwrap_or((&text, ""));
            Finding::not_there("metrics API", !prometheus, detail, fix)
        }
    });
    found
}

/// How the metrics API stands that knows so many pods, the newest sample of which is of that time.
fn metrics(pods: usize, newest: Option<Timestamp>, now: Timestamp, needed: bool) -> Finding {
    let check = "metrics API";
    let fix = "look at the log of metrics-server";
    let Some(newest) = newest else {
        return Finding::not_there(check, needed, "it serves no pod's usage", fix);
    };
    let age = now.seconds_since(newest);
    if age > FRESH_SECONDS {
        return Finding::wrong(check, format!("the newest sample is {age} s old"), fix);
    }
    Finding::ok(check, format!("usage of {pods} pods, the newest {} s old", age.max(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_metrics_api_is_fresh_stale_or_empty() {
        let now = Timestamp(1000);
        assert!(!metrics(3, Some(Timestamp(970)), now, true).fails());
        assert!(metrics(3, Some(Timestamp(700)), now, true).fails());
        assert!(metrics(0, None, now, true).fails());
        assert!(!metrics(0, None, now, false).fails());
    }
}
