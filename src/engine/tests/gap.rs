//! Parts of a stream that are missing, one sentence of the design a test.
use super::*;

enum Item {
    Seen(Box<Transaction>),
    Missing(&'static [(u8, u64)]),
}

use Item::{Missing, Seen};

/// Runs two streams through every way to interleave them, demands one answer, and gives it: kind,
/// certainty and keys of all findings but blind spots.
fn run(m: Family, streams: &[Vec<Item>; 2]) -> Vec<String> {
    let (na, nb) = (streams[0].len(), streams[1].len());
    let mut answer: Option<Vec<Finding>> = None;
    for order in (0u32..1 << (na + nb)).filter(|order| order.count_ones() as usize == nb) {
        let (mut verifier, mut out, mut at) = (verifier(["", ""]), Vec::new(), [0, 0]);
        for step in 0..na + nb {
            let which = (order >> step & 1) as usize;
            match &streams[which][at[which]] {
                Seen(tx) => verifier.observe([A, B][which], tx, &mut out),
                Missing(gtids) => {
                    let mut missing = GtidSet::default();
                    for (node, sequence) in gtids.iter() {
                        missing.add_range(source(m, *node), *sequence, *sequence);
                    }
                    let when = CommitTime::default();
                    verifier.gap([A, B][which], &missing, "gone".into(), when, &mut out);
                }
            }
            at[which] += 1;
        }
        let logs = verifier.streams.iter().flat_map(|stream| stream.shown.values());
        assert_eq!(logs.map(|log| log.waiting().0).sum::<u64>(), 0, "{order:b}");
        verifier.finish(&mut out);
        let told = out.into_iter().map(|report| report.finding).filter(|finding| finding.settled);
        let mut found: Vec<Finding> = told.collect();
        let gaps = found.iter().filter(|finding| finding.reason == Some(BlindSpotReason::Gap));
        assert_eq!(gaps.count(), 1, "{found:#?}");
        found.retain(|finding| finding.kind != FindingKind::BlindSpot);
        found.sort_by_key(|finding| finding.id);
        match &answer {
            None => answer = Some(found),
            Some(first) => assert_eq!(first, &found, "order {order:b}"),
        }
    }
    let words = answer.unwrap().into_iter().map(|finding| {
        let outcome = finding.outcome.map_or("", Outcome::as_str);
        let certainty = match finding.certainty {
            Certainty::Exact => "exact",
            Certainty::Possible => "possible",
        };
        format!("{} {certainty} {outcome}", finding.kind.as_str())
    });
    words.collect()
}

const BOTH: [Family; 2] = [Family::Maria, Family::My];

/// A write of row 7, of node 1 (a) or 2 (b).
fn seven(m: Family, origin: u8, sequence: u64, before: u128, after: u128) -> Item {
    Seen(Box::new(tx(m, origin, sequence, &[(7, before, after)])))
}

#[test]
fn what_a_gap_hides_of_both_nodes_is_told_by_the_gap_alone() {
    for m in BOTH {
        // b: the copy of a's write, and its own after it, both of row 7, are missing.
        let a = vec![seven(m, 1, 1, 1, 2), seven(m, 2, 1, 2, 3), seven(m, 1, 2, 3, 4)];
        let b = vec![Missing(&[(1, 1), (2, 1)]), seven(m, 1, 2, 3, 4), seven(m, 2, 2, 4, 5)];
        let last = [seven(m, 2, 2, 4, 5)];
        assert_eq!(run(m, &[a.into_iter().chain(last).collect(), b]), [""; 0]);
    }
}

#[test]
fn a_write_before_the_gap_conflicts_with_one_whose_copy_is_in_it() {
    for m in BOTH {
        let a = vec![seven(m, 1, 1, 1, 2), seven(m, 2, 1, 2, 3)];
        let b = vec![seven(m, 2, 1, 1, 3), Missing(&[(1, 1)])];
        let found = run(m, &[a, b]);
        assert!(found.contains(&"write_conflict exact unknown".to_owned()), "{found:?}");
        assert!(!found.iter().any(|told| told.starts_with("divergence exact")), "{found:?}");
    }
}

#[test]
fn a_write_after_the_gap_follows_one_whose_copy_is_in_it() {
    for m in BOTH {
        let a = vec![seven(m, 1, 1, 1, 2), seven(m, 2, 1, 2, 3)];
        let b = vec![Missing(&[(1, 1)]), seven(m, 2, 1, 2, 3)];
        assert_eq!(run(m, &[a, b]), [""; 0]);
    }
}

#[test]
fn a_conflict_after_the_gap_is_found() {
    for m in BOTH {
        let a = vec![seven(m, 2, 1, 1, 2), seven(m, 1, 1, 2, 3), seven(m, 2, 2, 3, 4)];
        let b = vec![Missing(&[(2, 1)]), seven(m, 2, 2, 2, 4), seven(m, 1, 1, 4, 3)];
        let found = run(m, &[a, b]);
        assert!(found.contains(&"write_conflict exact diverged".to_owned()), "{found:?}");
    }
}

#[test]
fn a_copy_of_what_a_gap_hides_conflicts_with_nothing() {
    for m in BOTH {
        // b's write is missing, and may have seen a's, of which b shows the copy before the gap.
        let a = vec![seven(m, 1, 1, 1, 2), seven(m, 2, 1, 2, 3)];
        let b = vec![seven(m, 1, 1, 1, 2), Missing(&[(2, 1)])];
        assert_eq!(run(m, &[a, b]), [""; 0]);
    }
}
