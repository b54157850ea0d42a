//! The rows for a spreadsheet: amounts as plain numbers, in cores and bytes.

use super::{Scan, Size};

const HEADS: [&str; 19] = [
    "namespace",
    "kind",
    "workload",
    "container",
    "replicas",
    "cpu_request_cores",
    "cpu_limit_cores",
    "memory_request_bytes",
    "memory_limit_bytes",
    "recommended_cpu_request_cores",
    "recommended_cpu_limit_cores",
    "recommended_memory_request_bytes",
    "recommended_memory_limit_bytes",
    "saves_monthly_dollars",
    "oom_kills",
    "confidence",
    "samples",
    "days",
    "owner_from",
];

/// The rows; what is not known is empty.
///
/// # Errors
/// None in practice: it writes to memory.
pub fn csv(scan: &Scan) -> Result<Vec<u8>, csv::Error> {
    let mut out = csv::Writer::from_writer(Vec::new());
    out.write_record(HEADS)?;
    for row in &scan.containers {
        let mut record = vec![
            plain(&row.namespace),
            plain(&row.kind),
            plain(&row.workload),
            plain(&row.container),
            row.replicas.to_string(),
        ];
        record.extend(amounts(&row.current.unwrap_or_default()));
        record.extend(amounts(&row.recommended));
        record.extend([
            row.saves_monthly.map(|dollars| format!("{dollars:.2}")).unwrap_or_default(),
            row.oom_kills.to_string(),
            row.confidence.to_owned(),
            row.samples.to_string(),
            format!("{:.1}", row.days),
            row.owner_from.to_owned(),
        ]);
        out.write_record(record)?;
    }
    out.into_inner().map_err(|error| error.into_error().into())
}

fn amounts(size: &Size) -> [String; 4] {
    let text = |amount: Option<String>| amount.unwrap_or_default();
    [
        text(size.cpu_request.map(|cpu| cpu.0.to_string())),
        text(size.cpu_limit.map(|cpu| cpu.0.to_string())),
        text(size.memory_request.map(|memory| memory.0.to_string())),
        text(size.memory_limit.map(|memory| memory.0.to_string())),
    ]
}

/// A name from a label, which nobody has checked: a spreadsheet would take some for a formula.
fn plain(text: &str) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{text}") } else { text.to_owned() }
}
