//! Checkpoints: what is known of all series, kept where a restart finds it.
//!
//! Many series go into one pack, and packs into ConfigMaps or files: a hundred thousand series make some hundreds of
//! objects. A pack is written only where something in it changed. Which pack a series belongs to follows from its key
//! alone. What cannot be read (damaged, or written by a later version) is set aside and never written over; what could
//! not be read because the store did not answer is no reason to write either, so a save needs a load before it.

mod config_maps;
mod folder;
mod pack;
mod peek;
mod store;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::cluster::index::stable_hash;
use crate::cluster::{ClusterError, Connection};
use crate::control::book::Kept;
use crate::units::Timestamp;

use self::config_maps::ConfigMaps;
use self::folder::Folder;
use self::pack::{Broken, Unpacked};
use self::store::{Store, Stored};

/// The largest pack. An object of Kubernetes may hold 1 MiB.
const LARGEST: usize = 900_000;
/// How many series a pack holds at first; such a pack is about half as large as one may be.
const USUAL_SERIES: usize = 1500;
/// More packs than this hold more series than a process does.
const MOST_PACKS: u32 = 1 << 16;

/// Where checkpoints are kept: `configmaps`, `configmaps:NAMESPACE`, `file:FOLDER` or `none`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In ConfigMaps of this namespace, or of the connection's own.
    ConfigMaps(Option<String>),
    /// In files of this folder.
    Folder(PathBuf),
    /// Nowhere: what is learned ends with the process.
    None,
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "configmaps" => Ok(Self::ConfigMaps(None)),
            None if text == "none" => Ok(Self::None),
            Some(("configmaps", namespace)) if !namespace.is_empty() => {
                Ok(Self::ConfigMaps(Some(namespace.to_owned())))
            }
            Some(("file", folder)) if !folder.is_empty() => Ok(Self::Folder(PathBuf::from(folder))),
            _ => Err("write configmaps, configmaps:NAMESPACE, file:FOLDER or none".to_owned()),
        }
    }
}

/// Which part of all series a process has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Its number, from 0.
    pub ordinal: u32,
    /// How many there are; at least 1.
    pub count: u32,
}

impl Default for Shard {
    fn default() -> Self {
        Self { ordinal: 0, count: 1 }
    }
}

/// Between the parts of a key: those of the workload, then the container.
pub(super) const BETWEEN: char = '|';

impl Shard {
    /// Whether a series is this process's, by its key: all containers of a workload are one process's.
    #[must_use]
    pub fn has(self, key: &str) -> bool {
        let workload = key.rsplit_once(BETWEEN).map_or(key, |(workload, _container)| workload);
        key_hash(workload) % u64::from(self.count.max(1)) == u64::from(self.ordinal)
    }
}

/// One series to be saved.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// What it goes by; the same in every version.
    pub key: &'a str,
    /// What is kept of it.
    pub kept: &'a Kept,
    /// Whether anything of it may differ from what was saved or loaded last.
    pub changed: bool,
}

/// One series that was saved.
#[derive(Clone, Debug, PartialEq)]
pub struct Restored {
    /// What it goes by.
    pub key: String,
    /// What was kept of it.
    pub kept: Kept,
}

/// What of a checkpoint could not be used, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The ConfigMap or file.
    pub place: String,
    /// What is wrong with it, and where it is now.
    pub detail: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "checkpoint {}: {}", self.place, self.detail)
    }
}

/// Why nothing could be loaded or saved.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The API server.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The file system.
    #[error("cannot {what} {path}: {detail}")]
    File {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: String,
        /// Why it failed.
        detail: String,
    },
    /// One series is larger than a pack may be, or there are more than packs can hold.
    #[error("the series do not fit {MOST_PACKS} packs of {LARGEST} bytes")]
    TooLarge,
    /// Nothing was loaded before.
    #[error("nothing is saved before the last checkpoint could be read: it would be written over")]
    NotLoaded,
}

/// How much a save wrote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Saved {
    /// Packs that there are now.
    pub packs: u32,
    /// Packs written.
    pub written: u32,
    /// Bytes written.
    pub bytes: usize,
    /// Packs removed, as their series are in others now.
    pub removed: u32,
}

/// What became of one pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// It stands as it was written before.
    Stands,
    /// It was written, with so many bytes.
    Written(usize),
    /// It would be larger than one may be: see [`Checkpoints::spread`].
    TooLarge,
}

/// What the last save or load left of a pack.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Written {
    name: String,
    /// Of the keys in it.
    keys: u64,
    /// Of its content; `None` where it was loaded.
    content: Option<u32>,
}

/// A place for checkpoints, and what is in it.
pub struct Checkpoints {
    store: Store,
    shard: Shard,
    loaded: bool,
    /// A power of two; 0 before anything is saved or loaded.
    packs: u32,
    written: BTreeMap<u32, Written>,
    /// Packs of ours that are of no use once everything is saved anew.
    outdated: BTreeSet<String>,
    /// Names that are not ours to write.
    taken: BTreeSet<String>,
}

impl Checkpoints {
    /// Prepares; does not read yet.
    #[must_use]
    pub fn open(place: &Place, connection: &Connection, shard: Shard) -> Self {
        let store = match place {
            Place::ConfigMaps(namespace) => {
                let namespace = namespace.as_deref().unwrap_or(&connection.default_namespace);
                Store::ConfigMaps(Box::new(ConfigMaps::new(connection, namespace)))
            }
            Place::Folder(folder) => Store::Folder(Folder::new(folder)),
            Place::None => Store::None,
        };
        Self::of(store, shard)
    }

    /// In a folder, for one shard of one.
    #[must_use]
    pub fn in_folder(folder: &std::path::Path) -> Self {
        Self::of(Store::Folder(Folder::new(folder)), Shard::default())
    }

    fn of(store: Store, shard: Shard) -> Self {
        let (written, outdated, taken) = (BTreeMap::new(), BTreeSet::new(), BTreeSet::new());
        Self { store, shard, loaded: false, packs: 0, written, outdated, taken }
    }

    /// Reads all that was saved of this shard's series, also by shards of another layout. What cannot be used is set
    /// aside and told.
    ///
    /// # Errors
    /// When the store cannot be read. Nothing can be saved until it could.
    pub async fn load(&mut self) -> Result<(Vec<Restored>, Vec<Problem>), CheckpointError> {
        let mut newest: HashMap<String, (Timestamp, Restored)> = HashMap::new();
        let mut problems = Vec::new();
        *self = Self::of(self.store.clone(), self.shard);
        let mut layout = Some(BTreeMap::new());
        for stored in self.store.list().await? {
            if stored.aside {
                self.taken.insert(stored.name);
                continue;
            }
            match pack::unpack(&stored.bytes) {
                Ok(unpacked) => {
                    layout = layout.and_then(|layout| self.lies_in(layout, &stored.name, &unpacked));
                    self.take(&stored.name, unpacked, &mut newest);
                }
                Err(broken) => {
                    let detail = self.set_aside(&stored.name, &broken).await;
                    problems.push(Problem { place: self.store.place(&stored.name), detail });
                    layout = None;
                }
            }
        }
        self.go_on_with(layout.unwrap_or_default());
        self.loaded = true;
        Ok((newest.into_values().map(|(_, restored)| restored).collect(), problems))
    }

    /// The packs so far, if this is another of the same layout; else `None`.
    fn lies_in(
        &self,
        mut layout: BTreeMap<u32, (u32, Written)>,
        name: &str,
        unpacked: &Unpacked,
    ) -> Option<BTreeMap<u32, (u32, Written)>> {
        let (number, packs) = name.strip_prefix(&self.prefix())?.split_once("of")?;
        let (number, packs): (u32, u32) = (number.parse().ok()?, packs.parse().ok()?);
        let keys = unpacked.series.iter().fold(0, |all, one| all ^ key_hash(&one.key));
        let same = layout.values().all(|(known, _)| *known == packs);
        layout.insert(number, (packs, Written { name: name.to_owned(), keys, content: None }));
        (same && number < packs && packs.is_power_of_two()).then_some(layout)
    }

    /// All packs are of one layout: what does not change stands.
    fn go_on_with(&mut self, layout: BTreeMap<u32, (u32, Written)>) {
        for (number, (packs, written)) in layout {
            self.packs = packs;
            self.outdated.remove(&written.name);
            self.written.insert(number, written);
        }
    }

    fn take(&mut self, name: &str, unpacked: Unpacked, newest: &mut HashMap<String, (Timestamp, Restored)>) {
        // Of another shard, or of a layout before: its series may be in two packs, and the later one counts.
        if name.starts_with(&self.prefix()) {
            self.outdated.insert(name.to_owned());
        }
        for restored in unpacked.series.into_iter().filter(|restored| self.shard.has(&restored.key)) {
            let known = newest.get(&restored.key);
            if known.is_none_or(|(saved, _)| *saved < unpacked.saved) {
                newest.insert(restored.key.clone(), (unpacked.saved, restored));
            }
        }
    }

    async fn set_aside(&mut self, name: &str, broken: &Broken) -> String {
        let done = self.store.set_aside(name, broken.word()).await;
        // A file has another name then; what keeps its name is not ours to write any more.
        if done.is_err() || !matches!(self.store, Store::Folder(_)) {
            self.taken.insert(name.to_owned());
        }
        match done {
            Ok(place) => format!("{broken}; set aside as {place}, and not used"),
            Err(error) => format!("{broken}; left as it is, and not used (setting it aside failed: {error})"),
        }
    }

    /// Saves all series: the packs in which something changed are written, the others stand.
    ///
    /// # Errors
    /// When the store cannot be written, or nothing was loaded before. What was written by then counts.
    pub async fn save(&mut self, entries: &[Entry<'_>], now: Timestamp) -> Result<Saved, CheckpointError> {
        if !self.begin(entries.len())? {
            return Ok(Saved::default());
        }
        let entries: Vec<&Entry<'_>> = entries.iter().filter(|entry| self.shard.has(entry.key)).collect();
        'again: loop {
            let mut packs: BTreeMap<u32, Vec<Entry<'_>>> = BTreeMap::new();
            for entry in &entries {
                packs.entry(self.pack_of(entry.key)).or_default().push(**entry);
            }
            let mut saved = Saved { packs: packs.len() as u32, ..Saved::default() };
            for (number, entries) in &mut packs {
                match self.put(*number, entries, now).await? {
                    Put::Stands => {}
                    Put::Written(bytes) => {
                        saved.written += 1;
                        saved.bytes += bytes;
                    }
                    Put::TooLarge => {
                        self.spread()?;
                        continue 'again;
                    }
                }
            }
            saved.removed = self.finish(&packs.into_keys().collect()).await?;
            return Ok(saved);
        }
    }

    /// Begins to save so many series, pack by pack: each by [`put`](Self::put), then [`finish`](Self::finish). False
    /// where nothing is to be saved.
    ///
    /// # Errors
    /// When nothing was loaded before.
    pub fn begin(&mut self, series: usize) -> Result<bool, CheckpointError> {
        if matches!(self.store, Store::None) {
            return Ok(false);
        }
        if !self.loaded {
            return Err(CheckpointError::NotLoaded);
        }
        self.choose_layout(series);
        Ok(true)
    }

    /// Whether the series of that key is this shard's.
    #[must_use]
    pub fn has(&self, key: &str) -> bool {
        self.shard.has(key)
    }

    /// Twice as many packs; the save begins anew.
    ///
    /// # Errors
    /// When there are as many as there may be.
    pub fn spread(&mut self) -> Result<(), CheckpointError> {
        if self.packs >= MOST_PACKS {
            return Err(CheckpointError::TooLarge);
        }
        self.lay_out(self.packs * 2);
        Ok(())
    }

    /// How many packs so many series go into: as many as there are, unless that is far from what they need.
    fn choose_layout(&mut self, series: usize) {
        let usual = u32::try_from(series.div_ceil(USUAL_SERIES)).unwrap_or(MOST_PACKS);
        let usual = usual.clamp(1, MOST_PACKS).next_power_of_two();
        if self.packs < usual || self.packs > usual.saturating_mul(4) {
            self.lay_out(usual);
        }
    }

    fn lay_out(&mut self, packs: u32) {
        self.packs = packs;
        self.outdated.extend(std::mem::take(&mut self.written).into_values().map(|written| written.name));
    }

    /// Whether a pack of these series would stand as it was written before, if none of them has changed.
    #[must_use]
    pub fn stands<'a>(&self, number: u32, keys: impl Iterator<Item = &'a str>) -> bool {
        let keys = keys.fold(0, |all, key| all ^ key_hash(key));
        self.written.get(&number).is_some_and(|known| known.keys == keys)
    }

    /// Writes all series of a pack, where one has changed.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn put(
        &mut self,
        number: u32,
        entries: &mut [Entry<'_>],
        now: Timestamp,
    ) -> Result<Put, CheckpointError> {
        if entries.iter().all(|entry| !entry.changed)
            && self.stands(number, entries.iter().map(|entry| entry.key))
        {
            return Ok(Put::Stands);
        }
        entries.sort_by_key(|entry| entry.key);
        let keys = entries.iter().fold(0, |all, entry| all ^ key_hash(entry.key));
        let (bytes, content) = pack::pack(entries, now);
        if bytes.len() > LARGEST {
            return Ok(Put::TooLarge);
        }
        if self.written.get(&number).is_some_and(|known| known.content == Some(content)) {
            return Ok(Put::Stands);
        }
        let name = self.name(number);
        self.store.write(&name, &bytes).await?;
        self.outdated.remove(&name);
        self.written.insert(number, Written { name, keys, content: Some(content) });
        Ok(Put::Written(bytes.len()))
    }

    /// All packs are written, these: removes what of older ones is of no use any more. Answers how many.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn finish(&mut self, packs: &BTreeSet<u32>) -> Result<u32, CheckpointError> {
        let gone: Vec<u32> = self.written.keys().copied().filter(|number| !packs.contains(number)).collect();
        for number in gone {
            self.outdated.extend(self.written.remove(&number).map(|written| written.name));
        }
        let mut removed = 0;
        while let Some(name) = self.outdated.first().cloned() {
            self.store.remove(&name).await?;
            self.outdated.remove(&name);
            removed += 1;
        }
        Ok(removed)
    }

    /// Which pack the series of that key goes into.
    #[must_use]
    pub fn pack_of(&self, key: &str) -> u32 {
        // The upper bits; the shard has used the lower ones.
        (key_hash(key) >> 48) as u32 % self.packs.max(1)
    }

    /// With the version of its format: an earlier build never touches what a later one has written.
    fn prefix(&self) -> String {
        format!("plumb-checkpoint-v{}-{}of{}-", pack::VERSION, self.shard.ordinal, self.shard.count)
    }

    fn name(&self, number: u32) -> String {
        let plain = format!("{}{number}of{}", self.prefix(), self.packs);
        let mut name = plain.clone();
        let mut next = 1;
        while self.taken.contains(&name) {
            name = format!("{plain}-{next}");
            next += 1;
        }
        name
    }
}

/// The same in every build, and mixed so that keys that differ at their end only go to different packs (the finalizer of MurmurHash3).
fn key_hash(key: &str) -> u64 {
    let mut hash = stable_hash(key.bytes());
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}
