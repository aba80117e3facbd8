//! The order rule on hand-made streams, one sentence of the design a test.
use super::*;
use crate::model::*;
use std::sync::Arc;

#[derive(Clone, Copy)]
enum Family {
    Maria,
    My,
}

fn source(family: Family, node: u8) -> GtidSource {
    match family {
        Family::Maria => GtidSource::MariaDb { domain: node.into(), server_id: node.into() },
        Family::My => GtidSource::MySql { uuid: [node; 16], tag: Tag::default() },
    }
}

/// Row `key` goes from image `before` to image `after`; 0 is no row.
fn tx(family: Family, origin: u8, sequence: u64, rows: &[(u128, u128, u128)]) -> Transaction {
    let table = Table {
        id: TableId(1),
        schema: "s".into(),
        name: "t".into(),
        columns: vec![],
        primary_key: vec![0],
    };
    let state = |image| if image == 0 { RowState::Absent } else { RowState::Image(image + 10) };
    let rows = rows
        .iter()
        .map(|&(key, before, after)| {
            let key = Key { hash: key, start: 0, len: 0 };
            let operation = match (before, after) {
                (0, _) => Operation::Insert,
                (_, 0) => Operation::Delete,
                _ => Operation::Update,
            };
            RowChange {
                table: 0,
                operation,
                rule_values: None,
                keys: Some([key, key]),
                before: state(before),
                after: state(after),
            }
        })
        .collect();
    Transaction {
        gtid: Some(Gtid { source: source(family, origin), sequence }),
        server_id: origin.into(),
        coordinates: Coordinates { file: Arc::from("f"), start: sequence, end: sequence + 1 },
        committed_at: CommitTime::from_seconds(1000 * u32::from(origin) + sequence as u32),
        logged_at: None,
        tables: vec![Arc::new(table)],
        rows,
        key_bytes: vec![],
        rule_values: vec![],
        statements: vec![],
        blind_spots: vec![],
    }
}

const A: NodeIndex = NodeIndex(0);
const B: NodeIndex = NodeIndex(1);

fn verifier(baselines: [&str; 2]) -> Verifier {
    let node = |name: &str, id| Node {
        name: name.into(),
        server_ids: vec![id],
        has_stream: true,
        ..Node::default()
    };
    let nodes = Nodes::new(vec![node("a", 1), node("b", 2)]);
    let mut verifier = Verifier::new(
        nodes,
        Ownership::new(vec![], Unlisted::Shared).unwrap(),
        Settings {
            shared_key_window_micros: 0,
            near_conflict_window_micros: 0,
            ..Settings::default()
        },
    );
    for (node, baseline) in [A, B].into_iter().zip(baselines) {
        verifier.begin(node, baseline.parse().unwrap())
    }
    verifier
}

/// Runs two streams through every way to interleave them, demands one answer, and gives it:
/// (key, operations, certainty, outcome) of each conflict.
fn conflicts(
    baselines: [&str; 2],
    streams: [Vec<Transaction>; 2],
) -> Vec<(String, Certainty, Outcome)> {
    let (na, nb) = (streams[0].len(), streams[1].len());
    let mut answer: Option<Vec<Finding>> = None;
    for order in 0u32..1 << (na + nb) {
        if order.count_ones() as usize != nb {
            continue;
        }
        let mut verifier = verifier(baselines);
        let (mut out, mut at) = (Vec::new(), [0, 0]);
        for step in 0..na + nb {
            let which = (order >> step & 1) as usize;
            verifier.observe([A, B][which], &streams[which][at[which]], &mut out);
            at[which] += 1;
        }
        verifier.finish(&mut out);
        let mut found: Vec<Finding> = out
            .into_iter()
            .map(|r| r.finding)
            .filter(|f| f.settled && f.kind == FindingKind::WriteConflict)
            .collect();
        found.sort_by_key(|f| f.id);
        match &answer {
            None => answer = Some(found),
            Some(first) => assert_eq!(first, &found, "order {order:b}"),
        }
    }
    answer
        .unwrap()
        .into_iter()
        .map(|f| (f.conflict.unwrap().to_string(), f.certainty, f.outcome.unwrap()))
        .collect()
}

#[test]
fn opposite_order_is_a_conflict_whatever_is_read_first() {
    for family in [Family::Maria, Family::My] {
        let ta = |applied| tx(family, 1, 1, &[(7, if applied { 3 } else { 1 }, 2)]);
        let tb = |applied| tx(family, 2, 1, &[(7, if applied { 2 } else { 1 }, 3)]);
        let found = conflicts(["", ""], [vec![ta(false), tb(true)], vec![tb(false), ta(true)]]);
        assert_eq!(found, [("update_update".to_owned(), Certainty::Exact, Outcome::Unknown)]);
    }
}

#[test]
fn the_same_order_on_both_sides_is_none() {
    let (ta, tb) = (tx(Family::Maria, 1, 1, &[(7, 1, 2)]), tx(Family::Maria, 2, 1, &[(7, 2, 3)]));
    assert!(conflicts(["", ""], [vec![ta.clone(), tb.clone()], vec![ta, tb]]).is_empty());
}

#[test]
fn before_replication_delivers_anything_it_is_pending() {
    let (ta, tb) = (tx(Family::My, 1, 1, &[(7, 0, 2)]), tx(Family::My, 2, 1, &[(7, 0, 3)]));
    let other = tx(Family::My, 1, 9, &[]);
    let found = conflicts(["", ""], [vec![ta], vec![other, tb]]);
    assert_eq!(found, [("insert_insert".to_owned(), Certainty::Exact, Outcome::Pending)]);
}

#[test]
fn a_hole_is_decided_by_its_neighbours_or_by_the_rows() {
    let m = Family::Maria;
    // b logs tb1, then nothing for ta1 (a no-op), then tb2, then ta2: where ta1 passed is bounded
    // only.
    let ta1 = tx(m, 1, 1, &[(7, 1, 2)]);
    let ta2 = tx(m, 1, 2, &[(9, 1, 2)]);
    let tb1 = tx(m, 2, 1, &[(7, 1, 2)]);
    let tb2 = tx(m, 2, 2, &[(7, 2, 3)]);
    let found = conflicts(
        ["", ""],
        [vec![ta1.clone(), ta2.clone(), tb2.clone()], vec![tb1.clone(), tb2.clone(), ta2.clone()]],
    );
    let certainties: Vec<_> = found.iter().map(|f| f.1).collect();
    assert_eq!(found.len(), 2);
    assert!(
        certainties.contains(&Certainty::Exact),
        "tb1 found the row as no silent ta1 leaves it"
    );
    assert!(certainties.contains(&Certainty::Possible), "tb2 may have followed ta1");
    // With a neighbour after ta1 and before tb2 the order is known.
    let found = conflicts(
        ["", ""],
        [vec![ta1, ta2.clone(), tb1.clone(), tb2.clone()], vec![tb1, ta2, tb2]],
    );
    assert_eq!(found, [("update_update".to_owned(), Certainty::Exact, Outcome::Unknown)]);
}

#[test]
fn streams_may_begin_at_different_places() {
    let m = Family::Maria;
    let ta = tx(m, 1, 5, &[(7, 1, 2)]);
    let tb = tx(m, 2, 3, &[(7, 1, 3)]);
    // b began after tb; a began before it: the copy of tb on a tells the conflict.
    let found =
        conflicts(["1-1-4", "1-1-4,2-2-3"], [vec![ta.clone(), tb.clone()], vec![ta.clone()]]);
    assert_eq!(found, [("update_update".to_owned(), Certainty::Exact, Outcome::Unknown)]);
    // b began after it had applied ta: no conflict.
    assert!(conflicts(["1-1-4", "1-1-5,2-2-3"], [vec![ta.clone(), tb.clone()], vec![]]).is_empty());
    // tb is new on b, and b had ta from before its start.
    assert!(conflicts(["1-1-4", "1-1-5"], [vec![ta, tb.clone()], vec![tb]]).is_empty());
}

#[test]
fn nothing_is_held_once_everybody_has_shown_it() {
    let mut verifier = verifier(["", ""]);
    let mut out = Vec::new();
    for n in 1..=100 {
        let t = tx(Family::My, 1, n, &[(n.into(), 0, 1)]);
        verifier.observe(A, &t, &mut out);
        verifier.observe(B, &t, &mut out);
        assert_eq!((verifier.open_transactions(), verifier.open_keys()), (0, 0));
    }
    assert!(out.is_empty());
}

#[test]
fn a_transaction_that_comes_home_is_a_loop() {
    let mut verifier = verifier(["", ""]);
    let mut out = Vec::new();
    let t = tx(Family::Maria, 1, 1, &[]);
    verifier.observe(A, &t, &mut out);
    verifier.observe(A, &t, &mut out);
    verifier.observe(A, &t, &mut out);
    let kinds: Vec<_> = out.iter().map(|r| r.finding.kind).collect();
    assert_eq!(kinds, [FindingKind::ReplicationLoop]);
}

#[test]
fn the_bound_on_open_keys_is_kept_and_told() {
    let mut verifier = verifier(["", ""]);
    verifier.settings.open_keys_max = 10;
    let mut out = Vec::new();
    for n in 1..=100 {
        verifier.observe(A, &tx(Family::My, 1, n, &[(n.into(), 0, 1)]), &mut out)
    }
    assert_eq!(verifier.open_keys(), 10);
    assert_eq!(out.len(), 1);
    verifier.finish(&mut out);
    let bound =
        out.iter().rfind(|r| r.finding.reason == Some(BlindSpotReason::BoundReached)).unwrap();
    assert_eq!(bound.finding.count, 90);
}
