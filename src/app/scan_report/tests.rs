//! Tests of what the report keeps, and of its file.

use super::*;
use crate::{
    model::{Certainty, CommitTime, FindingId, Node, Severity, State},
    report::page::Class,
};
use std::{cell::Cell, os::unix::fs::PermissionsExt};

fn finding(id: u128, kind: FindingKind, severity: Severity, group: u128) -> Finding {
    Finding {
        settled: true,
        table: Some(format!("t.x{}", id % 600)),
        group: FindingId(group),
        first_seen: CommitTime::from_seconds(1_795_456_879 + id as u32),
        last_seen: CommitTime::from_seconds(1_795_456_879 + id as u32),
        ..Finding::new(FindingId(id), kind, severity)
    }
}

fn nodes() -> Nodes {
    Nodes::new(["a", "b"].map(|name| Node { name: name.into(), ..Node::default() }).to_vec())
}

fn html(collector: Collector) -> String {
    counted_html(collector, &Counts::new())
}

fn counted_html(collector: Collector, counts: &Counts) -> String {
    read_html(
        collector,
        counts,
        &mut Reading { elapsed: &|| Duration::ZERO, begun: &mut |_, _| () },
    )
}

fn read_html(collector: Collector, counts: &Counts, reading: &mut Reading<'_>) -> String {
    let (coverage, sources) = (Coverage::default(), EvidenceSources::default());
    let summary = Summary::new(&coverage, &nodes(), counts, 0, 0.0, Vec::new());
    let facts = ScanFacts {
        summary: &summary,
        coverage: &coverage,
        config: &Config::default(),
        files: Vec::new(),
        sources: &sources,
        wanted: Vec::new(),
        suppressed: 0,
    };
    collector.html(&facts, reading).unwrap()
}

#[test]
fn the_worst_are_listed_and_the_rest_is_counted() {
    let mut collector = Collector::new(nodes());
    for id in 0..5_000 {
        let (kind, severity) = match id {
            4_999 => (FindingKind::Divergence, Severity::Critical),
            id if id % 2 == 0 => (FindingKind::SharedKey, Severity::Info),
            _ => (FindingKind::WriteConflict, Severity::Critical),
        };
        collector.finding(&finding(id, kind, severity, id));
    }
    let text = html(collector);
    assert!(text.contains("<strong>3000 more findings are counted above and not listed.</strong>"));
    let section = |id: u128| format!("<section class=\"card\" id=\"{id:032x}\">");
    let sections = text.matches("<section class=\"card\" id=\"").count();
    assert_eq!(sections, EVIDENCE_MAX);
    assert!(text.contains(&section(1)) && !text.contains(&section(0)), "critical first");
    assert!(text.contains("Row differs between the masters"), "every kind has its turn");
    assert!(text.contains("and 100 more tables"), "tables are bounded");
    assert_eq!(Class::of(FindingKind::SharedKey), Class::Handover);
}

#[test]
fn a_group_is_one_line_and_counts_whole() {
    let mut collector = Collector::new(nodes());
    for id in 0..50 {
        collector.finding(&finding(id, FindingKind::WriteConflict, Severity::Critical, 7));
    }
    let text = html(collector);
    assert!(text.contains("and 49 more of this group"), "{text}");
    assert!(text.contains("40 more, only counted"));
    assert!(!text.contains("counted above and not listed"));
}

#[test]
fn what_holds_takes_the_place_of_what_healed_in_a_full_group() {
    let mut collector = Collector::new(nodes());
    let mut open = Vec::new();
    for id in 0..10 {
        let mut healed = finding(id, FindingKind::Divergence, Severity::Critical, 7);
        healed.state = State::Healed;
        collector.finding(&healed);
        open.push(finding(id + 10, FindingKind::Divergence, Severity::Critical, 7));
    }
    open[1].certainty = Certainty::Possible;
    collector.finding(&open[1]);
    collector.finding(&open[0]);
    let text = html(collector);
    let evidence: Vec<&str> =
        text.split("<section class=\"card\" id=\"").skip(1).map(|of| &of[..32]).collect();
    let wanted = [10, 11, 0].map(|id: u128| format!("{id:032x}"));
    assert_eq!(evidence, wanted, "what holds, the certain first, then the older");
    for (id, listed) in [(7, 1), (8, 0), (9, 0)] {
        assert_eq!(text.matches(&format!("id=\"{id:032x}\"")).count(), listed, "{id}");
    }
    assert!(text.contains("and 11 more of this group") && text.contains("2 more, only counted"));
}

#[test]
fn rows_past_the_limit_of_a_group_are_counted() {
    let mut collector = Collector::new(nodes());
    let (kind, severity) = (FindingKind::Divergence, Severity::Critical);
    for id in 0..1_000 {
        let mut told = finding(id, kind, severity, 7);
        // The engine counts them on the last of its group, which is not among those kept.
        told.more = if id == 999 { 5_000 } else { 0 };
        collector.finding(&told);
    }
    let text = counted_html(collector, &Counts::from([((kind, severity), 1_000)]));
    assert!(text.contains("1000 critical findings; 6000 rows on which the masters differed"));
    assert!(text.contains("5000 are past group_limit"));
    assert!(text.contains("and 5999 more of this group") && text.contains("5990 more, only"));
    assert!(!text.contains("counted above and not listed"));
}

#[test]
fn the_file_is_the_owners_alone_and_replaced_whole() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("report.html");
    std::fs::write(&path, "old").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    write_whole(&path, "new").unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "new");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left beside it");
    let wrong = write_whole(&dir.path().join("no/report.html"), "new").unwrap_err().to_string();
    assert!(wrong.contains("no/report.html") && wrong.contains("hint:"), "{wrong}");
    assert!(write_whole(dir.path(), "new").is_err(), "a directory is no report");
}

#[test]
fn evidence_is_read_for_a_bounded_time_and_the_rest_is_counted() {
    let mut collector = Collector::new(nodes());
    for id in 0..300 {
        collector.finding(&finding(id, FindingKind::WriteConflict, Severity::Critical, id));
    }
    let mut begun = Vec::new();
    let looks = Cell::new(0);
    // Each look at the clock finds ten seconds gone.
    let elapsed = || Duration::from_secs(10 * (looks.replace(looks.get() + 1)));
    let mut tell = |at, of| begun.push((at, of));
    let mut reading = Reading { elapsed: &elapsed, begun: &mut tell };
    let text = read_html(collector, &Counts::new(), &mut reading);
    assert_eq!(begun, [1, 2, 3, 4, 5, 6].map(|at| (at, EVIDENCE_MAX)));
    assert_eq!(text.matches("<section class=\"card\" id=\"").count(), begun.len());
    let told = "evidence here: 194.</strong> Reading it was ended after 60 seconds.";
    assert!(text.contains(told), "{text}");
}

#[test]
fn only_a_regular_file_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let [file, link, socket] = ["file", "link", "socket"].map(|name| dir.path().join(name));
    ensure_replaceable(&file).unwrap();
    std::fs::write(&file, "").unwrap();
    ensure_replaceable(&file).unwrap();
    std::os::unix::fs::symlink(&file, &link).unwrap();
    let _listens = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    for (path, what) in [
        (&*link, "a symbolic link"),
        (&socket, "a socket"),
        (dir.path(), "a directory"),
        (Path::new("/dev/null"), "a device"),
    ] {
        let told = ensure_replaceable(path).unwrap_err().to_string();
        assert!(told.contains(&format!("it is {what}; only a regular file")), "{told}");
        assert!(told.contains(&path.display().to_string()), "{told}");
    }
}
