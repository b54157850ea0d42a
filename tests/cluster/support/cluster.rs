//! What a test asks of a cluster: clients, commands, a namespace, accounts with few rights.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::authorization::v1::SubjectAccessReview;
use k8s_openapi::api::core::v1::{Namespace, Pod, ServiceAccount};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{
    ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams, TypeMeta,
};
use kube::core::GroupVersionKind;
use kube::discovery::{ApiCapabilities, Scope, pinned_kind};
use kube::{Api, Client, Resource, ResourceExt};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use super::control_plane::{self, ControlPlane};
use super::node::RunningNode;
use super::pods::{self, Load};
use super::process::Run;
use super::prometheus::Prometheus;
use super::registry::Need;
use super::{cgroups, kwok, metrics_server, paths, wait_for};

/// One control plane, and what was added to it so far.
pub struct Cluster {
    /// The control plane.
    pub plane: ControlPlane,
    node: Once<RunningNode>,
    metrics_server: Once<()>,
    prometheus: Once<Prometheus>,
    kwok: Once<()>,
    crds: Once<()>,
}

/// A start is tried once: what failed for one test fails for all, with the same words.
type Once<T> = OnceCell<Result<T, String>>;

fn is_there<T>(cell: &Once<T>) -> bool {
    cell.get().is_some_and(Result::is_ok)
}

async fn once<T>(cell: &Once<T>, start: impl Future<Output = Result<T>>) -> Result<&T> {
    let begun = cell.get_or_init(|| async { start.await.map_err(|error| format!("{error:#}")) }).await;
    begun.as_ref().map_err(|error| anyhow!("{error}"))
}

/// True for a namespace that every cluster has.
fn is_system(namespace: &str) -> bool {
    namespace == "default" || namespace.starts_with("kube-")
}

impl Cluster {
    /// Starts a control plane, to which the rest is added when it is asked for.
    pub async fn start(run: &Arc<Run>, name: &str) -> Result<Self> {
        Ok(Self {
            plane: ControlPlane::start(run, name).await?,
            node: OnceCell::new(),
            metrics_server: OnceCell::new(),
            prometheus: OnceCell::new(),
            kwok: OnceCell::new(),
            crds: OnceCell::new(),
        })
    }

    /// Adds a part where it is not there yet.
    pub async fn add(&self, need: Need) -> Result<()> {
        match need {
            Need::Fresh => Ok(()),
            Need::Node => self.node().await.map(drop),
            Need::MetricsServer => self.metrics_server().await,
            Need::Prometheus => self.prometheus().await.map(drop),
            Need::Kwok => self.kwok().await,
            Need::Crds => self.crds().await,
        }
    }

    /// True where a part is there already.
    pub fn has(&self, need: Need) -> bool {
        match need {
            Need::Fresh => false,
            Need::Node => is_there(&self.node),
            Need::MetricsServer => is_there(&self.metrics_server),
            Need::Prometheus => is_there(&self.prometheus),
            Need::Kwok => is_there(&self.kwok),
            Need::Crds => is_there(&self.crds),
        }
    }

    /// Deletes namespaces, registrations, admission policies, cluster policies and foreign definitions, and waits until they
    /// and all processes of pods are gone. Cluster roles of test accounts stay.
    pub async fn reset(&self) -> Result<()> {
        let kubectl = paths::kubernetes_program("kubectl");
        let admin = self.plane.kubeconfig("admin");
        let mut kinds = "mutatingwebhookconfigurations,validatingwebhookconfigurations,\
                         mutatingadmissionpolicies,mutatingadmissionpolicybindings,\
                         validatingadmissionpolicies,validatingadmissionpolicybindings"
            .to_owned();
        if self.has(Need::Crds) {
            kinds.push_str(",clusterverticalscalingpolicies.plumb.dev");
        }
        let all = ["delete", &kinds, "--all", "--wait=false"];
        run(&self.plane.run, &kubectl, &admin, &self.plane.dir, &all).await?.ok()?;
        let client = self.plane.client();
        self.delete_namespaces().await?;
        let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
        let foreign = |definition: &String| !definition.ends_with(".plumb.dev");
        let all = definitions.list_metadata(&ListParams::default()).await?.items;
        let foreign: Vec<String> = all.iter().map(ResourceExt::name_any).filter(foreign).collect();
        for name in &foreign {
            // One that is gone meanwhile is as good.
            _ = definitions.delete(name, &DeleteParams::default()).await;
        }
        let (pods, namespaces): (Api<Pod>, Api<Namespace>) = (Api::all(client.clone()), Api::all(client));
        wait_for("what the test has made to be gone", Duration::from_secs(180), || async {
            let left = pods.list_metadata(&ListParams::default()).await?.items.len();
            ensure!(left == 0, "{left} pods");
            let group = self.plane.number.control_group();
            ensure!(cgroups::pods_of(&group).is_empty(), "processes of pods");
            for name in &foreign {
                let Some(left) = definitions.get_metadata_opt(name).await? else { continue };
                if left.metadata.deletion_timestamp.is_none() {
                    definitions.delete(name, &DeleteParams::default()).await?;
                }
                anyhow::bail!("the definition {name}, {:?}", left.metadata.deletion_timestamp);
            }
            let made = namespaces.list_metadata(&ListParams::default()).await?.items;
            let made = made.iter().map(ResourceExt::name_any).find(|name| !is_system(name));
            ensure!(made.is_none(), "namespace {made:?}");
            Ok(())
        })
        .await?;
        self.plane.kinds.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.plane.check_running()
    }

    /// Deletes all namespaces but the cluster's own, and kills the pods in them.
    async fn delete_namespaces(&self) -> Result<()> {
        let namespaces: Api<Namespace> = Api::all(self.plane.client());
        for namespace in namespaces.list_metadata(&ListParams::default()).await?.items {
            let name = namespace.name_any();
            if is_system(&name) {
                continue;
            }
            if namespace.metadata.deletion_timestamp.is_none() {
                namespaces.delete(&name, &DeleteParams::background()).await?;
            }
            // What a test has started beside its cluster is named by its namespace.
            tokio::task::block_in_place(|| self.plane.run.stop_those_of(&name));
            let pods: Api<Pod> = Api::namespaced(self.plane.client(), &name);
            let now = DeleteParams::default().grace_period(0);
            pods.delete_collection(&now, &ListParams::default()).await?;
        }
        Ok(())
    }

    /// The real node.
    pub async fn node(&self) -> Result<&RunningNode> {
        once(&self.node, RunningNode::start(&self.plane)).await
    }

    /// metrics-server, on the real node.
    pub async fn metrics_server(&self) -> Result<()> {
        self.node().await?;
        once(&self.metrics_server, metrics_server::start(&self.plane)).await.copied()
    }

    /// Prometheus, reading the real node.
    pub async fn prometheus(&self) -> Result<&Prometheus> {
        let node = self.node().await?;
        once(&self.prometheus, Prometheus::start(&self.plane, node)).await
    }

    /// kwok, for fake nodes and pods.
    pub async fn kwok(&self) -> Result<()> {
        once(&self.kwok, kwok::start(&self.plane)).await.copied()
    }

    /// plumb's custom resources, as crds/ has them.
    pub async fn crds(&self) -> Result<()> {
        let install = async {
            let kubectl = paths::kubernetes_program("kubectl");
            let kubeconfig = self.plane.kubeconfig("admin");
            let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/crds");
            for arguments in [
                ["apply", "--server-side", "-f", folder],
                ["wait", "--for=condition=established", "-f", folder],
            ] {
                run(&self.plane.run, &kubectl, &kubeconfig, &self.plane.dir, &arguments).await?.ok()?;
            }
            let version = format!("{}/v1alpha1", plumb::api::GROUP);
            for kind in ["Recommendation", "VerticalScalingPolicy", "ClusterVerticalScalingPolicy"] {
                self.plane.wait_served(&version, kind).await?;
            }
            Ok(())
        };
        once(&self.crds, install).await.copied()
    }
}

/// A test's place: a cluster that it has for itself, and a namespace there.
#[derive(Clone)]
pub struct Context {
    /// The cluster; nobody else is there now.
    pub cluster: Arc<Cluster>,
    /// A namespace that is the test's own.
    pub namespace: String,
}

impl Context {
    /// Makes the namespace.
    pub async fn new(cluster: Arc<Cluster>, prefix: &str) -> Result<Self> {
        let namespaces: Api<Namespace> = Api::all(cluster.plane.client());
        let namespace = json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": {"generateName": format!("{prefix}-"), "labels": {"plumb.test": "true"}},
        });
        let made = namespaces.create(&PostParams::default(), &serde_json::from_value(namespace)?).await?;
        Ok(Self { cluster, namespace: made.metadata.name.context("a namespace without a name")? })
    }

    /// A client that may do everything. It does not retry.
    pub fn client(&self) -> Client {
        self.cluster.plane.client()
    }

    /// The kubeconfig of somebody who may do everything.
    pub fn kubeconfig(&self) -> PathBuf {
        self.cluster.plane.kubeconfig("admin")
    }

    /// Objects of the test's namespace.
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(self.client(), &self.namespace)
    }

    /// Creates a pod and does not wait for it.
    pub async fn create_pod(&self, load: &Load) -> Result<Pod> {
        let pod = serde_json::from_value(load.json())?;
        Ok(self.api::<Pod>().create(&PostParams::default(), &pod).await?)
    }

    /// Creates a pod and waits until it is ready.
    pub async fn run_pod(&self, load: &Load) -> Result<Pod> {
        let pod = self.create_pod(load).await?;
        pods::wait_ready(&self.api(), pod.metadata.name.as_deref().unwrap_or_default()).await
    }

    /// Applies JSON objects: one, or a List. Those that name no namespace go to the test's own.
    pub async fn apply(&self, objects: &Value) -> Result<()> {
        self.cluster.plane.apply_in(Some(&self.namespace), objects).await
    }

    /// Runs kubectl in the test's namespace, as somebody who may do everything.
    pub async fn kubectl(&self, arguments: &[&str]) -> Result<Output> {
        let mut all = vec!["--namespace", &self.namespace];
        all.extend(arguments);
        self.run(&paths::kubernetes_program("kubectl"), &self.kubeconfig(), &all).await
    }

    /// Runs plumb as somebody who may do everything. It says itself which namespace it means.
    pub async fn plumb(&self, arguments: &[&str]) -> Result<Output> {
        self.plumb_as(&self.kubeconfig(), arguments).await
    }

    /// Runs plumb with another kubeconfig.
    pub async fn plumb_as(&self, kubeconfig: &Path, arguments: &[&str]) -> Result<Output> {
        self.run(&paths::plumb(), kubeconfig, arguments).await
    }

    /// Runs a program as somebody.
    pub async fn run(&self, program: &Path, kubeconfig: &Path, arguments: &[&str]) -> Result<Output> {
        let plane = &self.cluster.plane;
        run(&plane.run, program, kubeconfig, &plane.dir, arguments).await
    }

    /// Makes a service account that may do in this namespace, or everywhere, what `rules` say and nothing else.
    ///
    /// The rules are those of a Role, as JSON: `[{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}]`.
    pub async fn account(&self, name: &str, everywhere: bool, rules: Value) -> Result<Account> {
        let (role, unique) = match everywhere {
            true => ("ClusterRole", format!("{}-{name}", self.namespace)),
            false => ("Role", name.to_owned()),
        };
        let rbac = "rbac.authorization.k8s.io";
        self.apply(&json!({"apiVersion": "v1", "kind": "List", "items": [
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}},
            {"apiVersion": format!("{rbac}/v1"), "kind": role, "metadata": {"name": unique}, "rules": rules},
            {"apiVersion": format!("{rbac}/v1"), "kind": format!("{role}Binding"), "metadata": {"name": unique},
             "roleRef": {"apiGroup": rbac, "kind": role, "name": unique},
             "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": self.namespace}]},
        ]}))
        .await?;
        let accounts: Api<ServiceAccount> = self.api();
        let request: TokenRequest = serde_json::from_value(json!({"spec": {"audiences": []}}))?;
        let answer = accounts.create_token_request(name, &PostParams::default(), &request).await?;
        let token = answer.status.context("a token request without an answer")?.token.context("no token")?;
        let file = format!("{}-{name}", self.namespace);
        let kubeconfig = self.cluster.plane.write_kubeconfig(&file, &token)?;
        let client = control_plane::client(&kubeconfig).await?;
        if rules.as_array().is_some_and(|rules| !rules.is_empty()) {
            self.wait_bound(name, &unique, everywhere, &rules).await?;
        }
        Ok(Account { client, kubeconfig })
    }

    /// The API server learns of new rights by a watch; until then it refuses.
    async fn wait_bound(&self, name: &str, binding: &str, everywhere: bool, rules: &Value) -> Result<()> {
        let rule = &rules[0];
        let word = |field: &str| rule[field][0].as_str().unwrap_or_default().to_owned();
        let mut attributes =
            json!({"verb": word("verbs"), "resource": word("resources"), "group": word("apiGroups")});
        if let Some((resource, subresource)) = word("resources").split_once('/') {
            attributes["resource"] = json!(resource);
            attributes["subresource"] = json!(subresource);
        }
        if !everywhere {
            attributes["namespace"] = json!(self.namespace);
        }
        let user = format!("system:serviceaccount:{}:{name}", self.namespace);
        let review = json!({"spec": {"user": user, "resourceAttributes": attributes}});
        let review: SubjectAccessReview = serde_json::from_value(review)?;
        let reviews: Api<SubjectAccessReview> = Api::all(self.client());
        wait_for(&format!("{binding} to hold"), Duration::from_secs(60), || async {
            let answer = reviews.create(&PostParams::default(), &review).await?.status.unwrap_or_default();
            ensure!(answer.allowed, "not allowed: {}", answer.reason.unwrap_or_default());
            Ok(())
        })
        .await
    }

    /// What is in the namespace, for a failure's text: of many pods and events only the last.
    pub async fn describe(&self) -> String {
        const LINES: usize = 30;
        let mut text = String::new();
        for what in [&["get", "pods", "-o", "wide"][..], &["get", "events", "--sort-by=.lastTimestamp"]] {
            if let Ok(output) = self.kubectl(what).await {
                let lines: Vec<&str> = output.stdout.lines().collect();
                let tail = lines.get(lines.len().saturating_sub(LINES)..).unwrap_or_default();
                text.push_str(&tail.join("\n"));
                text.push_str("\n\n");
            }
        }
        text
    }
}

/// Somebody with few rights.
pub struct Account {
    /// A client with their token.
    pub client: Client,
    /// For programs that run as them.
    pub kubeconfig: PathBuf,
}

/// What a program has said.
#[derive(Clone, Debug)]
pub struct Output {
    /// `None`: ended by a signal.
    pub code: Option<i32>,
    /// Its answer.
    pub stdout: String,
    /// What it had to say besides.
    pub stderr: String,
}

impl Output {
    /// Its answer, where it ended well.
    pub fn ok(self) -> Result<String> {
        ensure!(self.code == Some(0), "exit code {:?}: {}{}", self.code, self.stderr, self.stdout);
        Ok(self.stdout)
    }
}

impl ControlPlane {
    /// Applies JSON objects: one, or a List.
    pub async fn apply(&self, objects: &Value) -> Result<()> {
        self.apply_in(None, objects).await
    }

    /// By the API itself: a kubectl for each object would be most of what a test costs.
    async fn apply_in(&self, namespace: Option<&str>, objects: &Value) -> Result<()> {
        let items = match objects["items"].as_array() {
            Some(items) => items.iter().collect(),
            None => vec![objects],
        };
        for item in items {
            let object: DynamicObject = serde_json::from_value(item.clone())?;
            let types = object.types.clone().context("an object without a kind")?;
            let name = object.metadata.name.clone().context("an object without a name")?;
            let what = format!("{} {name}", types.kind);
            let (resource, capabilities) = self.kind(&types).await.with_context(|| what.clone())?;
            let namespace = object.metadata.namespace.as_deref().or(namespace).unwrap_or("default");
            let api: Api<DynamicObject> = match capabilities.scope {
                Scope::Cluster => Api::all_with(self.client(), &resource),
                Scope::Namespaced => Api::namespaced_with(self.client(), namespace, &resource),
            };
            let how = PatchParams::apply("kubectl");
            api.patch(&name, &how, &Patch::Apply(&object)).await.with_context(|| what)?;
        }
        Ok(())
    }

    /// Waits until a kind can be asked for: the API server establishes a definition before it tells of its kind.
    pub async fn wait_served(&self, api_version: &str, kind: &str) -> Result<()> {
        let types = TypeMeta { api_version: api_version.to_owned(), kind: kind.to_owned() };
        wait_for(&format!("{kind} to be served"), Duration::from_secs(60), || self.kind(&types)).await?;
        Ok(())
    }

    /// Looks up a kind. Failures are not kept: a kind may be defined later.
    async fn kind(&self, types: &TypeMeta) -> Result<(ApiResource, ApiCapabilities)> {
        let key = (types.api_version.clone(), types.kind.clone());
        let known = self.kinds.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let found = pinned_kind(&self.client(), &GroupVersionKind::try_from(types)?).await?;
        self.kinds.lock().unwrap_or_else(PoisonError::into_inner).insert(key, found.clone());
        Ok(found)
    }
}

/// Runs a program to its end. Its home is the run's, so that no cache of it stays in the user's.
async fn run(
    run: &Arc<Run>,
    program: &Path,
    kubeconfig: &Path,
    home: &Path,
    arguments: &[impl AsRef<OsStr>],
) -> Result<Output> {
    let mut command = Command::new(program);
    command.args(arguments).env("KUBECONFIG", kubeconfig).env("HOME", home);
    let run = run.clone();
    let output = tokio::task::spawn_blocking(move || run.output(&mut command)).await??;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok(Output { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) })
}
