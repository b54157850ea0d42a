//! The replay as it went, day by day, on stderr: redrawn on a terminal, a line a day elsewhere.
//!
//! The replay itself is over in a blink. It is causal (what was decided by a time does not depend on what came later), so showing
//! it afterwards shows what happened.

use std::thread;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::note;
use crate::replay::outcome::Outcome;
use crate::report::demo::progress;

/// How long a frame stays on a terminal, and how many there are at most.
const FRAME: Duration = Duration::from_millis(40);
const FRAMES: usize = 60;
/// Lines where there is no terminal.
const LINES: usize = 14;

/// Shows the course of an outcome.
pub(super) fn show(outcome: &Outcome) {
    let bar = ProgressBar::new(1);
    if bar.is_hidden() {
        for now in progress(outcome, LINES) {
            note(now.line());
        }
        return;
    }
    let style = ProgressStyle::with_template("{prefix} {bar:40.cyan/dim} {percent:>3}%\n{msg}");
    let frames = progress(outcome, FRAMES);
    bar.set_length(frames.len() as u64);
    if let Ok(style) = style {
        bar.set_style(style);
    }
    for now in frames {
        bar.set_prefix(now.day());
        bar.set_message(now.table());
        bar.inc(1);
        thread::sleep(FRAME);
    }
    bar.finish_and_clear();
}
