//! containerd and a kubelet: a node of a cluster. This machine can be several at once.
//!
//! Linux and root. Each has a control group, a bridge, a network and a containerd of its own, named by the number of its
//! control plane. One run at a time has nodes: the kernel's settings and the kubelet's fixed directories are the machine's.

use std::collections::BTreeMap;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::core::v1::Node;
use kube::Api;
use serde_json::{Value, json};

use super::control_plane::ControlPlane;
use super::leftovers::Traces;
use super::process::free_port;
use super::{cgroups, paths, wait_for};

/// The node's name: it resolves by itself, so metrics-server finds the kubelet without a line in /etc/hosts.
pub const NAME: &str = "localhost";
/// The network interfaces that pods are on are named by this and a number.
pub const BRIDGES: &str = "plumb";
/// The image of the test workload.
pub const IMAGE: &str = "localhost/plumb-load:dev";

const START: Duration = Duration::from_secs(90);

/// Directories with names that we cannot choose.
const FIXED: &[&str] = &[
    "/run/containerd",
    "/var/lib/cni",
    "/var/lib/kubelet",
    "/var/log/containers",
    "/var/run/kubernetes",
    "/var/lib/containerd",
    "/run/mount",
    "/run/nri",
    "/opt/cni",
    "/opt/containerd",
    "/etc/cni",
    "/usr/libexec/kubernetes",
];

/// Kernel settings that the kubelet and the bridge change.
const SYSCTLS: &[&str] = &[
    "kernel/keys/root_maxbytes",
    "kernel/keys/root_maxkeys",
    "kernel/panic",
    "kernel/panic_on_oops",
    "net/ipv4/ip_forward",
    "vm/overcommit_memory",
    "vm/panic_on_oom",
];

/// A node that runs.
pub struct RunningNode {
    /// Where the kubelet listens, with TLS.
    pub kubelet_port: u16,
    /// Where containerd listens.
    socket: PathBuf,
    /// How long it took from nothing to ready.
    pub took: Duration,
}

/// Why this machine cannot be a node, or `None` where it can.
pub fn unavailable() -> Option<&'static str> {
    if !cfg!(target_os = "linux") {
        return Some("a node needs Linux");
    }
    if !rustix::process::geteuid().is_root() {
        return Some("a node needs root");
    }
    if !Path::new("/sys/fs/cgroup").is_dir() {
        return Some("a node needs control groups at /sys/fs/cgroup");
    }
    None
}

static MACHINE: Mutex<Option<UnixListener>> = Mutex::new(None);

/// Takes the machine for this process, waiting for others to be done with it. True when it has it.
pub fn hold_machine(patience: Duration) -> bool {
    let mut held = MACHINE.lock().unwrap_or_else(PoisonError::into_inner);
    let start = Instant::now();
    while held.is_none() {
        // A socket's abstract name leaves no file, and is free when its process is gone, however it went.
        let address = SocketAddr::from_abstract_name("plumb-test-node").expect("a short name");
        match UnixListener::bind_addr(&address) {
            Ok(listener) => *held = Some(listener),
            Err(_) if start.elapsed() < patience => std::thread::sleep(Duration::from_millis(200)),
            Err(_) => return false,
        }
    }
    true
}

/// True where this process has the machine.
pub fn holds_machine() -> bool {
    MACHINE.lock().unwrap_or_else(PoisonError::into_inner).is_some()
}

/// Lets others have the machine.
pub fn free_machine() {
    MACHINE.lock().unwrap_or_else(PoisonError::into_inner).take();
}

/// What is on the machine that a node makes, each in words.
pub fn traces_on_machine() -> Vec<String> {
    let mut found = Vec::new();
    if cgroups::has_pods() {
        found.push("control groups of pods".to_owned());
    }
    found.extend(bridges().into_iter().map(|name| format!("the network interface {name}")));
    found
}

/// The network interfaces that nodes have made.
pub fn bridges() -> Vec<String> {
    let Ok(entries) = std::fs::read_dir("/sys/class/net") else { return Vec::new() };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let ours = |name: &String| name.strip_prefix(BRIDGES).is_some_and(|number| number.parse::<u8>().is_ok());
    names.filter(ours).collect()
}

/// Deletes a network interface of a node, where it is there.
pub fn delete_bridge(name: &str) -> Result<()> {
    if Path::new("/sys/class/net").join(name).exists() {
        let status = Command::new("ip").args(["link", "delete", name]).status()?;
        ensure!(status.success(), "failed to delete the network interface {name}");
    }
    Ok(())
}

impl RunningNode {
    /// Starts the node of a control plane and waits until pods can run on it.
    pub async fn start(plane: &ControlPlane) -> Result<Self> {
        tokio::task::block_in_place(|| {
            paths::build(&["runtime", "load", "deb"])?;
            take_machine(&plane.run.dir)
        })?;
        let begin = Instant::now();
        let dir = plane.run.subdirectory(&format!("{}-node", plane.name))?;
        plane.has_node.store(true, Ordering::Relaxed);
        cgroups::make_node(&plane.number.control_group())?;
        let socket = dir.join("containerd.sock");
        start_containerd(plane, &dir, &socket).await?;
        let kubelet_port = start_kubelet(plane, &dir, &socket)?;
        let node = Self { kubelet_port, socket, took: Duration::ZERO };
        for image in ["load", "pause"] {
            let tar = paths::root().join("images").join(format!("{image}.tar"));
            tokio::task::block_in_place(|| node.import_image(&tar))?;
        }
        let nodes: Api<Node> = Api::all(plane.client());
        wait_for("the node to be ready", START, || async {
            plane.run.check_running(&kubelet(plane))?;
            plane.run.check_running(&containerd(plane))?;
            let status = nodes.get(NAME).await?.status.context("no status yet")?;
            let ready = status.conditions.iter().flatten().find(|c| c.type_ == "Ready");
            let ready = ready.context("no condition Ready yet")?;
            ensure!(ready.status == "True", "not ready: {}", ready.message.as_deref().unwrap_or_default());
            Ok(())
        })
        .await
        .with_context(|| plane.run.log_tail(&kubelet(plane)))?;
        Ok(Self { took: begin.elapsed(), ..node })
    }

    /// Starts the kubelet again with other settings, each of which takes the place of what was there; null: its default.
    pub async fn reconfigure(&self, plane: &ControlPlane, settings: &Value) -> Result<()> {
        let dir = plane.run.subdirectory(&format!("{}-node", plane.name))?;
        tokio::task::block_in_place(|| plane.run.stop(&kubelet(plane)))?;
        let file = dir.join("kubelet.json");
        let mut config: Value = serde_json::from_slice(&std::fs::read(&file)?)?;
        let all = config.as_object_mut().context("the kubelet's configuration is no object")?;
        for (name, setting) in settings.as_object().context("settings are an object")? {
            all.remove(name);
            if !setting.is_null() {
                all.insert(name.clone(), setting.clone());
            }
        }
        let health = format!("http://127.0.0.1:{}/healthz", config["healthzPort"]);
        std::fs::write(&file, serde_json::to_vec_pretty(&config)?)?;
        // What another policy has noted is refused by the next one.
        for noted in ["cpu_manager_state", "memory_manager_state"] {
            _ = std::fs::remove_file(dir.join("kubelet").join(noted));
        }
        spawn_kubelet(plane, &dir, &self.socket)?;
        wait_for("the kubelet to be healthy", START, || async {
            plane.run.check_running(&kubelet(plane))?;
            reqwest::get(&health).await?.error_for_status()?;
            Ok(())
        })
        .await
        .with_context(|| plane.run.log_tail(&kubelet(plane)))
    }

    /// Gives the node an image, from a tar.
    pub fn import_image(&self, tar: &Path) -> Result<()> {
        ctr(&self.socket, &["--namespace", "k8s.io", "images", "import", &tar.to_string_lossy()])
    }
}

fn kubelet(plane: &ControlPlane) -> String {
    format!("{}-kubelet", plane.name)
}

fn containerd(plane: &ControlPlane) -> String {
    format!("{}-containerd", plane.name)
}

/// Takes the machine for the nodes of a run. The first one writes down what is to be put back when all are gone.
fn take_machine(run: &Path) -> Result<()> {
    // One at a time. What failed once fails for all that come after, with the same words and without another wait.
    static FAILED: Mutex<Option<String>> = Mutex::new(None);
    let mut failed = FAILED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(error) = &*failed {
        bail!("{error}");
    }
    let taken = take_machine_now(run);
    if let Err(error) = &taken {
        *failed = Some(format!("{error:#}"));
    }
    taken
}

fn take_machine_now(run: &Path) -> Result<()> {
    if Traces::of(run)?.is_some() {
        return Ok(());
    }
    if !hold_machine(Duration::ZERO) {
        eprintln!("cluster: another run has nodes on this machine: waiting for it to end");
        ensure!(
            hold_machine(Duration::from_secs(600)),
            "nodes of another run are on this machine, and one run can have any: `make cluster-down` stops yours"
        );
    }
    // A run that was killed is cleaned up by its watcher within a few seconds.
    let start = Instant::now();
    loop {
        let found = traces_on_machine();
        if found.is_empty() {
            return write_traces(run);
        }
        if start.elapsed() > Duration::from_secs(30) {
            free_machine();
            bail!(
                "this machine is a node already, or was and was not cleaned up: found {}",
                found.join(", ")
            );
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn write_traces(run: &Path) -> Result<()> {
    let made = FIXED.iter().map(PathBuf::from).filter(|dir| !dir.exists()).collect();
    let mut sysctls = BTreeMap::new();
    for name in SYSCTLS {
        let file = Path::new("/proc/sys").join(name);
        if let Ok(value) = std::fs::read_to_string(&file) {
            sysctls.insert(file, value);
        }
    }
    std::fs::write(run.join("node.json"), serde_json::to_vec_pretty(&Traces { made, sysctls })?)?;
    Ok(())
}

async fn start_containerd(plane: &ControlPlane, dir: &Path, socket: &Path) -> Result<()> {
    let network = dir.join("net.d");
    std::fs::create_dir_all(&network)?;
    let list = json!({
        "cniVersion": "1.0.0",
        "name": "plumb",
        "plugins": [{
            // Pods find the Services of services.rs by their default route.
            "type": "bridge", "bridge": plane.number.bridge(), "isDefaultGateway": true,
            "ipam": {
                "type": "host-local", "ranges": [[{"subnet": plane.number.pods()}]], "dataDir": dir.join("addresses"),
            },
        }],
    });
    std::fs::write(network.join("10-plumb.conflist"), serde_json::to_vec(&list)?)?;
    let config = dir.join("containerd.toml");
    std::fs::write(&config, containerd_config(dir, &network, socket))?;
    let bin = paths::root().join("bin/shared");
    let path = std::env::var("PATH").unwrap_or_default();
    let mut containerd_command = Command::new(bin.join("containerd"));
    containerd_command.arg("--config").arg(&config).env("PATH", format!("{}:{path}", bin.display()));
    plane.run.spawn(&containerd(plane), &mut containerd_command)?;
    wait_for("containerd to answer", START, || async {
        plane.run.check_running(&containerd(plane))?;
        ctr(socket, &["version"])
    })
    .await
    .with_context(|| plane.run.log_tail(&containerd(plane)))
}

fn containerd_config(dir: &Path, network: &Path, socket: &Path) -> String {
    let (root, network) = (dir.join("containerd"), network.display());
    let (state, socket) = (dir.join("containerd-state"), socket.display());
    let state = state.display();
    let (bin, runc) = (paths::root().join("bin/shared"), paths::deb("runc", "usr/sbin/runc"));
    let (root, bin, runc) = (root.display(), bin.display(), runc.display());
    format!(
        r#"version = 3
disabled_plugins = ["io.containerd.nri.v1.nri"]
root = "{root}"
state = "{state}"
[grpc]
address = "{socket}"
[plugins.'io.containerd.cri.v1.images'.pinned_images]
sandbox = "localhost/plumb-pause:dev"
[plugins.'io.containerd.cri.v1.runtime']
# Without this it fails "to update /proc/self/oom_score_adj" where the machine is a container itself.
restrict_oom_score_adj = true
netns_mounts_under_state_dir = true
[plugins.'io.containerd.cri.v1.runtime'.cni]
bin_dirs = ["{bin}"]
conf_dir = "{network}"
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
BinaryName = "{runc}"
SystemdCgroup = false
[plugins.'io.containerd.internal.v1.opt']
path = "{root}/opt"
"#
    )
}

/// Runs containerd's own client.
fn ctr(socket: &Path, arguments: &[&str]) -> Result<()> {
    let mut command = Command::new(paths::shared_program("ctr"));
    let output = command.arg("--address").arg(socket).args(arguments).output()?;
    ensure!(output.status.success(), "ctr {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

fn start_kubelet(plane: &ControlPlane, dir: &Path, socket: &Path) -> Result<u16> {
    let (port, health) = (free_port()?, free_port()?);
    let config = dir.join("kubelet.json");
    std::fs::write(&config, serde_json::to_vec_pretty(&kubelet_config(plane, dir, socket, (port, health)))?)?;
    spawn_kubelet(plane, dir, socket)?;
    Ok(port)
}

fn spawn_kubelet(plane: &ControlPlane, dir: &Path, socket: &Path) -> Result<()> {
    let mut command = Command::new(paths::kubernetes_program("kubelet"));
    command.arg("--config").arg(dir.join("kubelet.json"));
    command.arg("--kubeconfig").arg(plane.kubeconfig("kubelet"));
    command.arg("--root-dir").arg(dir.join("kubelet")).arg("--cert-dir").arg(dir.join("pki"));
    // No --node-ip: a loopback one leaves the node without addresses.
    command.args(["--hostname-override", NAME]);
    // For cAdvisor; without it its series carry no container names.
    command.arg("--containerd").arg(socket);
    plane.run.spawn(&kubelet(plane), &mut command)
}

fn kubelet_config(plane: &ControlPlane, dir: &Path, socket: &Path, (port, health): (u16, u16)) -> Value {
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": "127.0.0.1",
        "port": port,
        "healthzPort": health,
        "authentication": {
            "anonymous": {"enabled": false},
            "webhook": {"enabled": true},
            "x509": {"clientCAFile": plane.dir.join("ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "containerRuntimeEndpoint": format!("unix://{}", socket.display()),
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": format!("/{}", plane.number.control_group()),
        "failCgroupV1": false,
        "failSwapOn": false,
        "makeIPTablesUtilChains": false,
        "podLogsDir": dir.join("pod-logs"),
        "volumePluginDir": dir.join("volume-plugins"),
        // A disk that is fairly full must not taint the node, nor may our two images be collected.
        "evictionHard": {
            "memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%",
            "nodefs.inodesFree": "1%", "imagefs.inodesFree": "1%",
        },
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        // A crash loop waits 10 s at first and then twice as long each time; a test would wait with it.
        "crashLoopBackOff": {"maxContainerRestartPeriod": "4s"},
    })
}
