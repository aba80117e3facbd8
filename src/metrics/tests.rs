//! What the metrics mean.

use super::*;
use crate::model::{
    Coordinates, Finding, FindingId, FindingKind, Node, NodeIndex, Operation, RowChange, RowState,
    Setting, Severity, State, Transaction,
};

const A: NodeIndex = NodeIndex(0);
const B: NodeIndex = NodeIndex(1);

fn metrics() -> Metrics {
    let node = |name: &str| Node { name: name.into(), ..Node::default() };
    let nodes = Nodes::new(vec![node("a"), node("b")]);
    Metrics::new(&nodes, ["io"].into_iter(), ["xid"].into_iter()).unwrap()
}

/// The value of a series, as it is exported.
fn value(metrics: &Metrics, series: &str) -> f64 {
    let text = metrics.text();
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {series} in\n{text}")).parse().unwrap()
}

fn finding(id: u128, kind: FindingKind, state: State) -> Finding {
    Finding {
        state,
        table: Some("t.x".to_owned()),
        group: FindingId(7),
        first_seen: CommitTime::from_seconds(1),
        last_seen: CommitTime::from_seconds(2),
        ..Finding::new(FindingId(id), kind, Severity::Critical)
    }
}

fn transaction(operations: &[Operation]) -> Transaction {
    let row = |operation: &Operation| RowChange {
        table: 0,
        operation: *operation,
        rule_values: None,
        keys: None,
        before: RowState::Absent,
        after: RowState::Absent,
    };
    let at = Coordinates { file: "a-bin.000001".into(), start: 4, end: 9 };
    let committed_at = CommitTime::from_micros(1_000_000);
    Transaction {
        rows: operations.iter().map(row).collect(),
        ..Transaction::empty(None, 1, at, committed_at)
    }
}

#[test]
fn every_known_series_is_there_from_the_start() {
    let metrics = metrics();
    for series in [
        "twinlog_transactions_total{origin=\"unknown\",stream=\"a\"}",
        "twinlog_rows_total{operation=\"delete\",origin=\"b\",stream=\"a\"}",
        "twinlog_bytes_total{stream=\"a\"}",
        "twinlog_events_total{stream=\"b\",type=\"xid\"}",
        "twinlog_findings_total{kind=\"write_conflict\",severity=\"critical\"}",
        "twinlog_table_findings_total{kind=\"divergence\",table=\"other\"}",
        "twinlog_findings_dropped_total{reason=\"store\"}",
        "twinlog_findings_dropped_total{reason=\"output\"}",
        "twinlog_findings_suppressed_total{kind=\"divergence\"}",
        "twinlog_handovers_total",
        "twinlog_stream_connected{stream=\"a\"}",
        "twinlog_stream_reconnects_total{reason=\"io\",stream=\"b\"}",
        "twinlog_stream_delay_seconds{stream=\"a\"}",
        "twinlog_server_oldest_file_number{stream=\"a\"}",
        "twinlog_server_newest_file_number{stream=\"b\"}",
        "twinlog_needed_file_number{stream=\"a\"}",
        "twinlog_check_ok{check=\"row_metadata\",stream=\"a\"}",
        "twinlog_blind_spots_total{reason=\"gap\"}",
        "twinlog_open_findings{kind=\"missing_copy\"}",
        "twinlog_open_divergences{table=\"other\"}",
        "twinlog_pending_transactions{origin=\"a\"}",
        "twinlog_verified_until_timestamp_seconds{origin=\"b\"}",
        "twinlog_transactions_verified_total{origin=\"a\",result=\"identical\"}",
        "twinlog_replication_delay_seconds_count{from=\"a\",to=\"b\"}",
        "twinlog_detection_latency_seconds_count",
    ] {
        assert_eq!(value(&metrics, series), 0.0, "{series}");
    }
    let own = "twinlog_replication_delay_seconds_count{from=\"a\",to=\"a\"}";
    assert!(!metrics.text().contains(own), "a node does not replicate to itself");
}

#[test]
fn a_transaction_counts_by_stream_origin_and_operation() {
    use Operation::{Delete, Insert, Update};
    let metrics = metrics();
    let now = CommitTime::from_micros(1_500_000);
    metrics.observe(A, Some(A), &transaction(&[Insert, Delete, Insert]), now);
    metrics.observe(B, Some(A), &transaction(&[Update]), now);
    metrics.observe(B, None, &transaction(&[]), now);
    let rows = |stream, origin, operation| {
        let labels = format!("operation=\"{operation}\",origin=\"{origin}\",stream=\"{stream}\"");
        value(&metrics, &format!("twinlog_rows_total{{{labels}}}"))
    };
    assert_eq!(["insert", "update", "delete"].map(|of| rows("a", "a", of)), [2.0, 0.0, 1.0]);
    assert_eq!(["insert", "update", "delete"].map(|of| rows("b", "a", of)), [0.0, 1.0, 0.0]);
    let of = |series: &str| value(&metrics, series);
    assert_eq!(of("twinlog_transactions_total{origin=\"a\",stream=\"b\"}"), 1.0);
    assert_eq!(of("twinlog_transactions_total{origin=\"unknown\",stream=\"b\"}"), 1.0);
    assert_eq!(of("twinlog_transactions_total{origin=\"b\",stream=\"b\"}"), 0.0);
    assert_eq!(of("twinlog_stream_delay_seconds{stream=\"a\"}"), 0.5);
    // Of copies alone: neither a's own transaction nor nobody's has been replicated by a node.
    assert_eq!(of("twinlog_replication_delay_seconds_count{from=\"a\",to=\"b\"}"), 1.0);
    assert_eq!(of("twinlog_replication_delay_seconds_sum{from=\"a\",to=\"b\"}"), 0.5);
    assert_eq!(of("twinlog_replication_delay_seconds_count{from=\"b\",to=\"a\"}"), 0.0);
}

#[test]
fn handovers_are_findings_of_two_kinds() {
    let metrics = metrics();
    for (id, kind) in FindingKind::ALL.into_iter().enumerate() {
        metrics.told(&finding(id as u128, kind, State::Open), CommitTime::from_seconds(3));
    }
    assert_eq!(value(&metrics, "twinlog_handovers_total"), 2.0);
    let table = "twinlog_table_findings_total{kind=\"near_conflict\",table=\"t.x\"}";
    assert_eq!(value(&metrics, table), 1.0);
    // The log has whole seconds: nothing can be said of how long it took.
    assert_eq!(value(&metrics, "twinlog_detection_latency_seconds_count"), 0.0);
}

#[test]
fn with_a_store_what_holds_is_what_it_holds() {
    let metrics = metrics();
    let open = |kind: &str| value(&metrics, &format!("twinlog_open_findings{{kind=\"{kind}\"}}"));
    let differ = || value(&metrics, "twinlog_open_divergences{table=\"t.x\"}");
    // As another run left it.
    metrics.set_open(FindingKind::Divergence, 2);
    metrics.add_open_divergences("t.x", 2);
    metrics.set_open(FindingKind::WriteConflict, 5);
    assert_eq!((open("divergence"), differ(), open("write_conflict")), (2.0, 2.0, 5.0));
    // One of them heals, and a new one is found; the third is told again, and changes nothing.
    metrics.kept(&finding(1, FindingKind::Divergence, State::Healed), true, false);
    metrics.kept(&finding(9, FindingKind::Divergence, State::Open), false, true);
    metrics.kept(&finding(2, FindingKind::Divergence, State::Acknowledged), true, true);
    metrics.kept(&finding(9, FindingKind::Divergence, State::Healed), true, false);
    assert_eq!((open("divergence"), differ()), (1.0, 1.0));
    metrics.kept(&finding(3, FindingKind::WriteConflict, State::Open), false, true);
    metrics.forgotten(FindingKind::WriteConflict, 4);
    assert_eq!(open("write_conflict"), 2.0);
}

#[test]
fn without_a_store_what_holds_is_what_was_told_and_has_not_healed() {
    let metrics = metrics();
    let told = |id, kind, state, first| {
        metrics.told_without_store(&finding(id, kind, state), first);
    };
    let open = |kind: &str| value(&metrics, &format!("twinlog_open_findings{{kind=\"{kind}\"}}"));
    told(1, FindingKind::Divergence, State::Open, true);
    told(1, FindingKind::Divergence, State::Open, false);
    told(2, FindingKind::Divergence, State::Open, true);
    told(1, FindingKind::Divergence, State::Healed, false);
    told(1, FindingKind::Divergence, State::Healed, false);
    told(3, FindingKind::Divergence, State::Healed, true);
    assert_eq!(open("divergence"), 1.0);
    assert_eq!(value(&metrics, "twinlog_open_divergences{table=\"t.x\"}"), 1.0);
    told(4, FindingKind::WriteConflict, State::Open, true);
    told(4, FindingKind::WriteConflict, State::Open, false);
    told(5, FindingKind::MissingCopy, State::Open, true);
    assert_eq!((open("write_conflict"), open("missing_copy")), (1.0, 1.0));
}

#[test]
fn servers_and_files_are_told_by_numbers() {
    let metrics = metrics();
    metrics.set_server_files(A, 3, 17);
    metrics.set_needed_file(A, "a-bin.000012");
    metrics.set_position(A, "a-bin.1000000", u64::MAX);
    metrics.set_check(B, Setting::GtidMode, true);
    metrics.dropped(Dropped::Output);
    for (series, wanted) in [
        ("twinlog_server_oldest_file_number{stream=\"a\"}", 3.0),
        ("twinlog_server_newest_file_number{stream=\"a\"}", 17.0),
        ("twinlog_needed_file_number{stream=\"a\"}", 12.0),
        ("twinlog_needed_file_number{stream=\"b\"}", 0.0),
        ("twinlog_stream_file_number{stream=\"a\"}", 1_000_000.0),
        ("twinlog_check_ok{check=\"gtid_mode\",stream=\"b\"}", 1.0),
        ("twinlog_check_ok{check=\"gtid_mode\",stream=\"a\"}", 0.0),
        ("twinlog_check_ok{check=\"row_image\",stream=\"b\"}", 0.0),
        ("twinlog_findings_dropped_total{reason=\"output\"}", 1.0),
        ("twinlog_findings_dropped_total{reason=\"store\"}", 0.0),
    ] {
        assert_eq!(value(&metrics, series), wanted, "{series}");
    }
}
