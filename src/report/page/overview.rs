//! The status page: what is wrong, how the streams are, and the findings.

use super::{
    Counted, Filter, Links, List, Timeline, Trouble, findings_table,
    list::filter_form,
    streams::streams,
    tables::{kind_tag, trouble_table},
    time,
    timeline::timeline,
};
use crate::{
    model::{FindingKind, Severity, State},
    report::{Status, StreamState},
};
use maud::{Markup, html};

/// What the status page shows.
#[derive(Debug)]
pub struct Overview<'a> {
    /// The streams.
    pub status: &'a Status,
    /// All findings, counted.
    pub counts: &'a Counted,
    /// Findings over time.
    pub timeline: &'a Timeline,
    /// The time that the timeline covers, in words of [`RANGES`].
    pub range: &'a str,
    /// Tables with open findings, the worst first.
    pub tables: &'a [Trouble],
    /// Tables that are left out of `tables`.
    pub more_tables: usize,
    /// Which findings are listed.
    pub filter: &'a Filter,
    /// These findings.
    pub list: &'a List,
    /// What was wrong with the filter, for a person.
    pub mistake: Option<&'a str>,
    /// Findings are forgotten when twinlog ends, and only so many of the newest are known.
    pub forgets: Option<usize>,
}

/// Times that the timeline can cover: word, bars, and microseconds for each bar.
pub const RANGES: [(&str, usize, i64); 4] = [
    ("1h", 60, 60_000_000),
    ("24h", 96, 900_000_000),
    ("7d", 84, 7_200_000_000),
    ("30d", 90, 28_800_000_000),
];

/// The parts of the status page.
pub fn overview_page(of: &Overview<'_>) -> Markup {
    html! {
        div id="verdict" data-live { (verdict(of.status, of.counts)) }
        h2 { "Streams" }
        div id="streams" data-live { (streams(of.status)) }
        h2 { "Findings over time" }
        p.tags.ranges {
            @for (range, ..) in RANGES {
                @if range == of.range { span.tag.info aria-current="true" { (range) } }
                @else {
                    @let other = Filter { range: Some(range), ..of.filter.clone() };
                    a.tag href=(other.address().replace("#findings", "")) { (range) }
                }
            }
        }
        div id="timeline" data-live { (timeline(of.timeline)) }
        h2 { "Tables by trouble" }
        div id="tables" data-live {
            (trouble_table(of.tables, Links::Site))
            @if of.more_tables > 0 { p.faint { "and " (of.more_tables) " more tables" } }
        }
        h2 id="findings" { "Findings" }
        (filter_form(of.filter))
        @if let Some(mistake) = of.mistake { p.tag.warning role="alert" { (mistake) } }
        div id="list" data-live { (list(of)) }
    }
}

/// The state of the pair in a sentence.
fn verdict(status: &Status, counts: &Counted) -> Markup {
    let critical = counts.of(State::Open, Severity::Critical);
    let warning = counts.of(State::Open, Severity::Warning);
    let differ = counts.of_kind(FindingKind::Divergence, State::Open);
    let acknowledged = counts.0.iter().filter(|of| of.state == State::Acknowledged);
    let acknowledged: u64 = acknowledged.map(|of| of.count).sum();
    let sees_all = status.ready && status.store_fails_since.is_none();
    let class = match (critical, warning, sees_all) {
        (1.., ..) => "critical",
        (0, 1.., _) | (.., false) => "warning",
        _ => "good",
    };
    html! {
        section.verdict.(class) aria-label="Verdict" {
            p.big { (headline(differ, critical, warning, sees_all)) }
            @if let Some(since) = status.store_fails_since {
                p {
                    strong { "Findings cannot be kept since " (time(since)) }
                    ": what was found since then is not on this page. The log says why."
                }
            }
            p {
                @let verified = status.origins.iter().map(|of| of.verified_until).min().flatten();
                @if let (true, Some(until)) = (status.ready, verified) {
                    "All writes are verified until " (time(until)) "."
                } @else if status.ready {
                    "The streams are read."
                } @else {
                    strong { "twinlog does not see everything now: " (unseen(status)) "." }
                }
                " Watching since " (time(status.started_at)) "."
            }
            p.tags {
                @for (kind, severity, count) in counts.open_kinds() {
                    (kind_tag(kind, severity, count, None, Links::Site))
                }
                @if acknowledged > 0 { span.tag { (acknowledged) " acknowledged" } }
            }
        }
    }
}

/// "Nothing" is only said by one who sees everything.
fn headline(differ: u64, critical: u64, warning: u64, sees_all: bool) -> String {
    match (differ, critical, warning) {
        (1, ..) => "1 row differs between the masters".to_owned(),
        (2.., ..) => format!("{differ} rows differ between the masters"),
        (0, 1, _) => "1 critical finding is open".to_owned(),
        (0, 2.., _) => format!("{critical} critical findings are open"),
        (0, 0, 1) => "1 warning is open".to_owned(),
        (0, 0, 2..) => format!("{warning} warnings are open"),
        (0, 0, 0) if sees_all => "Nothing is open".to_owned(),
        (0, 0, 0) => "Not everything can be seen now".to_owned(),
    }
}

fn unseen(status: &Status) -> String {
    let why = |of: &StreamState| match (of.connected, of.begun, of.caught_up) {
        (false, ..) => Some(format!("{} is not connected", of.node)),
        (_, false, _) => Some(format!("the stream of {} has not begun", of.node)),
        (.., false) => Some(format!("the stream of {} is not read to its end", of.node)),
        _ => None,
    };
    if let Some(node) = &status.waits_for {
        return format!("nothing is judged before the server of {node} answers");
    }
    let streams: Vec<String> = status.streams.iter().filter_map(why).collect();
    match streams.is_empty() {
        true => "it is only starting".to_owned(),
        false => streams.join(", "),
    }
}

fn list(of: &Overview<'_>) -> Markup {
    html! {
        @if let Some(group) = &of.filter.group {
            p {
                "Only the group " span.mono { (group) } ". "
                a href="/#findings" { "All findings" }
            }
        }
        @if of.list.findings.is_empty() {
            p.faint { "No finding is like this." }
        } @else {
            (findings_table(&of.list.findings, Links::Site))
        }
        p.tags {
            @if of.filter.after.is_some() {
                @let first = Filter { after: None, ..of.filter.clone() };
                a.tag href=(first.address()) { "Newest" }
            }
            @if let Some(next) = &of.list.next {
                @let older = Filter { after: Some(next.clone()), ..of.filter.clone() };
                a.tag rel="next" href=(older.address()) { "Older" }
            }
        }
        @if let Some(most) = of.forgets {
            p.faint {
                "There is no watch.store: these are the newest " (most) " findings at most, and "
                "they are forgotten when twinlog ends."
            }
        }
    }
}
