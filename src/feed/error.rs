//! Errors of feeds: where, what, and what to do.

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

/// What to do about relay logs where binlogs are wanted.
pub(super) const RELAY_HINT: &str = "is log_bin in another directory?";

/// What to do about a stream that cannot be read on.
pub(super) fn read_hint(error: &ReadError, in_use: bool) -> &'static str {
    match error {
        ReadError::Encrypted => "scan the server itself, or decrypt the file with its key",
        ReadError::RelayLog => RELAY_HINT,
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
