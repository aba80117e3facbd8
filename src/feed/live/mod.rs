//! Streams from live servers, over the protocol that replicas speak.
//!
//! twinlog registers as a replica and is sent what the server logs. It asks no more of the server
//! than a replica does, and sets nothing but variables of its own session.

mod applied;
mod applier;
mod backoff;
mod connect;
mod coordinates;
mod evidence;
mod failure;
mod flow;
mod follow;
mod history;
mod meet;
mod once;
mod packet;
mod plans;
mod preflight;
mod progress;
mod request;
mod status;
mod survey;
mod tables;

pub use applied::keep_asking;
pub use applier::answer_applier_errors;
pub use evidence::read_transaction;
pub use failure::DropReason;
pub use flow::Flow;
pub use follow::follow;
pub use meet::meet;
pub use once::{LogEnd, logged_by_now, meet_once, read_once};
pub use plans::{LivePlans, PlansSender};
pub use preflight::{ServerFacts, server_facts};
pub use status::StreamStatus;
pub use survey::{Survey, keep_surveying};
pub use tables::table_schemas;

use super::{FeedError, FeedItem};
use crate::{
    config::{MysqlUrl, PasswordSource, TlsConfig},
    model::{Coordinates, Gtid, GtidSet},
};

/// Which server to follow, and how.
#[derive(Clone)]
pub struct LiveOptions {
    /// The node's name.
    pub node: String,
    /// Where it listens.
    pub url: MysqlUrl,
    /// Where the account's password is, read for every connection, so that a new one is taken
    /// without a restart; none for an account without one.
    pub password: Option<PasswordSource>,
    /// How the connection is protected.
    pub tls: TlsConfig,
    /// The id to register with. A server drops a replica when another one comes with the same
    /// id, so it must be used by nothing else in the ring.
    pub replica_server_id: u32,
    /// Where to begin.
    pub start: LiveStart,
    /// What is to be known of tables beside their table maps.
    pub plans: LivePlans,
}

/// Where a stream begins.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LiveStart {
    /// With the first transaction that is not yet in the log.
    Now,
    /// With the oldest file that the server still has.
    Earliest,
    /// After what was judged before a restart.
    Resume(ResumePoint),
    /// With the first transaction of this file that begins at this offset or later.
    At {
        /// The file's base name.
        file: String,
        /// The offset, in bytes.
        position: u64,
    },
}

/// Where a stream goes on that was followed before.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ResumePoint {
    /// The baseline and every transaction since.
    pub set: GtidSet,
    /// MariaDB: the last GTID of each domain.
    pub heads: Vec<Gtid>,
    /// MySQL: what was purged before the stream was begun.
    pub purged: GtidSet,
    /// Where the last transaction stands, or where the stream begins.
    pub at: Option<Coordinates>,
    /// The last transaction: the log is known again by it.
    pub last: Option<Gtid>,
}

/// What following a server brings.
#[derive(Debug)]
pub enum LiveEvent {
    /// The server sends, from here.
    Connected {
        /// The file's base name.
        file: String,
        /// The offset, in bytes.
        position: u64,
        /// The server was asked for what comes after these GTIDs, in its own notation. Then it
        /// begins with the head of the file, and leaves out what it has been told of.
        after: Option<String>,
    },
    /// The stream itself, as files would give it.
    Item(FeedItem),
    /// What comes from here on was read with these plans: their number. Before the first
    /// transaction, and whenever they were replaced.
    Plans(u64),
    /// The server has nothing more to send. Told again every second while that is so.
    CaughtUp,
    /// The server answers, and says something else of itself than before.
    Changed(Box<ServerFacts>),
    /// The server's log is another one than was read, and will not come back: nothing more comes
    /// of this stream. It can be begun anew.
    Lost,
    /// The connection has ended or could not be made; the next attempt follows by itself.
    Disconnected {
        /// Why, for a metric.
        reason: DropReason,
        /// Why, for a person.
        error: FeedError,
    },
}
