//! Whatever becomes of the webhook's certificates (expired, wrong, renewed under load), pods are created, and stamped
//! again soon.

use std::path::Path;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::json;

use crate::admission::{configuration, dry_run, place, start, wait_stamped};
use crate::support::certificates::Authority;
use crate::support::recommended::{container, recommend, stamp};
use crate::support::{Context, wait_for};

const SOON: Duration = Duration::from_secs(60);
/// Creations that are under way at the same time, at most. A busy machine answers none of too many within the webhook's
/// time limit.
const AT_ONCE: usize = 16;

cluster_test!(no_certificate_and_no_death_keeps_a_pod_from_being_created, [Fresh, Crds]);
async fn no_certificate_and_no_death_keeps_a_pod_from_being_created(context: Context) -> Result<()> {
    let account = place(&context).await?;
    let containers = json!([container("load", "180m", "300Mi", "400Mi")]);
    recommend(&context, "pod-web", ("v1", "Pod", "web"), "Auto", containers).await?;
    // The shortest life that there is: a new leaf each 40 s, and 3 s between steps.
    let short = ["--webhook-cert-lifetime", "60s"];
    let plumb = start(&context, &account.kubeconfig, &short).await?;
    wait_stamped(&context).await?;
    rotation_is_not_noticed(&context).await.with_context(|| plumb.log())?;
    a_wrong_certificate_is_replaced(&context).await.with_context(|| plumb.log())?;
    plumb.kill()?;
    let begin = Instant::now();
    let pod = dry_run(&context).await?;
    ensure!(stamp(&pod).is_none(), "{pod:?}");
    println!("with the webhook killed a pod is created in {} ms", begin.elapsed().as_millis());
    ensure!(begin.elapsed() < Duration::from_secs(3), "it took {:?}", begin.elapsed());
    certificates_of_ones_own(&context, &account.kubeconfig).await
}

pub async fn secret(context: &Context) -> Result<Secret> {
    Ok(context.api::<Secret>().get("plumb-webhook-tls").await?)
}

pub fn field(secret: &Secret, name: &str) -> String {
    let bytes = secret.data.as_ref().and_then(|data| data.get(name)).map(|bytes| bytes.0.clone());
    String::from_utf8(bytes.unwrap_or_default()).expect("PEM is text")
}

/// Creations of pods, so many a second, each of which has to be stamped; until they are told to end.
pub struct Creations {
    stop: Arc<AtomicBool>,
    made: Arc<AtomicUsize>,
    failed: Arc<OnceLock<String>>,
    task: tokio::task::JoinHandle<Result<()>>,
}

impl Creations {
    pub fn start(context: &Context, rate: u64) -> Self {
        let (stop, made) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let failed = Arc::new(OnceLock::new());
        let making = {
            let (context, stop, made) = (context.clone(), stop.clone(), made.clone());
            async move {
                let mut tasks = tokio::task::JoinSet::new();
                // What a busy machine has missed is made up for.
                let mut ticks = tokio::time::interval(Duration::from_micros(1_000_000 / rate));
                while !stop.load(Ordering::Relaxed) {
                    ticks.tick().await;
                    while tasks.len() >= AT_ONCE {
                        tasks.join_next().await.context("none is left")???;
                    }
                    let (context, made) = (context.clone(), made.clone());
                    tasks.spawn(async move {
                        let pod = dry_run(&context).await?;
                        ensure!(stamp(&pod).is_some(), "a pod was created unstamped");
                        made.fetch_add(1, Ordering::Relaxed);
                        Ok(())
                    });
                    while let Some(done) = tasks.try_join_next() {
                        done??;
                    }
                }
                while let Some(done) = tasks.join_next().await {
                    done??;
                }
                Ok::<_, anyhow::Error>(())
            }
        };
        let why = failed.clone();
        let task = tokio::spawn(async move {
            let made = making.await;
            if let Err(error) = &made {
                // The first failure is the only one.
                _ = why.set(format!("{error:#}"));
            }
            made
        });
        Self { stop, made, failed, task }
    }

    /// Fails where one has failed.
    pub fn check(&self) -> Result<()> {
        ensure!(!self.task.is_finished(), "the creations have ended: {:?}", self.failed.get());
        Ok(())
    }

    /// Number of pods made so far.
    pub fn made(&self) -> usize {
        self.made.load(Ordering::Relaxed)
    }

    /// Stops, and returns the number of pods made, each of which was stamped.
    pub async fn end(self) -> Result<usize> {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await??;
        Ok(self.made.load(Ordering::Relaxed))
    }
}

/// Two hundred creations a second through a whole change of authority.
async fn rotation_is_not_noticed(context: &Context) -> Result<()> {
    const RATE: u64 = 200;
    let before = secret(context).await?;
    let creations = Creations::start(context, RATE);
    let begin = Instant::now();
    let rotate = Patch::Merge(json!({"metadata": {"annotations": {"plumb.dev/rotate": "now"}}}));
    context.api::<Secret>().patch("plumb-webhook-tls", &PatchParams::default(), &rotate).await?;
    let changed =
        wait_for("another authority to sign, and the old one to go", Duration::from_secs(180), || async {
            creations.check()?;
            let now = secret(context).await?;
            ensure!(field(&now, "ca.crt") != field(&before, "ca.crt"), "the authority is the same");
            ensure!(field(&now, "old.crt").is_empty(), "the old one is still trusted");
            // And one leaf has run out its time besides.
            ensure!(begin.elapsed() > Duration::from_secs(45), "not long enough yet");
            Ok(())
        })
        .await;
    let (made, took) = (creations.end().await?, begin.elapsed());
    changed?;
    let rate = made as f64 / took.as_secs_f64();
    println!(
        "{made} pods created in {:.0} s of rotation ({rate:.0}/s), each of them stamped",
        took.as_secs_f64()
    );
    // A busy machine makes fewer; what counts is that none failed and none was missed.
    ensure!(rate > 10.0, "only {rate:.0} creations a second");
    Ok(())
}

/// Whatever somebody puts into the Secret: pods are created, and soon stamped again.
async fn a_wrong_certificate_is_replaced(context: &Context) -> Result<()> {
    let foreign = Authority::new()?.server()?;
    let data = |bytes: &str| ByteString(bytes.as_bytes().to_vec());
    for (certificate, key) in [(foreign.certificate.as_str(), foreign.key.as_str()), ("nonsense", "nonsense")]
    {
        let patch = json!({"data": {"tls.crt": data(certificate), "tls.key": data(key)}});
        context
            .api::<Secret>()
            .patch("plumb-webhook-tls", &PatchParams::default(), &Patch::Merge(patch))
            .await?;
        wait_for("it to be replaced", SOON, || async {
            dry_run(context).await?;
            ensure!(field(&secret(context).await?, "tls.crt") != certificate, "it stands");
            Ok(())
        })
        .await?;
        wait_stamped(context).await?;
    }
    context.kubectl(&["delete", "secret", "plumb-webhook-tls"]).await?.ok()?;
    wait_for("the Secret to be made anew", SOON, || secret(context)).await?;
    wait_stamped(context).await?;
    // And whatever somebody puts into the registration.
    let configurations: Api<MutatingWebhookConfiguration> = Api::all(context.client());
    let foreign = Authority::new()?.certificate();
    // Again where plumb itself was faster.
    let found = wait_for("the registration to be spoiled", SOON, || async {
        let mut found = configuration(context).await?;
        for webhook in found.webhooks.iter_mut().flatten() {
            webhook.client_config.ca_bundle = Some(data(&foreign));
        }
        configurations.replace("plumb", &PostParams::default(), &found).await?;
        Ok(found)
    })
    .await?;
    dry_run(context).await?;
    wait_for("the authority to be put right", SOON, || async {
        ensure!(configuration(context).await?.webhooks != found.webhooks, "it is not");
        Ok(())
    })
    .await?;
    wait_stamped(context).await
}

/// Files that somebody else renews, as cert-manager does: read again when they change; wrong ones stop no pod.
async fn certificates_of_ones_own(context: &Context, kubeconfig: &Path) -> Result<()> {
    let dir = context.cluster.plane.run.subdirectory("own-certificates")?;
    let (right, wrong) = (Authority::new()?, Authority::new()?);
    let write = |authority: &Authority, expired: bool| -> Result<()> {
        let signed = if expired { authority.expired_server()? } else { authority.server()? };
        // In one step, as the kubelet changes a mounted Secret.
        for (name, text) in [("new.crt", &signed.certificate), ("new.key", &signed.key)] {
            std::fs::write(dir.join(name), text)?;
        }
        std::fs::rename(dir.join("new.key"), dir.join("tls.key"))?;
        Ok(std::fs::rename(dir.join("new.crt"), dir.join("tls.crt"))?)
    };
    std::fs::write(dir.join("ca.crt"), right.certificate())?;
    let path = |name: &str| dir.join(name).to_string_lossy().into_owned();
    let flags = [
        "--webhook-cert",
        &path("tls.crt"),
        "--webhook-key",
        &path("tls.key"),
        "--webhook-ca",
        &path("ca.crt"),
    ];
    write(&right, true)?;
    let plumb = start(context, kubeconfig, &flags).await?;
    ensure!(stamp(&dry_run(context).await?).is_none(), "stamped by an expired certificate");
    write(&right, false)?;
    wait_stamped(context).await.with_context(|| plumb.log())?;
    write(&wrong, false)?;
    wait_for("the wrong certificate to be refused", SOON, || async {
        // Connections that are open stay; the API server keeps one for as long as it is used.
        ensure!(plumb.page("/readyz").await?.0 == 200, "not ready");
        tokio::time::sleep(Duration::from_secs(1)).await;
        dry_run(context).await?;
        let log = plumb.log().matches("shows a new certificate").count();
        ensure!(log >= 3, "{log} certificates were shown");
        Ok(())
    })
    .await?;
    write(&right, false)?;
    wait_stamped(context).await?;
    plumb.stop()?;
    Ok(())
}
