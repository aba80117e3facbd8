//! What is told, against what the masters hold.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use serde_json::Value;

use crate::tables::Place;

/// A finding, as its last line has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Told {
    pub kind: String,
    pub place: Place,
    pub state: String,
    pub certainty: String,
    pub outcome: Option<String>,
}

/// All findings by their ids, each in its last state.
pub fn told(ndjson: &str) -> BTreeMap<String, Told> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let must = |value: &Value| text(value).unwrap_or_else(|| panic!("no text: {value}"));
    let told = ndjson.lines().map(|line| {
        let finding: Value = serde_json::from_str(line).expect("one JSON object a line");
        let told = Told {
            kind: must(&finding["kind"]),
            place: (text(&finding["table"]).unwrap_or_default(), finding["key"].to_string()),
            state: must(&finding["state"]),
            certainty: must(&finding["certainty"]),
            outcome: text(&finding["outcome"]),
        };
        (must(&finding["id"]), told)
    });
    told.collect()
}

/// How far what is told and what the masters hold agree.
#[derive(Default, PartialEq, Eq, Debug)]
pub struct Agreement {
    /// Rows that differ, and no open divergence says so.
    pub missed: BTreeSet<Place>,
    /// Rows that an open divergence is about, and they do not differ.
    pub false_ones: BTreeSet<Place>,
    /// Rows that two open divergences are about: the first should have healed.
    pub twice: BTreeSet<Place>,
    pub open: usize,
    /// Of the open ones.
    pub possible: usize,
    pub healed: usize,
    /// Conflicts by outcome.
    pub outcomes: BTreeMap<String, usize>,
}

impl Agreement {
    pub fn of(differing: &BTreeSet<Place>, told: &BTreeMap<String, Told>) -> Agreement {
        let mut agreement = Agreement::default();
        let mut open = BTreeSet::new();
        for told in told.values() {
            match (told.kind.as_str(), told.state.as_str()) {
                ("divergence", "open") => {
                    agreement.open += 1;
                    agreement.possible += usize::from(told.certainty == "possible");
                    if !open.insert(told.place.clone()) {
                        agreement.twice.insert(told.place.clone());
                    }
                }
                ("divergence", "healed") => agreement.healed += 1,
                ("divergence", state) => panic!("a divergence that is {state}"),
                ("write_conflict", _) => {
                    let outcome = told.outcome.clone().unwrap_or("none".to_owned());
                    *agreement.outcomes.entry(outcome).or_default() += 1;
                }
                _ => {}
            }
        }
        agreement.missed = differing.difference(&open).cloned().collect();
        agreement.false_ones = open.difference(differing).cloned().collect();
        agreement
    }

    /// What is wrong; empty where all is well.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        for (places, what) in [
            (&self.missed, "differs, and is not told"),
            (&self.false_ones, "is told, and does not differ"),
            (&self.twice, "is told twice as open"),
        ] {
            faults.extend(places.iter().map(|(table, key)| format!("{table} {key} {what}")));
        }
        // All is applied, and later transactions prove it.
        faults.extend(self.outcomes.get("pending").map(|n| format!("{n} conflicts are pending")));
        faults
    }
}

impl std::fmt::Display for Agreement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Agreement { open, healed, possible, .. } = self;
        let mut conflicts = String::new();
        for (outcome, count) in &self.outcomes {
            let _ = write!(conflicts, " {count} {outcome}");
        }
        let (missed, false_ones) = (self.missed.len(), self.false_ones.len());
        write!(
            f,
            "{open} open divergences ({possible} possible), {healed} healed, missed {missed}, \
             false {false_ones}; conflicts:{conflicts}"
        )
    }
}

/// What the watch tells otherwise than the scan; `None` where it tells the same.
pub fn differs(
    scanned: &BTreeMap<String, Told>,
    watched: &BTreeMap<String, Told>,
) -> Option<String> {
    let mut text = String::new();
    for (id, scanned) in scanned {
        let _ = match watched.get(id) {
            None => writeln!(text, "only the scan tells {id} {scanned:?}"),
            Some(watched) if watched == scanned => Ok(()),
            Some(watched) => writeln!(text, "{id}: scan {scanned:?}, watch {watched:?}"),
        };
    }
    for (id, watched) in watched.iter().filter(|(id, _)| !scanned.contains_key(*id)) {
        let _ = writeln!(text, "only the watch tells {id} {watched:?}");
    }
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(id: u32, kind: &str, id_column: u32, state: &str, more: &str) -> String {
        format!(
            r#"{{"id":"{id:032x}","kind":"{kind}","severity":"critical",{more}"state":"{state}","#
        ) + &format!(r#""table":"dvg.num","key":{{"id":{id_column}}}}}"#)
            + "\n"
    }

    fn divergence(id: u32, id_column: u32, state: &str) -> String {
        line(id, "divergence", id_column, state, r#""outcome":null,"certainty":"exact","#)
    }

    fn place(id: u32) -> Place {
        ("dvg.num".to_owned(), format!(r#"{{"id":{id}}}"#))
    }

    fn agreement(differing: &[u32], ndjson: &str) -> Agreement {
        Agreement::of(&differing.iter().map(|id| place(*id)).collect(), &told(ndjson))
    }

    #[test]
    fn every_row_that_differs_must_be_told_and_no_other() {
        let ndjson = divergence(1, 1, "open") + &divergence(2, 2, "healed");
        assert!(agreement(&[1], &ndjson).faults().is_empty());
        let found = agreement(&[2, 3], &ndjson);
        assert_eq!(found.missed, [place(2), place(3)].into());
        assert_eq!(found.false_ones, [place(1)].into());
        assert_eq!((found.open, found.possible, found.healed), (1, 0, 1));
        assert_eq!(found.faults().len(), 3);
        assert_eq!(agreement(&[1], "").missed, [place(1)].into());
        assert!(agreement(&[], "").faults().is_empty());
    }

    #[test]
    fn the_last_line_of_an_id_counts() {
        let healed = divergence(1, 1, "open") + &divergence(1, 1, "healed");
        assert!(agreement(&[], &healed).faults().is_empty());
        // A row that heals and differs again is another episode, with an id of its own.
        let again = healed + &divergence(2, 1, "open");
        assert!(agreement(&[1], &again).faults().is_empty());
        let twice = again + &divergence(3, 1, "open");
        assert_eq!(agreement(&[1], &twice).twice, [place(1)].into());
        assert_eq!(agreement(&[1], &twice).faults().len(), 1);
    }

    #[test]
    fn what_is_possible_counts_and_so_do_outcomes() {
        let possible = r#""outcome":null,"certainty":"possible","#;
        let conflict = |id, outcome: &str| {
            let more = format!(r#""outcome":"{outcome}","certainty":"exact","#);
            line(id, "write_conflict", 9, "open", &more)
        };
        let ndjson = line(1, "divergence", 1, "open", possible)
            + &conflict(2, "converged")
            + &conflict(3, "diverged")
            + &conflict(4, "diverged");
        let found = agreement(&[1], &ndjson);
        assert_eq!((found.open, found.possible), (1, 1));
        assert!(found.faults().is_empty());
        let shown = "1 open divergences (1 possible), 0 healed, missed 0, false 0; \
                     conflicts: 1 converged 2 diverged";
        assert_eq!(found.to_string(), shown);
        let pending = agreement(&[1], &(ndjson + &conflict(5, "pending")));
        assert_eq!(pending.faults(), ["1 conflicts are pending"]);
    }

    #[test]
    fn the_watch_must_tell_the_same_ids_in_the_same_state() {
        let scan = told(&(divergence(1, 1, "healed") + &divergence(2, 2, "open")));
        let watch = told(&(divergence(1, 1, "open") + &divergence(2, 2, "open")));
        assert_eq!(differs(&scan, &scan), None);
        assert!(differs(&scan, &watch).expect("a state").starts_with("00000000000000000000"));
        let less = told(&divergence(1, 1, "healed"));
        assert!(differs(&scan, &less).expect("one less").starts_with("only the scan"));
        assert!(differs(&less, &scan).expect("one more").starts_with("only the watch"));
    }
}
