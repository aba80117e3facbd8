//! GTID events of both families, and the sets at the head of a file.

use super::bytes::{Bytes, Short};
use crate::model::{Gtid, GtidSet, GtidSource, Tag};

/// What a GTID event says.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct GtidEvent {
    /// `None` for an anonymous transaction of which nothing is known (before MySQL 8.0).
    pub(crate) gtid: Option<Gtid>,
    /// Commit on the origin, in microseconds since the epoch.
    pub(crate) original_micros: Option<i64>,
    /// Commit on the server that wrote the log.
    pub(crate) immediate_micros: Option<i64>,
    /// MariaDB: no BEGIN and no COMMIT; the next query ends the transaction.
    pub(crate) standalone: bool,
    /// MariaDB: the rows of an XA transaction that is only prepared.
    pub(crate) prepared_xa: bool,
    /// MariaDB: an ALTER TABLE that is only begun here, or given up; what it changes is told by
    /// the transaction that commits it.
    pub(crate) unfinished_alter: bool,
}

/// Reads `Gtid_log_event` and `Anonymous_gtid_log_event` (types 33 and 34).
///
/// # Source
/// `Gtid_event` in MySQL's control_events.h: flags 1, uuid 16, number 8, and, each only in newer
/// versions, a logical clock (1 + 16) and the commit timestamps of 7 bytes, where bit 55 of the
/// first says that a second one follows.
///
/// # Input
/// `anonymous`: of an event without a GTID, the server id in its header.
pub(crate) fn read_mysql_gtid(body: &[u8], anonymous: Option<u32>) -> Result<GtidEvent, Short> {
    let mut bytes = Bytes(body);
    let _flags = bytes.u8()?;
    let uuid: [u8; 16] = bytes.take(16)?.try_into().map_err(|_| Short)?;
    let sequence = bytes.u64()?;
    if sequence == 0 && anonymous.is_none() {
        return Err(Short);
    }
    let source = GtidSource::MySql { uuid, tag: Tag::default() };
    let gtid = anonymous.is_none().then_some(Gtid { source, sequence });
    let mut event = GtidEvent { gtid, ..GtidEvent::default() };
    if bytes.len() < 17 || bytes.u8()? != 2 {
        return Ok(event);
    }
    bytes.take(16)?;
    if bytes.len() >= 7 {
        let immediate = bytes.uint(7)?;
        let two = immediate >> 55 & 1 == 1;
        let immediate = (immediate & !(1 << 55)) as i64;
        event.immediate_micros = Some(immediate);
        event.original_micros = Some(if two { bytes.uint(7)? as i64 } else { immediate });
    }
    // A server that does not know the origin's commit time (a 5.7 master) says 0.
    event.original_micros = event.original_micros.filter(|micros| *micros > 0);
    if let (Some(server_id), Some(micros)) = (anonymous, event.original_micros) {
        let source = GtidSource::Anonymous { server_id };
        event.gtid = Some(Gtid { source, sequence: micros as u64 });
    }
    Ok(event)
}

/// Reads `Gtid_tagged_log_event` (type 42, MySQL 8.3 and later), which is serialised by field
/// numbers.
///
/// # Source
/// libs/mysql/serialization in MySQL's sources; checked against MySQL 9.7 byte by byte. Field 0
/// flags, 1 uuid as 16 variable-length integers, 2 number, 3 tag, 4 and 5 the logical clock, 6
/// and 7 the commit timestamps (7 only when it differs).
pub(crate) fn read_tagged_gtid(body: &[u8]) -> Result<GtidEvent, Short> {
    let mut bytes = Bytes(body);
    let (_version, _size, _last) = (varlen(&mut bytes)?, varlen(&mut bytes)?, varlen(&mut bytes)?);
    let (mut uuid, mut sequence, mut tag) = ([0; 16], 0, Tag::default());
    let mut event = GtidEvent::default();
    while !bytes.is_empty() {
        match varlen(&mut bytes)? {
            0 => drop(bytes.u8()?),
            1 => {
                for byte in &mut uuid {
                    *byte = u8::try_from(varlen(&mut bytes)?).map_err(|_| Short)?;
                }
            }
            2 => sequence = u64::try_from(unzigzag(varlen(&mut bytes)?)).map_err(|_| Short)?,
            3 => {
                let count = usize::try_from(varlen(&mut bytes)?).map_err(|_| Short)?;
                tag = Tag::parse(bytes.take(count)?).ok_or(Short)?;
            }
            6 => event.immediate_micros = commit_time(varlen(&mut bytes)?),
            7 => event.original_micros = commit_time(varlen(&mut bytes)?),
            4 | 5 | 8..=11 => drop(varlen(&mut bytes)?),
            // Fields of later versions follow those that matter here.
            _ => break,
        }
    }
    if sequence == 0 {
        return Err(Short);
    }
    event.original_micros = event.original_micros.or(event.immediate_micros);
    let source = GtidSource::MySql { uuid, tag };
    Ok(GtidEvent { gtid: Some(Gtid { source, sequence }), ..event })
}

/// A time within the 55 bits that servers keep for it.
fn commit_time(micros: u64) -> Option<i64> {
    (micros < 1 << 55).then_some(micros as i64)
}

/// A variable-length integer: the trailing one bits of the first byte count the bytes after it.
fn varlen(bytes: &mut Bytes<'_>) -> Result<u64, Short> {
    let first = *bytes.0.first().ok_or(Short)?;
    let more = first.trailing_ones() as usize;
    if more == 8 {
        bytes.take(1)?;
        return bytes.u64();
    }
    Ok(bytes.uint(more + 1)? >> (more + 1))
}

fn unzigzag(number: u64) -> i64 {
    (number >> 1) as i64 ^ -((number & 1) as i64)
}

/// Reads MariaDB's `Gtid_log_event` (type 162); `server_id` is the event header's.
///
/// # Source
/// `Gtid_log_event` in MariaDB's sql/log_event.h: number 8, domain 4, flags2 1; then, each only
/// where a flag says so, a commit id of 8, an XID, and the extra flags, in a body padded to 19.
pub(crate) fn read_mariadb_gtid(body: &[u8], server_id: u32) -> Result<GtidEvent, Short> {
    const FL_STANDALONE: u8 = 0x01;
    const FL_PREPARED_XA: u8 = 0x40;
    let mut bytes = Bytes(body);
    let (sequence, domain, flags) = (bytes.u64()?, bytes.u32()?, bytes.u8()?);
    if sequence == 0 {
        return Err(Short);
    }
    let source = GtidSource::MariaDb { domain, server_id };
    Ok(GtidEvent {
        gtid: Some(Gtid { source, sequence }),
        standalone: flags & FL_STANDALONE != 0,
        prepared_xa: flags & FL_PREPARED_XA != 0,
        unfinished_alter: is_unfinished_alter(bytes, flags).unwrap_or(false),
        ..GtidEvent::default()
    })
}

/// Whether the extra flags, which versions before 10.8 do not write, say START or ROLLBACK ALTER
/// (`binlog_alter_two_phase`).
fn is_unfinished_alter(mut bytes: Bytes<'_>, flags: u8) -> Result<bool, Short> {
    const FL_GROUP_COMMIT_ID: u8 = 0x02;
    const FL_ANY_XA: u8 = 0x40 | 0x80;
    const FL_START_ALTER: u8 = 0x02;
    const FL_ROLLBACK_ALTER: u8 = 0x08;
    if flags & FL_GROUP_COMMIT_ID != 0 {
        bytes.take(8)?;
    }
    if flags & FL_ANY_XA != 0 {
        bytes.take(4)?;
        let data = usize::from(bytes.u8()?) + usize::from(bytes.u8()?);
        bytes.take(data)?;
    }
    Ok(bytes.u8()? & (FL_START_ALTER | FL_ROLLBACK_ALTER) != 0)
}

/// Reads `Previous_gtids_log_event` (type 35): what the server had logged before this file.
///
/// # Source
/// `Gtid_set::encode` in MySQL's rpl_gtid_set.cc. Without tags: a count of 8 bytes, then per
/// UUID 16 bytes, a count and half-open intervals of 8 + 8 bytes. With tags the first 8 bytes
/// are 1, the count in 6 bytes, 1, and a tag follows each UUID (measured on MySQL 9.7). Intervals
/// ascend, and the server refuses those that do not.
pub(crate) fn read_previous_gtids(body: &[u8]) -> Result<GtidSet, Short> {
    let mut bytes = Bytes(body);
    let head = bytes.u64()?;
    let tagged = head >> 56 == 1;
    let count = if tagged { head >> 8 & 0xffff_ffff_ffff } else { head };
    let mut set = GtidSet::default();
    for _ in 0..count {
        let uuid: [u8; 16] = bytes.take(16)?.try_into().map_err(|_| Short)?;
        let mut tag = Tag::default();
        if tagged {
            let length = usize::try_from(varlen(&mut bytes)?).map_err(|_| Short)?;
            tag = Tag::parse(bytes.take(length)?).ok_or(Short)?;
        }
        let mut before = 0;
        for _ in 0..bytes.u64()? {
            let (first, end) = (bytes.u64()?, bytes.u64()?);
            if first <= before || end <= first {
                return Err(Short);
            }
            before = end;
            set.add_range(GtidSource::MySql { uuid, tag }, first, end - 1);
        }
    }
    Ok(set)
}

/// Reads MariaDB's `Gtid_list_log_event` (type 163): the last number per domain and server
/// before this file.
pub(crate) fn read_gtid_list(body: &[u8]) -> Result<GtidSet, Short> {
    let mut bytes = Bytes(body);
    let count = bytes.u32()? & 0x0fff_ffff;
    let mut set = GtidSet::default();
    for _ in 0..count {
        let (domain, server_id, sequence) = (bytes.u32()?, bytes.u32()?, bytes.u64()?);
        set.add_up_to(&Gtid { source: GtidSource::MariaDb { domain, server_id }, sequence });
    }
    Ok(set)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_begin_at_1() {
        let mariadb = |number: u64| {
            let body = [&number.to_le_bytes()[..], &[0; 5]].concat();
            read_mariadb_gtid(&body, 1).map(|event| event.gtid.map(|gtid| gtid.sequence))
        };
        assert_eq!((mariadb(0), mariadb(1)), (Err(Short), Ok(Some(1))));
        let mysql = |number: u64, anonymous: Option<u32>| {
            let body = [&[0; 17][..], &number.to_le_bytes()].concat();
            read_mysql_gtid(&body, anonymous).map(|event| event.gtid.map(|gtid| gtid.sequence))
        };
        assert_eq!((mysql(0, None), mysql(1, None)), (Err(Short), Ok(Some(1))));
        assert_eq!(mysql(0, Some(1)), Ok(None));
        let tagged = |number| {
            let body = [0x02, 0x86, 0x00, 0x04, number];
            read_tagged_gtid(&body).map(|event| event.gtid.map(|gtid| gtid.sequence))
        };
        assert_eq!((tagged(0), tagged(0x04)), (Err(Short), Ok(Some(1))));
    }

    #[test]
    fn intervals_ascend() {
        let read = |intervals: &[[u64; 2]]| {
            let mut body = 1_u64.to_le_bytes().to_vec();
            body.extend([7; 16]);
            body.extend((intervals.len() as u64).to_le_bytes());
            body.extend(intervals.iter().flatten().flat_map(|number| number.to_le_bytes()));
            read_previous_gtids(&body).map(|set| set.to_string())
        };
        let uuid = "07070707-0707-0707-0707-070707070707";
        assert_eq!(read(&[[1, 4], [6, 7]]), Ok(format!("{uuid}:1-3:6")));
        assert_eq!(read(&[[1, u64::MAX]]), Ok(format!("{uuid}:1-{}", u64::MAX - 1)));
        for wrong in [[[6, 7], [1, 4]], [[1, 4], [4, 5]], [[1, 4], [7, 7]], [[0, 4], [6, 7]]] {
            assert_eq!(read(&wrong), Err(Short), "{wrong:?}");
        }
    }

    #[test]
    fn only_the_commit_of_a_two_phase_alter_counts() {
        let read = |flags: u8, rest: &[u8]| {
            let body = [&9_u64.to_le_bytes()[..], &[0; 4], &[flags], rest].concat();
            read_mariadb_gtid(&body, 1).map(|event| event.unfinished_alter)
        };
        // As MariaDB 11.8 writes them, with a thread id (0x10).
        assert_eq!(read(0x29, &[0x12, 0x6d, 5, 0, 0, 0]), Ok(true), "START ALTER");
        assert_eq!(read(0x29, &[0x14, 8, 0, 0, 0, 0, 0, 0, 0]), Ok(false), "COMMIT ALTER");
        assert_eq!(read(0x29, &[0x08, 8, 0, 0, 0, 0, 0, 0, 0]), Ok(true), "ROLLBACK ALTER");
        assert_eq!(read(0x2b, &[2, 2, 2, 2, 2, 2, 2, 2, 0x02]), Ok(true), "after a commit id");
        assert_eq!(read(0x2b, &[2, 2, 2, 2, 2, 2, 2, 2]), Ok(false), "before 10.8");
        assert_eq!(read(0xa9, &[1, 0, 0, 0, 1, 1, 2, 2, 0]), Ok(false), "after an XID");
        assert_eq!(read(0xa9, &[1, 0, 0, 0, 9, 9, 2]), Ok(false), "cut off");
        assert_eq!(read(0x01, &[0; 6]), Ok(false));
    }

    #[test]
    fn a_tagged_commit_time_that_cannot_be_is_none() {
        let head = [0x02, 0x86, 0x00, 0x04, 0x04];
        let read = |time: u64| {
            let body = [&head[..], &[0x0c, 0xff], &time.to_le_bytes()].concat();
            read_tagged_gtid(&body).map(|event| event.immediate_micros)
        };
        assert_eq!(read((1 << 55) - 1), Ok(Some((1 << 55) - 1)));
        assert_eq!((read(1 << 55), read(u64::MAX)), (Ok(None), Ok(None)));
    }

    /// A GTID_TAGGED event of MySQL 9.7: `aaaaaaaa-…:mytag:1`, commit 1795457363409273.
    #[test]
    fn a_tagged_gtid_reads_as_the_server_wrote_it() {
        let mut body = vec![0x02, 0x86, 0x00];
        body.extend([0x00, 0x00, 0x02]);
        body.extend([0xa9, 0x02].repeat(16));
        body.extend([0x04, 0x04, 0x06, 0x0a]);
        body.extend(b"mytag");
        body.extend([0x08, 0x08, 0x0a, 0x10, 0x0c, 0x7f, 0x79, 0xf9, 0x5a, 0x7e, 0xf5, 0x60, 0x06]);
        body.extend([0x10, 0xf5, 0x04, 0x12, 0x83, 0x12, 0x0b]);
        let event = read_tagged_gtid(&body).unwrap();
        let gtid = event.gtid.unwrap().to_string();
        assert_eq!(gtid, "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa:mytag:1");
        assert_eq!(event.original_micros, Some(1_795_457_363_409_273));
    }
}
