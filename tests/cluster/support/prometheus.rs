//! Prometheus, which reads the kubelet's cAdvisor and resource pages.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::json;

use super::control_plane::ControlPlane;
use super::node::RunningNode;
use super::process::free_port;
use super::{paths, wait_for};

/// A Prometheus that runs.
pub struct Prometheus {
    /// Where it answers, as `http://127.0.0.1:PORT`.
    pub url: String,
}

/// One series of an instant query's answer.
#[derive(Clone, Debug, Deserialize)]
pub struct Series {
    /// Its labels.
    pub metric: std::collections::BTreeMap<String, String>,
    /// When, and the value as text.
    pub value: (f64, String),
}

impl Prometheus {
    /// Starts one that reads this node every 5 s.
    pub async fn start(plane: &ControlPlane, node: &RunningNode) -> Result<Self> {
        tokio::task::block_in_place(|| paths::build(&["deb"]))?;
        let name = format!("{}-prometheus", plane.name);
        let dir = plane.run.subdirectory(&name)?;
        let config = dir.join("prometheus.json");
        std::fs::write(&config, serde_json::to_vec_pretty(&configuration(node))?)?;
        let listen = format!("127.0.0.1:{}", free_port()?);
        let mut command = Command::new(paths::deb("prometheus", "usr/bin/prometheus"));
        command.arg("--config.file").arg(&config).arg("--storage.tsdb.path").arg(dir.join("data"));
        command.args(["--web.listen-address", &listen]);
        plane.run.spawn(&name, &mut command)?;
        let prometheus = Self { url: format!("http://{listen}") };
        wait_for("Prometheus to read the kubelet", Duration::from_secs(60), || async {
            plane.run.check_running(&name)?;
            let up = prometheus.query("up == 1").await?;
            ensure!(up.len() == 2, "{} of its 2 targets answer", up.len());
            Ok(())
        })
        .await
        .with_context(|| plane.run.log_tail(&name))?;
        Ok(prometheus)
    }

    /// Asks for the value of a query now.
    pub async fn query(&self, query: &str) -> Result<Vec<Series>> {
        #[derive(Deserialize)]
        struct Answer {
            data: Data,
        }
        #[derive(Deserialize)]
        struct Data {
            result: Vec<Series>,
        }
        let request =
            reqwest::Client::new().get(format!("{}/api/v1/query", self.url)).query(&[("query", query)]);
        let answer: Answer = request.send().await?.error_for_status()?.json().await?;
        Ok(answer.data.result)
    }
}

fn configuration(node: &RunningNode) -> serde_json::Value {
    let job = |name: &str, page: &str| {
        json!({
            "job_name": name,
            "scheme": "https",
            "metrics_path": page,
            "authorization": {"credentials": "token-of-admin"},
            "tls_config": {"insecure_skip_verify": true},
            "static_configs": [{"targets": [format!("127.0.0.1:{}", node.kubelet_port)],
                                "labels": {"node": super::node::NAME}}],
        })
    };
    json!({
        "global": {"scrape_interval": "5s", "scrape_timeout": "4s"},
        "scrape_configs": [job("cadvisor", "/metrics/cadvisor"), job("resource", "/metrics/resource")],
    })
}
