//! Fields of a trace as numbers: exactly rounded, and quick on what a trace holds.

use super::error::{Problem, shown};

/// Longest field of a number, in bytes. No float that a program prints is longer.
const MAX_NUMBER: usize = 400;

/// A number's column, with the largest value that is believed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    pub(super) name: &'static str,
    pub(super) max: f64,
    pub(super) max_text: &'static str,
}

/// CPU in cores: no machine has a million.
pub(super) const CPU: Column = Column { name: "cpu_cores", max: 1e6, max_text: "1e6 cores" };
/// Memory in bytes: no machine has an exbibyte.
pub(super) const MEMORY: Column =
    Column { name: "memory_bytes", max: (1_u64 << 60) as f64, max_text: "2^60 bytes" };
/// Seconds: Unix time or the trace's own; ends in the year 9999.
pub(super) const TIME: &str = "timestamp_s";
const MAX_TIME: i64 = 253_402_300_799;

/// Not negative, finite, within the column's range; `NAN` for an empty field, which means unknown.
///
/// # Errors
/// Names column and cause where the field is none of that.
pub(super) fn amount(field: &[u8], column: Column) -> Result<f64, Problem> {
    if field.is_empty() {
        return Ok(f64::NAN);
    }
    let value = match decimal(field) {
        Some(value) => value,
        None => general(field, column.name)?,
    };
    if !value.is_finite() {
        return Err(Problem::NotFinite { column: column.name, text: shown(field) });
    }
    if value < 0.0 {
        return Err(Problem::Negative { column: column.name, text: shown(field) });
    }
    if value > column.max {
        return Err(Problem::Absurd { column: column.name, text: shown(field), max: column.max_text });
    }
    Ok(value)
}

/// Whole seconds from 0 to the year 9999.
///
/// # Errors
/// Names the cause where the field is none of that.
pub(super) fn time(field: &[u8]) -> Result<i64, Problem> {
    if field.is_empty() {
        return Err(Problem::Missing(TIME));
    }
    let mut seconds: i64 = 0;
    for &byte in field.strip_prefix(b"-").unwrap_or(field) {
        if !byte.is_ascii_digit() {
            return Err(Problem::NotANumber { column: TIME, text: shown(field) });
        }
        seconds = seconds.saturating_mul(10).saturating_add(i64::from(byte - b'0'));
    }
    match field {
        b"-" => Err(Problem::NotANumber { column: TIME, text: shown(field) }),
        [b'-', ..] => Err(Problem::Negative { column: TIME, text: shown(field) }),
        _ if seconds > MAX_TIME => {
            Err(Problem::Absurd { column: TIME, text: shown(field), max: "the year 9999" })
        }
        _ => Ok(seconds),
    }
}

/// Digits with at most one point, few enough that mantissa and power of ten are exact floats, so that their
/// quotient is the nearest float (Clinger, PLDI 1990). `None` for all else.
fn decimal(field: &[u8]) -> Option<f64> {
    const POWERS: [f64; 16] =
        [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];
    if field.len() > 16 {
        return None;
    }
    let mut mantissa: u64 = 0;
    let mut point = None;
    for (i, &byte) in field.iter().enumerate() {
        match byte {
            b'0'..=b'9' => mantissa = mantissa * 10 + u64::from(byte - b'0'),
            b'.' if point.is_none() => point = Some(i),
            _ => return None,
        }
    }
    let digits = field.len() - usize::from(point.is_some());
    if digits == 0 || mantissa >= 1 << 53 {
        return None;
    }
    let decimals = point.map_or(0, |i| field.len() - 1 - i);
    Some(mantissa as f64 / POWERS.get(decimals)?)
}

fn general(field: &[u8], column: &'static str) -> Result<f64, Problem> {
    if field.len() > MAX_NUMBER {
        return Err(Problem::FieldTooLong { column, max: MAX_NUMBER });
    }
    let text = std::str::from_utf8(field).map_err(|_| Problem::NotUtf8 { column })?;
    text.parse().map_err(|_| Problem::NotANumber { column, text: shown(field) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_empty_field_is_unknown() {
        assert!(amount(b"", CPU).unwrap().is_nan());
    }

    #[test]
    fn refuses_what_is_no_usage() {
        for (field, says) in [
            (&b"-1"[..], "cpu_cores is negative: -1"),
            (b"-0.0001", "cpu_cores is negative: -0.0001"),
            (b"NaN", "cpu_cores is not finite: \"NaN\""),
            (b"inf", "cpu_cores is not finite: \"inf\""),
            (b"1e999", "cpu_cores is not finite: \"1e999\""),
            (b"1000001", "cpu_cores is absurd: 1000001 is above 1e6 cores"),
            (b"1.2.3", "cpu_cores is not a number: \"1.2.3\""),
            (b".", "cpu_cores is not a number: \".\""),
            (b" 1", "cpu_cores is not a number: \" 1\""),
            (b"0x10", "cpu_cores is not a number: \"0x10\""),
            (b"\xff", "cpu_cores is not UTF-8"),
        ] {
            assert_eq!(amount(field, CPU).unwrap_err().to_string(), says);
        }
        assert!(amount(&[b'1'; 500], MEMORY).is_err());
        assert!((amount(b"1000000", CPU).unwrap() - 1e6).abs() < f64::EPSILON);
    }

    #[test]
    fn refuses_what_is_no_time() {
        for field in [&b""[..], b"-", b"-5", b"1.5", b"12a", b"253402300800", b"99999999999999999999999"] {
            assert!(time(field).is_err(), "{field:?}");
        }
        assert_eq!(time(b"0").unwrap(), 0);
        assert_eq!(time(b"253402300799").unwrap(), MAX_TIME);
    }

    proptest! {
        #[test]
        fn reads_exactly_what_the_standard_library_reads(text in "[0-9]{1,12}(\\.[0-9]{0,9})?") {
            let ours = amount(text.as_bytes(), Column { max: f64::MAX, ..MEMORY }).unwrap();
            prop_assert_eq!(ours.to_bits(), text.parse::<f64>().unwrap().to_bits());
        }

        #[test]
        fn never_panics(field in proptest::collection::vec(any::<u8>(), 0..60)) {
            drop(amount(&field, CPU));
            drop(time(&field));
        }
    }
}
