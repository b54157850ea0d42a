//! `plumb reference`: the pages of docs/ that are made from the program itself. For this repository; not listed in help.

use std::fs;
use std::path::PathBuf;

use anyhow::Context;

use crate::api;
use crate::report::reference;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder for the pages
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let path = args.dir.join("policy.md");
    let text = reference::policy(&api::definitions());
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
}
