//! `plumb run`: the control loops, in a cluster or beside one.

mod logs;
mod roles;
mod webhook;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::logs::LogOptions;
use self::roles::Role;
use self::webhook::{Unready, Webhook, WebhookOptions};
use crate::api::Span;
use crate::clock;
use crate::cluster::custom::OwnerResolver;
use crate::cluster::watch::News;
use crate::cluster::{Connection, ConnectionOptions, Live};
use crate::control::book::Book;
use crate::control::checkpoint::{Checkpoints, Place, Shard};
use crate::control::dashboard::{self, Dashboard};
use crate::control::events::Events;
use crate::control::http::{self, Pages};
use crate::control::keeper::Keeper;
use crate::control::lease::{self, Candidate, Leadership};
use crate::control::metrics::Metrics;
use crate::control::publish::Publisher;
use crate::control::recommender::{Options, Recommender};
use crate::control::updater::Updater;
use crate::report::prices::Prices;
use crate::sources::prometheus::{Prometheus, PrometheusOptions};

/// How long what has begun may take to finish when we are told to stop.
const FINISH: Duration = Duration::from_secs(10);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A YAML file of these options, by their long names without the dashes, such as `interval: 1m`. What is set by
    /// flag or environment goes before it
    #[arg(long, value_name = "FILE", env = "PLUMB_CONFIG")]
    config: Option<PathBuf>,
    #[command(flatten)]
    connection: ConnectionOptions,
    #[command(flatten)]
    prices: Prices,
    #[command(flatten)]
    logs: LogOptions,
    #[command(flatten)]
    prometheus: PrometheusOptions,
    /// What this process does, of all that plumb does; the rest is for other processes. Without a word of it it only
    /// recommends: what changes pods is asked for
    #[arg(long, value_enum, value_name = "ROLE,...", value_delimiter = ',', env = "PLUMB_ROLES")]
    #[arg(default_value = "recommender")]
    roles: Vec<Role>,
    /// How often usage is read. metrics-server has new figures every 15 s by default; every second one tells the body
    /// of the usage as well, at half the cost, and OOM kills do not wait for it
    #[arg(long, value_name = "SPAN", default_value = "30s", env = "PLUMB_INTERVAL")]
    interval: Span,
    /// Where /healthz, /readyz and /metrics are served
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "0.0.0.0:9797", env = "PLUMB_LISTEN")]
    listen: SocketAddr,
    /// Serve the dashboard here too, on a loopback address: `kubectl port-forward` leads to it [default: not at all]
    #[arg(long, value_name = "ADDRESS:PORT", env = "PLUMB_DASHBOARD")]
    dashboard: Option<SocketAddr>,
    /// Leave out the gauges of each container's targets, of which a large cluster has many
    #[arg(long, env = "PLUMB_NO_CONTAINER_METRICS")]
    no_container_metrics: bool,
    /// Writes to the API server a second, at most
    #[arg(long, value_name = "COUNT", default_value_t = 50, env = "PLUMB_WRITES_PER_SECOND")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1000))]
    writes_per_second: u32,
    /// Pods resized in place a second, at most, over time
    #[arg(long, value_name = "COUNT", default_value_t = 10, env = "PLUMB_RESIZES_PER_SECOND")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1000))]
    resizes_per_second: u32,
    /// Pods evicted a minute, at most, over time
    #[arg(long, value_name = "COUNT", default_value_t = 30, env = "PLUMB_EVICTIONS_PER_MINUTE")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=6000))]
    evictions_per_minute: u32,
    /// For this long after its start the updater resizes and evicts only where that is urgent, after an OOM kill or for a
    /// rollback. Until then it sees what runs, and what a process before it has begun
    #[arg(long, value_name = "SPAN", default_value = "30s", env = "PLUMB_WARM_UP")]
    warm_up: Span,
    /// Namespace of the Leases by which one of several plumbs leads in each role [default: the pod's, or the
    /// kubeconfig's]
    #[arg(long, value_name = "NAME", env = "PLUMB_LEASE_NAMESPACE")]
    lease_namespace: Option<String>,
    /// Where what was learned outlives the process: configmaps (beside the Lease), configmaps:NAMESPACE, file:FOLDER
    /// or none
    #[arg(long, value_name = "PLACE", default_value = "configmaps", env = "PLUMB_CHECKPOINT")]
    checkpoint: Place,
    /// How often it is saved there, where it changed
    #[arg(long, value_name = "SPAN", default_value = "10m", env = "PLUMB_CHECKPOINT_INTERVAL")]
    checkpoint_interval: Span,
    #[command(flatten)]
    webhook: WebhookOptions,
}

impl Args {
    /// Where the Leases are, and what stands beside them.
    fn namespace<'a>(&'a self, connection: &'a Connection) -> &'a str {
        self.lease_namespace.as_deref().unwrap_or(&connection.default_namespace)
    }
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    anyhow::ensure!(args.interval.seconds > 0, "--interval must be longer than 0");
    anyhow::ensure!(args.checkpoint_interval.seconds > 0, "--checkpoint-interval must be longer than 0");
    args.logs.start();
    let prometheus = Prometheus::open(&args.prometheus)?;
    let connection = Connection::open(&args.connection).await?;
    let (listener, address) = http::bind(args.listen)
        .await
        .with_context(|| format!("cannot listen on {}; choose another with --listen", args.listen))?;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        server = connection.server,
        listen = address.to_string(),
        interval = args.interval.to_string(),
        roles = Role::names(&args.roles),
        prometheus = prometheus.as_ref().map(Prometheus::url),
        "started"
    );
    let webhook = match args.roles.contains(&Role::Webhook) {
        true => Some(args.webhook.bind(&connection, args.namespace(&connection)).await?),
        false => None,
    };
    let dashboard = match args.dashboard {
        Some(address) => Some(dashboard::bind(address).await?),
        None => None,
    };
    let process = Process::start(&args, connection.clone(), prometheus, listener, webhook);
    if let Some(listener) = dashboard {
        process.show(Dashboard::new(connection, checkpoint_place(&args), args.prices), listener);
    }
    process.run().await
}

/// All that runs.
struct Process {
    /// Stops the loops.
    stop: CancellationToken,
    /// Stops what must go on while the loops finish: pages and leases.
    end: CancellationToken,
    loops: TaskTracker,
    rest: TaskTracker,
    /// Where we stand in each role that only one of several plumbs may have.
    leaderships: Vec<watch::Receiver<Leadership>>,
}

/// What every role is given.
struct Ground {
    connection: Connection,
    prometheus: Option<Prometheus>,
    live: Arc<Live>,
    owners: OwnerResolver,
    metrics: Arc<Metrics>,
    events: Arc<Events>,
    publisher: Arc<Publisher>,
    identity: String,
}

impl Process {
    fn start(
        args: &Args,
        connection: Connection,
        prometheus: Option<Prometheus>,
        listener: tokio::net::TcpListener,
        webhook: Option<Webhook>,
    ) -> Self {
        let mut process = Self {
            stop: CancellationToken::new(),
            end: CancellationToken::new(),
            loops: TaskTracker::new(),
            rest: TaskTracker::new(),
            leaderships: Vec::new(),
        };
        let metrics = Arc::new(Metrics::default());
        let mut unready = Vec::new();
        if let Some(webhook) = webhook {
            unready.push(webhook.start(&connection, &metrics, &process.stop, &process.loops));
        }
        // The webhook alone needs to know neither pods nor nodes.
        if args.roles.iter().any(|role| *role != Role::Webhook) {
            unready.push(process.work(args, connection, prometheus, &metrics));
        }
        process.serve(metrics, unready, listener);
        process.loops.close();
        process.rest.close();
        process
    }

    /// Starts the roles that need the whole cluster's state.
    fn work(
        &mut self,
        args: &Args,
        connection: Connection,
        prometheus: Option<Prometheus>,
        metrics: &Arc<Metrics>,
    ) -> Unready {
        let templates = args.roles.contains(&Role::Recommender);
        let (live, news) = Live::start(&connection, clock::now, templates, &self.stop, &self.loops);
        let identity = identity();
        let ground = Ground {
            events: Arc::new(Events::new(&connection, &identity)),
            publisher: Publisher::new(connection.clone(), Arc::clone(metrics), args.writes_per_second),
            prometheus,
            owners: OwnerResolver::start(&connection, &live, clock::now, &self.stop, &self.loops),
            connection,
            live,
            metrics: Arc::clone(metrics),
            identity,
        };
        self.loops.spawn({
            let (publisher, stop) = (Arc::clone(&ground.publisher), self.stop.clone());
            async move { publisher.run(&stop).await }
        });
        if args.roles.contains(&Role::Recommender) {
            self.recommend(args, &ground, news);
        }
        if args.roles.contains(&Role::Updater) {
            self.update(args, &ground);
        }
        let live = ground.live;
        Box::new(move || live.unsynced())
    }

    /// Begins to stand for the lead among those that want the Lease of that name.
    fn stand(&mut self, args: &Args, ground: &Ground, lease: &str) -> watch::Receiver<Leadership> {
        let (tell, leadership) = watch::channel(Leadership::Following(None));
        let candidate = Candidate {
            namespace: args.namespace(&ground.connection).to_owned(),
            name: lease.to_owned(),
            identity: ground.identity.clone(),
        };
        let (connection, end) = (ground.connection.clone(), self.end.clone());
        self.rest.spawn(lease::run(connection, candidate, clock::now, tell, end));
        self.leaderships.push(leadership.clone());
        leadership
    }

    fn recommend(&mut self, args: &Args, ground: &Ground, news: News) {
        let recommender = Recommender {
            connection: ground.connection.clone(),
            live: Arc::clone(&ground.live),
            owners: ground.owners.clone(),
            prometheus: ground.prometheus.clone(),
            metrics: Arc::clone(&ground.metrics),
            publisher: Arc::clone(&ground.publisher),
            events: Arc::clone(&ground.events),
            leadership: self.stand(args, ground, "plumb-recommender"),
            options: Options {
                interval: Duration::from_secs(args.interval.seconds),
                prices: args.prices,
                container_metrics: !args.no_container_metrics,
            },
            clock: clock::now,
            keeper: keeper(args, &ground.connection),
            book: Book::default(),
        };
        self.loops.spawn(recommender.run(news, self.stop.clone()));
    }

    fn update(&mut self, args: &Args, ground: &Ground) {
        ground.live.watch_vertical_autoscalers(&ground.connection, &self.stop, &self.loops);
        let own = &ground.connection.default_namespace;
        let updater = Updater {
            connection: ground.connection.clone(),
            live: Arc::clone(&ground.live),
            owners: ground.owners.clone(),
            metrics: Arc::clone(&ground.metrics),
            events: Arc::clone(&ground.events),
            leadership: self.stand(args, ground, "plumb-updater"),
            clock: clock::now,
            prometheus: ground.prometheus.clone(),
            namespace: args.lease_namespace.as_ref().unwrap_or(own).clone(),
            resizes_per_second: f64::from(args.resizes_per_second),
            evictions_per_second: f64::from(args.evictions_per_minute) / 60.0,
            warm_up: i64::try_from(args.warm_up.seconds).unwrap_or(i64::MAX),
        };
        self.loops.spawn(updater.run(self.stop.clone()));
    }

    fn show(&self, dashboard: Arc<Dashboard>, listener: tokio::net::TcpListener) {
        let end = self.end.clone();
        // The tracker is closed, which only means that it can be waited for: it still takes tasks.
        self.rest.spawn(async move {
            if let Err(error) = dashboard.serve(listener, end).await {
                tracing::error!(error = error.to_string(), "cannot serve the dashboard any more");
            }
        });
    }

    fn serve(&self, metrics: Arc<Metrics>, unready: Vec<Unready>, listener: tokio::net::TcpListener) {
        let pages = pages(metrics, unready, &self.leaderships, &self.stop);
        let end = self.end.clone();
        self.rest.spawn(async move {
            if let Err(error) = http::serve(listener, pages, end).await {
                tracing::error!(error = error.to_string(), "cannot serve /metrics any more");
            }
        });
    }

    /// Until a signal comes, or until going on would be wrong.
    async fn run(mut self) -> anyhow::Result<()> {
        let (mut interrupt, mut terminate) =
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let lost = self.leaderships.iter_mut().map(|leadership| {
            Box::pin(async move { leadership.wait_for(|known| *known == Leadership::Lost).await.is_ok() })
        });
        let lost = any(lost.collect());
        let result = tokio::select! {
            _ = interrupt.recv() => Ok(()),
            _ = terminate.recv() => Ok(()),
            true = lost => {
                Err(anyhow::anyhow!("lost the leadership: another plumb may write now; start again to stand by"))
            }
            () = self.loops.wait() => Err(anyhow::anyhow!("a loop has ended by itself, which is a fault of plumb's")),
        };
        tracing::info!("stopping");
        self.stop.cancel();
        let finished = async {
            self.loops.wait().await;
            self.end.cancel();
            self.rest.wait().await;
        };
        tokio::select! {
            done = tokio::time::timeout(FINISH, finished) => if done.is_err() {
                tracing::warn!("not everything was finished in time");
            },
            // A second signal: at once.
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        result
    }
}

/// ConfigMaps are beside the Lease: whoever holds it writes them.
fn checkpoint_place(args: &Args) -> Place {
    match &args.checkpoint {
        Place::ConfigMaps(None) => Place::ConfigMaps(args.lease_namespace.clone()),
        place => place.clone(),
    }
}

fn keeper(args: &Args, connection: &Connection) -> Keeper {
    let checkpoints = Checkpoints::open(&checkpoint_place(args), connection, Shard::default());
    Keeper::new(checkpoints, Duration::from_secs(args.checkpoint_interval.seconds))
}

/// True as soon as one of these says so; for ever waiting where none does.
async fn any(waiting: Vec<impl Future<Output = bool> + Unpin>) -> bool {
    let mut waiting: futures::stream::FuturesUnordered<_> = waiting.into_iter().collect();
    while let Some(done) = futures::StreamExt::next(&mut waiting).await {
        if done {
            return true;
        }
    }
    std::future::pending().await
}

/// Ready: what the roles need is known. Whether we lead does not matter: who stands by is ready to.
fn pages(
    metrics: Arc<Metrics>,
    unready: Vec<Unready>,
    leaderships: &[watch::Receiver<Leadership>],
    stop: &CancellationToken,
) -> Pages {
    let (leaderships, stop) = (leaderships.to_vec(), stop.clone());
    let unready = move || {
        let mut missing: Vec<_> = unready.iter().flat_map(|of_role| of_role()).collect();
        for leadership in &leaderships {
            if let Leadership::Following(Some(why)) = &*leadership.borrow() {
                missing.push(why.clone());
            }
        }
        if stop.is_cancelled() {
            missing.push("stopping".to_owned());
        }
        missing
    };
    Pages { metrics, unready: Arc::new(unready) }
}

/// Unique to this process: the pod's name, or the machine's, and something that no other process has.
fn identity() -> String {
    let word = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let host = word("POD_NAME").or_else(|| word("HOSTNAME")).unwrap_or_else(|| "plumb".to_owned());
    let unique = word("POD_UID").unwrap_or_else(|| format!("{}-{}", std::process::id(), clock::now().0));
    format!("{host}_{unique}")
}
