//! Where a transaction stands in a stream.

use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// File name, start and end offset of a transaction in a stream.
///
/// Offsets are computed from event lengths: MariaDB 11.8 writes 0 for `end_log_pos` inside
/// transactions, and the field wraps at 4 GiB everywhere.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Coordinates {
    /// The binlog file's base name, as `SHOW BINARY LOGS` lists it.
    #[serde(with = "super::shared")]
    pub file: Arc<str>,
    /// Offset of the GTID event, as `mysqlbinlog --start-position` takes it, in bytes.
    pub start: u64,
    /// Offset just past the event that ends the transaction, in bytes.
    pub end: u64,
}

/// The number at the end of a binlog file's name: 17 of `mysql-bin.000017`.
pub fn file_number(name: &str) -> Option<u64> {
    name.rsplit_once('.')?.1.parse().ok()
}
