//! Whole events of every type, table maps, and statements.

use super::super::framing::{Dialect, Streams, record};
use twinlog::binlog::event::{Format, Header, is_relay_log, kind, verify_checksum};

/// Input: a [`Dialect`], then records of an event's type, length and body.
pub fn events(data: &[u8]) {
    let Some((bits, mut rest)) = data.split_first() else { return };
    let _ = (Header::read(rest), Format::read(rest), is_relay_log(rest), verify_checksum(rest));
    let mut raw = Dialect::of(*bits).reader();
    let _ = raw.event(rest, 4);
    let mut streams = Streams::new(Dialect::of(*bits));
    while let Some((kind, body)) = record(&mut rest) {
        streams.take(kind, body);
    }
}

/// Input: a [`Dialect`], then the body of a table map after its id and flags.
pub fn table_map(data: &[u8]) {
    let Some((bits, map)) = data.split_first() else { return };
    let mut streams = Streams::new(Dialect::of(*bits));
    streams.take(kind::TABLE_MAP, &[&[9, 0, 0, 0, 0, 0, 1, 0], map].concat());
}

/// Input: a [`Dialect`], then a statement.
pub fn statement(data: &[u8]) {
    let Some((bits, text)) = data.split_first() else { return };
    let mut streams = Streams::new(Dialect::of(*bits));
    let head = [&[1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0][..], b"db\0"].concat();
    streams.take(kind::QUERY, &[&head, text].concat());
}
