//! Compressed transactions of MySQL, and compressed events of MariaDB.

use super::{
    super::framing::{Dialect, Streams, record},
    rows::{KINDS, gtid},
};
use twinlog::binlog::event::kind;

/// Input: a [`Dialect`], how the rest is to be taken, and the rest: the body of a payload event;
/// events as records, which are put into a payload plain or compressed; bytes that are compressed
/// as they are; or the body of a compressed event of MariaDB.
pub fn payload(data: &[u8]) {
    let Some((&[bits, how], rest)) = data.split_first_chunk::<2>() else { return };
    let dialect = Dialect::of(bits);
    let body = match how % 8 {
        0 => rest.to_vec(),
        1 => plain(&inner_events(rest)),
        2 => compressed(&inner_events(rest)),
        3 => compressed(rest),
        _ => Vec::new(),
    };
    let event_kind = match how % 8 {
        0..=3 => kind::TRANSACTION_PAYLOAD,
        4 => kind::QUERY_COMPRESSED,
        _ => KINDS[7 + usize::from(how >> 3) % 6],
    };
    let body = if how % 8 > 3 { rest } else { &body };
    let mut streams = Streams::new(dialect);
    let (gtid_kind, gtid) = gtid(dialect);
    streams.take(gtid_kind, &gtid);
    streams.take(event_kind, body);
    streams.take(kind::XID, &[0; 8]);
    assert!(streams.told.is_some(), "a transaction ends with its payload, or its XID");
}

fn inner_events(mut records: &[u8]) -> Vec<u8> {
    let dialect = Dialect { mariadb: false, checksums: false, plan: 0 };
    let mut events = Vec::new();
    while let Some((kind, body)) = record(&mut records) {
        events.extend(dialect.event(kind, body));
    }
    events
}

fn field(number: u8, value: usize) -> Vec<u8> {
    let mut bytes = vec![number, 9, 254];
    bytes.extend((value as u64).to_le_bytes());
    bytes
}

/// A payload that is not compressed.
pub fn plain(bytes: &[u8]) -> Vec<u8> {
    [&field(2, 255)[..], &field(3, bytes.len()), &field(1, bytes.len()), &[0], bytes].concat()
}

/// A payload that is.
pub fn compressed(bytes: &[u8]) -> Vec<u8> {
    let packed = zstd::encode_all(bytes, 1).expect("memory to memory");
    [&field(2, 0)[..], &field(3, bytes.len()), &field(1, packed.len()), &[0], &packed[..]].concat()
}
