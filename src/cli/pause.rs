//! `plumb pause` and `plumb resume`: the switch that keeps plumb from changing any pod and from sizing new ones, whatever policies say.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;

use super::note;
use crate::cluster::error::Request;
use crate::cluster::{Connection, ConnectionOptions};
use crate::control::pause::PAUSE_SWITCH;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    connection: ConnectionOptions,
    /// Namespace of plumb's Leases, where the switch is
    #[arg(long, value_name = "NAME", default_value = "plumb", env = "PLUMB_LEASE_NAMESPACE")]
    lease_namespace: String,
}

impl Args {
    async fn open(&self) -> anyhow::Result<(Connection, Api<ConfigMap>)> {
        let connection = Connection::open(&self.connection).await?;
        let api = Api::namespaced(connection.client.clone(), &self.lease_namespace);
        Ok((connection, api))
    }

    fn asked(&self, verb: &'static str) -> Request {
        Request { verb, resource: "configmaps", namespace: Some(self.lease_namespace.clone()) }
    }
}

/// Nothing is changed from now on.
pub(crate) async fn pause(args: Args) -> anyhow::Result<()> {
    let (connection, api) = args.open().await?;
    let object = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": PAUSE_SWITCH, "labels": {"app.kubernetes.io/name": "plumb"}},
        "data": {"why": "`plumb pause`; while this is here plumb changes no pod and gives new pods no sizes. `plumb resume` removes it."},
    });
    let (params, patch) = (PatchParams::apply("plumb").force(), Patch::Apply(&object));
    connection.ask(args.asked("patch"), api.patch(PAUSE_SWITCH, &params, &patch)).await?;
    note(
        "paused: no pod is changed, and new pods are given no sizes, until `plumb resume`; recommendations go on",
    );
    Ok(())
}

/// It is as policies say again.
pub(crate) async fn resume(args: Args) -> anyhow::Result<()> {
    let (connection, api) = args.open().await?;
    let was = connection.ask(args.asked("get"), api.get_opt(PAUSE_SWITCH)).await?;
    if was.is_none() {
        note("nothing was paused");
        return Ok(());
    }
    connection.ask(args.asked("delete"), api.delete(PAUSE_SWITCH, &DeleteParams::default())).await?;
    note("resumed: pods are changed and new pods sized again, as policies say");
    Ok(())
}
