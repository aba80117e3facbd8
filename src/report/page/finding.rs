//! A finding's own page: what it is, how bad, who is right, and what to do.

use super::{
    Filter, Markup, advice, images, lanes,
    list::{key_text, state_tag},
    node, title_of_kind, told_time,
};
use crate::report::{Explanation, Repair};
use maud::html;
use serde_json::Value;

/// What a finding's page shows.
pub struct FindingPage<'a> {
    /// The finding's record, its state with acknowledgements counted in.
    pub record: &'a Value,
    /// Its transactions, in the order of each stream.
    pub explanation: &'a Explanation,
    /// The rows, or why they are not here.
    pub rows: Rows,
    /// Scripts that repair it: for each node that could win. Empty where there is nothing to
    /// repair, or the rows stay here.
    pub repairs: &'a [(String, Repair)],
    /// Command lines: what it does, and the command.
    pub commands: &'a [(&'static str, String)],
    /// How to take note of it; `None` where that is not possible.
    pub note: Option<NoteForm<'a>>,
}

/// Whether row values are on the page.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Rows {
    /// They are in the explanation.
    Shown,
    /// They are not, and why.
    Hidden(String),
}

/// What taking note of a finding needs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NoteForm<'a> {
    /// What went wrong with the last attempt, for a person.
    pub mistake: Option<&'a str>,
}

/// The parts of a finding's page.
pub fn finding_page(of: &FindingPage<'_>) -> Markup {
    let word = |field: &str| of.record[field].as_str().unwrap_or_default();
    html! {
        div id="finding" data-live {
            p {
                a href="/" { "Status" } " / " a href="/#findings" { "Findings" } " / "
                span.mono { (word("id")) }
            }
            section.verdict.(word("severity")) aria-label="Finding" {
                h1 {
                    (title_of_kind(word("kind")))
                    @if !word("table").is_empty() {
                        ": " span.mono { (word("table")) " " (key_text(&of.record["key"])) }
                    }
                }
                p { (word("message")) }
                p.tags {
                    span class={ "tag " (word("severity")) } { (word("severity")) }
                    (state_tag(word("state"), word("severity")))
                    span.tag { (word("certainty")) }
                    @if !word("outcome").is_empty() { span.tag { "outcome: " (word("outcome")) } }
                    @if !word("cause").is_empty() { span.tag { "cause: " (word("cause")) } }
                }
            }
            (owner(of.record))
            @if let Some(note) = &of.note { (noted(of.record, note)) }
            @if !advice(word("kind")).is_empty() {
                h2 { "What to do" }
                ol.steps { @for step in advice(word("kind")) { li { (step) } } }
            }
            @if !of.explanation.transactions.is_empty() {
                h2 { "The order in each stream" }
                (lanes(of.explanation))
            }
            (last_written(of))
        }
        // A repair of what the row was when the page was opened would do harm.
        div id="proof" data-live {
            (rows(of))
            (repairs(of))
            (commands(of))
        }
        @if let Some(note) = &of.note { (note_form(word("id"), note)) }
        h2 { "Everything known" }
        p {
            a href=(Filter::of_group(word("group")).address()) { "All findings of its group" }
            ": of the same kind, table and transactions."
        }
        div id="facts" data-live { (facts(of)) }
    }
}

/// Who may write it, and which rule says so.
fn owner(record: &Value) -> Markup {
    let names = record["owner"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let names: Vec<&str> = names.collect();
    let names = if names.is_empty() { "nobody".to_owned() } else { names.join(", ") };
    let rule = &record["rule"];
    html! {
        @if record["owner"].is_array() {
            p.card {
                "Owner: " strong { (names) }
                ", by "
                @match rule["number"].as_u64() {
                    Some(number) => {
                        "ownership rule " (number) ": " span.mono { (tables(&rule["tables"])) }
                    },
                    None => "defaults.unlisted_tables",
                }
                @if record["change"] == "moves" { ". The write moves the row to another owner" }
                "."
            }
        }
    }
}

fn tables(tables: &Value) -> String {
    let names = tables.as_array().into_iter().flatten().filter_map(Value::as_str);
    names.collect::<Vec<_>>().join(", ")
}

/// Who has taken note of it, and a way to take that back.
fn noted(record: &Value, form: &NoteForm<'_>) -> Markup {
    let note = &record["acknowledgement"];
    let action = format!("/findings/{}/withdraw", record["id"].as_str().unwrap_or_default());
    let word = |field: &str| note[field].as_str().unwrap_or_default();
    html! {
        @if note.is_object() {
            form.note.card method="post" action=(action) {
                p {
                    "Acknowledged by " strong { (word("by")) } " at " (told_time(word("at"))) ": "
                    (word("why"))
                    @if let Some(until) = note["until"].as_str() {
                        " (until " (told_time(until)) ")"
                    }
                }
                @if form.mistake.is_none() { button type="submit" { "Take the note back" } }
            }
        }
    }
}

/// Who wrote the row last, as each stream has it.
fn last_written(of: &FindingPage<'_>) -> Markup {
    let Some(by_node) = of.record["last_written"].as_object() else { return html! {} };
    let word = |value: &Value, other: &str| value.as_str().unwrap_or(other).to_owned();
    html! {
        h2 { "Last write of the row in each stream" }
        div.cards {
            @for (number, (name, write)) in by_node.iter().enumerate() {
                section.card {
                    h3 { (node(name, number)) }
                    @if write.is_null() { p { "stands as it was before" } } @else {
                        dl.facts {
                            dt { "Written by" }
                            dd {
                                (word(&write["origin"], "an unknown server")) " "
                                span.mono { (word(&write["gtid"], "without a GTID")) }
                            }
                            @let at = &write["coordinates"];
                            dt { "At" }
                            dd.mono { (word(&at["file"], "")) ":" (at["start"]) }
                            @if write["absent"] == true {
                                dt { "Row" } dd { "gone: the write left none" }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn rows(of: &FindingPage<'_>) -> Markup {
    html! {
        @if !of.explanation.transactions.is_empty() {
            h2 { "The rows" }
            @match &of.rows {
                Rows::Shown => (images(of.explanation)),
                Rows::Hidden(why) => p.faint { (why) },
            }
        }
    }
}

fn repairs(of: &FindingPage<'_>) -> Markup {
    html! {
        @if !of.repairs.is_empty() {
            h2 { "Repair" }
            p { "SQL for the node that loses. twinlog never runs it: read it, and run it there." }
            @for (winner, repair) in of.repairs {
                @for script in &repair.scripts {
                    @let id = format!("repair-{winner}-{}", script.node);
                    details id=(id) open[of.repairs.len() == 1] {
                        summary { (winner) " is right: change the row on " (script.node) }
                        pre tabindex="0" { code { (script.sql()) } }
                    }
                }
                @for refusal in &repair.refused {
                    p { "If " (winner) " is right: no script, " (refusal.reason) }
                }
            }
        }
    }
}

fn commands(of: &FindingPage<'_>) -> Markup {
    let proofs = of.explanation.proofs.iter().map(|proof| {
        let what = format!("{} in {}", proof.gtid.as_deref().unwrap_or("no GTID"), proof.node);
        (what, &proof.command)
    });
    let own = of.commands.iter().map(|(what, command)| ((*what).to_owned(), command));
    html! {
        h2 { "On the command line" }
        @for (what, command) in own.chain(proofs) {
            p.faint { (what) }
            pre tabindex="0" { code { (command) } }
        }
    }
}

fn note_form(id: &str, note: &NoteForm<'_>) -> Markup {
    html! {
        h2 id="note" { "Take note of it" }
        p.faint {
            "An acknowledged finding is not counted as open. It is told again when it changes."
        }
        @if let Some(mistake) = note.mistake { p.tag.warning role="alert" { (mistake) } }
        form.note method="post" action={ "/findings/" (id) "/acknowledge" } {
            label { "Your name" input name="by" required autocomplete="username" size="16"; }
            label { "Why it is no reason to worry" input name="why" required size="40"; }
            label { "Until (a date, or 30d; empty: for good)"
                input name="until" placeholder="30d" size="14";
            }
            button type="submit" { "Acknowledge" }
        }
    }
}

/// The record, field by field, as it is written.
fn facts(of: &FindingPage<'_>) -> Markup {
    let fields = of.record.as_object().into_iter().flatten();
    let fields = fields.filter(|(name, value)| !value.is_null() && name.as_str() != "message");
    html! {
        dl.facts.card {
            @for (name, value) in fields {
                dt { (name) }
                dd.mono { (crate::report::told_json(value)) }
            }
        }
    }
}
