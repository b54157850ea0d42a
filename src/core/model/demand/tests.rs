use super::*;

const PRICES: RequestPrices = RequestPrices { underrun: 28.0, change: 1.0 };

fn fed(values: impl Iterator<Item = f32>) -> Demand {
    let (mut demand, tuning) = (Demand::default(), Tuning::cpu());
    for (i, value) in (0..).zip(values) {
        demand.add(value, i * INTERVAL, &tuning);
        demand.ask(&PRICES, &tuning);
    }
    demand
}

fn target(demand: &mut Demand) -> f32 {
    demand.ask(&PRICES, &Tuning::cpu()).unwrap().target
}

#[test]
fn a_steady_need_gets_a_small_margin() {
    let mut demand = fed((0..2000).map(|i| 1.0 + 0.01 * (i % 7) as f32));
    let target = target(&mut demand);
    assert!((1.03..1.2).contains(&target), "{target}");
}

#[test]
fn a_rare_spike_is_not_reserved_for_and_a_new_level_is() {
    let mut demand = fed((0..2000).map(|i| if i % 288 == 5 { 8.0 } else { 1.0 }));
    assert!(target(&mut demand) < 2.0);
    let mut demand = fed((0..2000).map(|i| if i < 1980 { 1.0 } else { 4.0 }));
    let target = target(&mut demand);
    assert!((3.9..6.0).contains(&target), "{target}");
}

#[test]
fn costs_add_up() {
    let demand = fed((0..600).map(|i| 1.0 + (i % 13) as f32 / 10.0));
    let (tuning, costs) = (Tuning::cpu(), &demand.costs);
    for base in 0..BASES {
        let shorts = costs.short[base].map(Half::get);
        for (short, margin) in shorts.iter().zip(tuning.margins) {
            let unused = costs.reserved[base] * margin + short - costs.used;
            assert!(*short >= 0.0 && unused > -1e-3 * costs.used, "{base} {margin}: {unused}");
        }
        assert!(shorts.windows(2).all(|w| w[1] <= w[0]), "more margin, less short");
    }
}

#[test]
fn costs_are_forgotten_by_time() {
    let mut demand = fed((0..2000).map(|_| 5.0));
    let tuning = Tuning::cpu();
    let long_after = 2000 * INTERVAL + 365 * 86_400;
    for i in 0..300 {
        demand.add(1.0, long_after + i * INTERVAL, &tuning);
    }
    let target = target(&mut demand);
    assert!((1.0..1.4).contains(&target), "{target}");
}

#[test]
fn a_daily_cycle_is_foreseen() {
    // An hour of load each day, from nothing: only yesterday tells of it.
    let (tuning, mut demand) = (Tuning::cpu(), Demand::default());
    let load = |i: i64| if (100..112).contains(&(i % 288)) { 4.0 } else { 0.5 };
    let mut ready = 0;
    for i in 0..20 * 288 {
        demand.add(load(i), i * INTERVAL, &tuning);
        let asked = demand.ask(&RequestPrices { underrun: 200.0, change: 1.0 }, &tuning).unwrap();
        if i > 15 * 288 && i % 288 == 99 {
            ready += usize::from(asked.target >= 4.0);
        }
    }
    assert!(ready >= 4, "ready on {ready} of 5 days");
}

#[test]
fn the_first_sample_is_what_is_asked_for() {
    for tuning in [Tuning::cpu(), Tuning::memory()] {
        let mut demand = Demand::default();
        demand.add(0.5, 0, &tuning);
        demand.add(0.7, 60, &tuning);
        let asked = demand.ask(&PRICES, &tuning).unwrap();
        assert!((asked.target - 0.7).abs() < 0.01, "{}", asked.target);
    }
}

/// Changes of what the hour's maximum would have held, over ten days that swing 1:8 each two hours.
fn changes(tuning: &Tuning) -> (usize, Demand) {
    let (mut demand, mut count, mut held) = (Demand::default(), 0, Half::default());
    for i in 0..10 * 288 {
        let load = if i / 12 % 2 == 0 { 0.5 } else { 4.0 };
        demand.add(load * (1.0 + 0.05 * (i % 5) as f32), i * INTERVAL, tuning);
        demand.ask(&PRICES, tuning);
        count += usize::from(demand.holds[1].held != held);
        held = demand.holds[1].held;
    }
    (count, demand)
}

#[test]
fn what_changes_often_is_changed_less() {
    let damped = Tuning::cpu();
    let mut free = Tuning::cpu();
    free.damping.most = 1.0;
    let ((few, demand), (many, undamped)) = (changes(&damped), changes(&free));
    assert!(few * 3 < many * 2 && few > 0, "{few} of {many}");
    let often = demand.often(damped.price_of_change(demand.mean), &damped);
    let factor = demand.damping(1, often, &damped);
    assert!(factor > 1.0 && factor <= damped.damping.most, "{factor}");
    assert!((undamped.hold_rule(&free).1 - 1.0).abs() < f32::EPSILON);
    let steady = fed((0..2000).map(|_| 1.0));
    assert!((steady.hold_rule(&damped).1 - 1.0).abs() < f32::EPSILON);
}

#[test]
fn others_speak_for_the_young_only() {
    // Nothing told its candidates apart yet: others' shortfall does.
    let chosen = |demand: &Demand, tuning: &Tuning| demand.choose(&PRICES, tuning);
    let mut tuning = Tuning::cpu();
    let cheap = (2, 4);
    tuning.prior.reserved = [2.0; BASES];
    tuning.prior.reserved[cheap.0] = 1.0;
    tuning.prior.short = [[0.1; MARGINS]; BASES];
    tuning.prior.short[cheap.0][cheap.1] = 0.0;
    assert_eq!(chosen(&fed((0..4).map(|_| 1.0)), &tuning), cheap);
    assert_ne!(chosen(&fed((0..4000).map(|i| 1.0 + 0.3 * (i % 3) as f32)), &tuning), cheap);
    assert!((tuning.prior.weight(0.0) - 1.0).abs() < 1e-6 && tuning.prior.weight(100.0) < 0.03);
}
