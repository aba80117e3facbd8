//! Findings that were looked up, for a terminal: many as a table, one as a page.

use super::terminal::{COLUMNS, add_paragraph, clean, columns, cut, padded};
use serde::Deserialize;
use serde_json::Value;
use std::{collections::BTreeMap, fmt::Write};

/// Columns of a field's name on a page.
const FIELD_WIDTH: usize = 12;
/// Digits of an id that are shown: enough to name one of millions.
const ID_DIGITS: usize = 12;

/// What a table shows of a finding, out of its NDJSON.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub struct Line {
    id: String,
    severity: String,
    kind: String,
    state: String,
    last_seen: String,
    message: String,
    group: String,
    #[serde(default)]
    more: u64,
    /// Findings of the same group that are folded into this line, and rows counted in `more`.
    #[serde(skip)]
    folded: u64,
}

impl Line {
    /// A line for one finding.
    ///
    /// # Errors
    /// A record that is no finding.
    pub fn parse(record: &str) -> serde_json::Result<Line> {
        let mut line: Line = serde_json::from_str(record)?;
        line.folded = line.more;
        Ok(line)
    }
}

/// Folds the findings of a group into its first one: lines come in the order to be shown. Only
/// findings in the same state are folded, or a closed one would hide an open one.
#[derive(Default)]
pub struct Folded {
    lines: Vec<Line>,
    places: BTreeMap<(String, String), usize>,
}

impl Folded {
    /// Adds a finding.
    pub fn add(&mut self, line: Line) {
        let group = (line.group.clone(), line.state.clone());
        match self.places.get(&group) {
            Some(place) => self.lines[*place].folded += 1 + line.folded,
            None => {
                self.places.insert(group, self.lines.len());
                self.lines.push(line);
            }
        }
    }

    /// The lines.
    pub fn into_lines(self) -> Vec<Line> {
        self.lines
    }
}

/// A table of findings, at most 100 columns wide, with a head; empty for no findings.
pub fn listing_text(lines: &[Line], colour: bool) -> String {
    if lines.is_empty() {
        return String::new();
    }
    let head = ["ID", "SEVERITY", "KIND", "STATE", "LAST SEEN", "MESSAGE"].map(str::to_owned);
    let rows: Vec<[String; 6]> = lines.iter().map(cells).collect();
    let width = |column: usize| {
        let cells = rows.iter().chain([&head]).map(|row| columns(&row[column]));
        cells.max().unwrap_or_default()
    };
    let widths = [width(0), width(1), width(2), width(3), width(4)];
    let rest = COLUMNS.saturating_sub(widths.iter().map(|width| width + 2).sum());
    let mut text = String::new();
    for (at, row) in [&head].into_iter().chain(&rows).enumerate() {
        for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
            let padded = padded(cell, width);
            let (on, off) = match column {
                1 if colour && at > 0 => colours(cell),
                _ => ("", ""),
            };
            let _ = write!(text, "{on}{padded}{off}  ");
        }
        let folded = at.checked_sub(1).map_or(0, |at| lines[at].folded);
        text += &shortened(&row[5], folded, rest);
        text.push('\n');
    }
    text
}

fn cells(line: &Line) -> [String; 6] {
    let id = line.id.get(..ID_DIGITS).unwrap_or(&line.id);
    // Whole seconds: enough to tell when, and it leaves room for the message.
    let seen = line.last_seen.get(..19).unwrap_or(&line.last_seen).replace('T', " ");
    [id, &line.severity, &line.kind, &line.state, &seen, &line.message].map(clean)
}

/// A message in so many columns, with how many more findings it stands for.
fn shortened(message: &str, folded: u64, columns: usize) -> String {
    let more = if folded > 0 { format!(" (+{folded})") } else { String::new() };
    let room = columns.saturating_sub(more.len());
    format!("{}{more}", cut(message, room))
}

fn colours(severity: &str) -> (&'static str, &'static str) {
    match severity {
        "critical" => ("\x1b[1;31m", "\x1b[0m"),
        "warning" => ("\x1b[1;33m", "\x1b[0m"),
        _ => ("\x1b[1;36m", "\x1b[0m"),
    }
}

/// Everything known of a finding, as a page.
///
/// # Input
/// A finding as an object of NDJSON, of this version or another: fields that are not known here
/// are shown as they are.
pub fn record_text(record: &Value, colour: bool) -> String {
    let word = |field: &str| clean(record[field].as_str().unwrap_or_default());
    let severity = word("severity");
    let (on, off) = if colour { colours(&severity) } else { ("", "") };
    let mut text =
        format!("{on}{} {}{off}  {}\n", severity.to_uppercase(), word("kind"), word("id"));
    add_paragraph(&mut text, "  ", "  ", &word("message"));
    text.push('\n');
    const SHOWN: [&str; 7] =
        ["id", "kind", "severity", "message", "transactions", "last_written", "acknowledgement"];
    for (name, value) in record.as_object().into_iter().flatten() {
        if !SHOWN.contains(&name.as_str()) && *value != Value::Null {
            let name = padded(&clean(&name.replace('_', " ")), FIELD_WIDTH);
            add_paragraph(
                &mut text,
                &format!("  {name}  "),
                &" ".repeat(FIELD_WIDTH + 4),
                &plain(value),
            );
        }
    }
    if let Some(ack) = record["acknowledgement"].as_object() {
        let word = |field: &str| ack.get(field).map(plain).unwrap_or_default();
        let until = match ack.get("until") {
            Some(Value::String(until)) => format!(" until {}", clean(until)),
            _ => String::new(),
        };
        let line = format!("acknowledged by {} at {}{until}", word("by"), word("at"));
        add_paragraph(&mut text, "  ", "    ", &line);
        add_paragraph(&mut text, "    ", "    ", &word("why"));
    }
    for transaction in record["transactions"].as_array().into_iter().flatten() {
        transaction_lines(&mut text, transaction);
    }
    for (node, write) in record["last_written"].as_object().into_iter().flatten() {
        add_paragraph(&mut text, "  ", "    ", &last_written_line(node, write));
    }
    text
}

/// Which write left a node's row as it is.
fn last_written_line(node: &str, write: &Value) -> String {
    let node = clean(node);
    if write.is_null() {
        return format!("last written in {node}: not since the masters agreed");
    }
    let of = |field: &str| plain(&write[field]);
    let at = |field: &str| plain(&write["coordinates"][field]);
    let gone = if write["absent"] == true { ", which left no row" } else { "" };
    format!(
        "last written in {node}: by {} {}{gone}, {} {}..{}",
        of("origin"),
        of("gtid"),
        at("file"),
        at("start"),
        at("end"),
    )
}

fn transaction_lines(text: &mut String, transaction: &Value) {
    let word = |field: &str, none: &str| match &transaction[field] {
        Value::Null => none.to_owned(),
        value => plain(value),
    };
    let line = format!(
        "{}: {} {} at {}",
        word("origin", "?"),
        word("operation", "write"),
        word("gtid", "(no GTID)"),
        word("committed_at", "?"),
    );
    add_paragraph(text, "  ", "    ", &line);
    for (node, at) in transaction["coordinates"].as_object().into_iter().flatten() {
        let node = clean(node);
        let line = match at {
            Value::Null => format!("in {node}: not shown"),
            at => {
                let of = |field: &str| plain(&at[field]);
                format!("in {node}: {} {}..{}", of("file"), of("start"), of("end"))
            }
        };
        add_paragraph(text, "     ", "       ", &line);
    }
}

/// A value in one line: `a=1, b=2` for objects, without the quotes of text.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => clean(text),
        Value::Array(values) => values.iter().map(plain).collect::<Vec<_>>().join(", "),
        Value::Object(fields) => {
            let field = |(name, value): (&String, &Value)| match value {
                Value::Object(_) => format!("{}: {}", clean(name), plain(value)),
                value => format!("{}={}", clean(name), plain(value)),
            };
            fields.iter().map(field).collect::<Vec<_>>().join(", ")
        }
        Value::Null => "-".to_owned(),
        value => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn line(id: &str, group: &str, state: &str, more: u64) -> Line {
        let record = json!({
            "id": id.repeat(32), "severity": "critical", "kind": "write_conflict",
            "state": state, "last_seen": "2026-11-23T18:01:19.000084Z", "group": group,
            "message": "t.x (id=1): a updated it, and b updated it, and neither knew of the other",
            "more": more,
        });
        Line::parse(&record.to_string()).unwrap()
    }

    #[test]
    fn a_table_is_at_most_100_columns_wide() {
        let mut lines = vec![line("1", "g", "acknowledged", 0), line("2", "h", "open", 1_000_000)];
        lines[0].message = "漢".repeat(300);
        let text = listing_text(&lines, false);
        assert_eq!(text.lines().count(), 3);
        for line in text.lines() {
            assert!(columns(line) <= COLUMNS, "{line}");
        }
        assert!(text.contains("222222222222  critical  write_conflict  open"), "{text}");
        assert!(text.ends_with("… (+1000000)\n"), "{text}");
        assert!(listing_text(&lines, true).contains("\x1b[1;31mcritical\x1b[0m  write"));
    }

    #[test]
    fn a_group_is_folded_into_its_first_finding_by_state() {
        let mut folded = Folded::default();
        for (id, group, state, more) in [
            ("1", "g", "open", 0),
            ("2", "h", "open", 0),
            ("3", "g", "open", 5),
            ("4", "g", "healed", 0),
        ] {
            folded.add(line(id, group, state, more));
        }
        let lines = folded.into_lines();
        let folded: Vec<_> = lines.iter().map(|line| (&line.id[..1], line.folded)).collect();
        assert_eq!(folded, [("1", 6), ("2", 0), ("4", 0)]);
    }

    #[test]
    fn nothing_from_outside_reaches_the_terminal_as_a_command() {
        let mut evil = line("1", "g", "open", 0);
        evil.message = "\x1b[2Jgone\n".to_owned();
        let text = listing_text(&[evil], false);
        assert!(text.contains("\\u{1b}[2Jgone\\n") && text.lines().count() == 2, "{text}");
        let record = json!({"key": {"k\x07": "\x1b[2J"}, "message": "\x1b"});
        assert!(!record_text(&record, false).contains('\x1b'));
        assert!(!record_text(&record, false).contains('\x07'));
    }

    #[test]
    fn a_page_shows_every_field_that_is_not_null() {
        let record = json!({
            "id": "ab".repeat(16), "kind": "write_conflict", "severity": "critical",
            "state": "acknowledged", "key": {"id": 1, "name": "x"}, "reason": null, "later": [1, 2],
            "transactions": [{
                "origin": "a", "gtid": "1-1-4", "operation": null, "committed_at": "T",
                "coordinates": {"a": {"file": "a-bin.000001", "start": 4, "end": 9}, "b": null},
            }],
            "last_written": {"b": null, "a": {
                "gtid": "2-2-1", "origin": "b", "absent": true,
                "coordinates": {"file": "a-bin.000001", "start": 9, "end": 14},
            }},
            "message": "m",
            "acknowledgement": {"by": "ann", "why": "known", "at": "T1", "until": "T2"},
        });
        let text = record_text(&record, false);
        for line in [
            "CRITICAL write_conflict  abababababababababababababababab",
            "  m",
            "  key           id=1, name=x",
            "  later         1, 2",
            "  acknowledged by ann at T1 until T2",
            "    known",
            "  a: write 1-1-4 at T",
            "     in a: a-bin.000001 4..9",
            "     in b: not shown",
            "  last written in a: by b 2-2-1, which left no row, a-bin.000001 9..14",
            "  last written in b: not since the masters agreed",
        ] {
            assert!(text.lines().any(|found| found == line), "no {line:?} in\n{text}");
        }
        assert!(!text.contains("reason"), "{text}");
    }
}
