//! The sources of a scan: whose streams they are, and how each is read.

use super::{
    scan::ScanError,
    sources::{Reader, is_url, server_of_url},
};
use crate::{
    binlog::TablePlans,
    config::{Config, NodeConfig},
    feed::{
        BinlogFile, FeedError, FeedItem, FileFeed, Heads, STANDARD_INPUT, StandardInput,
        file_heads,
        live::{
            LiveOptions, LivePlans, LiveStart, LogEnd, ServerFacts, logged_by_now, meet_once,
            read_once,
        },
        resolve_source,
    },
    model::{GtidSet, Node, TableSchemas},
};
use std::path::{Path, PathBuf};
use tokio::runtime::Runtime;

/// Where one node's stream is read.
pub(super) enum StreamSource {
    /// Binlog files or relay logs, in stream order.
    Files(Vec<BinlogFile>, Heads),
    /// A server, which sends what it still has.
    Server(Box<ServerLog>),
    /// Binlogs on standard input, and the servers that may have written them.
    StandardInput(StandardInput, Vec<u32>),
}

/// The log of a server, up to a moment.
pub(super) struct ServerLog {
    options: LiveOptions,
    /// What the server knows of its tables.
    tables: TableSchemas,
    /// What it had logged when the scan began; known once all servers have been met.
    end: LogEnd,
}

/// Finds the sources of all nodes, and learns whose they are.
///
/// # Errors
/// Sources that cannot be read, and sources that contradict each other or the configuration.
pub(super) fn find(
    named: &[(String, PathBuf)],
    config: &Config,
) -> Result<(Vec<Node>, Vec<Option<StreamSource>>), ScanError> {
    check_standard_input(named)?;
    let (mut nodes, mut sources) = (Vec::new(), Vec::new());
    for of in &config.nodes {
        let of_node = named.iter().filter(|(name, _)| *name == of.name);
        let paths: Vec<&Path> = of_node.map(|(_, path)| path.as_path()).collect();
        check_alone(of, &paths)?;
        let mut node = of.to_node(!paths.is_empty());
        sources.push(match paths.as_slice() {
            [] => None,
            [url] if is_url(url) => Some(server(&mut node, url, config)?),
            [input] if is_standard_input(input) => Some(standard_input(&mut node)?),
            paths => Some(files(&mut node, paths)?),
        });
        nodes.push(node);
    }
    check_ids(&nodes, &sources)?;
    // Last, and of all one after the other, so that the streams reach to about the same moment.
    for source in sources.iter_mut().flatten() {
        if let StreamSource::Server(log) = source {
            let runtime = runtime(&log.options.node)?;
            log.end = runtime.block_on(logged_by_now(&log.options))?;
        }
    }
    Ok((nodes, sources))
}

/// Whether a source on the command line is standard input.
pub(super) fn is_standard_input(source: &Path) -> bool {
    source == Path::new(STANDARD_INPUT)
}

/// Standard input is one stream.
fn check_standard_input(named: &[(String, PathBuf)]) -> Result<(), ScanError> {
    let mut nodes = named.iter().filter(|(_, source)| is_standard_input(source));
    let (Some((first, _)), Some((second, _))) = (nodes.next(), nodes.next()) else {
        return Ok(());
    };
    Err(ScanError::Usage(format!(
        "{first}=- and {second}=-: standard input is one stream\n  hint: one source at most is -, \
         with all files of that node one after the other"
    )))
}

/// A server, or standard input, is a whole stream: no files come before it or after it.
fn check_alone(of: &NodeConfig, paths: &[&Path]) -> Result<(), ScanError> {
    let is_alone = |path: &&&Path| is_url(path) || is_standard_input(path);
    let Some(alone) = paths.iter().find(is_alone).filter(|_| paths.len() > 1) else {
        return Ok(());
    };
    let what = if is_url(alone) { "its server" } else { "standard input" };
    Err(ScanError::Usage(format!(
        "node {}: {what} and another source\n  hint: give {what} alone, or files only: the order \
         of both together is not known",
        of.name
    )))
}

fn files(node: &mut Node, paths: &[&Path]) -> Result<StreamSource, ScanError> {
    let mut files = Vec::new();
    for path in paths {
        files.extend(resolve_source(&node.name, path)?);
    }
    check_order(&node.name, &files)?;
    let heads = file_heads(&node.name, &files)?;
    learn_ids(node, &heads)?;
    Ok(StreamSource::Files(files, heads))
}

fn standard_input(node: &mut Node) -> Result<StreamSource, ScanError> {
    let input = StandardInput::open(&node.name)?;
    learn_ids(node, &Heads { server_ids: vec![input.server_id], relayed_to: None })?;
    Ok(StreamSource::StandardInput(input, node.server_ids.clone()))
}

/// Asks a server who it is and what it knows of its tables.
fn server(node: &mut Node, url: &Path, config: &Config) -> Result<StreamSource, ScanError> {
    let options = server_of_url(&node.name, url, Some(config), Reader::Scan);
    let options = options.map_err(|error| ScanError::Usage(error.to_string()))?;
    let options = LiveOptions { start: LiveStart::Earliest, ..options };
    let (facts, tables) = runtime(&node.name)?.block_on(meet_once(&options))?;
    learn_server(node, &facts)?;
    let end = LogEnd::Gtids(GtidSet::default());
    Ok(StreamSource::Server(Box::new(ServerLog { options, tables, end })))
}

/// What waits for servers: a stream's thread has one of its own.
fn runtime(node: &str) -> Result<Runtime, FeedError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|source| {
        let (node, path) = (node.to_owned(), "the connection".into());
        FeedError::Io { node, path, source }
    })
}

impl StreamSource {
    /// What is read, with lengths on disk; what is no file has none.
    pub(super) fn files(&self) -> Vec<(String, u64)> {
        match self {
            StreamSource::Files(files, _) => {
                files.iter().map(|file| (file.name.clone(), file.bytes)).collect()
            }
            StreamSource::Server(log) => vec![(log.options.url.to_string(), 0)],
            StreamSource::StandardInput(..) => vec![("standard input".to_owned(), 0)],
        }
    }

    /// Bytes of binlog that will be read, where that is known.
    pub(super) fn bytes(&self) -> Option<u64> {
        match self {
            StreamSource::Files(files, _) => {
                files.iter().map(|file| (!file.is_packed()).then_some(file.bytes)).sum()
            }
            StreamSource::Server(_) | StreamSource::StandardInput(..) => None,
        }
    }

    /// What the source knows of its tables, beside its log.
    pub(super) fn tables(&self) -> TableSchemas {
        match self {
            StreamSource::Server(log) => log.tables.clone(),
            StreamSource::Files(..) | StreamSource::StandardInput(..) => TableSchemas::default(),
        }
    }

    /// Why it shows not all transactions of other nodes, where that is known beforehand.
    pub(super) fn leaves_out(&self) -> Option<String> {
        let StreamSource::Files(_, Heads { relayed_to: Some(replica), .. }) = self else {
            return None;
        };
        Some(format!(
            "this stream is read from relay logs: transactions of the replica, server id \
             {replica}, are not in them, and rows are not compared"
        ))
    }

    /// Reads the stream to its end, and gives every item to `deliver`, with the bytes read since
    /// the one before; stops early when `deliver` says no. Of a transaction so many bytes are held.
    ///
    /// # Errors
    /// The first place that cannot be read; everything before it has been delivered.
    pub(super) fn read(
        self,
        node: &str,
        plans: TablePlans,
        bytes_max: usize,
        deliver: impl FnMut(FeedItem, u64) -> bool,
    ) -> Result<(), FeedError> {
        match self {
            StreamSource::Files(files, heads) => {
                FileFeed::new(node, plans).of(&heads).bounded(bytes_max).run(&files, deliver)
            }
            StreamSource::StandardInput(input, known) => {
                FileFeed::new(node, plans).bounded(bytes_max).run_input(input, &known, deliver)
            }
            StreamSource::Server(log) => {
                let ServerLog { options, end, .. } = *log;
                let options = LiveOptions { plans: LivePlans::fixed(plans), ..options };
                // One more transaction is under way than of files.
                let read = read_once(options, &end, bytes_max / 2, deliver);
                runtime(node)?.block_on(read)
            }
        }
    }
}

/// Learns a node's ids from its server.
fn learn_server(node: &mut Node, facts: &ServerFacts) -> Result<(), ScanError> {
    if !node.server_ids.is_empty() && !node.server_ids.contains(&facts.server_id) {
        return Err(ScanError::Usage(format!(
            "node {}: the server has server id {}, but the configuration gives it {:?}\n  \
             hint: is the url another node's? else add the id to nodes.{}.server_ids",
            node.name, facts.server_id, node.server_ids, node.name
        )));
    }
    learn_ids(node, &Heads { server_ids: vec![facts.server_id], relayed_to: None })?;
    if let Some(uuid) = facts.server_uuid.filter(|uuid| !node.server_uuids.contains(uuid)) {
        node.server_uuids.push(uuid);
    }
    Ok(())
}

/// Files of one server go up in number. In another order their transactions would look as if they
/// went in circles.
fn check_order(node: &str, files: &[BinlogFile]) -> Result<(), ScanError> {
    let number = |file: &BinlogFile| {
        let (base, number) = file.name.rsplit_once('.')?;
        Some((base.to_owned(), number.parse::<u64>().ok()?))
    };
    for pair in files.windows(2) {
        let (Some((base, first)), Some((other, second))) = (number(&pair[0]), number(&pair[1]))
        else {
            continue;
        };
        if base == other && second <= first {
            return Err(ScanError::Usage(format!(
                "node {node}: {} comes after {}\n  hint: name each file once, in the order of \
                 their numbers",
                pair[1].path.display(),
                pair[0].path.display()
            )));
        }
    }
    Ok(())
}

fn learn_ids(node: &mut Node, found: &Heads) -> Result<(), ScanError> {
    let known = &node.server_ids;
    if let Some(stranger) = found.server_ids.iter().find(|id| !known.contains(id))
        && !known.is_empty()
    {
        let (what, hint) = match found.relayed_to {
            None => (
                "binlogs were written",
                format!(
                    "is this another node's directory? else add the id to nodes.{}.server_ids",
                    node.name
                ),
            ),
            Some(_) => ("relay logs were sent", RELAY_HINT.to_owned()),
        };
        return Err(ScanError::Usage(format!(
            "node {}: its {what} by server id {stranger}, but the configuration gives it \
             {known:?}\n  hint: {hint}",
            node.name
        )));
    }
    node.server_ids.extend(&found.server_ids);
    node.server_ids.sort_unstable();
    node.server_ids.dedup();
    Ok(())
}

/// What to do about relay logs under the wrong name.
const RELAY_HINT: &str = "relay logs are the stream of the server that they were received from: \
                          give them under its name, or give binlogs";

fn check_ids(nodes: &[Node], sources: &[Option<StreamSource>]) -> Result<(), ScanError> {
    for (at, one) in nodes.iter().enumerate() {
        for (before, other) in nodes[..at].iter().enumerate() {
            let Some(id) = one.server_ids.iter().find(|id| other.server_ids.contains(id)) else {
                continue;
            };
            let relayed = [at, before].iter().any(|at| {
                sources[*at].as_ref().is_some_and(|source| source.leaves_out().is_some())
            });
            let hint = match relayed {
                true => RELAY_HINT,
                false => {
                    "are these two sources of one server? every master needs a server_id of its own"
                }
            };
            return Err(ScanError::Usage(format!(
                "nodes {} and {} both have server id {id}\n  hint: {hint}",
                other.name, one.name
            )));
        }
    }
    Ok(())
}
