//! Transactions with neither GTID nor commit time (MySQL before 8.0, `gtid_mode=OFF`): told by
//! their origin's server id, the second of their last write, and their order within it.
//!
//! A copy has all three in common with its original: server id and second are repeated, and one
//! applier keeps the order. But a change that changed nothing leaves no copy, and a stream may
//! begin in the middle of a second. So a copy is looked for among the originals of its second that
//! were read and not passed, by what it wrote. What is found with such a name is possible.
//!
//! A copy that is read before its original is named by the order alone. So here, and nowhere else,
//! what is found may depend on which stream is read first.

use super::{Verifier, compare::digest, open::OpenId, rows::keys_of};
use crate::model::{Gtid, GtidSource, NodeIndex, Transaction};
use std::collections::BTreeSet;

const SECOND: u64 = 1_000_000;

/// Originals of one second that a copy is compared with.
const COMPARED_MAX: usize = 1_000;

impl Verifier {
    /// Names a transaction that its log does not name; `None` for one that has a name or needs
    /// none, and for a copy that is like no original of its second.
    pub(super) fn name_by_count(&self, node: NodeIndex, tx: &Transaction) -> Option<Gtid> {
        if tx.gtid.is_some() || tx.rows.is_empty() && tx.statements.is_empty() {
            return None;
        }
        let origin = self.nodes.by_server_id(tx.server_id)?;
        let source = GtidSource::Counted { server_id: tx.server_id };
        // Numbers begin with 1.
        let first = u64::try_from(tx.committed_at.micros).unwrap_or(0).max(1);
        let Some(number) = self.sources.known(&source) else {
            return Some(Gtid { source, sequence: first });
        };
        let stream = &self.streams[node.at()];
        let last = match origin == node {
            true => stream.own.get(&number).copied(),
            false => stream.shown.get(&number).map(|log| log.last().0),
        };
        let next = last.map_or(first, |last| first.max(last + 1));
        let sequence = match origin == node {
            true => next,
            false => self.original_like(number, next, tx)?,
        };
        Some(Gtid { source, sequence })
    }

    /// The number of a copy's original, from `next` on; `next` itself where no original of that
    /// second has been read.
    fn original_like(&self, source: usize, next: u64, tx: &Transaction) -> Option<u64> {
        let open = self.by_sequence.get(&source);
        let of_second = |id: &OpenId| self.open.get(*id).committed_at == tx.committed_at;
        let read = || {
            let numbers = next..next.saturating_add(SECOND);
            let open = open.into_iter().flat_map(move |open| open.range(numbers.clone()));
            open.filter(of_second).take(COMPARED_MAX)
        };
        let digest = digest(tx);
        let same = || read().find(|id| self.open.get(*id).digest == digest);
        let like = || {
            let keys =
                tx.rows.iter().flat_map(keys_of).map(|key| key.hash).collect::<BTreeSet<_>>();
            read().find(|id| !keys.is_empty() && self.wrote_all_of(*id, &keys))
        };
        match same().or_else(like) {
            Some(id) => Some(self.open.get(id).gtid.sequence),
            None => read().next().is_none().then_some(next),
        }
    }

    /// Whether an original wrote all rows that a copy wrote; an applier may pass over some.
    fn wrote_all_of(&self, id: OpenId, copied: &BTreeSet<u128>) -> bool {
        let touched = self.open.touches_of(id).map(|touch| touch.key);
        let both: BTreeSet<u128> = touched.filter(|key| copied.contains(key)).collect();
        both.len() == copied.len()
    }
}
