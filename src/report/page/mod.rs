//! Pages for people: what the status page and a scan's report are made of.
//!
//! Everything here turns values into HTML and reads nothing. What comes from outside (keys, names,
//! statements, errors) goes through the templates, which escape it; nothing is put into a script or
//! a style.
//!
//! The two users differ in one thing, told by [`Links`]: the status page has a page for each
//! finding, the report is one file.

mod counts;
mod finding;
mod images;
mod lanes;
mod list;
mod overview;
pub mod scan;
mod streams;
mod tables;
mod timeline;
mod words;

pub use counts::{Count, Counted};
pub use finding::{FindingPage, NoteForm, Rows, finding_page};
pub use images::images;
pub use lanes::lanes;
pub use list::{Filter, List, ListedFinding, escaped, findings_table};
pub use maud::{Markup, PreEscaped, html};
pub use overview::{Overview, RANGES, overview_page};
pub use streams::streams;
pub use tables::{Trouble, trouble_table};
pub use timeline::{Class, Timeline, timeline};
pub use words::{advice, title_of_kind};

use crate::model::CommitTime;

/// The style of all pages.
pub const STYLE: &str = include_str!("style.css");
/// What makes the status page live.
pub const SCRIPT: &str = include_str!("page.js");

/// Where links to findings lead.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Links {
    /// To pages of their own, below the status page.
    Site,
    /// To places in the same file.
    File,
}

impl Links {
    /// The address of a finding.
    pub fn finding(self, id: &str) -> String {
        match self {
            Links::Site => format!("/findings/{id}"),
            Links::File => format!("#{id}"),
        }
    }
}

/// A whole page of the status page's site: `parts` is what stands in `<main>`.
pub fn site_page(title: &str, parts: &Markup) -> String {
    let page = html! {
        (maud::DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                link rel="stylesheet" href="/static/style.css";
                link rel="icon" href="data:,";
                script src="/static/page.js" defer {}
            }
            body {
                a.skip href="#main" { "Skip to the content" }
                header.top {
                    a.name href="/" { "twinlog" }
                    nav aria-label="Pages" {
                        a href="/" { "Status" }
                        a href="/?state=all#findings" { "Findings" }
                        a href="/metrics" { "Metrics" }
                        a href="/api/v1/status" { "API" }
                    }
                    span.live id="live" role="status" { }
                }
                main id="main" { (parts) }
                footer { "twinlog " (env!("CARGO_PKG_VERSION")) ". Times are UTC." }
            }
        }
    };
    page.into_string()
}

/// A time for people, in whole seconds, UTC. Where the page has its script, it also says how long
/// ago that was.
pub fn time(at: CommitTime) -> Markup {
    let text = seconds(at);
    html! {
        time.nowrap datetime=(super::rfc3339(at)) data-ago={ (text) " (…)" } { (text) }
    }
}

/// `2026-11-24 00:02:11`.
pub(super) fn seconds(at: CommitTime) -> String {
    let whole = CommitTime { micros: at.micros, whole_seconds: true };
    super::rfc3339(whole).replace('T', " ").replace('Z', "")
}

/// A time as a record has it: RFC 3339.
pub(super) fn told_time(text: &str) -> Markup {
    match text.parse::<jiff::Timestamp>() {
        Ok(at) => time(CommitTime::from_micros(at.as_microsecond())),
        Err(_) => html! { (text) },
    }
}

/// A node's name in its colour; nodes are numbered in the order of their names.
pub fn node(name: &str, number: usize) -> Markup {
    let class = format!("node node-{}", number % NODE_COLOURS);
    html! { span class=(class) { (name) } }
}

/// Colours in the style; nodes past them begin anew.
pub(super) const NODE_COLOURS: usize = 4;

#[cfg(test)]
mod tests;
