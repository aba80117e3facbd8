//! What a server says of itself before its stream is read.

use super::{
    FeedError, LiveOptions,
    connect::Session,
    failure::{DropReason, Failure, same_id_hint},
};
use crate::model::parse_uuid;
use mysql_async::Row;
use std::collections::BTreeMap;
use tracing::warn;

/// What a server says of itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ServerFacts {
    /// Its version, as it names itself.
    pub version: String,
    /// MariaDB, and not MySQL.
    pub is_mariadb: bool,
    /// Its `server_id`.
    pub server_id: u32,
    /// Its `server_uuid`; MariaDB has none.
    pub server_uuid: Option<[u8; 16]>,
    /// It writes a binary log.
    pub log_bin: bool,
    /// It logs what it applies.
    pub log_replica_updates: bool,
    /// `binlog_format`, upper case; `ROW` where the server no longer has the variable.
    pub binlog_format: String,
    /// `binlog_row_image`, upper case.
    pub row_image: String,
    /// `binlog_row_metadata`, upper case; empty where the server does not know it.
    pub row_metadata: String,
    /// `gtid_mode`, upper case; MariaDB has none.
    pub gtid_mode: Option<String>,
    /// `binlog_checksum`, upper case.
    pub checksum: String,
}

impl ServerFacts {
    /// Whether all that it commits has a GTID.
    pub(super) fn has_gtids(&self) -> bool {
        self.is_mariadb || self.gtid_mode.as_deref() == Some("ON")
    }
}

/// Variables asked for; servers know either the one or the other name of a thing.
const VARIABLES: [&str; 11] = [
    "version",
    "server_id",
    "server_uuid",
    "log_bin",
    "log_replica_updates",
    "log_slave_updates",
    "binlog_format",
    "binlog_row_image",
    "binlog_row_metadata",
    "gtid_mode",
    "binlog_checksum",
];

/// Asks a server what it is.
///
/// # Errors
/// [`FeedError::Server`]: it cannot be reached, or refuses the account.
pub async fn server_facts(options: &LiveOptions) -> Result<ServerFacts, FeedError> {
    let facts = async {
        let mut session = Session::open(options).await?;
        session.facts().await
    };
    facts.await.map_err(|failure: Failure| failure.error)
}

impl Session<'_> {
    pub(super) async fn facts(&mut self) -> Result<ServerFacts, Failure> {
        let names = VARIABLES.map(|name| format!("'{name}'")).join(",");
        let statement = format!("SHOW GLOBAL VARIABLES WHERE Variable_name IN ({names})");
        let rows = self.rows::<(String, Option<String>)>(&statement).await?;
        let facts = read_facts(rows.into_iter().collect());
        self.peer.mariadb = Some(facts.is_mariadb);
        if self.peer.account.is_none() {
            self.peer.account = Some(self.value("SELECT CURRENT_USER()").await?);
        }
        Ok(facts)
    }

    /// Asks again before a change is believed: beginning anew, or waiting for a server that was
    /// replaced, costs findings, and answers have no checksum as events have.
    pub(super) async fn ensure_said_twice(&mut self, facts: &ServerFacts) -> Result<(), Failure> {
        if self.facts().await? == *facts {
            return Ok(());
        }
        let problem = "two answers to one question: the server's settings differ between them";
        let hint = "the network, or the server is being changed; it is asked again";
        Err(Failure::new(self.options, DropReason::Io, problem, hint))
    }
}

fn read_facts(variables: BTreeMap<String, Option<String>>) -> ServerFacts {
    let text = |name: &str| variables.get(name).cloned().flatten();
    let upper = |name: &str| text(name).map(|value| value.to_ascii_uppercase());
    let on = |name: &str| upper(name).is_some_and(|value| value == "ON" || value == "1");
    let version = text("version").unwrap_or_default();
    ServerFacts {
        is_mariadb: version.contains("MariaDB"),
        version,
        server_id: text("server_id").and_then(|id| id.parse().ok()).unwrap_or(0),
        server_uuid: text("server_uuid").and_then(|uuid| parse_uuid(&uuid)),
        log_bin: on("log_bin"),
        log_replica_updates: on("log_replica_updates") || on("log_slave_updates"),
        binlog_format: upper("binlog_format").unwrap_or_else(|| "ROW".to_owned()),
        row_image: upper("binlog_row_image").unwrap_or_default(),
        row_metadata: upper("binlog_row_metadata").unwrap_or_default(),
        gtid_mode: upper("gtid_mode"),
        checksum: upper("binlog_checksum").unwrap_or_default(),
    }
}

/// Refuses a server that cannot be followed.
pub(super) fn ensure_followable(options: &LiveOptions, facts: &ServerFacts) -> Result<(), Failure> {
    let refuse =
        |problem: &str, hint: &str| Err(Failure::new(options, DropReason::Server, problem, hint));
    if !facts.log_bin {
        return refuse(
            "the server writes no binary log",
            "set log_bin (and log_slave_updates, or log_replica_updates), and restart it",
        );
    }
    if facts.server_id == options.replica_server_id {
        let problem = format!("server id {} is the server's own", facts.server_id);
        return refuse(&problem, "set watch.replica_server_id to ids that no server has");
    }
    if !facts.has_gtids() && !facts.log_replica_updates {
        return refuse(
            "it has neither GTIDs nor copies in its log: nothing tells the order of the nodes' \
             transactions",
            "set log_replica_updates=ON, or gtid_mode=ON and enforce_gtid_consistency=ON on all \
             nodes (that can be done step by step, without a restart)",
        );
    }
    Ok(())
}

/// What the names begin with under which twinlog is in a server's list of replicas.
pub(super) const REPLICA_NAME: &str = "twinlog";

/// A name for one stream of this process, so that it knows itself among a server's replicas.
pub(super) fn new_replica_name() -> String {
    format!("{REPLICA_NAME}-{:08x}", fastrand::u32(..))
}

/// Who asks whether its server id is free.
pub(super) enum Asks<'a> {
    /// One that has not been followed yet, or goes by no name.
    Newcomer,
    /// One that was followed under this name.
    Known(&'a str),
}

/// Refuses to follow under an id that another replica of the server has: the server ends one of
/// two streams of the same id, and each would end the other's, for ever. Returns whether the
/// server let itself be asked.
///
/// Of two twinlogs the newer has its way: what is there when it comes may be the connection of a
/// run that was just killed, which the server has not noticed. The older one is told by the server
/// that another came, and stays away as long as it sees it there.
///
/// MySQL tells its replicas by the UUID that they name, and by server id those that, like twinlog,
/// name none; MariaDB tells all of them by server id.
///
/// # Source
/// `SHOW REPLICAS` (MySQL since 8.0.22) or `SHOW SLAVE HOSTS`, with the id first and then the name
/// that each replica gave of itself; MariaDB asks for REPLICATION MASTER ADMIN, which twinlog does
/// not need otherwise: where it may not ask, it does not.
pub(super) async fn ensure_alone(
    session: &mut Session<'_>,
    asks: Asks<'_>,
) -> Result<bool, Failure> {
    let statement = match session.peer.mariadb {
        Some(true) => "SHOW SLAVE HOSTS",
        _ => "SHOW REPLICAS",
    };
    let Ok(rows) = session.rows::<Row>(statement).await else { return Ok(false) };
    let options = session.options;
    let id = options.replica_server_id;
    let cell = |row: &Row, at| row.get_opt::<String, _>(at).and_then(Result::ok);
    let others = rows.iter().filter(|row| cell(row, 0).and_then(|id| id.parse().ok()) == Some(id));
    for name in others.map(|row| cell(row, 1).unwrap_or_default()) {
        match asks {
            Asks::Known(own) if own == name => {}
            Asks::Newcomer if name.starts_with(REPLICA_NAME) => warn!(
                node = options.node,
                "another twinlog ({name}) is registered there under server id {id}; if it runs, \
                 its stream ends now: two twinlogs need two values of watch.replica_server_id"
            ),
            _ => {
                let problem =
                    format!("another replica ({name}) is registered there under server id {id}");
                let hint = same_id_hint(options);
                return Err(Failure::new(options, DropReason::SameId, problem, hint));
            }
        }
    }
    Ok(true)
}

/// Refuses a server that is not the one that was followed before, by its `server_id`. One that was
/// restored from a backup may come back with another `server_uuid`; whether it has what was read,
/// its GTIDs tell.
pub(super) fn ensure_same(
    options: &LiveOptions,
    before: &ServerFacts,
    now: &ServerFacts,
) -> Result<(), Failure> {
    if (before.server_id, before.is_mariadb) == (now.server_id, now.is_mariadb) {
        return Ok(());
    }
    let problem = format!(
        "another server answers: server id {} ({}), where it was {} ({})",
        now.server_id, now.version, before.server_id, before.version
    );
    let hint = "a node's url must always lead to the same server, not to whichever is active; if \
                it was replaced for good, list both ids in its server_ids and start twinlog again";
    Err(Failure::new(options, DropReason::Replaced, problem, hint))
}
