use serde_json::json;

use super::*;
use crate::report::explain::{Explanation, Learned};
use crate::testing;
use crate::units::{MIB, Timestamp};

const PRICES: Prices = Prices { core_hour: 0.031, gib_hour: 0.0042 };

fn recommendation(namespace: &str, name: &str, cpu: (&str, &str), ooms: u32) -> Recommendation {
    let app = testing::recommended("app")
        .current(json!({"requests": {"cpu": cpu.0, "memory": "1Gi"}}))
        .target(cpu.1, "512Mi", "700Mi")
        .with("/reasons", json!(["since <b>so</b>"]));
    testing::recommendation(name)
        .namespace(namespace)
        .auto()
        .containers([app])
        .condition("Blocked", "Budget", "0 allowed")
        .with("/status/replicas", 2)
        .with(
            "/status/summary",
            json!({"cpu": format!("{} → {}", cpu.0, cpu.1), "oomKills": ooms,
                                        "state": "Blocked", "message": "no budget"}),
        )
        .object()
}

/// Text between marks, in the order of the page.
fn names(page: &str) -> Vec<&str> {
    page.split("<th scope=\"row\"><a href=\"")
        .skip(1)
        .filter_map(|rest| rest.split(['>', '<']).nth(1))
        .collect()
}

#[test]
fn workloads_are_sorted_filtered_and_summed() {
    let all = [
        recommendation("shop", "small", ("200m", "100m"), 0),
        recommendation("shop", "large", ("4", "1"), 3),
        recommendation("blog", "grows", ("100m", "2"), 1),
    ];
    let page = |query: Query| overview(&all, &query, &PRICES);
    let first = page(Query::default());
    assert_eq!(names(&first), ["Deployment shop/large", "Deployment shop/small", "Deployment blog/grows"]);
    assert!(first.contains("8.60 → 6.20 cores"), "{first}");
    assert!(first.contains("6.0 → 3.0 GiB"));
    assert!(first.contains("<dt>OOM kills</dt><dd>4</dd>") && first.contains("<dt>Workloads</dt><dd>3</dd>"));
    let costs = page(Query { sort: Sort::Costs, ..Query::default() });
    assert_eq!(names(&costs).first(), Some(&"Deployment blog/grows"));
    let ooms = page(Query { sort: Sort::Ooms, ..Query::default() });
    assert_eq!(names(&ooms).first(), Some(&"Deployment shop/large"));
    let named = page(Query { namespace: "shop".to_owned(), name: "sm".to_owned(), ..Query::default() });
    assert_eq!(names(&named), ["Deployment shop/small"]);
    assert!(named.contains("<option value=\"blog\">"), "all namespaces can still be chosen");
    assert!(page(Query { name: "none".to_owned(), ..Query::default() }).contains("No recommendation"));
}

#[test]
fn many_workloads_are_on_several_pages() {
    let all: Vec<_> = (0..250).map(|i| recommendation("a", &format!("w{i:03}"), ("1", "500m"), 0)).collect();
    let page = |page| overview(&all, &Query { sort: Sort::Name, page, ..Query::default() }, &PRICES);
    assert_eq!(names(&page(0)).len(), 100);
    assert!(page(0).contains("rel=\"next\"") && !page(0).contains("rel=\"prev\""));
    assert_eq!(names(&page(2)).len(), 50);
    assert!(!page(2).contains("rel=\"next\""));
    assert!(names(&page(usize::MAX)).is_empty());
}

#[test]
fn nothing_from_the_cluster_becomes_markup() {
    let evil = "<script>alert(1)</script>";
    let mut all = [recommendation("shop", "web", ("1", "500m"), 0)];
    all[0].spec.workload_ref.name = evil.to_owned();
    all[0].metadata.name = Some("x\"><img src=x>/../?a".to_owned());
    all[0].metadata.namespace = Some("a'b<i>".to_owned());
    all[0].status.as_mut().unwrap().summary.state = Some(evil.to_owned());
    all[0].status.as_mut().unwrap().summary.message = Some(evil.to_owned());
    all[0].status.as_mut().unwrap().containers[0].name = evil.to_owned();
    let query = Query { name: "s".to_owned(), namespace: String::new(), ..Query::default() };
    let explanation = Explanation {
        recommendation: all[0].clone(),
        learned: Vec::new(),
        not_learned: Some(evil.to_owned()),
    };
    for page in [overview(&all, &query, &PRICES), workload(&explanation)] {
        for markup in ["<script", "<img", "<i>", "<b>so"] {
            assert!(!page.contains(markup), "{markup} in {page}");
        }
        assert!(page.contains("&lt;script&gt;"));
    }
    assert!(
        overview(&all, &query, &PRICES)
            .contains("/workload/a%27b%3Ci%3E/x%22%3E%3Cimg%20src%3Dx%3E%2F..%2F%3Fa")
    );
    let asked = Query { name: "\"><script>".to_owned(), ..Query::default() };
    assert!(!overview(&all, &asked, &PRICES).contains("<script"));
}

#[test]
fn a_workload_shows_its_day_its_reasons_and_what_holds() {
    let usage = (Cores(0.3), Bytes(400 * MIB));
    let series = testing::series(Timestamp(1_700_006_400), 60, 1440, |_| usage);
    let explanation = Explanation {
        recommendation: recommendation("shop", "web", ("1", "400m"), 2),
        learned: vec![Learned::of("app", &series, Vec::new())],
        not_learned: None,
    };
    let page = workload(&explanation);
    assert_eq!(page.matches("<rect class=\"half\"").count(), 96, "48 half hours of each resource");
    for said in [
        "recommended request 400m",
        "request now 1Gi",
        "Usage reached 299m",
        "<dt>State</dt><dd>Blocked</dd>",
        "no budget",
        "Blocked True",
        "(Budget): 0 allowed",
        "since &lt;b&gt;so&lt;/b&gt;",
    ] {
        assert!(page.contains(said), "{said} in {page}");
    }
}
