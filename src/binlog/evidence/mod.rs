//! Transactions read again for people: statements, and every row with its values.
//!
//! The reader of streams decodes no more than keys. This one is given the few transactions that a
//! finding is about, and decodes all of them. It shares the layouts and the decoding of values.

mod image;
mod labels;
mod reader;

pub use image::{Cell, Change, RowOf, TableFacts};
pub use labels::ColumnFacts;
pub use reader::{EvidenceFault, EvidenceReader};

pub use super::json::JsonText;
use crate::model::{CommitTime, Coordinates, Gtid};
use std::sync::Arc;

/// A transaction of one stream, decoded.
#[derive(Clone, PartialEq, Debug)]
pub struct Evidence {
    /// The server that logged it, as it names itself: `11.8.9-MariaDB-log`.
    pub server_version: String,
    /// Its identity.
    pub gtid: Option<Gtid>,
    /// The server id in its GTID event: its origin's.
    pub server_id: u32,
    /// Commit on the origin.
    pub committed_at: CommitTime,
    /// Where it stands in the stream.
    pub coordinates: Coordinates,
    /// The statements that the log has as text, in order; at most [`STATEMENTS_MAX`].
    pub statements: Vec<Arc<str>>,
    /// Its row changes in log order, those that were asked for; at most [`CHANGES_MAX`], and
    /// [`CHANGE_BYTES_MAX`] of them.
    pub changes: Vec<Change>,
    /// Statements and row changes past these bounds.
    pub more: u64,
    /// What could not be decoded, for a person; never a row's value.
    pub not_decoded: Vec<String>,
}

impl Evidence {
    /// Whether a MariaDB server logged it, and not MySQL.
    pub fn is_mariadb(&self) -> bool {
        self.server_version.contains("MariaDB")
    }
}

/// Row changes of one transaction that are kept at most.
pub const CHANGES_MAX: usize = 10_000;

/// Bytes that the values of these take at most, and the values' own: of a table of thousands of
/// columns, a row whose image leaves out all but one takes a byte in the log and a value a column
/// here.
pub const CHANGE_BYTES_MAX: usize = 256 << 20;

/// Statements of one transaction that are kept at most.
pub const STATEMENTS_MAX: usize = 1_000;
