//! Packs as files of one folder. A file is replaced as a whole: a crash leaves the old one or the new one.

use std::io;
use std::path::{Path, PathBuf};

use tokio::fs;
use tokio::io::AsyncWriteExt;

use super::{CheckpointError, Stored};

const ENDING: &str = "plumb";

#[derive(Clone)]
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(format!("{name}.{ENDING}"))
    }

    pub(super) fn place(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    pub(super) async fn list(&self) -> Result<Vec<Stored>, CheckpointError> {
        let fail = |what, path: &Path| {
            let path = path.display().to_string();
            move |error: io::Error| CheckpointError::File { what, path, detail: error.to_string() }
        };
        fs::create_dir_all(&self.0).await.map_err(fail("make the folder", &self.0))?;
        let mut entries = fs::read_dir(&self.0).await.map_err(fail("read the folder", &self.0))?;
        let mut found = Vec::new();
        while let Some(entry) = entries.next_entry().await.map_err(fail("read the folder", &self.0))? {
            let path = entry.path();
            let name = path.file_stem().and_then(|stem| stem.to_str()).map(str::to_owned);
            if let Some(name) = name.filter(|_| path.extension().is_some_and(|e| e == ENDING)) {
                let bytes = fs::read(&path).await.map_err(fail("read", &path))?;
                found.push(Stored { name, bytes, aside: false });
            }
        }
        Ok(found)
    }

    pub(super) async fn write(&self, name: &str, bytes: &[u8]) -> Result<(), CheckpointError> {
        let path = self.path(name);
        let partial = path.with_extension("partial");
        let replace = async {
            let mut file = fs::File::create(&partial).await?;
            file.write_all(bytes).await?;
            // On the disk before it takes the old one's name, and the name before we go on.
            file.sync_all().await?;
            fs::rename(&partial, &path).await?;
            fs::File::open(&self.0).await?.sync_all().await
        };
        replace.await.map_err(|error: io::Error| CheckpointError::File {
            what: "write",
            path: path.display().to_string(),
            detail: error.to_string(),
        })
    }

    pub(super) async fn remove(&self, name: &str) -> Result<(), CheckpointError> {
        let path = self.path(name);
        match fs::remove_file(&path).await {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(CheckpointError::File {
                what: "remove",
                path: path.display().to_string(),
                detail: error.to_string(),
            }),
        }
    }

    pub(super) async fn set_aside(&self, name: &str, why: &'static str) -> Result<String, CheckpointError> {
        let path = self.path(name);
        let mut aside = path.with_extension(why);
        let mut number = 1;
        while fs::try_exists(&aside).await.unwrap_or(false) {
            aside = path.with_extension(format!("{why}-{number}"));
            number += 1;
        }
        let renamed = fs::rename(&path, &aside).await;
        renamed.map_err(|error| CheckpointError::File {
            what: "rename",
            path: path.display().to_string(),
            detail: error.to_string(),
        })?;
        Ok(aside.display().to_string())
    }
}
