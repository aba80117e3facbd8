//! twinlog.
pub mod app;
pub mod binlog;
pub mod cli;
pub mod config;
pub mod engine;
pub mod feed;
pub mod model;
pub mod report;
