//! The past in pieces: what containers used and how often they were killed, over a span of time, in bounded queries.
//!
//! A piece that fails is asked for again by the next call; one that is too much for the server is halved. So whoever
//! has taken in some pieces goes on from where it was.

use std::collections::HashMap;

use super::{Prometheus, PrometheusError, Queries, Range};
use crate::sources::ContainerName;
use crate::units::{Bytes, Cores, Timestamp};

/// Ages below this many seconds and a step are asked for: what start-up can be.
const STARTUP_SECONDS: i64 = 300;
/// A piece is halved so often before its failure is final.
const HALVINGS: u32 = 5;
/// Most kills of one container that are believed of one step.
const MOST_KILLS: f64 = 100.0;

/// A value of one container at a time: in cores, bytes, or a share.
pub type Point = (Timestamp, f64);

/// OOM kills of one container in the step that ends at a time.
#[derive(Clone, Debug, PartialEq)]
pub struct Kills {
    /// Of which container.
    pub container: ContainerName,
    /// The end of the step.
    pub at: Timestamp,
    /// How many; at least 1.
    pub count: u32,
    /// The limit that was hit, where it is known.
    pub limit: Option<Bytes>,
}

/// What is known of a span of time.
#[derive(Clone, Debug, Default)]
pub struct Piece {
    /// Distance of the points, in seconds: each stands for the step that ends at it.
    pub step: i64,
    /// The last point of the piece.
    pub end: Timestamp,
    /// CPU in cores, by container; points in time order.
    pub cpu: Vec<(ContainerName, Vec<Point>)>,
    /// The peak of the memory working set in bytes, by container; points in time order.
    pub memory: Vec<(ContainerName, Vec<Point>)>,
    /// The share of periods in which a container was throttled, where it was.
    pub throttled: HashMap<ContainerName, Vec<Point>>,
    /// Seconds since a container's start, where it was young.
    pub young: HashMap<ContainerName, Vec<Point>>,
    /// OOM kills, in time order for each container.
    pub kills: Vec<Kills>,
    /// CPU of the largest node; `None` where Prometheus does not know. Nothing has used more.
    pub largest_node: Option<Cores>,
}

impl Piece {
    /// The value at a time among points in time order.
    #[must_use]
    pub fn at(points: Option<&Vec<Point>>, time: Timestamp) -> Option<f64> {
        let points = points?;
        let place = points.binary_search_by_key(&time, |(at, _)| *at).ok()?;
        points.get(place).map(|(_, value)| *value)
    }
}

/// A span of time that is being read.
#[derive(Debug)]
pub struct History<'a> {
    prometheus: &'a Prometheus,
    queries: Queries,
    /// What is left of the span.
    left: Range,
    /// How many points a piece may have by what was learned so far.
    series: u64,
    /// CPU of the largest node, where it is known.
    largest_node: Option<Cores>,
}

impl<'a> History<'a> {
    /// Looks how many containers there are in the span, so that pieces can be made that fit.
    ///
    /// # Errors
    /// When there is no answer, none that makes sense, or more containers at once than fit a query.
    pub async fn plan(
        prometheus: &'a Prometheus,
        queries: Queries,
        span: Range,
    ) -> Result<Self, PrometheusError> {
        let most = prometheus.busiest(&queries, span).await?;
        if most > prometheus.max_samples {
            return Err(PrometheusError::TooMany { series: most, max_samples: prometheus.max_samples });
        }
        // Without an answer the past is read all the same.
        let nodes = prometheus.instant(&queries.largest_node(), span.end).await.unwrap_or_default();
        let cores = nodes.first().and_then(|series| series.points().next()).map(|(_, cores)| cores);
        let largest_node = cores.filter(|cores| *cores > 0.0).map(Cores);
        // Pods that came and went between the looks: a quarter more is allowed for.
        Ok(Self { prometheus, queries, left: span, series: most + most / 4 + 1, largest_node })
    }

    /// What is left to read; its start is where to go on after a failure.
    #[must_use]
    pub fn left(&self) -> Range {
        self.left
    }

    /// How many pieces are left, by what is known of the number of containers.
    #[must_use]
    pub fn pieces_left(&self) -> u64 {
        let piece = self.left.first_piece(self.series, self.prometheus.max_samples);
        let (all, one) = (self.left.points(), piece.map_or(1, Range::points).max(1));
        all.max(0).unsigned_abs().div_ceil(one.unsigned_abs())
    }

    /// The span of the piece that comes next; `None` at the end.
    #[must_use]
    pub fn next_span(&self) -> Option<Range> {
        self.left.first_piece(self.series, self.prometheus.max_samples)
    }

    /// Reads the next piece; `None` at the end.
    ///
    /// # Errors
    /// When there is no answer, or none that makes sense. The next call asks for the same piece again.
    pub async fn next(&mut self) -> Result<Option<Piece>, PrometheusError> {
        let mut halvings = 0;
        loop {
            let Some(span) = self.next_span() else { return Ok(None) };
            match self.read(span).await {
                Ok(piece) => {
                    self.learn(&piece, span);
                    self.left.start = span.end.plus(span.step);
                    return Ok(Some(piece));
                }
                Err(error) if error.is_too_large() && span.points() > 1 && halvings < HALVINGS => {
                    halvings += 1;
                    let half = u64::try_from(span.points() / 2).unwrap_or(1).max(1);
                    self.series = (self.prometheus.max_samples / half).max(self.series + 1);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// More samples than were expected: the next pieces are shorter.
    fn learn(&mut self, piece: &Piece, span: Range) {
        let count = |list: &[(ContainerName, Vec<Point>)]| -> u64 {
            list.iter().map(|(_, points)| points.len() as u64).sum()
        };
        let points = span.points().max(1).unsigned_abs();
        self.series = self.series.max(count(&piece.cpu).max(count(&piece.memory)).div_ceil(points));
    }

    async fn read(&self, span: Range) -> Result<Piece, PrometheusError> {
        let (queries, step) = (&self.queries, span.step);
        let mut piece = Piece { step, end: span.end, largest_node: self.largest_node, ..Piece::default() };
        piece.cpu = self.points(&queries.cpu(step), span).await?;
        piece.memory = self.points(&queries.memory(step), span).await?;
        piece.throttled = self.points(&queries.throttled(step), span).await?.into_iter().collect();
        piece.young = self.points(&queries.young(STARTUP_SECONDS + step), span).await?.into_iter().collect();
        piece.kills = self.kills(span).await?;
        Ok(piece)
    }

    /// The points that are no less than 0, by container.
    async fn points(
        &self,
        query: &str,
        span: Range,
    ) -> Result<Vec<(ContainerName, Vec<Point>)>, PrometheusError> {
        let answer = self.prometheus.range(query, span).await?;
        let named = answer.into_iter().filter_map(|series| {
            let name =
                series.container(&self.queries.usage).or_else(|| series.container(&self.queries.state))?;
            Some((name, series.points().filter(|(_, value)| *value >= 0.0).collect()))
        });
        Ok(named.collect())
    }

    async fn kills(&self, span: Range) -> Result<Vec<Kills>, PrometheusError> {
        let mut events: HashMap<_, _> =
            self.points(&self.queries.oom_events(span.step), span).await?.into_iter().collect();
        // One kill may show in both, a step apart. For each container the one that knows more is believed.
        let sum = |points: &[Point]| points.iter().map(|(_, count)| count).sum::<f64>();
        for (name, restarts) in self.points(&self.queries.oom_restarts(span.step), span).await? {
            let known = events.entry(name).or_default();
            if sum(&restarts) >= sum(known) {
                *known = restarts;
            }
        }
        if events.is_empty() {
            return Ok(Vec::new());
        }
        let limits = self.limits(span).await?;
        let mut kills = Vec::new();
        for (container, points) in events {
            let limit = limits.get(&container).copied();
            kills.extend(points.into_iter().filter(|(_, count)| *count >= 0.5).map(|(at, count)| Kills {
                container: container.clone(),
                at,
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0.5 to 100")]
                count: count.min(MOST_KILLS).round().max(1.0) as u32,
                limit,
            }));
        }
        kills.sort_by(|a, b| (&a.container, a.at).cmp(&(&b.container, b.at)));
        Ok(kills)
    }

    /// The highest memory limit that each container had in the span.
    async fn limits(&self, span: Range) -> Result<HashMap<ContainerName, Bytes>, PrometheusError> {
        let window = span.end.seconds_since(span.start).max(span.step);
        let mut limits = HashMap::new();
        for series in self.prometheus.instant(&self.queries.cgroup_limits(window), span.end).await? {
            if let (Some(name), Some((_, value))) =
                (series.container(&self.queries.usage), series.points().next())
            {
                limits.insert(name, value);
            }
        }
        for series in self.prometheus.instant(&self.queries.sizes("limits", window), span.end).await? {
            if let (Some(name), Some((_, value)), "memory") =
                (series.container(&self.queries.state), series.points().next(), series.label("resource"))
            {
                limits.insert(name, value);
            }
        }
        Ok(limits.into_iter().filter(|(_, v)| *v > 0.0).map(|(k, v)| (k, Bytes::from_f64(v))).collect())
    }
}
