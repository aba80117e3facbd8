//! Times as the logs carry them.

use serde::{Deserialize, Serialize};

/// When a transaction was committed on its origin, as its log says.
///
/// MySQL 8 logs microseconds (`original_commit_timestamp`); MariaDB and older servers only the
/// whole seconds of the event header.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
pub struct CommitTime {
    /// Microseconds since the Unix epoch, by the origin's clock.
    pub micros: i64,
    /// True when only whole seconds are known.
    pub whole_seconds: bool,
}

impl CommitTime {
    /// From an event header's timestamp, in seconds.
    pub fn from_seconds(seconds: u32) -> Self {
        CommitTime { micros: i64::from(seconds) * 1_000_000, whole_seconds: true }
    }

    /// From a commit timestamp in microseconds.
    pub fn from_micros(micros: i64) -> Self {
        CommitTime { micros, whole_seconds: false }
    }
}
