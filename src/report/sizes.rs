//! What `plumb scan --prometheus` says: for each container of each workload, what it asks for, what it needs, and what
//! that saves.

mod csv;
mod page;
pub mod patches;
mod table;
#[cfg(test)]
mod tests;

use serde::Serialize;

use super::prices::Prices;
use crate::policy::ContainerSize;
use crate::units::{Bytes, Cores};

pub use self::csv::csv;
pub use page::page;
pub use table::table;

/// One container of one workload, over all its pods.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// Namespace of the workload.
    pub namespace: String,
    /// Kind of the workload, such as Deployment; Unknown where only its name is known.
    pub kind: String,
    /// Name of the workload.
    pub workload: String,
    /// Name of the container.
    pub container: String,
    /// How many pods run it now.
    pub replicas: usize,
    /// What it asks for; `None` where that is not known.
    pub current: Option<Size>,
    /// What it should ask for.
    pub recommended: Size,
    /// Dollars that all replicas together save a month; below zero where they need more. `None` where it is not known
    /// what they ask for.
    pub saves_monthly: Option<f64>,
    /// OOM kills in the history.
    pub oom_kills: u32,
    /// How far the history carries: low, medium or high.
    pub confidence: &'static str,
    /// Samples behind it.
    pub samples: u32,
    /// Days that they cover.
    pub days: f32,
    /// From where it is known whose the pods are.
    pub owner_from: &'static str,
    /// Why, in words with figures.
    pub reasons: Vec<String>,
}

/// Requests and limits of one container.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Size {
    /// CPU request, in cores.
    pub cpu_request: Option<Cores>,
    /// CPU limit, in cores.
    pub cpu_limit: Option<Cores>,
    /// Memory request, in bytes.
    pub memory_request: Option<Bytes>,
    /// Memory limit, in bytes.
    pub memory_limit: Option<Bytes>,
}

impl From<ContainerSize> for Size {
    fn from(size: ContainerSize) -> Self {
        let ContainerSize { cpu_request, cpu_limit, memory_request, memory_limit } = size;
        Self { cpu_request, cpu_limit, memory_request, memory_limit }
    }
}

impl Row {
    /// What is reserved a month for this container's replicas at a size, in dollars.
    #[must_use]
    pub fn monthly(&self, size: &Size, prices: &Prices) -> f64 {
        let (cpu, memory) = (size.cpu_request.unwrap_or_default(), size.memory_request.unwrap_or_default());
        prices.monthly(cpu, memory) * self.replicas as f64
    }

    /// `shop/web`, and `:proxy` where the container has another name.
    fn name(&self) -> String {
        let own =
            if self.container == self.workload { String::new() } else { format!(":{}", self.container) };
        format!("{}/{}{own}", self.namespace, self.workload)
    }
}

/// All rows, and where they are from.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Scan {
    /// Where the history is from.
    pub source: String,
    /// Days of history that were asked for.
    pub days: f64,
    /// Seconds between its samples.
    pub step_seconds: i64,
    /// From where it is known whose the pods are, in words.
    pub owners: String,
    /// Dollars for a core-hour.
    pub price_core_hour: f64,
    /// Dollars for a GiB-hour.
    pub price_gib_hour: f64,
    /// The sums.
    pub total: Total,
    /// What most is saved on first.
    pub containers: Vec<Row>,
}

/// Sums over all replicas of the rows whose requests are known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Total {
    /// Cores requested now.
    pub cpu_now: f64,
    /// Cores that should be.
    pub cpu_recommended: f64,
    /// Bytes of memory requested now.
    pub memory_now: f64,
    /// Bytes that should be.
    pub memory_recommended: f64,
    /// Dollars saved a month.
    pub saves_monthly: f64,
}

/// What comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// What saves most.
    #[default]
    Savings,
    /// By namespace, workload and container.
    Name,
    /// What asks for most CPU too much.
    Cpu,
    /// What asks for most memory too much.
    Memory,
}

/// Puts the rows in order. What is equal stays in the order of names.
pub fn sort(rows: &mut [Row], order: Order) {
    let key = |row: &Row| {
        let (now, then) = (row.current.unwrap_or_default(), row.recommended);
        let replicas = row.replicas as f64;
        let cpu = now.cpu_request.unwrap_or_default().0 - then.cpu_request.unwrap_or_default().0;
        let bytes = |size: Size| size.memory_request.unwrap_or_default().as_f64();
        match order {
            Order::Name => 0.0,
            Order::Savings => row.saves_monthly.unwrap_or(f64::NEG_INFINITY),
            Order::Cpu => cpu * replicas,
            Order::Memory => (bytes(now) - bytes(then)) * replicas,
        }
    };
    rows.sort_by(|a, b| {
        let name = |row: &'_ Row| (row.namespace.clone(), row.workload.clone(), row.container.clone());
        key(b).total_cmp(&key(a)).then_with(|| name(a).cmp(&name(b)))
    });
}

/// The sums of the rows.
#[must_use]
pub fn total(rows: &[Row]) -> Total {
    let mut total = Total::default();
    for row in rows {
        let Some(now) = row.current else { continue };
        let replicas = row.replicas as f64;
        let (then, bytes) = (row.recommended, |size: Size| size.memory_request.unwrap_or_default().as_f64());
        total.cpu_now += now.cpu_request.unwrap_or_default().0 * replicas;
        total.cpu_recommended += then.cpu_request.unwrap_or_default().0 * replicas;
        total.memory_now += bytes(now) * replicas;
        total.memory_recommended += bytes(then) * replicas;
        total.saves_monthly += row.saves_monthly.unwrap_or(0.0);
    }
    total
}

/// An amount, a dash where there is none.
fn dash<T: ToString>(amount: Option<T>) -> String {
    amount.map_or_else(|| "-".to_owned(), |amount| amount.to_string())
}
