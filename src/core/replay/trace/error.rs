//! What can be wrong with a trace, in words that name file, line and cause.

use std::io;

/// Why a trace, or the table of allocations beside it, was refused. Nothing of a refused file is used.
#[derive(Debug, thiserror::Error)]
#[error("{file}: {}{problem}", place(.line))]
pub struct TraceError {
    /// The file as it was named by the caller.
    pub file: String,
    /// The line, counted from 1 for the header, where there is one to name.
    pub line: Option<u64>,
    /// What is wrong there.
    #[source]
    pub problem: Problem,
}

fn place(line: &Option<u64>) -> String {
    line.map(|n| format!("line {n}: ")).unwrap_or_default()
}

/// One kind of bad input.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// The file could not be opened or read.
    #[error("cannot be read: {0}")]
    Io(io::Error),
    /// No line at all, or a header without a sample.
    #[error("holds no samples")]
    Empty,
    /// The compressed data stops before its end.
    #[error("the gzip data ends early: the file is cut")]
    Cut,
    /// The compressed data is damaged, or something else follows it.
    #[error("the gzip data is damaged: {0}")]
    Gzip(String),
    /// A line without an end within the limit.
    #[error("longer than {0} bytes")]
    LineTooLong(usize),
    /// A field longer than any honest one.
    #[error("{column} is longer than {max} bytes")]
    FieldTooLong {
        /// Which column.
        column: &'static str,
        /// The limit in bytes.
        max: usize,
    },
    /// Text that is not UTF-8.
    #[error("{column} is not UTF-8")]
    NotUtf8 {
        /// Which column; `the header` for the first line.
        column: &'static str,
    },
    /// The header lacks a column.
    #[error("the header has no column {0}")]
    MissingColumn(&'static str),
    /// The header has a column that the format does not know.
    #[error("unknown column {0:?} in the header")]
    UnknownColumn(String),
    /// The header has a column twice.
    #[error("column {0} is in the header twice")]
    RepeatedColumn(&'static str),
    /// Too few or too many fields.
    #[error("{found} fields where the header has {expected}")]
    Fields {
        /// How many the header has.
        expected: u64,
        /// How many the line has.
        found: u64,
    },
    /// A field that may not be empty.
    #[error("{0} is empty")]
    Missing(&'static str),
    /// A field that should be a number and is none.
    #[error("{column} is not a number: {text:?}")]
    NotANumber {
        /// Which column.
        column: &'static str,
        /// The field, shortened.
        text: String,
    },
    /// Infinite or not a number.
    #[error("{column} is not finite: {text:?}")]
    NotFinite {
        /// Which column.
        column: &'static str,
        /// The field, shortened.
        text: String,
    },
    /// Below zero.
    #[error("{column} is negative: {text}")]
    Negative {
        /// Which column.
        column: &'static str,
        /// The field, shortened.
        text: String,
    },
    /// More than any machine has.
    #[error("{column} is absurd: {text} is above {max}")]
    Absurd {
        /// Which column.
        column: &'static str,
        /// The field, shortened.
        text: String,
        /// The largest value that is believed.
        max: &'static str,
    },
    /// A sample that is earlier than the one before it.
    #[error("timestamp_s {at} of {id} is earlier than the {before} before it: sort by container, then time")]
    Unsorted {
        /// The container.
        id: String,
        /// The sample's time in seconds.
        at: i64,
        /// The time of the sample before it.
        before: i64,
    },
    /// Two samples at the same time.
    #[error("timestamp_s {at} of {id} is there twice")]
    Duplicate {
        /// The container.
        id: String,
        /// The time in seconds.
        at: i64,
    },
    /// A container whose lines do not stand together.
    #[error("container {0} was here before: its lines must stand together")]
    Returned(String),
}

/// A field as an error shows it: what can be read of it, at most 40 characters.
pub(super) fn shown(field: &[u8]) -> String {
    let text = String::from_utf8_lossy(field);
    match text.char_indices().nth(40) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.into_owned(),
    }
}
