//! The `plumb` command: reads the command line and hands over to the library.

use std::process::ExitCode;

use clap::Parser;
use plumb::cli::{self, Cli};

fn main() -> ExitCode {
    cli::run(Cli::parse())
}
