use super::*;
use crate::replay::engine::Rules;
use crate::replay::trace::{Allocation, Allocations};
use crate::replay::{arms, generate, outcome};
use crate::units::{GIB, Timestamp};

const PRICES: Prices = Prices { core_hour: 0.031, gib_hour: 0.004 };

fn replayed(containers: Vec<Series>, given: &Allocations) -> Demo {
    let sizers: Vec<_> = [OURS, TODAY].into_iter().filter_map(arms::named).collect();
    assert_eq!(sizers.len(), 2);
    let outcome =
        outcome::run("t", containers.into_iter().map(Ok), given, &sizers, &Rules::default()).unwrap();
    Demo::of(&outcome, given, None, PRICES, "r.html".to_owned())
}

fn steady(name: &str, days: i64) -> Series {
    let mut series = Series::new(name.to_owned());
    for place in 0..=days * 288 {
        series.push(Timestamp(place * 300), Some(Cores(0.1)), Some(Bytes::from_mib(200)));
    }
    series
}

fn given(name: &str, milli: u64, mib: u64) -> Allocations {
    let allocation = Allocation { cpu: Some(Cores::from_milli(milli)), memory: Some(Bytes::from_mib(mib)) };
    Allocations::from([(name.to_owned(), allocation)])
}

#[test]
fn a_row_is_what_kubectl_prints_where_there_is_room() {
    let demo = replayed(vec![steady("deployment-web", 3)], &given("deployment-web", 1000, 1024));
    let wide = recommendations(&demo, 120);
    let lines: Vec<_> = wide.lines().collect();
    assert!(lines[0].starts_with("NAME             MODE   CPU  "), "{wide}");
    assert!(lines[1].starts_with("deployment-web   Auto   1 → 1"), "{wide}");
    assert!(lines[1].ends_with("medium       Applied   3d"), "{wide}");
    let head: Vec<_> = lines[0].split_whitespace().collect();
    assert_eq!(head, ["NAME", "MODE", "CPU", "MEMORY", "OOMS", "SAVES", "CONFIDENCE", "STATE", "AGE"]);
    let narrow = recommendations(&demo, 80);
    assert!(narrow.lines().all(|line| line.chars().count() <= 80), "{narrow}");
    assert!(narrow.contains("(each: MODE Auto, STATE Applied, AGE 3d)"), "{narrow}");
}

#[test]
fn savings_are_requests_times_prices() {
    let demo = replayed(vec![steady("a", 3)], &given("a", 1000, 1024));
    let (row, saved) = (&demo.recommendations[0], demo.saved.unwrap());
    assert!((saved.cores_before - 1.0).abs() < 1e-9 && (saved.gib_before - 1.0).abs() < 1e-9);
    let cores = 1.0 - row.cpu.target.unwrap().0;
    let gib = 1.0 - row.memory.target.unwrap().as_f64() / GIB as f64;
    assert!((row.saves_per_month - (cores * 0.031 + gib * 0.004) * 730.0).abs() < 1e-9);
}

#[test]
fn names_from_outside_are_cut_and_cannot_steer_a_terminal() {
    let long = format!("\u{1b}[2J{}", "x".repeat(200));
    let containers = (0..50).map(|n| steady(&format!("{long}{n}"), 2)).collect();
    let text = recommendations(&replayed(containers, &Allocations::new()), 80);
    assert!(!text.contains('\u{1b}'));
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    assert!(text.contains("… and 10 more"), "{text}");
}

#[test]
fn what_is_unknown_is_a_dash() {
    let mut series = Series::new("cpu".to_owned());
    for place in 0..600 {
        series.push(Timestamp(place * 300), Some(Cores(0.1)), None);
    }
    let demo = replayed(vec![series, Series::new("none".to_owned())], &Allocations::new());
    let text = whole(&demo, 80);
    assert!(text.contains("- → -") && !text.contains("NaN") && !text.contains("GiB,"), "{text}");
    assert!(text.contains("(No request is known of 2; today's"), "{text}");
}

#[test]
fn progress_ends_with_the_score() {
    let (fleet, given) = generate::fleet(2, 3);
    let sizers: Vec<_> = [OURS, TODAY].into_iter().filter_map(arms::named).collect();
    let outcome = outcome::run("t", fleet.into_iter().map(Ok), &given, &sizers, &Rules::default()).unwrap();
    let frames = progress(&outcome, 6);
    assert_eq!(frames.len(), 6);
    let figures = &outcome.arms[0].figures;
    let slack = format!("memory slack {:.0}%", 100.0 * figures.memory_slack.unwrap());
    let line = frames[5].line();
    assert!(line.starts_with("day  3 of 3: plumb made ") && line.ends_with(&slack), "{line}");
    assert!(frames[0].line().ends_with("watching"));
    assert_eq!(frames[5].table().lines().count(), 3);
}
