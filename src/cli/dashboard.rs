//! `plumb dashboard`: the cluster's recommendations in a browser, served on this machine.

use std::net::SocketAddr;

use tokio_util::sync::CancellationToken;

use super::note;
use crate::cluster::{Connection, ConnectionOptions};
use crate::control::checkpoint::Place;
use crate::control::dashboard::{self, Dashboard};
use crate::report::prices::Prices;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    connection: ConnectionOptions,
    /// Where to serve it: a loopback address
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:9798", env = "PLUMB_DASHBOARD")]
    listen: SocketAddr,
    /// Where plumb keeps what it has learned: configmaps:NAMESPACE, file:FOLDER, or none
    #[arg(long, value_name = "PLACE", default_value = "configmaps:plumb", env = "PLUMB_CHECKPOINT")]
    checkpoint: Place,
    #[command(flatten)]
    prices: Prices,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let connection = Connection::open(&args.connection).await?;
    let listener = dashboard::bind(args.listen).await?;
    note(format_args!(
        "the dashboard of {} is at http://{}/; Ctrl-C ends it",
        connection.server,
        listener.local_addr()?
    ));
    let stop = CancellationToken::new();
    let serving = Dashboard::new(connection, args.checkpoint, args.prices).serve(listener, stop.clone());
    tokio::select! {
        served = serving => served?,
        _ = tokio::signal::ctrl_c() => {}
    }
    Ok(())
}
