//! Where programs, runs and logs are, and that the programs are built.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, ensure};

/// The plumb that is tested: that of this build, or of another, such as an optimised one, that `PLUMB_BIN` names.
pub fn plumb() -> PathBuf {
    std::env::var_os("PLUMB_BIN").map_or_else(|| env!("CARGO_BIN_EXE_plumb").into(), PathBuf::from)
}

/// target/, wherever cargo was told to put it.
pub fn target() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("target/tmp has a parent")
}

/// Where all of ours is, as the kernel names it: a mount below a link is listed by where the link leads.
pub fn root() -> PathBuf {
    let root = target().join("cluster");
    root.canonicalize().unwrap_or(root)
}

/// The Kubernetes version under test.
pub fn kubernetes() -> String {
    std::env::var("KUBERNETES").unwrap_or_else(|_| "1.36.3".to_owned())
}

/// The minor version under test: 36.
pub fn kubernetes_minor() -> u32 {
    kubernetes().split('.').nth(1).and_then(|minor| minor.parse().ok()).expect("KUBERNETES is 1.MINOR.PATCH")
}

/// A program of the Kubernetes version under test. Three of them may be somebody else's, as envtest has them.
pub fn kubernetes_program(name: &str) -> PathBuf {
    let provided = std::env::var_os("KUBEBUILDER_ASSETS").map(|assets| PathBuf::from(assets).join(name));
    match provided {
        Some(program) if matches!(name, "etcd" | "kube-apiserver" | "kubectl") && program.exists() => program,
        _ => root().join("bin").join(kubernetes()).join(name),
    }
}

/// A program that does not depend on the Kubernetes version.
pub fn shared_program(name: &str) -> PathBuf {
    root().join("bin/shared").join(name)
}

/// A file of a Debian package that was unpacked: `deb("runc", "usr/sbin/runc")`.
pub fn deb(package: &str, file: &str) -> PathBuf {
    root().join("deb").join(package).join(file)
}

/// Builds parts where they are not there yet. What it says goes to the terminal: the first time takes minutes.
pub fn build(parts: &[&str]) -> Result<()> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cluster/parts/build.sh");
    let status = Command::new(&script)
        .args(parts)
        .env("CARGO_TARGET_DIR", target())
        .env("KUBERNETES", kubernetes())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .with_context(|| format!("failed to run {}", script.display()))?;
    ensure!(status.success(), "the cluster's parts {parts:?} could not be built: see above");
    Ok(())
}
