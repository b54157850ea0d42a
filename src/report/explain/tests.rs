use serde_json::json;

use super::*;
use crate::model::Histogram;
use crate::testing::{self, resources};

fn recommendation() -> Recommendation {
    let app = testing::recommended("app")
        .current(resources("500m", "1Gi", "1Gi"))
        .target("180m", "412Mi", "700Mi")
        .lower("150m", "380Mi")
        .upper("270m", "560Mi")
        .with("/samples", 4032)
        .with("/days", 14)
        .with("/oomKills", 1)
        .with("/lastOomKill", "2026-11-20T10:00:00Z")
        .with(
            "/reasons",
            json!([
                "the first reason, which is so long that it has to be broken into two lines of text",
                "the second"
            ]),
        );
    testing::recommendation("web")
        .containers([app])
        .condition("HistoryReady", "Enough", "14 days")
        .with("/status/replicas", 3)
        .with(
            "/status/summary",
            json!(
            {"cpu": "500m → 180m", "memory": "1Gi → 412Mi", "saves": "$11/mo", "state": "Advised"}),
        )
        .object()
}

/// Four days of a sample a minute; usage rises with the hour of the day.
fn series() -> Series {
    testing::series(Timestamp(1_700_006_400), 60, 4 * 1440, |minute| {
        let hour = (minute % 1440) as f64 / 60.0;
        (Cores(0.1 + 0.01 * hour), Bytes::from_f64(3e8 + 1e6 * hour))
    })
}

#[test]
fn a_person_reads_sizes_reasons_pictures_and_alternatives() {
    let economy = WhatIf {
        change: "objective Economy".to_owned(),
        cpu_request: Some(Cores(0.16)),
        memory_request: Some(Bytes::from_mib(390)),
        memory_limit: None,
    };
    let explanation = Explanation {
        recommendation: recommendation(),
        learned: vec![Learned::of("app", &series(), vec![economy])],
        not_learned: None,
    };
    let text = explanation.text();
    for said in [
        "Deployment shop/web, 3 pods\n",
        "500m → 180m  150m and 270m",
        "1Gi → 412Mi  380Mi and 560Mi",
        "1Gi → 700Mi",
        "4032 samples over 14 days; OOM kills: 1, the last at 2026-11-20T10:00:00Z",
        "    1. the first reason",
        "    2. the second",
        "    180m ──── request",
        "   412Mi ──── request",
        "   700Mi ──── limit",
        "    objective Economy  160m         390Mi           -",
        "HistoryReady True (Enough): 14 days",
    ] {
        assert!(text.contains(said), "{said:?} in\n{text}");
    }
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    assert!(text.contains('█'));
}

#[test]
fn a_mark_stands_between_the_bars_that_it_lies_between() {
    let bars = [Bar { from: 1.0, to: 2.0, share: 0.75 }, Bar { from: 2.0, to: 3.0, share: 0.25 }];
    let text = picture::draw(&bars, Unit::Cores, &[("request", Some(2.5)), ("limit", None)]);
    let firsts: Vec<_> = text.lines().map(|line| line.split_whitespace().next().unwrap()).collect();
    assert_eq!(firsts, ["1", "2", "2500m", "3"]);
    assert!(text.lines().next().unwrap().ends_with("75.0 %"));
}

#[test]
fn bars_hold_all_samples() {
    let mut histogram = Histogram::default();
    (1..1000).for_each(|value| histogram.add(value as f32, 0, 86_400));
    let bars = bars(histogram.buckets(), 2.0);
    assert_eq!(bars.len(), 12);
    assert!((bars.iter().map(|bar| bar.share).sum::<f64>() - 1.0).abs() < 1e-6);
    assert!(bars.windows(2).all(|pair| (pair[0].to - pair[1].from).abs() < 1e-9));
    assert!(super::bars(Histogram::default().buckets(), 1.0).is_empty());
}

#[test]
fn what_is_not_there_yet_is_said() {
    let mut recommendation = recommendation();
    recommendation.status = None;
    let explanation = Explanation {
        recommendation,
        learned: Vec::new(),
        not_learned: Some("there is no checkpoint".to_owned()),
    };
    let text = explanation.text();
    assert!(text.contains("Nothing is recommended yet"));
    assert!(text.contains("Not all is shown: there is no checkpoint"));
}

#[test]
fn the_last_day_is_in_order() {
    let day = Day::of(&series()).unwrap();
    assert_eq!(day.end, Timestamp(1_700_006_400 + 4 * 86_400));
    assert_eq!(day.cpu.len(), 48);
    let cpu: Vec<_> = day.cpu.iter().map(|level| level.unwrap()).collect();
    assert!(cpu.windows(2).all(|pair| pair[0] < pair[1]), "{cpu:?}");
    assert!((cpu[0] - 0.105).abs() < 0.005 && (cpu[47] - 0.34).abs() < 0.01, "{cpu:?}");
    assert!(day.memory.iter().all(Option::is_some));
    assert_eq!(Day::of(&Series::default()), None);
}
