//! etcd, kube-apiserver, kube-controller-manager and kube-scheduler: a cluster without a node.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::ApiResource;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::discovery::ApiCapabilities;
use kube::{Api, Client, Config};
use serde_json::json;

use super::certificates::Authority;
use super::process::{Run, free_port};
use super::{cgroups, node, paths, wait_for};

const START: Duration = Duration::from_secs(60);
const ADMIN: &str = "admin";

/// A control plane that runs.
pub struct ControlPlane {
    /// The run that it belongs to.
    pub run: Arc<Run>,
    /// As what its processes and files are named within the run.
    pub name: String,
    /// Number that names its networks, bridge and control group.
    pub number: Number,
    /// Its certificates, kubeconfigs and data.
    pub dir: PathBuf,
    /// Where the API server listens.
    pub server: String,
    /// How long it took from nothing to ready.
    pub took: Duration,
    client: Client,
    etcd: String,
    port: u16,
    /// True once a node of this control plane was started.
    pub has_node: AtomicBool,
    /// Discovered resources, by API version and kind.
    pub kinds: Mutex<HashMap<(String, String), (ApiResource, ApiCapabilities)>>,
}

/// A small number that no other control plane of this process has while it lasts. Nodes have one machine in common, so
/// what a node needs there (bridge, networks, control group) is named by it.
#[derive(Debug)]
pub struct Number(u8);

static TAKEN: Mutex<BTreeSet<u8>> = Mutex::new(BTreeSet::new());

impl Number {
    /// Networks are numbered too: 10.96.0.0/16 and what follows are Services, 10.231.0.0/22 and what follows are pods.
    const COUNT: u8 = 64;

    fn take() -> Result<Self> {
        let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
        let free =
            (0..Self::COUNT).find(|number| !taken.contains(number)).context("too many control planes")?;
        taken.insert(free);
        Ok(Self(free))
    }

    /// The network interface that pods of its node are on.
    pub fn bridge(&self) -> String {
        format!("{}{}", node::BRIDGES, self.0)
    }

    /// The control group that its node's pods are below.
    pub fn control_group(&self) -> String {
        format!("{}{}", cgroups::NODES, self.0)
    }

    /// The addresses of its node's pods.
    pub fn pods(&self) -> String {
        format!("10.231.{}.0/22", u16::from(self.0) * 4)
    }

    fn services(&self) -> String {
        format!("10.{}.0.0/16", 96 + u16::from(self.0))
    }

    /// The address of the Service `kubernetes`: the first one.
    fn api_service(&self) -> String {
        format!("10.{}.0.1", 96 + u16::from(self.0))
    }
}

impl Drop for Number {
    fn drop(&mut self) {
        TAKEN.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.0);
    }
}

/// Who talks to the API server: file name, user, groups. The token is made from the name: this server is for tests.
const USERS: &[(&str, &str, &str)] = &[
    (ADMIN, "admin", "system:masters"),
    ("controller-manager", "system:kube-controller-manager", ""),
    ("scheduler", "system:kube-scheduler", ""),
    ("kubelet", "system:node:localhost", "system:nodes"),
    ("metrics-server", "metrics-server", ""),
];

impl ControlPlane {
    /// Starts one and waits until pods can be created in it.
    pub async fn start(run: &Arc<Run>, name: &str) -> Result<Self> {
        let started = Self::start_all(run, name).await;
        if started.is_err() {
            tokio::task::block_in_place(|| run.stop_those_of(name));
        }
        started
    }

    async fn start_all(run: &Arc<Run>, name: &str) -> Result<Self> {
        tokio::task::block_in_place(|| paths::build(&["kubernetes"]))?;
        let begin = Instant::now();
        let number = Number::take()?;
        let dir = run.subdirectory(name)?;
        let etcd = start_etcd(run, name, &dir)?;
        let port = free_port()?;
        let server = format!("https://127.0.0.1:{port}");
        write_credentials(&dir, &server, &number)?;
        start_api_server(run, name, &dir, (&etcd, port), &number)?;
        let client = client(&dir.join("admin.kubeconfig")).await?;
        wait_api_server(run, name, &client).await?;
        start_controllers(run, name, &dir)?;
        let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), "default");
        wait_for("the controller manager to make service accounts", START, || async {
            run.check_running(&format!("{name}-kube-controller-manager"))?;
            run.check_running(&format!("{name}-kube-scheduler"))?;
            accounts.get("default").await?;
            Ok(())
        })
        .await
        .with_context(|| run.log_tail(&format!("{name}-kube-controller-manager")))?;
        Ok(Self {
            run: run.clone(),
            name: name.to_owned(),
            number,
            dir,
            server,
            took: begin.elapsed(),
            client,
            etcd,
            port,
            has_node: AtomicBool::new(false),
            kinds: Mutex::default(),
        })
    }

    /// Stops the API server, and starts it again on the same data after `pause`.
    pub async fn restart_api_server(&self, pause: Duration) -> Result<()> {
        let name = format!("{}-kube-apiserver", self.name);
        tokio::task::block_in_place(|| self.run.stop(&name))?;
        tokio::time::sleep(pause).await;
        start_api_server(&self.run, &self.name, &self.dir, (&self.etcd, self.port), &self.number)?;
        wait_api_server(&self.run, &self.name, &self.client).await
    }

    /// Fails where one of its processes, or of its node's, has ended.
    pub fn check_running(&self) -> Result<()> {
        self.run.check_those_of(&self.name)
    }

    /// A client that may do everything.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// The kubeconfig of one of the cluster's own users, such as `admin`.
    pub fn kubeconfig(&self, user: &str) -> PathBuf {
        self.dir.join(format!("{user}.kubeconfig"))
    }

    /// Writes a kubeconfig for somebody with a token.
    pub fn write_kubeconfig(&self, user: &str, token: &str) -> Result<PathBuf> {
        write_kubeconfig(&self.dir, &self.server, user, token)
    }
}

/// Stops its processes, and its node's. A fresh one ends with its test, and does not slow those down that come after.
impl Drop for ControlPlane {
    fn drop(&mut self) {
        tokio::task::block_in_place(|| {
            self.run.stop_those_of(&self.name);
            // Only a node of ours: every process numbers its own from 0. What does not die is for the run's end. A bridge
            // that stays would lead to the dead pods' addresses, which the pods of the next cluster of this number have.
            if self.has_node.load(Ordering::Relaxed) && node::holds_machine() {
                _ = cgroups::kill_pods(&self.number.control_group());
                _ = node::delete_bridge(&self.number.bridge());
            }
        });
    }
}

async fn wait_api_server(run: &Run, name: &str, client: &Client) -> Result<()> {
    wait_for("the API server to be ready", START, || async {
        run.check_running(&format!("{name}-etcd"))?;
        run.check_running(&format!("{name}-kube-apiserver"))?;
        let ready = client.request_text(http_get("/readyz")?).await.context("/readyz")?;
        anyhow::ensure!(ready == "ok", "it says {ready}");
        Ok(())
    })
    .await
    .with_context(|| run.log_tail(&format!("{name}-kube-apiserver")))
}

/// A client by a kubeconfig. It asks once: a test wants to see what the server says, and when.
pub async fn client(kubeconfig: &Path) -> Result<Client> {
    let file = Kubeconfig::read_from(kubeconfig)?;
    let mut config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?;
    config.default_retry = false;
    config.connect_timeout = Some(Duration::from_secs(5));
    Ok(Client::try_from(config)?)
}

/// A request for a path of the API server that is no object.
pub fn http_get(path: &str) -> Result<http::Request<Vec<u8>>> {
    Ok(http::Request::get(path).body(Vec::new())?)
}

fn start_etcd(run: &Run, name: &str, dir: &Path) -> Result<String> {
    let (clients, peers) = (free_port()?, free_port()?);
    let url = format!("http://127.0.0.1:{clients}");
    let peer = format!("http://127.0.0.1:{peers}");
    let mut etcd = Command::new(paths::kubernetes_program("etcd"));
    etcd.arg("--data-dir").arg(dir.join("etcd")).args(["--name", "test", "--log-level", "warn"]);
    etcd.args(["--listen-client-urls", &url, "--advertise-client-urls", &url]);
    etcd.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
    etcd.args(["--initial-cluster", &format!("test={peer}")]);
    // Nobody needs the data after a crash of the machine.
    etcd.arg("--unsafe-no-fsync");
    run.spawn(&format!("{name}-etcd"), &mut etcd)?;
    Ok(url)
}

fn start_api_server(
    run: &Run,
    name: &str,
    dir: &Path,
    (etcd, port): (&str, u16),
    number: &Number,
) -> Result<()> {
    let mut server = Command::new(paths::kubernetes_program("kube-apiserver"));
    server.args(["--etcd-servers", etcd, "--secure-port", &port.to_string()]);
    server.args(["--bind-address", "127.0.0.1", "--advertise-address", "127.0.0.1"]);
    // A loopback address cannot be an endpoint of the service `kubernetes`; nobody here uses that.
    server.args(["--endpoint-reconciler-type", "none", "--service-cluster-ip-range", &number.services()]);
    server.args(["--authorization-mode", "Node,RBAC", "--allow-privileged", "--profiling=false"]);
    server.args(["--enable-admission-plugins", "NodeRestriction"]);
    server.args(["--service-account-issuer", "https://kubernetes.default.svc"]);
    server.args(["--requestheader-allowed-names", "front-proxy"]);
    server.args(["--requestheader-username-headers", "X-Remote-User"]);
    server.args(["--requestheader-group-headers", "X-Remote-Group"]);
    server.args(["--requestheader-extra-headers-prefix", "X-Remote-Extra-"]);
    server.args(["--kubelet-preferred-address-types", "Hostname"]);
    for (flag, file) in [
        ("--cert-dir", "."),
        ("--tls-cert-file", "server.crt"),
        ("--tls-private-key-file", "server.key"),
        ("--client-ca-file", "ca.crt"),
        ("--requestheader-client-ca-file", "ca.crt"),
        ("--proxy-client-cert-file", "front-proxy.crt"),
        ("--proxy-client-key-file", "front-proxy.key"),
        ("--kubelet-client-certificate", "kubelet-client.crt"),
        ("--kubelet-client-key", "kubelet-client.key"),
        ("--service-account-key-file", "service-accounts.pub"),
        ("--service-account-signing-key-file", "service-accounts.key"),
        ("--token-auth-file", "tokens.csv"),
    ] {
        server.arg(flag).arg(dir.join(file));
    }
    run.spawn(&format!("{name}-kube-apiserver"), &mut server)
}

fn start_controllers(run: &Run, name: &str, dir: &Path) -> Result<()> {
    // Fake nodes by the hundred need more requests than the defaults; a small cluster never gets there.
    let fast = ["--kube-api-qps", "500", "--kube-api-burst", "1000"];
    let mut manager = Command::new(paths::kubernetes_program("kube-controller-manager"));
    manager.arg("--kubeconfig").arg(dir.join("controller-manager.kubeconfig"));
    // It makes this directory; the default one is the system's.
    manager.arg("--flex-volume-plugin-dir").arg(dir.join("volume-plugins"));
    manager.arg("--root-ca-file").arg(dir.join("ca.crt"));
    manager.arg("--service-account-private-key-file").arg(dir.join("service-accounts.key"));
    manager.args(["--use-service-account-credentials", "--leader-elect=false", "--secure-port=0"]).args(fast);
    // A kubelet that a busy machine keeps waiting is late, and its pods are ready all the same.
    manager.args(["--node-monitor-grace-period", "3m"]);
    run.spawn(&format!("{name}-kube-controller-manager"), &mut manager)?;
    let mut scheduler = Command::new(paths::kubernetes_program("kube-scheduler"));
    scheduler.arg("--kubeconfig").arg(dir.join("scheduler.kubeconfig"));
    scheduler.args(["--leader-elect=false", "--secure-port=0"]).args(fast);
    run.spawn(&format!("{name}-kube-scheduler"), &mut scheduler)
}

/// Certificates, tokens and kubeconfigs of everyone who is part of the cluster.
fn write_credentials(dir: &Path, server: &str, number: &Number) -> Result<()> {
    let authority = Authority::new()?;
    std::fs::write(dir.join("ca.crt"), authority.certificate())?;
    authority.server_at(&number.api_service())?.write(dir, "server")?;
    authority.client("front-proxy", None)?.write(dir, "front-proxy")?;
    authority.client("kube-apiserver", Some("system:masters"))?.write(dir, "kubelet-client")?;
    let accounts = rcgen::KeyPair::generate()?;
    std::fs::write(dir.join("service-accounts.key"), accounts.serialize_pem())?;
    std::fs::write(dir.join("service-accounts.pub"), accounts.public_key_pem())?;
    let mut tokens = String::new();
    for (file, user, groups) in USERS {
        let token = format!("token-of-{file}");
        tokens.push_str(&format!("{token},{user},{user},\"{groups}\"\n"));
        write_kubeconfig(dir, server, file, &token)?;
    }
    std::fs::write(dir.join("tokens.csv"), tokens)?;
    Ok(())
}

fn write_kubeconfig(dir: &Path, server: &str, user: &str, token: &str) -> Result<PathBuf> {
    let path = dir.join(format!("{user}.kubeconfig"));
    // JSON is YAML.
    let text = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "plumb-test", "cluster": {
            "server": server, "certificate-authority": dir.join("ca.crt"),
        }}],
        "users": [{"name": user, "user": {"token": token}}],
        "contexts": [{"name": "plumb-test", "context": {"cluster": "plumb-test", "user": user}}],
        "current-context": "plumb-test",
    });
    std::fs::write(&path, serde_json::to_vec_pretty(&text)?)?;
    Ok(path)
}
