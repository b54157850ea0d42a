//! Good and bad traces.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;

use super::*;
use crate::units::{Bytes, Cores, Timestamp};

const HEADER: &str = "container_id,timestamp_s,cpu_cores,memory_bytes\n";

fn read(bytes: &[u8]) -> Result<Vec<Series>, TraceError> {
    TraceReader::new("t".to_owned(), bytes)?.collect()
}

fn says(bytes: &[u8]) -> String {
    read(bytes).unwrap_err().to_string()
}

fn body(lines: &str) -> String {
    says(format!("{HEADER}{lines}").as_bytes())
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn series(id: &str, samples: &[(i64, Option<f64>, Option<u64>)]) -> Series {
    let mut series = Series::new(id.to_owned());
    for &(at, cpu, memory) in samples {
        assert!(series.push(Timestamp(at), cpu.map(Cores), memory.map(Bytes)));
    }
    series
}

fn assert_same(found: &[Series], expected: &[Series]) {
    // NAN differs from itself, so by text.
    assert_eq!(format!("{found:?}"), format!("{expected:?}"));
}

#[test]
fn containers_come_one_by_one() {
    let text = format!("{HEADER}a,0,1.5,100\na,300,,200\na,9000000,2,\nb,0,0.1,1\n");
    let expected = [
        series("a", &[(0, Some(1.5), Some(100)), (300, None, Some(200)), (9_000_000, Some(2.0), None)]),
        series("b", &[(0, Some(0.1), Some(1))]),
    ];
    assert_same(&read(text.as_bytes()).unwrap(), &expected);
    assert_same(&read(&gzip(&text)).unwrap(), &expected);
    assert_same(&read(text.replace('\n', "\r\n").as_bytes()).unwrap(), &expected);
}

#[test]
fn gzip_may_come_in_several_members() {
    let whole = [gzip(HEADER), gzip("a,0,1,1\n"), gzip("a,1,1,1\n")].concat();
    assert_eq!(read(&whole).unwrap()[0].len(), 2);
}

#[test]
fn columns_may_stand_in_any_order() {
    let found = read(b"memory_bytes,timestamp_s,container_id,cpu_cores\n7,1,a,2\n").unwrap();
    assert_same(&found, &[series("a", &[(1, Some(2.0), Some(7))])]);
}

#[test]
fn a_wrong_header_is_named() {
    for (header, expected) in [
        ("container_id,timestamp_s,cpu_cores\na,1,1\n", "t: line 1: the header has no column memory_bytes"),
        (
            "id,timestamp_s,cpu_cores,memory_bytes\na,1,1,1\n",
            "t: line 1: unknown column \"id\" in the header",
        ),
        (
            "container_id,timestamp_s,cpu_cores,memory_bytes,gpu\na,1,1,1,1\n",
            "t: line 1: unknown column \"gpu\" in the header",
        ),
        (
            "container_id,timestamp_s,cpu_cores,cpu_cores\na,1,1,1\n",
            "t: line 1: column cpu_cores is in the header twice",
        ),
    ] {
        assert_eq!(says(header.as_bytes()), expected);
    }
}

#[test]
fn nothing_to_read_is_an_error() {
    assert_eq!(says(b""), "t: holds no samples");
    assert_eq!(says(HEADER.as_bytes()), "t: holds no samples");
    assert_eq!(says(&gzip("")), "t: holds no samples");
}

#[test]
fn bad_lines_are_named() {
    for (lines, expected) in [
        (
            "a,300,1,1\na,0,1,1\n",
            "t: line 3: timestamp_s 0 of a is earlier than the 300 before it: sort by container, then time",
        ),
        ("a,0,1,1\na,0,1,1\n", "t: line 3: timestamp_s 0 of a is there twice"),
        (
            "a,0,1,1\nb,0,1,1\na,1,1,1\n",
            "t: line 4: container a was here before: its lines must stand together",
        ),
        ("a,0,-1,1\n", "t: line 2: cpu_cores is negative: -1"),
        ("a,0,1,-1\n", "t: line 2: memory_bytes is negative: -1"),
        ("a,0,NaN,1\n", "t: line 2: cpu_cores is not finite: \"NaN\""),
        ("a,0,1,inf\n", "t: line 2: memory_bytes is not finite: \"inf\""),
        ("a,0,1e7,1\n", "t: line 2: cpu_cores is absurd: 1e7 is above 1e6 cores"),
        ("a,0,1,2e18\n", "t: line 2: memory_bytes is absurd: 2e18 is above 2^60 bytes"),
        ("a,-1,1,1\n", "t: line 2: timestamp_s is negative: -1"),
        ("a,1.5,1,1\n", "t: line 2: timestamp_s is not a number: \"1.5\""),
        ("a,,1,1\n", "t: line 2: timestamp_s is empty"),
        (",0,1,1\n", "t: line 2: container_id is empty"),
        ("a,0,1\n", "t: line 2: 3 fields where the header has 4"),
        ("a,0,1,1,1\n", "t: line 2: 5 fields where the header has 4"),
        ("\"a,b\",0,1,1\n", "t: line 2: 5 fields where the header has 4"),
    ] {
        assert_eq!(body(lines), expected);
    }
}

#[test]
fn text_that_is_not_utf8_is_named() {
    let with = |line: &[u8]| says(&[HEADER.as_bytes(), line].concat());
    assert_eq!(with(b"\xff,0,1,1\n"), "t: line 2: container_id is not UTF-8");
    assert_eq!(with(b"a,0,\xff,1\n"), "t: line 2: cpu_cores is not UTF-8");
    assert_eq!(says(b"container_id,\xff\na,0\n"), "t: line 1: the header is not UTF-8");
}

#[test]
fn overlong_fields_and_lines_are_refused() {
    let long = "x".repeat(2000);
    assert_eq!(body(&format!("{long},0,1,1\n")), "t: line 2: container_id is longer than 1024 bytes");
    let endless = std::io::repeat(b'x').take(1 << 30);
    let error = TraceReader::new("t".to_owned(), HEADER.as_bytes().chain(endless)).err().unwrap();
    assert_eq!(error.to_string(), "t: line 2: longer than 65536 bytes");
    let digits = "1".repeat(5000);
    assert_eq!(body(&format!("a,0,{digits},1\n")), "t: line 2: cpu_cores is longer than 400 bytes");
}

#[test]
fn a_cut_or_damaged_gzip_is_refused() {
    use std::fmt::Write as _;
    let mut text = HEADER.to_owned();
    for i in 0..2000 {
        writeln!(text, "a,{i},0.{i},{}", i * 7919).unwrap();
    }
    let whole = gzip(&text);
    for cut in [10, whole.len() / 2, whole.len() - 1] {
        assert!(says(&whole[..cut]).ends_with("the gzip data ends early: the file is cut"), "{cut}");
    }
    let mut damaged = whole.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 0xff;
    assert!(read(&damaged).is_err());
    let followed = [&whole[..], b"and then some more"].concat();
    assert!(says(&followed).contains("the gzip data is damaged"));
}

#[test]
fn reading_ends_with_the_first_error() {
    let text = format!("{HEADER}a,0,1,1\nb,0,-1,1\nc,0,1,1\n");
    let mut reader = TraceReader::new("t".to_owned(), text.as_bytes()).unwrap();
    assert!(reader.next().unwrap().is_ok());
    assert!(reader.next().unwrap().is_err());
    assert!(reader.next().is_none());
}

proptest! {
    #[test]
    fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        drop(read(&bytes));
        drop(read(&[HEADER.as_bytes(), &bytes].concat()));
        drop(read(&[&[0x1f, 0x8b][..], &bytes].concat()));
    }

    #[test]
    fn lines_of_odd_fields_never_panic(lines in "([ab]{0,2},[-0-9]{0,4},[-.0-9eN]{0,5},[-.0-9]{0,5}\n){0,6}") {
        drop(read(format!("{HEADER}{lines}").as_bytes()));
    }
}
