use super::*;
use proptest::prelude::*;

fn quantity(text: &str) -> Quantity {
    text.parse().unwrap_or_else(|e| panic!("{e}"))
}

#[test]
fn quantities_as_the_api_server_reads_them() {
    for (text, bytes) in [
        ("0", 0),
        ("1.5Gi", 1_610_612_736),
        ("1e3", 1000),
        ("1E3", 1000),
        ("1E", 1_000_000_000_000_000_000),
        ("12e6", 12_000_000),
        ("123Mi", 128_974_848),
        ("128974848000m", 128_974_848),
        ("129M", 129_000_000),
        (".5Ki", 512),
        ("5.", 5),
        ("+7", 7),
        ("100m", 1),
        ("1n", 1),
        ("1e-12", 1),
    ] {
        assert_eq!(quantity(text).as_bytes(), Some(Bytes(bytes)), "{text}");
    }
    for (text, cores) in [("180m", 0.18), ("2", 2.0), ("1500000n", 0.0015), ("250u", 0.00025), ("0.1", 0.1)] {
        assert!((quantity(text).as_cores().0 - cores).abs() < 1e-12, "{text}");
    }
}

#[test]
fn what_is_no_quantity_is_refused_with_its_text() {
    for text in [
        "", "-", ".", "1..2", "1.2.3", "Mi", "1e3Mi", "1mi", "1 Mi", "0x10", "1e", "1e+-3", "NaN", "∞",
        "1e99",
    ] {
        let error = text.parse::<Quantity>().expect_err(text).to_string();
        assert!(error.contains(&format!("{text:?}")) && error.contains("512Mi"), "{error}");
    }
    let long = "9".repeat(10_000);
    assert!(long.parse::<Quantity>().expect_err("too long").to_string().len() < 200);
}

#[test]
fn negative_is_no_amount_of_memory() {
    assert!(quantity("-1Mi").is_negative());
    assert_eq!(quantity("-1Mi").as_bytes(), None);
}

#[test]
fn shown_as_kubernetes_writes_them() {
    assert_eq!(Cores(0.18).to_string(), "180m");
    assert_eq!(Cores(0.1).to_string(), "100m");
    assert_eq!(Cores(2.0).to_string(), "2");
    assert_eq!(Cores(0.0001).to_string(), "1m");
    assert_eq!(Cores(f64::NAN).to_milli(), 0);
    assert_eq!(Cores(-1.0).to_milli(), 0);
    assert_eq!(Bytes(412 * MIB).to_string(), "412Mi");
    assert_eq!(Bytes(2 * GIB).to_string(), "2Gi");
    assert_eq!(Bytes(100).to_string(), "1Ki");
    assert_eq!(Bytes(0).to_string(), "0");
    assert_eq!(format!("{:>8}|", Bytes(GIB)), "     1Gi|");
    assert_eq!(Bytes::from_f64(f64::INFINITY), Bytes(u64::MAX));
}

proptest! {
    /// Against plain decimal arithmetic on whole numbers.
    #[test]
    fn suffixes_multiply(n in 0_u64..1_000_000_000, s in prop::sample::select(vec![("", 1_u128), ("k", 1000), ("M", 1_000_000), ("Ki", 1 << 10), ("Mi", 1 << 20), ("Gi", 1 << 30)])) {
        let expected = u64::try_from(u128::from(n) * s.1).ok().map(Bytes);
        prop_assert_eq!(quantity(&format!("{n}{}", s.0)).as_bytes(), expected);
    }

    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,40}") {
        drop(text.parse::<Quantity>());
    }

    #[test]
    fn any_quantity_like_text_is_read_or_refused(text in "[+-]?[0-9]{0,40}[.]?[0-9]{0,40}(|[eE][+-]?[0-9]{0,12}|[numkMGTPE]i?)") {
        if let Ok(q) = text.parse::<Quantity>() {
            prop_assert_eq!(q.to_string().parse::<Quantity>().map(|r| r == q), Ok(true));
        }
    }

    #[test]
    fn millicores_round_trip(milli in 0_u64..10_000_000) {
        prop_assert_eq!(Cores::from_milli(milli).to_milli(), milli);
        prop_assert_eq!(quantity(&Cores::from_milli(milli).to_string()).as_cores().to_milli(), milli);
    }
}
