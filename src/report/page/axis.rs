//! Round numbers along an axis, and how amounts are written.

use crate::units::Bytes;

/// Round steps from 0 up to `max` or just above, three to five of them.
pub(in crate::report) fn steps(max: f64) -> Vec<f64> {
    stepped(max, 1.0)
}

/// The same, but round in binary units: 500Mi, 1Gi, 2Gi.
pub(in crate::report) fn byte_steps(max: f64) -> Vec<f64> {
    let mut unit = 1.0;
    while max / 4.0 > unit * 1000.0 {
        unit *= 1024.0;
    }
    stepped(max, unit)
}

fn stepped(max: f64, unit: f64) -> Vec<f64> {
    let max = if max.is_finite() { max.max(1e-9) } else { 1.0 };
    let wanted = max / 4.0 / unit;
    let magnitude = 10.0_f64.powf(wanted.log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0, 10.0]
        .map(|m| m * magnitude)
        .into_iter()
        .find(|step| *step >= wanted * 0.999)
        .unwrap_or(wanted)
        * unit;
    let count = (1..=4).find(|n| f64::from(*n) * step >= max * 0.999).unwrap_or(4);
    (0..=count).map(|i| f64::from(i) * step).collect()
}

/// Whole powers of ten up to `max`, after 0 and, where there is room between, 1.
pub(super) fn powers(max: f64) -> Vec<f64> {
    let mut ticks = if max < 1000.0 { vec![0.0, 1.0] } else { vec![0.0] };
    let mut power = 10.0;
    while power <= max {
        ticks.push(power);
        power *= 10.0;
    }
    ticks
}

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

/// Places in time along `span` seconds, at most a dozen, with what is written there.
pub(super) fn times(span: i64) -> Vec<(i64, String)> {
    let spans =
        [1, 3, 6, 12, 24, 2 * 24, 3 * 24, 7 * 24, 14 * 24, 30 * 24, 90 * 24].map(|hours| hours * HOUR);
    let every = spans.into_iter().find(|every| span / every <= 11).unwrap_or(span / 11 / DAY * DAY + DAY);
    let name = |at: i64| if every < DAY { format!("{} h", at / HOUR) } else { format!("day {}", at / DAY) };
    (0..=11).map(|i| i * every).take_while(|at| *at <= span).map(|at| (at, name(at))).collect()
}

/// A share as percent, with as many digits as say something.
pub(super) fn share(value: f64) -> String {
    let percent = value * 100.0;
    let decimals = match percent {
        p if p >= 10.0 || p <= 0.0 => 0,
        p if p >= 1.0 => 1,
        p if p >= 0.1 => 2,
        _ => 3,
    };
    let least = 0.001;
    if percent > 0.0 && percent < least {
        format!("under {least} %")
    } else {
        format!("{} %", trimmed(percent, decimals))
    }
}

/// Cores as Kubernetes writes them, but finer below ten thousandths.
pub(in crate::report) fn cores(value: f64) -> String {
    if value >= 1.0 {
        trimmed(value, 2)
    } else if value > 0.0 {
        let milli = value * 1000.0;
        format!("{}m", trimmed(milli, if milli < 10.0 { 2 } else { 0 }))
    } else {
        "0".to_owned()
    }
}

/// Bytes as Kubernetes writes them.
pub(in crate::report) fn bytes(value: f64) -> String {
    const GIB: f64 = (1_u64 << 30) as f64;
    if value >= 10.0 * GIB {
        format!("{}Gi", trimmed(value / GIB, 1))
    } else {
        Bytes::from_f64(value).to_string()
    }
}

/// With at most so many decimals, and none that is 0 at the end.
pub(super) fn trimmed(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_round_and_few() {
        assert_eq!(steps(0.38), [0.0, 0.1, 0.2, 0.30000000000000004, 0.4]);
        assert_eq!(steps(0.96), [0.0, 0.25, 0.5, 0.75, 1.0]);
        let named: Vec<String> = byte_steps(1.4e9).into_iter().map(bytes).collect();
        assert_eq!(named, ["0", "500Mi", "1000Mi", "1500Mi"]);
        let named: Vec<String> = byte_steps(13.5e9).into_iter().map(bytes).collect();
        assert_eq!(named, ["0", "5Gi", "10Gi", "15Gi"]);
        for max in [0.0, 1e-300, 1e18, f64::INFINITY, f64::NAN] {
            assert!(steps(max).len() < 7 && byte_steps(max.min(1e19)).len() < 7, "{max}");
        }
    }

    #[test]
    fn any_span_of_time_has_few_ticks() {
        for span in [0, 1, 600, 90_000, 1_000_000, 31_000_000, 253_402_300_799, i64::MAX / 2] {
            let ticks = times(span);
            assert!((1..=12).contains(&ticks.len()), "{span}: {ticks:?}");
        }
        assert_eq!(times(2 * DAY).last().map(|tick| tick.1.clone()), Some("48 h".to_owned()));
    }

    #[test]
    fn amounts_are_written_short() {
        assert_eq!(
            [share(0.2), share(0.0123), share(0.00004), share(0.0)],
            ["20 %", "1.2 %", "0.004 %", "0 %"]
        );
        assert_eq!(share(1e-6), "under 0.001 %");
        assert_eq!([cores(1.5), cores(0.25), cores(0.0005), cores(0.0)], ["1.5", "250m", "0.5m", "0"]);
    }
}
