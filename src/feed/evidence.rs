//! Single transactions, read again where a finding says that they stand.

use super::{
    BinlogFile, FeedError,
    error::{read_hint, window_error},
    packed::{AnyWindow, open},
    window::{Window, WindowError},
};
use crate::{
    binlog::{
        ReadError, event,
        evidence::{Evidence, EvidenceFault, EvidenceReader, RowOf},
    },
    model::Coordinates,
};
use std::{
    fs::File,
    io::{Seek, SeekFrom},
};

/// Which transaction is wanted, and what of it.
#[derive(Clone, PartialEq, Debug)]
pub struct Wanted {
    /// Where it stands.
    pub at: Coordinates,
    /// Its GTID as the server writes it; whatever is there where none is given.
    pub gtid: Option<String>,
    /// The only row whose changes are kept; all rows where there is none.
    pub row: Option<RowOf>,
}

impl Wanted {
    pub(super) fn reader(&self) -> EvidenceReader {
        EvidenceReader::new(self.at.clone(), self.gtid.as_deref(), self.row.clone())
    }
}

/// Why a transaction cannot be read again. The finding stays what it is.
#[derive(Debug, thiserror::Error)]
pub enum EvidenceError {
    /// The file is not there any more.
    #[error(
        "node {node}: {file} is gone from {from}\n  hint: was it purged? read a copy of it: \
         {node}=DIRECTORY"
    )]
    Purged {
        /// Whose.
        node: String,
        /// The file's base name.
        file: String,
        /// Where it was looked for.
        from: String,
    },
    /// It came on standard input.
    #[error(
        "node {node}: it was in file {place} on standard input, at offset {offset}, and that \
         cannot be read again\n  hint: scan the files themselves: a finding has the same id there"
    )]
    Spent {
        /// Whose.
        node: String,
        /// Which file on standard input, from 1.
        place: usize,
        /// Where in that file.
        offset: u64,
    },
    /// What is there cannot be decoded, or is another transaction.
    #[error("node {node}: {file} at offset {offset}: {fault}\n  hint: {hint}")]
    Fault {
        /// Whose.
        node: String,
        /// The file's base name.
        file: String,
        /// Where, as `mysqlbinlog --start-position` takes it.
        offset: u64,
        /// What is wrong.
        fault: EvidenceFault,
        /// What to do.
        hint: &'static str,
    },
    /// The source cannot be read.
    #[error(transparent)]
    Feed(#[from] FeedError),
}

/// An error at a place, with what to do.
pub(super) fn fault(node: &str, file: &str, offset: u64, fault: EvidenceFault) -> EvidenceError {
    let hint = match &fault {
        EvidenceFault::Read(error) => read_hint(error, false),
        EvidenceFault::Other { .. } | EvidenceFault::End => {
            "is this the server that the finding is about? its logs may have been reset since"
        }
    };
    EvidenceError::Fault { node: node.to_owned(), file: file.to_owned(), offset, fault, hint }
}

/// Reads a transaction from the files of a source, which [`super::resolve_source`] found.
///
/// Of a plain binlog only the head and the transaction's own bytes are read.
///
/// # Errors
/// [`EvidenceError`]; the file named by the coordinates may be gone.
pub fn read_from_files(
    node: &str,
    files: &[BinlogFile],
    wanted: &Wanted,
) -> Result<Evidence, EvidenceError> {
    let at = &wanted.at;
    let Some(place) = files.iter().position(|file| *file.name == *at.file) else {
        let from = match files {
            [] => "the source".to_owned(),
            [first, ..] => {
                first.path.parent().map_or(String::new(), |path| path.display().to_string())
            }
        };
        let (node, file) = (node.to_owned(), at.file.to_string());
        return Err(EvidenceError::Purged { node, file, from });
    };
    let (file, later) = (&files[place], &files[place + 1..]);
    let mut reader = wanted.reader();
    let Opened { mut window, is_relay_log } = head(node, file, &mut |bytes| reader.event(bytes))?;
    if !file.is_packed() && !is_relay_log {
        window = plain_at(node, file, at.start)?;
    }
    let fail = |offset, error| EvidenceError::Feed(window_error(node, file, offset, error, false));
    let mut goes_on = false;
    loop {
        let offset = window.offset();
        if offset >= at.end {
            break;
        }
        let next = window.event().map_err(|error| fail(offset, error))?;
        let Some((offset, bytes)) = next else {
            return Err(fail(offset, WindowError::Read(ReadError::Truncated)));
        };
        // Inside a relay log, a source may describe its events in another way.
        if offset < at.start && !is_kind(bytes, event::kind::FORMAT_DESCRIPTION) {
            continue;
        }
        goes_on = is_relay_log && is_kind(bytes, event::kind::ROTATE);
        reader.event(bytes).map_err(|error| fault(node, &file.name, offset, error))?;
    }
    if window.offset() != at.end {
        return Err(fault(node, &file.name, at.start, EvidenceFault::End));
    }
    if goes_on {
        read_on(node, later, &mut reader)?;
    }
    reader.finish().map_err(|error| fault(node, &file.name, at.start, error))
}

/// Reads on in the relay logs that follow, up to the next transaction: a relay log can end inside
/// of one.
fn read_on(
    node: &str,
    later: &[BinlogFile],
    reader: &mut EvidenceReader,
) -> Result<(), EvidenceError> {
    for file in later {
        let Opened { mut window, .. } = head(node, file, &mut |bytes| reader.event(bytes))?;
        let fail = |offset, error| window_error(node, file, offset, error, false);
        loop {
            let offset = window.offset();
            let next = window.event().map_err(|error| fail(offset, error))?;
            let Some((offset, bytes)) = next else { break };
            match reader.event(bytes) {
                Ok(()) => {}
                Err(EvidenceFault::End) => return Ok(()),
                Err(error) => return Err(fault(node, &file.name, offset, error)),
            }
        }
    }
    Ok(())
}

/// A file, past its first event.
struct Opened {
    window: AnyWindow,
    is_relay_log: bool,
}

/// Reads a file's head and gives its format description; refuses an encrypted file, whose events
/// would be read as damaged ones.
fn head(
    node: &str,
    file: &BinlogFile,
    take: &mut dyn FnMut(&[u8]) -> Result<(), EvidenceFault>,
) -> Result<Opened, EvidenceError> {
    let mut window = open(node, file)?;
    let fail = |offset, error| EvidenceError::Feed(window_error(node, file, offset, error, false));
    window.magic().map_err(|error| fail(0, error))?;
    let first = window.event().map_err(|error| fail(4, error))?;
    let Some((_, bytes)) = first else {
        return Err(fail(4, WindowError::Read(ReadError::Truncated)));
    };
    if !is_kind(bytes, event::kind::FORMAT_DESCRIPTION) {
        return Err(fail(4, WindowError::Read(ReadError::NoFormat)));
    }
    let is_relay_log = event::is_relay_log(bytes);
    take(bytes).map_err(|error| fault(node, &file.name, 4, error))?;
    if !file.is_packed() && !is_relay_log {
        let offset = window.offset();
        if let Ok(Some((_, bytes))) = window.event()
            && is_kind(bytes, event::kind::START_ENCRYPTION)
        {
            return Err(fail(offset, WindowError::Read(ReadError::Encrypted)));
        }
    }
    Ok(Opened { window, is_relay_log })
}

fn is_kind(bytes: &[u8], kind: u8) -> bool {
    event::Header::read(bytes).is_ok_and(|header| header.kind == kind)
}

/// A window over a plain file from an offset on.
fn plain_at(node: &str, file: &BinlogFile, offset: u64) -> Result<AnyWindow, FeedError> {
    let io = |source| FeedError::Io { node: node.to_owned(), path: file.path.clone(), source };
    let mut plain = File::open(&file.path).map_err(io)?;
    plain.seek(SeekFrom::Start(offset)).map_err(io)?;
    Ok(Window::at(Box::new(plain), offset))
}

/// The version of the server that wrote a file, as its format description says.
///
/// # Errors
/// A file that cannot be opened, or is no binlog.
pub fn server_version(node: &str, file: &BinlogFile) -> Result<String, EvidenceError> {
    let mut version = String::new();
    head(node, file, &mut |bytes| {
        version = event::Format::read(bytes).map_err(ReadError::Format)?.server_version;
        Ok(())
    })?;
    Ok(version)
}
