//! The metrics API away for some intervals, or answering anything else than it should: what was said stands, is called
//! what it is, and the loop goes on. And of two plumbs that are started at once one leads.
//!
//! On a control plane of its own, with a stand-in for the metrics API that can be told to fail.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use plumb::api::{Recommendation, RecommendationStatus};
use plumb::testing;

use crate::support::faults::Fault;
use crate::support::plumb::{Plumb, account};
use crate::support::stand_in::{MetricsApi, Pod};
use crate::support::{Context, Load, wait_for};

/// What usage is read at.
const INTERVAL: Duration = Duration::from_secs(1);

async fn status(context: &Context, name: &str) -> Result<RecommendationStatus> {
    context.api::<Recommendation>().get(name).await?.status.context("no status yet")
}

fn history(status: &RecommendationStatus) -> (String, String) {
    let condition = status.conditions.iter().find(|condition| condition.type_ == "HistoryReady");
    condition.map(|c| (c.reason.clone(), c.message.clone())).unwrap_or_default()
}

cluster_test!(a_metrics_api_that_fails_costs_nothing, [Fresh, Crds]);
async fn a_metrics_api_that_fails_costs_nothing(context: Context) -> Result<()> {
    let cluster = &context.cluster;
    let metrics = &MetricsApi::start(&cluster.plane).await?;
    let pod = |name: &str| Pod {
        namespace: context.namespace.clone(),
        name: name.to_owned(),
        containers: vec!["load".to_owned()],
    };
    // Of the second nothing is known while the source fails.
    metrics.serve(vec![pod("first"), pod("second")]);
    context.apply(&Load::named("first").json()).await?;
    context.apply(&testing::policy("all").json()).await?;
    let rights = account(&context, "plumb", None).await?;
    let start =
        || Plumb::start(&cluster.plane, &rights.kubeconfig, &context.namespace, &["--interval", "1s"]);
    let (one, two) = (start()?, start()?);
    let leader = one_leads(&one, &two).await?;
    let plumb = if leader { &one } else { &two };
    let target = || async {
        let found = status(&context, "pod-first").await?;
        let container = found.containers.first().context("no container")?;
        container.target.requests.cpu.clone().context("no CPU yet")
    };
    wait_for("the first recommendation", Duration::from_secs(60), target).await?;
    let errors = || plumb.metric("plumb_source_errors_total{source=\"metrics-api\"}");
    let samples = || plumb.metric("plumb_samples_total{source=\"metrics-api\"}");
    for fault in [Fault::Error, Fault::Garbage, Fault::Half] {
        let before = errors().await?;
        metrics.switch.set(fault);
        wait_for(&format!("some intervals of {fault:?}"), Duration::from_secs(60), || async {
            let now = errors().await?;
            ensure!(now >= before + 3.0, "{now} errors, {before} before");
            Ok(())
        })
        .await?;
        target().await?;
        plumb.check_running()?;
    }
    // One that comes meanwhile has a recommendation all the same, which says why it has no figures.
    context.apply(&Load::named("second").json()).await?;
    let said = wait_for("the second one to say why", Duration::from_secs(60), || async {
        let said = history(&status(&context, "pod-second").await?);
        ensure!(said.0 == "SourceFailing", "{said:?}");
        Ok(said)
    })
    .await?;
    println!("HistoryReady: {}: {}", said.0, said.1);
    ensure!(plumb.log().contains("cannot read usage"), "{}", plumb.log());
    // Numbers that are none are no samples.
    let spoiled = metrics.switch.spoiled();
    metrics.switch.set(Fault::NotANumber);
    let answers = |more: usize| async move {
        wait_for("usage to be asked for", Duration::from_secs(60), || async {
            let now = metrics.switch.spoiled();
            ensure!(now >= spoiled + more, "{now} spoiled answers, and {spoiled} before");
            Ok(())
        })
        .await
    };
    // Whoever asks for the second one has done with all before it.
    answers(2).await?;
    let none = samples().await?;
    answers(5).await?;
    plumb.rounds(1, INTERVAL).await?;
    ensure!(samples().await? <= none, "NaN was taken for a sample");
    metrics.switch.set(Fault::None);
    wait_for("the second one's figures", Duration::from_secs(60), || async {
        let found = status(&context, "pod-second").await?;
        ensure!(history(&found).0 == "Young", "{:?}", history(&found));
        Ok(())
    })
    .await?;
    for plumb in [one, two] {
        let log = plumb.stop()?;
        ensure!(!log.contains("panicked"), "{log}");
    }
    Ok(())
}

/// Whether it is the first; never both.
async fn one_leads(one: &Plumb<'_>, two: &Plumb<'_>) -> Result<bool> {
    one.wait_ready().await?;
    two.wait_ready().await?;
    let first = wait_for("one of them to lead", Duration::from_secs(60), || async {
        let (first, second) = (one.leads().await?, two.leads().await?);
        ensure!(first || second, "none does");
        Ok(first)
    })
    .await?;
    for _ in 0..20 {
        let leads = (one.leads().await?, two.leads().await?);
        ensure!(leads == (first, !first), "started at once, they lead: {leads:?}, and {first} at first");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Ok(first)
}
