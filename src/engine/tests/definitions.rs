//! Definitions of tables against writes to them, on hand-made streams.

use super::*;
use DefinitionEffect::{Changes, Creates, Empties};
use Family::{Maria, My};

const C: NodeIndex = NodeIndex(2);

/// A definition of a table of schema `s`; an empty name is the whole of it.
fn ddl(
    family: Family,
    origin: u8,
    sequence: u64,
    text: &str,
    names: &[(&str, DefinitionEffect)],
) -> Transaction {
    let define = |(name, effect): &(&str, DefinitionEffect)| Definition {
        schema: "s".into(),
        name: (!name.is_empty()).then(|| name.to_string()),
        effect: *effect,
    };
    let kind = StatementKind::Definition(names.iter().map(define).collect());
    with_statement(family, origin, sequence, text, kind)
}

fn with_statement(
    family: Family,
    origin: u8,
    sequence: u64,
    text: &str,
    kind: StatementKind,
) -> Transaction {
    let statement = Statement { schema: "s".into(), text: text.into(), kind };
    Transaction { statements: vec![statement], ..tx(family, origin, sequence, &[]) }
}

fn truncate(family: Family, origin: u8, sequence: u64) -> Transaction {
    ddl(family, origin, sequence, "TRUNCATE t", &[("t", Empties)])
}

fn alter(family: Family, origin: u8, sequence: u64) -> Transaction {
    ddl(family, origin, sequence, "alter table t force", &[("t", Changes)])
}

/// Inserts a row of its own into table `s.t`.
fn insert(family: Family, origin: u8, sequence: u64) -> Transaction {
    tx(family, origin, sequence, &[(u128::from(origin) * 100 + u128::from(sequence), 0, 1)])
}

/// The same, into another table.
fn into(name: &str, mut tx: Transaction) -> Transaction {
    let table = Table { name: name.into(), id: TableId::of("s", name), ..(*tx.tables[0]).clone() };
    tx.tables[0] = Arc::new(table);
    tx
}

/// Every way to interleave streams of these lengths.
fn interleavings(lengths: &[usize]) -> Vec<Vec<usize>> {
    let total: usize = lengths.iter().sum();
    if total == 0 {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for which in (0..lengths.len()).filter(|which| lengths[*which] > 0) {
        let mut rest = lengths.to_vec();
        rest[which] -= 1;
        for mut order in interleavings(&rest) {
            order.insert(0, which);
            all.push(order);
        }
    }
    all
}

fn ring(baselines: &[&str], group_limit: u64) -> Verifier {
    let node = |at: usize| Node {
        name: ["a", "b", "c"][at].into(),
        server_ids: vec![at as u32 + 1],
        has_stream: true,
        ..Node::default()
    };
    let settings = Settings {
        shared_key_window_micros: 0,
        near_conflict_window_micros: 0,
        group_limit,
        ..Settings::default()
    };
    let nodes = Nodes::new((0..baselines.len()).map(node).collect());
    let rules = Ownership::new(vec![], Unlisted::Shared).unwrap();
    let mut verifier = Verifier::new(nodes, rules, settings);
    for (node, baseline) in [A, B, C].into_iter().zip(baselines) {
        verifier.begin(node, baseline.parse().unwrap());
    }
    verifier
}

/// Table, detail, certainty, outcome and more of each conflict, the same from every interleaving.
type Found = Vec<(String, String, Certainty, Outcome, u64)>;

fn found_from(baselines: &[&str], group_limit: u64, streams: &[Vec<Transaction>]) -> Found {
    // The fixture's tables are all number 1, whatever their names: give them their own.
    let mut streams = streams.to_vec();
    for tx in streams.iter_mut().flatten() {
        for table in &mut tx.tables {
            let id = TableId::of(&table.schema, &table.name);
            *table = Arc::new(Table { id, ..(**table).clone() });
        }
    }
    let lengths: Vec<usize> = streams.iter().map(Vec::len).collect();
    let mut answer: Option<Vec<Finding>> = None;
    for order in interleavings(&lengths) {
        let mut verifier = ring(baselines, group_limit);
        let (mut out, mut at) = (Vec::new(), vec![0; streams.len()]);
        for which in &order {
            let tx = &streams[*which][at[*which]];
            verifier.observe([A, B, C][*which], tx, &mut out);
            at[*which] += 1;
        }
        if verifier.open_transactions() == 0 {
            assert_eq!(verifier.definitions.len(), 0, "order {order:?}: something is held");
        }
        verifier.finish(&mut out);
        let findings = out.into_iter().map(|report| report.finding);
        let mut found: Vec<Finding> =
            findings.filter(|f| f.settled && f.kind == FindingKind::DdlConflict).collect();
        found.sort_by_key(|f| f.id);
        match &answer {
            None => answer = Some(found),
            Some(first) => assert_eq!(first, &found, "order {order:?}"),
        }
    }
    let tell = |f: Finding| {
        let (table, detail) = (f.table.unwrap(), f.detail.unwrap());
        (table, detail, f.certainty, f.outcome.unwrap(), f.more)
    };
    let mut told: Found = answer.unwrap().into_iter().map(tell).collect();
    told.sort_by(|x, y| (&x.0, &x.1, x.4).cmp(&(&y.0, &y.1, y.4)));
    told
}

fn found(streams: &[Vec<Transaction>]) -> Found {
    found_from(&vec![""; streams.len()], 1_000, streams)
}

fn one(table: &str, detail: &str, certainty: Certainty, outcome: Outcome) -> Found {
    vec![(table.into(), detail.into(), certainty, outcome, 0)]
}

#[test]
fn a_definition_and_a_write_in_opposite_order_are_a_conflict() {
    for family in [Maria, My] {
        let (ta, tb) = (truncate(family, 1, 1), insert(family, 2, 1));
        let said = found(&[vec![ta.clone(), tb.clone()], vec![tb, ta]]);
        let detail = "TRUNCATE TABLE on a, inserted rows on b";
        assert_eq!(said, one("s.t", detail, Certainty::Exact, Outcome::Unknown));
    }
}

#[test]
fn in_one_order_on_both_sides_there_is_none() {
    for family in [Maria, My] {
        let (ta, tb) = (truncate(family, 1, 1), insert(family, 2, 1));
        assert_eq!(found(&[vec![ta.clone(), tb.clone()], vec![ta.clone(), tb.clone()]]), []);
        assert_eq!(found(&[vec![tb.clone(), ta.clone()], vec![tb, ta]]), []);
    }
}

#[test]
fn other_tables_are_not_concerned() {
    let (ta, tb) = (truncate(Maria, 1, 1), into("u", insert(Maria, 2, 1)));
    assert_eq!(found(&[vec![ta.clone(), tb.clone()], vec![tb, ta]]), []);
}

#[test]
fn two_definitions_of_a_table_are_a_conflict() {
    let ta = ddl(Maria, 1, 1, "CREATE TABLE t (a int)", &[("t", Creates)]);
    let tb = ddl(Maria, 2, 1, "RENAME TABLE u TO t", &[("u", Changes), ("t", Changes)]);
    let said = found(&[vec![ta.clone(), tb.clone()], vec![tb, ta]]);
    let detail = "CREATE TABLE on a, RENAME TABLE on b";
    assert_eq!(said, one("s.t", detail, Certainty::Exact, Outcome::Unknown));
}

#[test]
fn before_any_copy_comes_it_is_pending() {
    // On MySQL every copy shows; on MariaDB the write may have passed unseen.
    for (family, certainty) in [(My, Certainty::Exact), (Maria, Certainty::Possible)] {
        let mut verifier = ring(&["", ""], 1_000);
        let mut out = Vec::new();
        verifier.observe(A, &truncate(family, 1, 1), &mut out);
        verifier.observe(B, &into("t", insert(family, 2, 1)), &mut out);
        let told: Vec<_> = out.iter().map(|r| (r.finding.certainty, r.finding.outcome)).collect();
        assert_eq!(told, [(certainty, Some(Outcome::Pending))]);
    }
}

#[test]
fn a_write_that_may_have_passed_unseen_is_possible() {
    // a logs nothing for tb1; where it passed lies between the start and tb2.
    let (tb1, tb2) = (insert(Maria, 2, 1), into("u", insert(Maria, 2, 2)));
    let ta = alter(Maria, 1, 1);
    let b = vec![tb1.clone(), tb2.clone(), ta.clone()];
    let detail = "ALTER TABLE on a, inserted rows on b";
    let said = found(&[vec![ta.clone(), tb2.clone()], b.clone()]);
    assert_eq!(said, one("s.t", detail, Certainty::Possible, Outcome::Unknown));
    // With tb2 before the definition tb1 has passed, too.
    assert_eq!(found(&[vec![tb2.clone(), ta.clone()], b]), []);
    // What follows a number that is shown after the definition has not passed before it.
    let tb0 = into("u", insert(Maria, 2, 1));
    let (tb1, tb2) = (insert(Maria, 2, 2), into("u", insert(Maria, 2, 3)));
    let said = found(&[vec![ta.clone(), tb0.clone(), tb2.clone()], vec![tb0, tb1, tb2, ta]]);
    assert_eq!(said, one("s.t", detail, Certainty::Exact, Outcome::Unknown));
}

#[test]
fn a_statement_that_writes_the_table_counts() {
    let ta = alter(Maria, 1, 1);
    let kind = StatementKind::Rows(vec![("s".into(), "t".into())]);
    let tb = with_statement(Maria, 2, 1, "update t set a = a + 1", kind.clone());
    let said = found(&[vec![ta.clone(), tb.clone()], vec![tb, ta.clone()]]);
    let detail = "ALTER TABLE on a, a write logged as text on b";
    assert_eq!(said, one("s.t", detail, Certainty::Exact, Outcome::Unknown));
    // This one makes the table that it writes.
    let ta = insert(Maria, 1, 1);
    let tb = with_statement(Maria, 2, 1, "/* x */ CREATE TABLE t SELECT 1", kind);
    let said = found(&[vec![ta.clone(), tb.clone()], vec![tb, ta]]);
    let detail = "inserted rows on a, CREATE TABLE on b";
    assert_eq!(said, one("s.t", detail, Certainty::Exact, Outcome::Unknown));
}

#[test]
fn a_database_is_all_of_its_tables() {
    let ta = ddl(My, 1, 1, "DROP DATABASE s", &[("", Empties)]);
    let (tb, tc) = (insert(My, 2, 1), into("u", insert(My, 2, 2)));
    let b = vec![tb.clone(), tc.clone(), ta.clone()];
    let said = found(&[vec![ta.clone(), tb, tc], b]);
    let tables: Vec<_> = said.iter().map(|found| (found.0.as_str(), found.1.as_str())).collect();
    let detail = "DROP DATABASE on a, inserted rows on b";
    assert_eq!(tables, [("s.t", detail), ("s.u", detail)]);
    let tb = ddl(My, 2, 1, "drop schema s", &[("", Empties)]);
    let said = found(&[vec![ta.clone(), tb.clone()], vec![tb, ta.clone()]]);
    let detail = "DROP DATABASE on a, DROP DATABASE on b";
    assert_eq!(said, one("s.*", detail, Certainty::Exact, Outcome::Unknown));
    let tb = alter(My, 2, 1);
    let said = found(&[vec![ta.clone(), tb.clone()], vec![tb, ta]]);
    assert_eq!(said[0].0, "s.t");
}

#[test]
fn a_group_is_told_up_to_its_limit() {
    let ta = truncate(My, 1, 1);
    let b: Vec<Transaction> = (1..=5).map(|n| insert(My, 2, n)).collect();
    let a: Vec<Transaction> = std::iter::once(ta.clone()).chain(b.clone()).collect();
    let b: Vec<Transaction> = b.into_iter().chain([ta]).collect();
    let said = found_from(&["", ""], 2, &[a, b]);
    let more: Vec<u64> = said.iter().map(|found| found.4).collect();
    assert_eq!(more, [0, 3]);
}

#[test]
fn three_nodes_are_judged_by_the_streams_of_the_two() {
    let (ta, tb, tc) = (alter(My, 1, 1), insert(My, 2, 1), insert(My, 3, 1));
    // c had seen the definition, b had not.
    let streams = [
        vec![ta.clone(), tb.clone(), tc.clone()],
        vec![tb.clone(), ta.clone(), tc.clone()],
        vec![ta, tc, tb],
    ];
    let detail = "ALTER TABLE on a, inserted rows on b";
    assert_eq!(found(&streams), one("s.t", detail, Certainty::Exact, Outcome::Unknown));
}

#[test]
fn streams_that_begin_at_different_places_are_judged() {
    let detail = "ALTER TABLE on a, inserted rows on b";
    let exact = one("s.t", detail, Certainty::Exact, Outcome::Unknown);
    let (ta, tb) = (alter(Maria, 1, 5), insert(Maria, 2, 3));
    // b began after tb, which a had not seen when it altered the table.
    let streams = [vec![ta.clone(), tb.clone()], vec![ta.clone()]];
    assert_eq!(found_from(&["1-1-4", "1-1-4,2-2-3"], 1_000, &streams), exact);
    // b had applied the definition by its start.
    let streams = [vec![ta.clone(), tb.clone()], vec![]];
    assert_eq!(found_from(&["1-1-4", "1-1-5,2-2-3"], 1_000, &streams), []);
    // The definition is the late one.
    let (ta, tb) = (insert(Maria, 1, 5), alter(Maria, 2, 3));
    let streams = [vec![ta.clone(), tb], vec![ta]];
    let said = found_from(&["1-1-4", "1-1-4,2-2-3"], 1_000, &streams);
    let detail = "inserted rows on a, ALTER TABLE on b";
    assert_eq!(said, one("s.t", detail, Certainty::Exact, Outcome::Unknown));
}

#[test]
fn where_no_copy_shows_the_order_nothing_is_told() {
    // Neither logs what it applies: any write since may have come before or after.
    let a = vec![truncate(Maria, 1, 1), insert(Maria, 1, 2)];
    assert_eq!(found(&[a, vec![insert(Maria, 2, 1), insert(Maria, 2, 2)]]), []);
}

#[test]
fn a_definition_that_cannot_be_told_is_a_blind_spot() {
    let mut verifier = ring(&["", ""], 1_000);
    let mut out = Vec::new();
    let unknown = ddl(My, 1, 1, "FROBNICATE t", &[]);
    verifier.observe(A, &unknown, &mut out);
    verifier.observe(B, &unknown, &mut out);
    verifier.finish(&mut out);
    out.retain(|report| report.finding.settled);
    let told: Vec<_> = out.iter().map(|r| (r.finding.reason, r.finding.node)).collect();
    assert_eq!(told, [(Some(BlindSpotReason::UnparsedDefinition), Some(A))]);
}

#[test]
fn ordinary_writes_leave_nothing_behind() {
    let mut verifier = ring(&["", ""], 1_000);
    let mut out = Vec::new();
    for n in 1..=100 {
        for t in [insert(My, 1, n), insert(My, 2, n)] {
            verifier.observe(A, &t, &mut out);
            verifier.observe(B, &t, &mut out);
        }
        assert_eq!(verifier.definitions.len(), 0);
    }
}
