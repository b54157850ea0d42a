//! Two webhooks that share one Secret and one address: one certificate for both, whoever makes it; and neither a change
//! of authority nor the end of one of them is noticed by those who create pods.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures::StreamExt;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Patch, PatchParams, WatchEvent, WatchParams};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::admission::{configuration, place, wait_stamped};
use crate::admission_certificates::{Creations, field, secret};
use crate::admission_under_attack::Door;
use crate::support::plumb::Plumb;
use crate::support::process::free_port;
use crate::support::recommended::{container, recommend};
use crate::support::{Context, wait_for};

const SOON: Duration = Duration::from_secs(60);
/// Creations a second.
const RATE: u64 = 100;

/// What stands before both, as a Service does: each new connection goes to the next one that answers.
struct Balancer {
    url: String,
    taken: Arc<[AtomicUsize; 2]>,
    /// That one gets no new connections.
    left: Arc<[AtomicBool; 2]>,
    task: JoinHandle<()>,
}

impl Balancer {
    async fn start(behind: [String; 2]) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("https://{}", listener.local_addr()?);
        let taken = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
        let left = Arc::new([AtomicBool::new(false), AtomicBool::new(false)]);
        let (counts, out) = (taken.clone(), left.clone());
        let task = tokio::spawn(async move {
            let mut turn = 0;
            while let Ok((mut from, _)) = listener.accept().await {
                turn += 1;
                for place in [turn % 2, (turn + 1) % 2] {
                    if out[place].load(Ordering::Relaxed) {
                        continue;
                    }
                    let Ok(mut to) = TcpStream::connect(&behind[place]).await else { continue };
                    counts[place].fetch_add(1, Ordering::Relaxed);
                    // A connection that breaks off shows in what its client gets.
                    tokio::spawn(
                        async move { drop(tokio::io::copy_bidirectional(&mut from, &mut to).await) },
                    );
                    break;
                }
            }
        });
        Ok(Self { url, taken, left, task })
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Every version that the Secret has from now on; told by a watch, as two may follow each other faster than anybody asks.
async fn versions(context: &Context) -> Result<(Arc<Mutex<BTreeSet<String>>>, JoinHandle<()>)> {
    let seen = Arc::new(Mutex::new(BTreeSet::new()));
    let (api, noted) = (context.api::<Secret>(), seen.clone());
    let only = WatchParams::default().fields("metadata.name=plumb-webhook-tls");
    let mut events = api.watch(&only, "0").await?.boxed();
    let task = tokio::spawn(async move {
        let mut last = "0".to_owned();
        loop {
            while let Some(Ok(event)) = events.next().await {
                if let WatchEvent::Added(secret) | WatchEvent::Modified(secret) = event {
                    last = secret.metadata.resource_version.unwrap_or_default();
                    noted.lock().expect("nobody panics with it").insert(last.clone());
                }
            }
            // The API server ends each watch after some minutes.
            match api.watch(&only, &last).await {
                Ok(next) => events = next.boxed(),
                Err(_) => return,
            }
        }
    });
    Ok((seen, task))
}

cluster_test!(two_webhooks_share_one_certificate, [Fresh, Crds]);
async fn two_webhooks_share_one_certificate(context: Context) -> Result<()> {
    let account = place(&context).await?;
    let containers = json!([container("load", "180m", "300Mi", "400Mi")]);
    recommend(&context, "pod-web", ("v1", "Pod", "web"), "Auto", containers).await?;
    let listens = [free_port()?, free_port()?].map(|port| format!("127.0.0.1:{port}"));
    let balancer = Balancer::start(listens.clone()).await?;
    let (seen, watching) = versions(&context).await?;
    let replica = |listen: &str| {
        let flags = ["--roles", "webhook", "--webhook-listen", listen, "--webhook-url", &balancer.url];
        // The shortest life that there is, so that 3 s lie between two steps.
        let flags = [&flags[..], &["--webhook-cert-lifetime", "60s"]].concat();
        Plumb::start(&context.cluster.plane, &account.kubeconfig, &context.namespace, &flags)
    };
    // At once, so that both want to make the certificate.
    let (one, other) = (replica(&listens[0])?, replica(&listens[1])?);
    let logs = || format!("{}\n--\n{}", one.log(), other.log());
    let begun = async {
        one.wait_ready().await?;
        other.wait_ready().await?;
        wait_stamped(&context).await?;
        both_show_what_is_kept(&context, &listens).await?;
        let creations = Creations::start(&context, RATE);
        let rotated = rotate(&context, &listens, &creations).await;
        Ok::<_, anyhow::Error>((creations, rotated))
    };
    let (creations, rotated) = begun.await.with_context(logs)?;
    rotated.with_context(logs)?;
    // One goes; the other answers for both, and what is registered stays.
    let out = balancer.left.clone();
    tokio::spawn(async move {
        // A Service hears of a pod that ends about so late.
        tokio::time::sleep(Duration::from_secs(1)).await;
        out[0].store(true, Ordering::Relaxed);
    });
    let (left, gone) = (other, one.stop_within(Duration::from_secs(20))?);
    let after = async {
        ensure!(configuration(&context).await.is_ok(), "the registration went with one of two");
        let goal = creations.made() + 2 * usize::try_from(RATE)?;
        wait_for("the other one to answer for both", SOON, || async {
            creations.check()?;
            ensure!(creations.made() >= goal, "{} of {goal} pods", creations.made());
            Ok(())
        })
        .await?;
        let made = creations.end().await?;
        ensure!(made as u64 > RATE, "only {made} pods were created");
        println!(
            "{made} pods created through a change of authority and the end of one of two webhooks, each stamped"
        );
        Ok::<_, anyhow::Error>(())
    };
    after.await.with_context(|| left.log())?;
    let taken = [0, 1].map(|place| balancer.taken[place].load(Ordering::Relaxed));
    ensure!(taken.iter().all(|taken| *taken > 0), "connections of the API server: {taken:?}");
    // Whoever lost a step by the resource version has not written: as many were made as the Secret had versions, but
    // for the one that the annotation made.
    let made =
        [gone, left.stop()?].iter().map(|log| log.matches("renewed the webhook's").count()).sum::<usize>();
    // Nobody writes it any more.
    let last = secret(&context).await?.metadata.resource_version.context("no version")?;
    wait_for("the watch to tell of the last version", SOON, || async {
        ensure!(!watching.is_finished(), "the watch has ended");
        ensure!(seen.lock().expect("nobody panics with it").contains(&last), "not yet");
        Ok(())
    })
    .await?;
    watching.abort();
    let versions = seen.lock().expect("nobody panics with it").len();
    println!("{made} steps by two webhooks, {versions} versions of their Secret, connections {taken:?}");
    ensure!(made + 1 == versions, "{made} steps, but {versions} versions");
    Ok(())
}

/// Both show the certificate in the Secret, and its authority has signed it.
async fn both_show_what_is_kept(context: &Context, listens: &[String; 2]) -> Result<()> {
    wait_for("both to show one certificate", SOON, || async {
        let kept = secret(context).await?;
        let leaf = CertificateDer::from_pem_slice(field(&kept, "tls.crt").as_bytes())?;
        for listen in listens {
            let door = Door::new(listen, field(&kept, "ca.crt").as_bytes())?;
            ensure!(door.shown().await? == leaf, "{listen} shows another one");
        }
        Ok(())
    })
    .await
}

async fn rotate(context: &Context, listens: &[String; 2], creations: &Creations) -> Result<()> {
    let before = field(&secret(context).await?, "ca.crt");
    let rotate = Patch::Merge(json!({"metadata": {"annotations": {"plumb.dev/rotate": "now"}}}));
    context.api::<Secret>().patch("plumb-webhook-tls", &PatchParams::default(), &rotate).await?;
    wait_for("another authority to sign, and the old one to go", Duration::from_secs(180), || async {
        creations.check()?;
        let now = secret(context).await?;
        ensure!(field(&now, "ca.crt") != before && field(&now, "old.crt").is_empty(), "not yet");
        Ok(())
    })
    .await?;
    both_show_what_is_kept(context, listens).await
}
