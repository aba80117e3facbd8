//! Apply errors that hold up a conflict's outcome.

use super::*;

/// Outcome, detail and whether it is news, of each report about the conflict.
fn told(out: &mut Vec<Report>) -> Vec<String> {
    let reports = out.drain(..).filter(|r| r.finding.kind == FindingKind::WriteConflict);
    let words = reports.map(|report| {
        let outcome = report.finding.outcome.map_or("", Outcome::as_str);
        let detail = report.finding.detail.unwrap_or_default();
        format!("{outcome} {detail}{}", if report.news { "" } else { " (no news)" })
    });
    words.collect()
}

#[test]
fn a_conflict_is_stopped_while_an_error_holds_a_node_that_it_waits_for() {
    let (mut verifier, mut out) = (verifier(["", ""]), Vec::new());
    let ta = tx(Family::My, 1, 1, &[(7, 0, 1)]);
    let tb = tx(Family::My, 2, 1, &[(7, 0, 2)]);
    assert!(verifier.awaited_nodes().is_empty());
    verifier.observe(A, &ta, &mut out);
    verifier.observe(B, &tb, &mut out);
    assert_eq!(told(&mut out), ["pending "]);
    assert!(verifier.awaited_nodes().is_empty(), "it was not there the last time");
    assert_eq!(verifier.awaited_nodes().into_iter().collect::<Vec<_>>(), [A, B]);
    verifier.replication_stopped(A, None, &mut out);
    assert_eq!(told(&mut out), [""; 0]);
    verifier.replication_stopped(B, Some(1062), &mut out);
    verifier.replication_stopped(B, Some(1062), &mut out);
    assert_eq!(told(&mut out), ["stopped error 1062 on b"]);
    verifier.replication_stopped(A, Some(1032), &mut out);
    assert_eq!(told(&mut out), ["stopped error 1032 on a, error 1062 on b"]);
    verifier.replication_stopped(A, None, &mut out);
    assert_eq!(told(&mut out), ["stopped error 1062 on b"]);
    // b goes on: its row was deleted by hand, without the log.
    verifier.observe(B, &ta, &mut out);
    assert_eq!(told(&mut out), ["pending "], "it waits for a now");
    assert_eq!(verifier.awaited_nodes().into_iter().collect::<Vec<_>>(), [A]);
    verifier.observe(A, &tx(Family::My, 2, 1, &[(7, 1, 2)]), &mut out);
    let told = told(&mut out);
    assert_eq!(told[0], "diverged ");
    assert!(verifier.awaited_nodes().is_empty());
    verifier.replication_stopped(B, Some(1062), &mut out);
    assert_eq!(out, []);
}
