use super::patches::{Patch, patches};
use super::*;

fn size(cpu: u64, memory: u64, limit: Option<u64>) -> Size {
    Size {
        cpu_request: Some(Cores::from_milli(cpu)),
        cpu_limit: None,
        memory_request: Some(Bytes::from_mib(memory)),
        memory_limit: limit.map(Bytes::from_mib),
    }
}

const PRICES: Prices = Prices { core_hour: 0.031, gib_hour: 0.004 };

fn row(kind: &str, workload: &str, container: &str, now: Option<Size>, then: Size) -> Row {
    let mut row = Row {
        namespace: "shop".into(),
        kind: kind.into(),
        workload: workload.into(),
        container: container.into(),
        replicas: 3,
        current: now,
        recommended: then,
        saves_monthly: None,
        oom_kills: 0,
        confidence: "high",
        samples: 4000,
        days: 14.0,
        owner_from: "the API server",
        reasons: vec!["4000 samples <b>".into()],
    };
    row.saves_monthly = row.current.map(|now| row.monthly(&now, &PRICES) - row.monthly(&then, &PRICES));
    row
}

fn scan() -> Scan {
    let mut rows = vec![
        row("Deployment", "web", "web", Some(size(500, 1024, Some(1024))), size(180, 412, Some(690))),
        row("StatefulSet", "db", "postgres", Some(size(100, 256, None)), size(240, 512, None)),
        row(
            "DaemonSet",
            "agent-with-a-very-long-name-that-fits-no-column",
            "agent",
            None,
            size(12500, 20480, Some(40960)),
        ),
    ];
    sort(&mut rows, Order::Savings);
    Scan {
        source: "http://prometheus:9090".into(),
        days: 14.0,
        step_seconds: 300,
        owners: "9 containers from the API server".into(),
        price_core_hour: PRICES.core_hour,
        price_gib_hour: PRICES.gib_hour,
        total: total(&rows),
        containers: rows,
    }
}

#[test]
fn the_table_fits_a_terminal_and_cuts_nothing_off() {
    let table = table(&scan());
    assert!(table.lines().all(|line| line.chars().count() <= 80), "{table}");
    let expected = "\
WORKLOAD          CPU        MEMORY     LIMIT  SAVES/MO  OOMS  SURE
shop/web          500m→180m  1Gi→412Mi  690Mi       $27     0  high";
    let spaced = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let head: Vec<String> = table.lines().take(2).map(spaced).collect();
    assert_eq!(head, expected.lines().map(spaced).collect::<Vec<_>>());
    assert!(table.contains("agent-with-a-very-long-name-that-fits-no-column"), "{table}");
    assert!(
        table.contains("?→12500m")
            && table.ends_with("6 containers: CPU 1800m→1260m, memory 3840Mi→2772Mi, saves $15/mo\n"),
        "{table}"
    );
}

#[test]
fn savings_come_first_and_what_is_unknown_last() {
    let names: Vec<_> = scan().containers.into_iter().map(|row| (row.workload, row.saves_monthly)).collect();
    assert!(names[0].0 == "web" && names[0].1.unwrap() > 20.0, "{names:?}");
    assert!(names[1].0 == "db" && names[1].1.unwrap() < 0.0, "{names:?}");
    assert_eq!(names[2].1, None);
}

#[test]
fn the_same_as_csv_json_and_page() {
    let scan = scan();
    let csv = String::from_utf8(csv(&scan).unwrap()).unwrap();
    let line = csv.lines().nth(1).unwrap();
    assert!(
        line.starts_with("shop,Deployment,web,web,3,0.5,,1073741824,1073741824,0.18,,432013312,723517440,"),
        "{csv}"
    );
    let json = serde_json::to_value(&scan).unwrap();
    assert_eq!(json["containers"][0]["recommended"]["cpuRequest"], 0.18);
    assert_eq!(json["containers"][2]["current"], serde_json::Value::Null);
    let page = page(&scan);
    assert!(page.contains("shop/web") && page.contains("samples &lt;b&gt;") && !page.contains("samples <b>"));
}

#[test]
fn a_formula_in_a_name_is_none_in_a_spreadsheet() {
    let mut scan = scan();
    scan.containers[0].workload = "=1+1".into();
    assert!(String::from_utf8(csv(&scan).unwrap()).unwrap().contains(",'=1+1,"));
}

#[test]
fn patches_hold_what_changes() {
    let (found, left_out) = patches(&scan().containers);
    assert!(left_out.is_empty());
    let web: &Patch = found.iter().find(|patch| patch.file.contains("web")).unwrap();
    assert_eq!(web.file, "shop_deployment_web.yaml");
    assert_eq!(
        web.command,
        "kubectl -n shop patch deployments.apps web --type strategic --patch-file shop_deployment_web.yaml"
    );
    assert_eq!(
        web.content,
        serde_json::json!({"spec": {"template": {"spec": {"containers": [{"name": "web", "resources": {
            "requests": {"cpu": "180m", "memory": "412Mi"}, "limits": {"memory": "690Mi"}}}]}}}})
    );
}

#[test]
fn what_cannot_be_patched_is_said() {
    let then = size(10, 32, None);
    let mut young = row("Deployment", "young", "app", None, then);
    young.confidence = "low";
    let same = row("Deployment", "same", "app", Some(then), then);
    let pod = row("Pod", "alone", "app", None, then);
    let cron = row("CronJob", "nightly", "app", None, then);
    let rows = [
        young,
        same,
        pod,
        cron,
        row("Unknown", "some", "app", None, then),
        row("Rollout", "custom", "app", None, then),
        row("Deployment", "../../etc", "app", None, then),
        row("Deployment", "x; rm -rf ~", "app", None, then),
        row("Deployment", "web", "a\nb", None, then),
    ];
    let (found, left_out) = patches(&rows);
    let commands: Vec<_> = found.iter().map(|patch| patch.command.as_str()).collect();
    assert_eq!(
        commands,
        [
            "kubectl -n shop patch cronjobs.batch nightly --type strategic --patch-file shop_cronjob_nightly.yaml",
            "kubectl -n shop patch pods alone --type strategic --patch-file shop_pod_alone.yaml --subresource resize",
        ]
    );
    assert_eq!(
        found[0].content["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["name"],
        "app"
    );
    assert_eq!(left_out.len(), 6, "{left_out:?}");
}
