//! The rows of a finding's transactions, before and after, as each stream has them.

use super::node;
use crate::{
    binlog::evidence::{Cell, Change},
    report::{Explanation, Seen, StreamView, TransactionView, told_json},
};
use maud::{Markup, html};
use serde_json::Value;

/// Rows of a transaction that are shown.
const ROWS_MAX: usize = 20;
/// Letters of a value that are shown: a BLOB is no reading.
const VALUE_LETTERS: usize = 400;
/// Letters of a statement that are shown: one may insert a thousand rows.
const STATEMENT_LETTERS: usize = 4_000;

/// Each transaction with its statement and its rows, streams side by side.
pub fn images(of: &Explanation) -> Markup {
    html! {
        @for (at, transaction) in of.transactions.iter().enumerate() {
            section {
                h3 { (at + 1) ". " (title(of, transaction)) }
                (statements(transaction))
                (notes(transaction))
                @let rows = rows_of(transaction);
                @for row in 0..rows.min(ROWS_MAX) { (row_table(transaction, row)) }
                @if rows > ROWS_MAX { p.faint { (rows - ROWS_MAX) " more rows" } }
            }
        }
        p.legend {
            span { span.tag { "yellow *" } " changed by the write" }
            span { span.tag { "red !" } " not the same in all streams" }
        }
    }
}

fn rows_of(transaction: &TransactionView) -> usize {
    let read = transaction.views.iter().filter_map(|view| view.seen.evidence());
    read.map(|read| read.changes.len()).max().unwrap_or(0)
}

fn title(of: &Explanation, transaction: &TransactionView) -> Markup {
    let origin = transaction.origin.as_deref();
    let number = of.streams.iter().position(|stream| Some(stream.node.as_str()) == origin);
    html! {
        @match (origin, number) {
            (Some(name), Some(number)) => (node(name, number)),
            (Some(name), None) => (name),
            (None, _) => "an unknown server",
        }
        ": " (transaction.operation.as_deref().unwrap_or("write")) " "
        span.mono { (transaction.gtid.as_deref().unwrap_or("without a GTID")) }
        @if !transaction.committed_at.is_empty() {
            ", committed " (super::told_time(&transaction.committed_at))
        }
    }
}

/// The text of the statements that wrote the rows, else of all, from the stream that has most.
fn statements(transaction: &TransactionView) -> Markup {
    let read = transaction.views.iter().filter_map(|view| view.seen.evidence());
    let Some(read) = read.max_by_key(|read| read.statements.len()) else { return html! {} };
    let mut wrote: Vec<&str> = read.changes.iter().filter_map(|c| c.statement.as_deref()).collect();
    wrote.dedup();
    if wrote.is_empty() {
        wrote = read.statements.iter().map(|statement| &**statement).collect();
    }
    html! {
        @for statement in wrote.iter().take(ROWS_MAX) {
            pre tabindex="0" { code { (shortened(statement, STATEMENT_LETTERS)) } }
        }
    }
}

fn notes(transaction: &TransactionView) -> Markup {
    html! {
        @for view in &transaction.views {
            @match &view.seen {
                Seen::Failed(error) => p { "In " (view.node) " it was not read: " (error) },
                Seen::Read(read) => {
                    @for what in &read.not_decoded { p { "In " (view.node) ": " (what) } }
                },
                Seen::NotShown | Seen::NoSource => {},
            }
        }
    }
}

/// One row, streams side by side: for each its image before and after.
fn row_table(transaction: &TransactionView, row: usize) -> Markup {
    let change = |view: &StreamView| -> Option<Change> {
        view.seen.evidence().and_then(|read| read.changes.get(row)).cloned()
    };
    let views: Vec<(&StreamView, Option<Change>)> =
        transaction.views.iter().map(|view| (view, change(view))).collect();
    let Some(widest) =
        views.iter().filter_map(|(_, c)| c.as_ref()).max_by_key(|c| c.of.columns.len())
    else {
        return html! {};
    };
    let columns = widest.before.as_ref().or(widest.after.as_ref()).map_or(0, Vec::len);
    let table = widest.of.table.full_name();
    html! {
        div.scroll tabindex="0" role="region" aria-label={ "Row of " (table) } {
            table.images {
                caption.faint { (table) }
                thead {
                    tr {
                        th rowspan="2" scope="col" { "Column" }
                        @for (view, change) in &views {
                            th colspan="2" scope="colgroup" {
                                "in " (view.node) ": " (what(view, change.as_ref()))
                            }
                        }
                    }
                    tr {
                        @for _ in &views { th scope="col" { "before" } th scope="col" { "after" } }
                    }
                }
                tbody { @for column in 0..columns { (column_row(widest, &views, column)) } }
            }
        }
    }
}

fn what(view: &StreamView, change: Option<&Change>) -> &'static str {
    match (&view.seen, change) {
        (_, Some(change)) => change.operation.as_str(),
        (Seen::NotShown, None) => "not shown",
        (Seen::NoSource, None) => "no source",
        (Seen::Failed(_), None) => "not read",
        (Seen::Read(_), None) => "no such row",
    }
}

fn column_row(widest: &Change, views: &[(&StreamView, Option<Change>)], column: usize) -> Markup {
    let shown = |change: &Option<Change>, after: bool| -> Option<Value> {
        let change = change.as_ref()?;
        let image = if after { change.after.as_ref() } else { change.before.as_ref() }?;
        image.get(column).and_then(|cell: &Cell| change.of.shown(column, cell))
    };
    let differs = |after: bool| {
        let mut seen =
            views.iter().filter(|(_, change)| change.is_some()).map(|(_, c)| shown(c, after));
        let first = seen.next();
        seen.any(|other| Some(other) != first)
    };
    let (before_differs, after_differs) = (differs(false), differs(true));
    html! {
        tr {
            th.mono scope="row" { (widest.of.name(column)) }
            @for (_, change) in views {
                @let (before, after) = (shown(change, false), shown(change, true));
                @let had = change.as_ref().is_some_and(|change| change.before.is_some());
                @let has = change.as_ref().is_some_and(|change| change.after.is_some());
                (cell(before.as_ref(), had, false, before_differs))
                (cell(after.as_ref(), has, had && has && before != after, after_differs))
            }
        }
    }
}

/// A value, with its marks in letters too: colours alone tell nothing to many. Without `has_row`
/// there is no row at all; without a value the image leaves the column out.
fn cell(value: Option<&Value>, has_row: bool, changed: bool, differs: bool) -> Markup {
    let class = match (value, changed, differs) {
        (_, _, true) => "differs",
        (_, true, _) => "changed",
        (None, ..) => "absent",
        _ => "",
    };
    html! {
        td class=(class) {
            @match value {
                None if has_row => span.faint { "not in the log" },
                None => span.faint { "no row" },
                Some(Value::Null) => span.faint { "NULL" },
                Some(value) => (shortened(&told_json(value), VALUE_LETTERS)),
            }
            @if changed { " *" }
            @if differs { " !" }
        }
    }
}

fn shortened(text: &str, letters: usize) -> String {
    match text.chars().count() > letters {
        true => text.chars().take(letters).chain(['…']).collect(),
        false => text.to_owned(),
    }
}
