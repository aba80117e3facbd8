//! The twinlog command.

use std::process::ExitCode;

fn main() -> ExitCode {
    twinlog::cli::run()
}
