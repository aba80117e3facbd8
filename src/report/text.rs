//! Findings and summaries for a terminal, at most about 100 columns wide.

use super::{Record, Summary, rfc3339};
use crate::model::{Finding, Nodes, Severity, TransactionRef};
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
    for line in wrapped(&record.message, 96) {
        let _ = writeln!(text, "  {line}");
    }
    for transaction in &finding.transactions {
        transaction_lines(&mut text, transaction, nodes);
    }
    text
}

fn transaction_lines(text: &mut String, transaction: &TransactionRef, nodes: &Nodes) {
    let origin = transaction.origin.map_or("?", |node| nodes[node].name.as_str());
    let gtid = transaction.gtid.map_or("(no GTID)".to_owned(), |gtid| gtid.to_string());
    let operation = transaction.operation.map_or("write", |operation| operation.as_str());
    let time = rfc3339(transaction.committed_at);
    let _ = writeln!(text, "    {origin}: {operation} {gtid} at {time}");
    for (node, of) in nodes.iter() {
        if let Some(at) = transaction.coordinates.get(node.at()).and_then(Option::as_ref) {
            let _ = writeln!(text, "       in {}: {} {}..{}", of.name, at.file, at.start, at.end);
        }
    }
}

/// Words in lines of at most `width` columns; a longer word stands alone.
pub(super) fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().expect("it begins with one");
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width {
            lines.push(word.to_owned());
            continue;
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines
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
        let _ = writeln!(
            text,
            "  {node}: {} originals, {} copies, {} of unknown origin; {span}",
            of["originals"], of["copies"], of["unknown_origin"]
        );
    }
    let judged = summary.rows_judged;
    let percent = match summary.rows_seen {
        0 => 100.0,
        seen => judged as f64 * 100.0 / seen as f64,
    };
    let _ = writeln!(text, "judged {judged} of {} rows ({percent:.2} %)", summary.rows_seen);
    for (reason, count) in &summary.not_judged {
        let _ = writeln!(text, "  not judged, {reason}: {count}");
    }
    if summary.findings.is_empty() {
        let _ = writeln!(text, "no findings");
    }
    for finding in &summary.findings {
        let word = |field: &str| finding[field].as_str().unwrap_or("").to_owned();
        let _ = writeln!(text, "  {} {}: {}", word("severity"), word("kind"), finding["count"]);
    }
    for line in &summary.incomplete {
        let _ = writeln!(text, "NOT VERIFIED WHOLE: {line}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_messages_wrap_at_words() {
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("unbreakable x", 4), ["unbreakable", "x"]);
    }
}
