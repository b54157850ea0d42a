use super::*;

#[test]
fn a_seed_repeats_and_another_differs() {
    assert_eq!(fleet(7, 3), fleet(7, 3));
    assert_ne!(fleet(7, 3).0, fleet(8, 3).0);
}

#[test]
fn a_longer_fleet_begins_as_a_shorter_one() {
    let ((short, _), (long, _)) = (fleet(1, 2), fleet(1, 4));
    for (short, long) in short.iter().zip(&long) {
        assert_eq!(*short, long.until(START.plus(2 * DAY - 1)));
    }
}

#[test]
fn samples_are_sane_and_as_a_trace_holds_them() {
    for seed in 0..8 {
        for series in &fleet(seed, 14).0 {
            assert_eq!(series.len(), 14 * 288);
            assert!(series.times().windows(2).all(|w| w[1] - w[0] == STEP));
            for (_, cpu, memory) in series.samples() {
                assert!(cpu > 0.0 && cpu < 16.0, "{}: {cpu} cores", series.id);
                assert!(memory > 1e6 && memory < 16e9, "{}: {memory} bytes", series.id);
                assert!((memory % MEMORY_GRAIN).abs() < 0.5, "{}: {memory} bytes", series.id);
            }
        }
    }
}

#[test]
fn names_are_unique_and_each_has_a_request() {
    let (containers, given) = fleet(0, 1);
    assert_eq!(given.len(), containers.len());
    assert!(containers.iter().all(|series| given.contains_key(&series.id)));
    assert!(containers.iter().all(|series| series.id.len() <= 19), "a table has 80 columns");
}

/// The mean of a week over whole days, of `value` of each sample.
fn mean(series: &Series, days: std::ops::Range<i64>, value: fn((i64, f64, f64)) -> f64) -> f64 {
    let (from, to) = (START.0 + days.start * DAY, START.0 + days.end * DAY);
    let values: Vec<f64> = series.samples().filter(|&(at, ..)| (from..to).contains(&at)).map(value).collect();
    values.iter().sum::<f64>() / values.len() as f64
}

#[test]
fn shapes_do_what_their_words_say() {
    let (containers, _) = fleet(3, 14);
    let named = |name: &str| containers.iter().find(|s| s.id == name).unwrap();
    let cpu = |s: (i64, f64, f64)| s.1;
    let memory = |s: (i64, f64, f64)| s.2;
    let web = named("deployment-web");
    assert!(mean(web, 5..7, cpu) < 0.8 * mean(web, 0..5, cpu), "less at the weekend");
    let growing = named("statefulset-metrics");
    let growth = mean(growing, 7..14, memory) / mean(growing, 0..7, memory);
    assert!((1.2..1.3).contains(&growth), "a quarter more each week, not {growth}");
    let shift = named("deployment-pricing");
    assert!(mean(shift, 9..14, memory) > 1.4 * mean(shift, 0..7, memory));
    let leak = named("deployment-leak");
    assert!(leak.memory().windows(2).filter(|w| w[1] < 0.6 * w[0]).count() >= 3, "restarted each few days");
    let cache = named("statefulset-cache");
    assert!(mean(cache, 13..14, memory) > 1.5 * mean(cache, 0..1, memory));
}

#[test]
fn requests_are_mostly_too_large_and_here_and_there_too_small() {
    let (containers, given) = fleet(1, 14);
    let (mut generous, mut small) = (0, 0);
    for series in &containers {
        let request = given[&series.id].memory.unwrap().as_f64();
        generous += usize::from(mean(series, 0..14, |s| s.2) * 1.5 < request);
        small += usize::from(series.memory().iter().any(|&m| m > request));
    }
    assert!(generous >= 14, "{generous}");
    assert!((1..=3).contains(&small), "{small}");
}
