//! How long a scan of days of history takes, and what it costs the Prometheus that is asked.
//!
//! `PLUMB_SCAN_PODS` and `PLUMB_SCAN_DAYS` say of what size (30 pods and 2 days where they say nothing);
//! `make bench-scan` scans 14 days of 1,000 pods, with an optimised build.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::support::Context;
use crate::support::backfill::{self, Story};

const MIB: f64 = 1_048_576.0;
/// Replicas of one StatefulSet.
const REPLICAS: usize = 5;

fn number(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Goes up and down over the day.
fn daily(at: i64) -> (f64, f64) {
    let wave = (at.rem_euclid(86_400) as f64 / 86_400.0 * std::f64::consts::TAU).sin();
    (0.3 + 0.2 * wave, (300.0 + 100.0 * wave) * MIB)
}

fn story(number: usize) -> Story {
    let set = format!("set-{}", number / REPLICAS);
    Story {
        namespace: "shop".to_owned(),
        pod: format!("{set}-{}", number % REPLICAS),
        container: "load".to_owned(),
        owner: Some(("StatefulSet", set)),
        requests: (1.0, 1024.0 * MIB),
        memory_limit: 1024.0 * MIB,
        usage: daily,
        kills: &[],
    }
}

cluster_test!(a_scan_of_days_is_quick_and_light, []);
async fn a_scan_of_days_is_quick_and_light(context: Context) -> Result<()> {
    let (pods, days) = (number("PLUMB_SCAN_PODS", 30), number("PLUMB_SCAN_DAYS", 2));
    let run = &context.cluster.plane.run;
    let name = format!("{}-past", context.namespace);
    let begin = Instant::now();
    let stories: Vec<Story> = (0..pods).map(story).collect();
    let url = backfill::start(run, &name, &stories, i64::try_from(days)?, true).await?;
    println!("{days} days of {pods} pods written in {:.0} s", begin.elapsed().as_secs_f64());
    let process = format!("/proc/{}", run.pid(&name)?);
    // What it took to read the blocks is not of the scan.
    std::fs::write(format!("{process}/clear_refs"), "5").context("cannot begin to measure memory anew")?;
    let (before, own) = (memory(&process, "VmRSS:")?, memory(&process, "RssAnon:")?);
    let begin = Instant::now();
    let history = format!("{days}d");
    let arguments = ["scan", "--prometheus", &url, "--history", &history, "-n", "shop", "-o", "json"];
    let (output, most) = {
        let scan = context.plumb(&arguments);
        highest_while(&process, scan).await?
    };
    let (took, said) = (begin.elapsed(), output.stderr.clone());
    let (added, with_blocks) = (most - own, memory(&process, "VmHWM:")? - before);
    let found: Value = serde_json::from_str(&output.ok()?)?;
    let rows = found["containers"].as_array().context("no rows")?.len();
    ensure!(rows == pods.div_ceil(REPLICAS), "{rows} rows");
    let figure = |before: &str| -> Result<u64> {
        let words: Vec<&str> = said.split_whitespace().collect();
        let place = words.windows(before.split(' ').count()).position(|words| words.join(" ") == before);
        let place = place.with_context(|| format!("no {before:?} in {said}"))? + before.split(' ').count();
        Ok(words.get(place).context("nothing after it")?.parse()?)
    };
    let (samples, queries, largest) = (figure("read")?, figure("samples in")?, figure("at most")?);
    println!(
        "{days} days of {pods} pods scanned in {:.1} s: {samples} samples in {queries} queries, at most {largest} in \
         one; {added:.0} MiB more for Prometheus, of {own:.0} MiB before ({with_blocks:.0} MiB more with its mapped \
         blocks, of {before:.0})",
        took.as_secs_f64()
    );
    ensure!(largest <= 2_000_000, "{largest} samples in one query");
    ensure!(added <= 200.0, "{added} MiB more for Prometheus");
    ensure!(took <= Duration::from_secs(60), "it took {took:?}");
    Ok(())
}

/// What the future gives, and the most memory of its own, in MiB, that the process had meanwhile. Pages of mapped blocks
/// are not its own: the kernel takes them back when others need them.
async fn highest_while<T>(process: &str, work: impl Future<Output = Result<T>>) -> Result<(T, f64)> {
    let mut work = std::pin::pin!(work);
    let mut most = memory(process, "RssAnon:")?;
    loop {
        match tokio::time::timeout(Duration::from_millis(50), &mut work).await {
            Ok(done) => return Ok((done?, most)),
            Err(_) => most = most.max(memory(process, "RssAnon:")?),
        }
    }
}

/// A line of a process's status, in MiB.
fn memory(process: &str, name: &str) -> Result<f64> {
    let text = std::fs::read_to_string(format!("{process}/status"))?;
    let line = text.lines().find(|line| line.starts_with(name)).context("no such line")?;
    Ok(line.split_whitespace().nth(1).context("no number")?.parse::<f64>()? / 1024.0)
}
