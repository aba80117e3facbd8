//! What integration tests share.

pub mod lab;
pub mod recorded;
