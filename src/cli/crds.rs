//! `plumb crds`: the custom resource definitions, as YAML for kubectl or as files for the repository.

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use anyhow::Context;

use crate::api;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Write one file per definition into this folder instead of printing them
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    for definition in api::definitions() {
        let yaml = serde_saphyr::to_string(&definition)
            .context("a custom resource definition cannot be written as YAML")?;
        match &args.out {
            None => write!(stdout, "---\n{yaml}")?,
            Some(dir) => {
                let path = dir.join(format!("{}.yaml", definition.spec.names.plural));
                fs::write(&path, yaml).with_context(|| format!("cannot write {}", path.display()))?;
            }
        }
    }
    Ok(())
}
