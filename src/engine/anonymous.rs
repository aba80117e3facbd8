//! Transactions without GTIDs (MySQL, `gtid_mode=OFF`): told by their origin's server id and the
//! time of their commit there, which their copies repeat.
//!
//! Servers log them in the order of these times, on the origin and, with
//! `replica_preserve_commit_order` (the default since 8.0.27) or one applier, everywhere; a change
//! that changed nothing is not logged (MySQL 9.7). So they are judged as MariaDB's numbers are,
//! with one difference: no file's head says what came before it.

use super::{Report, Seen, Verifier};
use crate::model::{BlindSpotReason, GtidSet, Transaction};

const NO_HEAD: &str = "no GTIDs (gtid_mode=OFF): transactions are told by server id and commit \
                       time; what was applied before this stream's first of them is not known";
const NOT_RISING: &str = "transactions without a GTID whose commit times do not rise (a clock was \
                          set back?): their copies cannot be told, and they are not judged";
const OUT_OF_ORDER: &str = "copies without a GTID that are not in the order of their commits \
                            (replica_preserve_commit_order=OFF?): conflicts with what came in \
                            between may be missed";

impl Verifier {
    /// Whether a transaction can be told from others by its commit time; says what cannot.
    pub(super) fn takes_anonymous(
        &mut self,
        seen: Seen,
        tx: &Transaction,
        out: &mut Vec<Report>,
    ) -> bool {
        let Seen { node, origin, gtid, source, .. } = seen;
        let stream = &self.streams[node.at()];
        let is_own = origin == node;
        let highest = match is_own {
            true => stream.own.get(&source).copied(),
            false => stream.shown.get(&source).map(|log| log.last().0),
        };
        self.close_anonymous_gap(seen, highest, out);
        let stream = &mut self.streams[node.at()];
        let rises = highest.is_none_or(|highest| highest < gtid.sequence);
        if is_own && highest.is_none() {
            // Its own come in order: all of them before the first came before the stream.
            stream.baseline.add_range(gtid.source, 0, gtid.sequence - 1);
            let mut before = GtidSet::default();
            before.add_range(gtid.source, 0, gtid.sequence - 1);
            self.give_up_originals(node, &before, 0);
        }
        let reason = BlindSpotReason::Anonymous;
        if highest.is_none() {
            self.blind_lightly(node, reason, None, NO_HEAD, 1, tx.committed_at, out);
        }
        if !rises {
            let detail = if is_own { NOT_RISING } else { OUT_OF_ORDER };
            let rows = tx.rows.len().max(1) as u64;
            self.blind(node, reason, None, detail.to_owned(), rows, tx.committed_at, out);
        }
        rises
    }
}
