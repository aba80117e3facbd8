//! Random schedules on real masters: every conflict is found, and nothing else.
//!
//! In each round the masters are cut off from each other, both commit random transactions over few
//! keys, and then replicate again with appliers that pass over what does not fit. So the truth is
//! known by construction: every pair of a round that touched one key is a conflict, and no other
//! pair is. What a statement touched comes from a model of each master's rows, not from a binlog;
//! the model is compared with the tables after every round.
//!
//! One seed in three compresses what one master logs, one what both do.
//!
//! `TWINLOG_SEED=7` runs one seed; `TWINLOG_TEST_SECONDS=600` runs more seeds until the time is
//! over.

#![expect(clippy::disallowed_methods, reason = "a test's clock and settings")]
#![expect(unreachable_pub, reason = "the modules of one test")]

mod model;
mod old;
mod run;
#[path = "../support/mod.rs"]
mod support;
mod truth;
mod workload;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use model::tables;
use run::{CONFIG, Run};
use support::lab::{Lab, LabOptions, Server};
use support::old_logs::Old;
use support::watcher::Watcher;
use truth::{Fact, Found, findings_of};

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

#[test]
fn mysql_conflicts_are_found_without_gtids() {
    let tables = tables();
    let lab = Lab::start(Server::MySql, LabOptions::without_gtids());
    let watcher = Watcher::start(&lab, CONFIG);
    let mut run = Run::new(lab, &tables, 4);
    (0..ROUNDS).for_each(|round| run.round(round));
    run.hand_over_slowly();
    run.check_old(Old::V57);
    run.check_old(Old::V56);
    run.check(4, watcher);
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
    let lab = Lab::start(server, options(server, seed));
    let watcher = Watcher::start(&lab, CONFIG);
    let mut run = Run::new(lab, &tables, seed);
    for round in 0..ROUNDS {
        run.round(round);
    }
    run.check(seed, watcher);
}

/// Of three seeds one logs plainly, one compresses a's log, and one both logs.
fn options(server: Server, seed: u64) -> LabOptions {
    let compressing: &[&str] = match seed % 3 {
        1 => &[],
        2 => &["a"],
        _ => &["a", "b"],
    };
    let options: &[&str] = match server {
        Server::MariaDb => &["--log-bin-compress=ON", "--log-bin-compress-min-len=10"],
        Server::MySql => &["--binlog-transaction-compression=ON"],
    };
    let of = |node: &&str| {
        let node = (*node).to_owned();
        options.iter().map(move |option| (node.clone(), (*option).to_owned()))
    };
    let node_options = compressing.iter().flat_map(of).collect();
    LabOptions { node_options, ..LabOptions::default() }
}

impl Run<'_> {
    /// Scans the logs of both and compares, with the truth and with the watch.
    fn check(self, seed: u64, watcher: Watcher) {
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
        // A copy that changed nothing before the log begins is in no log, but for those of MySQL
        // with GTIDs: `possible`.
        let leaves_holes = self.lab.server() == Server::MariaDb || !self.lab.has_gtids();
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
