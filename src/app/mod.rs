//! The commands, wired from the parts below.

pub mod filter;
mod judge;
pub mod scan;
pub mod schema;
pub mod watch;
