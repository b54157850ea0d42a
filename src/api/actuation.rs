//! How a policy wants running pods changed: by which means, at which pace, when, and watched for how long.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Span;
use super::bounds::{MOST_COOLDOWN, MOST_OBSERVE, MOST_OPEN, span_rule};

/// How running pods are changed: by which means, at which pace, when, and watched for how long.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Actuation {
    /// By which means a running pod gets its new size. InPlace: by an in-place resize; what cannot be resized is left
    /// and named. InPlaceOrEvict: by an in-place resize, and where that cannot be, by eviction. Evict: by eviction,
    /// within the PodDisruptionBudgets. OnCreate: not at all; only new pods get it.
    #[serde(default)]
    pub method: Method,
    /// With fewer running replicas than this a pod is resized in place only, never evicted.
    #[serde(default = "two")]
    #[schemars(range(min = 0, max = 100_000))]
    pub min_replicas: u32,
    /// How many pods of a workload may be disrupted at once, as a number or in percent of its replicas.
    #[serde(default = "quarter")]
    #[schemars(schema_with = "int_or_percent")]
    #[x_kube(validation = Rule::new("type(self) == int ? self >= 0 && self <= 100000 : self.matches('^(100|[0-9]{1,2})%$')").message("maxUnavailable must be a whole number from 0 to 100000, or a percentage from 0% to 100%"))]
    pub max_unavailable: IntOrString,
    /// How far one change may go.
    #[serde(default)]
    pub max_step_percent: MaxStepPercent,
    /// Time after a change in which nothing of the pod is lowered; growth waits for five minutes of it. An OOM kill ends it.
    /// At most 7d.
    #[serde(default = "ten_minutes")]
    #[x_kube(validation = Rule::new(span_rule(MOST_COOLDOWN)).message("actuation.cooldown must be at most 7d"))]
    pub cooldown: Span,
    /// When pods may be changed. Absent: always. An OOM kill is answered at any time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub windows: Vec<Window>,
    /// What is watched after the first pod of a workload was changed, before the others follow.
    #[serde(default)]
    pub guard: Guard,
    /// What becomes of a resource by whose use, as a share of the request, a HorizontalPodAutoscaler scales. Hold: its
    /// request stays. Rescale: the request moves, and the autoscaler's target against it, so that it scales at the same
    /// use as before.
    #[serde(default)]
    pub hpa: HpaRule,
}

fn two() -> u32 {
    2
}

fn quarter() -> IntOrString {
    IntOrString::String("25%".to_owned())
}

fn ten_minutes() -> Span {
    Span::minutes(10)
}

fn int_or_percent(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({"x-kubernetes-int-or-string": true, "maxLength": 4})
}

impl Default for Actuation {
    fn default() -> Self {
        Self {
            method: Method::default(),
            min_replicas: two(),
            max_unavailable: quarter(),
            max_step_percent: MaxStepPercent::default(),
            cooldown: ten_minutes(),
            windows: Vec::new(),
            guard: Guard::default(),
            hpa: HpaRule::default(),
        }
    }
}

/// By which means a pod gets its new size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Method {
    /// By an in-place resize; what cannot be resized is left and named.
    InPlace,
    /// By an in-place resize, and where that cannot be, by eviction.
    #[default]
    InPlaceOrEvict,
    /// By eviction.
    Evict,
    /// Only when it is created.
    OnCreate,
}

/// What becomes of a resource that a HorizontalPodAutoscaler scales by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum HpaRule {
    /// Its request stays.
    #[default]
    Hold,
    /// Its request moves, and the autoscaler's target against it.
    Rescale,
}

/// How far one change may go.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MaxStepPercent {
    /// How much of a request or limit one change may take away, in percent. Growth is not stepped.
    #[serde(default = "fifty")]
    #[schemars(range(min = 1, max = 100))]
    pub shrink: u32,
}

fn fifty() -> u32 {
    50
}

impl Default for MaxStepPercent {
    fn default() -> Self {
        Self { shrink: fifty() }
    }
}

/// A span of time that comes back, in which pods may be changed.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Window {
    /// When it begins, as five cron fields: minute, hour, day of month, month, day of week.
    #[schemars(length(max = 128))]
    #[x_kube(
        validation = Rule::new("self.matches('^[^ ]+( [^ ]+){4}$')").message("windows.schedule must have five fields: minute, hour, day of month, month, day of week"),
        validation = Rule::new(schedule_rule()).message("windows.schedule must be cron fields such as 30 2 * * 1-5")
    )]
    pub schedule: String,
    /// How long it lasts. At most 31d.
    #[x_kube(validation = Rule::new("self.matches('[1-9]')").message("windows.duration must be longer than 0"), validation = Rule::new(span_rule(MOST_OPEN)).message("windows.duration must be at most 31d"))]
    pub duration: Span,
    /// A time zone of the IANA database, such as Europe/Berlin.
    #[serde(default = "utc")]
    #[schemars(length(min = 1, max = 64))]
    #[x_kube(
        validation = Rule::new("self != 'Local' && self.matches('^[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*$') && timestamp('2026-01-01T00:00:00Z').getHours(self) >= 0").message("windows.timeZone must be a time zone of the IANA database")
    )]
    pub time_zone: String,
}

/// Each field within its bounds, as far as a pattern can say so; fields that are too few are another rule's.
fn schedule_rule() -> String {
    let field = |value: &str| {
        let one = format!("([*]|[?]|{value}(-{value})?)(/[0-9]{{1,2}})?");
        format!("{one}(,{one})*")
    };
    let fields = [
        field("[0-5]?[0-9]"),
        field("([01]?[0-9]|2[0-3])"),
        field("(L|LW|(0?[1-9]|[12][0-9]|3[01])W?)"),
        field("(0?[1-9]|1[0-2]|[A-Za-z]{3})"),
        field("(L|([0-7]|[A-Za-z]{3})(L|#[1-5])?)"),
    ];
    format!("!self.matches('^[^ ]+( [^ ]+){{4}}$') || self.matches('^{}$')", fields.join(" "))
}

fn utc() -> String {
    "UTC".to_owned()
}

/// What is watched after the first pod of a workload was changed.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Guard {
    /// For how long that pod is watched for OOM kills, restarts, readiness and throttling. Harm is rolled back; else
    /// the workload's other pods follow.
    /// At most 1d.
    #[serde(default = "five_minutes")]
    #[x_kube(validation = Rule::new(span_rule(MOST_OBSERVE)).message("guard.observe must be at most 1d"))]
    pub observe: Span,
}

fn five_minutes() -> Span {
    Span::minutes(5)
}

impl Default for Guard {
    fn default() -> Self {
        Self { observe: five_minutes() }
    }
}
