//! Tables without a key: rows are named by what they were.

use super::*;

/// Rows of a table without a key, from one image to another; 0 is no row.
fn keyless(origin: u8, sequence: u64, rows: &[(u128, u128)]) -> Transaction {
    let rows: Vec<(u128, u128, u128)> = rows.iter().map(|(from, to)| (0, *from, *to)).collect();
    let mut tx = tx(Family::My, origin, sequence, &rows);
    tx.rows.iter_mut().for_each(|row| row.keys = None);
    tx
}

fn told(of_a: Vec<Transaction>, of_b: Vec<Transaction>) -> Vec<(String, Certainty)> {
    // Each shows a copy, so that it is not taken for one without any.
    let shown = |origin| tx(Family::My, origin, 99, &[(origin.into(), 0, 1)]);
    let of_a = [of_a, vec![shown(2)]].concat();
    let of_b = [of_b, vec![shown(1)]].concat();
    conflicts(["", ""], [of_a, of_b]).into_iter().map(|of| (of.0, of.1)).collect()
}

#[test]
fn what_both_sides_took_away_is_a_possible_conflict() {
    let possible = |what: &str| vec![(what.to_owned(), Certainty::Possible)];
    let update = |origin, to| vec![keyless(origin, 1, &[(1, to)])];
    assert_eq!(told(update(1, 2), update(2, 3)), possible("update_update"));
    assert_eq!(told(update(1, 2), update(2, 0)), possible("update_delete"));
    assert_eq!(told(update(1, 0), update(2, 0)), possible("delete_delete"));
}

#[test]
fn other_rows_inserts_and_what_was_seen_are_none() {
    assert_eq!(told(vec![keyless(1, 1, &[(1, 2)])], vec![keyless(2, 1, &[(4, 5)])]), []);
    // Two rows that are alike: both sides have both of them in the end.
    assert_eq!(told(vec![keyless(1, 1, &[(0, 2)])], vec![keyless(2, 1, &[(0, 2)])]), []);
    assert_eq!(told(vec![keyless(1, 1, &[(0, 2)])], vec![keyless(2, 1, &[(2, 0)])]), []);
    let seen = vec![keyless(1, 1, &[(1, 2)]), keyless(2, 1, &[(1, 3)])];
    assert_eq!(told(vec![keyless(1, 1, &[(1, 2)])], seen), []);
}

#[test]
fn what_a_transaction_made_itself_is_not_taken_from_others() {
    let chain = |origin, to| vec![keyless(origin, 1, &[(origin.into(), 7), (7, to)])];
    assert_eq!(told(chain(1, 8), chain(2, 9)), []);
}
