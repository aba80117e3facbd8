//! The twinlog command.

use std::process::ExitCode;

/// Transactions are made on the readers' threads and freed on the judge's; the system's allocator
/// spends a quarter of a scan on that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    twinlog::cli::run()
}
