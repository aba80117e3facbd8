//! The one-shot scan over historical binlogs.

use super::judge::{micros, ownership, settings, table_plans, under_way_max};
use crate::{
    config::{Config, SchemaFile},
    engine::{Report, Settings, Verifier},
    feed::{BinlogFile, FeedError, FeedItem, FileFeed, file_server_ids, resolve_source},
    model::{CommitTime, Finding, Node, NodeIndex, Nodes, Transaction},
};
use std::{
    collections::VecDeque,
    path::PathBuf,
    sync::{
        Arc, RwLock,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
    time::Duration,
};

/// What to scan.
#[derive(Debug)]
pub struct ScanInput {
    /// Node names with their sources; a name may come several times, its files in that order.
    pub sources: Vec<(String, PathBuf)>,
    /// Rules and names.
    pub config: Config,
    /// What the servers know of their tables, and their logs may not say.
    pub schema: Option<SchemaFile>,
    /// In a stream that shows no copies: writes whose commit times are at most this far apart may
    /// not have known of each other.
    pub window: Duration,
}

/// Why a scan could not start.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// Wrong usage or configuration.
    #[error("{0}")]
    Usage(String),
    /// A source that cannot be read at all.
    #[error(transparent)]
    Feed(#[from] FeedError),
}

/// A scan that is ready to run.
pub struct Scan {
    nodes: Nodes,
    streams: Vec<(NodeIndex, Vec<BinlogFile>)>,
    config: Config,
    schema: SchemaFile,
    window: Duration,
}

/// What a scan tells while it runs.
pub trait ScanSink {
    /// A finding in its last state.
    fn finding(&mut self, finding: &Finding);
    /// A transaction, as a stream shows it, before it is judged.
    fn transaction(&mut self, _stream: NodeIndex, _transaction: &Transaction) {}
    /// So many more bytes of binlog have been judged.
    fn progress(&mut self, bytes: u64);
}

/// How a scan ended.
pub struct ScanEnd {
    /// The verifier with its coverage.
    pub verifier: Verifier,
    /// What stopped a stream short, and what was missing inside one.
    pub errors: Vec<FeedError>,
    /// Bytes of binlog judged.
    pub bytes: u64,
}

impl Scan {
    /// Finds the files and learns whose they are.
    ///
    /// # Errors
    /// Sources that cannot be read, and sources that contradict each other or the configuration.
    pub fn prepare(input: ScanInput) -> Result<Scan, ScanError> {
        let mut names: Vec<&str> = input.sources.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        let config = input.config.with_scan_nodes(&names);
        let config = config.map_err(|error| ScanError::Usage(error.to_string()))?;
        let mut nodes: Vec<Node> = Vec::new();
        let mut files: Vec<Vec<BinlogFile>> = Vec::new();
        for of in &config.nodes {
            let mut found = Vec::new();
            for (_, path) in input.sources.iter().filter(|(name, _)| *name == of.name) {
                found.extend(resolve_source(&of.name, path)?);
            }
            check_order(&of.name, &found)?;
            let mut node = of.to_node(!found.is_empty());
            learn_ids(&mut node, file_server_ids(&of.name, &found)?)?;
            nodes.push(node);
            files.push(found);
        }
        check_ids(&nodes)?;
        let nodes = Nodes::new(nodes);
        let streams = nodes.indices().zip(files).filter(|(_, files)| !files.is_empty()).collect();
        let (schema, window) = (input.schema.unwrap_or_default(), input.window);
        Ok(Scan { nodes, streams, config, schema, window })
    }

    /// The nodes, with the server ids learned.
    pub fn nodes(&self) -> &Nodes {
        &self.nodes
    }

    /// The configuration, its rules about the nodes of this scan.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Per stream, its files in the order in which they are read.
    pub fn files(&self) -> Vec<(String, Vec<BinlogFile>)> {
        let name = |node: &NodeIndex| self.nodes[*node].name.clone();
        self.streams.iter().map(|(node, files)| (name(node), files.clone())).collect()
    }

    /// Bytes of all files, if they are known: those of packed files are not.
    pub fn total_bytes(&self) -> Option<u64> {
        let files = self.streams.iter().flat_map(|(_, files)| files);
        files.map(|file| (!file.is_packed()).then_some(file.bytes)).sum()
    }

    /// Reads every stream on a thread of its own and judges them here, in step.
    ///
    /// # Errors
    /// Only rules that cannot be compiled; what stops a stream is in [`ScanEnd::errors`].
    pub fn run(self, sink: &mut impl ScanSink) -> anyhow::Result<ScanEnd> {
        let silent_window_micros = micros(self.window);
        let settings = Settings { silent_window_micros, ..settings(&self.config, None) };
        let mut verifier = Verifier::new(self.nodes.clone(), ownership(&self.config)?, settings);
        let (mut errors, mut bytes) = (Vec::new(), 0);
        let feed = |(node, _): &(NodeIndex, _)| {
            let name = &self.nodes[*node].name;
            let known = Arc::new(RwLock::new(self.schema.tables_of(name)));
            let bytes_max = under_way_max(Settings::default().memory_bytes, self.nodes.len()) / 2;
            Ok(FileFeed::new(name, table_plans(&self.config, known)?).bounded(bytes_max))
        };
        let feeds = self.streams.iter().map(feed).collect::<anyhow::Result<Vec<_>>>()?;
        thread::scope(|scope| {
            let mut inputs = Vec::new();
            for ((node, files), mut feed) in self.streams.iter().zip(feeds) {
                let (send, receive) = sync_channel(BATCHES_MAX);
                scope.spawn(move || {
                    let mut batch = Batch::default();
                    let result = feed.run(files, |item, bytes| batch.add(item, bytes, &send));
                    batch.end(result.err(), &send);
                });
                inputs.push(Input::new(*node, receive));
            }
            let mut reports = Vec::new();
            bytes = judge_all(&mut verifier, &mut inputs, &mut reports, sink);
            for Input { node, missing, error, .. } in inputs {
                let node = &self.nodes[node].name;
                let missing = missing.into_iter();
                errors.extend(
                    missing.map(|detail| FeedError::Missing { node: node.clone(), detail }),
                );
                errors.extend(error);
            }
        });
        Ok(ScanEnd { verifier, errors, bytes })
    }
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

fn learn_ids(node: &mut Node, found: Vec<u32>) -> Result<(), ScanError> {
    if let Some(stranger) = found.iter().find(|id| !node.server_ids.contains(id))
        && !node.server_ids.is_empty()
    {
        return Err(ScanError::Usage(format!(
            "node {}: its binlogs were written by server id {stranger}, but the configuration \
             gives it {:?}\n  hint: is this another node's directory? else add the id to \
             nodes.{}.server_ids",
            node.name, node.server_ids, node.name
        )));
    }
    node.server_ids.extend(found);
    node.server_ids.sort_unstable();
    node.server_ids.dedup();
    Ok(())
}

fn check_ids(nodes: &[Node]) -> Result<(), ScanError> {
    for (at, one) in nodes.iter().enumerate() {
        for other in &nodes[..at] {
            if let Some(id) = one.server_ids.iter().find(|id| other.server_ids.contains(id)) {
                return Err(ScanError::Usage(format!(
                    "nodes {} and {} both have server id {id}\n  hint: are these two sources of \
                     one server? every master needs a server_id of its own",
                    other.name, one.name
                )));
            }
        }
    }
    Ok(())
}

/// Batches on their way from a reader to the judge; with their size, what bounds the memory of
/// the reader that is ahead.
const BATCHES_MAX: usize = 4;
/// What a batch weighs about, in bytes, before it is sent.
const BATCH_WEIGHT: usize = 320 << 10;

/// What a batch weighs, in bytes, that holds a huge transaction.
const HEAVY_WEIGHT: usize = 16 << 20;

/// Items of one stream on their way to the judge.
#[derive(Default)]
struct Batch {
    items: Vec<(FeedItem, u64)>,
    weight: usize,
    error: Option<FeedError>,
}

impl Batch {
    /// Adds an item; false when the judge has gone.
    fn add(&mut self, item: FeedItem, bytes: u64, send: &SyncSender<Batch>) -> bool {
        self.weight += match &item {
            FeedItem::Transaction(tx) => tx.weight(),
            _ => 100,
        };
        self.items.push((item, bytes));
        self.weight < BATCH_WEIGHT || self.send(send)
    }

    /// Sends it; false when the judge has gone. A heavy one has nothing behind it in the queue:
    /// the next is read when the judge has come to it.
    fn send(&mut self, send: &SyncSender<Batch>) -> bool {
        let behind = if self.weight >= HEAVY_WEIGHT { BATCHES_MAX } else { 0 };
        let batch = std::mem::take(self);
        send.send(batch).is_ok() && (0..behind).all(|_| send.send(Batch::default()).is_ok())
    }

    fn end(mut self, error: Option<FeedError>, send: &SyncSender<Batch>) {
        self.error = error;
        // The judge may have gone; then nobody waits for this.
        let _ = send.send(self);
    }
}

/// The judge's end of one stream.
struct Input {
    node: NodeIndex,
    receive: Receiver<Batch>,
    items: VecDeque<(FeedItem, u64)>,
    error: Option<FeedError>,
    ended: bool,
    newest: CommitTime,
    missing: Vec<String>,
}

impl Input {
    fn new(node: NodeIndex, receive: Receiver<Batch>) -> Self {
        let newest = CommitTime::default();
        let (items, missing) = (VecDeque::new(), Vec::new());
        Input { node, receive, items, error: None, ended: false, newest, missing }
    }

    /// Makes sure that the next item is here, if there is one.
    fn fill(&mut self) {
        while self.items.is_empty() && !self.ended {
            match self.receive.recv() {
                Ok(batch) => {
                    self.items.extend(batch.items);
                    self.error = batch.error.or(self.error.take());
                }
                Err(_) => self.ended = true,
            }
        }
    }

    /// When the next transaction is to be judged: by its commit time, and, of one time, originals
    /// before copies, for a copy that comes first has to wait for its original. Anything else comes
    /// first of all.
    fn next_time(&mut self, nodes: &Nodes) -> Option<(CommitTime, bool)> {
        self.fill();
        self.items.front().map(|(item, _)| match item {
            FeedItem::Transaction(tx) => {
                (tx.committed_at, nodes.by_server_id(tx.server_id) != Some(self.node))
            }
            _ => (CommitTime { micros: i64::MIN, whole_seconds: false }, false),
        })
    }
}

/// Judges all streams in step: always the one whose next transaction is the oldest. The order
/// changes no finding; it keeps what is held small.
fn judge_all(
    verifier: &mut Verifier,
    inputs: &mut [Input],
    reports: &mut Vec<Report>,
    sink: &mut impl ScanSink,
) -> u64 {
    for input in inputs.iter_mut() {
        input.fill();
        let begin = match input.items.front() {
            Some((FeedItem::Begin(_), _)) => input.items.pop_front(),
            _ => None,
        };
        let Some((FeedItem::Begin(baseline), _)) = begin else { continue };
        verifier.begin(input.node, baseline);
    }
    let (mut total, nodes) = (0, verifier.nodes().clone());
    loop {
        let times = inputs.iter_mut().enumerate();
        let times = times.filter_map(|(at, input)| Some((input.next_time(&nodes)?, at)));
        let Some((_, at)) = times.min() else { break };
        let input = &mut inputs[at];
        let Some((item, bytes)) = input.items.pop_front() else { break };
        match item {
            FeedItem::Begin(_) | FeedItem::Standing { .. } => {}
            FeedItem::Transaction(tx) => {
                input.newest = input.newest.max(tx.committed_at);
                sink.transaction(input.node, &tx);
                verifier.observe(input.node, &tx, reports);
            }
            FeedItem::Gap { missing, detail } => {
                input.missing.push(detail.clone());
                verifier.gap(input.node, &missing, detail, input.newest, reports);
            }
        }
        total += bytes;
        sink.progress(bytes);
        hand_over(reports, sink);
    }
    for input in inputs.iter().filter(|input| input.error.is_some()) {
        verifier.cut_off(input.node);
    }
    verifier.finish(reports);
    hand_over(reports, sink);
    total
}

fn hand_over(reports: &mut Vec<Report>, sink: &mut impl ScanSink) {
    for report in reports.drain(..) {
        if report.finding.settled {
            sink.finding(&report.finding);
        }
    }
}
