//! The list of tests. Each one registers itself by [`cluster_test!`] beside its function, and nowhere else.

use anyhow::Result;
use futures::future::LocalBoxFuture;

use super::cluster::Context;

/// Something that a test needs beside a control plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// A cluster that no test has used before and none uses after it.
    Fresh,
    /// A real node.
    Node,
    /// metrics-server, on a real node.
    MetricsServer,
    /// Prometheus, reading a real node.
    Prometheus,
    /// kwok, for fake nodes and pods.
    Kwok,
    /// plumb's custom resource definitions.
    Crds,
}

/// A registered test.
pub struct Test {
    /// Its function's name.
    pub name: &'static str,
    /// The source file that registers it.
    pub file: &'static str,
    /// Parts that its cluster has when it begins.
    pub needs: &'static [Need],
    /// True where it applies, such as to the Kubernetes version under test.
    pub only: fn() -> bool,
    /// A known fault by which it fails today.
    pub fails: Option<KnownFault>,
    /// The test itself.
    pub run: fn(Context) -> LocalBoxFuture<'static, Result<()>>,
}

/// A fault that is not mended yet. Its test must fail by it: one that passes, or fails otherwise, is reported.
#[derive(Clone, Copy, Debug)]
pub struct KnownFault {
    /// Its cause, for whoever mends it.
    pub cause: &'static str,
    /// Part of the error by which the test ends.
    pub error: &'static str,
}

inventory::collect!(Test);

/// Registers the test function of that name: `cluster_test!(pods_run, [Node, Crds]);`.
///
/// `only CONDITION` (a closure without arguments) leaves it out where that is false; `fails ("CAUSE", "PART OF
/// ITS ERROR")` expects it to fail by a known fault.
macro_rules! cluster_test {
    ($name:ident, [$($need:ident),*] $(, only $only:expr)? $(, fails ($cause:literal, $error:literal))?) => {
        ::inventory::submit! {
            $crate::support::registry::Test {
                name: stringify!($name),
                file: file!(),
                needs: &[$($crate::support::Need::$need),*],
                only: cluster_test!(@or { || true } $({ $only })?),
                fails: cluster_test!(@or { None } $({
                    Some($crate::support::registry::KnownFault { cause: $cause, error: $error })
                })?),
                run: |context| Box::pin($name(context)),
            }
        }
    };
    (@or { $default:expr }) => { $default };
    (@or { $default:expr } { $given:expr }) => { $given };
}

/// All tests that apply, in the order of their files.
///
/// # Errors
///
/// Names the files beside main.rs that register none: their `mod` line is missing, or their tests are.
pub fn tests() -> Result<Vec<&'static Test>> {
    let mut all: Vec<_> = inventory::iter::<Test>.into_iter().collect();
    all.sort_by_key(|test| (test.file, test.name));
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cluster");
    let mut silent = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let is_test = name.ends_with(".rs") && !["main.rs", "support.rs"].contains(&name);
        if is_test && !all.iter().any(|test| path.ends_with(test.file)) {
            silent.push(name.to_owned());
        }
    }
    anyhow::ensure!(
        silent.is_empty(),
        "no test is registered in {silent:?}: name them in tests/cluster/main.rs"
    );
    all.retain(|test| (test.only)());
    Ok(all)
}
