//! Rows that the streams do not agree on, one sentence of the design a test.
use super::*;

/// What is told of a row that differs.
type Told = (State, Certainty, Cause);

/// Runs two streams through every way to interleave them, demands one answer, and gives it: all
/// findings but handovers, and the divergences by key.
fn run(streams: [Vec<Transaction>; 2]) -> (Vec<Finding>, Vec<Told>) {
    let (na, nb) = (streams[0].len(), streams[1].len());
    let mut answer: Option<Vec<Finding>> = None;
    for order in (0u32..1 << (na + nb)).filter(|order| order.count_ones() as usize == nb) {
        let (mut verifier, mut out, mut at) = (verifier(["", ""]), Vec::new(), [0, 0]);
        for step in 0..na + nb {
            let which = (order >> step & 1) as usize;
            verifier.observe([A, B][which], &streams[which][at[which]], &mut out);
            at[which] += 1;
        }
        verifier.finish(&mut out);
        let mut found: Vec<Finding> =
            out.into_iter().map(|r| r.finding).filter(|finding| finding.settled).collect();
        found.sort_by_key(|finding| finding.id);
        match &answer {
            None => answer = Some(found),
            Some(first) => assert_eq!(first, &found, "order {order:b}"),
        }
    }
    let found = answer.unwrap();
    let told = found.iter().filter(|finding| finding.kind == FindingKind::Divergence);
    let told = told.map(|f| (f.state, f.certainty, f.cause.unwrap())).collect();
    (found, told)
}

const OPEN: State = State::Open;
const EXACT: Certainty = Certainty::Exact;
const POSSIBLE: Certainty = Certainty::Possible;

/// Both masters update row 7 at once: a has 3 at the end, b has 2.
fn swapped(m: Family) -> [Vec<Transaction>; 2] {
    let (ta, tb) = (|from| tx(m, 1, 1, &[(7, from, 2)]), |from| tx(m, 2, 1, &[(7, from, 3)]));
    [vec![ta(1), tb(2)], vec![tb(1), ta(3)]]
}

#[test]
fn swapped_values_are_a_divergence_that_names_who_wrote_what() {
    for m in [Family::Maria, Family::My] {
        let (found, told) = run(swapped(m));
        assert_eq!(told, [(OPEN, EXACT, Cause::Conflict)]);
        let divergence = found.iter().find(|f| f.kind == FindingKind::Divergence).unwrap();
        let origins = divergence.last_written.iter().map(|write| write.as_ref().unwrap().origin);
        assert_eq!(origins.collect::<Vec<_>>(), [Some(B), Some(A)]);
    }
}

#[test]
fn a_later_write_of_the_row_heals_it() {
    let m = Family::My;
    let [mut a, mut b] = swapped(m);
    a.push(tx(m, 1, 2, &[(7, 3, 9)]));
    b.push(tx(m, 1, 2, &[(7, 2, 9)]));
    let (found, told) = run([a, b]);
    assert_eq!(told, [(State::Healed, EXACT, Cause::Conflict)]);
    let divergence = found.iter().find(|f| f.kind == FindingKind::Divergence).unwrap();
    let healed = divergence.healed.as_ref().unwrap();
    assert_eq!(healed.by.map(|gtid| gtid.sequence), Some(2));
}

#[test]
fn the_same_value_on_both_sides_converges() {
    // MySQL logs empty copies of what changes nothing.
    let m = Family::My;
    let (ta, tb) = (tx(m, 1, 1, &[(7, 1, 2)]), tx(m, 2, 1, &[(7, 1, 2)]));
    let (found, told) = run([vec![ta, tx(m, 2, 1, &[])], vec![tb, tx(m, 1, 1, &[])]]);
    assert_eq!(told, []);
    assert_eq!(found[0].outcome, Some(Outcome::Converged));
}

#[test]
fn a_copy_that_finds_another_row_tells_a_change_without_the_log() {
    // Something changed row 7 on b to 5; the copy writes over it.
    let m = Family::Maria;
    let (_, told) = run([vec![tx(m, 1, 1, &[(7, 1, 2)])], vec![tx(m, 1, 1, &[(7, 5, 2)])]]);
    assert_eq!(told, [(State::Healed, EXACT, Cause::Drift)]);
    // The copy leaves another row than the original: it differs still.
    let (_, told) = run([vec![tx(m, 1, 1, &[(7, 1, 2)])], vec![tx(m, 1, 1, &[(7, 5, 6)])]]);
    assert_eq!(told, [(OPEN, EXACT, Cause::Drift)]);
}

#[test]
fn an_operators_injected_transaction_is_a_missing_copy() {
    let m = Family::My;
    let injected = Transaction { server_id: 2, ..tx(m, 1, 1, &[]) };
    let (found, told) = run([vec![tx(m, 1, 1, &[(7, 1, 2)])], vec![injected]]);
    assert_eq!(told, [(OPEN, POSSIBLE, Cause::Skipped)]);
    let missing = found.iter().find(|f| f.kind == FindingKind::MissingCopy).unwrap();
    assert_eq!((missing.certainty, missing.node), (EXACT, Some(B)));
}

#[test]
fn a_hole_that_the_rows_do_not_explain_is_a_missing_copy_perhaps() {
    let m = Family::Maria;
    let (t1, t2) = (tx(m, 1, 1, &[(7, 1, 2)]), tx(m, 1, 2, &[(9, 0, 1)]));
    let (found, told) = run([vec![t1, t2.clone()], vec![t2]]);
    assert_eq!(told, [(OPEN, POSSIBLE, Cause::Skipped)]);
    let missing = found.iter().find(|f| f.kind == FindingKind::MissingCopy).unwrap();
    assert_eq!(missing.certainty, POSSIBLE);
}

#[test]
fn a_write_that_the_streams_hold_alike_is_nothing_whatever_its_order_of_rows() {
    let m = Family::My;
    let a = tx(m, 1, 1, &[(7, 1, 2), (8, 0, 1)]);
    let b = tx(m, 1, 1, &[(8, 0, 1), (7, 1, 5), (7, 5, 2)]);
    assert_eq!(run([vec![a], vec![b]]).0, []);
}

#[test]
fn a_copy_may_write_rows_that_its_original_did_not() {
    // The applier replaced row 8, which clashed in another key, by row 7.
    let m = Family::My;
    let (_, told) =
        run([vec![tx(m, 1, 1, &[(7, 0, 2)])], vec![tx(m, 1, 1, &[(8, 4, 0), (7, 0, 2)])]]);
    assert_eq!(told, [(OPEN, POSSIBLE, Cause::Applied)]);
}

#[test]
fn what_was_written_to_an_emptied_table_differs() {
    let m = Family::Maria;
    let mut truncate = tx(m, 1, 1, &[]);
    truncate.statements.push(Statement {
        schema: "s".into(),
        text: "TRUNCATE t".into(),
        kind: StatementKind::Definition(vec![Definition {
            schema: "s".into(),
            name: Some("t".into()),
            effect: DefinitionEffect::Empties,
        }]),
    });
    truncate.tables.clear();
    // a empties the table and then has b's row; b empties it after its own write.
    let mut insert = tx(m, 2, 1, &[(7, 0, 3)]);
    let table = Arc::make_mut(&mut insert.tables[0]);
    table.id = TableId::of("s", "t");
    let (found, told) = run([vec![truncate.clone(), insert.clone()], vec![insert, truncate]]);
    assert_eq!(told, [(OPEN, EXACT, Cause::Conflict)]);
    assert!(found.iter().any(|finding| finding.kind == FindingKind::DdlConflict));
}

#[test]
fn rows_past_the_groups_limit_are_counted() {
    let m = Family::My;
    let rows = |after| [(1, 1, after), (2, 1, after), (3, 1, after), (4, 1, after)];
    let mut verifier = verifier(["", ""]);
    verifier.settings.group_limit = 2;
    let mut out = Vec::new();
    verifier.observe(A, &tx(m, 1, 1, &rows(2)), &mut out);
    verifier.observe(B, &tx(m, 1, 1, &rows(3)), &mut out);
    let told: Vec<_> = out.iter().map(|report| report.finding.more).collect();
    assert_eq!(told, [0, 2]);
    // The ledger knows all four: each of them heals, two of them to be told.
    verifier.observe(A, &tx(m, 1, 2, &[(1, 2, 0), (2, 2, 0), (3, 2, 0), (4, 2, 0)]), &mut out);
    verifier.observe(B, &tx(m, 1, 2, &[(1, 3, 0), (2, 3, 0), (3, 3, 0), (4, 3, 0)]), &mut out);
    let healed = out.iter().filter(|report| report.finding.state == State::Healed);
    assert_eq!(healed.count(), 2);
    assert!(verifier.ledger.is_empty());
}

#[test]
fn the_bound_on_rows_that_differ_is_kept_and_told() {
    let m = Family::My;
    let mut verifier = verifier(["", ""]);
    verifier.settings.ledger_rows_max = 1;
    let mut out = Vec::new();
    verifier.observe(A, &tx(m, 1, 1, &[(7, 1, 2), (8, 1, 2)]), &mut out);
    verifier.observe(B, &tx(m, 1, 1, &[(7, 1, 3), (8, 1, 3)]), &mut out);
    verifier.finish(&mut out);
    let is_bound = |report: &&Report| report.finding.reason == Some(BlindSpotReason::BoundReached);
    assert_eq!(out.iter().filter(is_bound).count(), 2, "when it is met, and at the end");
}
