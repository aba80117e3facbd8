//! Lists of findings, and how they are filtered.

use super::{Links, told_time, words::title_of_kind};
use crate::model::{FindingKind, Severity, State};
use maud::{Markup, html};
use serde_json::Value;
use std::fmt::Write;

/// Which findings a list shows. Everything is in the page's address, so that it can be shared.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Filter {
    /// Of these kinds; empty: of all.
    pub kinds: Vec<FindingKind>,
    /// In these states; empty: in all.
    pub states: Vec<State>,
    /// At least this severe.
    pub severity: Option<Severity>,
    /// Tables that match this glob over `schema.table`.
    pub table: Option<String>,
    /// Of this group only, each on a line.
    pub group: Option<String>,
    /// The time that the timeline above covers, where that is another than usual.
    pub range: Option<&'static str>,
    /// Only those after this place: what [`List::next`] gave.
    pub after: Option<String>,
}

impl Default for Filter {
    fn default() -> Self {
        Filter {
            kinds: Vec::new(),
            states: vec![State::Open],
            severity: None,
            table: None,
            group: None,
            range: None,
            after: None,
        }
    }
}

impl Filter {
    /// The address of the status page with this filter, at the list.
    pub fn address(&self) -> String {
        let mut query = String::new();
        let mut add = |name: &str, value: &str| {
            let _ = write!(
                query,
                "{}{name}={}",
                if query.is_empty() { '?' } else { '&' },
                escaped(value)
            );
        };
        let kinds: Vec<&str> = self.kinds.iter().map(|kind| kind.as_str()).collect();
        if !kinds.is_empty() {
            add("kind", &kinds.join(","));
        }
        match self.states.as_slice() {
            [State::Open] => {}
            [] => add("state", "all"),
            states => {
                let states: Vec<&str> = states.iter().map(|state| state.as_str()).collect();
                add("state", &states.join(","));
            }
        }
        let severity = self.severity.map(Severity::as_str);
        let rest = [
            ("severity", severity),
            ("table", self.table.as_deref()),
            ("group", self.group.as_deref()),
            ("range", self.range),
            ("after", self.after.as_deref()),
        ];
        for (name, value) in rest {
            if let Some(value) = value {
                add(name, value);
            }
        }
        format!("/{query}#findings")
    }

    /// All of a group, each by itself.
    pub fn of_group(group: &str) -> Filter {
        Filter { group: Some(group.to_owned()), states: Vec::new(), ..Filter::default() }
    }

    fn is_default(&self) -> bool {
        *self == Filter { after: self.after.clone(), range: self.range, ..Filter::default() }
    }
}

/// A value in an address: letters, digits and what no address gives a meaning stay.
pub fn escaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for byte in value.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'*' | b',' => {
                text.push(char::from(byte));
            }
            byte => drop(write!(text, "%{byte:02X}")),
        }
    }
    text
}

/// A finding in a list, out of its record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListedFinding {
    /// Its id.
    pub id: String,
    /// The words of its record.
    pub severity: String,
    /// Kind.
    pub kind: String,
    /// State, with acknowledgements counted in.
    pub state: String,
    /// The logs allow another reading.
    pub is_possible: bool,
    /// `schema.table`, or empty.
    pub table: String,
    /// The row's key, or empty.
    pub key: String,
    /// One line for people.
    pub message: String,
    /// RFC 3339.
    pub last_seen: String,
    /// Its group.
    pub group: String,
    /// Findings of its group that it stands for, beside itself.
    pub folded: u64,
}

impl ListedFinding {
    /// Reads a record.
    pub fn read(record: &Value) -> ListedFinding {
        let word = |field: &str| record[field].as_str().unwrap_or_default().to_owned();
        ListedFinding {
            id: word("id"),
            severity: word("severity"),
            kind: word("kind"),
            state: word("state"),
            is_possible: record["certainty"] == "possible",
            table: word("table"),
            key: key_text(&record["key"]),
            message: word("message"),
            last_seen: word("last_seen"),
            group: word("group"),
            folded: record["more"].as_u64().unwrap_or(0),
        }
    }
}

/// `id=7`; several columns with blanks between.
pub(super) fn key_text(key: &Value) -> String {
    let Some(columns) = key.as_object() else { return String::new() };
    let column = |(name, value): (&String, &Value)| match value {
        Value::String(text) => format!("{name}={text}"),
        value => format!("{name}={value}"),
    };
    columns.iter().map(column).collect::<Vec<_>>().join(" ")
}

/// A part of a list.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct List {
    /// The findings, the newest first.
    pub findings: Vec<ListedFinding>,
    /// Where the next part begins, if there is one.
    pub next: Option<String>,
}

/// Findings as a table.
pub fn findings_table(findings: &[ListedFinding], links: Links) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label="Findings" {
            table {
                thead { tr {
                    th scope="col" { "Severity" }
                    th scope="col" { "Finding" }
                    th scope="col" { "What" }
                    th scope="col" { "State" }
                    th scope="col" { "Last seen" }
                } }
                tbody { @for of in findings { (row(of, links)) } }
            }
        }
    }
}

fn row(of: &ListedFinding, links: Links) -> Markup {
    let class = if of.state == "open" { "" } else { "closed" };
    html! {
        tr class=(class) {
            td { span class={ "tag " (of.severity) } { (of.severity) } }
            td {
                a href=(links.finding(&of.id)) { (title_of_kind(&of.kind)) }
                @if of.is_possible {
                    " " span.faint title="The logs allow another reading" { "(possible)" }
                }
                @if !of.table.is_empty() {
                    div.mono { (of.table) @if !of.key.is_empty() { " " (of.key) } }
                }
            }
            td.message {
                (of.message)
                @if of.folded > 0 { " " (folded(of, links)) }
            }
            td { (state_tag(&of.state, &of.severity)) }
            td { (told_time(&of.last_seen)) }
        }
    }
}

fn folded(of: &ListedFinding, links: Links) -> Markup {
    let text = format!("and {} more of this group", of.folded);
    match links {
        Links::Site => {
            html! { a.nowrap href=(Filter::of_group(&of.group).address()) { (text) } }
        }
        Links::File => html! { span.faint { (text) } },
    }
}

/// A state; an open one as bad as its finding.
pub(super) fn state_tag(state: &str, severity: &str) -> Markup {
    let class = match state {
        "open" => format!("tag {severity}"),
        "healed" => "tag good".to_owned(),
        _ => "tag".to_owned(),
    };
    html! { span class=(class) { (state) } }
}

/// The filter as a form, which works without a script.
pub(super) fn filter_form(filter: &Filter) -> Markup {
    let states = ["open", "acknowledged", "healed", "open,acknowledged", "all"];
    let chosen: Vec<&str> = filter.states.iter().map(|state| state.as_str()).collect();
    let chosen = if chosen.is_empty() { "all".to_owned() } else { chosen.join(",") };
    let kinds = filter.kinds.iter().map(|kind| kind.as_str()).collect::<Vec<_>>().join(",");
    let severities = [("", "any"), ("warning", "warning or worse"), ("critical", "critical")];
    let severity = filter.severity.map_or("", Severity::as_str);
    html! {
        form.filter method="get" action="/#findings" {
            label { "Kind"
                select name="kind" {
                    option value="" selected[filter.kinds.is_empty()] { "any" }
                    @for kind in FindingKind::ALL {
                        @let word = kind.as_str();
                        option value=(word) selected[filter.kinds == [kind]] { (word) }
                    }
                    @if filter.kinds.len() > 1 {
                        option value=(kinds) selected { (kinds) }
                    }
                }
            }
            label { "State"
                select name="state" {
                    @for state in states {
                        option value=(state) selected[state == chosen] { (state) }
                    }
                    @if !states.contains(&chosen.as_str()) {
                        option value=(chosen) selected { (chosen) }
                    }
                }
            }
            label { "Severity"
                select name="severity" {
                    @for (value, text) in severities {
                        option value=(value) selected[value == severity] { (text) }
                    }
                }
            }
            label { "Table (glob)"
                input name="table" value=(filter.table.as_deref().unwrap_or_default())
                    placeholder="shop.*" size="22";
            }
            @if let Some(range) = filter.range { input type="hidden" name="range" value=(range); }
            button type="submit" { "Filter" }
            @if !filter.is_default() { a href="/#findings" { "Reset" } }
        }
    }
}
