//! The page of a backtest: well-formed, on its own, small, and safe against what names may hold.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use plumb::replay::arms;
use plumb::replay::engine::Rules;
use plumb::replay::generate;
use plumb::replay::outcome::{self, Outcome};
use plumb::replay::trace::{Allocations, Series};
use plumb::report::backtest_page::{MAX_CONTAINERS, Page, render};
use plumb::units::{Bytes, Cores, Timestamp};

fn replay(trace: &str, containers: Vec<Series>, given: &Allocations) -> Outcome {
    let sizers: Vec<_> = ["vpa", "krr", "window", "fixed"].into_iter().filter_map(arms::peer).collect();
    outcome::run(trace, containers.into_iter().map(Ok), given, &sizers, &Rules::default()).unwrap()
}

fn page(outcomes: &[Outcome]) -> String {
    render(&Page { title: "A test", note: None, version: "1.2.3", outcomes, saved: None })
}

fn fleet(days: u32) -> Outcome {
    let fleet = generate::fleet(1, days);
    replay("generated", fleet.containers, &fleet.given)
}

/// Every tag that opens is closed in order; attributes are quoted; nothing else looks like markup. Returns the tags.
fn tags(html: &str) -> Vec<String> {
    const VOID: [&str; 4] = ["!DOCTYPE", "meta", "link", "input"];
    let (mut open, mut seen): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        assert!(!rest[..at].contains('>') || open.iter().any(|t| t == "style" || t == "script"), "stray >");
        let end = at + rest[at..].find('>').unwrap();
        let tag = &rest[at + 1..end];
        assert_eq!(tag.matches('"').count() % 2, 0, "unpaired quotes in <{tag}>");
        let name: String = tag.trim_start_matches('/').chars().take_while(|c| !" /".contains(*c)).collect();
        if tag.starts_with('/') {
            assert_eq!(open.pop().as_deref(), Some(name.as_str()), "closed by <{tag}>");
        } else if !tag.ends_with('/') && !VOID.contains(&name.as_str()) {
            open.push(name.clone());
        }
        seen.push(tag.to_owned());
        rest = &rest[end + 1..];
        if name == "style" || name == "script" {
            rest = &rest[rest.find("</").unwrap()..];
        }
    }
    assert!(open.is_empty(), "left open: {open:?}");
    seen
}

/// The values of an attribute, over the whole page.
fn attributes<'a>(html: &'a str, name: &str) -> Vec<&'a str> {
    html.split(&format!(" {name}=\"")).skip(1).map(|rest| rest.split('"').next().unwrap()).collect()
}

#[test]
fn it_is_well_formed_and_its_ids_are_unique_and_found() {
    let html = page(&[fleet(4), fleet(3)]);
    tags(&html);
    let mut ids = attributes(&html, "id");
    for wanted in attributes(&html, "aria-labelledby").iter().flat_map(|ids| ids.split(' ')) {
        assert!(ids.contains(&wanted), "{wanted} labels something but is nowhere");
    }
    let all = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), all);
    assert_eq!(html.matches("<h1>").count(), 1);
    assert_eq!(html.matches("class=\"course\"").count(), 48);
}

#[test]
fn it_needs_nothing_from_anywhere() {
    let html = page(&[fleet(3)]);
    for elsewhere in ["http:", "https:", "//cdn", "url(", "@import", " src=", " style=", " onclick=", "eval("]
    {
        assert!(!html.contains(elsewhere), "{elsewhere}");
    }
    assert_eq!(attributes(&html, "href"), ["data:,"]);
    assert!(html.contains("default-src 'none'"));
}

#[test]
fn its_policy_lets_in_its_own_style_and_script_only() {
    let html = page(&[]);
    for element in ["style", "script"] {
        let (open, close) = (format!("<{element}>"), format!("</{element}>"));
        let text = html.split(&open).nth(1).unwrap().split(&close).next().unwrap();
        let digest = format!("{element}-src 'sha256-{}'", base64(&sha256(text.as_bytes())));
        assert!(html.contains(&digest), "src/report/backtest_page.rs should say {digest}");
    }
}

fn sha256(bytes: &[u8]) -> Vec<u8> {
    let suite = rustls::crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256.tls13().unwrap();
    suite.common.hash_provider.hash(bytes).as_ref().to_vec()
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits = chunk.iter().fold(0_u32, |bits, b| bits << 8 | u32::from(*b)) << (8 * (3 - chunk.len()));
        for digit in 0..4 {
            let index = (bits >> (18 - 6 * digit) & 63) as usize;
            text.push(if digit <= chunk.len() { char::from(DIGITS[index]) } else { '=' });
        }
    }
    text
}

fn named(name: &str) -> Series {
    let mut series = Series::new(name.to_owned());
    for place in 0..600 {
        series.push(
            Timestamp(place * 300),
            Some(Cores(0.1)),
            Some(Bytes::from_mib(50 + place.unsigned_abs())),
        );
    }
    series
}

#[test]
fn what_names_hold_stays_text() {
    let nasty =
        "</title></style></script><script>alert(1)</script><img onerror=\"x\" a='&amp;'>\u{1b}[2J\u{202e}";
    let outcomes = [replay(nasty, vec![named(nasty)], &Allocations::new())];
    let html =
        render(&Page { title: nasty, note: Some(nasty), version: nasty, outcomes: &outcomes, saved: None });
    let tags = tags(&html);
    assert_eq!(tags.iter().filter(|tag| *tag == "script").count(), 1, "only the page's own");
    assert!(!tags.iter().any(|tag| tag.starts_with("img")));
    assert!(!html.contains('\u{1b}') && !html.contains('\u{202e}'));
    assert!(html.contains("&lt;script&gt;alert(1)"));
}

#[test]
fn a_large_trace_makes_a_small_page_that_says_what_it_left_out() {
    let fleet = generate::fleet(5, 30);
    let copies = (0..6).flat_map(|copy| fleet.containers.iter().map(move |series| (copy, series.clone())));
    let many: Vec<Series> = copies
        .map(|(copy, mut series)| {
            series.id += &format!("-{copy}");
            series
        })
        .collect();
    let all = many.len();
    let html = page(&[replay("large", many, &Allocations::new())]);
    assert!(html.len() < 4_000_000, "{} bytes", html.len());
    assert_eq!(html.matches("class=\"course\"").count(), MAX_CONTAINERS);
    assert!(html.contains(&format!(
        "draws {MAX_CONTAINERS} of {all} containers; the other {}",
        all - MAX_CONTAINERS
    )));
}

#[test]
fn figures_are_those_of_the_outcome() {
    let outcome = fleet(5);
    let html = page(std::slice::from_ref(&outcome));
    let kills: Vec<u64> = attributes(&html, "data-oom-kills").iter().map(|n| n.parse().unwrap()).collect();
    let expected: Vec<u64> = outcome.arms.iter().map(|arm| arm.figures.oom_kills).collect();
    assert_eq!(kills, expected);
    for arm in &outcome.arms {
        let slack = format!("{:.1}\u{202f}%", arm.figures.memory_slack.unwrap() * 100.0);
        assert!(html.contains(&slack), "{}: {slack}", arm.name);
    }
}

#[test]
fn half_known_and_empty_traces_make_a_page_too() {
    let mut cpu_only = Series::new("cpu".to_owned());
    let mut memory_only = Series::new("memory".to_owned());
    for place in 0..600 {
        cpu_only.push(Timestamp(place * 300), Some(Cores(0.2)), None);
        memory_only.push(Timestamp(place * 300), None, Some(Bytes::from_mib(70)));
    }
    let short = named("short").until(Timestamp(0));
    for series in
        [vec![cpu_only.clone()], vec![memory_only.clone()], vec![cpu_only, memory_only, short], vec![]]
    {
        let html = page(&[replay("t", series, &Allocations::new())]);
        tags(&html);
        let main = html.split("<main>").nth(1).unwrap().split("</main>").next().unwrap();
        assert!(!main.contains("NaN") && !main.contains("inf"), "{main}");
    }
    tags(&page(&[]));
}
