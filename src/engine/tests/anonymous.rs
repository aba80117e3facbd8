//! Without GTIDs: identities are commit times, and no head says what came before.

use super::*;

/// A transaction that was committed at that microsecond.
fn at(origin: u8, micros: u64, rows: &[(u128, u128, u128)]) -> Transaction {
    let source = GtidSource::Anonymous { server_id: origin.into() };
    let mut tx = tx(Family::My, origin, micros, rows);
    tx.gtid = Some(Gtid { source, sequence: micros });
    tx
}

/// What is found where a's stream is read before b's.
fn settled(streams: [Vec<Transaction>; 2]) -> Vec<Finding> {
    let mut verifier = verifier(["", ""]);
    let mut out = Vec::new();
    for (node, stream) in [A, B].into_iter().zip(streams) {
        stream.iter().for_each(|tx| verifier.observe(node, tx, &mut out));
    }
    verifier.finish(&mut out);
    out.into_iter().map(|report| report.finding).filter(|of| of.settled).collect()
}

/// The details of blind spots above info.
fn blind_spots(streams: [Vec<Transaction>; 2]) -> Vec<String> {
    let is_warning =
        |of: &Finding| of.kind == FindingKind::BlindSpot && of.severity > Severity::Info;
    let warnings = settled(streams).into_iter().filter(is_warning);
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

/// A transaction of a server that logs no commit times, with the second of its commit.
fn within(origin: u8, second: u32, rows: &[(u128, u128, u128)]) -> Transaction {
    let mut tx = tx(Family::My, origin, 1, rows);
    tx.gtid = None;
    tx.committed_at = CommitTime::from_seconds(second);
    tx
}

#[test]
fn without_commit_times_second_and_order_tell_and_conflicts_are_possible() {
    let of_a = vec![
        within(1, 10, &[(9, 0, 1)]),
        within(1, 10, &[(1, 1, 2)]),
        within(2, 10, &[(1, 2, 3)]),
        within(2, 10, &[(9, 1, 4)]),
    ];
    let of_b = vec![
        within(1, 10, &[(9, 0, 1)]),
        within(2, 10, &[(1, 1, 3)]),
        within(2, 10, &[(9, 1, 4)]),
        within(1, 10, &[(1, 3, 2)]),
    ];
    let found = conflicts(["", ""], [of_a, of_b]);
    assert_eq!(found, [("update_update".to_owned(), Certainty::Possible, Outcome::Unknown)]);
}

#[test]
fn without_commit_times_a_copy_is_known_by_what_it_wrote() {
    // The second of a's left no copy on b, and b's log begins with a copy from before a's.
    let of_a = vec![
        within(1, 10, &[(1, 0, 1)]),
        within(1, 10, &[(2, 0, 1)]),
        within(1, 10, &[(3, 0, 1)]),
        within(2, 10, &[(3, 1, 2)]),
    ];
    let of_b = vec![
        within(1, 10, &[(7, 0, 1)]),
        within(1, 10, &[(1, 0, 1)]),
        within(1, 10, &[(3, 0, 1)]),
        within(2, 10, &[(3, 1, 2)]),
    ];
    let told = settled([of_a, of_b]);
    assert!(told.iter().all(|of| of.kind != FindingKind::WriteConflict), "{told:?}");
    let is_unknown = |detail: &String| detail.contains("like no original");
    let unknown = told.iter().find(|of| of.detail.as_ref().is_some_and(is_unknown));
    assert_eq!(unknown.map(|of| of.count), Some(1), "{told:?}");
}

#[test]
fn a_time_of_zero_counts_as_any_other() {
    let stream = vec![within(1, 0, &[(1, 0, 1)]), within(1, 0, &[(2, 0, 1)])];
    for streams in [[stream.clone(), stream.clone()], [vec![], stream.clone()], [stream, vec![]]] {
        let told = settled(streams);
        assert!(told.iter().all(|of| of.kind == FindingKind::BlindSpot), "{told:?}");
    }
}

#[test]
fn a_name_that_nobody_else_gives_holds_up_no_row() {
    // b's log begins earlier within the second and is read first: its names are one ahead, and the
    // last of them is nobody's.
    let of_a =
        [within(1, 10, &[(1, 0, 1)]), within(1, 10, &[(2, 0, 1)]), within(1, 11, &[(2, 1, 2)])];
    let of_b = [
        within(1, 10, &[(5, 0, 1)]),
        of_a[0].clone(),
        of_a[1].clone(),
        within(1, 11, &[(2, 1, 3)]),
    ];
    let mut verifier = verifier(["", ""]);
    let mut out = Vec::new();
    of_b.iter().for_each(|tx| verifier.observe(B, tx, &mut out));
    of_a.iter().for_each(|tx| verifier.observe(A, tx, &mut out));
    verifier.finish(&mut out);
    let told = out.iter().map(|report| &report.finding).filter(|of| of.settled);
    let is_of_row = |of: &&Finding| {
        let last = of.transactions.last().and_then(|last| last.gtid);
        of.kind == FindingKind::Divergence && last.is_some_and(|gtid| gtid.sequence == 11_000_000)
    };
    let differs: Vec<Certainty> = told.filter(is_of_row).map(|of| of.certainty).collect();
    assert_eq!(differs, [Certainty::Possible], "{out:#?}");
}

#[test]
fn without_commit_times_too_what_makes_memory_grow_is_known() {
    let mut verifier = verifier(["", ""]);
    let (original, later) = (within(1, 10, &[(1, 0, 1)]), within(1, 11, &[(2, 0, 1)]));
    assert!(verifier.would_grow(A, &original));
    verifier.observe(A, &original, &mut Vec::new());
    assert!(!verifier.would_grow(B, &original), "its copy frees it");
    assert!(verifier.would_grow(B, &later), "a copy whose original has not been read");
}
