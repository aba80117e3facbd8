//! A scan's report: one file that needs no other, and no network.

mod coverage;
mod findings;
mod hours;
#[cfg(test)]
mod tests;
mod times;

pub use findings::{Group, Grouped, evidence_section};
pub use times::TimeSpread;

use super::{STYLE, Timeline, seconds, time, timeline::timeline};
use crate::{
    model::{CommitTime, FindingKind, Severity},
    report::{Summary, terminal::clean_text},
};
use maud::{Markup, PreEscaped, html};

/// What a report shows. All numbers of coverage and findings are the summary's.
#[derive(Debug)]
pub struct ScanReport<'a> {
    /// The scan's summary.
    pub summary: &'a Summary,
    /// Names of all nodes, in their order.
    pub nodes: &'a [String],
    /// Per stream, its files with their lengths on disk; what is no file has none.
    pub files: Vec<(String, Vec<(String, u64)>)>,
    /// When the report was made.
    pub made_at: CommitTime,
    /// What of the findings was asked for, in words; empty: all.
    pub wanted: Vec<String>,
    /// Findings that the configuration suppresses: they are nowhere in the report.
    pub suppressed: u64,
    /// Findings over time; `None` where no stream has a transaction.
    pub timeline: Option<Timeline>,
    /// Findings whose time is outside the timeline.
    pub timeless: u64,
    /// Conflicts by the hour of the day, UTC, in which the later write was committed.
    pub hours: [u64; 24],
    /// What each stream has shown of each GTID source.
    pub spans: Vec<GtidSpan>,
    /// Transactions that some stream showed of GTID sources past the bound.
    pub spans_left_out: u64,
    /// Tables, the most troubled first.
    pub tables: Vec<TableLine>,
    /// Tables past the bound.
    pub tables_left_out: u64,
    /// The biggest originals, the biggest first.
    pub biggest: Vec<BigTransaction>,
    /// Rows that differ, past `group_limit`: counted on findings, and told by none.
    pub differ_past_limit: u64,
    /// Findings, grouped, the worst first.
    pub groups: Vec<Group>,
    /// Findings that are in no group: only counted.
    pub not_listed: u64,
    /// For findings with evidence, in the order of the groups: what [`evidence_section`] made.
    pub evidence: Vec<String>,
    /// Findings that would have evidence, had the time for it not been over.
    pub evidence_left_out: usize,
    /// The bounds, to be told: findings listed, and with evidence, at most.
    pub bounds: (usize, usize),
    /// How long evidence is read at most, to be told where it was not enough.
    pub evidence_seconds_max: u64,
}

/// What a stream has shown of one GTID source.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GtidSpan {
    /// Whose stream.
    pub stream: String,
    /// `domain-server` or `uuid`.
    pub source: String,
    /// The lowest and the highest sequence number.
    pub sequences: (u64, u64),
    /// Transactions.
    pub transactions: u64,
}

/// One table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TableLine {
    /// `schema.table`; empty for findings about none.
    pub table: String,
    /// Who owns it, in words.
    pub owner: String,
    /// Rows written, by node: inserted, updated, deleted.
    pub rows: Vec<[u64; 3]>,
    /// Findings of each kind.
    pub findings: Vec<(FindingKind, Severity, u64)>,
}

/// A transaction with many rows.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct BigTransaction {
    /// Rows that it wrote.
    pub rows: usize,
    /// Its node.
    pub origin: String,
    /// Its GTID, or empty.
    pub gtid: String,
    /// When it was committed.
    pub committed_at: CommitTime,
    /// Tables that it wrote; the first few.
    pub tables: Vec<String>,
}

/// The report as one HTML file. It holds no script, and nothing in it is fetched; browsers are
/// told to refuse both.
pub fn scan_report_page(of: &ScanReport<'_>) -> String {
    let policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:";
    let names: Vec<&str> = of.files.iter().map(|(node, _)| node.as_str()).collect();
    let page = html! {
        (maud::DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="Content-Security-Policy" content=(policy);
                meta name="referrer" content="no-referrer";
                title { "twinlog scan: " (names.join(", ")) ", " (day(of.made_at)) }
                link rel="icon" href="data:,";
                style { (PreEscaped(STYLE)) }
            }
            body {
                a.skip href="#main" { "Skip to the content" }
                header.top {
                    span.name { "twinlog scan" }
                    nav aria-label="Parts" {
                        @for (name, title) in PARTS { a href={ "#" (name) } { (title) } }
                    }
                }
                main id="main" { (parts(of)) }
                footer {
                    "twinlog " (env!("CARGO_PKG_VERSION")) ", report made " (time(of.made_at))
                    ". Times are UTC. The report holds values of rows: keep it as you keep the "
                    "data."
                }
            }
        }
    };
    // A browser shows them as nothing, or the text around them in another order.
    clean_text(&page.into_string())
}

/// Parts that the head leads to: their names in the address, and titles.
const PARTS: [(&str, &str); 5] = [
    ("coverage", "Coverage"),
    ("time", "Time"),
    ("tables", "Tables"),
    ("findings", "Findings"),
    ("evidence", "Evidence"),
];

fn parts(of: &ScanReport<'_>) -> Markup {
    html! {
        (head(of))
        h2 id="coverage" { "What was covered" }
        (coverage::coverage(of))
        h2 id="time" { "Findings over time" }
        @match &of.timeline {
            Some(line) => (timeline(line)),
            None => p.faint { "No stream has a transaction." },
        }
        @if of.timeless > 0 {
            p.faint { (of.timeless) " findings have no time in the scanned span." }
        }
        h3 { "Conflicts by hour of the day" }
        (hours::hours(&of.hours))
        h2 id="tables" { "Tables by origin" }
        (coverage::tables(of))
        @if !of.biggest.is_empty() {
            h2 { "Biggest transactions" }
            (coverage::biggest(of))
        }
        h2 id="findings" { "Findings" }
        (findings::findings(of))
        h2 id="evidence" { "Evidence" }
        @if of.groups.is_empty() { p.faint { "No finding, no evidence." } }
        @if of.evidence_left_out > 0 {
            p {
                strong { "Findings without their evidence here: " (of.evidence_left_out) "." }
                " Reading it was ended after " (of.evidence_seconds_max) " seconds. "
                code { "twinlog findings explain" } " shows it, one finding at a time."
            }
        }
        @for section in &of.evidence { (PreEscaped(section)) }
    }
}

/// The verdict in a sentence, and what was scanned.
fn head(of: &ScanReport<'_>) -> Markup {
    let summary = of.summary;
    let counts = |severity: &str| findings::count(summary, |of| of["severity"] == severity);
    let (critical, warning) = (counts("critical"), counts("warning"));
    let whole = summary.incomplete.is_empty();
    let class = match (critical, warning, whole) {
        (1.., ..) => "critical",
        (0, 1.., _) | (.., false) => "warning",
        (0, 0, true) => "good",
    };
    html! {
        section.verdict.(class) aria-label="Verdict" {
            h1 { (headline(of, critical, warning)) }
            p {
                (summary.rows_judged) " of " (summary.rows_seen) " rows were judged ("
                (summary.percent_judged()) " %)."
                @if let Some((first, last)) = span(summary) {
                    " Commits from " (super::told_time(first)) " to " (super::told_time(last)) "."
                }
            }
            @for line in &summary.incomplete {
                p {
                    strong { "Not verified whole: " }
                    @for part in line.lines() { (part.trim()) " " }
                }
            }
            p.tags { @for (kind, severity, count) in findings::counts(summary) {
                span class={ "tag " (severity) } { (count) " " (kind) }
            } }
            @if of.differ_past_limit > 0 {
                p {
                    "Of the rows on which the masters differed, " (of.differ_past_limit)
                    " are past group_limit: counted on the findings of their groups."
                }
            }
            @if !of.wanted.is_empty() {
                p { "Only findings that were asked for: " (of.wanted.join("; ")) "." }
            }
            @if of.suppressed > 0 {
                p {
                    (of.suppressed)
                    " findings are suppressed by the configuration, and not in this report."
                }
            }
        }
        div.cards {
            @for (node, files) in &of.files {
                section.card {
                    h3 { "Stream of " (super::node(node, coverage::number(of, node))) }
                    p.mono { (files_text(files)) }
                }
            }
        }
    }
}

fn headline(of: &ScanReport<'_>, critical: u64, warning: u64) -> String {
    let summary = of.summary;
    let told = findings::count(summary, |of| of["kind"] == "divergence");
    let differ = told + of.differ_past_limit;
    let some = |count: u64, one: &str, many: &str| match count {
        1 => format!("1 {one}"),
        count => format!("{count} {many}"),
    };
    let what = match (critical, warning) {
        (1.., _) if differ > 0 => format!(
            "{}; {} on which the masters differed",
            some(critical, "critical finding", "critical findings"),
            some(differ, "row", "rows")
        ),
        (1.., _) => some(critical, "critical finding", "critical findings"),
        (0, 1..) => some(warning, "warning", "warnings") + ", nothing critical",
        (0, 0) => "No rule was broken".to_owned(),
    };
    match summary.incomplete.is_empty() {
        true => what,
        false => format!("{what}, as far as it could be read: not everything could be verified"),
    }
}

/// The first and the last commit in all streams.
fn span(summary: &Summary) -> Option<(&str, &str)> {
    let spans = summary.streams.values().filter_map(|of| of["span"].as_array());
    let ends = |at: usize| spans.clone().filter_map(move |span| span.get(at)?.as_str());
    // RFC 3339 in UTC: to the second, the order of the text is the order of time.
    let by_second = |text: &&str| text.get(..19).map(str::to_owned);
    Some((ends(0).min_by_key(by_second)?, ends(1).max_by_key(by_second)?))
}

/// `a-bin.000001 to a-bin.000009, 9 files, 12.3 MB`.
fn files_text(files: &[(String, u64)]) -> String {
    let bytes: u64 = files.iter().map(|(_, bytes)| bytes).sum();
    let size = match bytes {
        0..1_000_000 => format!("{:.1} kB on disk", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB on disk", bytes as f64 / 1e6),
        _ => format!("{:.1} GB on disk", bytes as f64 / 1e9),
    };
    match files {
        [] => "no files".to_owned(),
        // No file, but a server or standard input.
        [(only, 0)] => only.clone(),
        [(only, _)] => format!("{only}, {size}"),
        [(first, _), .., (last, _)] => {
            format!("{first} to {last}, {} files, {size}", files.len())
        }
    }
}

fn day(at: CommitTime) -> String {
    seconds(at).get(..10).unwrap_or_default().to_owned()
}
