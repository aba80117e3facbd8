//! The report's findings: a list in groups, and the evidence of each.

use super::{ScanReport, coverage::table};
use crate::report::{
    Explanation, Summary,
    page::{
        images, lanes,
        list::{key_text, state_tag},
        title_of_kind, told_time,
    },
    text::severity_rank,
};
use maud::{Markup, html};
use serde_json::Value;
use std::cmp::Reverse;

/// Findings of one kind, table and transaction (or pair).
#[derive(Clone, PartialEq, Debug)]
pub struct Group {
    /// Those that are listed, at least one.
    pub findings: Vec<Grouped>,
    /// Those that are only counted.
    pub more: u64,
    /// What its findings count past `group_limit`.
    pub past_limit: u64,
}

/// A finding in the list.
#[derive(Clone, PartialEq, Debug)]
pub struct Grouped {
    /// Its record.
    pub record: Value,
    /// Its evidence is in the report.
    pub has_evidence: bool,
}

/// How many findings of the summary's counts are like this.
pub(super) fn count(summary: &Summary, is: impl Fn(&Value) -> bool) -> u64 {
    let counts = summary.findings.iter().filter(|of| is(of));
    counts.filter_map(|of| of["count"].as_u64()).sum()
}

/// Kind, severity and count; the worst first.
pub(super) fn counts(summary: &Summary) -> Vec<(&str, &str, u64)> {
    let mut counts: Vec<&Value> = summary.findings.iter().collect();
    counts.sort_by_key(|of| Reverse(severity_rank(of["severity"].as_str())));
    let count = |of: &Value| of["count"].as_u64().unwrap_or_default();
    counts.into_iter().map(|of| (word(of, "kind"), word(of, "severity"), count(of))).collect()
}

/// The list.
pub(super) fn findings(of: &ScanReport<'_>) -> Markup {
    let heads = [
        ("Severity", false),
        ("Finding", false),
        ("What", false),
        ("State", false),
        ("Last seen", false),
    ];
    let rows = html! { @for group in &of.groups { (row(group)) } };
    let (listed_max, evidence_max) = of.bounds;
    html! {
        @if of.groups.is_empty() { p.faint { "There are none." } } @else {
            (table("Findings", &heads, &rows))
        }
        @if of.not_listed > 0 {
            p { strong { (of.not_listed) " more findings are counted above and not listed." }
                " The findings themselves (--format ndjson) have all of them." }
        }
        p.faint {
            "The worst come first, then the older. At most " (listed_max) " are listed, and "
            (evidence_max) " have their evidence below."
        }
    }
}

fn word<'a>(record: &'a Value, field: &str) -> &'a str {
    record[field].as_str().unwrap_or_default()
}

fn row(group: &Group) -> Markup {
    let Some((first, others)) = group.findings.split_first() else { return html! {} };
    let record = &first.record;
    let counted = group.more + group.past_limit;
    let class = if word(record, "state") == "open" { "" } else { "closed" };
    html! {
        tr class=(class) {
            td { span class={ "tag " (word(record, "severity")) } { (word(record, "severity")) } }
            td {
                (name(first))
                @if word(record, "certainty") == "possible" {
                    " " span.faint title="The logs allow another reading" { "(possible)" }
                }
            }
            td.message {
                (word(record, "message"))
                @if !others.is_empty() || counted > 0 {
                    details {
                        summary { "and " (others.len() as u64 + counted) " more of this group" }
                        ul.plain {
                            @for other in others { li { (name(other)) } }
                            @if counted > 0 { li.faint { (counted) " more, only counted" } }
                        }
                    }
                }
            }
            td { (state_tag(word(record, "state"), word(record, "severity"))) }
            td { (told_time(word(record, "last_seen"))) }
        }
    }
}

/// The finding's name, which leads to its evidence; without evidence it is the place itself.
fn name(of: &Grouped) -> Markup {
    let (id, title) = (word(&of.record, "id"), title_of_kind(word(&of.record, "kind")));
    html! {
        @if of.has_evidence { a href={ "#" (id) } { (title) } }
        @else { span id=(id) { (title) } }
        " " span.mono { (row_text(&of.record)) }
    }
}

fn row_text(record: &Value) -> String {
    let text = format!("{} {}", word(record, "table"), key_text(&record["key"]));
    text.trim().to_owned()
}

/// A finding with its picture, its rows as each stream has them, and the commands that prove it.
pub fn evidence_section(of: &Explanation) -> String {
    let record = &of.record;
    let markup = html! {
        section.card id=(word(record, "id")) {
            h3 { (title_of_kind(word(record, "kind"))) " " span.mono { (row_text(record)) } }
            p { (word(record, "message")) }
            p.tags {
                span class={ "tag " (word(record, "severity")) } { (word(record, "severity")) }
                (state_tag(word(record, "state"), word(record, "severity")))
                span.tag { (word(record, "certainty")) }
                @for field in ["outcome", "cause", "reason"] {
                    @let text = word(record, field);
                    @if !text.is_empty() { span.tag { (field) ": " (text) } }
                }
                span.tag.mono { (word(record, "id").get(..12).unwrap_or_default()) }
            }
            (lanes(of))
            @if !of.transactions.is_empty() {
                details open { summary { "The rows, as each stream has them" } (images(of)) }
            }
            @if !of.proofs.is_empty() {
                details {
                    summary { "The same without twinlog" }
                    @for proof in &of.proofs {
                        p.faint { (proof.gtid.as_deref().unwrap_or("no GTID")) " in " (proof.node) }
                        pre tabindex="0" { code { (proof.command) } }
                    }
                }
            }
        }
    };
    markup.into_string()
}
