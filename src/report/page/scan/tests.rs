//! Tests of the report's page.

use super::*;
use crate::{
    engine::Coverage,
    model::Nodes,
    report::{Counts, Explanation},
};

fn summary(incomplete: &[&str]) -> Summary {
    let incomplete = incomplete.iter().map(|line| (*line).to_owned()).collect();
    Summary::new(&Coverage::default(), &Nodes::default(), &Counts::new(), 0, 0.0, incomplete)
}

fn page(summary: &Summary, groups: Vec<Group>, evidence: Vec<String>) -> String {
    scan_report_page(&ScanReport {
        summary,
        nodes: &["a".to_owned(), "b".to_owned()],
        files: vec![("a".to_owned(), vec![("a-bin.<b>".to_owned(), 2_000_000)])],
        made_at: CommitTime::from_seconds(1_795_456_879),
        wanted: vec!["table <i>*".to_owned()],
        suppressed: 3,
        timeline: None,
        timeless: 0,
        hours: [1; 24],
        spans: vec![GtidSpan {
            stream: "a".to_owned(),
            source: "0-1".to_owned(),
            sequences: (4, 9),
            transactions: 6,
        }],
        spans_left_out: 0,
        tables: vec![TableLine {
            table: "t.<u>x".to_owned(),
            owner: "a".to_owned(),
            rows: vec![[1, 2, 3], [0; 3]],
            findings: vec![(FindingKind::WriteConflict, Severity::Critical, 2)],
        }],
        tables_left_out: 0,
        biggest: Vec::new(),
        differ_past_limit: 0,
        groups,
        not_listed: 0,
        evidence,
        evidence_left_out: 0,
        bounds: (2_000, 200),
        evidence_seconds_max: 60,
    })
}

#[test]
fn what_comes_from_outside_is_text() {
    let record = serde_json::json!({
        "id": "\"><script>1", "kind": "write_conflict", "severity": "critical",
        "state": "open<script>", "certainty": "possible", "table": "<script>alert(1)</script>",
        "key": {"k<img src=x>": "\"><img src=x onerror=alert(1)>"},
        "message": "</td><script>\u{202e}\x1b",
        "last_seen": "no time <b>", "outcome": "<script>",
    });
    let evidence = evidence_section(&Explanation::of(&record));
    let group = Group {
        findings: vec![Grouped { record: record.clone(), has_evidence: false }; 2],
        more: 1,
        past_limit: 0,
    };
    let text = page(&summary(&["x: <script>\n  hint: <b>"]), vec![group], vec![evidence]);
    for tag in ["<script", "<img", "<b>", "<i>", "<u>"] {
        assert!(!text.contains(tag), "{tag} in {text}");
    }
    assert!(text.contains("&lt;script&gt;alert(1)"), "{text}");
    assert!(text.contains("&lt;script&gt;\\u{202e}\\u{1b}"), "{text}");
}

#[test]
fn it_needs_no_other_file() {
    let text = page(&summary(&[]), Vec::new(), Vec::new());
    assert!(
        !text.contains("src=") && !text.contains("@import") && !text.contains("url("),
        "{text}"
    );
    assert!(!text.contains("http://") && !text.contains("https://"), "{text}");
    assert!(text.contains("default-src &#39;none&#39;") || text.contains("default-src 'none'"));
}

#[test]
fn the_verdict_never_hides_what_was_not_verified() {
    let whole = page(&summary(&[]), Vec::new(), Vec::new());
    assert!(whole.contains("<h1>No rule was broken</h1>"), "{whole}");
    assert!(whole.contains("verdict good"));
    let broken = page(&summary(&["a: cut off\n  hint: copy it again"]), Vec::new(), Vec::new());
    assert!(broken.contains("not everything could be verified"), "{broken}");
    assert!(broken.contains("a: cut off hint: copy it again"), "{broken}");
    assert!(broken.contains("verdict warning"));
}
