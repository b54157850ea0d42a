//! The table beside a trace that says what each container was given by its owner.

use std::collections::HashMap;
use std::io::Read;

use super::error::{Problem, TraceError};
use super::number::{CPU, Column, MEMORY, amount};
use crate::units::{Bytes, Cores};

/// What the owner of a container had asked for, where the trace says so.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Allocation {
    /// CPU request.
    pub cpu: Option<Cores>,
    /// Memory request.
    pub memory: Option<Bytes>,
}

/// Allocations by container id.
pub type Allocations = HashMap<String, Allocation>;

const ALLOCATED_CPU: Column = Column { name: "alloc_cpu_cores", ..CPU };
const ALLOCATED_MEMORY: Column = Column { name: "alloc_memory_bytes", ..MEMORY };

/// Reads the columns `container_id`, `alloc_cpu_cores` and `alloc_memory_bytes`, found by name; others are ignored.
///
/// # Errors
/// Where a column is missing or a value is no allocation.
pub fn parse_allocations(file: &str, from: impl Read) -> Result<Allocations, TraceError> {
    let fail = |line, problem| TraceError { file: file.to_owned(), line, problem };
    let mut reader = csv::Reader::from_reader(from);
    let unreadable = |error: csv::Error| {
        let line = error.position().map(csv::Position::line);
        fail(line, super::problem_of(error, false))
    };
    let header = reader.byte_headers().map_err(unreadable)?.clone();
    let column = |name: &'static str| {
        let index = header.iter().position(|h| h == name.as_bytes());
        index.ok_or_else(|| fail(Some(1), Problem::MissingColumn(name)))
    };
    let (id, cpu, memory) =
        (column("container_id")?, column(ALLOCATED_CPU.name)?, column(ALLOCATED_MEMORY.name)?);
    let mut found = Allocations::new();
    for record in reader.into_byte_records() {
        let record = record.map_err(unreadable)?;
        let line = record.position().map(csv::Position::line);
        let field = |i| record.get(i).unwrap_or_default();
        let known = |i, column| {
            let value = amount(field(i), column).map_err(|problem| fail(line, problem))?;
            Ok((!value.is_nan()).then_some(value))
        };
        let allocation = Allocation {
            cpu: known(cpu, ALLOCATED_CPU)?.map(Cores),
            memory: known(memory, ALLOCATED_MEMORY)?.map(Bytes::from_f64),
        };
        let name = std::str::from_utf8(field(id))
            .map_err(|_| fail(line, Problem::NotUtf8 { column: "container_id" }))?;
        found.insert(name.to_owned(), allocation);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_found_by_name() {
        let text = "source,container_id,alloc_memory_bytes,alloc_cpu_cores\nx,a,,2\nx,b,1024,\n";
        let found = parse_allocations("m", text.as_bytes()).unwrap();
        assert_eq!(found["a"], Allocation { cpu: Some(Cores(2.0)), memory: None });
        assert_eq!(found["b"], Allocation { cpu: None, memory: Some(Bytes(1024)) });
    }

    #[test]
    fn bad_tables_are_refused() {
        for (text, says) in [
            ("container_id,alloc_cpu_cores\n", "m: line 1: the header has no column alloc_memory_bytes"),
            (
                "container_id,alloc_cpu_cores,alloc_memory_bytes\na,-1,\n",
                "m: line 2: alloc_cpu_cores is negative: -1",
            ),
            (
                "container_id,alloc_cpu_cores,alloc_memory_bytes\na,1\n",
                "m: line 2: 2 fields where the header has 3",
            ),
        ] {
            assert_eq!(parse_allocations("m", text.as_bytes()).unwrap_err().to_string(), says);
        }
    }
}
