//! Rounds of random transactions on two masters, and scans of what they logged.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;

use crate::model::{State, Table};
use crate::support::lab::Lab;
use crate::support::random::Random;
use crate::truth::{Committed, Fact, Found, conflicts, findings_of, violations};
use crate::workload::Workload;

fn schema(tables: &[Table]) -> String {
    let mut sql = "CREATE DATABASE rnd; USE rnd;".to_owned();
    for table in tables {
        sql += &format!("CREATE TABLE {} ({}) ENGINE=InnoDB;", table.name, table.columns);
    }
    sql + "CREATE TABLE mark_a (id INT PRIMARY KEY); CREATE TABLE mark_b (id INT PRIMARY KEY);"
}

/// Who owns what, as [`Table::owner`] has it.
pub const CONFIG: &str = r#"
[nodes.a]
server_ids = [1]
[nodes.b]
server_ids = [2]
[[ownership]]
tables = ["rnd.own_a"]
owner = "a"
[[ownership]]
tables = ["rnd.own_b"]
owner = "b"
[[ownership]]
tables = ["rnd.par"]
rows = { column = "id", modulo = 2, remainders = { a = 1, b = 0 } }
[[ownership]]
tables = ["rnd.geo"]
rows = { column = "region", values = { a = "eu-*", b = "us" } }
"#;

/// One seed on one pair of masters.
pub struct Run<'a> {
    pub lab: Lab,
    pub workload: Workload<'a>,
    pub expected: BTreeSet<Fact>,
    pub transactions: usize,
    pub rows: usize,
}

impl Run<'_> {
    /// A pair with the tables, and nothing in them.
    pub fn new(lab: Lab, tables: &[Table], seed: u64) -> Run<'_> {
        std::fs::write(lab.dir().join("twinlog.toml"), CONFIG).expect("a write");
        lab.sql("a", &schema(tables));
        lab.settle();
        Run {
            lab,
            workload: Workload { tables, random: Random(seed), value: 1000 },
            expected: BTreeSet::new(),
            transactions: 0,
            rows: 0,
        }
    }

    pub fn round(&mut self, round: usize) {
        self.cut(|| ());
        self.join(round);
        if self.workload.random.percent(12) {
            // The logs end as a crash leaves them, and go on in new files.
            self.lab.kill();
            self.lab.restart();
        }
    }

    /// Cuts the masters off from each other, and commits on both; `between` comes before and after.
    pub fn cut(&mut self, mut between: impl FnMut()) {
        self.lab.stop_replication();
        between();
        let [a, b] = ["a", "b"].map(|node| self.commit(node));
        self.expected.extend(conflicts(self.workload.tables, &a, &b));
        for (node, committed) in [("a", &a), ("b", &b)] {
            self.expected.extend(violations(self.workload.tables, node, committed));
            self.transactions += committed.len();
            self.rows += committed.iter().map(|of| of.changes.len()).sum::<usize>();
        }
        between();
    }

    /// Lets them replicate again.
    pub fn join(&mut self, round: usize) {
        // After every start: a stopped applier may have been set back.
        self.lab.idempotent();
        self.lab.start_replication();
        self.lab.settle();
        // MariaDB never logs a copy that changes nothing. Only a later number from the same
        // master makes such a hole certain; without it the logs allow that the transaction came
        // after what the other side writes in the next round.
        for node in ["a", "b"] {
            self.lab.sql(node, &format!("INSERT INTO rnd.mark_{node} VALUES ({round})"));
            if self.workload.random.percent(30) {
                self.lab.sql(node, "FLUSH NO_WRITE_TO_BINLOG BINARY LOGS");
            }
        }
        self.lab.settle();
    }

    /// Commits random transactions on one master and tells what they wrote.
    fn commit(&mut self, node: &str) -> Vec<Committed> {
        let tables = self.workload.tables;
        let first = self.lab.last_number(node) + 1;
        let mut batch = self.workload.batch(read(&self.lab, tables, node));
        let answer = self.lab.sql(node, &batch.sql);
        batch.name_made_keys(&answer);
        let is = read(&self.lab, tables, node);
        assert_eq!(is, batch.state, "the model is wrong on {node} after\n{}", batch.sql);
        let logged = self.lab.last_number(node) + 1 - first;
        assert_eq!(logged, batch.transactions.len() as u64, "logged after\n{}", batch.sql);
        let identities = self.lab.identities(node, first, batch.transactions.len());
        let committed = identities
            .into_iter()
            .zip(batch.transactions)
            .map(|(gtid, changes)| Committed { gtid, changes });
        committed.collect()
    }

    pub fn scan(&self, a: &[PathBuf], b: &[PathBuf]) -> BTreeMap<String, Found> {
        findings_of(&self.scan_lines(a, b))
    }

    /// The findings of a scan, as lines of NDJSON.
    pub fn scan_lines(&self, a: &[PathBuf], b: &[PathBuf]) -> String {
        let mut scan = Command::new(env!("CARGO_BIN_EXE_twinlog"));
        scan.args(["scan", "--format", "ndjson", "--config"]);
        scan.arg(self.lab.dir().join("twinlog.toml"));
        scan.args(a.iter().map(|file| format!("a={}", file.display())));
        scan.args(b.iter().map(|file| format!("b={}", file.display())));
        let output = scan.output().expect("twinlog runs");
        let stderr = String::from_utf8_lossy(&output.stderr);
        let stdout = String::from_utf8(output.stdout).expect("UTF-8");
        let found = findings_of(&stdout);
        assert_eq!(found.len(), stdout.lines().count(), "an id came twice");
        let alarm = found.values().any(|found| found.severity != "info");
        assert_eq!(output.status.code(), Some(i32::from(alarm)), "{stderr}");
        stdout
    }
}
fn read(lab: &Lab, tables: &[Table], node: &str) -> State {
    let select: Vec<String> = tables.iter().map(Table::select).collect();
    let answer = lab.sql(node, &select.join("\n"));
    let mut state: State = vec![Default::default(); tables.len()];
    for line in answer.lines() {
        let columns: Vec<&str> = line.split('\t').collect();
        let at = tables.iter().position(|table| table.name == columns[0]).expect("a table");
        let (key, row) = tables[at].read(&columns[1..]);
        state[at].insert(key, row);
    }
    state
}
