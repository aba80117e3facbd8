//! The wire format of binlogs: bytes in, facts of the model out.
//!
//! **Architecture invariant.** `binlog` is pure, imports `model` only, and no bytes make it panic.

mod bytes;
mod charset;
mod charset_tables;
mod decimal;
pub mod event;
pub mod evidence;
mod gtid;
mod layout;
mod reader;
mod rows;
mod statement;
mod temporal;
pub mod value;

pub use bytes::Short;
pub use reader::{Progress, ReadError, RuleColumn, StreamReader};
