//! The commands, wired from the parts below.

pub mod filter;
pub mod findings;
mod judge;
mod keep;
pub mod scan;
pub mod schema;
pub mod watch;
