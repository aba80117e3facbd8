//! `[watch]`: what only the daemon needs.

use super::cursor::{Cursor, Section, one_of};
use super::duration::{parse_duration, parse_long_duration};
use super::error::{ConfigError, ValueError};
use super::nodes::NodeConfig;
use super::ownership::Known;
use super::size::parse_size;
use crate::model::NODES_MAX;
use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, time::Duration};

const KEYS: [&str; 12] = [
    "listen",
    "tls",
    "token_file",
    "evidence",
    "store",
    "retention",
    "findings_max",
    "findings_per_minute",
    "start",
    "missing_after",
    "memory",
    "replica_server_id",
];

/// The highest id to begin at, so that each of the most nodes still gets one.
const REPLICA_SERVER_ID_MAX: u32 = u32::MAX - NODES_MAX as u32;

/// What only the daemon needs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WatchConfig {
    /// Where HTTP is served.
    pub listen: SocketAddr,
    /// How it is protected.
    pub tls: ListenTls,
    /// The token that pages ask for on an address that is not loopback. Without it they are
    /// closed there.
    pub token_file: Option<PathBuf>,
    /// What of a row may leave the process over HTTP.
    pub evidence: Evidence,
    /// The store's file; without one nothing is remembered.
    pub store: Option<PathBuf>,
    /// How long the store keeps findings that are closed; zero: for ever.
    pub retention: Duration,
    /// How many findings the store keeps: past that the oldest closed ones go; zero: no bound.
    pub findings_max: u64,
    /// How many findings are told in full in a minute; zero: no bound.
    pub findings_per_minute: u64,
    /// Where the first start begins.
    pub start: Start,
    /// How long a copy may take before it is missing; zero turns these findings off.
    pub missing_after: Duration,
    /// Bytes of what is in flight, at most.
    pub memory: u64,
    /// The replica server id used for the first node; the next node uses the next.
    pub replica_server_id: u32,
}

/// How the listener is protected.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum ListenTls {
    /// Not at all. On an address that is not loopback there is no token then, either.
    #[default]
    None,
    /// Not here: a proxy in front of it does that, so that the token may come in the clear.
    Off,
    /// With this certificate, and its key.
    Files {
        /// PEM: the certificate, and those that sign it.
        certificate: PathBuf,
        /// PEM: its private key.
        key: PathBuf,
    },
}

/// What of a row may leave the process over HTTP.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Evidence {
    /// Keys only.
    #[default]
    Keys,
    /// Row images too.
    Full,
}

impl Evidence {
    /// The word in the file.
    pub fn as_str(self) -> &'static str {
        match self {
            Evidence::Keys => "keys",
            Evidence::Full => "full",
        }
    }
}

/// Where a first start begins; later starts resume.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Start {
    /// At the end of each node's binlog.
    #[default]
    Now,
    /// At the oldest binlog file that each node still has.
    Earliest,
    /// Per node: binlog file and offset.
    At(BTreeMap<String, (String, u64)>),
}

impl Default for WatchConfig {
    fn default() -> Self {
        WatchConfig {
            listen: SocketAddr::from(([127, 0, 0, 1], 9477)),
            tls: ListenTls::None,
            token_file: None,
            evidence: Evidence::Keys,
            store: None,
            retention: Duration::from_secs(30 * 24 * 60 * 60),
            findings_max: 1_000_000,
            findings_per_minute: 20_000,
            start: Start::Now,
            missing_after: Duration::from_secs(300),
            memory: 1 << 30,
            replica_server_id: 4_294_900_001,
        }
    }
}

/// Reads `[watch]`.
pub(super) fn read_watch(
    cursor: &Cursor<'_>,
    nodes: &[NodeConfig],
) -> Result<WatchConfig, ConfigError> {
    let table = cursor.table(&KEYS, "a table, [watch]")?;
    let mut watch = WatchConfig::default();
    if let Some(listen) = table.get("listen") {
        watch.listen = listen.parsed("a string, such as \"127.0.0.1:9477\"", parse_listen)?;
    }
    if let Some(file) = table.get("token_file") {
        watch.token_file = Some(file.words("a path, such as \"/etc/twinlog/token\"")?.into());
    }
    if let Some(tls) = table.get("tls") {
        watch.tls = read_tls(&tls)?;
    }
    if let Some(file) = table.get("token_file")
        && !watch.listen.ip().is_loopback()
        && watch.tls == ListenTls::None
    {
        let hint = "set tls = { cert = \"FILE\", key = \"FILE\" }; or tls = \"off\" where a proxy \
                    in front of twinlog speaks TLS";
        let what = format!("would cross the network in the clear: listen is {}", watch.listen);
        return Err(file.place.error(what, hint));
    }
    if let Some(evidence) = table.get("evidence") {
        watch.evidence = evidence.word(&[("keys", Evidence::Keys), ("full", Evidence::Full)])?;
    }
    if let Some(store) = table.get("store") {
        let path = store.words("a path, such as \"/var/lib/twinlog/twinlog.db\"")?;
        watch.store = Some(path.into());
    }
    if let Some(retention) = table.get("retention") {
        watch.retention = retention.parsed("a duration, such as \"30d\"", parse_long_duration)?;
    }
    if let Some(most) = table.get("findings_max") {
        watch.findings_max = most.integer(0, COUNT_MAX, "a number of findings")?;
    }
    if let Some(most) = table.get("findings_per_minute") {
        watch.findings_per_minute = most.integer(0, COUNT_MAX, "a number of findings")?;
    }
    if let Some(start) = table.get("start") {
        watch.start = read_start(&start, nodes)?;
    }
    if let Some(after) = table.get("missing_after") {
        watch.missing_after = after.parsed("a duration, such as \"5m\"", parse_duration)?;
    }
    if let Some(memory) = table.get("memory") {
        watch.memory = memory.parsed("a size, such as \"1GiB\"", parse_memory)?;
    }
    watch.replica_server_id = read_replica_server_id(&table, nodes)?;
    Ok(watch)
}

fn read_tls(cursor: &Cursor<'_>) -> Result<ListenTls, ConfigError> {
    if cursor.is_text() {
        return cursor.word(&[("off", ListenTls::Off)]);
    }
    let example = r#"{ cert = "/etc/twinlog/cert.pem", key = "/etc/twinlog/key.pem" }, or "off""#;
    let table = cursor.table(&["cert", "key"], example)?;
    let path = |name| -> Result<PathBuf, ConfigError> {
        Ok(table.need(name, example)?.words("a path to a PEM file")?.into())
    };
    Ok(ListenTls::Files { certificate: path("cert")?, key: path("key")? })
}

const COUNT_MAX: u64 = 1_000_000_000;

/// Less than this would be reached on a quiet day.
const MEMORY_MIN: u64 = 16 << 20;

fn parse_memory(text: &str) -> Result<u64, ValueError> {
    let memory = parse_size(text)?;
    match memory >= MEMORY_MIN && usize::try_from(memory).is_ok() {
        true => Ok(memory),
        false => {
            let problem = format!("{text:?} is not enough, or more than there can be");
            Err(ValueError::new(problem, "16MiB is the least; leave it out for 1GiB"))
        }
    }
}

fn parse_listen(text: &str) -> Result<SocketAddr, ValueError> {
    text.parse().map_err(|_| {
        let hint =
            r#"write "127.0.0.1:9477" or "[::1]:9477"; "0.0.0.0:9477" is every IPv4 address"#;
        ValueError::new(format!("no IP address and port: {text:?}"), hint)
    })
}

fn read_start(cursor: &Cursor<'_>, nodes: &[NodeConfig]) -> Result<Start, ConfigError> {
    if cursor.is_text() {
        return cursor.word(&[("now", Start::Now), ("earliest", Start::Earliest)]);
    }
    let example = r#""now", "earliest", or { NODE = "FILE:OFFSET" } for each node"#;
    let mut starts = BTreeMap::new();
    for (name, value) in cursor.free_table(example)?.entries() {
        Known(nodes).find(&value, name)?;
        let coordinates = value.parsed("\"FILE:OFFSET\"", parse_coordinates)?;
        starts.insert(name.to_owned(), coordinates);
    }
    let left_out = |node: &&NodeConfig| node.url.is_some() && !starts.contains_key(&node.name);
    let missing: Vec<&str> = nodes.iter().filter(left_out).map(|n| n.name.as_str()).collect();
    match missing.as_slice() {
        [] if starts.is_empty() => Err(cursor.place.error("is empty", format!("write {example}"))),
        [] => Ok(Start::At(starts)),
        missing => Err(cursor.place.error(
            format!("does not say where node {} begins", one_of(missing)),
            "coordinates are needed for every node that has a url",
        )),
    }
}

/// Reads `a-bin.000003:4`.
fn parse_coordinates(text: &str) -> Result<(String, u64), ValueError> {
    let split = text.rsplit_once(':').filter(|(file, _)| !file.is_empty() && !file.contains('/'));
    let parsed = split.and_then(|(file, offset)| Some((file.to_owned(), offset.parse().ok()?)));
    parsed.filter(|(_, offset)| *offset >= 4).ok_or_else(|| {
        let hint = "write \"a-bin.000003:4\": the file's name without its directory, then the \
                    offset of an event; a file's first event is at 4";
        ValueError::new(format!("no coordinates: {text:?}"), hint)
    })
}

/// Reads the id of the first node's connection. Checked where it is left out, too: one of
/// the ids derived from the default may be a master's own.
fn read_replica_server_id(table: &Section<'_>, nodes: &[NodeConfig]) -> Result<u32, ConfigError> {
    let cursor = table.get("replica_server_id");
    let place = cursor.as_ref().map_or(&table.place, |cursor| &cursor.place);
    let first = match &cursor {
        Some(cursor) => cursor.integer(1, REPLICA_SERVER_ID_MAX, "a server id")?,
        None => WatchConfig::default().replica_server_id,
    };
    let derived = first..first.saturating_add(nodes.len() as u32);
    for node in nodes {
        if let Some(id) = node.server_ids.iter().find(|id| derived.contains(id)) {
            return Err(place.error(
                format!(
                    "server id {id} would be used to read binlogs, but is node {}'s",
                    node.name
                ),
                "set replica_server_id so that it and the next ones, one for each node, are free",
            ));
        }
    }
    Ok(first)
}
