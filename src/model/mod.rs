//! The words every layer shares: data only, no decoding, no decisions, no I/O.
//!
//! **Architecture invariant.** `model` depends on nothing else in the crate.

mod applied;
mod coordinates;
mod finding;
mod gtid;
mod node;
mod ownership;
mod schema;
mod setting;
pub(crate) mod shared;
mod table;
mod time;
mod transaction;

pub use applied::Applied;
pub use coordinates::{Coordinates, file_number};
pub use finding::{
    Cause, Certainty, ConflictKind, Finding, FindingId, FindingKind, Healed, LastWrite, Outcome,
    OwnerRef, Severity, State, TransactionRef,
};
pub(crate) use gtid::parse_uuid;
pub use gtid::{Gtid, GtidSet, GtidSource, ParseGtidError, Tag};
pub use node::{NODES_MAX, Node, NodeIndex, Nodes};
pub use ownership::{
    Endpoint, OwnershipRule, RowOwnership, RowRule, RuleBody, Unlisted, ValuePattern,
};
pub use schema::{ColumnSchema, KeyPart, TableSchema, TableSchemas, UniqueSchema};
pub use setting::Setting;
pub use table::{Column, ColumnType, RowKey, Table, TableId, UniqueKey};
pub use time::CommitTime;
pub use transaction::{
    BlindSpot, BlindSpotReason, Definition, DefinitionEffect, Key, Operation, RowChange, RowState,
    RuleValue, Statement, StatementKind, Transaction, UniqueTake, XaStep, Xid,
};
