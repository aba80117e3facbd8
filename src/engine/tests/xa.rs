//! XA transactions: their rows count where they are committed.

use super::*;
use crate::model::{XaStep, Xid};

fn xid(name: u8) -> Xid {
    Xid { format: 1, global: vec![name], branch: Vec::new() }
}

fn step(sequence: u64, step: XaStep, rows: &[(u128, u128, u128)]) -> Transaction {
    Transaction { xa: Some(step), ..tx(Family::My, 1, sequence, rows) }
}

/// A stream of a: prepared twice, something in between, then one rolled back and one committed.
fn stream() -> Vec<Transaction> {
    vec![
        step(1, XaStep::Prepares(xid(1)), &[(7, 1, 2)]),
        step(2, XaStep::Prepares(xid(2)), &[(8, 1, 2)]),
        tx(Family::My, 1, 3, &[(9, 1, 2)]),
        step(4, XaStep::RollsBack(xid(2)), &[]),
        step(5, XaStep::Commits(xid(1)), &[]),
    ]
}

#[test]
fn the_rows_conflict_where_they_are_committed_and_never_when_rolled_back() {
    // Each shows a copy, so that it is not taken for one without any.
    let mut of_a = stream();
    of_a.push(tx(Family::My, 2, 1, &[(7, 2, 3)]));
    let of_b = vec![
        tx(Family::My, 2, 1, &[(7, 1, 3)]),
        tx(Family::My, 2, 2, &[(8, 1, 3)]),
        tx(Family::My, 1, 3, &[(9, 1, 2)]),
    ];
    let found = conflicts(["", ""], [of_a, of_b]);
    let found: Vec<_> = found.iter().map(|of| (of.0.as_str(), of.1)).collect();
    assert_eq!(found, [("update_update", Certainty::Exact)]);
}

#[test]
fn a_write_after_the_copy_of_the_commit_is_none() {
    let mut of_b = stream();
    of_b.push(tx(Family::My, 2, 1, &[(7, 2, 3)]));
    assert_eq!(conflicts(["", ""], [stream(), of_b]), []);
}

#[test]
fn what_is_prepared_is_remembered_and_what_is_not_known_is_told() {
    let mut verifier = verifier(["", ""]);
    let mut out = Vec::new();
    for tx in &stream()[..4] {
        verifier.observe(A, tx, &mut out);
    }
    let written = rmp_serde::to_vec(&verifier.memory()).unwrap();
    let memory = rmp_serde::from_slice(&written).unwrap();
    let rules = Ownership::new(vec![], Unlisted::Shared).unwrap();
    let nodes = verifier.nodes().clone();
    let mut verifier = Verifier::go_on(memory, nodes, rules, Settings::default()).unwrap();
    verifier.observe(A, &stream()[4], &mut out);
    assert_eq!(verifier.open_keys(), 2, "the rows of 3 and of 5");
    out.clear();
    verifier.observe(A, &step(6, XaStep::Commits(xid(3)), &[]), &mut out);
    let reasons: Vec<_> = out.iter().map(|report| report.finding.reason).collect();
    assert_eq!(reasons, [Some(BlindSpotReason::Xa)]);
}

#[test]
fn what_is_prepared_has_a_bound() {
    let mut verifier = verifier(["", ""]);
    verifier.settings.memory_bytes = 1 << 20;
    let mut out = Vec::new();
    let rows: Vec<_> = (0..2_000).map(|key| (key, 1, 2)).collect();
    verifier.observe(A, &step(1, XaStep::Prepares(xid(1)), &rows), &mut out);
    assert!(verifier.held_bytes() < 1 << 17);
    verifier.observe(A, &step(2, XaStep::Commits(xid(1)), &[]), &mut out);
    let bound = out.iter().find(|r| r.finding.reason == Some(BlindSpotReason::BoundReached));
    assert_eq!(bound.map(|report| report.finding.count), Some(2_000));
}
