//! Where packs are: ConfigMaps, files or nowhere.

use super::CheckpointError;
use super::config_maps::ConfigMaps;
use super::folder::Folder;

/// Where packs are.
#[derive(Clone)]
pub(super) enum Store {
    ConfigMaps(Box<ConfigMaps>),
    Folder(Folder),
    None,
}

/// A pack as it is stored.
pub(super) struct Stored {
    pub(super) name: String,
    pub(super) bytes: Vec<u8>,
    /// It was set aside before, and its name is taken.
    pub(super) aside: bool,
}

impl Store {
    pub(super) async fn list(&self) -> Result<Vec<Stored>, CheckpointError> {
        match self {
            Self::ConfigMaps(store) => Ok(store.list().await?),
            Self::Folder(store) => store.list().await,
            Self::None => Ok(Vec::new()),
        }
    }

    pub(super) async fn write(&self, name: &str, bytes: &[u8]) -> Result<(), CheckpointError> {
        match self {
            Self::ConfigMaps(store) => Ok(store.write(name, bytes).await?),
            Self::Folder(store) => store.write(name, bytes).await,
            Self::None => Ok(()),
        }
    }

    pub(super) async fn remove(&self, name: &str) -> Result<(), CheckpointError> {
        match self {
            Self::ConfigMaps(store) => Ok(store.remove(name).await?),
            Self::Folder(store) => store.remove(name).await,
            Self::None => Ok(()),
        }
    }

    /// Sets a pack aside and answers where it is then.
    pub(super) async fn set_aside(&self, name: &str, why: &'static str) -> Result<String, CheckpointError> {
        match self {
            Self::ConfigMaps(store) => Ok(store.set_aside(name, why).await?),
            Self::Folder(store) => store.set_aside(name, why).await,
            Self::None => Ok(name.to_owned()),
        }
    }

    pub(super) fn place(&self, name: &str) -> String {
        match self {
            Self::ConfigMaps(store) => store.place(name),
            Self::Folder(store) => store.place(name),
            Self::None => name.to_owned(),
        }
    }
}
