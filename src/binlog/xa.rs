//! XA transactions that are prepared and ended apart: the steps, and their names.

use super::bytes::{Bytes, Short};
use crate::model::{XaStep, Xid};

/// Reads the body of an `XA_prepare_log_event` (type 38): whether it commits in one phase, and the
/// name.
///
/// # Source
/// `XA_prepare_event` in MySQL's control_events.h, MariaDB's log_event.h: a byte, three numbers of
/// four bytes (format, and two lengths of at most 64), and the two names.
pub(super) fn read_prepare(body: &[u8]) -> Result<(bool, Xid), Short> {
    let mut bytes = Bytes(body);
    let one_phase = bytes.u8()? != 0;
    let (format, global, branch) = (bytes.u32()?, bytes.u32()?, bytes.u32()?);
    let (global, branch) = (bytes.take(global as usize)?, bytes.take(branch as usize)?);
    Ok((one_phase, Xid { format, global: global.to_vec(), branch: branch.to_vec() }))
}

/// What `XA COMMIT X'6162',X'',1` says, as both families log it.
///
/// # Source
/// `XID::serialize` in MySQL's xa.h, `serialize_xid` in MariaDB's xa.h: two hexadecimal literals
/// and the format.
pub(super) fn xa_step(step: &str, text: &str) -> Option<XaStep> {
    let (_, name) = text.split_once("X'")?;
    let (global, rest) = name.split_once("',X'")?;
    let (branch, format) = rest.split_once("',")?;
    let digits = format.trim_end_matches(|c: char| !c.is_ascii_digit());
    let xid =
        Xid { format: digits.parse().ok()?, global: from_hex(global)?, branch: from_hex(branch)? };
    match step {
        "COMMIT" => Some(XaStep::Commits(xid)),
        "ROLLBACK" => Some(XaStep::RollsBack(xid)),
        _ => None,
    }
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    text.as_bytes().chunks(2).map(|digits| pair(digits).filter(|_| digits.len() == 2)).collect()
}
