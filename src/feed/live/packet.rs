//! Events as they arrive: back to the bytes of the file, and where they stand in it.

use crate::binlog::event::{HEADER_BYTES, Header, kind, verify_checksum};
use mysql_async::binlog::events::Event;
use std::sync::Arc;

/// Set on events that the server makes up for the stream and that are in no file.
const ARTIFICIAL: u16 = 0x20;

/// Puts an event together again as the server sent it.
///
/// The client library splits events; its own writer would compute the checksum afresh, and a
/// broken event would come out whole.
pub(super) fn whole_event(event: &Event, bytes: &mut Vec<u8>) {
    let header = event.header();
    bytes.clear();
    bytes.reserve(header.event_size() as usize);
    bytes.extend(header.timestamp().to_le_bytes());
    bytes.push(header.event_type_raw());
    bytes.extend(header.server_id().to_le_bytes());
    bytes.extend(header.event_size().to_le_bytes());
    bytes.extend(header.log_pos().to_le_bytes());
    bytes.extend(header.flags_raw().to_le_bytes());
    bytes.extend_from_slice(event.data());
    if header.event_type_raw() == kind::FORMAT_DESCRIPTION
        && let Ok(Some(algorithm)) = event.footer().get_checksum_alg()
    {
        bytes.push(algorithm as u8);
    }
    bytes.extend(event.checksum().unwrap_or_default().iter().take(missing(bytes)));
}

/// How many bytes the header promises beyond those that are there.
fn missing(bytes: &[u8]) -> usize {
    let promised = Header::read(bytes).map_or(0, |header| header.event_bytes as usize);
    promised.saturating_sub(bytes.len())
}

/// What an event is to the stream.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Arrival {
    /// It is in the file, at this offset.
    Logged(u64),
    /// The server goes on in this file, at this offset.
    Enter(String, u64),
    /// The server has nothing to send.
    Heartbeat,
    /// It is in no file, or holds nothing for the reader.
    Ignore,
}

/// Where in the server's files the stream is.
#[derive(Debug)]
pub(super) struct Place {
    file: Arc<str>,
    /// Where the next event begins, if none was left out before it.
    offset: u64,
    /// The client library follows a compressed transaction with the events in it, which the
    /// server did not send: they run up to the next event that cannot be in a transaction.
    in_payload: bool,
}

impl Default for Place {
    fn default() -> Self {
        Place { file: Arc::from(""), offset: 0, in_payload: false }
    }
}

impl Place {
    pub(super) fn file(&self) -> &Arc<str> {
        &self.file
    }

    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    pub(super) fn enter(&mut self, file: &str, offset: u64) {
        if *self.file != *file {
            self.file = Arc::from(file);
        }
        self.offset = offset;
    }

    /// Takes the next event, whole, and says what it is; a logged one moves the place past it.
    pub(super) fn arrival(&mut self, bytes: &[u8]) -> Arrival {
        let Ok(header) = Header::read(bytes) else { return Arrival::Ignore };
        if self.in_payload && may_be_in_payload(header.kind) {
            return Arrival::Ignore;
        }
        self.in_payload = header.kind == kind::TRANSACTION_PAYLOAD;
        let artificial = header.flags & ARTIFICIAL != 0;
        match header.kind {
            kind::HEARTBEAT | kind::HEARTBEAT_V2 => return Arrival::Heartbeat,
            kind::ROTATE if artificial || header.log_position == 0 => {
                return read_rotate(bytes)
                    .map_or(Arrival::Ignore, |(file, offset)| Arrival::Enter(file, offset));
            }
            kind::FORMAT_DESCRIPTION => {
                // It is sent first wherever the stream begins, and is at the head of its file.
                self.offset = self.offset.max(4 + bytes.len() as u64);
                return Arrival::Logged(4);
            }
            _ if artificial => return Arrival::Ignore,
            // GTID events know their place. Between transactions the server leaves out what was
            // not asked for, so there the sum of the lengths falls behind.
            kind::GTID | kind::ANONYMOUS_GTID | kind::GTID_TAGGED | kind::MARIADB_GTID => {
                self.offset = offset_of(&header, self.offset);
            }
            _ => {}
        }
        let offset = self.offset;
        self.offset += bytes.len() as u64;
        // The server decrypts what it sends, and marks where encryption began all the same.
        if header.kind == kind::START_ENCRYPTION {
            return Arrival::Ignore;
        }
        Arrival::Logged(offset)
    }
}

/// Where an event begins, given where it begins at the earliest: the header has the end modulo
/// 4 GiB, or 0.
fn offset_of(header: &Header, earliest: u64) -> u64 {
    if header.log_position == 0 {
        return earliest;
    }
    let start = header.log_position.wrapping_sub(header.event_bytes);
    earliest + u64::from(start.wrapping_sub(earliest as u32))
}

fn may_be_in_payload(event_kind: u8) -> bool {
    !matches!(
        event_kind,
        kind::GTID
            | kind::ANONYMOUS_GTID
            | kind::GTID_TAGGED
            | kind::MARIADB_GTID
            | kind::ROTATE
            | kind::STOP
            | kind::INCIDENT
            | kind::FORMAT_DESCRIPTION
            | kind::PREVIOUS_GTIDS
            | kind::HEARTBEAT
            | kind::HEARTBEAT_V2
    )
}

/// Reads the file and offset that a rotate event leads to.
///
/// Whether one that the server made up ends in a checksum depends on the server, and the first
/// comes before the format description could say.
fn read_rotate(bytes: &[u8]) -> Option<(String, u64)> {
    let end = match verify_checksum(bytes) {
        Ok(()) => bytes.len() - 4,
        Err(_) => bytes.len(),
    };
    let (position, file) = bytes.get(HEADER_BYTES..end)?.split_first_chunk::<8>()?;
    Some((String::from_utf8_lossy(file).into_owned(), u64::from_le_bytes(*position)))
}

/// The last GTID of each domain in a GTID list event of MariaDB: (domain, server id, number).
///
/// The server lists the one it logged last in a domain after the others of that domain.
pub(super) fn domain_heads(bytes: &[u8]) -> Vec<(u32, u32, u64)> {
    let Some((count, list)) = bytes.get(HEADER_BYTES..).and_then(|b| b.split_first_chunk::<4>())
    else {
        return Vec::new();
    };
    let count = u32::from_le_bytes(*count) & 0x0fff_ffff;
    let word = |entry: &[u8], at: usize| {
        entry[at..at + 4].iter().rev().fold(0, |sum, byte| sum << 8 | u32::from(*byte))
    };
    let entry = |entry: &[u8]| {
        let sequence = u64::from(word(entry, 12)) << 32 | u64::from(word(entry, 8));
        (word(entry, 0), word(entry, 4), sequence)
    };
    list.chunks_exact(16).take(count as usize).map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(event_kind: u8, log_position: u32, flags: u16, body: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; 4];
        bytes.push(event_kind);
        bytes.extend(1_u32.to_le_bytes());
        bytes.extend((19 + body.len() as u32).to_le_bytes());
        bytes.extend(log_position.to_le_bytes());
        bytes.extend(flags.to_le_bytes());
        bytes.extend(body);
        bytes
    }

    #[test]
    fn offsets_follow_gtid_events_and_lengths() {
        let mut place = Place::default();
        let rotate = event(kind::ROTATE, 0, ARTIFICIAL, b"\x04\0\0\0\0\0\0\0a-bin.000002");
        assert_eq!(place.arrival(&rotate), Arrival::Enter("a-bin.000002".into(), 4));
        let mut summed = rotate.clone();
        summed[9] += 4;
        summed.extend(crc32fast::hash(&summed).to_le_bytes());
        assert_eq!(place.arrival(&summed), Arrival::Enter("a-bin.000002".into(), 4));
        place.enter("a-bin.000002", 4);
        let format = event(kind::FORMAT_DESCRIPTION, 0, 0, &[0; 81]);
        assert_eq!(place.arrival(&format), Arrival::Logged(4));
        assert_eq!(place.arrival(&event(kind::GTID_LIST, 0, ARTIFICIAL, &[0; 4])), Arrival::Ignore);
        let gtid = event(kind::MARIADB_GTID, 538, 0, &[0; 19]);
        assert_eq!(place.arrival(&gtid), Arrival::Logged(500));
        assert_eq!(place.arrival(&event(kind::TABLE_MAP, 0, 0, &[0; 21])), Arrival::Logged(538));
        assert_eq!(place.arrival(&event(kind::HEARTBEAT, 900, 0, &[])), Arrival::Heartbeat);
        assert_eq!(place.arrival(&event(kind::XID, 0, 0, &[0; 8])), Arrival::Logged(578));
        assert_eq!(place.offset(), 605);
    }

    #[test]
    fn positions_wrap_at_4_gib() {
        let mut place = Place::default();
        place.enter("a", 0xffff_fff0);
        let gtid = event(kind::GTID, 100, 0, &[0; 11]);
        assert_eq!(place.arrival(&gtid), Arrival::Logged(0x1_0000_0000 + 70));
    }

    #[test]
    fn what_is_inside_a_payload_is_not_read_twice() {
        let mut place = Place::default();
        place.enter("a", 100);
        assert_eq!(place.arrival(&event(kind::TRANSACTION_PAYLOAD, 0, 0, &[0; 11])), Arrival::Logged(100));
        assert_eq!(place.arrival(&event(kind::QUERY, 0, 0, &[0; 11])), Arrival::Ignore);
        assert_eq!(place.arrival(&event(kind::XID, 0, 0, &[0; 11])), Arrival::Ignore);
        assert_eq!(place.arrival(&event(kind::GTID, 0, 0, &[0; 11])), Arrival::Logged(130));
    }
}
