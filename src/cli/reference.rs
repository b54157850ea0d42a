//! `plumb reference`: the pages of docs/ that are made from the program itself. For this repository; not listed in help.

use std::fs;
use std::path::PathBuf;

use anyhow::Context;

use crate::api;
use crate::control::metrics;
use crate::report::reference;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder for the pages
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let pages = [
        ("policy.md", reference::policy(&api::definitions())),
        ("metrics.md", metrics::reference::page().context("the metrics cannot be written down")?),
    ];
    for (name, text) in pages {
        let path = args.dir.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}
