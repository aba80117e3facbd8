//! Where streams come from: files and live servers, each delivered as [`FeedItem`]s.
//!
//! **Architecture invariant.** Read only: no statement that writes to a master exists in here.

mod continuity;
mod error;
mod evidence;
mod files;
pub mod live;
mod window;

pub use error::FeedError;
pub use evidence::{EvidenceError, Wanted, read_from_files, server_version};
pub use files::{BinlogFile, FileFeed, file_server_ids, resolve_source};

use crate::model::{GtidSet, Transaction};

/// What a feed delivers, in stream order.
#[derive(Debug)]
pub enum FeedItem {
    /// The first thing of every stream: what its server had before it.
    Begin(GtidSet),
    /// A whole transaction.
    Transaction(Box<Transaction>),
    /// Part of the stream is missing.
    Gap {
        /// What was logged in it.
        missing: GtidSet,
        /// What is missing, for a person.
        detail: String,
    },
}
