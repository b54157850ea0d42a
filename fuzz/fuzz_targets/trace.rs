//! Any bytes as a trace: read wholly or refused with an error, never a panic; what is read is in order.

#![no_main]

use std::collections::HashSet;

use libfuzzer_sys::fuzz_target;
use plumb::replay::trace::{Series, TraceReader, parse_allocations};

fuzz_target!(|bytes: &[u8]| {
    drop(parse_allocations("fuzz", bytes).map_err(|error| error.to_string()));
    let read = TraceReader::new("fuzz".to_owned(), bytes).and_then(Iterator::collect::<Result<Vec<Series>, _>>);
    match read {
        Ok(containers) => {
            let ids: HashSet<_> = containers.iter().map(|series| &series.id).collect();
            assert_eq!(ids.len(), containers.len());
            for series in &containers {
                assert!(!series.is_empty());
                assert!(series.times().windows(2).all(|pair| pair[0] < pair[1]));
                assert!(series.cpu().iter().all(|cpu| cpu.is_nan() || (0.0..=1e6).contains(cpu)));
            }
        }
        Err(error) => assert!(error.to_string().starts_with("fuzz: ")),
    }
});
