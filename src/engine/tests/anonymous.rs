//! Without GTIDs: identities are commit times, and no head says what came before.

use super::*;

/// A transaction that was committed at that microsecond.
fn at(origin: u8, micros: u64, rows: &[(u128, u128, u128)]) -> Transaction {
    let source = GtidSource::Anonymous { server_id: origin.into() };
    let mut tx = tx(Family::My, origin, micros, rows);
    tx.gtid = Some(Gtid { source, sequence: micros });
    tx
}

/// The reasons and details of blind spots above info.
fn blind_spots(streams: [Vec<Transaction>; 2]) -> Vec<String> {
    let mut verifier = verifier(["", ""]);
    let mut out = Vec::new();
    for (node, stream) in [A, B].into_iter().zip(streams) {
        stream.iter().for_each(|tx| verifier.observe(node, tx, &mut out));
    }
    verifier.finish(&mut out);
    let settled = out.into_iter().map(|report| report.finding).filter(|of| of.settled);
    let warnings =
        settled.filter(|of| of.kind == FindingKind::BlindSpot && of.severity > Severity::Info);
    warnings.filter_map(|of| of.detail).collect()
}

#[test]
fn conflicts_are_exact_once_a_stream_has_shown_the_other() {
    let of_a = vec![at(1, 10, &[(9, 0, 1)]), at(1, 20, &[(1, 1, 2)]), at(2, 21, &[(1, 2, 3)])];
    let of_b = vec![at(1, 10, &[(9, 0, 1)]), at(2, 21, &[(1, 1, 3)]), at(1, 20, &[(1, 3, 2)])];
    let found = conflicts(["", ""], [of_a, of_b]);
    assert_eq!(found, [("update_update".to_owned(), Certainty::Exact, Outcome::Diverged)]);
}

#[test]
fn a_write_after_the_copy_is_none() {
    let of_a = vec![at(1, 10, &[(1, 0, 1)]), at(2, 21, &[(1, 1, 3)])];
    assert_eq!(conflicts(["", ""], [of_a.clone(), of_a]), []);
}

#[test]
fn times_that_do_not_rise_are_named() {
    let back = vec![at(1, 10, &[(1, 0, 1)]), at(1, 9, &[(2, 0, 1)]), at(1, 11, &[(3, 0, 1)])];
    let copies = vec![at(1, 10, &[(1, 0, 1)]), at(1, 11, &[(3, 0, 1)]), at(1, 9, &[(2, 0, 1)])];
    let told = blind_spots([back, copies]);
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told.iter().any(|of| of.contains("clock was set back")), "{told:?}");
    assert!(told.iter().any(|of| of.contains("replica_preserve_commit_order")), "{told:?}");
}

#[test]
fn what_passes_in_a_gap_is_neither_missing_nor_a_certain_conflict() {
    let mut verifier = verifier(["", ""]);
    let mut out = Vec::new();
    let of_a = [at(1, 10, &[(9, 0, 1)]), at(1, 20, &[(1, 1, 2)]), at(1, 30, &[(8, 0, 1)])];
    of_a.iter().for_each(|tx| verifier.observe(A, tx, &mut out));
    verifier.observe(A, &at(2, 5, &[(7, 0, 1)]), &mut out);
    verifier.observe(B, &at(2, 5, &[(7, 0, 1)]), &mut out);
    verifier.observe(B, &of_a[0], &mut out);
    verifier.gap(B, &GtidSet::default(), "a file".to_owned(), CommitTime::default(), &mut out);
    verifier.observe(B, &at(2, 25, &[(1, 2, 3)]), &mut out);
    verifier.observe(B, &of_a[2], &mut out);
    verifier.finish(&mut out);
    let settled = out.into_iter().map(|report| report.finding).filter(|of| of.settled);
    let (exact, kinds): (Vec<_>, Vec<_>) =
        settled.map(|of| (of.certainty == Certainty::Exact, of.kind)).unzip();
    let told: Vec<_> =
        exact.into_iter().zip(kinds).filter(|of| of.1 != FindingKind::BlindSpot).collect();
    assert!(told.iter().all(|(exact, _)| !exact), "{told:?}");
    assert!(told.iter().all(|(_, kind)| *kind != FindingKind::MissingCopy), "{told:?}");
}
