//! Rows of copies that came before their originals, as where two servers' clocks differ: an
//! original that was logged as statements may want them.

use super::{Verifier, shown::ShownLog};
use crate::model::{Gtid, NodeIndex, Transaction};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A copy, and the node in whose stream it stands.
type Kept = (NodeIndex, Transaction);

/// What it takes to find one, in bytes: in two trees whose nodes stand half full.
const PLACE_BYTES: usize =
    2 * (size_of::<(Gtid, (u64, Vec<Kept>))>() + size_of::<(u64, Gtid)>()) + size_of::<NodeIndex>();

/// Bytes that a copy takes.
fn bytes_of(copy: &Transaction) -> usize {
    PLACE_BYTES + copy.weight() + size_of_val(&*copy.tables)
}

/// Copies that show rows and whose originals were not observed.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct EarlyRows {
    /// By original: when the first came, and all.
    by_gtid: BTreeMap<Gtid, (u64, Vec<Kept>)>,
    order: BTreeMap<u64, Gtid>,
    came: u64,
    bytes: usize,
}

impl EarlyRows {
    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Keeps a copy; past the bound the oldest go.
    fn keep(&mut self, gtid: Gtid, node: NodeIndex, copy: &Transaction, bytes_max: usize) {
        if bytes_of(copy) > bytes_max {
            return;
        }
        self.came += 1;
        let kept = self.by_gtid.entry(gtid).or_insert_with(|| (self.came, Vec::new()));
        if kept.1.is_empty() {
            self.order.insert(self.came, gtid);
        }
        self.bytes += bytes_of(copy);
        // One, mostly, and a list that grows by itself begins with four.
        kept.1.reserve_exact(1);
        kept.1.push((node, copy.clone()));
        while self.bytes > bytes_max
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.take(&oldest);
        }
    }

    /// Forgets the copies of an original that is observed.
    pub(super) fn take(&mut self, gtid: &Gtid) {
        if self.by_gtid.is_empty() {
            return;
        }
        if let Some((came, copies)) = self.by_gtid.remove(gtid) {
            self.order.remove(&came);
            self.bytes -= copies.iter().map(|(_, copy)| bytes_of(copy)).sum::<usize>();
        }
    }

    /// Other rules count from here: the values that were read are those of the old ones.
    pub(super) fn forget_rule_values(&mut self) {
        for (_, copy) in self.by_gtid.values_mut().flat_map(|(_, copies)| copies) {
            self.bytes -= bytes_of(copy);
            copy.forget_rule_values();
            self.bytes += bytes_of(copy);
        }
    }
}

impl Verifier {
    /// Of the copies that were observed before this original, the one of the first node whose
    /// stream shows it with rows.
    pub fn rows_of_copy(&self, gtid: &Gtid) -> Option<(NodeIndex, &Transaction)> {
        let (_, copies) = self.early_rows.by_gtid.get(gtid)?;
        let copies = copies.iter().map(|(node, copy)| (*node, copy));
        copies.min_by_key(|(node, _)| *node)
    }

    /// Whether no copy of an original, not observed yet, comes in a stream any more: it has shown
    /// it, or passed it, or began after it.
    pub fn has_shown(&self, node: NodeIndex, gtid: &Gtid) -> bool {
        let has_passed = |log: &ShownLog| gtid.source.is_ordered() && log.last().0 >= gtid.sequence;
        let log = self.log_of(node, gtid);
        log.is_some_and(|log| log.has_waiting(gtid.sequence) || has_passed(log))
            || self.streams[node.at()].baseline.contains(gtid)
    }

    fn log_of(&self, node: NodeIndex, gtid: &Gtid) -> Option<&ShownLog> {
        self.streams[node.at()].shown.get(&self.sources.known(&gtid.source)?)
    }

    /// Whether what a stream shows under this GTID is of an old history, and passed over.
    pub fn is_passed_over(&self, node: NodeIndex, gtid: &Gtid) -> bool {
        self.streams[node.at()].old.contains(gtid)
    }

    /// Keeps the rows of a copy whose original is still to come.
    pub(super) fn keep_early_rows(&mut self, node: NodeIndex, gtid: &Gtid, tx: &Transaction) {
        let waits = |log: &ShownLog| log.awaits() && log.has_waiting(gtid.sequence);
        if self.log_of(node, gtid).is_some_and(waits) && tx.shows_rows() {
            let bytes_max = self.settings.early_rows_bytes_max();
            self.early_rows.keep(*gtid, node, tx, bytes_max);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{CommitTime, Coordinates, GtidSource, Operation, RowChange, RowState, Tag};

    fn gtid(sequence: u64) -> Gtid {
        Gtid { source: GtidSource::MySql { uuid: [0; 16], tag: Tag::default() }, sequence }
    }

    fn copy(sequence: u64) -> Transaction {
        let (before, after) = (RowState::Absent, RowState::Image(1));
        let operation = Operation::Insert;
        let row = RowChange { table: 0, operation, rule_values: None, keys: None, before, after };
        let at = Coordinates { file: "f".into(), start: 0, end: 0 };
        let empty = Transaction::empty(Some(gtid(sequence)), 1, at, CommitTime::default());
        Transaction { rows: vec![row], ..empty }
    }

    #[test]
    fn the_oldest_go_and_what_is_taken_leaves_room() {
        let (mut early, weight) = (EarlyRows::default(), bytes_of(&copy(0)));
        let keep = |early: &mut EarlyRows, sequence| {
            early.keep(gtid(sequence), NodeIndex(1), &copy(sequence), 3 * weight);
        };
        for sequence in 0..3 {
            keep(&mut early, sequence);
        }
        early.take(&gtid(1));
        assert_eq!((early.bytes(), early.order.len()), (2 * weight, 2));
        keep(&mut early, 3);
        keep(&mut early, 4);
        let kept: Vec<u64> = early.by_gtid.keys().map(|gtid| gtid.sequence).collect();
        assert_eq!((kept, early.bytes()), (vec![2, 3, 4], 3 * weight));
        for sequence in 0..5 {
            early.take(&gtid(sequence));
        }
        assert_eq!((early.bytes(), early.order.len()), (0, 0));
    }
}
