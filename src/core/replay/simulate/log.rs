//! Log of a run: the story of each pod, and a hash over all of it.

use std::fmt;

/// One line of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Seconds since the start of the scene.
    pub at: i64,
    /// Index of the workload.
    pub workload: usize,
    /// Number of the pod; 0 where the line is about the workload.
    pub pod: u64,
    /// Words.
    pub text: String,
}

/// All lines of a run.
#[derive(Clone, Debug)]
pub(super) struct Log {
    lines: Vec<Line>,
    hash: u64,
    count: u64,
}

/// Begin of the lines that say why pods are held.
pub(super) const HELD: &str = "held: ";
/// Lines that are kept, at most; the hash covers all.
const MOST: usize = 20_000;

impl Log {
    /// Starts an empty log.
    pub(super) fn new() -> Self {
        Self { lines: Vec::new(), hash: 0xcbf2_9ce4_8422_2325, count: 0 }
    }

    /// Adds a line.
    pub(super) fn add(&mut self, at: i64, workload: usize, pod: u64, text: String) {
        let (first, second) = (at.to_le_bytes(), pod.to_le_bytes());
        for byte in first.iter().chain(&second).chain(text.as_bytes()) {
            self.hash = (self.hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
        self.count += 1;
        if self.lines.len() >= MOST {
            self.lines.drain(..MOST / 2);
        }
        self.lines.push(Line { at, workload, pod, text });
    }

    /// The lines that are kept, the oldest first.
    pub(super) fn lines(self) -> Vec<Line> {
        self.lines
    }

    /// Hash over all lines (FNV-1a).
    pub(super) fn hash(&self) -> u64 {
        self.hash
    }

    /// Number of lines ever added.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// The last lines about a pod and about its workload as a whole.
    pub(super) fn story(&self, workload: usize, pod: u64, most: usize) -> Vec<String> {
        let about =
            |line: &&Line| line.workload == workload && (line.pod == pod || line.pod == 0 || pod == 0);
        let mut lines: Vec<_> = self.lines.iter().rev().filter(about).take(most).collect();
        // Why pods are held is said once, when it changes.
        let held = |line: &&Line| line.workload == workload && line.text.starts_with(HELD);
        if !lines.iter().any(held) {
            lines.extend(self.lines.iter().rev().find(held));
        }
        lines.iter().rev().map(ToString::to_string).collect()
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, workload, pod, text } = self;
        let at = clock(*at);
        if *pod == 0 {
            write!(f, "{at} workload {workload}: {text}")
        } else {
            write!(f, "{at} pod {pod}: {text}")
        }
    }
}

/// Time since the start as hours, minutes and seconds.
pub(super) fn clock(at: i64) -> String {
    format!("{:02}:{:02}:{:02}", at / 3600, at / 60 % 60, at % 60)
}
