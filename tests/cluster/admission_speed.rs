//! What the webhook costs with thousands of Recommendations in the cluster: time to its first answer, memory, reviews a
//! second, and how long one takes.
//!
//! `make bench-webhook` runs it as it ships; without optimisation it is smaller and only proves that nothing is lost.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::core::v1::Secret;
use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::admission::start;
use crate::admission_under_attack::Door;
use crate::support::cluster::Cluster;
use crate::support::plumb::{Plumb, account_with};
use crate::support::process::free_port;
use crate::support::recommended::{auto_policy, container, recommend};
use crate::support::{Context, Need, Suite};

const OPTIMISED: bool = !cfg!(debug_assertions);
const RECOMMENDATIONS: usize = if OPTIMISED { 10_000 } else { 500 };
const NAMESPACES: usize = 10;
/// Connections of the API server to the webhook, and reviews at once on each.
const CONNECTIONS: usize = 4;
const AT_ONCE: usize = 8;
const SECONDS: usize = if OPTIMISED { 10 } else { 3 };
const RUN: Duration = Duration::from_secs(SECONDS as u64);
/// Reviews a second at which the time of each is taken.
const STEADY: usize = if OPTIMISED { 2500 } else { 100 };

pub fn trials(suite: &Suite) -> Vec<Trial> {
    vec![suite.trial("the_webhook_answers_fast_among_many_recommendations", &[] as &[Need], speed)]
}

async fn speed(context: Context) -> Result<()> {
    let cluster = Arc::new(Cluster::start(&context.cluster.plane.run, "speed").await?);
    cluster.crds().await?;
    let context = Context::new(cluster.clone(), "speed").await?;
    let account = account_with(&context, "plumb", &["webhook"], None).await?;
    let namespaces = fill(&context).await?;
    // The first one makes the certificate; what is measured is a restart, as it is from then on.
    let first = start(&context, &account.kubeconfig, &[]).await?;
    let pem = context.api::<Secret>().get("plumb-webhook-tls").await?.data.context("no data")?;
    let authority = pem.get("ca.crt").context("no authority")?.0.clone();
    first.stop()?;
    let listen = format!("127.0.0.1:{}", free_port()?);
    let begin = Instant::now();
    let flags = ["--roles", "webhook", "--webhook-listen", &listen];
    let plumb = Plumb::start(&cluster.plane, &account.kubeconfig, &context.namespace, &flags)?;
    let door = Door::new(&listen, &authority)?;
    let took = first_answer(&door, &namespaces, begin).await.with_context(|| plumb.log())?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (resting, _) = plumb.memory()?;
    println!(
        "{RECOMMENDATIONS} recommendations: first answer {} ms after start, {resting} MiB",
        took.as_millis()
    );
    let (rate, per_core) = closed_loop(&door, &namespaces, &plumb).await?;
    println!("as fast as it goes: {rate:.0} reviews/s; {per_core:.0} reviews per second of CPU");
    let (p50, p99, most) = open_loop(&door, &namespaces).await?;
    println!("at {STEADY} reviews/s: p50 {p50:?}, p99 {p99:?}, slowest {most:?}");
    let (now, peak) = plumb.memory()?;
    println!("memory after that: {now} MiB, at its most {peak} MiB");
    if OPTIMISED {
        ensure!(took < Duration::from_secs(1), "the first answer took {took:?}");
        ensure!(now < 40, "{now} MiB");
        ensure!(per_core >= 5000.0, "{per_core:.0} reviews/s on one core");
        ensure!(p99 < Duration::from_millis(2), "p99 {p99:?}");
    }
    plumb.stop()?;
    Ok(())
}

/// As many workloads, in some namespaces, each with its Recommendation.
async fn fill(context: &Context) -> Result<Vec<String>> {
    let begin = Instant::now();
    let mut places = Vec::new();
    for _ in 0..NAMESPACES {
        let place = Context::new(context.cluster.clone(), "load").await?;
        auto_policy(&place, "all").await?;
        places.push(place);
    }
    stream::iter(0..RECOMMENDATIONS)
        .map(|number| {
            let place = &places[number % NAMESPACES];
            async move {
                let workload = format!("web-{number}");
                let containers = json!([
                    container("app", "180m", "300Mi", "400Mi"),
                    container("proxy", "20m", "50Mi", "64Mi"),
                ]);
                recommend(place, &format!("pod-{workload}"), ("v1", "Pod", &workload), "Auto", containers)
                    .await
            }
        })
        .buffer_unordered(16)
        .try_collect::<Vec<_>>()
        .await?;
    println!("made {RECOMMENDATIONS} recommendations in {:.0} s", begin.elapsed().as_secs_f64());
    Ok(places.into_iter().map(|place| place.namespace).collect())
}

/// A review as the API server sends it: most of it is of no interest here.
fn review(namespaces: &[String], number: usize) -> Vec<u8> {
    let number = number % RECOMMENDATIONS;
    let environment: Vec<Value> = (0..40)
        .map(|entry| json!({"name": format!("SETTING_{entry}"), "value": format!("a value of usual length, number {entry}")}))
        .collect();
    let mounts = json!([{"name": "config", "mountPath": "/etc/config"}, {"name": "data", "mountPath": "/var/lib/data"}]);
    let resources =
        json!({"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"cpu": "1", "memory": "2Gi"}});
    let container = |name: &str| {
        json!({"name": name, "image": "registry.example/app:1.2.3", "env": environment,
        "resources": resources, "volumeMounts": mounts, "imagePullPolicy": "IfNotPresent",
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": 8080}, "periodSeconds": 10}})
    };
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": format!("705ab4f5-6393-11e8-b7cc-{number:012}"), "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "resource": {"group": "", "version": "v1", "resource": "pods"}, "operation": "CREATE", "dryRun": false,
        "namespace": namespaces[number % NAMESPACES],
        "userInfo": {"username": "system:serviceaccount:kube-system:replicaset-controller", "groups": ["system:authenticated"]},
        "object": {"apiVersion": "v1", "kind": "Pod",
            "metadata": {"generateName": format!("web-{number}-"), "labels": {"app": format!("web-{number}"), "tier": "back"},
                         "annotations": {"prometheus.io/scrape": "true"}},
            "spec": {"containers": [container("app"), container("proxy")], "restartPolicy": "Always",
                     "volumes": [{"name": "config", "configMap": {"name": "config"}}, {"name": "data", "emptyDir": {}}]}}}})
    .to_string()
    .into_bytes()
}

async fn first_answer(door: &Door, namespaces: &[String], begin: Instant) -> Result<Duration> {
    while begin.elapsed() < Duration::from_secs(60) {
        if let Ok(mut client) = door.http2().await
            && let Ok((200, text)) = door.post(&mut client, review(namespaces, RECOMMENDATIONS - 1)).await
            && text.contains("JSONPatch")
        {
            return Ok(begin.elapsed());
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    anyhow::bail!("no answer in a minute")
}

async fn closed_loop(door: &Door, namespaces: &[String], plumb: &Plumb<'_>) -> Result<(f64, f64)> {
    let bodies: Arc<Vec<_>> = Arc::new((0..256).map(|number| review(namespaces, number * 37)).collect());
    let (begin, cpu) = (Instant::now(), plumb.cpu_seconds()?);
    let mut tasks = tokio::task::JoinSet::new();
    for connection in 0..CONNECTIONS {
        let client = door.http2().await?;
        for turn in 0..AT_ONCE {
            let (door, mut client, bodies) = (door.clone(), client.clone(), bodies.clone());
            tasks.spawn(async move {
                let mut count = 0_usize;
                while begin.elapsed() < RUN {
                    let body = bodies[(count + 31 * turn + 7 * connection) % bodies.len()].clone();
                    let (status, text) = door.post(&mut client, body).await?;
                    ensure!(status == 200 && text.contains("JSONPatch"), "{status} {text}");
                    count += 1;
                }
                Ok(count)
            });
        }
    }
    let mut count = 0;
    while let Some(done) = tasks.join_next().await {
        count += done??;
    }
    let (took, cpu) = (begin.elapsed().as_secs_f64(), plumb.cpu_seconds()? - cpu);
    Ok((count as f64 / took, count as f64 / cpu))
}

/// Reviews at a steady rate, whether the last one is answered or not: median, 99th percentile and the slowest.
async fn open_loop(door: &Door, namespaces: &[String]) -> Result<(Duration, Duration, Duration)> {
    let bodies: Vec<_> = (0..256).map(|number| review(namespaces, number * 37)).collect();
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        clients.push(door.http2().await?);
    }
    let total = STEADY * SECONDS;
    let begin = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..total {
        let due = begin + Duration::from_secs_f64(number as f64 / STEADY as f64);
        // A timer is a millisecond coarse: what is due by then is sent together.
        if due > Instant::now() {
            tokio::time::sleep_until(due.into()).await;
        }
        let (door, mut client) = (door.clone(), clients[number % CONNECTIONS].clone());
        let body = bodies[number % bodies.len()].clone();
        tasks.spawn(async move {
            let sent = Instant::now();
            let (status, text) = door.post(&mut client, body).await?;
            ensure!(status == 200 && text.contains("JSONPatch"), "{status} {text}");
            Ok(sent.elapsed())
        });
    }
    let mut took = Vec::new();
    while let Some(done) = tasks.join_next().await {
        took.push(done??);
    }
    took.sort_unstable();
    let at = |percent: usize| took[(took.len() - 1) * percent / 100];
    Ok((at(50), at(99), at(100)))
}
