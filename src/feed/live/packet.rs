//! Events as they arrive: back to the bytes of the file, and where they stand in it.

use crate::binlog::{
    event::{HEADER_BYTES, Header, kind, verify_checksum},
    may_be_in_payload,
};
use mysql_async::binlog::events::Event;
use std::{collections::BTreeSet, sync::Arc};

/// Set on events that the server makes up for the stream and that are in no file.
const ARTIFICIAL: u16 = 0x20;

/// The most bytes that a server can leave out inside a transaction: a statement's text.
const LEFT_OUT_BYTES_MAX: u32 = 1 << 30;

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
    /// The server sends nothing else for now; true when it has nothing else.
    Heartbeat(bool),
    /// It is in no file, or holds nothing for the reader.
    Ignore,
    /// The client library made it out of a compressed transaction, which has been read.
    Expanded,
}

/// Where in the server's files the stream is.
#[derive(Debug)]
pub(super) struct Place {
    file: Arc<str>,
    /// Where the next event begins, if none was left out before it.
    offset: u64,
    /// The position in the heartbeat just before. MySQL also sends heartbeats while it passes over
    /// what was not asked for; only one at the place we are at, or a second one at the same
    /// place, says that there is nothing more.
    heartbeat: Option<u32>,
    /// The client library follows a compressed transaction with the events in it, which the
    /// server did not send: they run up to the next event that cannot be in a transaction.
    in_payload: bool,
}

impl Default for Place {
    fn default() -> Self {
        Place { file: Arc::from(""), offset: 0, heartbeat: None, in_payload: false }
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
            return Arrival::Expanded;
        }
        self.in_payload = header.kind == kind::TRANSACTION_PAYLOAD;
        let artificial = header.flags & ARTIFICIAL != 0;
        let heartbeat = self.heartbeat.take();
        match header.kind {
            kind::HEARTBEAT | kind::HEARTBEAT_V2 => {
                self.heartbeat = Some(header.log_position);
                let here = header.log_position == self.offset as u32;
                return Arrival::Heartbeat(here || heartbeat == self.heartbeat);
            }
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
            _ => {}
        }
        let offset = offset_of(&header, self.offset);
        self.offset = offset.saturating_add(bytes.len() as u64);
        // The server decrypts what it sends, and marks where encryption began all the same.
        if header.kind == kind::START_ENCRYPTION {
            return Arrival::Ignore;
        }
        Arrival::Logged(offset)
    }
}

/// Table maps of one connection and file, all of which the client library keeps.
#[derive(Default, Debug)]
pub(super) struct Maps {
    ids: BTreeSet<u64>,
    bytes: usize,
}

/// Bytes of table maps with different numbers that one file may have. A server gives a table a new
/// number when it opens it anew; this is many times what the busiest reaches in a file.
pub(super) const MAP_BYTES_MAX: usize = 256 << 20;

impl Maps {
    /// Takes an event; false where the client library holds too many table maps.
    pub(super) fn take(&mut self, bytes: &[u8]) -> bool {
        let Ok(header) = Header::read(bytes) else { return true };
        match header.kind {
            // The library forgets them at the end of a file.
            kind::ROTATE if header.log_position != 0 => *self = Maps::default(),
            kind::TABLE_MAP => {
                let id = bytes.get(HEADER_BYTES..HEADER_BYTES + 6).unwrap_or_default();
                let id = id.iter().rev().fold(0, |id, byte| id << 8 | u64::from(*byte));
                if self.ids.insert(id) {
                    self.bytes += bytes.len() + MAP_BYTES;
                }
            }
            _ => {}
        }
        self.bytes <= MAP_BYTES_MAX
    }
}

/// What a table map takes beside its bytes, about.
const MAP_BYTES: usize = 300;

/// Where an event begins, given where it begins if nothing was left out before it.
///
/// Servers leave out what a replica does not ask for: transactions that it has, and MariaDB the
/// statements' text, which the client library cannot ask for. So the sum of the lengths falls
/// behind, and the end position in the header is believed where it is there (MariaDB 11.8 has it
/// only on the first and the last event of a transaction). It is modulo 4 GiB; inside a
/// transaction, where little can be left out, one that makes no sense is not believed.
fn offset_of(header: &Header, summed: u64) -> u64 {
    if header.log_position == 0 {
        return summed;
    }
    let start = header.log_position.wrapping_sub(header.event_bytes);
    let left_out = start.wrapping_sub(summed as u32);
    let begins = matches!(
        header.kind,
        kind::GTID | kind::ANONYMOUS_GTID | kind::GTID_TAGGED | kind::MARIADB_GTID
    );
    match begins || left_out <= LEFT_OUT_BYTES_MAX {
        true => summed.saturating_add(u64::from(left_out)),
        false => summed,
    }
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
        assert_eq!(place.arrival(&event(kind::HEARTBEAT, 900, 0, &[])), Arrival::Heartbeat(false));
        assert_eq!(place.arrival(&event(kind::HEARTBEAT, 900, 0, &[])), Arrival::Heartbeat(true));
        assert_eq!(place.arrival(&event(kind::XID, 0, 0, &[0; 8])), Arrival::Logged(578));
        assert_eq!(place.offset(), 605);
        // A statement's text of 40 bytes was left out; then a position that cannot be.
        assert_eq!(place.arrival(&event(kind::XID, 672, 0, &[0; 8])), Arrival::Logged(645));
        assert_eq!(place.arrival(&event(kind::XID, 100, 0, &[0; 8])), Arrival::Logged(672));
    }

    #[test]
    fn positions_wrap_at_4_gib() {
        let mut place = Place::default();
        place.enter("a", 0xffff_fff0);
        let gtid = event(kind::GTID, 100, 0, &[0; 11]);
        assert_eq!(place.arrival(&gtid), Arrival::Logged(0x1_0000_0000 + 70));
    }

    #[test]
    fn a_place_that_cannot_be_does_not_panic() {
        let mut place = Place::default();
        let rotate = event(kind::ROTATE, 0, ARTIFICIAL, b"\xfe\xff\xff\xff\xff\xff\xff\xffa");
        assert_eq!(place.arrival(&rotate), Arrival::Enter("a".into(), u64::MAX - 1));
        place.enter("a", u64::MAX - 1);
        assert_eq!(place.arrival(&event(kind::XID, 0, 0, &[0; 8])), Arrival::Logged(u64::MAX - 1));
        assert_eq!(place.arrival(&event(kind::GTID, 100, 0, &[0; 8])), Arrival::Logged(u64::MAX));
        assert_eq!(place.arrival(&event(kind::XID, 0, 0, &[0; 8])), Arrival::Logged(u64::MAX));
    }

    #[test]
    fn table_maps_without_end_are_given_up() {
        let mut maps = Maps::default();
        let map = |id: u32| {
            let body = [&id.to_le_bytes()[..], &[0; 1 << 20]].concat();
            event(kind::TABLE_MAP, 0, 0, &body)
        };
        assert!((0..1000).all(|_| maps.take(&map(7))), "one table, again and again");
        assert!((0..200).all(|id| maps.take(&map(id))));
        assert!(maps.take(&event(kind::ROTATE, 77, 0, &[0; 12])));
        assert!((0..200).all(|id| maps.take(&map(id))), "a new file");
        assert!(!(200..300).all(|id| maps.take(&map(id))));
    }

    #[test]
    fn what_is_inside_a_payload_is_not_read_twice() {
        let mut place = Place::default();
        place.enter("a", 100);
        assert_eq!(
            place.arrival(&event(kind::TRANSACTION_PAYLOAD, 0, 0, &[0; 11])),
            Arrival::Logged(100)
        );
        assert_eq!(place.arrival(&event(kind::QUERY, 0, 0, &[0; 11])), Arrival::Expanded);
        assert_eq!(place.arrival(&event(kind::XID, 0, 0, &[0; 11])), Arrival::Expanded);
        assert_eq!(place.arrival(&event(kind::GTID, 0, 0, &[0; 11])), Arrival::Logged(130));
    }
}
