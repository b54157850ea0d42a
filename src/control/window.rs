//! Whether a policy's windows are open.

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use croner::Cron;

use crate::api::Window;
use crate::units::Timestamp;

/// Whether one of them is open now, or there is none at all.
///
/// # Errors
/// What of a window cannot be read, in words. Then none counts as open.
pub(super) fn is_open(windows: &[Window], now: Timestamp) -> Result<bool, String> {
    let now = DateTime::<Utc>::from_timestamp(now.0, 0).unwrap_or_default();
    let mut open = windows.is_empty();
    for window in windows {
        open |= contains(window, now)?;
    }
    Ok(open)
}

/// Whether all of them can be read.
///
/// # Errors
/// What of a policy cannot, in words.
pub(super) fn check(windows: &[Window]) -> Result<(), String> {
    windows.iter().try_for_each(|window| read(window).map(drop)).map_err(|problem| named(&problem))
}

/// A problem of a window, with the field of the policy.
pub(super) fn named(problem: &str) -> String {
    format!("spec.actuation.windows: {problem}; no pod is changed by it")
}

fn read(window: &Window) -> Result<(Tz, Cron), String> {
    let zone: Tz = window.time_zone.parse().map_err(|_| format!("{:?} is no time zone", window.time_zone))?;
    let schedule: Cron =
        window.schedule.parse().map_err(|error| format!("schedule {:?}: {error}", window.schedule))?;
    Ok((zone, schedule))
}

fn contains(window: &Window, now: DateTime<Utc>) -> Result<bool, String> {
    let (zone, schedule) = read(window)?;
    let seconds = i64::try_from(window.duration.seconds).unwrap_or(i64::MAX).min(366 * 86_400);
    let began = now - TimeDelta::seconds(seconds);
    // It is open where it began after that, and not later than now.
    match schedule.find_next_occurrence(&began.with_timezone(&zone), false) {
        Ok(next) => Ok(next <= now),
        // A date that never comes, such as the 30th of February.
        Err(_) => Ok(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(schedule: &str, duration: &str, zone: &str) -> Window {
        let json = serde_json::json!({"schedule": schedule, "duration": duration, "timeZone": zone});
        serde_json::from_value(json).unwrap()
    }

    fn at(text: &str) -> Timestamp {
        Timestamp(DateTime::parse_from_rfc3339(text).unwrap().timestamp())
    }

    #[test]
    fn a_window_is_open_for_its_duration_in_its_time_zone() {
        let night = [window("0 2 * * *", "3h", "Europe/Berlin")];
        let open = |text| is_open(&night, at(text)).unwrap();
        // Berlin is an hour ahead of UTC in winter, two in summer.
        assert!(!open("2026-01-10T00:59:59Z") && open("2026-01-10T01:00:00Z"));
        assert!(open("2026-01-10T03:59:59Z") && !open("2026-01-10T04:00:00Z"));
        assert!(open("2026-07-10T00:00:00Z") && !open("2026-07-10T03:00:00Z"));
        assert!(is_open(&[], at("2026-01-10T12:00:00Z")).unwrap());
        let two = [window("0 2 * * *", "1h", "UTC"), window("0 12 * * 6", "1h", "UTC")];
        assert!(is_open(&two, at("2026-01-10T12:30:00Z")).unwrap(), "a Saturday");
        assert!(!is_open(&two, at("2026-01-11T12:30:00Z")).unwrap());
    }

    #[test]
    fn what_cannot_be_read_is_named_and_opens_nothing() {
        let now = at("2026-01-10T12:00:00Z");
        assert!(is_open(&[window("0 2 * * *", "1h", "Mars/Base")], now).unwrap_err().contains("Mars/Base"));
        assert!(is_open(&[window("61 2 * * *", "1h", "UTC")], now).unwrap_err().contains("61 2"));
        assert!(!is_open(&[window("0 0 30 2 *", "1h", "UTC")], now).unwrap());
        assert!(check(&[window("0 2 * * *", "1h", "Europe/Berlin")]).is_ok());
        let problem = check(&[window("0 2 * * *", "1h", "Mars/Base")]).unwrap_err();
        assert!(problem.contains("spec.actuation.windows") && problem.contains("Mars/Base"), "{problem}");
    }
}
