//! Compressed events, expanded within bounds: MySQL's transaction payloads, MariaDB's statements
//! and rows.
//!
//! **Invariant.** What a length claims costs nothing before its bytes have come, nothing is
//! expanded past a bound, and of a transaction payload only one event is held at a time.

use super::{
    bytes::{Bytes, Short},
    event::{HEADER_BYTES, Header, kind, kind_name},
};
use crate::model::BlindSpotReason;
use flate2::bufread::{DeflateDecoder, ZlibDecoder};
use std::io::{BufReader, Read};

/// Bytes that an event may have once it is expanded.
///
/// No server applies an event past 1 GiB (`replica_max_allowed_packet`, `max_allowed_packet`); the
/// rest is for headers.
pub(crate) const EVENT_BYTES_MAX: u64 = (1 << 30) + (1 << 20);

/// Bytes that a compressed transaction may have once it is expanded.
pub(crate) const TRANSACTION_BYTES_MAX: u64 = 4 << 30;

/// Capacity that a buffer keeps from one event to the next.
const KEPT_BYTES_MAX: usize = 16 << 20;

/// Why compressed bytes are not read.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum ExpandError {
    /// It is not what a server writes.
    #[error("a {0} event is damaged inside")]
    Damaged(&'static str),
    /// Compressed in a way that is not known.
    #[error("a {0} event is compressed by an unknown method ({1})")]
    Method(&'static str, u64),
    /// An event that cannot be in a payload.
    #[error("a transaction payload holds an event of type {0}")]
    Inner(&'static str),
    /// It is larger than what is expanded.
    #[error("a {kind} event expands to {mib} MiB, more than the {max_mib} MiB that are read")]
    Bound {
        /// Its type.
        kind: &'static str,
        /// What it expands to.
        mib: u64,
        /// The bound.
        max_mib: u64,
    },
}

impl ExpandError {
    fn bound(kind: u8, bytes: u64, max: u64) -> Self {
        ExpandError::Bound { kind: kind_name(kind), mib: bytes >> 20, max_mib: max >> 20 }
    }

    /// The reason of the blind spot that it is.
    pub(crate) fn reason(&self) -> BlindSpotReason {
        match self {
            ExpandError::Bound { .. } => BlindSpotReason::BoundReached,
            _ => BlindSpotReason::UnsupportedEvent,
        }
    }
}

/// The type that a compressed event has once it is expanded; `None` if it is none.
pub(crate) fn plain_kind(event_kind: u8) -> Option<u8> {
    Some(match event_kind {
        kind::QUERY_COMPRESSED => kind::QUERY,
        kind::WRITE_ROWS_COMPRESSED_V1 => kind::WRITE_ROWS_V1,
        kind::UPDATE_ROWS_COMPRESSED_V1 => kind::UPDATE_ROWS_V1,
        kind::DELETE_ROWS_COMPRESSED_V1 => kind::DELETE_ROWS_V1,
        kind::WRITE_ROWS_COMPRESSED => kind::WRITE_ROWS,
        kind::UPDATE_ROWS_COMPRESSED => kind::UPDATE_ROWS,
        kind::DELETE_ROWS_COMPRESSED => kind::DELETE_ROWS,
        _ => return None,
    })
}

/// Writes the body of a compressed event of MariaDB into `plain` as the plain event has it, and
/// gives that event's type.
///
/// # Errors
/// [`ExpandError`]; never panics.
///
/// # Source
/// `query_event_uncompress` and `row_log_event_uncompress` in MariaDB's sql/log_event.cc: post
/// header, status variables and database, or post header, width and bitmaps of columns, stand as
/// they are; the statement, or the rows, are compressed.
pub(crate) fn expand(event_kind: u8, body: &[u8], plain: &mut Vec<u8>) -> Result<u8, ExpandError> {
    plain.clear();
    let damaged = |_| ExpandError::Damaged(kind_name(event_kind));
    let Some(plain_kind) = plain_kind(event_kind) else { return Err(damaged(Short)) };
    let head = match event_kind {
        kind::QUERY_COMPRESSED => query_head(body).map_err(damaged)?,
        _ => rows_head(event_kind, body).map_err(damaged)?,
    };
    let (head, compressed) = body.split_at_checked(head).ok_or(Short).map_err(damaged)?;
    plain.extend_from_slice(head);
    // An event that only ends a statement has no rows.
    if !compressed.is_empty() {
        inflate(event_kind, compressed, plain)?;
    }
    Ok(plain_kind)
}

/// Bytes of a statement's event before its text.
fn query_head(body: &[u8]) -> Result<usize, Short> {
    let mut bytes = Bytes(body);
    bytes.take(8)?;
    let schema = usize::from(bytes.u8()?);
    bytes.take(2)?;
    Ok(13 + usize::from(bytes.u16()?) + schema + 1)
}

/// Bytes of a row event before its images.
fn rows_head(event_kind: u8, body: &[u8]) -> Result<usize, Short> {
    let mut bytes = Bytes(body);
    bytes.take(8)?;
    if bytes.is_empty() {
        return Ok(8);
    }
    if matches!(event_kind, kind::WRITE_ROWS_COMPRESSED..=kind::DELETE_ROWS_COMPRESSED) {
        let extra = usize::from(bytes.u16()?).checked_sub(2).ok_or(Short)?;
        bytes.take(extra)?;
    }
    let bitmap = usize::try_from(bytes.lenenc()?).map_err(|_| Short)?.div_ceil(8);
    bytes.take(bitmap)?;
    if matches!(event_kind, kind::UPDATE_ROWS_COMPRESSED_V1 | kind::UPDATE_ROWS_COMPRESSED) {
        bytes.take(bitmap)?;
    }
    Ok(body.len() - bytes.len())
}

/// Appends what MariaDB compressed.
///
/// # Source
/// `binlog_buf_compress` in sql/log_event.cc: a byte with 0x80, the method (0: zlib) in bits 4 to
/// 6 and the bytes of the length in bits 0 to 2; the length, big endian; the stream.
fn inflate(event_kind: u8, bytes: &[u8], plain: &mut Vec<u8>) -> Result<(), ExpandError> {
    let name = kind_name(event_kind);
    let damaged = || ExpandError::Damaged(name);
    let (&first, rest) = bytes.split_first().ok_or_else(damaged)?;
    if first & 0x80 == 0 || !matches!(first & 7, 1..=4) {
        return Err(damaged());
    }
    let method = u64::from(first >> 4 & 7);
    if method != 0 {
        return Err(ExpandError::Method(name, method));
    }
    let (length, stream) = rest.split_at_checked(usize::from(first & 7)).ok_or_else(damaged)?;
    let claimed = big_endian(length);
    if claimed > EVENT_BYTES_MAX {
        return Err(ExpandError::bound(event_kind, claimed, EVENT_BYTES_MAX));
    }
    match read_exactly(ZlibDecoder::new(stream), claimed, plain) {
        true => Ok(()),
        false => Err(damaged()),
    }
}

fn big_endian(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// Appends what the input holds, if it is exactly as many bytes as claimed.
fn read_exactly(input: impl Read, claimed: u64, out: &mut Vec<u8>) -> bool {
    let before = out.len();
    // One more shows that there is more.
    let read = input.take(claimed.saturating_add(1)).read_to_end(out);
    read.is_ok() && (out.len() - before) as u64 == claimed
}

/// Expands the value of a column that is compressed in the table (`COMPRESSED`, MariaDB).
///
/// # Output
/// `None` where it is no such value, or larger than [`EVENT_BYTES_MAX`].
///
/// # Source
/// `compress_zlib` in MariaDB's sql/field_comp.cc: a byte of zero and the value as it is; or a byte
/// with 0x80, 8 if the stream has no zlib header, and the bytes of the length; the length, big
/// endian; the stream. An empty value has no byte at all.
pub(crate) fn expand_column(bytes: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let Some((&first, rest)) = bytes.split_first() else { return Some(()) };
    if first == 0 {
        out.extend_from_slice(rest);
        return Some(());
    }
    if first & 0xf0 != 0x80 || !matches!(first & 7, 1..=4) {
        return None;
    }
    let (length, stream) = rest.split_at_checked(usize::from(first & 7))?;
    let claimed = big_endian(length);
    if claimed > EVENT_BYTES_MAX {
        return None;
    }
    let is_whole = match first & 8 {
        0 => read_exactly(ZlibDecoder::new(stream), claimed, out),
        _ => read_exactly(DeflateDecoder::new(stream), claimed, out),
    };
    is_whole.then_some(())
}

/// Gives memory back that one large event took.
pub(crate) fn trim(buffer: &mut Vec<u8>) {
    if buffer.capacity() > KEPT_BYTES_MAX {
        *buffer = Vec::new();
    }
}

/// The events of a MySQL transaction payload, expanded one after the other.
pub(crate) struct Payload<'a> {
    input: Box<dyn Read + 'a>,
    /// Bytes that are still to come.
    left: u64,
}

const PAYLOAD: u8 = kind::TRANSACTION_PAYLOAD;

impl<'a> Payload<'a> {
    /// Opens the body of a transaction payload event.
    ///
    /// # Errors
    /// [`ExpandError`]; never panics.
    ///
    /// # Source
    /// `Transaction_payload_event` in MySQL's libs/mysql/binlog/event: fields of type, length and
    /// value, each a length-encoded integer, up to type 0; type 1 is the payload's length, 2 how it
    /// is compressed (0: zstd, 255: not at all), 3 its length once expanded.
    pub(crate) fn open(body: &'a [u8]) -> Result<Self, ExpandError> {
        let damaged = |_| ExpandError::Damaged(kind_name(PAYLOAD));
        let fields = PayloadFields::read(body).map_err(damaged)?;
        let bytes = fields.payload;
        let (input, expanded): (Box<dyn Read + 'a>, u64) = match fields.method {
            255 => (Box::new(bytes), bytes.len() as u64),
            0 => {
                let decoder = zstd::Decoder::with_buffer(bytes)
                    .map_err(|_| ExpandError::Damaged(kind_name(PAYLOAD)))?;
                (Box::new(BufReader::new(decoder)), fields.expanded.ok_or(Short).map_err(damaged)?)
            }
            method => return Err(ExpandError::Method(kind_name(PAYLOAD), method)),
        };
        if expanded > TRANSACTION_BYTES_MAX {
            return Err(ExpandError::bound(PAYLOAD, expanded, TRANSACTION_BYTES_MAX));
        }
        Ok(Payload { input, left: expanded })
    }

    /// Reads the next event into `event`; these have no checksum. `None` at the end.
    ///
    /// # Errors
    /// [`ExpandError`]; never panics.
    pub(crate) fn next(&mut self, event: &mut Vec<u8>) -> Result<Option<Header>, ExpandError> {
        event.clear();
        let damaged = || ExpandError::Damaged(kind_name(PAYLOAD));
        if self.left == 0 {
            let is_end = self.input.read(&mut [0]).is_ok_and(|read| read == 0);
            return if is_end { Ok(None) } else { Err(damaged()) };
        }
        self.append(HEADER_BYTES as u64, event)?;
        let header = Header::read(event).map_err(|_| damaged())?;
        let bytes = u64::from(header.event_bytes);
        if bytes > EVENT_BYTES_MAX {
            return Err(ExpandError::bound(header.kind, bytes, EVENT_BYTES_MAX));
        }
        if !may_be_in_payload(header.kind) || header.kind == PAYLOAD {
            return Err(ExpandError::Inner(kind_name(header.kind)));
        }
        self.append(bytes.checked_sub(HEADER_BYTES as u64).ok_or_else(damaged)?, event)?;
        Ok(Some(header))
    }

    fn append(&mut self, count: u64, event: &mut Vec<u8>) -> Result<(), ExpandError> {
        let damaged = || ExpandError::Damaged(kind_name(PAYLOAD));
        self.left = self.left.checked_sub(count).ok_or_else(damaged)?;
        // Grows with what really comes.
        let read = (&mut self.input).take(count).read_to_end(event).map_err(|_| damaged())?;
        if read as u64 == count { Ok(()) } else { Err(damaged()) }
    }
}

/// What stands before a payload.
struct PayloadFields<'a> {
    method: u64,
    expanded: Option<u64>,
    payload: &'a [u8],
}

impl<'a> PayloadFields<'a> {
    fn read(body: &'a [u8]) -> Result<Self, Short> {
        let mut bytes = Bytes(body);
        let (mut method, mut expanded, mut payload) = (None, None, None);
        loop {
            let field = bytes.lenenc()?;
            if field == 0 {
                break;
            }
            let mut value = Bytes(bytes.lenenc_bytes()?);
            match field {
                1 => payload = Some(value.lenenc()?),
                2 => method = Some(value.lenenc()?),
                3 => expanded = Some(value.lenenc()?),
                _ => {}
            }
        }
        let count = usize::try_from(payload.ok_or(Short)?).map_err(|_| Short)?;
        let payload = bytes.take(count)?;
        Ok(PayloadFields { method: method.ok_or(Short)?, expanded, payload })
    }
}

/// Whether an event of that type can be inside a transaction.
pub(crate) fn may_be_in_payload(event_kind: u8) -> bool {
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

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::DeflateEncoder, write::ZlibEncoder};
    use std::io::Write;

    fn event(event_kind: u8, body: &[u8]) -> Vec<u8> {
        let mut bytes = [&[0; 4][..], &[event_kind], &[0; 4]].concat();
        bytes.extend((HEADER_BYTES as u32 + body.len() as u32).to_le_bytes());
        bytes.extend([0; 6]);
        bytes.extend(body);
        bytes
    }

    fn field(number: u8, value: u64) -> Vec<u8> {
        let mut bytes = vec![number, 9, 254];
        bytes.extend(value.to_le_bytes());
        bytes
    }

    fn payload(method: u64, claimed: u64, bytes: &[u8]) -> Vec<u8> {
        let ignored = [77, 2, 1, 1];
        let fields = [field(2, method), field(3, claimed), field(1, bytes.len() as u64)].concat();
        [&ignored[..], &fields, &[0], bytes].concat()
    }

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        zstd::encode_all(bytes, 3).unwrap()
    }

    fn read(body: &[u8]) -> Result<Vec<(u8, usize)>, ExpandError> {
        let (mut payload, mut bytes, mut events) = (Payload::open(body)?, Vec::new(), Vec::new());
        while let Some(header) = payload.next(&mut bytes)? {
            events.push((header.kind, bytes.len()));
        }
        Ok(events)
    }

    const DAMAGED: Result<Vec<(u8, usize)>, ExpandError> =
        Err(ExpandError::Damaged("transaction_payload"));

    #[test]
    fn a_payload_is_read_event_by_event() {
        let events = [event(kind::QUERY, b"BEGIN"), event(kind::XID, &[0; 8])].concat();
        let count = events.len() as u64;
        let expected = Ok(vec![(kind::QUERY, 24), (kind::XID, 27)]);
        assert_eq!(read(&payload(0, count, &zstd(&events))), expected);
        assert_eq!(read(&payload(255, 0, &events)), expected);
        let method = Err(ExpandError::Method("transaction_payload", 1));
        assert_eq!(read(&payload(1, count, &events)), method);
        for claimed in [0, 5, count - 1, count + 1] {
            assert_eq!(read(&payload(0, claimed, &zstd(&events))), DAMAGED, "{claimed}");
        }
        let whole = payload(0, count, &zstd(&events));
        for end in 0..whole.len() {
            assert!(read(&whole[..end]).is_err(), "cut at {end}");
        }
        let nested = event(kind::TRANSACTION_PAYLOAD, &whole);
        let nested = payload(0, nested.len() as u64, &zstd(&nested));
        assert_eq!(read(&nested), Err(ExpandError::Inner("transaction_payload")));
    }

    #[test]
    fn what_expands_past_a_bound_is_refused_and_costs_nothing() {
        let past = TRANSACTION_BYTES_MAX + (1 << 20);
        let error = read(&payload(0, past, b"")).unwrap_err();
        assert_eq!(error.reason(), BlindSpotReason::BoundReached);
        let said = "a transaction_payload event expands to 4097 MiB, more than the 4096 MiB that \
                    are read";
        assert_eq!(error.to_string(), said);
        // 64 MiB of zeros behind one event: neither is read past what was claimed, nor more is
        // held than comes.
        let mut bomb = event(kind::QUERY, b"BEGIN");
        bomb.resize(64 << 20, 0);
        let bomb = zstd(&bomb);
        assert!(bomb.len() < 10_000);
        assert_eq!(read(&payload(0, 24, &bomb)), DAMAGED);
        let mut lying = event(kind::QUERY, b"");
        lying[9..13].copy_from_slice(&(1_u32 << 30).to_le_bytes());
        let body = payload(0, 1 << 31, &zstd(&lying));
        let (mut payload, mut bytes) = (Payload::open(&body).unwrap(), Vec::new());
        assert!(payload.next(&mut bytes).is_err() && bytes.capacity() < 1 << 16);
    }

    fn compressed(length: &[u8], bytes: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        [&[0x80 | length.len() as u8], length, &encoder.finish().unwrap()].concat()
    }

    #[test]
    fn statements_and_rows_of_mariadb_are_expanded() {
        let mut plain = vec![9];
        let head = [&[0; 8][..], &[2, 0, 0, 1, 0, 0x77], b"db\0"].concat();
        let body = [&head[..], &compressed(&[6], b"INSERT")].concat();
        assert_eq!(expand(kind::QUERY_COMPRESSED, &body, &mut plain), Ok(kind::QUERY));
        assert_eq!(plain, [&head[..], b"INSERT"].concat());
        let head = [7, 0, 0, 0, 0, 0, 1, 0, 2, 0xff, 0xff];
        let body = [&head[..], &compressed(&[0, 3], b"row")].concat();
        let expanded = expand(kind::UPDATE_ROWS_COMPRESSED_V1, &body, &mut plain);
        assert_eq!((expanded, &plain[..11]), (Ok(kind::UPDATE_ROWS_V1), &head[..]));
        assert_eq!(&plain[11..], b"row");
        for end in [0, 5, 10, 12, 14, body.len() - 1] {
            let cut = expand(kind::UPDATE_ROWS_COMPRESSED_V1, &body[..end], &mut plain);
            assert_eq!(cut, Err(ExpandError::Damaged("rows_compressed")), "cut at {end}");
        }
        let ended = expand(kind::WRITE_ROWS_COMPRESSED_V1, &body[..8], &mut plain);
        assert_eq!((ended, plain.len()), (Ok(kind::WRITE_ROWS_V1), 8));
        let more = [&head[..], &compressed(&[2], &[0; 10_000_000])].concat();
        assert!(expand(kind::UPDATE_ROWS_COMPRESSED_V1, &more, &mut plain).is_err());
        assert!(plain.capacity() < 1 << 16);
        let past = [&head[..], &compressed(&[0xff; 4], b"row")].concat();
        let past = expand(kind::UPDATE_ROWS_COMPRESSED_V1, &past, &mut plain);
        assert_eq!(past.map_err(|error| error.reason()), Err(BlindSpotReason::BoundReached));
    }

    #[test]
    fn compressed_columns_are_expanded() {
        let mut raw = DeflateEncoder::new(Vec::new(), Compression::default());
        raw.write_all(b"aaaa").unwrap();
        let raw = [&[0x89, 4][..], &raw.finish().unwrap()].concat();
        let value = |bytes: &[u8]| {
            let mut out = Vec::new();
            expand_column(bytes, &mut out).map(|()| out)
        };
        assert_eq!(value(b""), Some(vec![]));
        assert_eq!(value(b"\0plain"), Some(b"plain".to_vec()));
        assert_eq!(value(&compressed(&[4], b"aaaa")), Some(b"aaaa".to_vec()));
        assert_eq!(value(&raw), Some(b"aaaa".to_vec()));
        for wrong in [&b"\x01"[..], b"\x81", b"\x80\0", b"\x85\0\0\0\0\x01", &raw[..3]] {
            assert_eq!(value(wrong), None, "{wrong:?}");
        }
    }
}
