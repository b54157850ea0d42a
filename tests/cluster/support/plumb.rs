//! A `plumb run` beside the cluster, under the rights that are shipped.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::rbac::v1::{ClusterRole, Role};
use serde_json::{Value, json};

use super::cluster::{Account, Context};
use super::control_plane::ControlPlane;
use super::process::free_port;
use super::{measured, paths, wait_for};

/// Flags where a test gives none: what waits for an interval waits for a short one.
const DEFAULTS: [(&str, &str); 2] = [("--roles", "recommender"), ("--warm-up", "3s")];

/// How long one that is told to stop may take before it is killed: Kubernetes' default. It finishes what it has begun, tells
/// of it and lets go of its Lease, for which others would wait.
const GRACE: Duration = Duration::from_secs(30);

/// One that runs.
pub struct Plumb<'a> {
    plane: &'a ControlPlane,
    name: String,
    url: String,
}

impl<'a> Plumb<'a> {
    /// Starts one as somebody, and does not wait for it. Its lease is in that namespace.
    pub fn start(plane: &'a ControlPlane, kubeconfig: &Path, namespace: &str, more: &[&str]) -> Result<Self> {
        Self::start_in(plane, kubeconfig, namespace, more, &[])
    }

    /// The same, with these variables in its environment.
    pub fn start_in(
        plane: &'a ControlPlane,
        kubeconfig: &Path,
        namespace: &str,
        more: &[&str],
        environment: &[(&str, &str)],
    ) -> Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("{}-plumb-{}", plane.name, NUMBER.fetch_add(1, Ordering::Relaxed));
        let address = format!("127.0.0.1:{}", free_port()?);
        let mut command = measured::on_one_core(&paths::plumb());
        command.args(["run", "--listen", &address, "--lease-namespace", namespace, "--log", "debug"]);
        command.arg("--kubeconfig").arg(kubeconfig).args(more);
        for (flag, default) in DEFAULTS {
            if !more.contains(&flag) {
                command.args([flag, default]);
            }
        }
        command.envs(environment.iter().copied());
        plane.run.spawn(&name, &mut command)?;
        Ok(Self { plane, name, url: format!("http://{address}") })
    }

    /// Waits until it knows the cluster's state.
    pub async fn wait_ready(&self) -> Result<()> {
        wait_for("plumb to be ready", Duration::from_secs(60), || async {
            self.plane.run.check_running(&self.name)?;
            let (status, text) = self.page("/readyz").await?;
            ensure!(status == 200, "{text}");
            Ok(())
        })
        .await
        .with_context(|| self.plane.run.log_tail(&self.name))
    }

    /// One of its pages: status and text.
    pub async fn page(&self, path: &str) -> Result<(u16, String)> {
        let answer = reqwest::get(format!("{}{path}", self.url)).await?;
        Ok((answer.status().as_u16(), answer.text().await?))
    }

    /// Whether it writes.
    pub async fn leads(&self) -> Result<bool> {
        Ok(self.page("/metrics").await?.1.lines().any(|line| line == "plumb_leader 1"))
    }

    /// Fails where it has ended.
    pub fn check_running(&self) -> Result<()> {
        self.plane.run.check_running(&self.name)
    }

    /// The last of what it has logged, for a failure's text.
    pub fn log_tail(&self) -> String {
        self.plane.run.log_tail(&self.name)
    }

    /// All that it has logged.
    pub fn log(&self) -> String {
        self.plane.run.log_text(&self.name)
    }

    /// The memory that it has in use now, in MiB, and the most that it ever had.
    pub fn memory(&self) -> Result<(u64, u64)> {
        measured::memory(self.pid()?)
    }

    /// Ends it as if its machine had failed. Answers what it has logged.
    pub fn kill(self) -> Result<String> {
        tokio::task::block_in_place(|| self.plane.run.kill(&self.name))?;
        Ok(self.log())
    }

    /// The id of its process.
    pub fn pid(&self) -> Result<u32> {
        self.plane.run.pid(&self.name)
    }

    /// One number of its page /metrics, by what its line begins with; 0 where there is none.
    pub async fn metric(&self, start: &str) -> Result<f64> {
        let page = self.page("/metrics").await?.1;
        let line = page.lines().find(|line| line.starts_with(start));
        let value = line.and_then(|line| line.rsplit(' ').next());
        Ok(value.map_or(Ok(0.0), str::parse)?)
    }

    /// Waits for `count` of the updater's periodic plans, 5 s each; plans by news come in between.
    pub async fn plans(&self, count: u32) -> Result<()> {
        self.periods("plumb_updater_plan_duration_seconds_count", count, Duration::from_secs(5)).await
    }

    /// Waits for `count` intervals of the recommender, each with a round in it; rounds by news come in between.
    pub async fn rounds(&self, count: u32, interval: Duration) -> Result<()> {
        self.periods("plumb_round_duration_seconds_count", count, interval).await
    }

    async fn periods(&self, metric: &str, count: u32, period: Duration) -> Result<()> {
        for _ in 0..count {
            let next = Instant::now() + period;
            self.counts(metric, 1).await?;
            tokio::time::sleep_until(next.into()).await;
        }
        Ok(())
    }

    async fn counts(&self, metric: &str, more: u32) -> Result<()> {
        let goal = self.metric(metric).await? + f64::from(more);
        wait_for(&format!("{metric} to be {goal}"), Duration::from_secs(120), || async {
            self.check_running()?;
            let now = self.metric(metric).await?;
            ensure!(now >= goal, "it is {now}");
            Ok(())
        })
        .await
    }

    /// Asks it to stop, and waits for so long before it is killed, as a pod's end does.
    pub fn stop_within(self, grace: Duration) -> Result<String> {
        tokio::task::block_in_place(|| self.plane.run.stop_within(&self.name, grace))?;
        Ok(self.log())
    }

    /// Asks it to stop, and waits for that.
    pub fn stop(self) -> Result<String> {
        self.stop_within(GRACE)
    }
}

/// One that a failed test leaves behind would act on what later tests make.
impl Drop for Plumb<'_> {
    fn drop(&mut self) {
        // One that was stopped or killed already is not there any more.
        _ = tokio::task::block_in_place(|| self.plane.run.stop(&self.name));
    }
}

/// What is shipped, as text; a test of the chart holds that it is what the chart says.
fn shipped() -> Result<String> {
    Ok(std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/plumb.yaml"))?)
}

/// Somebody with the rights of a recommender in deploy/plumb.yaml, but for those on `without` ("deployments").
pub async fn account(context: &Context, name: &str, without: Option<&str>) -> Result<Account> {
    account_with(context, name, &["recommender"], without).await
}

/// Somebody with the rights that are shipped for these roles, but for those on `without`: `deployments`, or with its
/// group where others are called the same, `pods.metrics.k8s.io`.
pub async fn account_with(
    context: &Context,
    name: &str,
    roles: &[&str],
    without: Option<&str>,
) -> Result<Account> {
    let mut everywhere = Vec::new();
    let mut own = Vec::new();
    for role in roles {
        let name = format!("\n  name: plumb-{role}\n");
        for document in shipped()?.split("\n---\n").filter(|document| document.contains(&name)) {
            if document.contains("kind: ClusterRole\n") {
                let role: ClusterRole = serde_saphyr::from_str(document)?;
                everywhere.extend(role.rules.unwrap_or_default());
            } else if document.contains("kind: Role\n") {
                let role: Role = serde_saphyr::from_str(document)?;
                own.extend(role.rules.unwrap_or_default());
            }
        }
    }
    ensure!(!everywhere.is_empty() && !own.is_empty(), "the shipped rights were not found");
    let (without, group) = match without.and_then(|without| without.split_once('.')) {
        Some((resource, group)) => (Some(resource), Some(group)),
        None => (without, None),
    };
    for rule in &mut everywhere {
        let groups = rule.api_groups.iter().flatten();
        let meant = group.is_none_or(|group| groups.clone().any(|of| of == group));
        if let (Some(resources), true) = (&mut rule.resources, meant) {
            resources.retain(|resource| Some(resource.as_str()) != without);
        }
    }
    everywhere.retain(|rule| rule.resources.as_ref().is_none_or(|resources| !resources.is_empty()));
    let account = context.account(name, true, json!(everywhere)).await?;
    let role = format!("{name}-lease");
    let rbac = "rbac.authorization.k8s.io";
    let objects: Value = json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": format!("{rbac}/v1"), "kind": "Role", "metadata": {"name": role}, "rules": own},
        {"apiVersion": format!("{rbac}/v1"), "kind": "RoleBinding", "metadata": {"name": role},
         "roleRef": {"apiGroup": rbac, "kind": "Role", "name": role},
         "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": context.namespace}]},
    ]});
    context.apply(&objects).await?;
    Ok(account)
}
