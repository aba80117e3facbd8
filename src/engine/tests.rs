//! The order rule on hand-made streams, one sentence of the design a test.
use super::*;
use crate::model::*;
use std::sync::Arc;

mod anonymous;
mod bounds;
mod definitions;
mod divergence;
mod gap;
mod missing;
mod stopped;
mod whole_rows;
mod xa;

#[derive(Clone, Copy, Debug)]
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
        unique_keys: vec![],
        shape: 0,
    };
    let state = |image| if image == 0 { RowState::Absent } else { RowState::Image(image + 10) };
    let rows = rows
        .iter()
        .map(|&(key, before, after)| {
            let key = Key { hash: key, start: 0, len: 0, spelling: 0 };
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
        unique_takes: vec![],
        statements: vec![],
        blind_spots: vec![],
        xa: None,
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
            silent_window_micros: i64::MAX,
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
        assert_eq!(found, [("update_update".to_owned(), Certainty::Exact, Outcome::Diverged)]);
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
    assert_eq!(found, [("update_update".to_owned(), Certainty::Exact, Outcome::Converged)]);
}

/// The same, in a second domain of its origin.
fn in_domain(domain: u32, mut tx: Transaction) -> Transaction {
    let server_id = tx.server_id;
    tx.gtid.as_mut().unwrap().source = GtidSource::MariaDb { domain, server_id };
    tx
}

#[test]
fn what_follows_a_shown_number_has_not_passed_before_it() {
    let m = Family::Maria;
    // tb found the row as ta2 leaves it, but b shows ta1 after tb: so ta2 cannot have passed.
    let ta0 = tx(m, 1, 1, &[(6, 1, 2)]);
    let ta1 = tx(m, 1, 2, &[(9, 1, 2)]);
    let ta2 = tx(m, 1, 3, &[(7, 1, 2)]);
    let tb = tx(m, 2, 1, &[(7, 2, 3)]);
    let a = vec![ta0.clone(), ta1.clone(), ta2];
    let found = conflicts(["", ""], [a.clone(), vec![ta0.clone(), tb.clone()]]);
    assert_eq!(found, [("update_update".to_owned(), Certainty::Possible, Outcome::Pending)]);
    let found = conflicts(["", ""], [a, vec![ta0, tb, ta1]]);
    assert_eq!(found, [("update_update".to_owned(), Certainty::Exact, Outcome::Pending)]);
}

#[test]
fn a_row_that_moves_is_skipped_for_its_other_key() {
    let m = Family::Maria;
    // b has no row 7, so it skips ta1, which moves 7 to 8; then it inserts 8.
    let mut ta1 = tx(m, 1, 1, &[(7, 1, 2)]);
    ta1.rows[0].keys.as_mut().unwrap()[1].hash = 8;
    let ta2 = tx(m, 1, 2, &[(9, 1, 2)]);
    let tb = tx(m, 2, 1, &[(8, 0, 3)]);
    let found = conflicts(["", ""], [vec![ta1, ta2.clone(), tb.clone()], vec![tb, ta2]]);
    assert_eq!(found, [("insert_insert".to_owned(), Certainty::Possible, Outcome::Unknown)]);
}

#[test]
fn rows_tell_nothing_where_others_wrote_in_between() {
    let m = Family::Maria;
    // b has row 7 as ta1 leaves it, so ta1 passes; then another domain writes it, then tb.
    let ta1 = tx(m, 1, 1, &[(7, 1, 2)]);
    let other = in_domain(9, tx(m, 1, 1, &[(7, 2, 3)]));
    let ta2 = tx(m, 1, 2, &[(9, 1, 2)]);
    let tb = tx(m, 2, 1, &[(7, 3, 4)]);
    let a = vec![ta1, other.clone(), ta2.clone(), tb.clone()];
    let found = conflicts(["", ""], [a, vec![other, tb, ta2]]);
    assert_eq!(found, [("update_update".to_owned(), Certainty::Possible, Outcome::Unknown)]);
}

#[test]
fn a_hole_may_lie_before_the_start_of_a_stream() {
    let m = Family::Maria;
    // b had row 7 as ta4 leaves it, so ta4 passed; then tb7 wrote it; then b's stream begins.
    let (ta4, ta5) = (tx(m, 1, 4, &[(7, 1, 2)]), tx(m, 1, 5, &[(9, 1, 2)]));
    let (tb7, tb8) = (tx(m, 2, 7, &[(7, 2, 3)]), tx(m, 2, 8, &[(7, 3, 4)]));
    let a = vec![ta4, ta5.clone(), tb7, tb8.clone()];
    let found = conflicts(["1-1-3", "1-1-3,2-2-7"], [a, vec![tb8, ta5]]);
    // Wherever it passed: it left no trace, so row 7 stayed as it was, and both streams' last
    // write of it is tb8, which found and left the same.
    let possible = ("update_update".to_owned(), Certainty::Possible, Outcome::Converged);
    assert_eq!(found, [possible.clone(), possible]);
}

#[test]
fn an_injected_transaction_is_shown_wherever_it_is_passed_on() {
    let node = |name: &str, id| Node {
        name: name.into(),
        server_ids: vec![id],
        has_stream: true,
        ..Node::default()
    };
    let ta = tx(Family::My, 1, 1, &[(7, 0, 1)]);
    // An operator on b injected ta before b's stream begins; c got the empty one from b.
    let injected = Transaction { server_id: 2, ..tx(Family::My, 1, 1, &[]) };
    for c_first in [true, false] {
        let nodes = Nodes::new(vec![node("a", 1), node("b", 2), node("c", 3)]);
        let rules = Ownership::new(vec![], Unlisted::Shared).unwrap();
        let mut verifier = Verifier::new(nodes, rules, Settings::default());
        let mut baseline = GtidSet::default();
        baseline.add(&ta.gtid.unwrap());
        verifier.begin(A, GtidSet::default());
        verifier.begin(B, baseline);
        verifier.begin(NodeIndex(2), GtidSet::default());
        let mut order = [(A, &ta), (NodeIndex(2), &injected)];
        if c_first {
            order.reverse();
        }
        for (node, tx) in order {
            verifier.observe(node, tx, &mut Vec::new());
        }
        assert_eq!(verifier.open_transactions(), 0, "c first: {c_first}");
    }
}

#[test]
fn streams_may_begin_at_different_places() {
    let m = Family::Maria;
    let ta = tx(m, 1, 5, &[(7, 1, 2)]);
    let tb = tx(m, 2, 3, &[(7, 1, 3)]);
    // b began after tb; a began before it: the copy of tb on a tells the conflict.
    let found =
        conflicts(["1-1-4", "1-1-4,2-2-3"], [vec![ta.clone(), tb.clone()], vec![ta.clone()]]);
    assert_eq!(found, [("update_update".to_owned(), Certainty::Exact, Outcome::Diverged)]);
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
fn the_bound_on_what_is_held_is_kept_and_told() {
    let mut verifier = verifier(["", ""]);
    let mut out = Vec::new();
    for n in 1..=10 {
        verifier.observe(A, &tx(Family::My, 1, n, &[(n.into(), 0, 1)]), &mut out)
    }
    verifier.settings.memory_bytes = verifier.held_bytes();
    for n in 11..=100 {
        verifier.observe(A, &tx(Family::My, 1, n, &[(n.into(), 0, 1)]), &mut out);
        assert!(verifier.held_bytes() <= verifier.settings.memory_bytes);
    }
    let open = verifier.open_keys() as u64;
    assert!((5..=10).contains(&open), "{open}");
    assert_eq!(out.len(), 1);
    verifier.finish(&mut out);
    let bound =
        out.iter().rfind(|r| r.finding.reason == Some(BlindSpotReason::BoundReached)).unwrap();
    assert_eq!(bound.finding.count, 100 - open);
}

/// The pair of the last transaction a restored server has from its backup, and what it wrote
/// before its log shows any copy: no conflict, whatever is read first.
#[test]
fn what_came_with_a_backup_was_applied_before_the_stream_began() {
    for family in [Family::Maria, Family::My] {
        let ta = tx(family, 1, 2000, &[(7, 1, 2)]);
        let next = tx(family, 1, 5000, &[(8, 1, 2)]);
        let tb = tx(family, 2, 1, &[(7, 1, 3)]);
        let b = vec![tb.clone(), next.clone()];
        let found = conflicts(["", ""], [vec![ta.clone(), next.clone(), tb.clone()], b]);
        assert_eq!(found, []);
        // Three that are missing are holes or on their way, not a backup.
        let (ta, next) = (tx(family, 1, 2, &[(7, 1, 2)]), tx(family, 1, 5, &[(8, 1, 2)]));
        let found = conflicts(["", ""], [vec![ta, next.clone(), tb.clone()], vec![tb, next]]);
        assert_eq!(found.len(), 1);
    }
}

#[test]
fn two_counters_raised_in_one_lag_are_told_thirty_by_thirty() {
    let count = |a_first: bool| {
        let mut verifier = verifier(["", ""]);
        let mut out = Vec::new();
        let write = |node: u8, n: u64| {
            let found = 1000 * u128::from(node) + u128::from(n);
            tx(Family::My, node, n, &[(7, found, found + 1)])
        };
        let mut order: Vec<(NodeIndex, Transaction)> = Vec::new();
        order.extend((1..=40).map(|n| (A, write(1, n))));
        order.extend((1..=40).map(|n| (B, write(2, n))));
        if !a_first {
            order.rotate_left(40);
        }
        for (node, tx) in &order {
            verifier.observe(*node, tx, &mut out);
        }
        verifier.finish(&mut out);
        out.retain(|report| report.finding.settled);
        let mut ids: Vec<_> = out.iter().map(|report| report.finding.id).collect();
        ids.sort();
        let conflicts = out.iter().filter(|r| r.finding.kind == FindingKind::WriteConflict);
        (conflicts.count(), ids)
    };
    let (told, ids) = count(true);
    assert_eq!(told, 30 * 30);
    assert_eq!(ids.len(), told + 3, "two sides blind to copies, and pairs only counted");
    assert_eq!(ids, count(false).1);
}

#[test]
fn that_a_stream_has_no_copies_is_told_where_copies_were_due() {
    for (applied_before, is_told) in [("", true), ("1-1-1", false)] {
        let mut verifier = verifier(["", applied_before]);
        let mut out = Vec::new();
        verifier.observe(A, &tx(Family::Maria, 1, 1, &[(7, 0, 1)]), &mut out);
        verifier.finish(&mut out);
        let reasons: Vec<_> = out.iter().filter_map(|report| report.finding.reason).collect();
        assert_eq!(reasons.contains(&BlindSpotReason::NoCopies), is_told);
    }
}

/// GTIDs in a baseline that never come: of a server that is gone, and of a restored server's past.
#[test]
fn a_dead_past_in_a_baseline_holds_nothing() {
    let uuid = |node: u8| source(Family::My, node).to_string();
    let my = [
        [format!("{}:1-1000", uuid(1)), format!("{}:901-1000", uuid(1))],
        [format!("{0}:1-1000,{1}:1-5", uuid(1), uuid(7)), format!("{}:1-1000", uuid(1))],
    ];
    let maria = [["1-1-1000,0-3-500".to_owned(), "1-1-1000".to_owned()]];
    let cases = my.iter().map(|b| (Family::My, b)).chain(maria.iter().map(|b| (Family::Maria, b)));
    for (family, [a, b]) in cases {
        let mut verifier = verifier([a, b]);
        let mut out = Vec::new();
        for n in 1..=1100 {
            for t in [tx(family, 1, 1000 + n, &[(7, 1, 2)]), tx(family, 2, n, &[(8, 1, 2)])] {
                verifier.observe(A, &t, &mut out);
                verifier.observe(B, &t, &mut out);
            }
        }
        assert_eq!((verifier.open_transactions(), verifier.open_keys()), (0, 0), "{a} and {b}");
    }
}

#[test]
fn originals_that_others_show_and_their_own_stream_lacks_are_told() {
    for (own, severity) in [(vec![], Severity::Warning), (vec![1], Severity::Info)] {
        let mut verifier = verifier(["", ""]);
        let mut out = Vec::new();
        for n in own {
            verifier.observe(A, &tx(Family::Maria, 1, n, &[(7, 1, 2)]), &mut out);
        }
        for n in 1..=3 {
            verifier.observe(B, &tx(Family::Maria, 1, n, &[(7, 1, 2)]), &mut out);
        }
        verifier.finish(&mut out);
        let gap = out.iter().find(|r| r.finding.reason == Some(BlindSpotReason::Gap)).unwrap();
        assert_eq!((gap.finding.severity, gap.finding.node), (severity, Some(A)));
    }
}
