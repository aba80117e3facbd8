//! `[nodes.*]`: the masters, their server identities and how to reach them.

use super::cursor::{Cursor, Place, Section};
use super::error::{ConfigError, ValueError};
use super::{MysqlUrl, PasswordSource};
use crate::model::{NODES_MAX, Node, parse_uuid};
use std::path::PathBuf;

const NAME_CHARS_MAX: usize = 64;

const KEYS: [&str; 6] =
    ["url", "password_file", "password_env", "server_ids", "server_uuids", "tls"];

/// One master.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct NodeConfig {
    /// Its name, everywhere.
    pub name: String,
    /// Every `server_id` it has or had; where empty, learned from the server or its binlogs.
    pub server_ids: Vec<u32>,
    /// Every MySQL `server_uuid` it has or had; where empty, learned likewise.
    pub server_uuids: Vec<[u8; 16]>,
    /// Where it listens; `watch` and `schema` need it, `findings` reads rows from it.
    pub url: Option<MysqlUrl>,
    /// Where its password is; none means an account without one.
    pub password: Option<PasswordSource>,
    /// How connections are protected, where the file says so; see
    /// [`NodeConfig::effective_tls`].
    pub tls: Option<TlsConfig>,
}

/// How connections to a node are protected.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TlsConfig {
    /// How much is asked of the server.
    pub mode: TlsMode,
    /// Certificate authorities in PEM; the well-known public ones where none is given.
    pub ca: Option<PathBuf>,
    /// Our own certificate and its key in PEM, for accounts that must show one.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// What is asked of a server before it is trusted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum TlsMode {
    /// Nothing; the bytes are not encrypted.
    #[default]
    Off,
    /// Encryption; any certificate will do.
    Required,
    /// A certificate from a trusted authority, for whatever name.
    VerifyCa,
    /// A certificate from a trusted authority for the very host in the url.
    VerifyIdentity,
}

impl NodeConfig {
    /// A node of which only the name is known.
    pub fn named(name: &str) -> Self {
        NodeConfig { name: name.to_owned(), ..NodeConfig::default() }
    }

    /// The protection in force: as configured; else none on a socket or loopback address, and
    /// the server's identity verified everywhere else.
    pub fn effective_tls(&self) -> TlsConfig {
        let local = self.url.as_ref().is_some_and(MysqlUrl::is_local);
        let mode = if local { TlsMode::Off } else { TlsMode::VerifyIdentity };
        self.tls.clone().unwrap_or(TlsConfig { mode, ..TlsConfig::default() })
    }

    /// This node in the model's words.
    pub fn to_node(&self, has_stream: bool) -> Node {
        Node {
            name: self.name.clone(),
            server_ids: self.server_ids.clone(),
            server_uuids: self.server_uuids.clone(),
            has_stream,
        }
    }
}

/// Checks a node's name.
pub(super) fn check_name(name: &str) -> Result<(), ValueError> {
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    match (1..=NAME_CHARS_MAX).contains(&name.len()) && name.chars().all(legal) {
        true => Ok(()),
        false => Err(ValueError::new(
            format!("no name for a node: {name:?}"),
            format!("1 to {NAME_CHARS_MAX} letters, digits, _ and -, such as \"eu-1\""),
        )),
    }
}

/// Reads all nodes, sorted by name.
pub(super) fn read_nodes(section: &Section<'_>) -> Result<Vec<NodeConfig>, ConfigError> {
    let mut nodes: Vec<NodeConfig> = Vec::new();
    for (name, cursor) in section.entries() {
        check_name(name).map_err(|what| cursor.place.fail(what))?;
        if nodes.len() == NODES_MAX {
            let message = format!("one node more than the {NODES_MAX} that a ring can have");
            return Err(cursor.place.error(message, "split the ring, one twinlog for each part"));
        }
        nodes.push(read_node(name, &cursor, &nodes)?);
    }
    nodes.sort_by(|x, y| x.name.cmp(&y.name));
    Ok(nodes)
}

fn read_node(
    name: &str,
    cursor: &Cursor<'_>,
    others: &[NodeConfig],
) -> Result<NodeConfig, ConfigError> {
    let table = cursor.table(&KEYS, &format!("a table, [nodes.{name}]"))?;
    let mut node = NodeConfig::named(name);
    if let Some(ids) = table.get("server_ids") {
        node.server_ids = read_server_ids(&ids, others)?;
    }
    if let Some(uuids) = table.get("server_uuids") {
        node.server_uuids = read_server_uuids(&uuids, others)?;
    }
    if let Some(url) = table.get("url") {
        node.url = Some(read_url(&url, others)?);
    }
    node.password = read_password(&table)?;
    if let Some(tls) = table.get("tls") {
        node.tls = Some(read_tls(&tls, &node)?);
    }
    Ok(node)
}

fn read_server_ids(cursor: &Cursor<'_>, others: &[NodeConfig]) -> Result<Vec<u32>, ConfigError> {
    let mut ids = Vec::new();
    for element in cursor.list("a list of server ids, such as [1]")? {
        let id = element.integer(1, u32::MAX, "a server id as SELECT @@server_id shows it")?;
        let owner = others.iter().find(|node| node.server_ids.contains(&id));
        refuse_second(&element.place, &format!("server id {id}"), owner, ids.contains(&id))?;
        ids.push(id);
    }
    Ok(ids)
}

fn read_server_uuids(
    cursor: &Cursor<'_>,
    others: &[NodeConfig],
) -> Result<Vec<[u8; 16]>, ConfigError> {
    let mut uuids = Vec::new();
    for element in cursor.list(r#"a list of server UUIDs, such as ["3e11fa47-..."]"#)? {
        let text = element.text("a server UUID as a string")?;
        let uuid = parse_uuid(text).ok_or_else(|| {
            let hint = "write it as SELECT @@server_uuid shows it: 32 hex digits with dashes";
            element.place.error(format!("no server UUID: {text:?}"), hint)
        })?;
        let owner = others.iter().find(|node| node.server_uuids.contains(&uuid));
        refuse_second(
            &element.place,
            &format!("server UUID {text}"),
            owner,
            uuids.contains(&uuid),
        )?;
        uuids.push(uuid);
    }
    Ok(uuids)
}

/// Refuses an identity that another node has, or this one already.
fn refuse_second(
    place: &Place<'_>,
    what: &str,
    owner: Option<&NodeConfig>,
    again: bool,
) -> Result<(), ConfigError> {
    let hint = "every server belongs to one node: it says whose a transaction is";
    match owner {
        Some(node) => {
            Err(place.error(format!("{what} already belongs to node {}", node.name), hint))
        }
        None if again => Err(place.error(format!("{what} is listed twice"), "list it once")),
        None => Ok(()),
    }
}

fn read_url(cursor: &Cursor<'_>, others: &[NodeConfig]) -> Result<MysqlUrl, ConfigError> {
    let url: MysqlUrl =
        cursor.parsed(r#"a string, such as "mysql://twinlog@10.0.0.1:3306""#, str::parse)?;
    let same = |node: &&NodeConfig| node.url.as_ref().is_some_and(|u| u.same_server(&url));
    match others.iter().find(same) {
        Some(node) => Err(cursor.place.error(
            format!("{url} is the same server as nodes.{}.url", node.name),
            "two nodes are two servers; give each its own address",
        )),
        None => Ok(url),
    }
}

fn read_password(table: &Section<'_>) -> Result<Option<PasswordSource>, ConfigError> {
    let (file, variable) = (table.get("password_file"), table.get("password_env"));
    match (file, variable) {
        (Some(_), Some(variable)) => Err(variable
            .place
            .error("password_file is there too", "keep one: password_file or password_env")),
        (Some(file), None) => {
            let path = file.words(r#"a path, such as "/etc/twinlog/a.password""#)?;
            Ok(Some(PasswordSource::File(path.into())))
        }
        (None, Some(variable)) => {
            let name = variable.parsed("a variable's name as a string", check_variable)?;
            Ok(Some(PasswordSource::Env(name)))
        }
        (None, None) => Ok(None),
    }
}

/// Checks the name of an environment variable. What is no name may be the password itself, put
/// in the wrong place, so the message does not repeat it.
fn check_variable(name: &str) -> Result<String, ValueError> {
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '_';
    match !name.is_empty() && name.chars().all(legal) {
        true => Ok(name.to_owned()),
        false => Err(ValueError::new(
            "is no name of an environment variable",
            "letters, digits and _, such as \"TWINLOG_A_PASSWORD\"; never the password itself",
        )),
    }
}

fn read_tls(cursor: &Cursor<'_>, node: &NodeConfig) -> Result<TlsConfig, ConfigError> {
    let example = r#"a table, such as { mode = "verify-ca", ca = "/etc/twinlog/ca.pem" }"#;
    let table = cursor.table(&["mode", "ca", "cert", "key"], example)?;
    let words = [
        ("off", TlsMode::Off),
        ("required", TlsMode::Required),
        ("verify-ca", TlsMode::VerifyCa),
        ("verify-identity", TlsMode::VerifyIdentity),
    ];
    let ca = table.get("ca").map(|ca| ca.words("a path to a PEM file")).transpose()?;
    let mode = match (table.get("mode"), ca) {
        (None, Some(_)) => TlsMode::VerifyIdentity,
        (mode, _) => mode
            .map_or_else(|| table.need("mode", r#"mode = "verify-identity""#), Ok)?
            .word(&words)?,
    };
    if ca.is_some() && matches!(mode, TlsMode::Off | TlsMode::Required) {
        let hint = r#"use mode = "verify-ca" or "verify-identity", or take ca out"#;
        return Err(cursor.place.error("has a ca that this mode does not look at", hint));
    }
    if mode != TlsMode::Off && node.url.as_ref().is_some_and(|url| url.socket.is_some()) {
        let hint = r#"take tls out: the bytes do not leave the machine"#;
        return Err(cursor.place.error("asks for TLS over a unix socket", hint));
    }
    let pem = |name: &str| table.get(name).map(|of| of.words("a path to a PEM file")).transpose();
    let identity = match (pem("cert")?, pem("key")?) {
        (None, None) => None,
        (Some(_), Some(_)) if mode == TlsMode::Off => {
            let hint = r#"use mode = "required" or more, or take cert and key out"#;
            return Err(cursor.place.error("has a certificate and is off", hint));
        }
        (Some(cert), Some(key)) => Some((cert.into(), key.into())),
        _ => {
            let hint = "an account that must show a certificate needs both";
            return Err(cursor.place.error("has one of cert and key", hint));
        }
    };
    Ok(TlsConfig { mode, ca: ca.map(PathBuf::from), identity })
}
