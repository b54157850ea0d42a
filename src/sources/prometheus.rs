//! Usage from Prometheus, or what speaks its API: cAdvisor's series of CPU and memory.
//!
//! Every answer is bounded in time and size; a range is asked for in pieces that hold at most
//! [`MAX_SAMPLES`] samples, so that neither side has to hold more.

mod answer;
#[cfg(test)]
mod tests;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};

use crate::units::Timestamp;

pub use answer::Series;

/// How many samples one range query may answer with.
pub const MAX_SAMPLES: u64 = 1_000_000;
/// Prometheus itself refuses more points of one series.
const MAX_POINTS: i64 = 11_000;
/// The largest body that is read; a million samples are about 30 MB.
const MAX_BODY: usize = 256 << 20;

/// Where Prometheus is and how to ask it.
#[derive(Clone, Debug, clap::Args)]
pub struct PrometheusOptions {
    /// Read from this Prometheus, or what speaks its API (Thanos, Mimir, VictoriaMetrics)
    #[arg(long, value_name = "URL")]
    pub prometheus: Option<String>,
    /// File with a bearer token for Prometheus
    #[arg(long, value_name = "FILE", requires = "prometheus")]
    pub prometheus_token_file: Option<PathBuf>,
    /// How long Prometheus may take for one query, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub prometheus_timeout: u64,
}

/// What can go wrong between us and Prometheus.
#[derive(Debug, thiserror::Error)]
pub enum PrometheusError {
    /// The address is none.
    #[error("{url:?} is no address of Prometheus: {detail}; write it like http://prometheus.monitoring:9090")]
    BadUrl {
        /// What was given.
        url: String,
        /// What is wrong with it.
        detail: String,
    },
    /// The token cannot be read.
    #[error("cannot read the Prometheus token from {path}: {detail}")]
    BadToken {
        /// The file.
        path: String,
        /// What is wrong with it.
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
}

/// A Prometheus to ask.
#[derive(Clone, Debug)]
pub struct Prometheus {
    http: reqwest::Client,
    url: String,
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
    /// This span in pieces so short that `series` series have at most [`MAX_SAMPLES`] points together.
    pub fn pieces(self, series: u64) -> impl Iterator<Item = Self> {
        let step = self.step.max(1);
        let points = i64::try_from(MAX_SAMPLES / series.max(1)).unwrap_or(MAX_POINTS).clamp(1, MAX_POINTS);
        let length = points.saturating_mul(step);
        let mut start = self.start;
        std::iter::from_fn(move || {
            if start > self.end {
                return None;
            }
            let end = start.plus(length - step).min(self.end);
            let piece = Self { start, end, step };
            start = end.plus(step);
            Some(piece)
        })
    }
}

impl Prometheus {
    /// Prepares to ask; does not talk to it yet. `None` where no address is given.
    ///
    /// # Errors
    /// When the address or the token cannot be used.
    pub fn open(options: &PrometheusOptions) -> Result<Option<Self>, PrometheusError> {
        let Some(url) = &options.prometheus else { return Ok(None) };
        let bad_url = |detail: String| PrometheusError::BadUrl { url: url.clone(), detail };
        let parsed = reqwest::Url::parse(url).map_err(|e| bad_url(e.to_string()))?;
        if !matches!(parsed.scheme(), "http" | "https") || parsed.host().is_none() {
            return Err(bad_url("it must begin with http:// or https:// and name a host".to_owned()));
        }
        let mut headers = HeaderMap::new();
        if let Some(path) = &options.prometheus_token_file {
            let bad = |detail: String| PrometheusError::BadToken { path: path.display().to_string(), detail };
            let token = fs::read_to_string(path).map_err(|e| bad(e.to_string()))?;
            let mut value = HeaderValue::from_str(&format!("Bearer {}", token.trim()))
                .map_err(|_| bad("it holds characters that no token has".to_owned()))?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let http = reqwest::Client::builder()
            .timeout(Duration::from_secs(options.prometheus_timeout.max(1)))
            .connect_timeout(Duration::from_secs(5))
            .default_headers(headers)
            .build()
            .map_err(|e| bad_url(e.to_string()))?;
        Ok(Some(Self { http, url: url.trim_end_matches('/').to_owned() }))
    }

    /// What `query` answers at one time.
    ///
    /// # Errors
    /// When there is no answer, or none that makes sense.
    pub async fn instant(&self, query: &str, at: Timestamp) -> Result<Vec<Series>, PrometheusError> {
        self.ask("query", query, &[("time", at.0.to_string())]).await
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

    async fn ask(
        &self,
        path: &str,
        query: &str,
        times: &[(&str, String)],
    ) -> Result<Vec<Series>, PrometheusError> {
        let mut form = vec![("query", query.to_owned())];
        form.extend(times.iter().cloned());
        // POST: a query may be longer than an address is allowed to be.
        let request = self.http.post(format!("{}/api/v1/{path}", self.url)).form(&form);
        let response = request.send().await.map_err(|e| self.unreachable(&e))?;
        let status = response.status();
        let body = self.body(query, response).await?;
        if !status.is_success() {
            return Err(PrometheusError::Refused {
                url: self.url.clone(),
                query: query.to_owned(),
                status: status.as_u16(),
                detail: answer::error_text(&body),
            });
        }
        answer::parse(&body).map_err(|detail| self.garbled(query, detail))
    }

    async fn body(&self, query: &str, mut response: reqwest::Response) -> Result<Vec<u8>, PrometheusError> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|e| self.unreachable(&e))? {
            if body.len() + chunk.len() > MAX_BODY {
                return Err(self.garbled(query, format!("more than {} MiB", MAX_BODY >> 20)));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    fn unreachable(&self, error: &reqwest::Error) -> PrometheusError {
        let detail = if error.is_timeout() {
            "it took too long".to_owned()
        } else {
            crate::cluster::error::root_cause(error)
        };
        PrometheusError::Unreachable { url: self.url.clone(), detail }
    }

    fn garbled(&self, query: &str, detail: String) -> PrometheusError {
        PrometheusError::Garbled { url: self.url.clone(), query: query.to_owned(), detail }
    }
}
