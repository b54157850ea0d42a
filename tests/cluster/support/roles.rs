//! plumb as the chart runs it: a process for each role, each under the service account that is shipped for it.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use futures::future::try_join_all;
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use kube::Api;

use super::cluster::Context;
use super::plumb::{Plumb, account_with};
use super::process::free_port;
use super::wait_for;

/// Role and its extra flags.
pub type Flags<'f> = (&'static str, &'f [&'f str]);

/// One process each of some roles. They know of each other by the cluster alone.
pub struct Roles<'a>(Vec<(&'static str, Plumb<'a>)>);

impl<'a> Roles<'a> {
    /// Starts a process for each, and waits until all are ready and a webhook among them is registered.
    pub async fn start(context: &'a Context, roles: &[Flags<'_>]) -> Result<Self> {
        let accounts = roles.iter().map(|(role, _)| async move {
            let account = account_with(context, &format!("plumb-{role}"), &[*role], None).await?;
            Ok::<_, anyhow::Error>(account.kubeconfig)
        });
        let accounts = try_join_all(accounts).await?;
        let started = roles
            .iter()
            .zip(&accounts)
            .map(|((role, flags), account)| Ok((*role, start_one(context, role, account, flags)?)));
        let started = Self(started.collect::<Result<_>>()?);
        for (_, plumb) in &started.0 {
            plumb.wait_ready().await?;
        }
        if roles.iter().any(|(role, _)| *role == "webhook") {
            wait_registered(context).await.with_context(|| started.log())?;
        }
        Ok(started)
    }

    /// The process of a role that was started.
    pub fn of(&self, role: &str) -> Result<&Plumb<'a>> {
        let found = self.0.iter().find(|(of, _)| *of == role);
        found.map(|(_, plumb)| plumb).with_context(|| format!("no {role} was started"))
    }

    /// All that they have logged, one after another.
    pub fn log(&self) -> String {
        self.0.iter().fold(String::new(), |mut text, (role, plumb)| {
            // Writing to a String cannot fail.
            _ = write!(text, "\n{role}:\n{}", plumb.log());
            text
        })
    }

    /// Ends one as if its machine had failed, and starts another in its place.
    pub async fn replace(&mut self, context: &'a Context, (role, flags): Flags<'_>) -> Result<()> {
        let place = self.0.iter().position(|(of, _)| *of == role).with_context(|| format!("no {role}"))?;
        self.0.remove(place).1.kill()?;
        let account = context.cluster.plane.kubeconfig(&format!("{}-plumb-{role}", context.namespace));
        let plumb = start_one(context, role, &account, flags)?;
        plumb.wait_ready().await?;
        self.0.push((role, plumb));
        Ok(())
    }

    /// Asks all to stop, the last one first, and waits for that.
    pub fn stop(self) -> Result<()> {
        for (_, plumb) in self.0.into_iter().rev() {
            plumb.stop()?;
        }
        Ok(())
    }
}

fn start_one<'a>(context: &'a Context, role: &str, account: &Path, flags: &[&str]) -> Result<Plumb<'a>> {
    let listen = format!("127.0.0.1:{}", free_port()?);
    let mut all = vec!["--roles", role];
    if role == "webhook" {
        all.extend(["--webhook-listen", &listen]);
    }
    all.extend(flags);
    Plumb::start(&context.cluster.plane, account, &context.namespace, &all)
}

async fn wait_registered(context: &Context) -> Result<()> {
    let registrations: Api<MutatingWebhookConfiguration> = Api::all(context.client());
    wait_for("the webhook to be registered", Duration::from_secs(60), || async {
        registrations.get("plumb").await?;
        Ok(())
    })
    .await
}
