//! What is recorded so far: a folder with one file per container, so that memory stays small and a run can go on
//! where an earlier one stopped. The trace is put together from it, container by container.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use flate2::Compression;
use flate2::write::GzEncoder;

use super::Sample;
use crate::sources::ContainerName;
use crate::units::{Bytes, Cores, Timestamp};

const HEADER: &str = "container_id,timestamp_s,cpu_cores,memory_bytes\n";
const META_HEADER: &str = "container_id,alloc_cpu_cores,alloc_memory_bytes\n";
/// The longest line that we write: a name of at most 381 bytes and three numbers.
const LONGEST_LINE: u64 = 512;

/// What a container asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Requests {
    pub(super) cpu: Option<Cores>,
    pub(super) memory: Option<Bytes>,
}

/// The folder and what is known of it.
pub(super) struct Spool {
    folder: PathBuf,
    containers: BTreeMap<String, Entry>,
}

struct Entry {
    file: PathBuf,
    last: Timestamp,
    requests: Option<Requests>,
}

/// How much a finished trace holds.
pub(super) struct Written {
    pub(super) containers: usize,
    pub(super) samples: u64,
}

impl Spool {
    /// Opens the folder that belongs to the trace `out`, with what an earlier run left in it.
    pub(super) fn open(out: &Path) -> anyhow::Result<Self> {
        let mut name = out.as_os_str().to_owned();
        name.push(".parts");
        let folder = PathBuf::from(name);
        fs::create_dir_all(&folder)
            .with_context(|| format!("cannot make the folder {}", folder.display()))?;
        let mut spool = Self { folder, containers: BTreeMap::new() };
        spool.read_back().with_context(|| format!("cannot read back {}", spool.folder.display()))?;
        Ok(spool)
    }

    fn read_back(&mut self) -> anyhow::Result<()> {
        for entry in fs::read_dir(&self.folder)? {
            let file = entry?.path();
            if file.extension().is_some_and(|e| e == "csv") {
                let Some((container, last)) = mend(&file).with_context(|| file.display().to_string())? else {
                    continue;
                };
                self.containers.insert(container, Entry { file, last, requests: None });
            }
        }
        for line in self.meta_lines()? {
            let mut fields = line.split(',');
            let (Some(container), Some(cpu), Some(memory)) = (fields.next(), fields.next(), fields.next())
            else {
                continue;
            };
            if let Some(entry) = self.containers.get_mut(container) {
                entry.requests = Some(Requests {
                    cpu: cpu.parse().ok().map(Cores),
                    memory: memory.parse().ok().map(Bytes),
                });
            }
        }
        Ok(())
    }

    fn meta_lines(&self) -> io::Result<Vec<String>> {
        match File::open(self.folder.join("requests")) {
            Ok(file) => BufReader::new(file).lines().collect(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Whether the requests of this container are known.
    pub(super) fn knows_requests(&self, container: &ContainerName) -> bool {
        self.containers.get(&container.to_string()).is_some_and(|entry| entry.requests.is_some())
    }

    /// Up to when everything is stored, as [`Self::set_complete`] last said.
    pub(super) fn complete(&self) -> Option<Timestamp> {
        fs::read_to_string(self.folder.join("complete")).ok()?.trim().parse().ok().map(Timestamp)
    }

    /// Remembers that everything up to this time is stored, so that a run that goes on need not ask for it again.
    pub(super) fn set_complete(&self, until: Timestamp) -> anyhow::Result<()> {
        let path = self.folder.join("complete");
        fs::write(partial(&path), until.0.to_string())?;
        fs::rename(partial(&path), path)?;
        Ok(())
    }

    /// Adds samples of one container, in time order. What is not later than its last one is known already.
    pub(super) fn append(
        &mut self,
        container: &ContainerName,
        samples: impl Iterator<Item = Sample>,
    ) -> anyhow::Result<()> {
        let id = container.to_string();
        let entry = self.containers.entry(id.clone()).or_insert_with(|| {
            // A name can be longer than a file's name may be.
            let mut hasher = DefaultHasher::new();
            id.hash(&mut hasher);
            let file = self.folder.join(format!("{:016x}.csv", hasher.finish()));
            Entry { file, last: Timestamp(i64::MIN), requests: None }
        });
        let mut lines = Vec::new();
        for sample in samples.filter(|s| s.cpu.is_some() || s.memory.is_some()) {
            if sample.at > entry.last {
                entry.last = sample.at;
                write_line(&mut lines, &id, sample)?;
            }
        }
        if lines.is_empty() {
            return Ok(());
        }
        let write = || OpenOptions::new().create(true).append(true).open(&entry.file)?.write_all(&lines);
        write().with_context(|| format!("cannot write {}", entry.file.display()))
    }

    /// Remembers what a container asks for.
    pub(super) fn set_requests(
        &mut self,
        container: &ContainerName,
        requests: Requests,
    ) -> anyhow::Result<()> {
        let id = container.to_string();
        if let Some(entry) = self.containers.get_mut(&id).filter(|entry| entry.requests != Some(requests)) {
            entry.requests = Some(requests);
            let mut file = OpenOptions::new().create(true).append(true).open(self.folder.join("requests"))?;
            file.write_all(meta_line(&id, requests).as_bytes())?;
        }
        Ok(())
    }

    /// Puts the trace and its meta file together, sorted by container. The spool stays, so that a later run adds to it.
    pub(super) fn assemble(&self, out: &Path) -> anyhow::Result<Written> {
        let file = File::create(partial(out))?;
        let samples = if out.extension().is_some_and(|e| e == "gz") {
            let mut gzip = GzEncoder::new(BufWriter::new(file), Compression::default());
            let samples = self.copy_to(&mut gzip)?;
            gzip.finish()?.flush()?;
            samples
        } else {
            let mut plain = BufWriter::new(file);
            let samples = self.copy_to(&mut plain)?;
            plain.flush()?;
            samples
        };
        let meta = meta_path(out);
        let mut text = META_HEADER.to_owned();
        for (id, entry) in &self.containers {
            text.push_str(&meta_line(id, entry.requests.unwrap_or_default()));
        }
        fs::write(partial(&meta), text)?;
        // Renamed when complete: whoever reads the trace sees the old one or the new one.
        fs::rename(partial(&meta), &meta)?;
        fs::rename(partial(out), out)?;
        Ok(Written { containers: self.containers.len(), samples })
    }

    fn copy_to(&self, out: &mut impl Write) -> anyhow::Result<u64> {
        out.write_all(HEADER.as_bytes())?;
        let mut samples = 0;
        for entry in self.containers.values() {
            let mut lines = BufReader::new(File::open(&entry.file)?);
            let mut line = Vec::new();
            while lines.read_until(b'\n', &mut line)? > 0 {
                out.write_all(&line)?;
                line.clear();
                samples += 1;
            }
        }
        Ok(samples)
    }
}

fn write_line(out: &mut Vec<u8>, id: &str, sample: Sample) -> io::Result<()> {
    write!(out, "{id},{},", sample.at.0)?;
    if let Some(cpu) = sample.cpu {
        write!(out, "{:.6}", cpu.0)?;
    }
    out.push(b',');
    if let Some(memory) = sample.memory {
        write!(out, "{}", memory.0)?;
    }
    out.push(b'\n');
    Ok(())
}

fn meta_line(id: &str, requests: Requests) -> String {
    let cpu = requests.cpu.map(|c| c.0.to_string()).unwrap_or_default();
    let memory = requests.memory.map(|m| m.0.to_string()).unwrap_or_default();
    format!("{id},{cpu},{memory}\n")
}

/// `web.csv.gz` has its meta in `web.meta.csv`.
fn meta_path(out: &Path) -> PathBuf {
    let name = out.file_name().unwrap_or_default().to_string_lossy();
    let stem = name.trim_end_matches(".gz").trim_end_matches(".csv");
    out.with_file_name(format!("{stem}.meta.csv"))
}

fn partial(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".partial");
    PathBuf::from(name)
}

/// Container and last time of a spool file. A last line that a crash cut short is removed; `None` where none is left.
fn mend(path: &Path) -> anyhow::Result<Option<(String, Timestamp)>> {
    let mut file = OpenOptions::new().read(true).write(true).open(path)?;
    let length = file.metadata()?.len();
    let from = length.saturating_sub(2 * LONGEST_LINE);
    file.seek(SeekFrom::Start(from))?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail)?;
    let whole = tail.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
    file.set_len(from + whole as u64)?;
    let text = String::from_utf8_lossy(tail.get(..whole).unwrap_or_default()).into_owned();
    let Some(line) = text.lines().next_back() else {
        // Nothing whole is in it: as if it had never been written.
        fs::remove_file(path)?;
        return Ok(None);
    };
    let mut fields = line.split(',');
    let (id, at) = (fields.next().unwrap_or_default(), fields.next().unwrap_or_default());
    let at = at.parse().with_context(|| format!("its last line {line:?} has no time"))?;
    Ok(Some((id.to_owned(), Timestamp(at))))
}

#[cfg(test)]
mod tests;
