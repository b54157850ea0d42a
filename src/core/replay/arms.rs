//! The sizers that a backtest can compare, by name.

pub mod fixed;
pub mod krr;
pub mod plumb;
pub mod vpa;
pub mod window;

use super::arm::Arm;
use crate::actuate::step::Pace;
use crate::policy::{MemoryLimitRule, Objective, Rules};
use crate::units::Bytes;

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

/// Bytes above the request in the arm of rule Headroom.
const HEADROOM: Bytes = Bytes(256 << 20);

/// The names that [`named`] knows, with what each is.
pub const NAMES: [(&str, &str); 17] = [
    ("plumb", "plumb's own model, policy and steps, objective Balanced"),
    ("plumb-economy", "the same, objective Economy"),
    ("plumb-critical", "the same, objective Critical"),
    ("plumb0", "plumb without its floors of 5m and 16Mi and its least changes"),
    ("plumb0-economy", "the same, objective Economy"),
    ("plumb0-critical", "the same, objective Critical"),
    ("plumb0-equal", "plumb0 with memory limit Equal: limit = request"),
    ("plumb0-ratio", "plumb0 with memory limit Ratio: limit over request as people set it"),
    ("plumb0-headroom", "plumb0 with memory limit Headroom of 256Mi: limit = request + 256Mi"),
    ("plumb0-keep", "plumb0 with memory limit Keep: the limit that people set"),
    ("plumb0-remove", "plumb0 with memory limit Remove: no limit"),
    ("vpa", "Vertical Pod Autoscaler 1.x with its defaults"),
    ("vpa0", "the same without its floors of 25m and 250Mi"),
    ("krr", "KRR's simple strategy: 14 days, CPU p95, memory max + 15 %"),
    ("krr0", "the same without its floors of 10m and 100 MB"),
    ("window", "Autopilot's moving window: CPU p95 by load, memory p98"),
    ("fixed", "what people set: the trace's table, else the first day's max x 1.3"),
];

/// The sizer of that name.
#[must_use]
pub fn named(name: &str) -> Option<NamedArm> {
    Some(match name {
        "plumb" => own(name, Objective::Balanced, true),
        "plumb-economy" => own(name, Objective::Economy, true),
        "plumb-critical" => own(name, Objective::Critical, true),
        "plumb0" => own(name, Objective::Balanced, false),
        "plumb0-economy" => own(name, Objective::Economy, false),
        "plumb0-critical" => own(name, Objective::Critical, false),
        "plumb0-equal" => limited(name, MemoryLimitRule::Equal),
        "plumb0-ratio" => limited(name, MemoryLimitRule::Ratio),
        "plumb0-headroom" => limited(name, MemoryLimitRule::Headroom(HEADROOM)),
        "plumb0-keep" => limited(name, MemoryLimitRule::Keep),
        "plumb0-remove" => limited(name, MemoryLimitRule::Remove),
        "vpa" => NamedArm::new(name, || vpa::Vpa::new(vpa::Floors::DEFAULT)),
        "vpa0" => NamedArm::new(name, || vpa::Vpa::new(vpa::Floors::OFF)),
        "krr" => NamedArm::new(name, || krr::Krr::new(krr::Floors::DEFAULT)),
        "krr0" => NamedArm::new(name, || krr::Krr::new(krr::Floors::OFF)),
        "window" => NamedArm::new(name, window::Window::new),
        "fixed" => NamedArm::new(name, fixed::Fixed::default),
        _ => return None,
    })
}

/// plumb without floors, under this rule for the memory limit.
fn limited(name: &str, memory_limit: MemoryLimitRule) -> NamedArm {
    let rules = Rules { memory_limit, ..Rules::default() };
    NamedArm::new(name, move || plumb::Plumb::without_floors(rules))
}

/// plumb itself.
fn own(name: &str, objective: Objective, floors: bool) -> NamedArm {
    let rules = Rules { cpu_objective: objective, memory_objective: objective, ..Rules::default() };
    NamedArm::new(name, move || {
        if floors { plumb::Plumb::new(rules, Pace::default()) } else { plumb::Plumb::without_floors(rules) }
    })
}
