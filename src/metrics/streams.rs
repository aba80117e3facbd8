//! What the streams bring: transactions, rows, bytes, and how late they are.

use super::{Metrics, names};
use crate::model::{
    CommitTime, Node, NodeIndex, Nodes, Operation, Setting, Transaction, file_number,
};
use prometheus::{
    Counter, CounterVec, Gauge, GaugeVec, Histogram, HistogramVec, IntCounter, IntCounterVec,
    IntGauge, IntGaugeVec, Registry, Result,
};

/// What the origin label says of a server that no node names.
const UNKNOWN: &str = "unknown";

const OPERATIONS: [Operation; 3] = [Operation::Insert, Operation::Update, Operation::Delete];

/// The series of one stream and its server, found once: a transaction is counted without looking
/// for one by its labels.
pub(super) struct Stream {
    /// By origin; last, transactions of servers that no node names.
    shown: Vec<Shown>,
    delay: Gauge,
    bytes: IntCounter,
    /// By type.
    events: IntCounterVec,
    name: String,
    file_number: IntGauge,
    offset: IntGauge,
    connected: IntGauge,
    /// By reason.
    reconnects: IntCounterVec,
    gaps: IntCounter,
    applied_answers: IntCounter,
    oldest_file: IntGauge,
    newest_file: IntGauge,
    needed_file: IntGauge,
    held_back: Counter,
    /// In the order of [`Setting::ALL`].
    checks: [IntGauge; Setting::ALL.len()],
}

/// What a stream shows of one origin.
struct Shown {
    transactions: IntCounter,
    /// In the order of [`OPERATIONS`].
    rows: [IntCounter; 3],
    /// Of copies.
    replication_delay: Option<Histogram>,
}

/// What is read of a stream.
struct Read {
    transactions: IntCounterVec,
    rows: IntCounterVec,
    bytes: IntCounterVec,
    events: IntCounterVec,
    file_number: IntGaugeVec,
    offset: IntGaugeVec,
    delay: GaugeVec,
    replication_delay: HistogramVec,
}

impl Read {
    fn register(r: &Registry) -> Result<Read> {
        let help =
            "Transactions judged, by the stream that showed them and the node they came from";
        let transactions = names::counters(r, "transactions_total", help, &["stream", "origin"])?;
        let help = "Row changes of these transactions";
        let rows = names::counters(r, "rows_total", help, &["stream", "origin", "operation"])?;
        let help = "Bytes of binlog events received";
        let bytes = names::counters(r, "bytes_total", help, &["stream"])?;
        let help = "Binlog events received, by type";
        let events = names::counters(r, "events_total", help, &["stream", "type"])?;
        let help = "Number of the binlog file being read";
        let file_number = names::int_gauges(r, "stream_file_number", help, &["stream"])?;
        let help = "Offset read up to in that file";
        let offset = names::int_gauges(r, "stream_offset_bytes", help, &["stream"])?;
        let help = "Age of the last transaction when it was judged";
        let delay = names::gauges(r, "stream_delay_seconds", help, &["stream"])?;
        let help = "From a transaction's commit to its copy being judged on another node";
        let replication_delay =
            names::histograms(r, "replication_delay_seconds", help, &["from", "to"])?;
        Ok(Read {
            transactions,
            rows,
            bytes,
            events,
            file_number,
            offset,
            delay,
            replication_delay,
        })
    }

    fn shown(&self, stream: &str, origin: Option<&str>) -> Shown {
        let label = origin.unwrap_or(UNKNOWN);
        let rows = |operation: Operation| {
            self.rows.with_label_values(&[stream, label, operation.as_str()])
        };
        let delay = |from| self.replication_delay.with_label_values(&[from, stream]);
        Shown {
            transactions: self.transactions.with_label_values(&[stream, label]),
            rows: OPERATIONS.map(rows),
            replication_delay: origin.filter(|from| *from != stream).map(delay),
        }
    }
}

/// What is known of a stream's connection and server.
struct Server {
    connected: IntGaugeVec,
    reconnects: IntCounterVec,
    gaps: IntCounterVec,
    applied_answers: IntCounterVec,
    oldest_file: IntGaugeVec,
    newest_file: IntGaugeVec,
    needed_file: IntGaugeVec,
    held_back: CounterVec,
    checks: IntGaugeVec,
}

impl Server {
    fn register(r: &Registry) -> Result<Server> {
        let help = "1 while the node's server sends its binlog";
        let connected = names::int_gauges(r, "stream_connected", help, &["stream"])?;
        let help = "Connections lost or refused, by reason";
        let reconnects =
            names::counters(r, "stream_reconnects_total", help, &["stream", "reason"])?;
        let help = "Parts of the stream that cannot be read any more";
        let gaps = names::counters(r, "gaps_total", help, &["stream"])?;
        let help = "Answers to what was applied, of a server that does not log what it applies";
        let applied_answers = names::counters(r, "applied_answers_total", help, &["stream"])?;
        let help = "Number of the oldest binlog file that the server has; 0 before it was asked";
        let oldest_file = names::int_gauges(r, "server_oldest_file_number", help, &["stream"])?;
        let help = "Number of the newest binlog file that the server has; 0 before it was asked";
        let newest_file = names::int_gauges(r, "server_newest_file_number", help, &["stream"])?;
        let help = "Number of the oldest binlog file that is still needed; 0 before it is known";
        let needed_file = names::int_gauges(r, "needed_file_number", help, &["stream"])?;
        let help = "1 where the server's setting is as it has to be for its log to show all";
        let checks = names::int_gauges(r, "check_ok", help, &["stream", "check"])?;
        let help = "Seconds that the stream was not read, because another had to be waited for";
        let held_back = names::float_counters(r, "backpressure_seconds_total", help, &["stream"])?;
        Ok(Server {
            connected,
            reconnects,
            gaps,
            applied_answers,
            oldest_file,
            newest_file,
            needed_file,
            held_back,
            checks,
        })
    }
}

/// Registers what is counted by stream; every known series at zero.
pub(super) fn register(
    r: &Registry,
    nodes: &Nodes,
    reasons: &[&str],
    event_types: &[&str],
) -> Result<Vec<Stream>> {
    let (read, server) = (Read::register(r)?, Server::register(r)?);
    let stream = |node: &Node| {
        let name = node.name.as_str();
        for reason in reasons {
            server.reconnects.with_label_values(&[name, reason]);
        }
        for kind in event_types {
            read.events.with_label_values(&[name, kind]);
        }
        let origins = nodes.iter().map(|(_, origin)| Some(origin.name.as_str())).chain([None]);
        let check = |setting: Setting| server.checks.with_label_values(&[name, setting.as_str()]);
        Stream {
            shown: origins.map(|origin| read.shown(name, origin)).collect(),
            delay: read.delay.with_label_values(&[name]),
            bytes: read.bytes.with_label_values(&[name]),
            events: read.events.clone(),
            name: name.to_owned(),
            file_number: read.file_number.with_label_values(&[name]),
            offset: read.offset.with_label_values(&[name]),
            connected: server.connected.with_label_values(&[name]),
            reconnects: server.reconnects.clone(),
            gaps: server.gaps.with_label_values(&[name]),
            applied_answers: server.applied_answers.with_label_values(&[name]),
            oldest_file: server.oldest_file.with_label_values(&[name]),
            newest_file: server.newest_file.with_label_values(&[name]),
            needed_file: server.needed_file.with_label_values(&[name]),
            held_back: server.held_back.with_label_values(&[name]),
            checks: Setting::ALL.map(check),
        }
    };
    Ok(nodes.iter().map(|(_, node)| stream(node)).collect())
}

impl Metrics {
    /// Counts a transaction of `origin`, if a node names it, that a stream showed at `now`. It runs
    /// for every transaction: no series is looked for, and its rows are passed over once.
    pub fn observe(
        &self,
        stream: NodeIndex,
        origin: Option<NodeIndex>,
        tx: &Transaction,
        now: CommitTime,
    ) {
        let stream = &self.streams[stream.at()];
        let shown = &stream.shown[origin.map_or(self.streams.len(), NodeIndex::at)];
        shown.transactions.inc();
        let mut rows = [0; OPERATIONS.len()];
        for row in &tx.rows {
            rows[row.operation as usize] += 1;
        }
        for (counter, rows) in shown.rows.iter().zip(rows).filter(|(_, rows)| *rows > 0) {
            counter.inc_by(rows);
        }
        let age = (now.micros - tx.committed_at.micros).max(0) as f64 / 1e6;
        stream.delay.set(age);
        if let Some(delay) = &shown.replication_delay {
            delay.observe(age);
        }
    }

    /// Says whether a stream is connected.
    pub fn set_connected(&self, stream: NodeIndex, connected: bool) {
        self.streams[stream.at()].connected.set(i64::from(connected));
    }

    /// Counts a lost or failed connection.
    pub fn disconnected(&self, stream: NodeIndex, reason: &str) {
        let stream = &self.streams[stream.at()];
        stream.reconnects.with_label_values(&[&stream.name, reason]).inc();
    }

    /// Counts seconds for which a stream was not read, because another had to be waited for.
    pub fn held_back(&self, stream: NodeIndex, seconds: f64) {
        self.streams[stream.at()].held_back.inc_by(seconds);
    }

    /// Counts a part of a stream that cannot be read any more.
    pub fn gap(&self, stream: NodeIndex) {
        self.streams[stream.at()].gaps.inc();
    }

    /// Counts a server's answer to what it has applied.
    pub fn answered(&self, stream: NodeIndex) {
        self.streams[stream.at()].applied_answers.inc();
    }

    /// Says where a stream is: the number at the end of its file's name, and the offset.
    pub fn set_position(&self, stream: NodeIndex, file: &str, offset: u64) {
        let stream = &self.streams[stream.at()];
        stream.file_number.set(gauge(file_number(file).unwrap_or(0)));
        stream.offset.set(gauge(offset));
    }

    /// Raises the bytes read to a total.
    pub fn set_bytes(&self, stream: NodeIndex, total: u64) {
        raise(&self.streams[stream.at()].bytes, total);
    }

    /// Raises the events of a type to a total.
    pub fn set_events(&self, stream: NodeIndex, kind: &str, total: u64) {
        let stream = &self.streams[stream.at()];
        raise(&stream.events.with_label_values(&[&stream.name, kind]), total);
    }

    /// Says which binlog files a server has, by the numbers of the oldest and the newest.
    pub fn set_server_files(&self, stream: NodeIndex, oldest: u64, newest: u64) {
        let stream = &self.streams[stream.at()];
        stream.oldest_file.set(gauge(oldest));
        stream.newest_file.set(gauge(newest));
    }

    /// Says from which binlog file on a stream is still needed.
    pub fn set_needed_file(&self, stream: NodeIndex, file: &str) {
        self.streams[stream.at()].needed_file.set(gauge(file_number(file).unwrap_or(0)));
    }

    /// Says whether a server's setting is as it has to be.
    pub fn set_check(&self, stream: NodeIndex, setting: Setting, ok: bool) {
        self.streams[stream.at()].checks[setting as usize].set(i64::from(ok));
    }
}

/// Raises a counter to a total.
pub(super) fn raise(counter: &IntCounter, total: u64) {
    counter.inc_by(total.saturating_sub(counter.get()));
}

/// A number as gauges hold it.
pub(super) fn gauge(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
