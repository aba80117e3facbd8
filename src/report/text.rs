//! Findings and summaries for a terminal, at most 100 columns wide.

use super::{
    Record, Summary, rfc3339,
    terminal::{add_paragraph, clean},
};
use crate::model::{Finding, FindingKind, Nodes, Severity, TransactionRef};
use std::fmt::Write;

/// A finding as a paragraph: a headline, then the transactions with their coordinates.
pub fn finding_text(finding: &Finding, nodes: &Nodes, colour: bool) -> String {
    let record = Record::new(finding, nodes);
    let (on, off) = match (colour, finding.severity) {
        (false, _) => ("", ""),
        (true, Severity::Critical) => ("\x1b[1;31m", "\x1b[0m"),
        (true, Severity::Warning) => ("\x1b[1;33m", "\x1b[0m"),
        (true, Severity::Info) => ("\x1b[1;36m", "\x1b[0m"),
    };
    let mut text = format!("{on}{} {}{off}", record.severity.to_uppercase(), record.kind);
    let pending = record.outcome.filter(|outcome| *outcome == "pending");
    for word in [record.conflict.as_deref(), record.reason, pending].into_iter().flatten() {
        let _ = write!(text, " {word}");
    }
    if record.certainty == "possible" {
        text.push_str(" (possible)");
    }
    let _ = writeln!(text, "  {}", &record.id[..12]);
    add_paragraph(&mut text, "  ", "  ", &clean(&record.message));
    let unnamed = if finding.kind == FindingKind::DdlConflict { "statement" } else { "write" };
    for transaction in &finding.transactions {
        transaction_lines(&mut text, transaction, unnamed, nodes);
    }
    text
}

/// `unnamed` is what a transaction did whose operation on a row is not known.
fn transaction_lines(
    text: &mut String,
    transaction: &TransactionRef,
    unnamed: &str,
    nodes: &Nodes,
) {
    let origin = transaction.origin.map_or("?", |node| nodes[node].name.as_str());
    let gtid = transaction.gtid.map_or("(no GTID)".to_owned(), |gtid| gtid.to_string());
    let operation = transaction.operation.map_or(unnamed, |operation| operation.as_str());
    let time = rfc3339(transaction.committed_at);
    let line = format!("{origin}: {operation} {gtid} at {time}");
    add_paragraph(text, "    ", "      ", &line);
    for (node, of) in nodes.iter() {
        if let Some(at) = transaction.coordinates.get(node.at()).and_then(Option::as_ref) {
            let line = format!("in {}: {} {}..{}", of.name, clean(&at.file), at.start, at.end);
            add_paragraph(text, "       ", "         ", &line);
        }
    }
}

/// The end of a scan, for a person.
pub fn summary_text(summary: &Summary) -> String {
    let mut text = String::new();
    let rate = summary.bytes as f64 / 1e6 / summary.seconds.max(1e-6);
    let _ = writeln!(
        text,
        "read {:.1} MB in {:.2} s ({rate:.0} MB/s)",
        summary.bytes as f64 / 1e6,
        summary.seconds
    );
    for (node, of) in &summary.streams {
        let span = match of["span"].as_array().map(Vec::as_slice) {
            Some([first, last]) => {
                format!("{} to {}", first.as_str().unwrap_or(""), last.as_str().unwrap_or(""))
            }
            _ => "no transactions".to_owned(),
        };
        let line = format!(
            "{node}: {} originals, {} copies, {} of unknown origin; {span}",
            of["originals"], of["copies"], of["unknown_origin"]
        );
        add_paragraph(&mut text, "  ", "    ", &line);
    }
    let (judged, seen) = (summary.rows_judged, summary.rows_seen);
    let _ = writeln!(text, "judged {judged} of {seen} rows ({} %)", summary.percent_judged());
    for (reason, count) in &summary.not_judged {
        let _ = writeln!(text, "  not judged, {reason}: {count}");
    }
    if summary.findings.is_empty() {
        let _ = writeln!(text, "no findings");
    }
    let mut findings: Vec<_> = summary.findings.iter().collect();
    findings.sort_by_key(|of| std::cmp::Reverse(severity_rank(of["severity"].as_str())));
    for finding in findings {
        let word = |field: &str| finding[field].as_str().unwrap_or("").to_owned();
        let _ = writeln!(text, "  {} {}: {}", word("severity"), word("kind"), finding["count"]);
    }
    for line in &summary.incomplete {
        add_paragraph(&mut text, "NOT VERIFIED WHOLE: ", "  ", line);
    }
    text
}

/// The worse, the higher.
pub(super) fn severity_rank(severity: Option<&str>) -> usize {
    const WORDS: [Option<&str>; 3] = [Some("info"), Some("warning"), Some("critical")];
    WORDS.iter().position(|word| *word == severity).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::{
            Certainty, CommitTime, Coordinates, FindingId, Gtid, GtidSource, Node, NodeIndex,
            Operation, Tag,
        },
        report::terminal::{COLUMNS, columns},
    };

    fn nodes() -> Nodes {
        let named = |name: &str| Node { name: name.into(), ..Node::default() };
        Nodes::new(["eu-west-production-1", "us-east-production-1"].map(named).to_vec())
    }

    /// A finding about one stream, all of whose texts come from outside.
    fn finding(detail: &str, file: &str) -> Finding {
        let at = Coordinates { file: file.into(), start: u64::MAX - 1, end: u64::MAX };
        let tag = Tag::parse(&[b'x'; 32]).unwrap();
        let source = GtidSource::MySql { uuid: [0x3e; 16], tag };
        let transaction = TransactionRef {
            origin: Some(NodeIndex(1)),
            server_id: 2,
            gtid: Some(Gtid { source, sequence: u64::MAX }),
            operation: Some(Operation::Update),
            committed_at: CommitTime::from_micros(1_795_456_879_000_084),
            coordinates: vec![Some(at.clone()), Some(at)],
        };
        Finding {
            certainty: Certainty::Possible,
            settled: true,
            node: Some(NodeIndex(0)),
            detail: Some(detail.to_owned()),
            transactions: vec![transaction],
            group: FindingId(1),
            ..Finding::new(FindingId(1), FindingKind::MissingCopy, Severity::Warning)
        }
    }

    #[test]
    fn a_finding_is_at_most_100_columns_wide() {
        for filling in ["wide 漢字 ", "漢字漢字", "x", "e\u{301}"] {
            let text =
                finding_text(&finding(&filling.repeat(80), &filling.repeat(40)), &nodes(), false);
            for line in text.lines() {
                assert!(columns(line) <= COLUMNS, "{}: {line}", columns(line));
            }
            assert!(text.contains("us-east-production-1: update\n"), "{text}");
        }
    }

    #[test]
    fn nothing_from_outside_reaches_the_terminal_as_a_command() {
        let text = finding_text(&finding("\x1b[2J\u{9b}31m\r\n", "\x1b]0;x\x07"), &nodes(), false);
        assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
        assert!(text.contains("\\u{1b}[2J"), "{text}");
    }

    #[test]
    fn colours_say_no_more_than_words() {
        let plain = finding_text(&finding("x", "f"), &nodes(), false);
        let coloured = finding_text(&finding("x", "f"), &nodes(), true);
        assert_eq!(coloured.replace("\x1b[1;33m", "").replace("\x1b[0m", ""), plain);
    }

    #[test]
    fn a_summary_is_at_most_100_columns_wide() {
        let span = ["2026-11-24T00:02:11.000084Z", "2026-11-24T00:02:11.000084Z"];
        let stream = serde_json::json!({
            "originals": u64::MAX, "copies": u64::MAX, "unknown_origin": 0, "span": span,
        });
        let summary = Summary {
            bytes: u64::MAX,
            seconds: 1.0,
            rows_seen: u64::MAX,
            rows_judged: 1,
            not_judged: [("statement_format", u64::MAX)].into(),
            streams: [("eu-west-production-1".to_owned(), stream)].into_iter().collect(),
            tables: Vec::new(),
            findings: Vec::new(),
            incomplete: vec!["x: cannot\x1b[2J be read\n  hint: ".to_owned() + &"漢 ".repeat(90)],
        };
        let text = summary_text(&summary);
        for line in text.lines() {
            assert!(columns(line) <= COLUMNS, "{line}");
        }
        assert!(text.contains("cannot\\u{1b}[2J be read\n"), "{text}");
    }
}
