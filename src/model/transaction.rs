//! A transaction as facts: what the engine needs to judge it, and no more.

use super::{CommitTime, Coordinates, Gtid, Table, shared};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What a row event did to a row.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Operation {
    /// Absent before, present after.
    Insert,
    /// Present before and after.
    Update,
    /// Present before, absent after.
    Delete,
}

impl Operation {
    /// The word in findings and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Operation::Insert => "insert",
            Operation::Update => "update",
            Operation::Delete => "delete",
        }
    }
}

/// A row's primary key within [`Transaction::key_bytes`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Key {
    /// XXH3-128 of the table's id, a unique key's name, and the canonical key bytes (see
    /// [`super::RowKey`]) as the columns' collations compare them.
    pub hash: u128,
    /// First byte in [`Transaction::key_bytes`].
    pub start: u32,
    /// Number of bytes.
    pub len: u32,
    /// 0 where equal keys have equal hashes, and the other way round. Else the hash stands for
    /// all keys that the column's collation may take for equal, and this is a hash of the very
    /// bytes: keys that differ in it may be two.
    pub spelling: u16,
}

/// What is known of a row at one moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum RowState {
    /// There is no such row.
    Absent,
    /// All columns that are compared are known; a hash of their values.
    Image(u128),
    /// The image leaves columns out.
    Partial {
        /// A hash of which columns are known.
        columns: u32,
        /// A hash of their values.
        values: u32,
    },
}

/// A unique value, other than the primary key, that a row takes: by an insert, or by an update
/// that changes it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct UniqueTake {
    /// Place in [`Transaction::rows`].
    pub row: u32,
    /// Place in [`super::Table::unique_keys`].
    pub index: u16,
    /// The value. No column of it is NULL: such rows never clash.
    pub key: Key,
}

/// One row of a row event.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RowChange {
    /// Place in [`Transaction::tables`].
    pub table: u32,
    /// What happened.
    pub operation: Operation,
    /// Place in [`Transaction::rule_values`] of the two values, before and after, of the column
    /// that a row ownership rule asks for.
    pub rule_values: Option<u32>,
    /// Key before and after; `None` in a table without a known key. An insert repeats its key in
    /// both places, and so does a delete.
    pub keys: Option<[Key; 2]>,
    /// The row before.
    pub before: RowState,
    /// The row after.
    pub after: RowState,
}

/// A column's value, decoded because a row ownership rule asks for it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum RuleValue {
    /// The row is absent (before an insert, after a delete), so there is nothing to judge.
    NoRow,
    /// The image leaves the column out.
    NotLogged,
    /// SQL NULL.
    Null,
    /// An integer of any width and sign.
    Int(i128),
    /// Text, decoded from its character set.
    Text(String),
    /// A type that no rule can judge.
    Unsupported,
}

/// A statement logged as text.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Statement {
    /// The database it ran in.
    pub schema: String,
    /// Its text; bytes that are no UTF-8 are replaced.
    pub text: String,
    /// What it does to rows and tables.
    pub kind: StatementKind,
}

/// What a logged statement does.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum StatementKind {
    /// Writes rows that the log does not show, to these tables (`schema`, `name`); empty when
    /// they cannot be told.
    Rows(Vec<(String, String)>),
    /// The same, and the rows that its transaction has are those that a copy of it shows: see
    /// [`Transaction::take_rows_of`].
    ShownRows(Vec<(String, String)>),
    /// Makes, changes, empties or drops these tables; empty when they cannot be told.
    Definition(Vec<Definition>),
    /// Changes no row and no table: GRANT, FLUSH, ANALYZE, views, triggers.
    Other,
}

impl StatementKind {
    /// Whether all rows that were there before it are there after it, as they were.
    pub fn changes_no_rows(&self) -> bool {
        let creates = |definition: &Definition| definition.effect == DefinitionEffect::Creates;
        match self {
            StatementKind::Rows(_) | StatementKind::ShownRows(_) => false,
            StatementKind::Definition(tables) => !tables.is_empty() && tables.iter().all(creates),
            StatementKind::Other => true,
        }
    }
}

/// What a statement does to one table.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Definition {
    /// Its database.
    pub schema: String,
    /// Its name; `None` for all tables of the database.
    pub name: Option<String>,
    /// What becomes of it.
    pub effect: DefinitionEffect,
}

/// What becomes of a table.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum DefinitionEffect {
    /// It is made, where there was none: CREATE.
    Creates,
    /// Its rows stay, in another form or under another name: ALTER, RENAME.
    Changes,
    /// Its rows are gone: TRUNCATE, DROP, CREATE OR REPLACE.
    Empties,
}

/// Why something could not be verified.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum BlindSpotReason {
    /// Rows were written by a statement logged as text.
    StatementFormat,
    /// The log names no primary key for the table.
    NoKey,
    /// Part of a stream is missing.
    Gap,
    /// An event of a kind that is not read.
    UnsupportedEvent,
    /// A row event without a usable table map.
    NoTableMap,
    /// The stream shows no copies (`log_replica_updates=OFF`, or replication never ran).
    NoCopies,
    /// Row images leave out columns that a rule needs.
    PartialImage,
    /// A limit of twinlog's own was reached.
    BoundReached,
    /// A rule names a column that the log does not name.
    NoColumn,
    /// A row ownership rule names no owner for a value.
    NoOwner,
    /// Transactions without GTIDs: what came before a stream, or which copy is whose, is not known.
    Anonymous,
    /// An XA transaction, prepared and committed apart.
    Xa,
    /// The server reports that it lost events.
    Incident,
    /// A node whose stream is not read.
    NoStream,
    /// A table's columns differ between nodes, so that its rows cannot be compared.
    LayoutDiffers,
    /// A statement makes, changes or drops a table, and its text does not tell which.
    UnparsedDefinition,
    /// The schema that is known of a table is not that of its rows in the log.
    StaleSchema,
}

impl BlindSpotReason {
    /// All reasons, for metrics that start at zero.
    pub const ALL: [BlindSpotReason; 17] = [
        BlindSpotReason::StatementFormat,
        BlindSpotReason::NoKey,
        BlindSpotReason::Gap,
        BlindSpotReason::UnsupportedEvent,
        BlindSpotReason::NoTableMap,
        BlindSpotReason::NoCopies,
        BlindSpotReason::PartialImage,
        BlindSpotReason::BoundReached,
        BlindSpotReason::NoColumn,
        BlindSpotReason::NoOwner,
        BlindSpotReason::Anonymous,
        BlindSpotReason::Xa,
        BlindSpotReason::Incident,
        BlindSpotReason::NoStream,
        BlindSpotReason::LayoutDiffers,
        BlindSpotReason::UnparsedDefinition,
        BlindSpotReason::StaleSchema,
    ];

    /// Whether there may be writes to rows that the transaction does not show. Else its rows are
    /// all there, and only something about them could not be judged.
    pub fn hides_rows(self) -> bool {
        use BlindSpotReason::{NoColumn, NoKey, PartialImage, StaleSchema};
        !matches!(self, NoColumn | NoKey | PartialImage | StaleSchema)
    }

    /// The word in findings and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            BlindSpotReason::StatementFormat => "statement_format",
            BlindSpotReason::NoKey => "no_key",
            BlindSpotReason::Gap => "gap",
            BlindSpotReason::UnsupportedEvent => "unsupported_event",
            BlindSpotReason::NoTableMap => "no_table_map",
            BlindSpotReason::NoCopies => "no_copies",
            BlindSpotReason::PartialImage => "partial_image",
            BlindSpotReason::BoundReached => "bound_reached",
            BlindSpotReason::NoColumn => "no_column",
            BlindSpotReason::NoOwner => "no_owner",
            BlindSpotReason::Anonymous => "anonymous",
            BlindSpotReason::Xa => "xa",
            BlindSpotReason::Incident => "incident",
            BlindSpotReason::NoStream => "no_stream",
            BlindSpotReason::LayoutDiffers => "layout_differs",
            BlindSpotReason::UnparsedDefinition => "unparsed_definition",
            BlindSpotReason::StaleSchema => "stale_schema",
        }
    }
}

/// Something in a stream that could not be read as rows.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct BlindSpot {
    /// Why.
    pub reason: BlindSpotReason,
    /// `schema.table`, where it is known.
    pub table: Option<String>,
    /// What exactly, for a person; never a row's value.
    pub detail: String,
    /// How many events, rows or statements it stands for.
    pub count: u64,
}

/// A transaction as one stream shows it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Transaction {
    /// Its identity; `None` where the log has neither a GTID nor a commit time.
    pub gtid: Option<Gtid>,
    /// The `server_id` in its GTID event: its origin's, on originals and copies alike.
    pub server_id: u32,
    /// Where it stands in this stream.
    pub coordinates: Coordinates,
    /// Commit on the origin.
    pub committed_at: CommitTime,
    /// Commit on the server whose stream this is, where the log carries it (MySQL 8).
    pub logged_at: Option<CommitTime>,
    /// The tables its rows belong to.
    #[serde(with = "shared::list")]
    pub tables: Vec<Arc<Table>>,
    /// Its row changes in log order.
    pub rows: Vec<RowChange>,
    /// The canonical key bytes that [`Key`] points into.
    pub key_bytes: Vec<u8>,
    /// Values for row ownership rules.
    pub rule_values: Vec<RuleValue>,
    /// Unique values that its rows take.
    pub unique_takes: Vec<UniqueTake>,
    /// Statements logged as text.
    pub statements: Vec<Statement>,
    /// What could not be read.
    pub blind_spots: Vec<BlindSpot>,
    /// The step of an XA transaction that it is.
    pub xa: Option<XaStep>,
}

/// A step of an XA transaction that is prepared by one transaction in the log and ended by another.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum XaStep {
    /// Its rows are here; they take effect where it is committed, if it is.
    Prepares(Xid),
    /// Its rows take effect here.
    Commits(Xid),
    /// Its rows never took effect.
    RollsBack(Xid),
}

/// The name of an XA transaction, unique among those that are prepared on a server.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Xid {
    /// `formatID`.
    pub format: u32,
    /// `gtrid`, at most 64 bytes.
    pub global: Vec<u8>,
    /// `bqual`, at most 64 bytes.
    pub branch: Vec<u8>,
}

impl Transaction {
    /// One that does nothing.
    pub fn empty(
        gtid: Option<Gtid>,
        server_id: u32,
        coordinates: Coordinates,
        committed_at: CommitTime,
    ) -> Transaction {
        Transaction {
            gtid,
            server_id,
            coordinates,
            committed_at,
            logged_at: None,
            tables: Vec::new(),
            rows: Vec::new(),
            key_bytes: Vec::new(),
            rule_values: Vec::new(),
            unique_takes: Vec::new(),
            statements: Vec::new(),
            blind_spots: Vec::new(),
            xa: None,
        }
    }

    /// The canonical bytes of a key.
    pub fn key_bytes_of(&self, key: &Key) -> &[u8] {
        let start = key.start as usize;
        &self.key_bytes[start..start + key.len as usize]
    }

    /// Bytes that it takes in memory, what its tables take not counted.
    pub fn weight(&self) -> usize {
        let texts = |statement: &Statement| statement.text.len() + statement.schema.len();
        size_of::<Transaction>()
            + size_of_val(&*self.rows)
            + self.key_bytes.len()
            + size_of_val(&*self.rule_values)
            + size_of_val(&*self.unique_takes)
            + size_of_val(&*self.statements)
            + self.statements.iter().map(texts).sum::<usize>()
            + size_of_val(&*self.blind_spots)
    }

    /// Whether it may write rows that it does not show.
    pub fn hides_rows(&self) -> bool {
        let writes = |statement: &Statement| {
            matches!(statement.kind, StatementKind::Rows(_) | StatementKind::ShownRows(_))
        };
        let hides = self.blind_spots.iter().any(|spot| spot.reason.hides_rows());
        hides || self.statements.iter().any(writes)
    }

    /// Whether all its rows were written by statements, so that only copies may show them. One that
    /// has rows of its own beside (MIXED) keeps these.
    pub fn wants_rows(&self) -> bool {
        let writes = |statement: &Statement| matches!(statement.kind, StatementKind::Rows(_));
        let is_whole = self.xa.is_none() && self.gtid.is_some() && self.rows.is_empty();
        is_whole && self.statements.iter().any(writes)
    }

    /// Whether its rows can stand for those of an original that [wants rows][Self::wants_rows].
    pub fn shows_rows(&self) -> bool {
        self.xa.is_none() && !self.rows.is_empty() && !self.hides_rows()
    }

    /// Takes the rows of a copy, which a node with `binlog_format=ROW` logs of a statement that it
    /// applies (measured, MariaDB 10.11 and MySQL 9.7). They are what the statement wrote on the
    /// copy's node; on its own node it may have found others.
    pub fn take_rows_of(&mut self, copy: &Transaction) {
        for statement in &mut self.statements {
            if let StatementKind::Rows(tables) = &mut statement.kind {
                statement.kind = StatementKind::ShownRows(std::mem::take(tables));
            }
        }
        self.tables.clone_from(&copy.tables);
        self.key_bytes.clone_from(&copy.key_bytes);
        self.rule_values.clone_from(&copy.rule_values);
        self.unique_takes.clone_from(&copy.unique_takes);
        self.rows.clone_from(&copy.rows);
    }

    /// Forgets the values that were read for rules: other rules count.
    pub fn forget_rule_values(&mut self) {
        self.rule_values.clear();
        self.rows.iter_mut().for_each(|row| row.rule_values = None);
    }

    /// Whether its rows are those that a copy shows.
    pub fn has_rows_of_copy(&self) -> bool {
        let shown = |statement: &Statement| matches!(statement.kind, StatementKind::ShownRows(_));
        self.statements.iter().any(shown)
    }

    /// True when it changes nothing that the log shows: MySQL logs such copies.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.statements.is_empty() && self.blind_spots.is_empty()
    }
}
