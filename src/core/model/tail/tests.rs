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

fn kill(id: u32, limit: f32) -> Kill {
    Kill { id, limit, bump: 1.5, settled: false }
}

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
    tail.kill(&kill(1, 400.0), 8 * SLOT, HALF_LIFE);
    assert!(tail.need(&LIMIT) >= 599.0);
    for slot in 9..(4 * 30) {
        tail.add(100.0, slot * SLOT, HALF_LIFE);
    }
    assert!(tail.need(&LIMIT) > 450.0, "a month later: {}", tail.need(&LIMIT));
    assert!(tail.equal(&LIMIT) > 450.0, "and so where limit and request are equal: {}", tail.equal(&LIMIT));
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
    killed.kill(&kill(1, 96.0), 0, HALF_LIFE);
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
    tail.kill(&kill(1, 64.0), 1000, HALF_LIFE);
    assert!((tail.need(&LIMIT) - 96.0).abs() < 0.1);
}

#[test]
fn an_equal_limit_remembers_a_weekly_peak_that_was_killed() {
    let (mut tail, mut kills) = (Tail::default(), 0);
    let mut limit = 220.0_f32;
    // Twenty weeks.
    for slot in 0..4 * 7 * 20 {
        let at = slot * SLOT;
        let value = if slot % 28 == 20 { 600.0 } else { 200.0 };
        while value > limit {
            kills += 1;
            assert!(slot < 28, "killed again in week {}", slot / 28);
            tail.add(limit, at, HALF_LIFE);
            tail.kill(&kill(kills, limit), at, HALF_LIFE);
            limit = limit.max(tail.equal(&LIMIT));
        }
        tail.add(value, at, HALF_LIFE);
        limit = tail.equal(&LIMIT);
    }
    assert_eq!(kills, 3, "each teaches half as much again, until it fits");
}

#[test]
fn kills_far_above_all_usage_do_not_raise_the_limit_for_ever() {
    // Its node was full, each time.
    let mut tail = days(&[100.0; 8]);
    let mut limit = 1024.0_f32;
    for id in 1..=8 {
        assert!(tail.is_of_node(limit, true));
        tail.kill(&Kill { settled: true, ..kill(id, limit) }, 8 * SLOT, HALF_LIFE);
        limit = limit.max(tail.need(&LIMIT));
    }
    assert!((limit - 1024.0).abs() < 1.0, "{limit}");
    assert_eq!(tail.kills.as_ref().map(|kills| kills.count), Some(8), "they are counted all the same");
    // Killed too soon to be measured: whether it was the node is not known, and comes to an end.
    let mut young = days(&[2.0; 8]);
    let mut limit = 64.0_f32;
    for id in 1..=40 {
        young.kill(&kill(id, limit), 8 * SLOT, HALF_LIFE);
        limit = limit.max(young.need(&LIMIT));
    }
    assert!((1000.0..2000.0).contains(&limit), "{limit}");
    // A week later it is another matter.
    young.add(2.0, 8 * SLOT + 10 * 86_400, HALF_LIFE);
    assert!(!young.is_of_node(limit, false));
}

#[test]
fn what_allocates_several_times_its_usage_at_once_is_healed() {
    let (mut fast, mut limit) = (days(&[40.0; 8]), 128.0_f32);
    for id in 1..=8 {
        if limit < 200.0 {
            fast.kill(&Kill { settled: true, ..kill(id, limit) }, 8 * SLOT, HALF_LIFE);
            limit = limit.max(fast.need(&LIMIT));
        }
    }
    assert!((200.0..400.0).contains(&limit), "{limit}");
}

/// What fills any limit within minutes, under a limit that follows its tail.
fn filled(mut limit: f32, slots: i64, killed: bool) -> (Tail, f32) {
    let mut tail = Tail::default();
    for slot in 0..slots {
        for part in 0..4 {
            let at = slot * SLOT + part * 300;
            tail.add(limit * 0.99, at, HALF_LIFE);
            tail.ride(limit * 0.99, limit, 0.0);
            if killed {
                tail.kill(&kill(u32::try_from(slot * 4 + part + 1).unwrap(), limit), at, HALF_LIFE);
            }
            limit = limit.max(tail.need(&LIMIT));
        }
    }
    (tail, limit)
}

#[test]
fn what_fills_every_limit_is_raised_once_and_a_kill_ends_that() {
    let (tail, limit) = filled(256.0, 40, false);
    assert!(tail.follows_limit() && limit < 800.0, "{limit}");
    assert!(tail.equal(&LIMIT) < limit * 1.03);
    let (mut tail, limit) = filled(256.0, 2, true);
    assert!(!tail.follows_limit() && limit > 1024.0, "{limit}");
    // Whoever waits for memory needs it.
    for slot in 10..40 {
        tail.ride(limit * 0.99, limit, 0.3);
        tail.add(limit * 0.99, slot * SLOT, HALF_LIFE);
    }
    assert!(!tail.follows_limit());
}
