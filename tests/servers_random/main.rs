//! Random schedules on real masters: every conflict is found, and nothing else.
//!
//! In each round the masters are cut off from each other, both commit random transactions over few
//! keys, and then replicate again with appliers that pass over what does not fit. So the truth is
//! known by construction: every pair of a round that touched one key is a conflict, and no other
//! pair is. What a statement touched comes from a model of each master's rows, not from a binlog;
//! the model is compared with the tables after every round.
//!
//! `TWINLOG_SEED=7` runs one seed; `TWINLOG_TEST_SECONDS=600` runs more seeds until the time is
//! over.

#![expect(clippy::disallowed_methods, reason = "a test's clock and settings")]
#![expect(unreachable_pub, reason = "the modules of one test")]

mod model;
#[path = "../support/mod.rs"]
mod support;
mod truth;
mod workload;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use model::{State, Table, tables};
use support::lab::{Lab, Server};
use support::random::Random;
use support::watcher::Watcher;
use truth::{Committed, Fact, Found, conflicts, findings_of, violations};
use workload::Workload;

const SEEDS: [u64; 3] = [1, 2, 3];
const ROUNDS: usize = 8;

#[test]
fn mariadb_conflicts_are_found_and_nothing_else() {
    run_seeds(Server::MariaDb);
}

#[test]
fn mysql_conflicts_are_found_and_nothing_else() {
    run_seeds(Server::MySql);
}

fn run_seeds(server: Server) {
    let number = |name| std::env::var(name).ok().map(|text| text.parse().expect(name));
    if let Some(seed) = number("TWINLOG_SEED") {
        return run_seed(server, seed);
    }
    let end = Instant::now() + Duration::from_secs(number("TWINLOG_TEST_SECONDS").unwrap_or(0));
    let more = (SEEDS.len() as u64 + 1..).take_while(|_| Instant::now() < end);
    SEEDS.into_iter().chain(more).for_each(|seed| run_seed(server, seed));
}

fn run_seed(server: Server, seed: u64) {
    println!("{server:?} TWINLOG_SEED={seed}");
    let tables = tables();
    let lab = Lab::pair(server);
    let watcher = Watcher::start(&lab, CONFIG);
    lab.sql("a", &schema(&tables));
    lab.settle();
    let mut run = Run {
        lab,
        workload: Workload { tables: &tables, random: Random(seed), value: 1000 },
        expected: BTreeSet::new(),
        transactions: 0,
        rows: 0,
    };
    for round in 0..ROUNDS {
        run.round(round);
    }
    run.check(seed, watcher);
}

fn schema(tables: &[Table]) -> String {
    let mut sql = "CREATE DATABASE rnd; USE rnd;".to_owned();
    for table in tables {
        sql += &format!("CREATE TABLE {} ({}) ENGINE=InnoDB;", table.name, table.columns);
    }
    sql + "CREATE TABLE mark_a (id INT PRIMARY KEY); CREATE TABLE mark_b (id INT PRIMARY KEY);"
}

/// Who owns what, as [`Table::owner`] has it.
const CONFIG: &str = r#"
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
struct Run<'a> {
    lab: Lab,
    workload: Workload<'a>,
    expected: BTreeSet<Fact>,
    transactions: usize,
    rows: usize,
}

impl Run<'_> {
    fn round(&mut self, round: usize) {
        self.lab.stop_replication();
        let [a, b] = ["a", "b"].map(|node| self.commit(node));
        self.expected.extend(conflicts(self.workload.tables, &a, &b));
        for (node, committed) in [("a", &a), ("b", &b)] {
            self.expected.extend(violations(self.workload.tables, node, committed));
            self.transactions += committed.len();
            self.rows += committed.iter().map(|of| of.changes.len()).sum::<usize>();
        }
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
        if self.workload.random.percent(12) {
            // The logs end as a crash leaves them, and go on in new files.
            self.lab.kill();
            self.lab.restart();
        }
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
        let committed = (first..)
            .zip(batch.transactions)
            .map(|(number, changes)| Committed { gtid: self.lab.gtid(node, number), changes });
        committed.collect()
    }

    /// Scans the logs of both and compares, with the truth and with the watch.
    fn check(self, seed: u64, watcher: Watcher) {
        std::fs::write(self.lab.dir().join("twinlog.toml"), CONFIG).expect("a write");
        let [a, b] = ["a", "b"].map(|node| self.lab.binlogs(node));
        let found = self.scan(&a, &b);
        let facts = facts(&found);
        let missed: Vec<_> = self.expected.difference(&facts).collect();
        let false_ones: Vec<_> = facts.difference(&self.expected).collect();
        let conflicts = self.expected.iter().filter(|fact| fact.kind == "write_conflict").count();
        let possible = found.values().filter(|found| found.certainty == "possible").count();
        println!(
            "{:?} {} seed {seed}: {} transactions, {} rows, {conflicts} conflicts, {} ownership \
             violations, missed {}, false {}, possible {possible}",
            self.lab.server(),
            self.lab.version(),
            self.transactions,
            self.rows,
            self.expected.len() - conflicts,
            missed.len(),
            false_ones.len()
        );
        assert!(missed.is_empty() && false_ones.is_empty(), "{missed:#?}\n{false_ones:#?}");
        check_watch(watcher, &found);
        // Logs are purged at different times: each may begin later than the other.
        for purged in 1..a.len() {
            self.check_purged(&found, &a[purged..], &b);
        }
        for purged in 1..b.len() {
            self.check_purged(&found, &a, &b[purged..]);
        }
    }

    /// Without the first files of one node nothing false is called exact, and everything is found
    /// that is about transactions whose originals are still there.
    fn check_purged(&self, whole: &BTreeMap<String, Found>, a: &[PathBuf], b: &[PathBuf]) {
        let found = self.scan(a, b);
        let what = format!("from {} and {}", a[0].display(), b[0].display());
        let facts = facts(&found);
        // A MariaDB copy that changed nothing before the log begins is in no log: `possible`.
        let leaves_holes = self.lab.server() == Server::MariaDb;
        let is_sure = |found: &Found| found.certainty == "exact" || !leaves_holes;
        let false_ones: Vec<_> = alarms(&found)
            .filter(|found| is_sure(found))
            .filter(|found| !self.expected.contains(&found.fact))
            .collect();
        assert!(false_ones.is_empty(), "{what}: {false_ones:#?}");
        let is_read = |file: &String| a.iter().chain(b).any(|path| path.ends_with(file));
        for of_whole in alarms(whole).filter(|found| found.files.iter().all(is_read)) {
            assert!(facts.contains(&of_whole.fact), "{what}: missed {:#?}", of_whole.fact);
        }
    }

    fn scan(&self, a: &[PathBuf], b: &[PathBuf]) -> BTreeMap<String, Found> {
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
        found
    }
}

/// Demands that the watch tells the same findings as the scan of the same logs, in the same last
/// state; waits for those that are still on their way.
fn check_watch(watcher: Watcher, scanned: &BTreeMap<String, Found>) {
    watcher.wait_until_same(|told| {
        let told = findings_of(told);
        let same = |(id, found): (&String, &Found)| {
            told.get(id).is_some_and(|told| told.certainty == found.certainty)
        };
        let missing: Vec<_> = scanned.iter().filter(|found| !same(*found)).collect();
        let more: Vec<_> = told.iter().filter(|of| !scanned.contains_key(of.0)).collect();
        let is_same = missing.is_empty() && more.is_empty();
        (!is_same).then(|| format!("only the scan tells {missing:#?}, only the watch {more:#?}"))
    });
    println!("watch tells the same {} findings", scanned.len());
}

/// What the findings that are more than an `info` are about.
fn facts(found: &BTreeMap<String, Found>) -> BTreeSet<Fact> {
    let facts: BTreeSet<Fact> = alarms(found).map(|found| found.fact.clone()).collect();
    assert_eq!(facts.len(), alarms(found).count(), "two findings about one thing");
    facts
}

/// Findings that are more than an `info`, of the kinds that are known here by construction. What
/// became of the rows is compared with the tables in `servers_diverge`.
fn alarms(found: &BTreeMap<String, Found>) -> impl Iterator<Item = &Found> {
    let of_rows =
        |found: &&Found| matches!(found.fact.kind.as_str(), "divergence" | "missing_copy");
    found.values().filter(|found| found.severity != "info").filter(move |found| !of_rows(found))
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
