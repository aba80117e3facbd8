//! Events: the common header, the checksum, and the format description that governs a file.

use super::{
    bytes::{Bytes, Short},
    read_error::ReadError,
};

/// Length of the common header of binlog version 4.
pub const HEADER_BYTES: usize = 19;

/// The event types that are told apart.
///
/// # Source
/// `Log_event_type` in MySQL's libs/mysql/binlog/event/binlog_event.h and in MariaDB's
/// sql/log_event.h.
pub mod kind {
    #![allow(missing_docs, reason = "the servers' own names")]
    pub const START_V3: u8 = 1;
    pub const QUERY: u8 = 2;
    pub const STOP: u8 = 3;
    pub const ROTATE: u8 = 4;
    pub const INTVAR: u8 = 5;
    pub const APPEND_BLOCK: u8 = 9;
    pub const DELETE_FILE: u8 = 11;
    pub const RAND: u8 = 13;
    pub const USER_VAR: u8 = 14;
    pub const FORMAT_DESCRIPTION: u8 = 15;
    pub const XID: u8 = 16;
    pub const BEGIN_LOAD_QUERY: u8 = 17;
    pub const EXECUTE_LOAD_QUERY: u8 = 18;
    pub const TABLE_MAP: u8 = 19;
    pub const WRITE_ROWS_V1: u8 = 23;
    pub const UPDATE_ROWS_V1: u8 = 24;
    pub const DELETE_ROWS_V1: u8 = 25;
    pub const INCIDENT: u8 = 26;
    pub const HEARTBEAT: u8 = 27;
    pub const IGNORABLE: u8 = 28;
    pub const ROWS_QUERY: u8 = 29;
    pub const WRITE_ROWS: u8 = 30;
    pub const UPDATE_ROWS: u8 = 31;
    pub const DELETE_ROWS: u8 = 32;
    pub const GTID: u8 = 33;
    pub const ANONYMOUS_GTID: u8 = 34;
    pub const PREVIOUS_GTIDS: u8 = 35;
    pub const TRANSACTION_CONTEXT: u8 = 36;
    pub const VIEW_CHANGE: u8 = 37;
    pub const XA_PREPARE: u8 = 38;
    pub const PARTIAL_UPDATE_ROWS: u8 = 39;
    pub const TRANSACTION_PAYLOAD: u8 = 40;
    pub const HEARTBEAT_V2: u8 = 41;
    pub const GTID_TAGGED: u8 = 42;
    pub const ANNOTATE_ROWS: u8 = 160;
    pub const BINLOG_CHECKPOINT: u8 = 161;
    pub const MARIADB_GTID: u8 = 162;
    pub const GTID_LIST: u8 = 163;
    pub const START_ENCRYPTION: u8 = 164;
    pub const QUERY_COMPRESSED: u8 = 165;
    pub const WRITE_ROWS_COMPRESSED_V1: u8 = 166;
    pub const UPDATE_ROWS_COMPRESSED_V1: u8 = 167;
    pub const DELETE_ROWS_COMPRESSED_V1: u8 = 168;
    pub const WRITE_ROWS_COMPRESSED: u8 = 169;
    pub const UPDATE_ROWS_COMPRESSED: u8 = 170;
    pub const DELETE_ROWS_COMPRESSED: u8 = 171;
}

/// The name of an event type, for metrics and messages; `"other"` for what is not known.
pub fn kind_name(kind: u8) -> &'static str {
    match kind {
        kind::QUERY => "query",
        kind::STOP => "stop",
        kind::ROTATE => "rotate",
        kind::INTVAR => "intvar",
        kind::RAND => "rand",
        kind::USER_VAR => "user_var",
        kind::FORMAT_DESCRIPTION => "format_description",
        kind::XID => "xid",
        kind::APPEND_BLOCK | kind::DELETE_FILE | kind::BEGIN_LOAD_QUERY => "load_query",
        kind::EXECUTE_LOAD_QUERY => "load_query",
        kind::TABLE_MAP => "table_map",
        kind::WRITE_ROWS_V1 | kind::WRITE_ROWS => "write_rows",
        kind::UPDATE_ROWS_V1 | kind::UPDATE_ROWS => "update_rows",
        kind::DELETE_ROWS_V1 | kind::DELETE_ROWS => "delete_rows",
        kind::INCIDENT => "incident",
        kind::HEARTBEAT | kind::HEARTBEAT_V2 => "heartbeat",
        kind::ROWS_QUERY | kind::ANNOTATE_ROWS => "rows_query",
        kind::GTID | kind::GTID_TAGGED | kind::MARIADB_GTID => "gtid",
        kind::ANONYMOUS_GTID => "anonymous_gtid",
        kind::PREVIOUS_GTIDS | kind::GTID_LIST => "gtid_list",
        kind::XA_PREPARE => "xa_prepare",
        kind::PARTIAL_UPDATE_ROWS => "partial_update_rows",
        kind::TRANSACTION_PAYLOAD => "transaction_payload",
        kind::BINLOG_CHECKPOINT => "binlog_checkpoint",
        kind::START_ENCRYPTION => "start_encryption",
        kind::QUERY_COMPRESSED => "query_compressed",
        kind::WRITE_ROWS_COMPRESSED_V1..=kind::DELETE_ROWS_COMPRESSED => "rows_compressed",
        _ => "other",
    }
}

/// Whether a row event has a length and extra data after its flags (version 2).
pub(crate) fn has_extra_data(event_kind: u8) -> bool {
    use kind::*;
    matches!(event_kind, WRITE_ROWS | UPDATE_ROWS | DELETE_ROWS | PARTIAL_UPDATE_ROWS)
}

/// Every name that [`kind_name`] gives, for metrics that start at zero.
pub fn kind_names() -> impl Iterator<Item = &'static str> {
    let mut names: Vec<&str> = (0..=255).map(kind_name).collect();
    names.sort_unstable();
    names.dedup();
    names.into_iter()
}

/// The common header of an event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// Seconds since the epoch, by the origin's clock.
    pub timestamp: u32,
    /// Type, see [`kind`].
    pub kind: u8,
    /// Server id of the origin; in a file's own events, of its server.
    pub server_id: u32,
    /// Length of the whole event, checksum included, in bytes.
    pub event_bytes: u32,
    /// End position in the file modulo 4 GiB; 0 where the server did not know it.
    pub log_position: u32,
    /// Flags; bit 0 on a format description: the file was not closed.
    pub flags: u16,
}

impl Header {
    /// Reads the first 19 bytes of an event.
    ///
    /// # Errors
    /// [`Short`] when there are fewer; never panics.
    pub fn read(bytes: &[u8]) -> Result<Header, Short> {
        let mut bytes = Bytes(bytes);
        Ok(Header {
            timestamp: bytes.u32()?,
            kind: bytes.u8()?,
            server_id: bytes.u32()?,
            event_bytes: bytes.u32()?,
            log_position: bytes.u32()?,
            flags: bytes.u16()?,
        })
    }
}

/// Whether an event opens a relay log, which its server marks in the flags
/// (`LOG_EVENT_RELAY_LOG_F`).
pub fn is_relay_log(bytes: &[u8]) -> bool {
    const RELAY_LOG: u16 = 0x40;
    Header::read(bytes).is_ok_and(|header| {
        header.kind == kind::FORMAT_DESCRIPTION && header.flags & RELAY_LOG != 0
    })
}

/// What a format description event says about the events that follow it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Format {
    /// The server that wrote the file, as it names itself.
    pub server_version: String,
    /// The server id of the server that wrote the file.
    pub server_id: u32,
    /// Events end in a CRC32.
    pub checksums: bool,
    /// The format description itself ends in one; not before MySQL 5.6.1 and MariaDB 5.3.
    pub is_summed: bool,
    /// The file was being written, or its server crashed.
    pub in_use: bool,
    /// Length of a table map's post header; 6 before MySQL 5.1.4.
    pub table_map_post_header: u8,
}

/// Bytes of an event's checksum.
pub(crate) const CHECKSUM_BYTES: usize = 4;

impl Format {
    /// Whether a MariaDB server wrote the file, and not MySQL.
    pub fn is_mariadb(&self) -> bool {
        self.server_version.contains("MariaDB")
    }

    /// Reads a format description event, header included.
    ///
    /// # Errors
    /// A message that says what is wrong with it; never panics.
    ///
    /// # Source
    /// `Format_description_event` in MySQL's control_events.h. The checksum algorithm is the
    /// fifth byte from the end since MySQL 5.6.1 and MariaDB 5.3. Before that nothing follows
    /// the post-header lengths; these have to be, byte for byte, what such servers wrote, else
    /// damage to the version could turn the checksums of all other events off.
    pub fn read(event: &[u8]) -> Result<Format, String> {
        let short = |_| "the format description event ends too early".to_owned();
        let header = Header::read(event).map_err(short)?;
        let mut body = Bytes(event.get(HEADER_BYTES..).unwrap_or_default());
        let version = body.u16().map_err(short)?;
        if version != 4 {
            return Err(other_version(version));
        }
        let name = body.take(50).map_err(short)?;
        let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
        let server_version = String::from_utf8_lossy(name).into_owned();
        let _created = body.u32().map_err(short)?;
        let header_bytes = body.u8().map_err(short)?;
        if usize::from(header_bytes) != HEADER_BYTES {
            return Err(format!("event headers of {header_bytes} bytes, not {HEADER_BYTES}"));
        }
        let is_summed = knows_checksums(&server_version);
        if !is_summed && !is_of_old_server(body.0) {
            return Err(format!("server {server_version:?} is too old, or the event is damaged"));
        }
        let algorithm = event.len().checked_sub(CHECKSUM_BYTES + 1).map(|at| event[at]);
        let checksums = match algorithm {
            _ if !is_summed => false,
            Some(0) => false,
            Some(1) => true,
            other => return Err(format!("unknown checksum algorithm {other:?}")),
        };
        let table_map = body.0.get(usize::from(kind::TABLE_MAP) - 1).copied().unwrap_or(8);
        Ok(Format {
            server_version,
            server_id: header.server_id,
            checksums,
            is_summed,
            in_use: header.flags & 1 == 1,
            table_map_post_header: table_map,
        })
    }
}

/// Why what begins with this event cannot be read: MySQL 4 had no format description.
pub(crate) fn no_format(header: &Header, bytes: &[u8]) -> ReadError {
    let version = bytes.get(HEADER_BYTES..).and_then(|body| Bytes(body).u16().ok());
    match version {
        Some(version @ 1..=3) if header.kind == kind::START_V3 => {
            ReadError::Format(other_version(version))
        }
        _ => ReadError::NoFormat,
    }
}

/// What is said of a binlog version that is not read.
fn other_version(version: u16) -> String {
    format!("binlog version {version} is not supported, only 4 (MySQL 5.0+)")
}

/// Whether these are the lengths of post headers, one for each event type, that servers wrote
/// before they knew checksums: MySQL 5.0, 5.1 since 5.1.18, and 5.5. Development versions in
/// between gave events other numbers, or lengths.
fn is_of_old_server(lengths: &[u8]) -> bool {
    const TYPES: [usize; 3] = [18, 26, 27];
    const FORMAT_DESCRIPTION: usize = kind::FORMAT_DESCRIPTION as usize - 1;
    let mut known =
        [56, 13, 0, 8, 0, 18, 0, 4, 4, 4, 4, 18, 0, 0, 0, 0, 4, 26, 8, 0, 0, 0, 8, 8, 8, 2, 0];
    known[FORMAT_DESCRIPTION] = 57 + lengths.len().min(27) as u8;
    TYPES.contains(&lengths.len()) && known.starts_with(lengths)
}

/// Whether a server of that version ends its format description in a checksum algorithm.
fn knows_checksums(version: &str) -> bool {
    let mut numbers = version.split(|c: char| !c.is_ascii_digit()).map(|n| n.parse().unwrap_or(0));
    let mut next = || numbers.next().unwrap_or(0_u32);
    let number = (next(), next(), next());
    if version.contains("MariaDB") { number >= (5, 3, 0) } else { number >= (5, 6, 1) }
}

/// Checks an event's CRC32.
///
/// The server computes it over the event as it is when the file is closed: the in-use flag of a
/// format description is not part of it. In a file the format description itself ends in one
/// even where `binlog_checksum` is NONE, so damage cannot turn the others off.
///
/// # Errors
/// The checksum the event carries and the one computed.
///
/// # Source
/// Measured on MariaDB 10.11 and MySQL 9.7 with `binlog_checksum=NONE`; the comment "FD of
/// checksum-aware server is always checksum-computed" in both servers' log_event.cc.
pub fn verify_checksum(event: &[u8]) -> Result<(), (u32, u32)> {
    let Some((body, stored)) = event.split_last_chunk::<CHECKSUM_BYTES>() else {
        return Err((0, 0));
    };
    let stored = u32::from_le_bytes(*stored);
    let computed = match event.get(4) {
        Some(&kind::FORMAT_DESCRIPTION) if body.len() > HEADER_BYTES => {
            let mut crc = crc32fast::Hasher::new();
            crc.update(&body[..17]);
            crc.update(&[body[17] & !1]);
            crc.update(&body[18..]);
            crc.finalize()
        }
        _ => crc32fast::hash(body),
    };
    if stored == computed { Ok(()) } else { Err((stored, computed)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn description(version: &str, lengths: &[u8]) -> Vec<u8> {
        let mut event = vec![0; HEADER_BYTES];
        event[4] = kind::FORMAT_DESCRIPTION;
        event.extend(4_u16.to_le_bytes());
        event.extend(version.as_bytes());
        event.resize(HEADER_BYTES + 2 + 50 + 4, 0);
        event.push(HEADER_BYTES as u8);
        event.extend(lengths);
        event
    }

    #[test]
    fn servers_before_checksums_are_known_byte_for_byte() {
        let known =
            [56, 13, 0, 8, 0, 18, 0, 4, 4, 4, 4, 18, 0, 0, 84, 0, 4, 26, 8, 0, 0, 0, 8, 8, 8, 2, 0];
        let read = Format::read(&description("5.5.17-log", &known)).unwrap();
        assert!(!read.checksums && !read.is_summed);
        for at in 0..known.len() {
            let mut damaged = known;
            damaged[at] ^= 1;
            assert!(Format::read(&description("5.5.17-log", &damaged)).is_err(), "{at}");
            assert!(Format::read(&description("5.5.17-log", &known[..at])).is_err(), "{at}");
        }
        for types in [18, 26] {
            let mut older = known[..types].to_vec();
            older[14] = 57 + types as u8;
            assert!(Format::read(&description("5.0.86", &older)).is_ok());
        }
        // A later server, whose version was damaged, would be taken for one without checksums.
        let later = [&known[..], &[0; 13], &[1, 0, 0, 0, 0]].concat();
        assert!(Format::read(&description("8.0.36", &later)).unwrap().checksums);
        assert!(Format::read(&description("5.0.36", &later)).is_err());
    }

    #[test]
    fn checksums_are_known_by_version() {
        for (version, knows) in [
            ("5.5.62-log", false),
            ("5.6.0", false),
            ("5.6.51-log", true),
            ("8.0.46", true),
            ("9.7.4", true),
            ("26.1.0", true),
            ("10.11.19-MariaDB-log", true),
            ("5.2.14-MariaDB", false),
        ] {
            assert_eq!(knows_checksums(version), knows, "{version}");
        }
    }
}
