//! Conformance of the simulator: QoS classes, and what a quota counts, asked of the real API server.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::{Pod, ResourceQuota};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use plumb::replay::simulate::{Size, rules};
use serde_json::{Value, json};

use crate::support::conform::{
    all_sizes, container, create, held, init, pod, refused, resize, sizes, step, used, wait_used,
    would_create,
};
use crate::support::{Context, wait_for};

cluster_test!(conformance_of_classes_and_quotas, []);
async fn conformance_of_classes_and_quotas(context: Context) -> Result<()> {
    step("QoS classes", classes(&context)).await?;
    step("quotas", quotas(&context)).await
}

/// Containers, init containers, and the class that they make.
async fn classes(context: &Context) -> Result<()> {
    let none = || json!({});
    let equal = || sizes(("10m", "16Mi"), ("10m", "16Mi"));
    let limits = || sizes(("", ""), ("10m", "16Mi"));
    let requests = || sizes(("10m", "16Mi"), ("", ""));
    let one = |size: Value| json!([container("load", size)]);
    let first = |size: Value| json!([init("first", false, size)]);
    let beside = |size: Value| json!([init("beside", true, size)]);
    let cases = [
        ("nothing is stated", one(none()), json!([]), "BestEffort"),
        ("requests alone", one(requests()), json!([]), "Burstable"),
        ("limits alone are requests too", one(limits()), json!([]), "Guaranteed"),
        ("requests are limits", one(equal()), json!([]), "Guaranteed"),
        ("of memory alone", one(sizes(("", "16Mi"), ("", "16Mi"))), json!([]), "Burstable"),
        ("a limit above its request", one(sizes(("10m", "16Mi"), ("10m", "32Mi"))), json!([]), "Burstable"),
        ("an init container without", one(equal()), first(none()), "Burstable"),
        ("a sidecar without", one(equal()), beside(none()), "Burstable"),
        ("an init container of equals", one(equal()), first(equal()), "Guaranteed"),
        ("a sidecar of equals", one(equal()), beside(equal()), "Guaranteed"),
        ("an init container alone states", one(none()), first(requests()), "Burstable"),
        ("nothing anywhere", one(none()), first(none()), "BestEffort"),
        ("zeros are nothing", one(sizes(("0", "0"), ("", ""))), json!([]), "BestEffort"),
    ];
    for (case, containers, inits, expected) in cases {
        step(case, async {
            let made = would_create(context, &pod("class", containers, inits)).await?;
            let model = format!("{:?}", rules::class(&all_sizes(&made)?));
            let class = made.status.and_then(|status| status.qos_class);
            ensure!(class.as_deref() == Some(expected), "{class:?}, not {expected}");
            ensure!(model == expected, "the simulator says {model}, not {expected}");
            Ok(())
        })
        .await?;
    }
    Ok(())
}

async fn quotas(context: &Context) -> Result<()> {
    let quota = |name: &str, hard: Value, scopes: Value| {
        json!({"apiVersion": "v1", "kind": "ResourceQuota",
        "metadata": {"name": name}, "spec": {"hard": hard, "scopes": scopes}})
    };
    let hard = json!({"requests.cpu": "1", "requests.memory": "1Gi", "limits.memory": "2Gi", "pods": "20"});
    let all = [
        quota("all", hard, json!([])),
        quota("besteffort", json!({"pods": "2"}), json!(["BestEffort"])),
        quota("ending", json!({"requests.cpu": "1"}), json!(["Terminating"])),
        quota("lasting", json!({"requests.cpu": "1"}), json!(["NotTerminating"])),
        quota("stated", json!({"requests.cpu": "1"}), json!(["NotBestEffort"])),
    ];
    for one in &all {
        context.apply(one).await?;
    }
    wait_used(context, "all", "pods", 0).await?;
    wait_used(context, "lasting", "requests.cpu", 0).await?;
    wait_used(context, "besteffort", "pods", 0).await?;
    let containers = json!([
        container("load", sizes(("100m", "64Mi"), ("200m", "128Mi"))),
        container("proxy", sizes(("50m", "32Mi"), ("", "32Mi")))
    ]);
    step("containers are summed, and all of them must state what is counted", async {
        create(context, &pod("sum", containers.clone(), json!([]))).await?;
        wait_counts(context, [150, 96, 160]).await?;
        let unstated = json!([container("load", sizes(("10m", "16Mi"), ("", "")))]);
        refused(
            would_create(context, &pod("none", unstated, json!([]))).await,
            403,
            "must specify limits.memory",
        )
    })
    .await?;
    step("init containers count by the most at once, sidecars beside the rest", async {
        // While the init container runs, the sidecar before it does: 300m + 20m; then 150m + 20m.
        let inits = json!([
            init("beside", true, sizes(("20m", "16Mi"), ("", "16Mi"))),
            init("first", false, sizes(("300m", "16Mi"), ("", "16Mi")))
        ]);
        create(context, &pod("inits", containers.clone(), inits)).await?;
        wait_counts(context, [150 + 320, 96 + 112, 160 + 176]).await
    })
    .await?;
    step("scopes", async {
        wait_used(context, "lasting", "requests.cpu", 470).await?;
        wait_used(context, "stated", "requests.cpu", 470).await?;
        ensure!(used(context, "besteffort", "pods").await? == 0, "a Burstable pod counts as BestEffort");
        let mut ending = pod("ending", containers.clone(), json!([]));
        ending["spec"]["activeDeadlineSeconds"] = json!(3600);
        create(context, &ending).await?;
        wait_used(context, "ending", "requests.cpu", 150).await?;
        wait_used(context, "all", "requests.cpu", 620).await?;
        ensure!(used(context, "lasting", "requests.cpu").await? == 470, "what ends counts as what lasts");
        Ok(())
    })
    .await?;
    step("a pod that would pass the quota is refused whole", async {
        let two = json!([container("load", sizes(("400m", "16Mi"), ("", "16Mi")))]);
        refused(create(context, &pod("more", two, json!([]))).await, 403, "exceeded quota: ")?;
        ensure!(
            used(context, "all", "requests.memory").await? == (96 + 112 + 96) << 20,
            "a part of it counts"
        );
        Ok(())
    })
    .await?;
    step("a resize of a pod without a node is counted when it grows, and not soon when it shrinks", async {
        resize(context, "sum", "load", sizes(("120m", ""), ("", ""))).await?;
        wait_used(context, "all", "requests.cpu", 640).await?;
        resize(context, "sum", "load", sizes(("100m", ""), ("", ""))).await?;
        tokio::time::sleep(Duration::from_secs(3)).await;
        let found = used(context, "all", "requests.cpu").await?;
        ensure!(found == 640, "{found}");
        Ok(())
    })
    .await?;
    step("a pod that has ended counts no more", async {
        let ended = Patch::Merge(json!({"status": {"phase": "Succeeded"}}));
        context.api::<Pod>().patch_status("inits", &PatchParams::default(), &ended).await?;
        wait_counts(context, [300, 192, 320]).await
    })
    .await?;
    step("nor does one that is gone", async {
        context.api::<Pod>().delete("ending", &DeleteParams::default().grace_period(0)).await?;
        wait_counts(context, [150, 96, 160]).await
    })
    .await?;
    step("what is too much already may not grow, and may shrink", over_full(context)).await?;
    best_effort(context).await
}

async fn over_full(context: &Context) -> Result<()> {
    let less = json!({"spec": {"hard": {"requests.cpu": "120m", "requests.memory": "1Gi",
                                        "limits.memory": "2Gi", "pods": "20"}}});
    context.api::<ResourceQuota>().patch("all", &PatchParams::default(), &Patch::Merge(less)).await?;
    wait_for("the lower quota to hold", Duration::from_secs(20), || async {
        let grown = resize(context, "sum", "load", sizes(("101m", ""), ("", ""))).await;
        refused(grown, 403, "exceeded quota: ")
    })
    .await?;
    // Memory grows within its own quota; that CPU is over does not matter to it.
    resize(context, "sum", "load", sizes(("", "65Mi"), ("", ""))).await.context("memory alone")?;
    resize(context, "sum", "load", sizes(("90m", ""), ("", ""))).await.context("a shrink")?;
    Ok(())
}

async fn best_effort(context: &Context) -> Result<()> {
    step("a scope counts BestEffort pods", async {
        context.api::<ResourceQuota>().delete("all", &DeleteParams::default()).await?;
        let nothing = || json!([container("load", json!({}))]);
        let unstated = || async { would_create(context, &pod("zero", nothing(), json!([]))).await };
        wait_for("quotas of what lasts to want that CPU is stated", Duration::from_secs(20), || async {
            refused(unstated().await, 403, "failed quota: lasting: must specify requests.cpu")
        })
        .await?;
        for name in ["lasting", "ending", "stated"] {
            context.api::<ResourceQuota>().delete(name, &DeleteParams::default()).await?;
        }
        for name in ["one", "two"] {
            wait_for("a BestEffort pod", Duration::from_secs(20), || async {
                create(context, &pod(name, nothing(), json!([]))).await?;
                Ok(())
            })
            .await?;
        }
        wait_used(context, "besteffort", "pods", 2).await?;
        refused(create(context, &pod("three", nothing(), json!([]))).await, 403, "exceeded quota: besteffort")
    })
    .await
}

/// Waits until the quota counts so much: CPU requests in thousandths of a core, memory requests and limits in MiB.
async fn wait_counts(context: &Context, [cpu, memory, limits]: [u64; 3]) -> Result<()> {
    let expected = [cpu, memory << 20, limits << 20];
    let counted = context.api::<Pod>().list(&ListParams::default()).await?.items;
    let lasts =
        |pod: &&Pod| pod.status.as_ref().and_then(|status| status.phase.as_deref()) != Some("Succeeded");
    let figures: [fn(&Size) -> Option<u64>; 3] =
        [|size| size.cpu, |size| size.memory, |size| size.memory_limit];
    for ((resource, figure), expected) in
        ["requests.cpu", "requests.memory", "limits.memory"].into_iter().zip(figures).zip(expected)
    {
        let model = counted.iter().filter(lasts).map(|pod| held(pod, figure)).sum::<Result<u64>>()?;
        ensure!(model == expected, "the simulator counts {model} of {resource}, not {expected}");
        wait_used(context, "all", resource, expected).await?;
    }
    Ok(())
}
