//! What `plumb doctor` prints: one line for each thing that was checked.

use crate::cluster::finding::{Finding, State};

/// The lines: state, what, what was seen, and what to do.
#[must_use]
pub fn lines(findings: &[Finding]) -> String {
    let mut text = String::new();
    for Finding { check, state, detail, fix } in findings {
        let fix = if fix.is_empty() { String::new() } else { format!("; {fix}") };
        let line = format!("{state:<8} {check}: {detail}{fix}");
        // What servers say may have lines of its own.
        text.push_str(&line.replace(['\n', '\r'], " "));
        text.push('\n');
    }
    text
}

/// What needs something done, in one line; `None` where nothing does.
#[must_use]
pub fn verdict(findings: &[Finding]) -> Option<String> {
    let count = |state| findings.iter().filter(|finding| finding.state == state).count();
    let (missing, wrong) = (count(State::Missing), count(State::Wrong));
    (missing + wrong > 0).then(|| format!("{missing} missing and {wrong} wrong: see above"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_each() {
        let findings = [
            Finding::ok("API server", "v1.36.3"),
            Finding::not_there("rights", true, "none\nat all", "grant them"),
            Finding::not_there("kube_pod_owner", false, "no series", ""),
        ];
        assert_eq!(
            lines(&findings),
            "ok       API server: v1.36.3\n\
             missing  rights: none at all; grant them\n\
             absent   kube_pod_owner: no series\n"
        );
        assert_eq!(verdict(&findings).unwrap(), "1 missing and 0 wrong: see above");
        assert_eq!(verdict(&findings[..1]), None);
    }
}
