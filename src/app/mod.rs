//! The commands, wired from the parts below.

mod alive;
mod anew;
mod board;
mod desk;
pub mod explain;
pub mod filter;
pub mod findings;
pub mod health;
mod judge;
mod keep;
mod memory;
mod pages;
mod pressure;
mod rate;
mod remember;
pub mod repair;
pub mod scan;
pub mod scan_report;
pub mod schema;
pub mod signals;
pub mod sources;
mod survey;
mod told;
pub mod until;
pub mod watch;
mod watch_start;
