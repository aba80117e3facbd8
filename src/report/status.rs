//! What a watch knows of its streams at a moment, for pages and terminals.

use super::rfc3339;
use crate::model::{CommitTime, Coordinates};
use serde::{Serialize, Serializer};

/// The streams at a moment. Only positions, counts and times: never a row's value.
#[derive(Serialize, Clone, PartialEq, Debug, Default)]
pub struct Status {
    /// When this watch began, by this machine's clock.
    #[serde(serialize_with = "time")]
    pub started_at: CommitTime,
    /// All streams are connected, have begun, and are caught up with.
    pub ready: bool,
    /// The node whose server has to answer before anything is judged; `None` once all have.
    pub waits_for: Option<String>,
    /// Commits to the store fail: since when. Findings wait for it, and pages do not have them.
    #[serde(serialize_with = "maybe_time")]
    pub store_fails_since: Option<CommitTime>,
    /// Keys of transactions that some stream has not shown yet.
    pub pending_keys: usize,
    /// What is held of what is in flight, against its bound.
    pub memory: Memory,
    /// Streams, in the order of their nodes' names.
    pub streams: Vec<StreamState>,
    /// Nodes as origins, in the same order.
    pub origins: Vec<OriginState>,
}

/// What is held of what is in flight: metrics have the same numbers.
#[derive(Serialize, Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Memory {
    /// Bytes, as far as they are counted.
    pub held_bytes: usize,
    /// Bytes that may be held.
    pub limit_bytes: usize,
    /// All of it, or a share of it that has a bound of its own, is nearly full: the stream that is
    /// ahead waits, as long as that helps.
    pub nearly_full: bool,
}

/// One node's stream.
#[derive(Serialize, Clone, PartialEq, Debug, Default)]
pub struct StreamState {
    /// Whose.
    pub node: String,
    /// The server's version, as it names itself.
    pub server: String,
    /// Its settings, as they have to be for its log to show all.
    pub checks: Vec<Check>,
    /// Number of the oldest binlog file that it has; `None` before it could be asked.
    pub oldest_file_number: Option<u64>,
    /// Number of the newest.
    pub newest_file_number: Option<u64>,
    /// The server sends.
    pub connected: bool,
    /// Where it began is known, so that it is judged.
    pub begun: bool,
    /// It is read to its end: its server has said that it has nothing more, or what was read last
    /// was a few seconds old.
    pub caught_up: bool,
    /// Why the connection was last lost; `None` once it works again.
    pub error: Option<String>,
    /// The last transaction judged.
    #[serde(serialize_with = "place")]
    pub at: Option<Coordinates>,
    /// All that the server had logged by then has been judged, by this machine's clock; `None`
    /// before it was first caught up with.
    #[serde(serialize_with = "maybe_time")]
    pub caught_up_at: Option<CommitTime>,
    /// The newest commit time shown.
    #[serde(serialize_with = "maybe_time")]
    pub newest: Option<CommitTime>,
    /// Seconds between commit and reading of the last transaction read.
    pub delay_seconds: Option<f64>,
    /// What it has shown of each node's transactions, its own too; in the order of names, and last
    /// those of servers that no node names, if there were any.
    pub shown: Vec<Shown>,
}

/// One setting of a server, as it was last asked.
#[derive(Serialize, Clone, PartialEq, Eq, Debug, Default)]
pub struct Check {
    /// The setting: `binlog_format`, `log_replica_updates`, `gtid_mode`, `row_image` or
    /// `row_metadata`.
    pub name: &'static str,
    /// It is as it has to be.
    pub ok: bool,
    /// What it is.
    pub found: String,
}

/// What a stream has shown of one origin's transactions.
#[derive(Serialize, Clone, PartialEq, Debug, Default)]
pub struct Shown {
    /// The origin; `None`: a server that no node names.
    pub origin: Option<String>,
    /// Transactions since this watch began.
    pub transactions: u64,
    /// GTID of the last of them.
    pub gtid: Option<String>,
    /// When it was committed.
    #[serde(serialize_with = "maybe_time")]
    pub committed_at: Option<CommitTime>,
}

/// What has become of one node's originals.
#[derive(Serialize, Clone, PartialEq, Debug, Default)]
pub struct OriginState {
    /// The node.
    pub node: String,
    /// Those that some stream has not shown yet.
    pub pending: usize,
    /// All that were committed up to then have been seen in all streams, and judged.
    #[serde(serialize_with = "maybe_time")]
    pub verified_until: Option<CommitTime>,
    /// Copies with the rows of their originals.
    pub identical: u64,
    /// Copies with other rows.
    pub differs: u64,
    /// Copies that could not be compared.
    pub unverifiable: u64,
}

fn time<S: Serializer>(time: &CommitTime, serializer: S) -> Result<S::Ok, S::Error> {
    rfc3339(*time).serialize(serializer)
}

fn maybe_time<S: Serializer>(time: &Option<CommitTime>, serializer: S) -> Result<S::Ok, S::Error> {
    time.map(rfc3339).serialize(serializer)
}

fn place<S: Serializer>(at: &Option<Coordinates>, serializer: S) -> Result<S::Ok, S::Error> {
    at.as_ref().map(super::record::coordinates_json).serialize(serializer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_places_are_told_as_in_findings() {
        let state = StreamState {
            at: Some(Coordinates { file: "a-bin.000001".into(), start: 4, end: 9 }),
            newest: Some(CommitTime::from_seconds(1)),
            ..StreamState::default()
        };
        let told = serde_json::to_value(&state).unwrap();
        assert_eq!(told["at"]["end"], 9);
        assert_eq!(told["newest"], "1970-01-01T00:00:01Z");
        assert!(told["caught_up_at"].is_null());
    }
}
