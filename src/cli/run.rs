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
use tokio_util::sync::CancellationToken;

use self::logs::LogOptions;
use self::roles::Role;
use self::webhook::{Unready, Webhook, WebhookOptions};
use crate::api::Span;
use crate::clock;
use crate::cluster::custom::OwnerResolver;
use crate::cluster::watch::News;
use crate::cluster::{Connection, ConnectionOptions, Live, Tasks};
use crate::control::book::Book;
use crate::control::checkpoint::{Checkpoints, Place, Shard};
use crate::control::dashboard::{self, Dashboard};
use crate::control::events::Events;
use crate::control::http::{self, Pages};
use crate::control::keeper::Keeper;
use crate::control::lease::{Candidate, Lead, Stand};
use crate::control::metrics::Metrics;
use crate::control::pause::PauseSwitch;
use crate::control::publish::Publisher;
use crate::control::recommender::{Options, Recommender};
use crate::control::updater::Updater;
use crate::report::prices::Prices;
use crate::sources::prometheus::{Prometheus, PrometheusOptions};

/// How long what has begun may take to finish when we are told to stop.
const FINISH: Duration = Duration::from_secs(10);
/// A turn of a loop takes no longer, whatever the API server does: within are requests of half a minute each.
const TURNS: Duration = Duration::from_secs(180);
/// Nor does one that stands for the lead.
const STANDS: Duration = Duration::from_secs(60);

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
    loops: Tasks,
    rest: Tasks,
    /// Where we stand in each role that only one of several plumbs may have.
    leads: Vec<Lead>,
}

/// What every role is given.
struct Ground {
    connection: Connection,
    prometheus: Option<Prometheus>,
    live: Arc<Live>,
    owners: OwnerResolver,
    metrics: Arc<Metrics>,
    events: Arc<Events>,
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
        let (stop, end) = (CancellationToken::new(), CancellationToken::new());
        let (loops, rest) = (Tasks::new(stop.clone()), Tasks::new(end.clone()));
        let mut process = Self { stop, end, loops, rest, leads: Vec::new() };
        let metrics = Arc::new(Metrics::default());
        let mut unready = Vec::new();
        if let Some(webhook) = webhook {
            let pause =
                PauseSwitch::watch(&connection, args.namespace(&connection), &process.stop, &process.loops);
            unready.push(webhook.start(&connection, pause, &metrics, &process.stop, &process.loops));
        }
        // The webhook alone needs to know neither pods nor nodes.
        if args.roles.iter().any(|role| *role != Role::Webhook) {
            unready.push(process.work(args, connection, prometheus, &metrics));
        }
        process.serve(metrics, unready, listener);
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
            prometheus,
            owners: OwnerResolver::start(&connection, &live, clock::now, &self.stop, &self.loops),
            connection,
            live,
            metrics: Arc::clone(metrics),
            identity,
        };
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
    fn stand(&mut self, args: &Args, ground: &Ground, lease: &'static str) -> Lead {
        let candidate = Candidate {
            namespace: args.namespace(&ground.connection).to_owned(),
            name: lease.to_owned(),
            identity: ground.identity.clone(),
        };
        let (stand, lead) = Stand::new(ground.connection.clone(), candidate, clock::now);
        let pulse = self.rest.pulse(lease, STANDS);
        self.rest.spawn(lease, stand.run(pulse, self.end.clone()));
        self.leads.push(lead.clone());
        lead
    }

    fn recommend(&mut self, args: &Args, ground: &Ground, news: News) {
        let lead = self.stand(args, ground, "plumb-recommender");
        let (connection, metrics) = (ground.connection.clone(), Arc::clone(&ground.metrics));
        let publisher = Publisher::new(connection, metrics, args.writes_per_second, lead.clone());
        self.loops.spawn("the publisher", {
            let (publisher, stop) = (Arc::clone(&publisher), self.stop.clone());
            async move { publisher.run(&stop).await }
        });
        let recommender = Recommender {
            connection: ground.connection.clone(),
            live: Arc::clone(&ground.live),
            owners: ground.owners.clone(),
            prometheus: ground.prometheus.clone(),
            metrics: Arc::clone(&ground.metrics),
            publisher,
            events: Arc::clone(&ground.events),
            lead,
            options: Options {
                interval: Duration::from_secs(args.interval.seconds),
                prices: args.prices,
                container_metrics: !args.no_container_metrics,
            },
            clock: clock::now,
            keeper: keeper(args, &ground.connection),
            book: Book::default(),
        };
        let pulse = self.loops.pulse("the recommender", TURNS);
        self.loops.spawn("the recommender", recommender.run(news, pulse, self.stop.clone()));
    }

    fn update(&mut self, args: &Args, ground: &Ground) {
        ground.live.watch_for_updates(&ground.connection, &self.stop, &self.loops);
        let namespace = args.namespace(&ground.connection).to_owned();
        let updater = Updater {
            connection: ground.connection.clone(),
            live: Arc::clone(&ground.live),
            owners: ground.owners.clone(),
            metrics: Arc::clone(&ground.metrics),
            events: Arc::clone(&ground.events),
            lead: self.stand(args, ground, "plumb-updater"),
            clock: clock::now,
            prometheus: ground.prometheus.clone(),
            pause: PauseSwitch::watch(&ground.connection, &namespace, &self.stop, &self.loops),
            namespace,
            resizes_per_second: f64::from(args.resizes_per_second),
            evictions_per_second: f64::from(args.evictions_per_minute) / 60.0,
            warm_up: i64::try_from(args.warm_up.seconds).unwrap_or(i64::MAX),
        };
        let pulse = self.loops.pulse("the updater", TURNS);
        self.loops.spawn("the updater", updater.run(pulse, self.stop.clone()));
    }

    fn show(&self, dashboard: Arc<Dashboard>, listener: tokio::net::TcpListener) {
        let end = self.end.clone();
        self.rest.spawn("the dashboard", async move {
            if let Err(error) = dashboard.serve(listener, end).await {
                tracing::error!(error = error.to_string(), "cannot serve the dashboard any more");
            }
        });
    }

    fn serve(&self, metrics: Arc<Metrics>, unready: Vec<Unready>, listener: tokio::net::TcpListener) {
        let pages = self.pages(metrics, unready);
        let end = self.end.clone();
        self.rest.spawn("the server of /metrics", async move {
            if let Err(error) = http::serve(listener, pages, end).await {
                tracing::error!(error = error.to_string(), "cannot serve /metrics any more");
            }
        });
    }

    /// Ready: what the roles need is known. Whether we lead does not matter: who stands by is ready to.
    fn pages(&self, metrics: Arc<Metrics>, unready: Vec<Unready>) -> Pages {
        let (leads, stop) = (self.leads.clone(), self.stop.clone());
        let unready = move || {
            let mut missing: Vec<_> = unready.iter().flat_map(|of_role| of_role()).collect();
            missing.extend(leads.iter().filter_map(Lead::trouble));
            if stop.is_cancelled() {
                missing.push("stopping".to_owned());
            }
            missing
        };
        let (loops, rest) = (self.loops.clone(), self.rest.clone());
        let stuck = move || loops.stuck().into_iter().chain(rest.stuck()).collect();
        Pages { metrics, unready: Arc::new(unready), stuck: Arc::new(stuck) }
    }

    /// Until a signal comes, or until going on would be wrong.
    async fn run(mut self) -> anyhow::Result<()> {
        let (mut interrupt, mut terminate) =
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let lost = any(self.leads.iter_mut().map(|lead| Box::pin(lead.lost())).collect());
        let result = tokio::select! {
            _ = interrupt.recv() => Ok(()),
            _ = terminate.recv() => Ok(()),
            () = lost => {
                Err(anyhow::anyhow!("lost the leadership: another plumb may write now; start again to stand by"))
            }
            what = self.loops.ended() => Err(fault(&what)),
            what = self.rest.ended() => Err(fault(&what)),
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

/// Resolves as soon as one of these does; never where there are none.
async fn any(waiting: Vec<impl Future<Output = ()> + Unpin>) {
    if waiting.is_empty() {
        std::future::pending::<()>().await;
    }
    futures::future::select_all(waiting).await;
}

fn fault(what: &str) -> anyhow::Error {
    anyhow::anyhow!("{what}, which is a fault of plumb's; the process ends, so that it is started anew")
}

/// Unique to this process: the pod's name, or the machine's, and something that no other process has.
fn identity() -> String {
    let word = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let host = word("POD_NAME").or_else(|| word("HOSTNAME")).unwrap_or_else(|| "plumb".to_owned());
    let unique = word("POD_UID").unwrap_or_else(|| format!("{}-{}", std::process::id(), clock::now().0));
    format!("{host}_{unique}")
}
