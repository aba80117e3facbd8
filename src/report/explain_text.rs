//! An explanation for a terminal, at most 100 columns wide but for command lines.

use super::{
    Explanation,
    explain::{Seen, Step, StreamView, TransactionView},
    terminal::{
        COLUMNS as WIDTH, add_paragraph, clean, clean_lines, columns, cut, padded, wrapped,
    },
};
use crate::binlog::evidence::{Cell, Change};
use std::fmt::Write;

/// Columns of a mark, a column's name and the gap after it.
const NAME_WIDTH: usize = 20;
/// Columns between two streams.
const GAP: usize = 2;
/// Rows of a transaction that are shown; the JSON form has all.
const ROWS_MAX: usize = 5;
/// Lines of statements' text that are shown.
const STATEMENT_LINES_MAX: usize = 12;

/// An explanation as text: the finding, both orders, the rows, and the command lines.
pub fn explanation_text(explanation: &Explanation, colour: bool) -> String {
    let (on, off) = if colour { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
    let mut text = String::new();
    let of = |field| explanation.text(field);
    let of = |field| clean(of(field));
    let _ =
        writeln!(text, "{on}{} {}{off}  {}", of("severity").to_uppercase(), of("kind"), of("id"));
    add_paragraph(&mut text, "  ", "  ", &of("message"));
    let heading = |text: &mut String, title: &str| {
        let lines = wrapped(&clean(title), WIDTH - 3).join("\n   ");
        let _ = writeln!(text, "\n{on}{lines}{off}");
    };
    if !explanation.transactions.is_empty() {
        heading(&mut text, "The order in each stream");
        orders(&mut text, explanation);
    }
    let mut marks = false;
    for (at, transaction) in explanation.transactions.iter().enumerate() {
        heading(&mut text, &title(at, transaction));
        marks |= transaction_text(&mut text, transaction);
    }
    if marks {
        let _ = writeln!(text, "\n  *  changed by the write     !  not the same in all streams");
    }
    let seen = |wanted: fn(&Seen) -> bool| {
        explanation.transactions.iter().flat_map(|of| &of.views).any(|view| wanted(&view.seen))
    };
    if seen(|seen| matches!(seen, Seen::NoSource)) {
        let _ = writeln!(
            text,
            "\nFor the rows themselves, name the nodes' binlogs (NODE=DIRECTORY), or their servers \
             in\nthe configuration (--config FILE)."
        );
    }
    if !explanation.proofs.is_empty() {
        heading(&mut text, "The same without twinlog");
        for proof in &explanation.proofs {
            let line = format!("{} in {}", proof.gtid.as_deref().unwrap_or("no GTID"), proof.node);
            add_paragraph(&mut text, "  # ", "  # ", &clean(&line));
            // Not wrapped: it is to be copied.
            let _ = writeln!(text, "  {}", clean(&proof.command));
        }
    }
    text
}

fn title(at: usize, transaction: &TransactionView) -> String {
    let origin = transaction.origin.as_deref().unwrap_or("an unknown server");
    let gtid = transaction.gtid.as_deref().unwrap_or("without a GTID");
    let operation = transaction.operation.as_deref().unwrap_or("write");
    let mut title = format!("{}. {origin}: {operation} {gtid}", at + 1);
    if !transaction.committed_at.is_empty() {
        let _ = write!(title, ", committed at {}", transaction.committed_at);
    }
    title
}

/// Both orders, two streams side by side.
fn orders(text: &mut String, explanation: &Explanation) {
    let width = (WIDTH - 2 - GAP) / 2;
    for pair in explanation.streams.chunks(2) {
        let columns = pair.iter().map(|stream| {
            let mut lines = vec![format!("in {}", stream.node), "-".repeat(width)];
            let mut add = |number: &str, transaction: usize, place: String| {
                let of = &explanation.transactions[transaction];
                let origin = of.origin.as_deref().unwrap_or("?");
                let operation = of.operation.as_deref().unwrap_or("write");
                lines.push(format!(
                    "{number} {origin}: {operation}, transaction {}",
                    transaction + 1
                ));
                lines.push(format!("   {place}"));
            };
            for (number, Step { transaction, at }) in stream.shown.iter().enumerate() {
                add(&format!("{}.", number + 1), *transaction, format!("{}:{}", at.file, at.start));
            }
            for transaction in &stream.not_shown {
                add("- ", *transaction, "not shown".to_owned());
            }
            lines
        });
        let columns: Vec<Vec<String>> = columns.collect();
        for line in 0..columns.iter().map(Vec::len).max().unwrap_or(0) {
            let cells = columns.iter().map(|lines| lines.get(line).map_or("", String::as_str));
            put_columns(text, "  ", &cells.collect::<Vec<_>>(), width);
        }
    }
}

/// Cells side by side, each cut to `width`.
fn put_columns(text: &mut String, start: &str, cells: &[&str], width: usize) {
    let mut line = start.to_owned();
    for (at, cell) in cells.iter().enumerate() {
        let gap = if at + 1 < cells.len() { GAP } else { 0 };
        let _ = write!(line, "{}{:gap$}", padded(&clean(cell), width), "");
    }
    let _ = writeln!(text, "{}", line.trim_end());
}

/// A transaction's statement and rows; true when a mark was set.
fn transaction_text(text: &mut String, transaction: &TransactionView) -> bool {
    statements(text, transaction);
    for view in &transaction.views {
        match &view.seen {
            Seen::Failed(error) => {
                for line in error.lines() {
                    add_paragraph(text, "  not read: ", "            ", line.trim_start());
                }
            }
            Seen::Read(read) => {
                for what in &read.not_decoded {
                    add_paragraph(text, "  ", "    ", &format!("in {}: {what}", view.node));
                }
            }
            Seen::NotShown | Seen::NoSource => {}
        }
    }
    let mut marks = false;
    for pair in transaction.views.chunks(2) {
        let rows = pair.iter().filter_map(|v| v.seen.evidence()).map(|read| read.changes.len());
        let rows = rows.max().unwrap_or(0);
        for row in 0..rows.min(ROWS_MAX) {
            marks |= row_text(text, pair, row);
        }
        if rows > ROWS_MAX {
            let _ = writeln!(text, "  {} more rows: --format json", rows - ROWS_MAX);
        }
    }
    marks
}

/// The text of the statements that wrote the rows, else of all, as the first stream has it.
fn statements(text: &mut String, transaction: &TransactionView) {
    let read = transaction.views.iter().filter_map(|view| view.seen.evidence());
    let Some(read) = read.max_by_key(|read| read.statements.len()) else { return };
    let mut wrote: Vec<&str> = read.changes.iter().filter_map(|c| c.statement.as_deref()).collect();
    wrote.dedup();
    if wrote.is_empty() {
        wrote = read.statements.iter().map(|statement| &**statement).collect();
    }
    let lines = wrote.iter().flat_map(|statement| {
        let statement = clean_lines(&statement.replace('\t', "    ").replace('\r', ""));
        statement.lines().flat_map(|line| wrapped(line, WIDTH - 4)).collect::<Vec<_>>()
    });
    let lines: Vec<String> = lines.collect();
    for line in lines.iter().take(STATEMENT_LINES_MAX) {
        let _ = writeln!(text, "  | {line}");
    }
    if lines.len() > STATEMENT_LINES_MAX {
        let _ = writeln!(text, "  | … ({} more lines)", lines.len() - STATEMENT_LINES_MAX);
    }
}

/// One row as two streams have it; true when a mark was set.
fn row_text(text: &mut String, pair: &[StreamView], row: usize) -> bool {
    let width = (WIDTH - NAME_WIDTH - GAP) / 2;
    let changes: Vec<Option<&Change>> = pair
        .iter()
        .map(|view| view.seen.evidence().and_then(|read| read.changes.get(row)))
        .collect();
    let heads = pair.iter().zip(&changes).map(|(view, change)| match (&view.seen, change) {
        (_, Some(change)) => format!("in {}: {}", view.node, change.operation.as_str()),
        (Seen::NotShown, None) => format!("in {}: not shown", view.node),
        (Seen::Read(_), None) => format!("in {}: the row is not in it", view.node),
        (_, None) => format!("in {}: not read", view.node),
    });
    let heads: Vec<String> = heads.collect();
    let table = changes.iter().flatten().next().map(|change| change.of.table.full_name());
    let table = padded(&clean(&table.unwrap_or_default()), NAME_WIDTH - 3);
    let cells: Vec<&str> = heads.iter().map(String::as_str).collect();
    put_columns(text, &format!("  {table} "), &cells, width);

    let names = changes.iter().flatten().max_by_key(|change| change.of.columns.len());
    let Some(names) = names.map(|change| change.of.clone()) else { return false };
    let mut marks = false;
    for column in 0..names.columns.len() {
        let cells: Vec<(String, bool)> = changes
            .iter()
            .map(|change| change.map_or_else(Default::default, |c| cell(c, column)))
            .collect();
        let changed = cells.iter().any(|(_, changed)| *changed);
        let both = changes.iter().all(Option::is_some);
        let differs = both && cells.windows(2).any(|pair| pair[0].0 != pair[1].0);
        marks |= changed || differs;
        let mark = |is: bool, sign| if is { sign } else { ' ' };
        let name = padded(&clean(&names.name(column)), NAME_WIDTH - 4);
        let start = format!("{}{} {name} ", mark(differs, '!'), mark(changed, '*'));
        let shown: Vec<String> = cells.iter().map(|(cell, _)| shorten(cell, width)).collect();
        put_columns(text, &start, &shown.iter().map(String::as_str).collect::<Vec<_>>(), width);
    }
    marks
}

/// Both halves of `before -> after` keep their beginnings.
fn shorten(cell: &str, width: usize) -> String {
    match cell.split_once(ARROW) {
        Some((before, after)) if columns(cell) > width => {
            let room = width - ARROW.len();
            let (short, long) = (columns(before), columns(after));
            let first = (room / 2).max(room.saturating_sub(long)).min(short);
            format!("{}{ARROW}{}", cut(before, first.max(1)), cut(after, room - first))
        }
        _ => cut(cell, width),
    }
}

const ARROW: &str = " -> ";

/// A column of a change: its value, or both; and whether the change changed it.
fn cell(change: &Change, column: usize) -> (String, bool) {
    let get =
        |image: &Option<Vec<Cell>>| image.as_ref().and_then(|cells| cells.get(column).cloned());
    let shown = |cell: &Cell| match change.of.shown(column, cell) {
        None => "not logged".to_owned(),
        Some(serde_json::Value::Null) => "NULL".to_owned(),
        Some(value) => clean(&value.to_string()),
    };
    match (get(&change.before), get(&change.after)) {
        (Some(before), Some(Cell::NotLogged)) => (shown(&before), false),
        (Some(before), Some(after)) if before != after => {
            (format!("{}{ARROW}{}", shown(&before), shown(&after)), true)
        }
        (Some(only), _) | (None, Some(only)) => (shown(&only), false),
        (None, None) => (String::new(), false),
    }
}
