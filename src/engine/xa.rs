//! XA transactions that are prepared in one place of a stream and ended in another.
//!
//! The rows are logged where it is prepared, under a GTID of their own, and take effect where it is
//! committed, under another one. Their locks are held in between, so no other write of theirs lies
//! between the two. So the first counts as a transaction without rows, and the second as one that
//! has them. A copy is logged in the same two steps.

use super::{Verifier, held::Held};
use crate::model::{BlindSpot, BlindSpotReason, NodeIndex, Transaction, XaStep, Xid};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What is prepared in one stream, and not ended.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct Prepared {
    by_name: BTreeMap<Xid, Transaction>,
    bytes: usize,
}

/// What is said of rows that are not known where they take effect.
const BEFORE: &str = "rows of XA transactions that were prepared before the stream begins, or in \
                      a part of it that is missing";
const PAST_BOUND: &str = "rows of XA transactions that are prepared, past what is held of them";

impl Prepared {
    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    fn keep(&mut self, xid: Xid, tx: Transaction) {
        drop(self.take(&xid));
        self.bytes += tx.weight();
        self.by_name.insert(xid, tx);
    }

    fn take(&mut self, xid: &Xid) -> Option<Transaction> {
        let tx = self.by_name.remove(xid)?;
        self.bytes -= tx.weight();
        Some(tx)
    }

    /// Other rules count from here: the values that were read are those of the old ones.
    pub(super) fn forget_rule_values(&mut self) {
        for tx in self.by_name.values_mut() {
            self.bytes -= tx.weight();
            tx.forget_rule_values();
            self.bytes += tx.weight();
        }
    }
}

impl Verifier {
    /// A step of an XA transaction as it is judged.
    pub(super) fn xa_step(
        &mut self,
        node: NodeIndex,
        tx: &Transaction,
        step: &XaStep,
    ) -> Transaction {
        let bytes_max = self.settings.memory_bytes / 16;
        let prepared = &mut self.streams[node.at()].prepared;
        let judged = match step {
            XaStep::Prepares(xid) => {
                let is_held = prepared.bytes + tx.weight() <= bytes_max;
                prepared.keep(xid.clone(), if is_held { tx.clone() } else { too_much(tx) });
                without_content(tx)
            }
            XaStep::Commits(xid) => match prepared.take(xid) {
                Some(content) => Transaction {
                    gtid: tx.gtid,
                    server_id: tx.server_id,
                    coordinates: tx.coordinates.clone(),
                    committed_at: tx.committed_at,
                    logged_at: tx.logged_at,
                    ..content
                },
                None => with_blind_spot(tx, BEFORE),
            },
            XaStep::RollsBack(xid) => {
                drop(prepared.take(xid));
                tx.clone()
            }
        };
        self.held.prepared = self.streams.iter().map(|stream| stream.prepared.bytes()).sum();
        Transaction { xa: None, ..judged }
    }
}

impl Held {
    /// Counts what is prepared, after the memory was read back.
    pub(super) fn count_prepared<'s>(&mut self, of: impl Iterator<Item = &'s Prepared>) {
        self.prepared = of.map(Prepared::bytes).sum();
    }
}

/// Nothing but where it stands.
fn without_content(tx: &Transaction) -> Transaction {
    let at = tx.coordinates.clone();
    Transaction {
        logged_at: tx.logged_at,
        ..Transaction::empty(tx.gtid, tx.server_id, at, tx.committed_at)
    }
}

fn with_blind_spot(tx: &Transaction, detail: &str) -> Transaction {
    let mut tx = without_content(tx);
    let (reason, detail) = (BlindSpotReason::Xa, detail.to_owned());
    tx.blind_spots.push(BlindSpot { reason, table: None, detail, count: 1 });
    tx
}

/// One that is not held: by table, how many rows it had.
fn too_much(tx: &Transaction) -> Transaction {
    let mut left = without_content(tx);
    // These are few, and what a statement writes no row tells.
    left.statements.clone_from(&tx.statements);
    left.blind_spots.clone_from(&tx.blind_spots);
    for (at, table) in tx.tables.iter().enumerate() {
        let count = tx.rows.iter().filter(|row| row.table as usize == at).count() as u64;
        let (reason, detail) = (BlindSpotReason::BoundReached, PAST_BOUND.to_owned());
        let table = Some(table.full_name());
        left.blind_spots.push(BlindSpot { reason, table, detail, count: count.max(1) });
    }
    left
}
