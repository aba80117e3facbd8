//! The commands, wired from the parts below.

pub mod explain;
pub mod filter;
mod judge;
pub mod repair;
pub mod scan;
pub mod sources;
mod told;
pub mod watch;
