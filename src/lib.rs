//! twinlog.
pub mod binlog;
pub mod config;
pub mod engine;
pub mod feed;
pub mod model;
