//! Why a stream of events cannot be read on.

use super::bytes::Short;

/// Why a stream cannot be read on.
///
/// The place (file and offset) is added where it is known, by the feed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ReadError {
    /// Fewer bytes than an event has.
    #[error("the event ends too early")]
    Truncated,
    /// An event that its own header contradicts.
    #[error("an event says that it has {0} bytes, which cannot be")]
    EventBytes(u32),
    /// The CRC32 does not match.
    #[error("checksum mismatch in a {kind} event: stored {stored:08x}, computed {computed:08x}")]
    Checksum {
        /// Its type.
        kind: &'static str,
        /// The checksum at its end.
        stored: u32,
        /// The checksum of its bytes.
        computed: u32,
    },
    /// A file without a byte.
    #[error("the file is empty")]
    Empty,
    /// A file of what another server's binlog said, and no binlog.
    #[error("this is a relay log and no binlog")]
    RelayLog,
    /// No format description came first.
    #[error("an event comes before the format description event")]
    NoFormat,
    /// A format description that cannot be used.
    #[error("{0}")]
    Format(String),
    /// A GTID event or GTID list that cannot be read.
    #[error("a {0} event cannot be read")]
    Gtid(&'static str),
    /// An encrypted file.
    #[error("the file is encrypted from here on")]
    Encrypted,
    /// The stream ends, or another transaction begins, inside a transaction.
    #[error("it ends inside transaction {0}")]
    Unfinished(String),
}

impl From<Short> for ReadError {
    fn from(_: Short) -> Self {
        ReadError::Truncated
    }
}
