use super::*;
use crate::replay::arms;
use crate::replay::engine::Rules;
use crate::replay::generate;
use crate::replay::outcome;
use crate::replay::trace::{Allocations, Series};
use crate::units::{Bytes, Cores, Timestamp};

fn replay(series: Vec<Series>, given: &Allocations) -> Outcome {
    let sizers: Vec<_> = ["vpa", "krr", "fixed"].iter().filter_map(|name| arms::named(name)).collect();
    outcome::run("<b>trace</b>", series.into_iter().map(Ok), given, &sizers, &Rules::default()).unwrap()
}

/// Every tag that opens is closed, in order; enough to see that nothing from outside broke out of its place.
fn assert_well_formed(page: &str) {
    let mut open: Vec<&str> = Vec::new();
    for tag in page.split('<').skip(1) {
        let inside = tag.split('>').next().unwrap();
        let name = inside.split([' ', '/']).find(|part| !part.is_empty()).unwrap_or("");
        if inside.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "at </{name}>");
        } else if !(inside.ends_with('/') || inside.starts_with('!') || name == "meta") {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "left open: {open:?}");
}

#[test]
fn a_page_stands_alone_and_is_well_formed() {
    let (series, given) = generate::fleet(1, 4);
    let page = render("demo", "generated", &[replay(series, &given)]);
    assert_well_formed(&page);
    assert!(
        !page.contains("http:") && !page.contains("https:") && !page.contains("<script"),
        "nothing from elsewhere"
    );
    assert!(page.contains("default-src 'none'") && page.contains("OOM kills"));
    assert_eq!(page.matches("<details").count(), 24);
}

#[test]
fn names_from_outside_stay_text() {
    let mut series = Series::new("</b><script>alert('x')</script>\"&\u{1b}[31m".to_owned());
    for i in 0..600 {
        series.push(
            Timestamp(i * 300),
            Some(Cores(0.1)),
            Some(Bytes(50_000_000 + i.unsigned_abs() * 100_000)),
        );
    }
    let page = render("<i>title</i>", "a & b", &[replay(vec![series], &Allocations::new())]);
    assert_well_formed(&page);
    assert!(
        !page.contains("<script")
            && !page.contains("<i>")
            && !page.contains("<b>trace")
            && !page.contains('\u{1b}')
    );
    assert!(page.contains("&lt;script&gt;") && page.contains("a &amp; b"));
}

#[test]
fn a_hundred_containers_for_a_month_stay_small() {
    let (fleet, _) = generate::fleet(3, 30);
    let many: Vec<Series> = (0..5).flat_map(|_| fleet.clone()).take(100).collect();
    let page = render("large", "", &[replay(many, &Allocations::new())]);
    assert!(page.len() < 5_000_000, "{} bytes", page.len());
    assert!(page.contains("60 of 100 are drawn"));
}

#[test]
fn nothing_to_draw_is_no_failure() {
    assert_well_formed(&render(
        "empty",
        "",
        &[replay(vec![Series::new("none".to_owned())], &Allocations::new())],
    ));
    assert_well_formed(&render("no traces", "", &[]));
}
