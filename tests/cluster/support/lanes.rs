//! Clusters that tests run in side by side. A test has its cluster for itself: what it makes there for the whole cluster
//! disturbs nobody, and is taken away before the next test comes.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use tokio::sync::Semaphore;

use super::cluster::Cluster;
use super::process::Run;
use super::registry::Need;

/// Memory that a cluster with a node, metrics-server and Prometheus may take, with the programs that a test starts.
const MEMORY_OF_ONE: u64 = 3 << 30;

/// Number of clusters that cores and memory allow. Tests wait more than they work.
pub fn carried() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let by_memory = memory().map_or(1, |bytes| bytes / MEMORY_OF_ONE);
    usize::try_from(by_memory).unwrap_or(1).clamp(1, cores * 3)
}

/// Memory that programs may still take.
fn memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    Some(line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()? << 10)
}

/// Clusters that start at once. More of them would starve the tests that run already.
const STARTING: usize = 2;

/// The clusters of a run that no test uses now.
pub struct Lanes {
    idle: Mutex<Vec<Arc<Cluster>>>,
    started: AtomicU32,
    starting: Semaphore,
}

impl Default for Lanes {
    fn default() -> Self {
        Self { idle: Mutex::default(), started: AtomicU32::new(0), starting: Semaphore::new(STARTING) }
    }
}

impl Lanes {
    /// Takes a cluster with all that is needed: of those there are the one that lacks least, or a new one.
    pub async fn take(&self, run: &Arc<Run>, needs: &[Need]) -> Result<Arc<Cluster>> {
        // A fresh one takes the place of one that is there.
        let known = self.take_idle(needs).filter(|_| !needs.contains(&Need::Fresh));
        let lacks =
            known.is_none() || known.iter().any(|cluster| needs.iter().any(|need| !cluster.has(*need)));
        let _turn = match lacks {
            true => Some(self.starting.acquire().await?),
            false => None,
        };
        let cluster = match known {
            Some(cluster) => cluster,
            None => {
                let number = self.started.fetch_add(1, Ordering::Relaxed);
                Arc::new(Cluster::start(run, &format!("cluster-{number}")).await?)
            }
        };
        for need in needs {
            cluster.add(*need).await?;
        }
        Ok(cluster)
    }

    fn take_idle(&self, needs: &[Need]) -> Option<Arc<Cluster>> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let cost = |cluster: &Arc<Cluster>| {
            let lacks = needs.iter().filter(|need| !cluster.has(**need)).count();
            // One with a node is left to those that need one.
            (lacks, cluster.has(Need::Node) && !needs.contains(&Need::Node))
        };
        let (place, _) = idle.iter().enumerate().min_by_key(|(_, cluster)| cost(cluster))?;
        Some(idle.remove(place))
    }

    /// Gives a cluster to whoever comes next, as it was before.
    pub async fn give_back(&self, cluster: Arc<Cluster>) -> Result<()> {
        cluster.reset().await?;
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(cluster);
        Ok(())
    }

    /// Lets go of all.
    pub fn clear(&self) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
