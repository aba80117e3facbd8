//! The commands, wired from the parts below.

mod alive;
mod board;
pub mod explain;
pub mod filter;
pub mod findings;
mod judge;
mod keep;
pub mod repair;
pub mod scan;
pub mod scan_report;
pub mod schema;
pub mod sources;
mod told;
pub mod watch;
mod watch_start;
