//! Reads usage traces: `container_id,timestamp_s,cpu_cores,memory_bytes`, plain or gzip.
//!
//! Sorted by container, then time; an empty value is unknown; nothing is quoted. One container is in memory at a time. The
//! first fault ends the reading with an error that names it, so a damaged file is never half used: who reads must
//! drop what came before the error.

mod allocation;
mod error;
mod number;
mod open;
mod series;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::io::{self, Read};

pub use allocation::{Allocation, Allocations, parse_allocations};
pub use error::{Problem, TraceError};
use flate2::read::MultiGzDecoder;
use number::{CPU, MEMORY, TIME, amount, time};
pub use open::{allocations_path, open, read_allocations};
pub use series::Series;

/// The columns, in the order in which plumb writes them.
pub const COLUMNS: [&str; 4] = ["container_id", TIME, CPU.name, MEMORY.name];
/// Longest line, in bytes; also the size of the read buffer, which bounds the lines that end inside it.
const MAX_LINE: usize = 1 << 16;
/// Longest container id, in bytes: room for cluster, namespace, workload and container name.
const MAX_ID: usize = 1024;

/// The containers of a trace, one after the other. Ends after the first error.
pub struct TraceReader<'a> {
    file: String,
    gzip: bool,
    csv: csv::Reader<LineLimit<Box<dyn Read + Send + 'a>>>,
    record: csv::ByteRecord,
    /// Where each of `COLUMNS` stands.
    columns: [usize; 4],
    seen: HashSet<String>,
    state: State,
}

enum State {
    /// `record` holds the first sample of a container.
    Ahead,
    Done,
}

impl<'a> TraceReader<'a> {
    /// Starts to read a trace; `file` is its name in errors. Gzip is told by its first two bytes.
    ///
    /// # Errors
    /// Where it cannot be read, is empty or has a wrong header.
    pub fn new(file: String, mut from: impl Read + Send + 'a) -> Result<Self, TraceError> {
        let mut magic = Vec::new();
        if let Err(error) = from.by_ref().take(2).read_to_end(&mut magic) {
            return Err(TraceError { file, line: None, problem: Problem::Io(error) });
        }
        let gzip = magic == [0x1f, 0x8b];
        let whole = io::Cursor::new(magic).chain(from);
        let plain: Box<dyn Read + Send + 'a> = if gzip {
            Box::new(MultiGzDecoder::new(io::BufReader::with_capacity(MAX_LINE, whole)))
        } else {
            Box::new(whole)
        };
        let csv = csv::ReaderBuilder::new()
            .has_headers(false)
            .quoting(false)
            .buffer_capacity(MAX_LINE)
            .from_reader(LineLimit { from: plain, since_newline: 0 });
        let mut reader = Self {
            file,
            gzip,
            csv,
            record: csv::ByteRecord::new(),
            columns: [0; 4],
            seen: HashSet::new(),
            state: State::Done,
        };
        reader.start()?;
        Ok(reader)
    }

    /// Reads the header and the first sample.
    fn start(&mut self) -> Result<(), TraceError> {
        if !self.advance()? {
            return Err(self.error(None, Problem::Empty));
        }
        self.columns = columns(&self.record).map_err(|problem| self.error(Some(1), problem))?;
        if !self.advance()? {
            return Err(self.error(None, Problem::Empty));
        }
        self.state = State::Ahead;
        Ok(())
    }

    fn error(&self, line: Option<u64>, problem: Problem) -> TraceError {
        TraceError { file: self.file.clone(), line, problem }
    }

    /// The line of `record`, as an error's place.
    fn here(&self, problem: Problem) -> TraceError {
        self.error(self.record.position().map(csv::Position::line), problem)
    }

    /// Reads the next line into `record`; false at the end.
    fn advance(&mut self) -> Result<bool, TraceError> {
        self.csv.read_byte_record(&mut self.record).map_err(|error| {
            let line = match error.kind() {
                csv::ErrorKind::UnequalLengths { .. } => error.position().map(csv::Position::line),
                _ => Some(self.csv.position().line()),
            };
            self.error(line, problem_of(error, self.gzip))
        })
    }

    fn field(&self, column: usize) -> &[u8] {
        self.record.get(self.columns[column]).unwrap_or_default()
    }

    /// Time, cores and bytes of `record`.
    fn sample(&self) -> Result<(i64, f64, f64), TraceError> {
        let parse =
            || Ok((time(self.field(1))?, amount(self.field(2), CPU)?, amount(self.field(3), MEMORY)?));
        parse().map_err(|problem| self.here(problem))
    }

    /// The id in `record`, which no earlier container had.
    fn new_id(&mut self) -> Result<String, TraceError> {
        let field = self.field(0);
        let id = match field.len() {
            0 => Err(Problem::Missing(COLUMNS[0])),
            n if n > MAX_ID => Err(Problem::FieldTooLong { column: COLUMNS[0], max: MAX_ID }),
            _ => std::str::from_utf8(field).map_err(|_| Problem::NotUtf8 { column: COLUMNS[0] }),
        };
        let id = id.map_err(|problem| self.here(problem))?.to_owned();
        if self.seen.insert(id.clone()) { Ok(id) } else { Err(self.here(Problem::Returned(id))) }
    }

    /// The container whose first sample `record` holds.
    fn container(&mut self) -> Result<Series, TraceError> {
        let mut series = Series::new(self.new_id()?);
        let mut last = i64::MIN;
        loop {
            let (at, cpu, memory) = self.sample()?;
            if at <= last {
                let id = series.id;
                let problem = if at == last {
                    Problem::Duplicate { id, at }
                } else {
                    Problem::Unsorted { id, at, before: last }
                };
                return Err(self.here(problem));
            }
            last = at;
            series.push_raw(at, cpu, memory);
            if !self.advance()? {
                self.state = State::Done;
                return Ok(series);
            }
            if self.field(0) != series.id.as_bytes() {
                return Ok(series);
            }
        }
    }
}

impl Iterator for TraceReader<'_> {
    type Item = Result<Series, TraceError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.state {
            State::Done => None,
            State::Ahead => {
                let container = self.container();
                if container.is_err() {
                    self.state = State::Done;
                }
                Some(container)
            }
        }
    }
}

/// Where each of `COLUMNS` stands in the header: each must be there once, in any order, and no other.
fn columns(header: &csv::ByteRecord) -> Result<[usize; 4], Problem> {
    let mut places = [None; 4];
    for (place, field) in header.iter().enumerate() {
        let name = std::str::from_utf8(field).map_err(|_| Problem::NotUtf8 { column: "the header" })?;
        let Some(known) = COLUMNS.iter().position(|&c| c == name) else {
            return Err(Problem::UnknownColumn(error::shown(field)));
        };
        if places[known].replace(place).is_some() {
            return Err(Problem::RepeatedColumn(COLUMNS[known]));
        }
    }
    let mut found = [0; 4];
    for (i, place) in places.into_iter().enumerate() {
        found[i] = place.ok_or(Problem::MissingColumn(COLUMNS[i]))?;
    }
    Ok(found)
}

/// A fault of the CSV or gzip layer in our words.
fn problem_of(error: csv::Error, gzip: bool) -> Problem {
    match error.into_kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            Problem::Fields { expected: expected_len, found: len }
        }
        csv::ErrorKind::Io(error)
            if error.get_ref().and_then(|e| e.downcast_ref::<LineTooLong>()).is_some() =>
        {
            Problem::LineTooLong(MAX_LINE)
        }
        csv::ErrorKind::Io(error) if gzip => match error.kind() {
            io::ErrorKind::UnexpectedEof => Problem::Cut,
            io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => Problem::Gzip(error.to_string()),
            _ => Problem::Io(error),
        },
        csv::ErrorKind::Io(error) => Problem::Io(error),
        other => Problem::Io(io::Error::other(format!("{other:?}"))),
    }
}

/// Refuses lines without an end, which would otherwise fill the memory.
struct LineLimit<R> {
    from: R,
    since_newline: usize,
}

#[derive(Debug, thiserror::Error)]
#[error("line too long")]
struct LineTooLong;

impl<R: Read> Read for LineLimit<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.from.read(buffer)?;
        self.since_newline = match buffer[..n].iter().rposition(|&byte| byte == b'\n') {
            Some(newline) => n - newline - 1,
            None => self.since_newline + n,
        };
        if self.since_newline > MAX_LINE {
            return Err(io::Error::new(io::ErrorKind::InvalidData, LineTooLong));
        }
        Ok(n)
    }
}
