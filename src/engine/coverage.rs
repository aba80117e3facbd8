//! What was judged and what was not, counted.

use crate::model::{BlindSpotReason, CommitTime, NodeIndex, Operation};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The coverage of a run: silence is earned only for rows that were judged.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Coverage {
    /// Per node.
    pub streams: Vec<StreamCoverage>,
    /// Per table and origin: rows written by originals.
    pub tables: BTreeMap<(String, NodeIndex), TableCount>,
    /// Per origin: its transactions' copies, as they compare with the originals.
    pub compared: Vec<Compared>,
}

/// Copies compared with their originals.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Compared {
    /// The same rows, before and after.
    pub identical: u64,
    /// Other rows.
    pub differs: u64,
    /// One of them does not show its rows.
    pub unverifiable: u64,
}

/// One stream's share.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct StreamCoverage {
    /// Transactions first committed here.
    pub originals: u64,
    /// Transactions applied from other nodes.
    pub copies: u64,
    /// Transactions whose origin no node names.
    pub foreign: u64,
    /// Rows in originals.
    pub rows_seen: u64,
    /// Rows in originals that the order rule judged.
    pub rows_judged: u64,
    /// Rows, statements or events that were not judged, by reason.
    pub not_judged: BTreeMap<BlindSpotReason, u64>,
    /// Commit time of the first and the last transaction.
    pub span: Option<(CommitTime, CommitTime)>,
    /// Rows of the biggest transaction, and its GTID.
    pub biggest: Option<(u64, String)>,
}

/// Rows written to one table by one origin.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct TableCount {
    /// Rows inserted.
    pub inserts: u64,
    /// Rows updated.
    pub updates: u64,
    /// Rows deleted.
    pub deletes: u64,
}

impl Coverage {
    /// Counts a copy that was compared with its original; `None`: it cannot be.
    pub(super) fn compare(&mut self, origin: NodeIndex, same: Option<bool>) {
        let of = &mut self.compared[origin.at()];
        match same {
            Some(true) => of.identical += 1,
            Some(false) => of.differs += 1,
            None => of.unverifiable += 1,
        }
    }
}

impl TableCount {
    pub(super) fn add(&mut self, operation: Operation) {
        match operation {
            Operation::Insert => self.inserts += 1,
            Operation::Update => self.updates += 1,
            Operation::Delete => self.deletes += 1,
        }
    }
}

impl StreamCoverage {
    pub(super) fn meet(&mut self, when: CommitTime) {
        self.span = Some(match self.span {
            None => (when, when),
            Some((first, last)) => (first.min(when), last.max(when)),
        });
    }

    pub(super) fn missed(&mut self, reason: BlindSpotReason, count: u64) {
        *self.not_judged.entry(reason).or_default() += count;
    }
}
