//! Rows of which everybody can tell what becomes of them: the check of the check, in both
//! directions.

use std::collections::{BTreeMap, BTreeSet};

use crate::support::lab::Lab;
use crate::tables::Place;
use crate::truth::Told;

const SETUP: &str = "INSERT INTO dvg.known VALUES (1, 1, 'x'), (2, 1, 'x'), (4, 1, 'x'),
    (5, 1, 'x'), (6, 1, 'x'), (7, 1, 'x')";

/// While they do not replicate: another value, the same value, the same new row, a row that one
/// deletes, and a row of one side alone.
const WRITES_OF_A: &str = "UPDATE dvg.known SET v = 101 WHERE id = 1;
    UPDATE dvg.known SET v = 200 WHERE id = 2;
    INSERT INTO dvg.known VALUES (3, 301, 'a');
    DELETE FROM dvg.known WHERE id = 4;
    UPDATE dvg.known SET v = 500 WHERE id = 5;";
const WRITES_OF_B: &str = "UPDATE dvg.known SET v = 102 WHERE id = 1;
    UPDATE dvg.known SET v = 200 WHERE id = 2;
    INSERT INTO dvg.known VALUES (3, 302, 'b');
    UPDATE dvg.known SET v = 402 WHERE id = 4;";

const SILENT_ON_B: &str = "SET sql_log_bin = 0; DELETE FROM dvg.known WHERE id = 6;
    UPDATE dvg.known SET v = -7 WHERE id = 7;";
const LATER_ON_A: &str = "UPDATE dvg.known SET v = 600 WHERE id = 6;
    UPDATE dvg.known SET v = 700 WHERE id = 7;";

/// Two updates to other values, two inserts, and an update of a row that is missing.
pub const DIFFERING: [u32; 3] = [1, 3, 6];
/// What became of the conflicts, by row; nobody writes to these rows again.
const OUTCOMES: [(u32, &str); 4] =
    [(1, "diverged"), (2, "converged"), (3, "diverged"), (4, "converged")];
/// Told by the before image of the write that healed it.
const HEALED: u32 = 7;
/// Written by one side alone.
const NEVER_DIFFERED: u32 = 5;

/// Writes them. The masters replicate, and have settled before and after.
pub fn write(lab: &Lab) {
    lab.sql("a", SETUP);
    lab.settle();
    lab.stop_replication();
    lab.sql("a", WRITES_OF_A);
    lab.sql("b", WRITES_OF_B);
    lab.sql("b", SILENT_ON_B);
    lab.idempotent();
    lab.start_replication();
    lab.settle();
    lab.sql("a", LATER_ON_A);
    lab.settle();
}

pub fn place(id: u32) -> Place {
    ("dvg.known".to_owned(), format!(r#"{{"id":{id}}}"#))
}

/// Demands that exactly these differ.
pub fn check_rows<'a>(differing: impl Iterator<Item = &'a Place>) {
    let of_known: BTreeSet<&Place> = differing.filter(|place| place.0 == "dvg.known").collect();
    let places = DIFFERING.map(place);
    assert_eq!(of_known, places.iter().collect());
}

/// What is told of them and should not be, or the other way round.
pub fn faults(told: &BTreeMap<String, Told>) -> Vec<String> {
    let of = |kind: &'static str, id| {
        let place = place(id);
        told.values().filter(move |told| told.kind == kind && told.place == place)
    };
    let mut faults = Vec::new();
    for (id, outcome) in OUTCOMES {
        let told: Vec<_> = of("write_conflict", id).map(|told| told.outcome.as_deref()).collect();
        if told != [Some(outcome)] {
            faults.push(format!("known row {id}: the conflict {outcome}, told {told:?}"));
        }
    }
    let healed = of("divergence", HEALED).filter(|told| told.state == "healed").count();
    if healed != 1 {
        faults.push(format!("known row {HEALED} drifted and healed, told {healed} times"));
    }
    if of("divergence", NEVER_DIFFERED).chain(of("write_conflict", NEVER_DIFFERED)).count() > 0 {
        faults.push(format!("known row {NEVER_DIFFERED} was always the same, and is told of"));
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(kind: &str, id: u32, state: &str, outcome: Option<&str>) -> Told {
        Told {
            kind: kind.to_owned(),
            place: place(id),
            state: state.to_owned(),
            certainty: "exact".to_owned(),
            outcome: outcome.map(str::to_owned),
        }
    }

    #[test]
    fn a_wrong_or_missing_word_on_a_known_row_is_a_fault() {
        let conflicts = OUTCOMES.map(|(id, of)| told("write_conflict", id, "open", Some(of)));
        let mut all: BTreeMap<String, Told> =
            conflicts.into_iter().map(|of| (format!("conflict {:?}", of.place), of)).collect();
        all.insert("healed".to_owned(), told("divergence", HEALED, "healed", None));
        assert!(faults(&all).is_empty());
        let mut wrong = all.clone();
        wrong.insert("more".to_owned(), told("divergence", NEVER_DIFFERED, "healed", None));
        assert_eq!(faults(&wrong).len(), 1);
        let mut wrong = all.clone();
        wrong.remove("healed");
        assert_eq!(faults(&wrong).len(), 1);
        wrong.extend([("open".to_owned(), told("divergence", HEALED, "open", None))]);
        assert_eq!(faults(&wrong).len(), 1);
        let unknown = told("write_conflict", 1, "open", Some("unknown"));
        all.insert(format!("conflict {:?}", unknown.place), unknown);
        assert_eq!(faults(&all).len(), 1);
        assert_eq!(faults(&BTreeMap::new()).len(), OUTCOMES.len() + 1);
    }

    #[test]
    #[should_panic(expected = "left")]
    fn a_known_row_that_does_not_differ_is_noticed() {
        check_rows([place(1), place(3)].iter());
    }
}
