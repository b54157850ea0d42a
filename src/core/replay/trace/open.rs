//! The one place of this room that opens files.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::{Allocations, Problem, TraceError, TraceReader, parse_allocations};

/// Opens the trace at `path`.
///
/// # Errors
/// Where the file cannot be read, is empty or has a wrong header.
pub fn open(path: &Path) -> Result<TraceReader<'static>, TraceError> {
    match File::open(path) {
        Ok(open) => TraceReader::new(path.display().to_string(), open),
        Err(error) => Err(unreadable(path, error)),
    }
}

/// Where the table of allocations beside `trace` is: `x.meta.csv` for `x.csv` and `x.csv.gz`.
#[must_use]
pub fn allocations_path(trace: &Path) -> PathBuf {
    let name = trace.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let stem = name.strip_suffix(".gz").unwrap_or(&name);
    trace.with_file_name(format!("{}.meta.csv", stem.strip_suffix(".csv").unwrap_or(stem)))
}

/// Reads the table of allocations beside `trace`; empty if there is none.
///
/// # Errors
/// Where the file is there but cannot be read or holds a value that is no allocation.
pub fn read_allocations(trace: &Path) -> Result<Allocations, TraceError> {
    let path = allocations_path(trace);
    match File::open(&path) {
        Ok(open) => parse_allocations(&path.display().to_string(), open),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Allocations::new()),
        Err(error) => Err(unreadable(&path, error)),
    }
}

fn unreadable(path: &Path, error: io::Error) -> TraceError {
    TraceError { file: path.display().to_string(), line: None, problem: Problem::Io(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allocations_stand_beside_the_trace() {
        for trace in ["a/b.csv", "a/b.csv.gz", "a/b"] {
            assert_eq!(allocations_path(Path::new(trace)), Path::new("a/b.meta.csv"));
        }
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = open(Path::new("no/such.csv")).err().unwrap().to_string();
        assert!(error.starts_with("no/such.csv: cannot be read: "), "{error}");
        assert_eq!(read_allocations(Path::new("no/such.csv")).unwrap(), Allocations::new());
    }
}
