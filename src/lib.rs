//! twinlog.
#![deny(unsafe_code)]
pub mod binlog;
pub mod model;
