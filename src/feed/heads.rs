//! The heads of files: which servers' log they are.

use super::{
    BinlogFile, FeedError,
    error::window_error,
    packed::{AnyWindow, open},
    relay::ensure_consecutive,
    window::WindowError,
};
use crate::binlog::{
    ReadError,
    event::{self, kind},
};

/// Events at the head of a relay log among which its source's format description is looked for.
const RELAY_HEAD_EVENTS: usize = 16;

/// Whose log files are.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Heads {
    /// The servers that logged it, as their format descriptions say, ascending.
    pub server_ids: Vec<u32>,
    /// These are relay logs: what the server of this id has received.
    pub relayed_to: Option<u32>,
}

/// What one file's head says.
struct Head {
    /// Who logged it; of a relay log that brought nothing yet nobody knows.
    server_id: Option<u32>,
    relayed_to: Option<u32>,
}

/// Learns from the heads of a stream's files whose log they are.
///
/// Ends before a later file that cannot be read: the feed tells of that one at its place, after
/// the findings before it.
///
/// # Errors
/// A first file that cannot be opened, is no binlog, or whose first event is damaged; binlogs and
/// relay logs together; relay logs of which nothing tells whose they are.
pub fn file_heads(node: &str, files: &[BinlogFile]) -> Result<Heads, FeedError> {
    let mut heads = Heads::default();
    for (at, file) in files.iter().enumerate() {
        let head = match head_of(node, file) {
            Ok(head) => head,
            Err(error) if at == 0 => return Err(error),
            Err(_) => break,
        };
        if at == 0 {
            heads.relayed_to = head.relayed_to;
        }
        if head.relayed_to.is_some() != heads.relayed_to.is_some() {
            let problem = "binlogs and relay logs are given as one stream".to_owned();
            let hint = "give the binlogs: they have all that the relay logs have, and more";
            return Err(source_error(node, file, problem, hint));
        }
        heads.server_ids.extend(head.server_id);
    }
    heads.server_ids.sort_unstable();
    heads.server_ids.dedup();
    match (files, heads.relayed_to) {
        ([first, ..], Some(_)) if heads.server_ids.is_empty() => {
            let problem = "nothing was received into these relay logs".to_owned();
            let hint = "is its replication set up? give the binlogs of its source";
            Err(source_error(node, first, problem, hint))
        }
        (_, Some(_)) => ensure_consecutive(node, files).map(|()| heads),
        (_, None) => Ok(heads),
    }
}

fn source_error(node: &str, file: &BinlogFile, problem: String, hint: &str) -> FeedError {
    let (node, path, hint) = (node.to_owned(), file.path.clone(), hint.to_owned());
    FeedError::Source { node, path, problem, hint }
}

fn head_of(node: &str, file: &BinlogFile) -> Result<Head, FeedError> {
    let mut window = open(node, file)?;
    window.magic().map_err(|error| window_error(node, file, 0, error, false))?;
    let fail = |error| window_error(node, file, 4, error, false);
    let first = window.event().map_err(fail)?;
    let Some((_, bytes)) = first else {
        return Err(fail(WindowError::Read(ReadError::Truncated)));
    };
    let server_id = described_by(bytes).map_err(|error| fail(WindowError::Read(error)))?;
    if !event::is_relay_log(bytes) {
        return Ok(Head { server_id: Some(server_id), relayed_to: None });
    }
    let source = source_of(&mut window);
    let source = source.map_err(|offset| {
        window_error(node, file, offset, WindowError::Read(ReadError::Encrypted), false)
    })?;
    Ok(Head { server_id: source, relayed_to: Some(server_id) })
}

/// The server id in a format description, whose checksum is verified: a damaged one must not name
/// another server.
pub(super) fn described_by(bytes: &[u8]) -> Result<u32, ReadError> {
    let header = event::Header::read(bytes)?;
    if header.kind != kind::FORMAT_DESCRIPTION {
        return Err(event::no_format(&header, bytes));
    }
    let format = event::Format::read(bytes).map_err(ReadError::Format)?;
    if format.is_summed {
        event::verify_checksum(bytes).map_err(|(stored, computed)| {
            let kind = event::kind_name(header.kind);
            ReadError::Checksum { kind, stored, computed }
        })?;
    }
    Ok(format.server_id)
}

/// The server that a relay log was received from: its format description follows that of the
/// replica. What cannot be read is told when the file is read.
///
/// # Errors
/// The offset from which on the file is encrypted.
fn source_of(window: &mut AnyWindow) -> Result<Option<u32>, u64> {
    for _ in 0..RELAY_HEAD_EVENTS {
        let Ok(Some((offset, bytes))) = window.event() else { break };
        if let Ok(server_id) = described_by(bytes) {
            return Ok(Some(server_id));
        }
        if event::Header::read(bytes).is_ok_and(|header| header.kind == kind::START_ENCRYPTION) {
            return Err(offset);
        }
    }
    Ok(None)
}
