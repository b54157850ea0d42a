use super::*;

const LIMIT: LimitPrices = LimitPrices {
    kills_per_year: 1.0,
    least_margin: 1.5,
    most_margin: 3.0,
    equal_steady: 0.4,
    equal_margin: 1.1,
    equal_lesson: 1.1,
};
const HALF_LIFE: i64 = 14 * 86_400;

fn days(peaks: &[f32]) -> Tail {
    let mut tail = Tail::default();
    for (slot, peak) in (0..).zip(peaks) {
        tail.add(*peak, slot * SLOT, HALF_LIFE);
    }
    tail
}

#[test]
fn the_more_the_peaks_vary_the_further_it_reaches() {
    let steady = days(&[100.0; 60]);
    let varying: Vec<f32> = (0..60).map(|i| if i % 2 == 0 { 60.0 } else { 160.0 }).collect();
    let varying = days(&varying);
    assert!(steady.reach(1.0) < varying.reach(1.0));
    assert!(varying.reach(10.0) < varying.reach(1.0));
    assert!(varying.deviation() > 0.4 && varying.deviation() < 0.6, "{}", varying.deviation());
}

#[test]
fn the_limit_lies_within_its_margins() {
    let steady = days(&[100.0; 60]);
    let need = steady.need(&LIMIT);
    assert!((149.0..=301.0).contains(&need), "{need}");
}

#[test]
fn a_kill_is_remembered_for_long() {
    let mut tail = days(&[100.0; 8]);
    tail.kill(1, 400.0, 8 * SLOT, 1.5, HALF_LIFE);
    assert!(tail.need(&LIMIT) >= 599.0);
    for slot in 9..(4 * 30) {
        tail.add(100.0, slot * SLOT, HALF_LIFE);
    }
    assert!(tail.need(&LIMIT) > 450.0, "a month later: {}", tail.need(&LIMIT));
    assert!(tail.equal(&LIMIT) < 200.0, "limit = request forgets after eight days");
}

#[test]
fn on_its_first_day_what_a_kill_taught_is_not_raised_by_a_guess() {
    let young = days(&[120.0]);
    assert!(
        (young.need(&LIMIT) - 360.0).abs() < 0.1,
        "nothing is known but the peak: {}",
        young.need(&LIMIT)
    );
    let mut killed = young.clone();
    killed.kill(1, 96.0, 0, 1.5, HALF_LIFE);
    assert!((killed.need(&LIMIT) - 180.0).abs() < 0.1, "{}", killed.need(&LIMIT));
    // Peaks that go far apart are heard again once there is a day of them.
    for slot in 1..12 {
        killed.add(if slot % 2 == 0 { 40.0 } else { 120.0 }, slot * SLOT, HALF_LIFE);
    }
    assert!(killed.need(&LIMIT) > 300.0, "{}", killed.need(&LIMIT));
}

#[test]
fn without_samples_a_kill_alone_speaks() {
    let mut tail = Tail::default();
    tail.kill(1, 64.0, 1000, 1.5, HALF_LIFE);
    assert!((tail.need(&LIMIT) - 96.0).abs() < 0.1);
}
