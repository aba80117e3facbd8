//! twinlog.
pub mod engine;
pub mod model;
