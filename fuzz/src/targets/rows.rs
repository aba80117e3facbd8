//! Row events, with the table map that they refer to.

use super::super::framing::{Dialect, Streams};
use twinlog::binlog::event::kind;

/// The types of row events.
pub const KINDS: [u8; 13] = [
    kind::WRITE_ROWS_V1,
    kind::UPDATE_ROWS_V1,
    kind::DELETE_ROWS_V1,
    kind::WRITE_ROWS,
    kind::UPDATE_ROWS,
    kind::DELETE_ROWS,
    kind::PARTIAL_UPDATE_ROWS,
    kind::WRITE_ROWS_COMPRESSED_V1,
    kind::UPDATE_ROWS_COMPRESSED_V1,
    kind::DELETE_ROWS_COMPRESSED_V1,
    kind::WRITE_ROWS_COMPRESSED,
    kind::UPDATE_ROWS_COMPRESSED,
    kind::DELETE_ROWS_COMPRESSED,
];

const TABLE: [u8; 8] = [9, 0, 0, 0, 0, 0, 1, 0];

/// Input: a [`Dialect`], the place of the type in [`KINDS`], the length of the table map (2 bytes),
/// the map and the row event, both after their table id and flags.
pub fn rows(data: &[u8]) {
    let Some((&[bits, event_kind, low, high], rest)) = data.split_first_chunk::<4>() else {
        return;
    };
    let length = usize::from(u16::from_le_bytes([low, high])).min(rest.len());
    let (map, body) = rest.split_at(length);
    let dialect = Dialect::of(bits);
    let mut streams = Streams::new(dialect);
    let (gtid_kind, gtid) = gtid(dialect);
    streams.take(gtid_kind, &gtid);
    streams.take(kind::TABLE_MAP, &[&TABLE, map].concat());
    let event_kind = KINDS[usize::from(event_kind) % KINDS.len()];
    streams.take(event_kind, &[&TABLE, body].concat());
    streams.take(kind::XID, &[0; 8]);
    assert!(streams.told.is_some(), "a transaction ends with its XID");
}

/// The event that begins a transaction.
pub fn gtid(dialect: Dialect) -> (u8, Vec<u8>) {
    match dialect.mariadb {
        true => (kind::MARIADB_GTID, [&9_u64.to_le_bytes()[..], &[0; 11]].concat()),
        false => (kind::GTID, [&[0; 17][..], &9_u64.to_le_bytes()].concat()),
    }
}
