//! What was judged and what was not; tables and transactions by origin.

use super::{ScanReport, TableLine};
use crate::report::page::{node, time, told_time};
use maud::{Markup, html};
use serde_json::Value;

/// The number of a node, for its colour.
pub(super) fn number(of: &ScanReport<'_>, name: &str) -> usize {
    of.nodes.iter().position(|node| node == name).unwrap_or(of.nodes.len())
}

/// A table in a region that scrolls by itself.
pub(super) fn table(label: &str, heads: &[(&str, bool)], rows: &Markup) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label=(label) {
            table {
                thead { tr { @for (head, is_number) in heads {
                    th.number[*is_number] scope="col" { (head) }
                } } }
                tbody { (rows) }
            }
        }
    }
}

/// Counts of a stream in the summary.
const FIELDS: [&str; 5] = ["originals", "copies", "unknown_origin", "rows_seen", "rows_judged"];

/// Rows judged of rows seen, per stream, and what was not, by reason.
pub(super) fn coverage(of: &ScanReport<'_>) -> Markup {
    let heads = [
        ("Stream", false),
        ("Originals", true),
        ("Copies", true),
        ("Of unknown origin", true),
        ("Rows seen", true),
        ("Rows judged", true),
        ("Commits", false),
    ];
    let number_of = |stream: &Value, field: &str| stream[field].as_u64().unwrap_or_default();
    let rows = html! {
        @for (name, stream) in &of.summary.streams {
            tr {
                th scope="row" { (node(name, number(of, name))) }
                @for field in FIELDS {
                    td.number { (number_of(stream, field)) }
                }
                td {
                    @if let Some([first, last]) = stream["span"].as_array().map(Vec::as_slice) {
                        (told_time(first.as_str().unwrap_or_default())) " to "
                        (told_time(last.as_str().unwrap_or_default()))
                    } @else { "no transactions" }
                }
            }
        }
    };
    let reasons = html! {
        @for (reason, count) in &of.summary.not_judged {
            tr { th.mono scope="row" { (reason) } td.number { (count) } }
        }
    };
    html! {
        (table("Coverage by stream", &heads, &rows))
        @if of.summary.not_judged.is_empty() {
            p.faint { "Nothing was left unjudged in what was read." }
        } @else {
            h3 { "Not judged" }
            p.faint {
                "Rows, statements or events that could not be judged, by reason; each has a "
                "blind spot among the findings."
            }
            (table("Not judged", &[("Reason", false), ("Count", true)], &reasons))
        }
        (spans(of))
    }
}

fn spans(of: &ScanReport<'_>) -> Markup {
    let heads = [
        ("In the stream of", false),
        ("GTIDs of", false),
        ("First", true),
        ("Last", true),
        ("Transactions", true),
    ];
    let rows = html! {
        @for span in &of.spans {
            tr {
                th scope="row" { (node(&span.stream, number(of, &span.stream))) }
                td.mono { (span.source) }
                td.number { (span.sequences.0) }
                td.number { (span.sequences.1) }
                td.number { (span.transactions) }
            }
        }
    };
    html! {
        @if !of.spans.is_empty() {
            h3 { "GTIDs" }
            (table("GTIDs by stream", &heads, &rows))
        }
        @if of.spans_left_out > 0 {
            p.faint { (of.spans_left_out) " transactions of more sources are not in this table." }
        }
    }
}

/// Rows written to each table, by node, whose it is, and what was found in it.
pub(super) fn tables(of: &ScanReport<'_>) -> Markup {
    let mut heads = vec![("Table", false), ("Owner", false)];
    heads.extend(of.nodes.iter().map(|name| (name.as_str(), true)));
    heads.push(("Findings", false));
    let line = |table: &TableLine| {
        html! {
            tr {
                th.mono scope="row" {
                    @if table.table.is_empty() { "(about no table)" } @else { (table.table) }
                }
                td { (table.owner) }
                @for [inserts, updates, deletes] in &table.rows {
                    @let total = inserts + updates + deletes;
                    @let title =
                        format!("{inserts} inserted, {updates} updated, {deletes} deleted");
                    td.number title=(title) { @if total > 0 { (total) } }
                }
                td { div.tags { @for (kind, severity, count) in &table.findings {
                    span class={ "tag " (severity.as_str()) } { (count) " " (kind.as_str()) }
                } } }
            }
        }
    };
    let rows = html! { @for table in &of.tables { (line(table)) } };
    html! {
        @if of.tables.is_empty() { p.faint { "No rows were written." } } @else {
            p.faint {
                "Rows that each node wrote itself; what it applied from others is not counted."
            }
            (table("Tables by origin", &heads, &rows))
        }
        @if of.tables_left_out > 0 { p.faint { "and " (of.tables_left_out) " more tables" } }
    }
}

/// The transactions with the most rows.
pub(super) fn biggest(of: &ScanReport<'_>) -> Markup {
    let heads =
        [("Rows", true), ("Node", false), ("GTID", false), ("Committed", false), ("Tables", false)];
    let rows = html! {
        @for big in &of.biggest {
            tr {
                td.number { (big.rows) }
                td { (node(&big.origin, number(of, &big.origin))) }
                td.mono { @if big.gtid.is_empty() { "without a GTID" } @else { (big.gtid) } }
                td { (time(big.committed_at)) }
                td.mono.message { (big.tables.join(", ")) }
            }
        }
    };
    table("Biggest transactions", &heads, &rows)
}
