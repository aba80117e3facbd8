//! Binlogs as older servers would have written them: no such server can be had any more.
#![allow(dead_code, unreachable_pub, reason = "not every test that compiles this uses it")]

use std::path::Path;

/// A MySQL before 8.0 without GTIDs.
#[derive(Clone, Copy, Debug)]
pub enum Old {
    /// 5.7: every transaction begins with an event that names nothing, without commit times.
    V57,
    /// 5.6: no such event at all.
    V56,
}

const HEAD: usize = 19;
const SUM: usize = 4;
const FORMAT: u8 = 15;
const ANONYMOUS_GTID: u8 = 34;
/// Flags, a UUID of zeros, a number of zero, and the logical clock's type and two numbers: the
/// body of `Gtid_log_event` in 5.7.
const ANONYMOUS_BODY: usize = 1 + 16 + 8 + 1 + 8 + 8;

/// A plain binlog of MySQL 9.7 with checksums and `gtid_mode=OFF`, as that server would have
/// written it.
pub fn as_written_by(old: Old, file: &Path) -> Vec<u8> {
    let log = std::fs::read(file).expect("a binlog");
    let (mut events, mut written) = (&log[4..], log[..4].to_vec());
    while !events.is_empty() {
        let size = u32::from_le_bytes(events[9..13].try_into().expect("a header")) as usize;
        let (event, rest) = events.split_at(size);
        events = rest;
        let body = match (event[4], old) {
            (ANONYMOUS_GTID, Old::V56) => continue,
            (ANONYMOUS_GTID, Old::V57) => &event[HEAD..HEAD + ANONYMOUS_BODY],
            _ => &event[HEAD..size - SUM],
        };
        let mut event = [&event[..HEAD], body].concat();
        let size = event.len() + SUM;
        event[9..13].copy_from_slice(&(size as u32).to_le_bytes());
        event[13..17].copy_from_slice(&((written.len() + size) as u32).to_le_bytes());
        // The first event is summed as if its file were closed.
        let open = event[17];
        event[17] &= if event[4] == FORMAT { !1 } else { !0 };
        let sum = crc32fast::hash(&event);
        event[17] = open;
        written.extend(event);
        written.extend(sum.to_le_bytes());
    }
    written
}
