//! The commands, wired from the parts below.

mod alive;
pub mod explain;
pub mod filter;
pub mod findings;
pub mod health;
mod judge;
mod keep;
pub mod repair;
pub mod scan;
pub mod schema;
pub mod sources;
mod told;
pub mod watch;
