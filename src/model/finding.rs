//! Findings: what twinlog reports.

use super::{BlindSpotReason, CommitTime, Coordinates, Gtid, NodeIndex, Operation, RowKey};
use serde::{Deserialize, Serialize};
use std::{fmt, sync::Arc};

/// A finding's identity: 128 bits derived from what it is about, the same in every run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct FindingId(pub u128);

impl fmt::Display for FindingId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// What kind of thing was found.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum FindingKind {
    /// An original writes a table that another node owns.
    TableOwnership,
    /// An original writes a row that another node owns.
    RowOwnership,
    /// Two originals of different origins touch one key in opposite order.
    WriteConflict,
    /// A handover: the key was written from both sides, in one order everywhere.
    SharedKey,
    /// A handover so quick that a little more lag makes it a conflict.
    NearConflict,
    /// A row whose last written image differs between streams.
    Divergence,
    /// A table's definition changed on one side, concurrent with writes to it or changes of it on
    /// the other.
    DdlConflict,
    /// A transaction that a stream should have shown and has not.
    MissingCopy,
    /// A transaction from a server that no node names.
    UnknownOrigin,
    /// A transaction logged again on its own origin, or circling.
    ReplicationLoop,
    /// Something could not be verified.
    BlindSpot,
}

impl FindingKind {
    /// All kinds, for metrics that start at zero.
    pub const ALL: [FindingKind; 11] = [
        FindingKind::TableOwnership,
        FindingKind::RowOwnership,
        FindingKind::WriteConflict,
        FindingKind::SharedKey,
        FindingKind::NearConflict,
        FindingKind::Divergence,
        FindingKind::DdlConflict,
        FindingKind::MissingCopy,
        FindingKind::UnknownOrigin,
        FindingKind::ReplicationLoop,
        FindingKind::BlindSpot,
    ];

    /// The word in findings, metrics and filters.
    pub fn as_str(self) -> &'static str {
        match self {
            FindingKind::TableOwnership => "table_ownership",
            FindingKind::RowOwnership => "row_ownership",
            FindingKind::WriteConflict => "write_conflict",
            FindingKind::SharedKey => "shared_key",
            FindingKind::NearConflict => "near_conflict",
            FindingKind::Divergence => "divergence",
            FindingKind::DdlConflict => "ddl_conflict",
            FindingKind::MissingCopy => "missing_copy",
            FindingKind::UnknownOrigin => "unknown_origin",
            FindingKind::ReplicationLoop => "replication_loop",
            FindingKind::BlindSpot => "blind_spot",
        }
    }

    /// Whether what is found may cease to hold: rows become equal again, a copy comes late.
    pub fn can_heal(self) -> bool {
        matches!(self, FindingKind::Divergence | FindingKind::MissingCopy)
    }

    /// The kind of that word.
    pub fn parse(word: &str) -> Option<FindingKind> {
        FindingKind::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// How much it matters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Wants a look.
    Warning,
    /// The masters differ, or will.
    Critical,
}

impl Severity {
    /// The word in findings, metrics and flags.
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Critical => "critical",
        }
    }

    /// The severity of that word.
    pub fn parse(word: &str) -> Option<Severity> {
        let all = [Severity::Info, Severity::Warning, Severity::Critical];
        all.into_iter().find(|severity| severity.as_str() == word)
    }
}

/// Whether the logs prove it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Certainty {
    /// Proved by the logs.
    Exact,
    /// The logs allow another reading.
    Possible,
}

/// Whether it still holds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum State {
    /// It holds, or cannot heal.
    Open,
    /// It does not hold any more.
    Healed,
    /// It holds, and somebody has taken note of it.
    Acknowledged,
}

impl State {
    /// The word in findings.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Open => "open",
            State::Healed => "healed",
            State::Acknowledged => "acknowledged",
        }
    }

    /// The state of that word.
    pub fn parse(word: &str) -> Option<State> {
        let all = [State::Open, State::Healed, State::Acknowledged];
        all.into_iter().find(|state| state.as_str() == word)
    }
}

/// What became of a conflict's row.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Outcome {
    /// Some side has not shown all transactions on the row yet.
    Pending,
    /// All sides have settled on one image of the row.
    Converged,
    /// All sides have settled, and the row's images differ.
    Diverged,
    /// An apply error holds replication, so that one side will not show the other's transaction.
    Stopped,
    /// All sides have settled, and what the logs show of the row does not tell.
    Unknown,
}

impl Outcome {
    /// The word in findings.
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Pending => "pending",
            Outcome::Converged => "converged",
            Outcome::Diverged => "diverged",
            Outcome::Stopped => "stopped",
            Outcome::Unknown => "unknown",
        }
    }
}

/// How a row came to differ between streams, as far as the logs tell.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Cause {
    /// The streams have its writes in different orders.
    Conflict,
    /// A stream shows no write of the row where its origin's does: it was skipped, filtered, or
    /// found the row missing.
    Skipped,
    /// A stream found the row other than it had left it: something changed it without the log.
    Drift,
    /// A copy wrote another image than its original.
    Applied,
}

impl Cause {
    /// The word in findings.
    pub fn as_str(self) -> &'static str {
        match self {
            Cause::Conflict => "conflict",
            Cause::Skipped => "skipped",
            Cause::Drift => "drift",
            Cause::Applied => "applied",
        }
    }
}

/// Where a stream last wrote a row.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LastWrite {
    /// The transaction that wrote it.
    pub gtid: Option<Gtid>,
    /// The node that transaction came from; `None` when no node names its server.
    pub origin: Option<NodeIndex>,
    /// True when it left no row.
    pub is_absent: bool,
    /// Where the stream shows it.
    pub coordinates: Coordinates,
}

/// How a finding ceased to hold.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Healed {
    /// Commit time of the transaction that healed it.
    pub at: CommitTime,
    /// That transaction.
    pub by: Option<Gtid>,
}

/// The operations of a conflict, the lower-numbered node's first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct ConflictKind(pub Operation, pub Operation);

impl fmt::Display for ConflictKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", self.0.as_str(), self.1.as_str())
    }
}

/// Who owns what was written, and which rule says so.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct OwnerRef {
    /// The owners; empty when the table is listed by no rule and writes to it are denied.
    pub nodes: Vec<NodeIndex>,
    /// The rule's number, from 1, and its tables; `None` for `defaults.unlisted_tables`.
    pub rule: Option<(usize, Vec<String>)>,
    /// For rows: the value belongs to another owner after the write than before.
    pub moves_row: bool,
}

/// One transaction in a finding, as the streams show it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TransactionRef {
    /// The node it came from; `None` when no node names its server.
    pub origin: Option<NodeIndex>,
    /// The server id in its GTID event.
    pub server_id: u32,
    /// Its identity.
    pub gtid: Option<Gtid>,
    /// What it did to the row, net: an insert that replaces a deleted row is an update.
    pub operation: Option<Operation>,
    /// Commit on the origin.
    pub committed_at: CommitTime,
    /// Per node, in their order: where its stream shows the transaction, if it does.
    pub coordinates: Vec<Option<Coordinates>>,
}

/// One thing that twinlog reports.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Finding {
    /// Identity.
    pub id: FindingId,
    /// Kind.
    pub kind: FindingKind,
    /// Severity.
    pub severity: Severity,
    /// Whether the logs prove it.
    pub certainty: Certainty,
    /// Whether it still holds.
    pub state: State,
    /// True when nothing that the streams show later can change this finding.
    pub settled: bool,
    /// `schema.table`.
    pub table: Option<String>,
    /// The row.
    pub key: Option<RowKey>,
    /// The unique key that `key` belongs to; `None` is the primary key.
    pub index: Option<Arc<str>>,
    /// For conflicts: the operations.
    pub conflict: Option<ConflictKind>,
    /// For conflicts: what became of the row.
    pub outcome: Option<Outcome>,
    /// For divergences: how it came to be.
    pub cause: Option<Cause>,
    /// For divergences, per node in their order: where its stream last wrote the row; `None` where
    /// the row stands as it was before. Empty for other kinds.
    pub last_written: Vec<Option<LastWrite>>,
    /// For what can heal, once it has: how.
    pub healed: Option<Healed>,
    /// For ownership: owner and rule.
    pub owner: Option<OwnerRef>,
    /// For what is about one stream: which.
    pub node: Option<NodeIndex>,
    /// For blind spots: why.
    pub reason: Option<BlindSpotReason>,
    /// For what is about one stream: what exactly, for a person; never a row's value.
    pub detail: Option<String>,
    /// How many events, rows or transactions it stands for; 1 where it is about one.
    pub count: u64,
    /// The transactions it is about, in the order of their origins.
    pub transactions: Vec<TransactionRef>,
    /// Findings of one kind, table and transaction (or pair) share a group.
    pub group: FindingId,
    /// Rows of the group past its limit, counted here on its last finding.
    pub more: u64,
    /// Commit time of the transaction that made it a finding.
    pub first_seen: CommitTime,
    /// Commit time of the newest transaction it is about.
    pub last_seen: CommitTime,
}

impl Finding {
    /// A finding that says no more than what it is: exact, open, a group of its own, about no table
    /// and no transaction.
    pub fn new(id: FindingId, kind: FindingKind, severity: Severity) -> Finding {
        Finding {
            id,
            kind,
            severity,
            certainty: Certainty::Exact,
            state: State::Open,
            settled: false,
            table: None,
            key: None,
            index: None,
            conflict: None,
            outcome: None,
            cause: None,
            last_written: Vec::new(),
            healed: None,
            owner: None,
            node: None,
            reason: None,
            detail: None,
            count: 1,
            transactions: Vec::new(),
            group: id,
            more: 0,
            first_seen: CommitTime::default(),
            last_seen: CommitTime::default(),
        }
    }
}
