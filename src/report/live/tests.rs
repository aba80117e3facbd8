//! Tests of the live view, drawn on a terminal in memory.

use super::*;
use crate::{
    model::{Coordinates, Node, NodeIndex},
    report::{OriginState, Shown, StreamState},
};
use ratatui::{Terminal, backend::TestBackend, style::Color};

const NOW: CommitTime = CommitTime { micros: 1_795_456_879_000_000, whole_seconds: false };

fn before(seconds: i64) -> CommitTime {
    CommitTime::from_micros(NOW.micros - seconds * 1_000_000)
}

fn nodes() -> Nodes {
    Nodes::new(["a", "b"].map(|name| Node { name: name.into(), ..Node::default() }).to_vec())
}

fn finding(id: u128, kind: FindingKind, detail: &str) -> Finding {
    Finding {
        settled: true,
        node: Some(NodeIndex(0)),
        detail: Some(detail.to_owned()),
        group: FindingId(1),
        first_seen: before(5),
        last_seen: before(5),
        ..Finding::new(FindingId(id), kind, Severity::Critical)
    }
}

fn stream(node: &str, other: &str) -> StreamState {
    StreamState {
        node: node.into(),
        server: "11.8.9-MariaDB-log".into(),
        connected: true,
        begun: true,
        at: Some(Coordinates { file: format!("{node}-bin.000001").into(), start: 4, end: 2638 }),
        delay_seconds: Some(0.31),
        shown: vec![Shown {
            origin: Some(other.into()),
            transactions: 14,
            gtid: Some("2-2-14".into()),
            committed_at: Some(before(12)),
        }],
        ..StreamState::default()
    }
}

fn status() -> Status {
    let origin = |node: &str| OriginState {
        node: node.into(),
        pending: 3,
        verified_until: Some(before(180)),
        ..OriginState::default()
    };
    Status {
        started_at: before(3_600 * 3),
        ready: true,
        pending_keys: 3,
        streams: vec![stream("a", "b"), stream("b", "a")],
        origins: vec![origin("a"), origin("b")],
        ..Status::default()
    }
}

fn drawn(view: &View, width: u16, height: u16, now: CommitTime) -> Terminal<TestBackend> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, view, now)).unwrap();
    terminal
}

fn text(view: &View, width: u16, height: u16, now: CommitTime) -> String {
    drawn(view, width, height, now).backend().to_string()
}

#[track_caller]
fn assert_has(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "no {word:?} in\n{text}");
    }
}

#[test]
fn streams_and_findings_are_on_one_screen() {
    let mut view = View::new("twinlog.toml");
    assert_has(&text(&view, 100, 24, NOW), &["connecting to the servers", "Findings: none"]);
    view.status(&status());
    view.finding(&finding(1, FindingKind::ReplicationLoop, "it circles"), &nodes());
    view.log("INFO connected\nWARN something\n");
    assert_has(
        &text(&view, 100, 24, NOW),
        &[
            "twinlog watch  twinlog.toml  ready, up 3 h",
            "q ends",
            "a    connected  a-bin.000001:2638 0.3 s       3        3 min ago   11.8.9-MariaDB-log",
            "of b: 14 transactions, last 2-2-14, 12 s ago",
            "Findings: 1 replication_loop",
            "18:01:14 CRITICAL replication_loop",
            "stream of a, it circles",
            "WARN something",
        ],
    );
    assert_has(&text(&view, 100, 24, before(-30)), &["last 2-2-14, 42 s ago"]);
    assert_has(&text(&view, 70, 24, NOW), &["3 min ago "]);
}

#[test]
fn a_lost_server_is_told_with_the_reason() {
    let mut status = status();
    status.ready = false;
    status.streams[1].connected = false;
    status.streams[1].error = Some("node b: cannot connect\n  hint: is it up?\x1b[2J".into());
    let mut view = View::new("x");
    view.status(&status);
    let terminal = drawn(&view, 100, 24, NOW);
    let text = terminal.backend().to_string();
    let words = ["not ready", "LOST", "node b: cannot connect; hint: is it up?\\u{1b}[2J"];
    assert_has(&text, &words);
    let red = |line: u16| terminal.backend().buffer()[(1, line)].fg == Color::Red;
    assert_eq!([3, 5].map(red), [false, true], "{text}");
}

#[test]
fn a_finding_that_changes_is_shown_once_and_counts_once() {
    let mut view = View::new("x");
    let mut first = finding(1, FindingKind::Divergence, "");
    view.finding(&first, &nodes());
    view.finding(&finding(2, FindingKind::ReplicationLoop, ""), &nodes());
    first.state = State::Healed;
    view.finding(&first, &nodes());
    assert_eq!(counts_text(view.counts()), "1 divergence (1 healed), 1 replication_loop");
    assert_eq!(view.findings.len(), 2);
    assert_has(&text(&view, 100, 24, NOW), &["divergence healed"]);
    first.state = State::Open;
    view.finding(&first, &nodes());
    assert_eq!(counts_text(view.counts()), "1 divergence, 1 replication_loop");
}

#[test]
fn no_size_and_no_text_is_too_much() {
    let mut view = View::new(&"漢".repeat(90));
    let mut status = status();
    status.streams[0].server = "漢字".repeat(90);
    status.streams[1].connected = false;
    status.streams[1].error = Some("x".repeat(900));
    view.status(&status);
    for id in 0..1_000 {
        view.finding(&finding(id, FindingKind::ReplicationLoop, &"漢\x07".repeat(200)), &nodes());
        view.log(&"y".repeat(300));
    }
    assert_eq!(view.findings.len(), FINDINGS_MAX);
    for width in [0, 1, 2, 3, 10, 40, 80, 100, 300] {
        for height in [0, 1, 2, 3, 5, 8, 24, 60] {
            let terminal = drawn(&view, width, height, NOW);
            let cells = terminal.backend().buffer().content();
            assert!(cells.iter().all(|cell| !cell.symbol().contains('\x07')), "{width} x {height}");
        }
    }
    assert_eq!(view.counts()[&FindingKind::ReplicationLoop].told, 1_000);
}

#[test]
fn the_log_is_held_up_to_a_bound() {
    let mut view = View::new("x");
    (0..LOG_MAX + 5).for_each(|line| view.log(&format!("line {line}\n")));
    let (mut lines, dropped) = view.logged();
    assert_eq!((lines.next(), dropped), (Some("line 5"), 5));
    assert_eq!(lines.last(), Some("line 1004"));
}
