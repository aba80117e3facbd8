//! Tests of the pages' parts.

use super::*;
use crate::model::{FindingKind, Severity, State};

#[test]
fn what_comes_from_outside_is_text() {
    let record = serde_json::json!({
        "id": "ab", "kind": "write_conflict", "severity": "critical", "state": "open",
        "table": "<script>alert(1)</script>", "key": {"k": "\"><img src=x>"},
        "message": "</td><script>", "last_seen": "no time <b>", "group": "'\"",
    });
    let text = findings_table(&[ListedFinding::read(&record)], Links::Site).into_string();
    assert!(!text.contains("<script") && !text.contains("<img") && !text.contains("<b>"), "{text}");
    assert!(text.contains("&lt;script&gt;alert(1)"), "{text}");
}

#[test]
fn a_filter_is_in_the_address() {
    assert_eq!(Filter::default().address(), "/#findings");
    let filter = Filter {
        kinds: vec![FindingKind::WriteConflict, FindingKind::Divergence],
        states: Vec::new(),
        severity: Some(Severity::Critical),
        table: Some("sh op.ä&*".to_owned()),
        ..Filter::default()
    };
    let address = "/?kind=write_conflict,divergence&state=all&severity=critical\
                   &table=sh%20op.%C3%A4%26*#findings";
    assert_eq!(filter.address(), address);
}

#[test]
fn the_timeline_counts_what_is_in_it() {
    let mut line = Timeline::new(1_000, 10, 3);
    for at in [999, 1_000, 1_009, 1_010, 1_029, 1_030, i64::MIN, i64::MAX] {
        line.add(FindingKind::WriteConflict, at, 1);
    }
    let conflicts: Vec<u64> = line.bars.iter().map(|bar| bar[Class::Conflict as usize]).collect();
    assert_eq!(conflicts, [2, 1, 1]);
    assert!(timeline(&line).into_string().contains("4 findings between"));
}

#[test]
fn open_kinds_come_worst_first() {
    let count = |kind, severity, state, count| Count { kind, severity, state, count };
    let counted = Counted(vec![
        count(FindingKind::SharedKey, Severity::Info, State::Open, 9),
        count(FindingKind::Divergence, Severity::Critical, State::Healed, 5),
        count(FindingKind::TableOwnership, Severity::Critical, State::Open, 2),
        count(FindingKind::TableOwnership, Severity::Warning, State::Open, 1),
        count(FindingKind::WriteConflict, Severity::Critical, State::Open, 3),
    ]);
    let kinds: Vec<(&str, u64)> =
        counted.open_kinds().iter().map(|(kind, _, count)| (kind.as_str(), *count)).collect();
    let want =
        [("write_conflict", 3), ("table_ownership", 2), ("table_ownership", 1), ("shared_key", 9)];
    assert_eq!(kinds, want);
    assert_eq!(counted.of(State::Open, Severity::Critical), 5);
}
