//! Usage from Prometheus, or what speaks its API: cAdvisor's series of CPU and memory, and kube-state-metrics'.
//!
//! Every answer is bounded in time and size; a range is asked for in pieces that hold at most
//! [`MAX_SAMPLES`] samples, so that neither side has to hold more. What may pass (a server that restarts, a timeout)
//! is asked again, with growing pauses.

mod answer;
pub mod checks;
mod error;
pub mod history;
pub mod now;
mod options;
pub mod owners;
pub mod pressure;
mod queries;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use reqwest::Url;

use crate::units::Timestamp;

pub use answer::Series;
pub use error::PrometheusError;
pub use options::{Header, LabelNames, PrometheusOptions};
pub use queries::Queries;

/// How many samples one range query may answer with, unless a flag says otherwise. Four times as many are no faster,
/// and take Prometheus three times the memory.
pub const MAX_SAMPLES: u64 = 250_000;
/// Prometheus itself refuses more points of one series.
const MAX_POINTS: i64 = 11_000;
/// The largest body that is read; two million samples, the most that can be asked for, are about 60 MB.
const MAX_BODY: usize = 256 << 20;
/// How often what may pass is asked again.
const RETRIES: usize = 3;
/// The first pause before that; each next one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// How many different warnings are kept.
const MOST_WARNINGS: usize = 20;

/// A Prometheus to ask. Copies share what they count and what they were warned of.
#[derive(Clone, Debug)]
pub struct Prometheus {
    http: reqwest::Client,
    url: Url,
    /// Without user and password.
    shown: String,
    user: Option<(String, Option<String>)>,
    labels: LabelNames,
    exported: bool,
    matcher: Option<String>,
    max_samples: u64,
    timeout: u64,
    said: Arc<Said>,
}

#[derive(Debug, Default)]
struct Said {
    warnings: Mutex<BTreeSet<String>>,
    queries: AtomicU64,
    samples: AtomicU64,
    largest: AtomicU64,
}

/// How much was asked for so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Queries that were answered.
    pub queries: u64,
    /// Samples in the answers.
    pub samples: u64,
    /// Samples in the largest answer.
    pub largest: u64,
}

/// A span of time in equal steps, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// First point.
    pub start: Timestamp,
    /// Last point, at the latest.
    pub end: Timestamp,
    /// Distance of the points, in seconds; at least 1.
    pub step: i64,
}

impl Range {
    /// The last `span` seconds before `now`, on the step's own grid, so that whoever asks again asks for the same
    /// times.
    #[must_use]
    pub fn last(span: u64, step: u64, now: Timestamp) -> Self {
        let step = i64::try_from(step).unwrap_or(i64::MAX).max(1);
        let align = |t: Timestamp| Timestamp(t.0.div_euclid(step).saturating_mul(step));
        let since = now.plus(-i64::try_from(span).unwrap_or(i64::MAX));
        Self { start: align(since), end: align(now), step }
    }

    /// How many points there are.
    #[must_use]
    pub fn points(self) -> i64 {
        if self.start > self.end { 0 } else { self.end.seconds_since(self.start) / self.step.max(1) + 1 }
    }

    /// From the start so far that `series` series have at most `max_samples` points together; `None` where nothing
    /// is left. At least one point.
    #[must_use]
    pub fn first_piece(self, series: u64, max_samples: u64) -> Option<Self> {
        if self.start > self.end {
            return None;
        }
        let step = self.step.max(1);
        let points = i64::try_from(max_samples / series.max(1)).unwrap_or(MAX_POINTS).clamp(1, MAX_POINTS);
        let end = self.start.plus((points - 1).saturating_mul(step)).min(self.end);
        Some(Self { start: self.start, end, step })
    }
}

impl Prometheus {
    /// Prepares to ask; does not talk to it yet. `None` where no address is given.
    ///
    /// # Errors
    /// When an address, a file or a flag cannot be used.
    pub fn open(options: &PrometheusOptions) -> Result<Option<Self>, PrometheusError> {
        let Some(url) = &options.prometheus else { return Ok(None) };
        let address = options::address(url)?;
        Ok(Some(Self {
            http: options::client(options)?,
            url: address.url,
            shown: address.shown,
            user: options::user(options)?.or(address.user),
            labels: options.prometheus_labels.clone(),
            exported: options.prometheus_exported_labels,
            matcher: options.prometheus_matcher.clone().filter(|matcher| !matcher.trim().is_empty()),
            max_samples: options.prometheus_max_samples.clamp(1, options::MOST_SAMPLES),
            timeout: options.prometheus_timeout.max(1),
            said: Arc::default(),
        }))
    }

    /// The address, without user and password.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.shown
    }

    /// How many samples a query may answer with.
    #[must_use]
    pub fn max_samples(&self) -> u64 {
        self.max_samples
    }

    /// The questions about one namespace or all, for how the series are labelled here.
    #[must_use]
    pub fn queries(&self, namespace: Option<&str>) -> Queries {
        Queries::new(&self.labels, self.exported, self.matcher.as_deref(), namespace)
    }

    /// The same about these pods, each by namespace and name.
    fn queries_of(&self, pods: &[pressure::PodName]) -> Queries {
        let only = queries::matching(&self.labels, pods);
        let matcher = [self.matcher.clone(), Some(only)].into_iter().flatten().collect::<Vec<_>>().join(",");
        Queries::new(&self.labels, self.exported, Some(&matcher), None)
    }

    /// What the answers since the last call warned of: parts that are missing, functions that do not fit.
    #[must_use]
    pub fn take_warnings(&self) -> Vec<String> {
        let mut warnings = self.said.warnings.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *warnings).into_iter().collect()
    }

    /// How much was asked for so far.
    #[must_use]
    pub fn asked(&self) -> Asked {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Asked {
            queries: read(&self.said.queries),
            samples: read(&self.said.samples),
            largest: read(&self.said.largest),
        }
    }

    /// What time it is there, to the second; `None` where it does not say.
    ///
    /// # Errors
    /// When there is no answer, or none that makes sense.
    pub async fn server_time(&self) -> Result<Option<Timestamp>, PrometheusError> {
        // A scalar, which is no list of series: as a vector it is.
        let answer = self.ask("query", "vector(time())", &[]).await?;
        Ok(answer.first().and_then(|series| series.points().next()).map(|(at, _)| at))
    }

    /// What `query` answers at one time.
    ///
    /// # Errors
    /// When there is no answer, or none that makes sense.
    pub async fn instant(&self, query: &str, at: Timestamp) -> Result<Vec<Series>, PrometheusError> {
        self.ask("query", query, &[("time", at.0.to_string())]).await
    }

    /// What `query` answers at the server's own time.
    ///
    /// # Errors
    /// When there is no answer, or none that makes sense.
    pub async fn now(&self, query: &str) -> Result<Vec<Series>, PrometheusError> {
        self.ask("query", query, &[]).await
    }

    /// What `query` answers over a span of time. Points without a finite value are left out.
    ///
    /// # Errors
    /// When there is no answer, or none that makes sense.
    pub async fn range(&self, query: &str, range: Range) -> Result<Vec<Series>, PrometheusError> {
        let times = [
            ("start", range.start.0.to_string()),
            ("end", range.end.0.to_string()),
            ("step", range.step.to_string()),
        ];
        self.ask("query_range", query, &times).await
    }

    /// The largest number of containers at a point of the span, by a look at some of its points.
    ///
    /// # Errors
    /// When there is no answer, or none that makes sense.
    pub async fn busiest(&self, queries: &Queries, span: Range) -> Result<u64, PrometheusError> {
        let length = span.end.seconds_since(span.start).max(0);
        let mut most = 0.0_f64;
        for eighth in 0..=8 {
            for series in self.instant(&queries.count(), span.start.plus(length / 8 * eighth)).await? {
                most = series.points().map(|(_, value)| value).fold(most, f64::max);
            }
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "0 or more; the cast saturates"
        )]
        Ok(most as u64)
    }

    async fn ask(
        &self,
        path: &str,
        query: &str,
        times: &[(&str, String)],
    ) -> Result<Vec<Series>, PrometheusError> {
        let pauses =
            ExponentialBuilder::default().with_min_delay(FIRST_PAUSE).with_max_times(RETRIES).with_jitter();
        (|| self.ask_once(path, query, times)).retry(pauses).when(PrometheusError::passes).await
    }

    async fn ask_once(
        &self,
        path: &str,
        query: &str,
        times: &[(&str, String)],
    ) -> Result<Vec<Series>, PrometheusError> {
        let mut form = vec![("query", query.to_owned())];
        form.extend(times.iter().cloned());
        let mut url = self.url.clone();
        url.set_path(&format!("{}/api/v1/{path}", url.path().trim_end_matches('/')));
        // POST: a query may be longer than an address is allowed to be.
        let mut request = self.http.post(url).form(&form);
        if let Some((user, password)) = &self.user {
            request = request.basic_auth(user, password.as_ref());
        }
        let response = request.send().await.map_err(|e| self.no_answer(query, &e))?;
        let status = response.status();
        let body = self.body(query, response).await?;
        if !status.is_success() {
            return Err(PrometheusError::Refused {
                url: self.shown.clone(),
                query: query.to_owned(),
                status: status.as_u16(),
                detail: answer::error_text(&body),
            });
        }
        let (series, warnings) = answer::parse(&body).map_err(|detail| self.garbled(query, detail))?;
        self.count(&series, warnings);
        Ok(series)
    }

    fn count(&self, series: &[Series], warnings: Vec<String>) {
        let samples = series.iter().map(|series| series.len() as u64).sum();
        self.said.queries.fetch_add(1, Ordering::Relaxed);
        self.said.samples.fetch_add(samples, Ordering::Relaxed);
        self.said.largest.fetch_max(samples, Ordering::Relaxed);
        let mut kept = self.said.warnings.lock().unwrap_or_else(PoisonError::into_inner);
        for warning in warnings {
            if kept.len() < MOST_WARNINGS {
                kept.insert(answer::shortened(&warning));
            }
        }
    }

    async fn body(&self, query: &str, mut response: reqwest::Response) -> Result<Vec<u8>, PrometheusError> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|e| self.no_answer(query, &e))? {
            if body.len() + chunk.len() > MAX_BODY {
                return Err(self.garbled(query, format!("more than {} MiB", MAX_BODY >> 20)));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    fn no_answer(&self, query: &str, error: &reqwest::Error) -> PrometheusError {
        let url = self.shown.clone();
        // A connection that does not come about within its own, shorter time is no slow query.
        if error.is_timeout() && !error.is_connect() {
            return PrometheusError::TimedOut { url, query: query.to_owned(), seconds: self.timeout };
        }
        PrometheusError::Unreachable { url, detail: crate::cluster::error::root_cause(error) }
    }

    fn garbled(&self, query: &str, detail: String) -> PrometheusError {
        PrometheusError::Garbled { url: self.shown.clone(), query: query.to_owned(), detail }
    }
}
