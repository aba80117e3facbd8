//! Where the transactions of findings are read again: files, or live servers.

use super::scan_sources::is_standard_input;
use crate::{
    binlog::evidence::Evidence,
    config::{Config, MysqlUrl, NodeConfig, PasswordSource},
    feed::{
        BinlogFile, EvidenceError, FeedError, Wanted,
        live::{LiveOptions, LivePlans, LiveStart, read_transaction},
        place_on_standard_input, read_from_files, resolve_source, server_version,
    },
    model::{NODES_MAX, NodeIndex},
};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// Per node, where its binlogs are.
#[derive(Default)]
pub struct EvidenceSources {
    nodes: BTreeMap<String, Source>,
    /// They are known for their commands only.
    is_closed: bool,
}

/// Where one node's binlogs are.
enum Source {
    Files(Vec<BinlogFile>),
    Server(Box<LiveOptions>),
}

impl EvidenceSources {
    /// Sources as the command line names them: a directory, a file or a pattern, or the url of a
    /// server; and the servers of the configuration for nodes without one.
    ///
    /// # Errors
    /// A source that does not exist or holds no binlogs, a url that is none, and a password that
    /// cannot be read.
    pub fn new(sources: &[(String, PathBuf)], config: Option<&Config>) -> anyhow::Result<Self> {
        let mut nodes: BTreeMap<String, Source> = BTreeMap::new();
        for (node, path) in sources {
            if is_standard_input(path) {
                anyhow::bail!(
                    "{node}=-: what was read from standard input cannot be read again\n  hint: \
                     scan the files themselves, {node}=DIRECTORY: a finding has the same id there"
                );
            }
            if is_url(path) {
                let options = server_of_url(node, path, config, Reader::Evidence)?;
                nodes.insert(node.clone(), Source::Server(Box::new(options)));
                continue;
            }
            let files = resolve_source(node, path)?;
            match nodes.get_mut(node) {
                Some(Source::Files(known)) => known.extend(files),
                _ => drop(nodes.insert(node.clone(), Source::Files(files))),
            }
        }
        for of in config.map(|config| config.nodes.as_slice()).unwrap_or_default() {
            let id = replica_id(config, &of.name, Reader::Evidence);
            if let Some(options) = server_of(of, of.password.clone(), id) {
                let known = nodes.entry(of.name.clone());
                known.or_insert_with(|| Source::Server(Box::new(options)));
            }
        }
        Ok(EvidenceSources { nodes, is_closed: false })
    }

    /// The sources of a scan, as its command line names them. The configuration tells how servers
    /// are reached that are among them.
    ///
    /// # Errors
    /// As [`EvidenceSources::new`].
    pub fn of_scan(sources: &[(String, PathBuf)], config: &Config) -> anyhow::Result<Self> {
        let again: Vec<(String, PathBuf)> =
            sources.iter().filter(|(_, path)| !is_standard_input(path)).cloned().collect();
        let mut all = EvidenceSources::new(&again, Some(config))?;
        all.nodes.retain(|node, _| sources.iter().any(|(of, _)| of == node));
        Ok(all)
    }

    /// True when no node has a source.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The servers of the configuration, for commands that a person can run: nothing is read, and
    /// no password either.
    pub fn for_commands(config: &Config) -> Self {
        let named = config.nodes.iter().filter_map(|of| {
            let id = replica_id(Some(config), &of.name, Reader::Evidence);
            let options = server_of(of, None, id)?;
            Some((of.name.clone(), Source::Server(Box::new(options))))
        });
        EvidenceSources { nodes: named.collect(), is_closed: true }
    }

    /// Whether this node has a source.
    pub fn has(&self, node: &str) -> bool {
        self.nodes.contains_key(node)
    }

    /// Reads a transaction again; `None` for a node without a source. Not to be called from
    /// asynchronous code: it waits for a server itself.
    ///
    /// # Errors
    /// [`EvidenceError`]; the finding stays what it is.
    pub fn read(&self, node: &str, wanted: &Wanted) -> Option<Result<Evidence, EvidenceError>> {
        let file = &*wanted.at.file;
        if let Some(place) = place_on_standard_input(file).filter(|_| !self.has_file(node, file)) {
            let node = node.to_owned();
            return Some(Err(EvidenceError::Spent { node, place, offset: wanted.at.start }));
        }
        Some(match self.nodes.get(node).filter(|_| !self.is_closed)? {
            Source::Files(files) => read_from_files(node, files, wanted),
            Source::Server(options) => {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                match runtime {
                    Ok(runtime) => runtime.block_on(read_transaction(options, wanted)),
                    Err(source) => {
                        let (node, path) = (node.to_owned(), "the connection".into());
                        Err(FeedError::Io { node, path, source }.into())
                    }
                }
            }
        })
    }

    fn has_file(&self, node: &str, file: &str) -> bool {
        match self.nodes.get(node) {
            Some(Source::Files(files)) => files.iter().any(|of| of.name == file),
            Some(Source::Server(_)) | None => false,
        }
    }

    /// The command that shows a part of a node's file without twinlog. `mariadb` is what is known
    /// of the server where the source does not say.
    pub fn proof(&self, node: &str, file: &str, start: u64, end: u64, mariadb: bool) -> String {
        let part = format!(
            "--base64-output=decode-rows -vv --start-position={start} --stop-position={end}"
        );
        let tool = |mariadb| if mariadb { "mariadb-binlog" } else { "mysqlbinlog" };
        match self.nodes.get(node) {
            Some(Source::Files(files)) => {
                let Some(found) = files.iter().find(|of| of.name == file) else {
                    return format!("{} {part} {}", tool(mariadb), quoted(file));
                };
                let version = server_version(node, found);
                let mariadb = version.map_or(mariadb, |version| version.contains("MariaDB"));
                let (tool, path) = (tool(mariadb), quoted(&found.path.to_string_lossy()));
                match found.path.extension().and_then(|ending| ending.to_str()) {
                    Some("zst") => {
                        let plain = quoted(file);
                        format!("zstd -dc {path} > {plain} && {tool} {part} {plain}")
                    }
                    Some("gz") => {
                        let plain = quoted(file);
                        format!("gzip -dc {path} > {plain} && {tool} {part} {plain}")
                    }
                    _ => format!("{tool} {part} {path}"),
                }
            }
            Some(Source::Server(options)) => {
                let url = &options.url;
                let place = match &url.socket {
                    Some(path) => format!("--socket={}", quoted(&path.to_string_lossy())),
                    None => format!("--host={} --port={}", quoted(&url.host), url.port),
                };
                format!(
                    "{} {part} --read-from-remote-server {place} --user={} --password {}",
                    tool(mariadb),
                    quoted(&url.user),
                    quoted(file)
                )
            }
            None => format!("{} {part} {}", tool(mariadb), quoted(file)),
        }
    }
}

/// Whether a source on the command line is a server, and no file.
pub(super) fn is_url(source: &Path) -> bool {
    source.to_str().is_some_and(|text| text.starts_with("mysql://"))
}

/// How a server is reached that the command line names: the configuration's node of that name says
/// with which password and TLS.
///
/// # Errors
/// A url that is none. No password is read.
pub(super) fn server_of_url(
    node: &str,
    source: &Path,
    config: Option<&Config>,
    reader: Reader,
) -> anyhow::Result<LiveOptions> {
    let url: Result<MysqlUrl, _> = source.to_string_lossy().parse();
    let url = url.map_err(|error| anyhow::anyhow!("node {node}: the url {error}"))?;
    let known = config.and_then(|c| c.nodes.iter().find(|of| of.name == *node));
    let known = known.cloned().unwrap_or_else(|| NodeConfig::named(node));
    let of = NodeConfig { url: Some(url), ..known };
    let password = of.password.clone().or_else(password_of_clients);
    let options = server_of(&of, password, replica_id(config, node, reader));
    options.ok_or_else(|| anyhow::anyhow!("node {node} has no url"))
}

/// The variable from which the servers' own clients take a password.
const CLIENTS_VARIABLE: &str = "MYSQL_PWD";

fn password_of_clients() -> Option<PasswordSource> {
    let source = PasswordSource::Env(CLIENTS_VARIABLE.to_owned());
    source.read().is_ok().then_some(source)
}

/// Who reads a server's log, beside a watch that may follow it at the same time.
#[derive(Clone, Copy)]
pub(super) enum Reader {
    /// Single transactions.
    Evidence,
    /// All of it.
    Scan,
}

/// An id that neither a watch with the same configuration uses, nor another node's reader: the
/// server would end the stream of the one that came first.
fn replica_id(config: Option<&Config>, node: &str, reader: Reader) -> u32 {
    let default = Config::default();
    let config = config.unwrap_or(&default);
    let place = config.node(node).unwrap_or(NodeIndex(NODES_MAX as u8));
    let block = NODES_MAX as u32 + 1;
    let (watched, beside) = match reader {
        Reader::Evidence => (config.watch.replica_server_id, block),
        Reader::Scan => (config.watch.replica_server_id, 2 * block),
    };
    let base = watched.checked_sub(beside).unwrap_or(watched + beside - 1);
    base.saturating_add(u32::from(place.0)).max(1)
}

fn server_of(
    of: &NodeConfig,
    password: Option<PasswordSource>,
    replica_server_id: u32,
) -> Option<LiveOptions> {
    Some(LiveOptions {
        node: of.name.clone(),
        url: of.url.clone()?,
        password,
        tls: of.effective_tls(),
        replica_server_id,
        start: LiveStart::Now,
        plans: LivePlans::none(),
    })
}

/// A word as a shell takes it.
pub(super) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}
