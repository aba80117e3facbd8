//! What may be held of one transaction, and what is past that.

use crate::model::{BlindSpot, BlindSpotReason, Transaction};

/// Tables of one transaction that are told apart. Servers have no bound; what comes past this one
/// is looked up among them, event by event.
pub(super) const TABLES_MAX: usize = 10_000;

/// Blind spots of one transaction that are told apart.
pub(super) const SPOTS_MAX: usize = 1_000;

/// What is said of rows that are counted, and not held.
pub(super) const PAST_BOUND: &str = "rows of huge transactions, past what is held of one: they \
                                     are counted, and not judged";

/// What is said of tables past [`TABLES_MAX`].
pub(super) const PAST_TABLES: &str = "row events of more tables than are held of one transaction";

/// What is said past [`SPOTS_MAX`].
pub(super) const PAST_SPOTS: &str = "more blind spots in one transaction than are told apart";

/// How much there is of all in a transaction that grows with rows.
#[derive(Clone, Copy)]
pub(super) struct Mark([usize; 4]);

impl Mark {
    pub(super) fn of(tx: &Transaction) -> Mark {
        Mark([tx.rows.len(), tx.key_bytes.len(), tx.rule_values.len(), tx.unique_takes.len()])
    }

    /// Takes back what has come since.
    pub(super) fn restore(self, tx: &mut Transaction) {
        let Mark([rows, key_bytes, rule_values, unique_takes]) = self;
        tx.rows.truncate(rows);
        tx.key_bytes.truncate(key_bytes);
        tx.rule_values.truncate(rule_values);
        tx.unique_takes.truncate(unique_takes);
    }
}

/// Bytes of all in a transaction that grows with rows.
pub(super) fn row_bytes(tx: &Transaction) -> usize {
    size_of_val(&*tx.rows)
        + tx.key_bytes.len()
        + size_of_val(&*tx.rule_values)
        + size_of_val(&*tx.unique_takes)
}

/// The room that a row event has.
///
/// Its rows are held as long as all of them fit; else none of them is, and they are counted. That
/// is found out row by row: a row may take one byte in the log and 200 in memory, so a whole event
/// of a gigabyte cannot be held first and taken back then.
pub(super) struct Room {
    /// Bytes that rows may take.
    pub(super) bytes_max: usize,
    /// Rows past that.
    pub(super) past: u64,
}

impl Room {
    pub(super) fn new(bytes_max: usize) -> Room {
        Room { bytes_max, past: 0 }
    }

    /// Takes the row that was just added; `mark` is where its event began.
    pub(super) fn take(&mut self, mark: Mark, tx: &mut Transaction) {
        if self.past > 0 {
            self.past += 1;
            mark.restore(tx);
        } else if row_bytes(tx) > self.bytes_max {
            self.past = (tx.rows.len() - mark.0[0]) as u64;
            mark.restore(tx);
        }
    }
}

/// Counts a blind spot of a transaction; past [`SPOTS_MAX`] only by its reason.
pub(super) fn add_spot(
    spots: &mut Vec<BlindSpot>,
    reason: BlindSpotReason,
    table: Option<String>,
    detail: &str,
    count: u64,
) {
    let is_full = spots.len() >= SPOTS_MAX;
    let place = |table: &Option<String>, detail: &str| {
        let same = |spot: &BlindSpot| {
            spot.reason == reason && spot.table == *table && spot.detail == detail
        };
        spots.iter().position(same)
    };
    let known = place(&table, detail);
    let (known, table, detail) = match is_full && known.is_none() {
        true => (place(&None, PAST_SPOTS), None, PAST_SPOTS),
        false => (known, table, detail),
    };
    match known {
        Some(at) => spots[at].count = spots[at].count.saturating_add(count),
        None => spots.push(BlindSpot { reason, table, detail: detail.to_owned(), count }),
    }
}
