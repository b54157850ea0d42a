//! The `plumb` command: reads the command line and hands over to the library.

use std::process::ExitCode;

use plumb::cli;

fn main() -> ExitCode {
    cli::run(cli::parse())
}
