//! The sizers that a backtest can compare, by name.

pub mod fixed;
pub mod krr;
pub mod plumb;
pub mod vpa;
pub mod window;

use super::arm::Arm;
use crate::actuate::step::Pace;
use crate::policy::{Objective, Rules};

/// Makes a sizer; called once per thread.
pub type Maker = Box<dyn Fn() -> Box<dyn Arm + Send> + Send + Sync>;

/// A sizer under a name.
pub struct NamedArm {
    /// As `--arms` takes it and the table shows it.
    pub name: String,
    /// Makes one.
    pub make: Maker,
}

impl NamedArm {
    /// Puts a name on what `make` makes.
    pub fn new<A: Arm + Send + 'static>(name: &str, make: impl Fn() -> A + Send + Sync + 'static) -> Self {
        Self { name: name.to_owned(), make: Box::new(move || Box::new(make())) }
    }
}

/// The names that [`named`] knows, with what each is.
pub const NAMES: [(&str, &str); 10] = [
    ("plumb", "plumb with its defaults: objective Balanced"),
    ("plumb0", "the same without its floors of 5m and 16Mi and without least changes"),
    ("plumb-economy", "plumb with objective Economy"),
    ("plumb-critical", "plumb with objective Critical"),
    ("vpa", "Vertical Pod Autoscaler 1.x with its defaults"),
    ("vpa0", "the same without its floors of 25m and 250Mi"),
    ("krr", "KRR's simple strategy: 14 days, CPU p95, memory max + 15 %"),
    ("krr0", "the same without its floors of 10m and 100 MB"),
    ("window", "Autopilot's moving window: CPU p95 by load, memory p98"),
    ("fixed", "the request in the trace's table, else the first day's max x 1.3"),
];

/// The sizer of that name.
#[must_use]
pub fn named(name: &str) -> Option<NamedArm> {
    let ours = |objective| {
        NamedArm::new(name, move || {
            let rules = Rules { cpu_objective: objective, memory_objective: objective, ..Rules::default() };
            plumb::Plumb::new(rules, Pace::default())
        })
    };
    Some(match name {
        "plumb" => ours(Objective::Balanced),
        "plumb0" => NamedArm::new(name, || plumb::Plumb::without_floors(Rules::default())),
        "plumb-economy" => ours(Objective::Economy),
        "plumb-critical" => ours(Objective::Critical),
        "vpa" => NamedArm::new(name, || vpa::Vpa::new(vpa::Floors::DEFAULT)),
        "vpa0" => NamedArm::new(name, || vpa::Vpa::new(vpa::Floors::OFF)),
        "krr" => NamedArm::new(name, || krr::Krr::new(krr::Floors::DEFAULT)),
        "krr0" => NamedArm::new(name, || krr::Krr::new(krr::Floors::OFF)),
        "window" => NamedArm::new(name, window::Window::new),
        "fixed" => NamedArm::new(name, fixed::Fixed::default),
        _ => return None,
    })
}
