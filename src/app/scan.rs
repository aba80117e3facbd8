//! The one-shot scan over historical binlogs.

use super::{
    ahead::{Ahead, Delivered as _, wants_rows},
    judge::{micros, ownership, settings, table_plans, under_way_max},
    scan_sources::{self, StreamSource},
};
use crate::{
    config::{Config, SchemaFile},
    engine::{Report, Settings, Verifier},
    feed::{FeedError, FeedItem},
    model::{CommitTime, Finding, Gtid, NodeIndex, Nodes, Transaction},
};
use std::{
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
    streams: Vec<(NodeIndex, StreamSource)>,
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
        let (nodes, sources) = scan_sources::find(&input.sources, &config)?;
        let nodes = Nodes::new(nodes);
        let streams = nodes.indices().zip(sources);
        let streams = streams.filter_map(|(node, source)| Some((node, source?))).collect();
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

    /// Per stream, its files in the order in which they are read, with their lengths on disk; what
    /// is no file has none.
    pub fn files(&self) -> Vec<(String, Vec<(String, u64)>)> {
        let name = |node: &NodeIndex| self.nodes[*node].name.clone();
        self.streams.iter().map(|(node, source)| (name(node), source.files())).collect()
    }

    /// Bytes of all streams, if they are known: those of packed files, say, are not.
    pub fn total_bytes(&self) -> Option<u64> {
        self.streams.iter().map(|(_, source)| source.bytes()).sum()
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
        for (node, source) in &self.streams {
            if let Some(why) = source.leaves_out() {
                verifier.leaves_copies_out(*node, why);
            }
        }
        let bytes_max = under_way_max(Settings::default().memory_bytes, self.nodes.len()) / 2;
        let reader = |(node, source): (NodeIndex, StreamSource)| {
            let name = self.nodes[node].name.clone();
            let mut tables = source.tables();
            tables.extend(self.schema.tables_of(&name));
            let plans = table_plans(&self.config, Arc::new(RwLock::new(tables)))?;
            Ok((node, name, source, plans))
        };
        let readers = self.streams.into_iter().map(reader).collect::<anyhow::Result<Vec<_>>>()?;
        thread::scope(|scope| {
            let mut inputs = Vec::new();
            for (node, name, source, plans) in readers {
                let (send, receive) = sync_channel(BATCHES_MAX);
                scope.spawn(move || {
                    let mut batch = Batch::default();
                    let deliver = |item, bytes| batch.add(item, bytes, &send);
                    let result = source.read(&name, plans, bytes_max, deliver);
                    batch.end(result.err(), &send);
                });
                inputs.push(Input::new(node, receive));
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

/// Batches on their way from a reader to the judge; with their size, what bounds the memory of
/// the reader that is ahead.
const BATCHES_MAX: usize = 4;
/// What a batch weighs about, in bytes, before it is sent.
const BATCH_WEIGHT: usize = 320 << 10;

/// What may be read ahead of the judge, in bytes, to find the copy of an original that was logged
/// as statements; past that the original is judged without its rows.
const AHEAD_MAX: usize = 64 << 20;

/// What an item weighs, in bytes, that is no transaction.
const ITEM_WEIGHT: usize = 100;

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
        let item = (item, bytes);
        self.weight += weight(&item);
        self.items.push(item);
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
    items: Ahead<(FeedItem, u64)>,
    /// What the items weigh, in bytes.
    weight: usize,
    error: Option<FeedError>,
    ended: bool,
    newest: CommitTime,
    missing: Vec<String>,
}

impl Input {
    fn new(node: NodeIndex, receive: Receiver<Batch>) -> Self {
        let newest = CommitTime::default();
        let (items, missing) = (Ahead::default(), Vec::new());
        Input { node, receive, items, weight: 0, error: None, ended: false, newest, missing }
    }

    /// Makes sure that the next item is here, if there is one.
    fn fill(&mut self) {
        while self.items.is_empty() && !self.ended {
            self.read_on();
        }
    }

    fn read_on(&mut self) {
        match self.receive.recv() {
            Ok(batch) => {
                self.weight += batch.weight;
                self.items.extend(batch.items);
                self.error = batch.error.or(self.error.take());
            }
            Err(_) => self.ended = true,
        }
    }

    fn pop(&mut self) -> Option<(FeedItem, u64)> {
        let item = self.items.pop()?;
        self.weight -= weight(&item);
        Some(item)
    }

    /// Reads on until the transaction of this GTID is here, if the stream shows it within what may
    /// be read ahead.
    fn look_ahead(&mut self, gtid: &Gtid) {
        self.items.note();
        while self.items.get(gtid).is_none()
            && !(self.items.has_passed(gtid) || self.ended || self.weight >= AHEAD_MAX)
        {
            self.read_on();
            self.items.note();
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
            Some((FeedItem::Begin(_), _)) => input.pop(),
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
        let Some((item, bytes)) = inputs[at].pop() else { break };
        match item {
            FeedItem::Begin(_) | FeedItem::Standing { .. } => {}
            FeedItem::Transaction(mut tx) => {
                let (node, origin) = (inputs[at].node, nodes.by_server_id(tx.server_id));
                sink.transaction(node, &tx);
                if wants_rows(&tx, node, origin) {
                    find_rows(&mut tx, inputs, at, verifier);
                }
                inputs[at].newest = inputs[at].newest.max(tx.committed_at);
                verifier.observe(node, &tx, reports);
            }
            FeedItem::Gap { missing, detail } => {
                let input = &mut inputs[at];
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

/// What an item weighs, in bytes.
fn weight(item: &(FeedItem, u64)) -> usize {
    item.transaction().map_or(ITEM_WEIGHT, Transaction::weight)
}

/// Gives an original that was logged as statements the rows of a copy, where one shows them: that
/// of the first node, so that nothing depends on which is read first.
fn find_rows(tx: &mut Transaction, inputs: &mut [Input], at: usize, verifier: &Verifier) {
    let Some(gtid) = tx.gtid else { return };
    let others = inputs.iter_mut().enumerate().filter(|(other, _)| *other != at);
    others.for_each(|(_, input)| input.look_ahead(&gtid));
    let ahead = inputs.iter().filter_map(|input| Some((input.node, input.items.get(&gtid)?)));
    let ahead = ahead.filter(|(node, copy)| *node != inputs[at].node && copy.shows_rows());
    let copies = ahead.chain(verifier.rows_of_copy(&gtid));
    if let Some((_, copy)) = copies.min_by_key(|(node, _)| *node) {
        tx.take_rows_of(copy);
    }
}

fn hand_over(reports: &mut Vec<Report>, sink: &mut impl ScanSink) {
    for report in reports.drain(..) {
        if report.finding.settled {
            sink.finding(&report.finding);
        }
    }
}
