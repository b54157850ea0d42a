use super::*;
use crate::model::{Model, Most, Replica, Usage};
use crate::units::{Bytes, Cores, Timestamp};

/// Days of usage in five-minute steps with a daily cycle and noise.
pub(super) fn lived(days: i64, seed: u64) -> Series {
    let (mut series, model) = (Series::default(), Model::default());
    let mut random = seed | 1;
    for i in 0..days * 288 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let noise = (random >> 40) as f64 / (1_u64 << 24) as f64;
        let day = 1.0 + 0.5 * ((i % 288) as f64 / 288.0 * std::f64::consts::TAU).sin();
        let at = Timestamp(1_700_000_000 + i * 300);
        series.add_cpu(at, Cores(0.2 * day * (0.8 + 0.4 * noise)), 0.0, None, &model).unwrap();
        series.add_memory(at, Bytes::from_f64((300.0 + noise * 40.0) * 1_048_576.0), None, &model).unwrap();
        if i % 12 == 0 {
            series.estimate(&crate::policy::Rules::default().prices(), &model);
        }
    }
    series.add_oom(Timestamp(1_700_000_000 + days * 86_400), Bytes::from_mib(512), 99, &model);
    series
}

#[test]
fn what_is_read_back_writes_the_same_bytes_and_estimates_the_same() {
    let model = Model::default();
    let prices = crate::policy::Rules::default().prices();
    for days in [0, 1, 3, 15] {
        let mut series = lived(days, 7);
        let before = series.estimate(&prices, &model);
        let bytes = write(&[&series, &Series::default()]);
        let mut back = read(&bytes).unwrap();
        assert_eq!(write(&back.iter().collect::<Vec<_>>()), bytes, "{days} days");
        let after = back[0].estimate(&prices, &model);
        let near = |a: f64, b: f64| (a / b - 1.0).abs() < 0.05;
        for (one, two) in [(before.cpu, after.cpu), (before.memory, after.memory)] {
            assert_eq!(one.is_some(), two.is_some());
            if let (Some(one), Some(two)) = (one, two) {
                assert!(near(one.target, two.target), "{days} days: {} {}", one.target, two.target);
                assert_eq!(one.because.level, two.because.level);
            }
        }
        if let (Some(one), Some(two)) = (before.limit, after.limit) {
            assert!(near(one.tail, two.tail) && near(one.equal.max(1.0), two.equal.max(1.0)));
        }
        assert_eq!(back[0].kills(), series.kills());
        assert!(!back[0].add_oom(Timestamp(0), Bytes(1), 99, &model), "a kill is not counted again");
    }
}

#[test]
fn a_pack_takes_few_bytes_a_series() {
    let series: Vec<Series> = (0..50).map(|seed| lived(15, seed * 2 + 1)).collect();
    let bytes = write(&series.iter().collect::<Vec<_>>());
    assert!(bytes.len() / series.len() <= 200, "{}", bytes.len() / series.len());
}

#[test]
fn what_is_damaged_names_the_byte() {
    let bytes = write(&[&lived(1, 3)]);
    assert_eq!(read(b""), Err(SnapshotError::NotASnapshot { at: 0 }));
    assert_eq!(read(b"PLxB"), Err(SnapshotError::NotASnapshot { at: 2 }));
    assert_eq!(read(&bytes[..6]), Err(SnapshotError::NotASnapshot { at: 6 }));
    let mut newer = bytes.clone();
    newer[4] = 9;
    assert_eq!(read(&newer), Err(SnapshotError::Newer { found: 9 }));
    assert!(read(&newer).unwrap_err().to_string().contains("byte 4"));
    for at in [5, 9, 40, bytes.len() - 1] {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x10;
        assert_eq!(read(&damaged), Err(SnapshotError::Checksum { to: bytes.len() }));
    }
    assert!(read(&bytes[..bytes.len() - 1]).is_err());
}

#[test]
fn damage_below_the_checksum_is_an_error_and_no_panic() {
    // Content that was damaged before it was packed: the checksum holds.
    let model = Model::default();
    let mut out = Writer::default();
    out.count(1);
    fields::put_series(&mut out, &lived(2, 5), &mut 0);
    let plain = out.lanes.concat();
    let mut end = 0;
    let ends = out.lanes.map(|lane| {
        end += lane.len();
        end
    });
    for at in 0..plain.len() {
        let mut damaged = plain.clone();
        damaged[at] ^= 0x91;
        let mut from = Reader::new(&damaged, ends);
        let count = from.up_to(Lane::Count, 9);
        let read = count.and_then(|n| {
            (0..n).map(|_| fields::get_series(&mut from, &mut 0, VERSION)).collect::<Result<Vec<_>, _>>()
        });
        if let Ok(mut series) = read {
            for one in &mut series {
                one.estimate(&crate::policy::Rules::default().prices(), &model);
            }
        }
    }
}

#[test]
fn a_pack_of_the_first_version_is_read() {
    let (series, mut out) = (lived(2, 5), Writer::default());
    out.count(1);
    fields::put_series(&mut out, &series, &mut 0);
    // The first version had all but the last two numbers: what says that memory follows its limit, and doubtful kills.
    let counts = &mut out.lanes[Lane::Count as usize];
    assert_eq!((counts.pop(), counts.pop()), (Some(0), Some(0)));
    let old = read(&pack(&out, 1)).unwrap();
    assert_eq!(write(&old.iter().collect::<Vec<_>>()), write(&[&series]));
    assert!(read(&pack(&out, VERSION)).is_err());
}

#[test]
fn evidence_that_memory_follows_its_limit_is_kept() {
    let (mut series, mut replica, model) = (Series::default(), Replica::default(), Model::default());
    for (minute, mib) in [(1, 255), (9, 510), (700, 100), (1500, 100)] {
        let limit = Some(Bytes::from_mib(if mib == 510 { 512 } else { 256 }));
        let most = Most { memory_limit: limit, ..Most::default() };
        let memory = Some(Bytes::from_mib(mib));
        let usage = Usage { at: Timestamp(minute * 60), memory, most, ..Usage::default() };
        series.observe(&mut replica, &usage, &model);
    }
    assert!(!series.tail().follows_limit(), "an evening without it is the end of it");
    series.tail.ride.evidence = 7;
    let bytes = write(&[&series]);
    let back = read(&bytes).unwrap();
    assert!(back[0].tail().follows_limit() && write(&[&back[0]]) == bytes);
}
