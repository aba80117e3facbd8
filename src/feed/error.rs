//! Errors of feeds: where, what, and what to do.

use super::{BinlogFile, window::WindowError};
use crate::binlog::ReadError;
use std::path::PathBuf;

/// Why a stream cannot be delivered whole.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// A source that names no binlogs.
    #[error("node {node}: {path}: {problem}\n  hint: {hint}")]
    Source {
        /// Whose.
        node: String,
        /// The path as given.
        path: PathBuf,
        /// What is wrong.
        problem: String,
        /// What to do.
        hint: String,
    },
    /// A file that cannot be read.
    #[error("node {node}: {path}: {source}")]
    Io {
        /// Whose.
        node: String,
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A stream that cannot be read past a place.
    #[error("node {node}: {file} at offset {offset}: {source}\n  hint: {hint}")]
    Read {
        /// Whose.
        node: String,
        /// The file's base name.
        file: String,
        /// Where, as `mysqlbinlog --start-position` takes it.
        offset: u64,
        /// What is wrong there.
        source: ReadError,
        /// What to do.
        hint: &'static str,
    },
    /// Files that are missing between two that were read.
    #[error(
        "node {node}: {detail}\n  hint: copy the missing files too; what they hold was not verified"
    )]
    Missing {
        /// Whose.
        node: String,
        /// Which transactions are missing, and before which file.
        detail: String,
    },
    /// A server whose log was read up to a place.
    #[error(
        "{source}\n  {node} was read up to {file} at offset {offset}; nothing after this place \
             was verified"
    )]
    CutOff {
        /// Whose.
        node: String,
        /// The file's base name.
        file: String,
        /// Where, in bytes.
        offset: u64,
        /// Why no further.
        source: Box<FeedError>,
    },
    /// A live server that cannot be followed.
    #[error("node {node}: {url}: {problem}\n  hint: {hint}")]
    Server {
        /// Whose.
        node: String,
        /// The server, without secrets.
        url: String,
        /// What is wrong.
        problem: String,
        /// What to do.
        hint: String,
    },
}

/// What to do about a stream that cannot be read on.
pub(super) fn read_hint(error: &ReadError, in_use: bool) -> &'static str {
    match error {
        ReadError::Encrypted => {
            "read it through its server, which decrypts what it sends: \
             NODE=mysql://user@host:port; nothing after this place was verified"
        }
        ReadError::RelayLog => "give binlogs or relay logs, not both as one stream",
        ReadError::Empty => {
            "the server had just made it, or the copy failed: leave it out, or copy it again"
        }
        ReadError::Format(_) | ReadError::NoFormat => {
            "is this a binlog of MySQL 5.6 or later, or of MariaDB 10.2 or later?"
        }
        ReadError::Truncated | ReadError::Unfinished(_) if in_use => {
            "the file was being written, or its server crashed: \
             copy it again after FLUSH BINARY LOGS; nothing after this place was verified"
        }
        ReadError::Truncated | ReadError::Unfinished(_) => {
            "the file is cut off: copy it again; nothing after this place was verified"
        }
        _ => {
            "the file is damaged: copy it again, and compare with \
             mysqlbinlog --verify-binlog-checksum; nothing after this place was verified"
        }
    }
}

/// What a window over a file cannot give, with the place in it.
pub(super) fn window_error(
    node: &str,
    file: &BinlogFile,
    offset: u64,
    error: WindowError,
    in_use: bool,
) -> FeedError {
    let node = node.to_owned();
    let source = match error {
        WindowError::Io(source) if source.raw_os_error().is_some() => {
            return FeedError::Io { node, path: file.path.clone(), source };
        }
        // Not the system's but the decoder's: the packed file is cut off or damaged.
        WindowError::Io(_) => ReadError::Truncated,
        WindowError::Read(source) => source,
    };
    let hint = read_hint(&source, in_use);
    FeedError::Read { node, file: file.name.clone(), offset, hint, source }
}
