//! Divergence on real masters: the rows that are told to differ are those that do.
//!
//! The masters write apart from each other in rounds, and between these both at the same time.
//! Operators skip transactions, filter a table, and write without the log. Whenever all is quiet,
//! `SELECT` on both says which rows differ: the open `divergence` findings of a scan must be these
//! rows and no others. In the end a watch beside the masters must have told the same.
//!
//! A row that is changed without the log and never written again is in no log, so nothing can tell
//! of it. Here every such row is written again afterwards, by the other master.
//!
//! `TWINLOG_SEED=7` runs one seed: the statements of its rounds are the same, the races of the free
//! phases come as they come. `TWINLOG_TEST_SECONDS=600` runs more seeds until the time is over, and
//! `TWINLOG_FREE_SECONDS` says how long both write freely in the first seed.

#![expect(clippy::disallowed_methods, reason = "a test's clock and settings")]
#![expect(unreachable_pub, reason = "the modules of one test")]

mod client;
mod faults;
mod free;
mod known;
mod repair;
mod rounds;
#[path = "../support/mod.rs"]
mod support;
mod tables;
mod truth;
mod writes;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use rounds::{ROUNDS, Rounds, mark};
use support::lab::{Lab, Server};
use support::random::Random;
use support::watcher::Watcher;
use tables::{Place, Table, difference, schema, tables};
use truth::{Agreement, Told, differs, told};
use writes::Writer;

const SEEDS: [u64; 3] = [1, 2, 3];
/// How long both masters write freely: in the first seed, and in the others.
const FREE_SECONDS: u64 = 20;
const FREE_SECONDS_MORE: u64 = 3;
/// Short free phases of a second each: what the last races leave is not overwritten.
const BURSTS: u64 = 3;

const CONFIG: &str = "[nodes.a]\nserver_ids = [1]\n[nodes.b]\nserver_ids = [2]\n";

#[test]
fn mariadb_tells_every_row_that_differs_and_no_other() {
    run_seeds(Server::MariaDb);
}

#[test]
fn mysql_tells_every_row_that_differs_and_no_other() {
    run_seeds(Server::MySql);
}

#[test]
fn mariadb_masters_are_the_same_after_a_repair() {
    run_repair(Server::MariaDb);
}

#[test]
fn mysql_masters_are_the_same_after_a_repair() {
    run_repair(Server::MySql);
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect(name))
}

fn run_seeds(server: Server) {
    let free_seconds = number("TWINLOG_FREE_SECONDS").unwrap_or(FREE_SECONDS);
    if let Some(seed) = number("TWINLOG_SEED") {
        return demand_none(run_seed(server, seed, free_seconds));
    }
    let end = Instant::now() + Duration::from_secs(number("TWINLOG_TEST_SECONDS").unwrap_or(0));
    let more = (SEEDS.len() as u64 + 1..).take_while(|_| Instant::now() < end);
    let mut faults = Vec::new();
    for seed in SEEDS.into_iter().chain(more) {
        let first = seed == SEEDS[0];
        let free_seconds = if first { free_seconds } else { free_seconds.min(FREE_SECONDS_MORE) };
        faults.extend(run_seed(server, seed, free_seconds));
    }
    demand_none(faults);
}

/// All seeds have run by then: what they have in common helps.
fn demand_none(faults: Vec<String>) {
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

/// Runs one seed on a pair of its own, and returns what is wrong with what twinlog tells.
fn run_seed(server: Server, seed: u64, free_seconds: u64) -> Vec<String> {
    println!("{server:?} TWINLOG_SEED={seed}");
    let tables = tables();
    let lab = Lab::pair(server);
    let watcher = Watcher::start(&lab, CONFIG);
    let mut run = Run::new(&lab, &tables, seed);
    run.rounds.fill();
    (0..ROUNDS / 2).for_each(|round| run.rounds.round(round));
    known::write(&lab);
    run.free(0, free_seconds);
    for burst in 1..=BURSTS {
        run.free(burst, 1);
    }
    run.rounds.look();
    (ROUNDS / 2..ROUNDS).for_each(|round| run.rounds.round(round));
    let scan = run.check("at the end");
    run.faults.extend(Scan::of(&lab).differs_from(&scan));
    watcher.wait_until_same(|ndjson| differs(&scan.told, &told(ndjson)));
    println!("watch tells the same {} findings", scan.told.len());
    run.rounds.report();
    run.faults
}

/// Rounds, and then a repair of all that differs.
fn run_repair(server: Server) {
    let seed = number("TWINLOG_SEED").unwrap_or(SEEDS[0]);
    println!("{server:?} TWINLOG_SEED={seed}");
    let tables = tables();
    let lab = Lab::pair(server);
    let mut run = Run::new(&lab, &tables, seed);
    run.rounds.keeps_all = Some(repair::WINNER);
    run.rounds.fill();
    (0..ROUNDS).for_each(|round| run.rounds.round(round));
    known::write(&lab);
    mark(&lab);
    repair::repair(&lab, &tables, &mut run.rounds);
}

/// One seed on one pair of masters.
struct Run<'a> {
    lab: &'a Lab,
    tables: &'a [Table],
    seed: u64,
    rounds: Rounds<'a>,
    /// Transactions sent in free phases.
    transactions: usize,
    faults: Vec<String>,
}

impl<'a> Run<'a> {
    fn new(lab: &'a Lab, tables: &'a [Table], seed: u64) -> Run<'a> {
        lab.sql("a", &schema(tables));
        lab.idempotent();
        lab.settle();
        let random = Random(seed);
        let writer = Writer { tables, random, name: "r".to_owned(), value: 1000, hot: 0 };
        let rounds = Rounds::new(lab, tables, writer);
        Run { lab, tables, seed, rounds, transactions: 0, faults: Vec::new() }
    }

    /// Has both write freely, and looks what came of it.
    fn free(&mut self, phase: u64, seconds: u64) {
        let duration = Duration::from_secs(seconds);
        self.transactions += free::write(self.lab, self.tables, self.seed, phase, duration);
        self.lab.settle();
        mark(self.lab);
        self.check(&format!("after phase {phase}"));
    }

    /// Compares what a scan tells with what the masters hold.
    fn check(&mut self, when: &str) -> Scan {
        let differing = rows_that_differ(self.lab, self.tables);
        let scan = Scan::of(self.lab);
        let agreement = Agreement::of(&differing.keys().cloned().collect(), &scan.told);
        let (server, version, seed) = (self.lab.server(), self.lab.version(), self.seed);
        let what = format!("{server:?} {version} seed {seed} {when}");
        let transactions = self.transactions + self.rounds.transactions;
        let (rows, differ) = (scan.rows, differing.len());
        println!("{what}: {transactions} transactions, {rows} rows, {differ} differ; {agreement}");
        let shown = |fault: String| {
            let is_about = |((table, key), _): &(&Place, &String)| {
                fault.starts_with(&format!("{table} {key} "))
            };
            let values = differing.iter().find(is_about).map(|(_, values)| format!(" ({values})"));
            format!("{what}: {fault}{}", values.unwrap_or_default())
        };
        let faults = agreement.faults().into_iter().chain(known::faults(&scan.told));
        self.faults.extend(faults.map(shown));
        scan
    }
}

/// The rows that differ, by `SELECT` on both, with what each has.
fn rows_that_differ(lab: &Lab, tables: &[Table]) -> BTreeMap<Place, String> {
    let [a, b] = rounds::rows(lab, tables);
    let differing = difference(&a, &b);
    known::check_rows(differing.keys());
    differing
}

/// What a scan of both masters' logs printed.
struct Scan {
    ndjson: String,
    told: BTreeMap<String, Told>,
    /// Rows in originals.
    rows: u64,
}

impl Scan {
    fn of(lab: &Lab) -> Scan {
        let config: PathBuf = lab.dir().join("scan.toml");
        std::fs::write(&config, CONFIG).expect("a write");
        let scan = |format: &str| {
            let mut scan = Command::new(env!("CARGO_BIN_EXE_twinlog"));
            scan.args(["scan", "--format", format, "--config"]).arg(&config);
            for node in ["a", "b"] {
                scan.arg(format!("{node}={}", lab.binlog_dir(node).display()));
            }
            let output = scan.output().expect("twinlog runs");
            let stderr = String::from_utf8_lossy(&output.stderr);
            // 3 is an input that could not be read whole.
            assert!(matches!(output.status.code(), Some(0 | 1)), "{stderr}");
            String::from_utf8(output.stdout).expect("UTF-8")
        };
        let ndjson = scan("ndjson");
        let told = told(&ndjson);
        assert_eq!(told.len(), ndjson.lines().count(), "an id came twice");
        let json: serde_json::Value = serde_json::from_str(&scan("json")).expect("JSON");
        let rows = json["summary"]["rows_seen"].as_u64().expect("a number of rows");
        Scan { ndjson, told, rows }
    }

    /// The same files must give the same lines.
    fn differs_from(&self, other: &Scan) -> Option<String> {
        let lines = self.ndjson.lines().zip(other.ndjson.lines());
        let line = lines.clone().position(|(line, other)| line != other).unwrap_or(lines.count());
        let is_same = self.ndjson == other.ndjson;
        (!is_same).then(|| format!("a second scan differs from the first in line {}", line + 1))
    }
}
