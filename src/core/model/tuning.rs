//! The few numbers that shape the model, in one place. How they were found: docs/decisions/0002-estimate.md.

use super::hold::HoldRule;
use super::level::Level;
use super::number;
use super::prior::Prior;

/// How many rules propose a level for a resource.
pub const BASES: usize = 6;
/// How many margins are weighed for each of them.
pub const MARGINS: usize = 6;

/// The numbers that shape the need for one resource.
#[derive(Clone, Debug, PartialEq)]
pub struct Tuning {
    /// The rules that propose a level.
    pub levels: [Level; BASES],
    /// The factors on a level that are weighed, rising.
    pub margins: [f32; MARGINS],
    /// Half-life of a sample in the histogram, in seconds.
    pub half_life: i64,
    /// Half-life of the running costs, in seconds.
    pub memory: i64,
    /// When a level that is held is changed. `price` is that of a container of size `unit`.
    pub hold: HoldRule,
    /// The size at which a change costs `hold.price`: cores, or mebibytes.
    pub unit: f32,
    /// The price of a change, in time, falls with the quarters-th quarter power of the size: 0 not at all, 4 a fixed
    /// price for each change whatever its size.
    pub unit_quarters: u8,
    /// The mean step from one interval to the next, as a share of the mean, of a service whose underrun costs what
    /// its price says.
    pub calm: f32,
    /// An underrun costs less where usage is more restless than `calm`, more where it is calmer: by this quarter power.
    pub calm_quarters: u8,
    /// What goes above this many times the mean does not count in the costs: nobody reserves for such a burst.
    pub burst: f32,
    /// The chosen candidate stays until another is cheaper by this share.
    pub inertia: f32,
    /// When changes that come often are damped.
    pub damping: Damping,
    /// What candidates are assumed to cost before anything was learned.
    pub prior: Prior,
    /// Whether percentiles are of the load served (`true`) or of time.
    pub by_load: bool,
}

/// Of what changes often, a change must be worth more: the price of a change grows with how many there were. A service
/// that swings all day would otherwise be resized all day; what this costs in unused resources is small, as such a
/// service is at any size for a short time only.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Damping {
    /// Changes a day from which on they are damped: by the square of how many times as many there are.
    pub changes_a_day: f32,
    /// A change must be worth at most this many times as much.
    pub most: f32,
    /// The least growth that is made rises at most so many times, as growth that is not made is an underrun.
    pub most_growth: f32,
}

/// All numbers that shape the model.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// For the CPU request.
    pub cpu: Tuning,
    /// For the memory request.
    pub memory: Tuning,
    /// Half-life of the highest memory peak, in seconds.
    pub peak_half_life: i64,
    /// When memory request and limit that must be equal are changed. `price` is in prices of a change of the memory
    /// request: a limit that was lowered may kill.
    pub equal: HoldRule,
}

impl Default for Model {
    fn default() -> Self {
        let equal = HoldRule { grow: 0.03, shrink: 0.046, price: 3.0, underrun: None };
        Self { cpu: Tuning::cpu(), memory: Tuning::memory(), peak_half_life: 14 * 86_400, equal }
    }
}

impl Tuning {
    /// What a change costs for usage of that mean, in amount x seconds: see [`unit_quarters`](Self::unit_quarters). It is
    /// bounded, so that neither a trifle nor a giant is left as it is for days.
    #[must_use]
    pub fn price_of_change(&self, mean: f32) -> f32 {
        let mean = mean.max(1e-3);
        self.hold.price * mean * number::quarter_power(self.unit / mean, self.unit_quarters).clamp(0.1, 8.0)
    }

    /// For CPU, in cores.
    #[must_use]
    pub fn cpu() -> Self {
        Self {
            levels: [
                Level::QuarterHour,
                Level::Hour,
                Level::FourHours,
                Level::SameTime,
                Level::Ahead,
                Level::P80,
            ],
            margins: [0.92, 1.0, 1.03, 1.1, 1.4, 1.5],
            half_life: 178_000,
            memory: 380_000,
            hold: HoldRule { grow: 0.0385, shrink: 0.075, price: 510.0, underrun: None },
            unit: 1.07,
            unit_quarters: 1,
            calm: 0.093,
            calm_quarters: 1,
            burst: 6.2,
            inertia: 0.0285,
            damping: Damping { changes_a_day: 6.8, most: 6.5, most_growth: 2.7 },
            prior: Prior::CPU,
            by_load: false,
        }
    }

    /// For memory, in mebibytes.
    #[must_use]
    pub fn memory() -> Self {
        Self {
            levels: [Level::QuarterHour, Level::Hour, Level::Ahead, Level::FourHours, Level::P90, Level::P98],
            margins: [0.953, 1.0, 1.015, 1.032, 1.055, 1.147],
            half_life: 2 * 86_400,
            memory: 192_000,
            hold: HoldRule { grow: 0.0257, shrink: 0.046, price: 5000.0, underrun: Some(15.0) },
            unit: 4096.0,
            unit_quarters: 4,
            calm: 0.0078,
            calm_quarters: 1,
            burst: 100.0,
            inertia: 0.014,
            damping: Damping { changes_a_day: 2.0, most: 2.35, most_growth: 1.5 },
            prior: Prior::MEMORY,
            by_load: false,
        }
    }
}
