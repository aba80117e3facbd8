//! Tables without a key: an update or a delete names its row by the whole image before.
//!
//! Appliers look for such a row by that image, too. Where both sides took the same one away, the
//! second finds nothing, unless there were two that are alike: the log does not tell, so a conflict
//! by whole rows is `possible`. Inserts clash with nothing there.

use super::open::KeyChange;
use crate::model::{Key, Operation, RowState, Transaction};
use hashbrown::HashMap;
use xxhash_rust::xxh3::xxh3_128_with_seed;

/// In the place of a unique key's number: the whole row.
pub(super) const WHOLE_ROW: u8 = u8::MAX;

/// What a transaction took away from tables without a key: the row's place, and the change. What it
/// made itself before is not among it.
pub(super) fn whole_row_changes(tx: &Transaction) -> Vec<(usize, KeyChange)> {
    let keyless = || tx.rows.iter().enumerate().filter(|(_, row)| row.keys.is_none());
    let mut changes = Vec::new();
    if keyless().all(|(_, row)| row.operation == Operation::Insert) {
        return changes;
    }
    let mut made: HashMap<u128, u32> = HashMap::new();
    for (at, row) in keyless() {
        let hash = |state: RowState| match state {
            RowState::Image(image) => Some(whole_row(tx, row.table, image)),
            RowState::Absent | RowState::Partial { .. } => None,
        };
        if let (true, Some(hash)) = (row.operation != Operation::Insert, hash(row.before)) {
            match made.get_mut(&hash).filter(|left| **left > 0) {
                Some(left) => *left -= 1,
                None => changes.push((at, taken(hash, row.table, [row.before, row.after]))),
            }
        }
        if let Some(hash) = hash(row.after) {
            *made.entry(hash).or_default() += 1;
        }
    }
    changes
}

fn taken(hash: u128, table: u32, states: [RowState; 2]) -> KeyChange {
    let key = Key { hash, start: 0, len: 0, spelling: 0 };
    KeyChange { key, table, states, moves: false, unique: WHOLE_ROW }
}

fn whole_row(tx: &Transaction, table: u32, image: u128) -> u128 {
    let id = tx.tables[table as usize].id.0 as u64;
    xxh3_128_with_seed(&image.to_le_bytes(), id ^ u64::from(WHOLE_ROW))
}
