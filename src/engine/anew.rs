//! Beginning anew: a node's log is not the one that was read, so nothing that is open can be
//! decided any more.
//!
//! The numbers of its transactions may come again and mean others. What other nodes have of the old
//! numbers counts as shown there before the new beginning, so of two transactions with one number
//! none is ever taken for the other; what is lost by that is what the node writes under old
//! numbers, and a blind spot says so.

use super::{Ownership, Report, Verifier};
use crate::model::{BlindSpotReason, CommitTime, Gtid, GtidSet, NodeIndex};

impl Verifier {
    /// Settles everything as it stands, and forgets all transactions: every stream begins again.
    /// What was counted stays.
    pub fn begin_anew(&mut self, out: &mut Vec<Report>) {
        for stream in &mut self.streams {
            // What it does not show proves nothing.
            stream.cut = true;
        }
        let tally = std::mem::take(&mut self.tally);
        self.finish(out);
        let settings = self.settings.clone();
        let mut fresh = Verifier::new(self.nodes.clone(), Ownership::default(), settings);
        fresh.rules = std::mem::take(&mut self.rules);
        for (fresh, old) in fresh.streams.iter_mut().zip(&self.streams) {
            fresh.copies_are_logged = old.copies_are_logged;
        }
        fresh.coverage = std::mem::take(&mut self.coverage);
        fresh.tally = tally;
        *self = fresh;
    }

    /// Says which transactions a node's stream may still show that are of an old history: they are
    /// passed over, each once.
    pub fn passes_over(&mut self, node: NodeIndex, old: GtidSet) {
        self.streams[node.at()].old.extend(&old);
    }

    /// Says what of a node was not read, and will not be.
    pub fn unread(
        &mut self,
        node: NodeIndex,
        detail: String,
        when: CommitTime,
        out: &mut Vec<Report>,
    ) {
        self.blind(node, BlindSpotReason::Gap, None, detail, 1, when, out);
    }

    /// Whether a node's server logs what it applies, as far as is known.
    pub fn logs_copies(&self, node: NodeIndex) -> bool {
        self.streams[node.at()].copies_are_logged
    }

    /// Says that a node's server logs what it applies, from here on.
    pub fn with_copies(&mut self, node: NodeIndex) {
        self.streams[node.at()].copies_are_logged = true;
    }

    /// A node's server goes by another UUID now.
    pub fn learn_uuid(&mut self, node: NodeIndex, uuid: [u8; 16]) {
        if !self.nodes[node].server_uuids.contains(&uuid) {
            self.nodes[node].server_uuids.push(uuid);
        }
    }
}

impl super::Stream {
    /// Whether a transaction is of an old history; it is once.
    pub(super) fn is_old(&mut self, gtid: &Gtid) -> bool {
        if !self.old.contains(gtid) {
            return false;
        }
        let mut passed = GtidSet::default();
        passed.add(gtid);
        self.old = self.old.minus(&passed);
        true
    }
}
