//! Every metric, its help and its labels, in one place.
//!
//! Labels come from closed sets; every combination that is known from the start is exported as 0
//! from the start, for `increase()` misses the first event of a series that appears with it. No
//! metric carries a key, a GTID, a file name or a row's value.

mod holding;
mod names;

use crate::model::{
    BlindSpotReason, CommitTime, Finding, FindingKind, Nodes, Operation, Severity, Transaction,
};
use holding::Holding;
use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec,
    Registry, TextEncoder,
};
use std::sync::Mutex;

/// Tables that are told apart in `twinlog_table_findings_total`; the rest count as `other`.
const TABLES_MAX: usize = 200;

/// What a comparison of a copy with its original says.
const VERIFIED: [&str; 3] = ["identical", "differs", "unverifiable"];

/// What the origin label says of a server that no node names.
const UNKNOWN: &str = "unknown";

/// All metrics of a watching twinlog.
pub struct Metrics {
    registry: Registry,
    names: Vec<String>,
    transactions: IntCounterVec,
    rows: IntCounterVec,
    bytes: IntCounterVec,
    events: IntCounterVec,
    findings: IntCounterVec,
    table_findings: IntCounterVec,
    tables: Mutex<std::collections::BTreeSet<String>>,
    holding: Holding,
    verified: IntCounterVec,
    handovers: IntCounter,
    connected: IntGaugeVec,
    reconnects: IntCounterVec,
    file_number: IntGaugeVec,
    offset: IntGaugeVec,
    delay: GaugeVec,
    replication_delay: HistogramVec,
    pending_transactions: IntGaugeVec,
    pending_keys: IntGauge,
    detection_latency: Histogram,
    verified_until: GaugeVec,
    blind_spots: IntCounterVec,
    suppressed: IntCounterVec,
    store_errors: IntCounter,
    checkpoint: Gauge,
}

impl Metrics {
    /// Metrics of these nodes, with `reasons` for which a connection may be lost and the event
    /// types in `event_types`; every known series at zero.
    ///
    /// # Errors
    /// Only a metric that is described wrongly, which a test would show.
    pub fn new<'a>(
        nodes: &Nodes,
        reasons: impl Iterator<Item = &'static str>,
        event_types: impl Iterator<Item = &'a str>,
    ) -> prometheus::Result<Metrics> {
        let metrics = Metrics::register(nodes)?;
        let reasons: Vec<_> = reasons.collect();
        let event_types: Vec<_> = event_types.collect();
        metrics.start_streams_at_zero(&reasons, &event_types);
        metrics.start_kinds_at_zero();
        Ok(metrics)
    }

    fn start_streams_at_zero(&self, reasons: &[&str], event_types: &[&str]) {
        let origins = || self.names.iter().map(String::as_str).chain([UNKNOWN]);
        for stream in &self.names {
            self.bytes.with_label_values(&[stream]);
            self.connected.with_label_values(&[stream]);
            self.file_number.with_label_values(&[stream]);
            self.offset.with_label_values(&[stream]);
            self.pending_transactions.with_label_values(&[stream]);
            self.set_verified(stream, [0; 3]);
            for reason in reasons {
                self.reconnects.with_label_values(&[stream.as_str(), reason]);
            }
            for kind in event_types {
                self.events.with_label_values(&[stream.as_str(), kind]);
            }
            for origin in origins() {
                self.transactions.with_label_values(&[stream.as_str(), origin]);
                for operation in [Operation::Insert, Operation::Update, Operation::Delete] {
                    self.rows.with_label_values(&[stream.as_str(), origin, operation.as_str()]);
                }
            }
            for to in self.names.iter().filter(|to| *to != stream) {
                self.replication_delay.with_label_values(&[stream, to]);
            }
        }
    }

    fn start_kinds_at_zero(&self) {
        for kind in FindingKind::ALL {
            self.suppressed.with_label_values(&[kind.as_str()]);
            for severity in [Severity::Info, Severity::Warning, Severity::Critical] {
                self.findings.with_label_values(&[kind.as_str(), severity.as_str()]);
            }
        }
        for reason in BlindSpotReason::ALL {
            self.blind_spots.with_label_values(&[reason.as_str()]);
        }
    }

    /// Counts a transaction that a stream showed at `now`.
    pub fn observe(&self, stream: &str, origin: Option<&str>, tx: &Transaction, now: CommitTime) {
        let origin_label = origin.unwrap_or(UNKNOWN);
        self.transactions.with_label_values(&[stream, origin_label]).inc();
        for operation in [Operation::Insert, Operation::Update, Operation::Delete] {
            let rows = tx.rows.iter().filter(|row| row.operation == operation).count() as u64;
            if rows > 0 {
                let labels = [stream, origin_label, operation.as_str()];
                self.rows.with_label_values(&labels).inc_by(rows);
            }
        }
        let age = (now.micros - tx.committed_at.micros).max(0) as f64 / 1e6;
        self.delay.with_label_values(&[stream]).set(age);
        if let Some(origin) = origin.filter(|origin| *origin != stream) {
            self.replication_delay.with_label_values(&[origin, stream]).observe(age);
        }
    }

    /// Takes in a finding that is told, `first` for the first time.
    pub fn told(&self, finding: &Finding, first: bool, now: CommitTime) {
        self.holding.told(finding, first);
        if first {
            self.finding(finding, now);
        }
    }

    /// Raises the copies of an origin's transactions that were compared to totals, by result:
    /// identical, differs, unverifiable.
    pub fn set_verified(&self, origin: &str, totals: [u64; 3]) {
        for (result, total) in VERIFIED.into_iter().zip(totals) {
            let counter = self.verified.with_label_values(&[origin, result]);
            counter.inc_by(total.saturating_sub(counter.get()));
        }
    }

    /// Counts a finding that is told for the first time.
    fn finding(&self, finding: &Finding, now: CommitTime) {
        let kind = finding.kind.as_str();
        self.findings.with_label_values(&[kind, finding.severity.as_str()]).inc();
        if let Some(table) = &finding.table {
            self.table_findings.with_label_values(&[kind, self.table_label(table)]).inc();
        }
        if let Some(reason) = finding.reason {
            self.blind_spots.with_label_values(&[reason.as_str()]).inc();
        }
        if matches!(finding.kind, FindingKind::SharedKey | FindingKind::NearConflict) {
            self.handovers.inc();
        }
        if !finding.first_seen.whole_seconds && !finding.transactions.is_empty() {
            let latency = (now.micros - finding.first_seen.micros).max(0);
            self.detection_latency.observe(latency as f64 / 1e6);
        }
    }

    /// Counts a finding that a suppression covers.
    pub fn suppressed(&self, kind: FindingKind) {
        self.suppressed.with_label_values(&[kind.as_str()]).inc();
    }

    /// Counts a commit to the store that failed.
    pub fn store_error(&self) {
        self.store_errors.inc();
    }

    /// Says when the store was last brought up to date.
    pub fn set_checkpoint(&self, at: CommitTime) {
        self.checkpoint.set(at.micros as f64 / 1e6);
    }

    /// Says how many transactions and keys are held.
    pub fn set_pending(&self, origin: &str, transactions: usize) {
        self.pending_transactions.with_label_values(&[origin]).set(transactions as i64);
    }

    /// Says how many keys are held.
    pub fn set_pending_keys(&self, keys: usize) {
        self.pending_keys.set(keys as i64);
    }

    /// Says up to when every transaction of an origin has been seen everywhere.
    pub fn set_verified_until(&self, origin: &str, until: CommitTime) {
        self.verified_until.with_label_values(&[origin]).set(until.micros as f64 / 1e6);
    }

    /// Says whether a stream is connected.
    pub fn set_connected(&self, stream: &str, connected: bool) {
        self.connected.with_label_values(&[stream]).set(i64::from(connected));
    }

    /// Counts a lost or failed connection.
    pub fn disconnected(&self, stream: &str, reason: &str) {
        self.reconnects.with_label_values(&[stream, reason]).inc();
    }

    /// Says where a stream is: the number at the end of its file's name, and the offset.
    pub fn set_position(&self, stream: &str, file: &str, offset: u64) {
        let number = file.rsplit('.').next().and_then(|number| number.parse().ok()).unwrap_or(0);
        self.file_number.with_label_values(&[stream]).set(number);
        self.offset.with_label_values(&[stream]).set(i64::try_from(offset).unwrap_or(i64::MAX));
    }

    /// Raises the bytes read to a total.
    pub fn set_bytes(&self, stream: &str, total: u64) {
        let counter = self.bytes.with_label_values(&[stream]);
        counter.inc_by(total.saturating_sub(counter.get()));
    }

    /// Raises the events of a type to a total.
    pub fn set_events(&self, stream: &str, kind: &str, total: u64) {
        let counter = self.events.with_label_values(&[stream, kind]);
        counter.inc_by(total.saturating_sub(counter.get()));
    }

    /// All metrics in Prometheus' text format.
    pub fn text(&self) -> String {
        TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap_or_default()
    }

    fn table_label<'a>(&self, table: &'a str) -> &'a str {
        let mut tables = self.tables.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if tables.len() < TABLES_MAX || tables.contains(table) {
            tables.insert(table.to_owned());
            return table;
        }
        "other"
    }
}

/// Keeps a gauge of build information alive in the registry.
fn build_info(registry: &Registry) -> prometheus::Result<()> {
    let info =
        names::gauges(registry, "build_info", "Always 1; the version is a label", &["version"])?;
    info.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1.0);
    Ok(())
}

impl Metrics {
    fn register(nodes: &Nodes) -> prometheus::Result<Metrics> {
        let registry = Registry::new();
        let r = &registry;
        build_info(r)?;
        #[cfg(target_os = "linux")]
        r.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
        Ok(Metrics {
            names: nodes.iter().map(|(_, node)| node.name.clone()).collect(),
            transactions: names::counters(
                r,
                "transactions_total",
                "Transactions read, by the stream that showed them and the node they came from",
                &["stream", "origin"],
            )?,
            rows: names::counters(
                r,
                "rows_total",
                "Row changes read",
                &["stream", "origin", "operation"],
            )?,
            bytes: names::counters(
                r,
                "bytes_total",
                "Bytes of binlog events received",
                &["stream"],
            )?,
            events: names::counters(
                r,
                "events_total",
                "Binlog events received, by type",
                &["stream", "type"],
            )?,
            findings: names::counters(r, "findings_total", "Findings told", &["kind", "severity"])?,
            table_findings: names::counters(
                r,
                "table_findings_total",
                "Findings told, by table; tables past the first 200 count as other",
                &["kind", "table"],
            )?,
            tables: Mutex::default(),
            holding: Holding::register(r)?,
            verified: names::counters(
                r,
                "transactions_verified_total",
                "Copies compared with their originals, by the node they came from",
                &["origin", "result"],
            )?,
            handovers: names::counter(
                r,
                "handovers_total",
                "Rows written from another node within the handover windows",
            )?,
            connected: names::int_gauges(
                r,
                "stream_connected",
                "1 while the node's server sends its binlog",
                &["stream"],
            )?,
            reconnects: names::counters(
                r,
                "stream_reconnects_total",
                "Connections lost or refused, by reason",
                &["stream", "reason"],
            )?,
            file_number: names::int_gauges(
                r,
                "stream_file_number",
                "Number of the binlog file being read",
                &["stream"],
            )?,
            offset: names::int_gauges(
                r,
                "stream_offset_bytes",
                "Offset read up to in that file",
                &["stream"],
            )?,
            delay: names::gauges(
                r,
                "stream_delay_seconds",
                "Age of the last transaction when it was read",
                &["stream"],
            )?,
            replication_delay: names::histograms(
                r,
                "replication_delay_seconds",
                "From a transaction's commit to its copy being read on another node",
                &["from", "to"],
            )?,
            pending_transactions: names::int_gauges(
                r,
                "pending_transactions",
                "Transactions that some stream has not shown yet",
                &["origin"],
            )?,
            pending_keys: names::int_gauge(r, "pending_keys", "Keys held for them")?,
            detection_latency: names::histogram(
                r,
                "detection_latency_seconds",
                "From the commit to the finding it makes, where the log has microseconds",
            )?,
            verified_until: names::gauges(
                r,
                "verified_until_timestamp_seconds",
                "Every transaction of the origin up to this commit time was seen in all streams",
                &["origin"],
            )?,
            blind_spots: names::counters(
                r,
                "blind_spots_total",
                "Blind spots told, by reason",
                &["reason"],
            )?,
            suppressed: names::counters(
                r,
                "findings_suppressed_total",
                "Findings that a suppression covers",
                &["kind"],
            )?,
            store_errors: names::counter(
                r,
                "store_errors_total",
                "Commits to the store that failed; each is tried again",
            )?,
            checkpoint: names::gauge(
                r,
                "checkpoint_timestamp_seconds",
                "When findings and checkpoint were last committed to the store; 0 without one",
            )?,
            registry,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Node;

    #[test]
    fn every_known_series_is_there_from_the_start() {
        let node = |name: &str| Node { name: name.into(), ..Node::default() };
        let nodes = Nodes::new(vec![node("a"), node("b")]);
        let metrics = Metrics::new(&nodes, ["io"].into_iter(), ["xid"].into_iter()).unwrap();
        let text = metrics.text();
        for line in [
            "twinlog_transactions_total{origin=\"unknown\",stream=\"a\"} 0",
            "twinlog_rows_total{operation=\"delete\",origin=\"b\",stream=\"a\"} 0",
            "twinlog_findings_total{kind=\"write_conflict\",severity=\"critical\"} 0",
            "twinlog_stream_reconnects_total{reason=\"io\",stream=\"b\"} 0",
            "twinlog_blind_spots_total{reason=\"gap\"} 0",
            "twinlog_open_findings{kind=\"missing_copy\"} 0",
            "twinlog_open_divergences{table=\"other\"} 0",
            "twinlog_transactions_verified_total{origin=\"a\",result=\"identical\"} 0",
            "twinlog_replication_delay_seconds_count{from=\"a\",to=\"b\"} 0",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn tables_past_the_limit_count_as_other() {
        let metrics = Metrics::new(&Nodes::default(), [].into_iter(), [].into_iter()).unwrap();
        for n in 0..TABLES_MAX {
            assert_ne!(metrics.table_label(&format!("s.t{n}")), "other");
        }
        assert_eq!(metrics.table_label("s.one_more"), "other");
        assert_eq!(metrics.table_label("s.t7"), "s.t7");
    }
}
