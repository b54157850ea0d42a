//! What runs beside the main loop: each task goes on until it is told to stop, and each loop shows that it turns.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Tasks that only end when they are told to. One that ends before that, by a panic or by itself, is told of by
/// [`ended`](Self::ended): whoever leads and does nothing any more keeps others from doing it.
#[derive(Clone, Debug)]
pub struct Tasks {
    tracker: TaskTracker,
    stop: CancellationToken,
    ended: watch::Sender<Option<String>>,
    pulses: Arc<Mutex<Vec<Pulse>>>,
}

/// A loop, as it is seen from outside.
#[derive(Clone, Debug)]
pub struct Pulse(Arc<Beats>);

#[derive(Debug)]
struct Beats {
    name: &'static str,
    /// A turn takes no longer than this.
    within: Duration,
    begin: Instant,
    /// Milliseconds since then, at the last beat.
    last: AtomicU64,
}

impl Pulse {
    /// The loop turns.
    pub fn beat(&self) {
        let since = u64::try_from(self.0.begin.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.last.store(since, Ordering::Relaxed);
    }

    /// What is wrong with it, where it has stood still for too long.
    fn trouble(&self) -> Option<String> {
        let Beats { name, within, begin, last } = &*self.0;
        let still = begin.elapsed().saturating_sub(Duration::from_millis(last.load(Ordering::Relaxed)));
        (still > *within).then(|| {
            format!("{name} has not turned for {} s, at most {} are right", still.as_secs(), within.as_secs())
        })
    }
}

impl Tasks {
    /// For tasks that are told to stop by this.
    #[must_use]
    pub fn new(stop: CancellationToken) -> Self {
        Self { tracker: TaskTracker::new(), stop, ended: watch::Sender::new(None), pulses: Arc::default() }
    }

    /// Starts a task.
    pub fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let task = self.tracker.spawn(task);
        let (stop, ended) = (self.stop.clone(), self.ended.clone());
        self.tracker.spawn(async move {
            let done = task.await;
            if !stop.is_cancelled() {
                let how = if done.is_err() { "panicked" } else { "ended by itself" };
                ended.send_if_modified(|first| {
                    first.is_none() && first.replace(format!("{name} {how}")).is_none()
                });
            }
        });
    }

    /// A pulse for a loop that turns at least so often.
    #[must_use]
    pub fn pulse(&self, name: &'static str, within: Duration) -> Pulse {
        let pulse = Pulse(Arc::new(Beats { name, within, begin: Instant::now(), last: AtomicU64::new(0) }));
        self.pulses().push(pulse.clone());
        pulse
    }

    fn pulses(&self) -> MutexGuard<'_, Vec<Pulse>> {
        self.pulses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is wrong with loops that stand still.
    #[must_use]
    pub fn stuck(&self) -> Vec<String> {
        self.pulses().iter().filter_map(Pulse::trouble).collect()
    }

    /// Resolves when a task has ended that was not told to: which, and how.
    pub async fn ended(&self) -> String {
        let mut ended = self.ended.subscribe();
        match ended.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(what)) => what.clone(),
            // The sender is ours.
            _ => std::future::pending().await,
        }
    }

    /// Waits until all have ended.
    pub async fn wait(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_ends_untold_is_told_of() {
        for (panics, expected) in [(true, "the counter panicked"), (false, "the counter ended by itself")] {
            let tasks = Tasks::new(CancellationToken::new());
            tasks.spawn("the watch", std::future::pending());
            tasks.spawn("the counter", async move { assert!(!panics, "a fault") });
            assert_eq!(tasks.ended().await, expected);
        }
        let stop = CancellationToken::new();
        let tasks = Tasks::new(stop.clone());
        tasks.spawn("the counter", stop.clone().cancelled_owned());
        stop.cancel();
        tasks.wait().await;
        assert!(tokio::time::timeout(Duration::from_millis(50), tasks.ended()).await.is_err());
    }

    #[tokio::test]
    async fn a_loop_that_stands_still_is_told_of() {
        let tasks = Tasks::new(CancellationToken::new());
        let slow = tasks.pulse("the saver", Duration::from_secs(600));
        let quick = tasks.pulse("the updater", Duration::ZERO);
        tokio::time::sleep(Duration::from_millis(10)).await;
        slow.beat();
        assert_eq!(tasks.stuck(), ["the updater has not turned for 0 s, at most 0 are right"]);
        let steady = Tasks::new(CancellationToken::new());
        let pulse = steady.pulse("the updater", Duration::from_millis(500));
        tokio::time::sleep(Duration::from_millis(300)).await;
        pulse.beat();
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(steady.stuck().is_empty());
        drop(quick);
    }
}
