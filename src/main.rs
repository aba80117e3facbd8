//! The twinlog command.

use std::process::ExitCode;

/// Transactions are made on the readers' threads and freed on the judge's; the system's allocator
/// spends a quarter of a scan on that, and others let a daemon's memory creep up for hours.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    twinlog::cli::run()
}
