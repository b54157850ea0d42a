//! People's files: which they are, in and out.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

use crate::export::target::Workload;

/// More than any manifest.
const MAX_BYTES: u64 = 8 << 20;
/// Deeper than any repository.
const DEEPEST: usize = 32;

/// The files of these paths, each once, in order of their names. Hidden ones, links and what Helm fills in are passed by.
pub(super) fn all(paths: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for path in paths {
        let kind = fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?;
        if kind.is_dir() {
            let before = found.len();
            walk(path, 0, &mut found)?;
            ensure!(found.len() > before, "there is no YAML or JSON in {}", path.display());
        } else {
            found.push(path.clone());
        }
    }
    let mut seen = std::collections::BTreeSet::new();
    found.retain(|path| seen.insert(path.clone()));
    Ok(found)
}

fn walk(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    ensure!(depth < DEEPEST, "{} is deeper than {DEEPEST} folders", folder.display());
    let reading = || format!("cannot read {}", folder.display());
    let mut entries: Vec<_> =
        fs::read_dir(folder).with_context(reading)?.collect::<Result<_, _>>().with_context(reading)?;
    entries.sort_by_key(fs::DirEntry::file_name);
    let is_chart = folder.join("Chart.yaml").exists();
    for entry in entries {
        let (path, name) = (entry.path(), entry.file_name());
        let name = name.to_string_lossy();
        let kind = entry.file_type().with_context(|| format!("cannot read {}", path.display()))?;
        if name.starts_with('.') || kind.is_symlink() || (is_chart && name == "templates") {
            continue;
        }
        if kind.is_dir() {
            walk(&path, depth + 1, found)?;
        } else if path.extension().is_some_and(|end| ["yaml", "yml", "json"].iter().any(|of| end == *of)) {
            found.push(path);
        }
    }
    Ok(())
}

/// The text of a file.
pub(super) fn read(path: &Path) -> anyhow::Result<String> {
    let reading = || format!("cannot read {}", path.display());
    let size = fs::metadata(path).with_context(reading)?.len();
    ensure!(size <= MAX_BYTES, "{} is longer than {} MiB", path.display(), MAX_BYTES >> 20);
    fs::read_to_string(path).with_context(reading)
}

/// Writes over a file, or makes it.
pub(super) fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// The name of a workload's patch; Kubernetes' names have no character in them that leads elsewhere.
pub(super) fn patch_name(workload: &Workload) -> String {
    let all = format!("{}_{}_{}.yaml", workload.namespace, workload.kind.to_lowercase(), workload.name);
    all.replace(['/', '\\'], "_")
}
