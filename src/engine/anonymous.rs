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
const COUNTED: &str = "neither GTIDs nor commit times (MySQL before 8.0 with gtid_mode=OFF, \
                       MariaDB before 10.0): transactions are told by server id, second and \
                       order, so conflicts and divergences are possible ones, and may be missed \
                       where many are committed in one second";
const AHEAD: &str = "transactions with neither GTID nor commit time, whose times are long before \
                     those of earlier ones (a clock was set back, or TIMESTAMP was set?): only \
                     their order tells their copies";
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
        if highest.is_none() && gtid.source.is_counted() {
            self.blind(node, reason, None, COUNTED.to_owned(), 1, tx.committed_at, out);
        } else if gtid.source.is_counted() && is_far_ahead(gtid.sequence, tx) {
            self.blind(node, reason, None, AHEAD.to_owned(), 1, tx.committed_at, out);
        } else if highest.is_none() {
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

/// Whether a count has left the second that it began with by more than long statements explain:
/// then no second sets it right again.
fn is_far_ahead(number: u64, tx: &Transaction) -> bool {
    const FAR_MICROS: u64 = 600_000_000;
    let second = u64::try_from(tx.committed_at.micros).unwrap_or(0);
    number > second.saturating_add(FAR_MICROS)
}
