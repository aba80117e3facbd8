//! What integration tests share.

pub mod dashboards;
pub mod garbler;
pub mod keys;
pub mod lab;
pub mod logs;
pub mod monitoring;
pub mod old_logs;
pub mod proxy;
pub mod random;
pub mod recorded;
pub mod terminal;
pub mod watcher;
