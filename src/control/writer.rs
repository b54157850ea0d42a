//! Writes to the API server: at most so many at once and so many a second; of one object always the newest only.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Waiting jobs, one per key.
#[derive(Debug)]
pub struct Queue<K, J> {
    inner: Mutex<Inner<K, J>>,
    ready: Notify,
    /// When the next job may begin.
    turn: tokio::sync::Mutex<Instant>,
    pause: Duration,
}

#[derive(Debug)]
struct Inner<K, J> {
    order: VecDeque<K>,
    jobs: HashMap<K, J>,
    running: HashSet<K>,
}

impl<K: Hash + Eq + Clone, J> Queue<K, J> {
    /// Empty; jobs begin at most `per_second` times a second.
    #[must_use]
    pub fn new(per_second: u32) -> Arc<Self> {
        Arc::new(Self {
            inner: Mutex::new(Inner {
                order: VecDeque::new(),
                jobs: HashMap::new(),
                running: HashSet::new(),
            }),
            ready: Notify::new(),
            turn: tokio::sync::Mutex::new(Instant::now()),
            pause: Duration::from_secs(1) / per_second.max(1),
        })
    }

    fn inner(&self) -> MutexGuard<'_, Inner<K, J>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a job in place of one that still waits under the same key. What is urgent overtakes the others.
    pub fn push(&self, key: K, job: J, urgent: bool) {
        let mut inner = self.inner();
        let waited = inner.jobs.insert(key.clone(), job).is_some();
        if waited && urgent {
            inner.order.retain(|other| *other != key);
        }
        if urgent {
            inner.order.push_front(key);
        } else if !waited {
            inner.order.push_back(key);
        }
        drop(inner);
        self.ready.notify_one();
    }

    /// How many wait or run.
    pub fn len(&self) -> usize {
        let inner = self.inner();
        inner.jobs.len() + inner.running.len()
    }

    /// True where nothing waits or runs.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets what waits.
    pub fn clear(&self) {
        let mut inner = self.inner();
        inner.order.clear();
        inner.jobs.clear();
    }

    /// The next job whose key has none running.
    fn take(&self) -> Option<(K, J)> {
        let mut inner = self.inner();
        let place = inner.order.iter().position(|key| !inner.running.contains(key))?;
        let key = inner.order.remove(place)?;
        let job = inner.jobs.remove(&key)?;
        inner.running.insert(key.clone());
        Some((key, job))
    }

    fn done(&self, key: &K) {
        self.inner().running.remove(key);
        self.ready.notify_one();
    }

    /// Works until `stop`. Several may, at the same time; a job that has begun is finished.
    pub async fn work<F, Fut>(&self, stop: &CancellationToken, run: F)
    where
        F: Fn(K, J) -> Fut,
        Fut: Future<Output = ()>,
    {
        while !stop.is_cancelled() {
            let Some((key, job)) = self.take() else {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = self.ready.notified() => continue,
                }
            };
            // Wakes the next worker: one notice may stand for many jobs.
            self.ready.notify_one();
            self.wait_turn().await;
            run(key.clone(), job).await;
            self.done(&key);
        }
    }

    async fn wait_turn(&self) {
        let mut turn = self.turn.lock().await;
        let begin = (*turn).max(Instant::now());
        *turn = begin + self.pause;
        drop(turn);
        tokio::time::sleep_until(begin).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_of_a_key_counts_and_what_is_urgent_overtakes() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let queue = Queue::new(1000);
            for (key, job, urgent) in [("a", 1, false), ("b", 1, false), ("a", 2, false), ("c", 1, true)] {
                queue.push(key, job, urgent);
            }
            assert_eq!(queue.take(), Some(("c", 1)));
            assert_eq!(queue.take(), Some(("a", 2)));
            queue.push("a", 3, true);
            assert_eq!(queue.take(), Some(("b", 1)), "a still runs");
            assert_eq!(queue.take(), None);
            queue.done(&"a");
            assert_eq!(queue.take(), Some(("a", 3)));
        });
    }

    #[test]
    fn jobs_keep_their_distance() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let queue = Queue::new(50);
            for key in 0..5 {
                queue.push(key, (), false);
            }
            let stop = CancellationToken::new();
            let done = std::cell::Cell::new(0);
            let begin = Instant::now();
            let run = |_, ()| {
                done.set(done.get() + 1);
                if done.get() == 5 {
                    stop.cancel();
                }
                std::future::ready(())
            };
            tokio::join!(queue.work(&stop, run), queue.work(&stop, run));
            assert!(begin.elapsed() >= Duration::from_millis(70), "{:?}", begin.elapsed());
        });
    }
}
