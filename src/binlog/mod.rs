//! The wire format of binlogs: bytes in, facts of the model out.
//!
//! **Architecture invariant.** `binlog` is pure, imports `model` only, and no bytes make it panic.

mod bytes;
mod charset;
mod charset_tables;
pub mod collation;
mod compressed;
mod decimal;
mod definition;
pub mod event;
pub mod evidence;
mod gtid;
mod json;
mod layout;
mod metadata;
mod plan;
mod read_error;
mod reader;
mod room;
mod rows;
mod statement;
mod temporal;
pub mod value;
mod wire;
mod words;
mod xa;

pub use bytes::Short;
pub(crate) use compressed::may_be_in_payload;
pub use plan::{TablePlan, TablePlans};
pub use read_error::ReadError;
pub use reader::{Progress, StreamReader};
