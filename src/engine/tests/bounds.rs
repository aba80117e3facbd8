//! What the engine does at its bounds: it tells, and what it does not know it does not say.

use super::*;

/// Reads two streams in every way to interleave them; gives the findings of each.
fn every_order(
    streams: [&[Transaction]; 2],
    set: impl Fn(&mut Verifier),
) -> Vec<(u32, Vec<Finding>)> {
    let (na, nb) = (streams[0].len(), streams[1].len());
    let orders = (0_u32..1 << (na + nb)).filter(|order| order.count_ones() as usize == nb);
    let run = |order: u32| {
        let (mut verifier, mut out, mut at) = (verifier(["", ""]), Vec::new(), [0, 0]);
        set(&mut verifier);
        for step in 0..na + nb {
            let which = (order >> step & 1) as usize;
            verifier.observe([A, B][which], &streams[which][at[which]], &mut out);
            at[which] += 1;
        }
        verifier.finish(&mut out);
        (order, out.into_iter().map(|report| report.finding).filter(|f| f.settled).collect())
    };
    orders.map(run).collect()
}

/// A transaction of which only the first rows are held.
fn cut(mut tx: Transaction, rows: usize) -> Transaction {
    let count = (tx.rows.len() - rows) as u64;
    tx.rows.truncate(rows);
    tx.blind_spots.push(BlindSpot {
        reason: BlindSpotReason::BoundReached,
        table: Some("s.t".to_owned()),
        detail: "past what is held".to_owned(),
        count,
    });
    tx
}

#[test]
fn rows_past_the_bound_of_a_transaction_never_differ() {
    let rows: Vec<(u128, u128, u128)> = (1..=6).map(|key| (key, 1, 2)).collect();
    for family in [Family::Maria, Family::My] {
        let whole = || tx(family, 1, 1, &rows);
        let later = || tx(family, 2, 1, &[(5, 2, 3), (9, 0, 1)]);
        for (original, copy) in [
            (cut(whole(), 3), whole()),
            (whole(), cut(whole(), 3)),
            (cut(whole(), 2), cut(whole(), 4)),
            (cut(whole(), 4), cut(whole(), 2)),
            (cut(whole(), 3), cut(whole(), 3)),
            (cut(whole(), 0), cut(whole(), 1)),
        ] {
            let streams = [&[original, later()][..], &[copy, later()]];
            for (order, found) in every_order(streams, |_| {}) {
                let alarms = found.iter().filter(|f| f.kind != FindingKind::BlindSpot);
                let alarms: Vec<_> = alarms.collect();
                assert!(alarms.is_empty(), "{order:b}: {alarms:#?}");
                let told = found.iter().find(|f| f.reason == Some(BlindSpotReason::BoundReached));
                assert_eq!(told.and_then(|f| f.table.as_deref()), Some("s.t"));
            }
        }
    }
}

/// Node b shows what a wrote, for a long time before a can be read.
#[test]
fn copies_that_wait_for_their_originals_are_bounded() {
    const COUNT: u64 = 5_000;
    for family in [Family::Maria, Family::My] {
        let (mut verifier, mut out) = (verifier(["", ""]), Vec::new());
        verifier.settings.memory_bytes = 1 << 20;
        let ta = |n: u64| tx(family, 1, n, &[(n.into(), 0, 1)]);
        let most = |verifier: &Verifier| {
            let bytes = verifier.held_bytes();
            assert!(bytes <= 1 << 20, "{bytes} bytes");
        };
        for n in 1..=COUNT {
            verifier.observe(B, &ta(n), &mut out);
            most(&verifier);
        }
        let details = out.iter().filter_map(|report| report.finding.detail.as_deref());
        assert_eq!(details.filter(|of| of.contains("only their place is kept")).count(), 1);
        // One of b's own, on a row that a wrote long before: b had shown that.
        let tb = tx(family, 2, 1, &[(7, 1, 2)]);
        verifier.observe(B, &tb, &mut out);
        for n in 1..=COUNT {
            verifier.observe(A, &ta(n), &mut out);
            most(&verifier);
        }
        verifier.observe(A, &tb, &mut out);
        assert_eq!((verifier.open_transactions(), verifier.open_keys()), (0, 0), "{family:?}");
        verifier.finish(&mut out);
        let alarms = out.iter().filter(|r| r.finding.kind != FindingKind::BlindSpot);
        assert_eq!(alarms.count(), 0, "{out:#?}");
        let gaps = out.iter().filter(|r| r.finding.reason == Some(BlindSpotReason::Gap));
        assert_eq!(gaps.count(), 0, "all originals came");
    }
}

#[test]
fn what_frees_memory_is_told_from_what_takes_it() {
    let (mut verifier, mut out) = (verifier(["", ""]), Vec::new());
    let (first, second) = (tx(Family::My, 1, 1, &[(1, 0, 1)]), tx(Family::My, 1, 2, &[(2, 0, 1)]));
    assert!(verifier.would_grow(A, &first));
    assert!(verifier.would_grow(B, &first), "its original has not been read");
    verifier.observe(A, &first, &mut out);
    assert!(!verifier.would_grow(B, &first));
    assert!(verifier.would_grow(B, &second));
    verifier.observe(B, &second, &mut out);
    assert!(!verifier.would_grow(A, &second), "its copy waits for it");
}

/// The same rows, with a mark which of the shares is past three quarters: all, the ledger's bytes,
/// its rows, findings' bytes, their number, copies.
fn full(verifier: &Verifier) -> [bool; 6] {
    verifier.shares().map(|share| share.is_past(6))
}

/// Copies whose originals have not been read fill the ledger long before the whole is full; their
/// originals make them go.
#[test]
fn the_ledger_is_full_before_the_whole_is() {
    for family in [Family::Maria, Family::My] {
        let (mut verifier, mut out) = (verifier(["", ""]), Vec::new());
        verifier.settings.memory_bytes = 4 << 20;
        let ta = |n: u64| {
            let rows: Vec<_> = (0..10).map(|row| (u128::from(10 * n + row), 0, 1)).collect();
            tx(family, 1, n, &rows)
        };
        let mut count = 0;
        while full(&verifier) == [false; 6] {
            count += 1;
            verifier.observe(B, &ta(count), &mut out);
        }
        assert_eq!(full(&verifier), [false, true, false, false, false, false], "{family:?}");
        assert_eq!(verifier.ledger_overflow, 0, "it is told before it is too late");
        for n in 1..=count {
            verifier.observe(A, &ta(n), &mut out);
        }
        assert!(verifier.ledger.is_empty());
        assert!(verifier.shares().iter().all(|share| !share.is_past(1)), "{family:?}");
        assert!(out.is_empty(), "{out:#?}");
    }
}

/// Rows that differ, and that nobody writes, stay: waiting for a stream does not help.
#[test]
fn what_stays_in_the_ledger_takes_its_room() {
    let (mut verifier, mut out) = (verifier(["", ""]), Vec::new());
    verifier.settings.memory_bytes = 1 << 20;
    let rows = |value: u128| (1..=100_u128).map(|key| (key, 0, value)).collect::<Vec<_>>();
    let before = verifier.shares();
    verifier.observe(A, &tx(Family::My, 1, 1, &rows(1)), &mut out);
    verifier.observe(B, &tx(Family::My, 1, 1, &rows(2)), &mut out);
    assert_eq!(verifier.ledger.standing().0, 100);
    let after = verifier.shares();
    assert_eq!(after[2], Share { held: 0, max: before[2].max - 100 });
    assert!(after[1].max < before[1].max - 100 * 100, "{after:?}");
    assert_eq!(verifier.ledger.standing(), weighed_again(&mut verifier));
    // Somebody writes them: that is on its way, and then they agree.
    let healing = tx(Family::My, 1, 2, &rows(3));
    verifier.observe(A, &healing, &mut out);
    assert_eq!(verifier.ledger.standing(), (0, 0));
    assert_eq!(verifier.shares()[2].held, 100);
    verifier.observe(B, &healing, &mut out);
    assert_eq!((verifier.ledger.standing(), verifier.shares()[2].held), ((0, 0), 0));
}

fn weighed_again(verifier: &mut Verifier) -> (usize, usize) {
    verifier.ledger.weigh_all();
    verifier.ledger.standing()
}

/// A copy of many rows is known for what it takes before it is judged, its original read or not.
#[test]
fn a_copy_that_crowds_the_ledger_is_told_from_others() {
    let (mut verifier, mut out) = (verifier(["", ""]), Vec::new());
    verifier.settings.memory_bytes = 1 << 20;
    let rows = |count: u128| (1..=count).map(|key| (key, 0, 1)).collect::<Vec<_>>();
    let (few, many) = (tx(Family::My, 1, 1, &rows(10)), tx(Family::My, 1, 2, &rows(1_000)));
    assert!(!verifier.would_crowd(B, &few, 6));
    assert!(verifier.would_crowd(B, &many, 6));
    assert!(!verifier.would_crowd(A, &many, 6), "an original is followed nowhere");
    verifier.observe(A, &many, &mut out);
    assert!(!verifier.would_crowd(B, &many, 6), "its original has been read");
}

/// The copy of an original that was let go is nobody's: it does not wait, and holds nothing up.
#[test]
fn the_copy_of_what_was_let_go_waits_for_nothing() {
    for family in [Family::Maria, Family::My] {
        let (mut verifier, mut out) = (verifier(["", ""]), Vec::new());
        let ta = |n: u64| tx(family, 1, n, &[(n.into(), 0, 1)]);
        verifier.settings.memory_bytes = 0;
        for n in 1..=3 {
            verifier.observe(A, &ta(n), &mut out);
        }
        assert_eq!(verifier.open_transactions(), 0);
        for n in 1..=3 {
            verifier.observe(B, &ta(n), &mut out);
        }
        let waiting: usize =
            verifier.streams[B.at()].shown.values().map(|log| log.waiting_len()).sum();
        assert_eq!(waiting, 0, "{family:?}");
    }
}
