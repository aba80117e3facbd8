//! The same logs as servers before MySQL 8.0 would have written them, without GTIDs.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use crate::run::Run;
use crate::support::old_logs::{Old, as_written_by};
use crate::truth::{Fact, Found};

/// What a finding is about, but for the names of the transactions.
type About = (String, String, String, Option<String>);

impl Run<'_> {
    /// A row that is handed from one master to the other, by transactions that take seconds: their
    /// first events have other times than those of their copies.
    pub fn hand_over_slowly(&self) {
        let (insert, delete) =
            ("INSERT INTO rnd.mark_a VALUES (1000)", "DELETE FROM rnd.mark_a WHERE id = 1000");
        for (node, write) in [("a", insert), ("b", delete), ("a", insert)] {
            self.lab.sql(node, &format!("BEGIN; {write}; DO SLEEP(1.2); COMMIT"));
            self.lab.settle();
        }
    }

    /// Demands that every conflict and violation is found there, too, that no conflict is called
    /// exact, and that no other one is found.
    pub fn check_old(&self, old: Old) {
        let [a, b] = ["a", "b"].map(|node| self.write_old(old, node));
        let found = self.scan(&a, &b);
        let about = |fact: &Fact| {
            let Fact { kind, table, key, conflict, .. } = fact.clone();
            (kind, table, key, conflict)
        };
        let is_known = |found: &&Found| {
            let kind = found.fact.kind.as_str();
            matches!(kind, "write_conflict" | "table_ownership" | "row_ownership")
        };
        let told: Vec<&Found> = found.values().filter(is_known).collect();
        let missed = minus(self.expected.iter().map(about), told.iter().map(|f| about(&f.fact)));
        let false_ones =
            minus(told.iter().map(|f| about(&f.fact)), self.expected.iter().map(about));
        let other = found.values().filter(|of| !is_known(of));
        let mut others: BTreeMap<_, u64> = BTreeMap::new();
        other.for_each(|of| *others.entry((&of.fact.kind, &of.certainty)).or_default() += 1);
        println!(
            "{old:?}: {} of {} missed, {} false, beside them {others:?}",
            missed.len(),
            self.expected.len(),
            false_ones.len()
        );
        let rests_on_names = ["write_conflict", "divergence", "missing_copy"];
        let is_exact = |of: &&Found| {
            of.certainty == "exact" && rests_on_names.contains(&of.fact.kind.as_str())
        };
        assert_eq!(found.values().find(is_exact), None);
        assert!(found.values().all(|of| of.fact.kind != "missing_copy"), "{found:#?}");
        assert!(missed.is_empty() && false_ones.is_empty(), "{missed:#?}\n{false_ones:#?}");
        self.explain_old(&found, [a, b]);
    }

    /// A conflict's rows are found in both logs, on both sides.
    fn explain_old(&self, found: &BTreeMap<String, Found>, logs: [Vec<PathBuf>; 2]) {
        let conflict = found.iter().find(|(_, of)| of.fact.kind == "write_conflict");
        let (id, found) = conflict.expect("a conflict");
        let [a, b] = &logs;
        let record = self.lab.dir().join("record.ndjson");
        let lines = self.scan_lines(a, b);
        let line = lines.lines().find(|line| line.contains(id.as_str())).expect("its line");
        std::fs::write(&record, line).expect("a write");
        let mut explain = Command::new(env!("CARGO_BIN_EXE_twinlog"));
        explain.args(["findings", "explain", id, "--from"]).arg(&record);
        for (node, files) in ["a", "b"].iter().zip(&logs) {
            explain.args(files.iter().map(|file| format!("{node}={}", file.display())));
        }
        let output = explain.output().expect("twinlog runs");
        let (text, errors) =
            [output.stdout, output.stderr].map(|of| String::from_utf8(of).expect("UTF-8")).into();
        assert!(output.status.success(), "{text}\n{errors}");
        for name in &found.fact.gtids {
            assert!(name.starts_with("counted-") && text.contains(name), "{name}: {text}");
        }
    }

    fn write_old(&self, old: Old, node: &str) -> Vec<PathBuf> {
        let directory = self.lab.dir().join(format!("{old:?}-{node}"));
        std::fs::create_dir(&directory).expect("a directory");
        let write = |file: PathBuf| {
            let new = directory.join(file.file_name().expect("a name"));
            std::fs::write(&new, as_written_by(old, &file)).expect("a write");
            new
        };
        self.lab.binlogs(node).into_iter().map(write).collect()
    }
}

/// What comes more often on the left.
fn minus(left: impl Iterator<Item = About>, right: impl Iterator<Item = About>) -> Vec<About> {
    let mut counts: BTreeMap<About, i64> = BTreeMap::new();
    left.for_each(|about| *counts.entry(about).or_default() += 1);
    right.for_each(|about| *counts.entry(about).or_default() -= 1);
    counts.into_iter().filter(|(_, count)| *count > 0).map(|(about, _)| about).collect()
}
