//! The wire format of binlogs: bytes in, facts of the model out.
//!
//! **Architecture invariant.** `binlog` is pure, imports `model` only, and no bytes make it panic.

mod charset;
mod charset_tables;
mod decimal;
mod temporal;
pub mod value;
