//! Where streams come from: files and live servers, each delivered as [`FeedItem`]s.
//!
//! **Architecture invariant.** Read only: no statement that writes to a master exists in here.

mod continuity;
mod error;
mod evidence;
mod file_feed;
mod files;
mod heads;
pub mod live;
mod packed;
mod relay;
mod standard_input;
mod window;

pub use error::FeedError;
pub use evidence::{EvidenceError, Wanted, read_from_files, server_version};
pub use file_feed::FileFeed;
pub use files::{BinlogFile, resolve_source};
pub use heads::{Heads, file_heads};
pub use standard_input::{STANDARD_INPUT, StandardInput, place_on_standard_input};

use std::sync::Arc;

use crate::model::{Gtid, GtidSet, Transaction};

/// What a feed delivers, in stream order.
#[derive(Debug)]
pub enum FeedItem {
    /// The first thing of every stream: what its server had before it.
    Begin(GtidSet),
    /// What it takes to go on from here besides the set of GTIDs; only from live servers, before
    /// [`FeedItem::Begin`] and after a gap.
    Standing {
        /// MariaDB: the last GTID of each domain.
        heads: Vec<Gtid>,
        /// MySQL: what was purged before the stream was begun.
        purged: GtidSet,
        /// MySQL without GTIDs: the file and the offset in it.
        place: Option<(Arc<str>, u64)>,
    },
    /// A whole transaction.
    Transaction(Box<Transaction>),
    /// Part of the stream is missing.
    Gap {
        /// What was logged in it, but for what has no GTID.
        missing: GtidSet,
        /// What is missing, for a person.
        detail: String,
    },
}
