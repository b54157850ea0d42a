//! Waiting for something to become true, with a failure that says what was true instead.

use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

/// Pauses between two questions: what comes soon is seen soon, and what takes long costs little.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(400);
/// How long the last answer may take.
const LAST_ANSWER: Duration = Duration::from_secs(5);

/// Waits until the clock shows a later second: Kubernetes' times are whole seconds, and what is made after this is seen to
/// be younger than what was made before.
pub async fn later_second() {
    let now = k8s_openapi::jiff::Timestamp::now();
    let rest = 1_000_000_000 - i64::from(now.subsec_nanosecond());
    tokio::time::sleep(Duration::from_nanos(rest.unsigned_abs()) + Duration::from_millis(20)).await;
}

/// Asks until the answer is `Ok`, or until `limit` has passed; then fails with what `what` was and the last `Err`. It is
/// asked once more after the limit: a machine that stood still has not given what is waited for its time.
///
/// The closure says "not yet" by an error that tells what it saw: `ensure!(phase == "Running", "it is {phase}")`.
pub async fn wait_for<T, F, Fut>(what: &str, limit: Duration, mut ask: F) -> Result<T>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T>>,
{
    let start = Instant::now();
    let mut last = None;
    let mut pause = FIRST_PAUSE;
    let mut over = false;
    while !over {
        over = start.elapsed() >= limit;
        // An answer that never comes counts as none.
        let left = limit.saturating_sub(start.elapsed()).max(LAST_ANSWER);
        match tokio::time::timeout(left, ask()).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(not_yet)) => last = Some(format!("{not_yet:#}")),
            Err(_) => {}
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 3 / 2).min(LONGEST_PAUSE);
    }
    let seen = last.unwrap_or_else(|| "no answer at all".to_owned());
    Err(anyhow!("waited {} s for {what}; last seen: {seen}", limit.as_secs()))
}
