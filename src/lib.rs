//! twinlog.
pub mod binlog;
pub mod engine;
pub mod model;
