//! twinlog.
#![deny(unsafe_code)]
pub mod model;
