//! Order without copies, on real masters: servers that do not log what they apply are asked, and
//! every conflict is found all the same, and nothing else.
//!
//! The schedule is that of `servers_random`: in each round the masters are cut off from each other,
//! both commit, then replicate again. Between the steps the servers have answered a few times, so
//! nothing is left to `possible`.
//!
//! `TWINLOG_SEED=7` runs one seed.

#![expect(clippy::disallowed_methods, reason = "a test's settings")]
#![expect(unreachable_pub, reason = "the modules of one test")]
#![allow(dead_code, reason = "modules of another test, of which this one uses parts")]

#[path = "../servers_random/model.rs"]
mod model;
#[path = "../servers_random/run.rs"]
mod run;
#[path = "../support/mod.rs"]
mod support;
#[path = "../servers_random/truth.rs"]
mod truth;
#[path = "../servers_random/workload.rs"]
mod workload;

use std::collections::BTreeSet;

use model::tables;
use run::{CONFIG, Run};
use support::lab::{Lab, LabOptions, Server};
use support::watcher::Watcher;
use truth::{Fact, findings_of};

const ROUNDS: usize = 6;

#[test]
fn mariadb_without_copies_conflicts_are_found_and_nothing_else() {
    run_seeds(Server::MariaDb);
}

#[test]
fn mysql_without_copies_conflicts_are_found_and_nothing_else() {
    run_seeds(Server::MySql);
}

fn run_seeds(server: Server) {
    let seed = std::env::var("TWINLOG_SEED").ok().map(|text| text.parse().expect("a number"));
    match seed {
        Some(seed) => run_seed(server, seed),
        // One node, then both.
        None => (1..=2).for_each(|seed| run_seed(server, seed)),
    }
}

fn run_seed(server: Server, seed: u64) {
    println!("{server:?} TWINLOG_SEED={seed}");
    let silent: &[&str] = if seed % 2 == 1 { &["b"] } else { &["a", "b"] };
    let option = match server {
        Server::MariaDb => "--log-slave-updates=OFF",
        Server::MySql => "--log-replica-updates=OFF",
    };
    let node_options = silent.iter().map(|node| ((*node).to_owned(), option.to_owned())).collect();
    let lab = Lab::start(server, LabOptions { node_options, ..LabOptions::default() });
    let mut watcher = Watcher::start(&lab, CONFIG);
    let tables = tables();
    let mut run = Run::new(lab, &tables, seed);
    for round in 0..ROUNDS {
        run.cut(|| wait_for_answers(&mut watcher, silent));
        run.join(round);
        wait_for_answers(&mut watcher, silent);
    }
    let expected = run.expected.clone();
    let conflicts = expected.iter().filter(|fact| fact.kind == "write_conflict").count();
    watcher.wait_until_same(|told| {
        let found = findings_of(told);
        let is_known =
            |kind: &str| matches!(kind, "write_conflict" | "table_ownership" | "row_ownership");
        let alarms: Vec<_> = found.values().filter(|of| is_known(&of.fact.kind)).collect();
        let facts: BTreeSet<Fact> = alarms.iter().map(|of| of.fact.clone()).collect();
        let missed: Vec<_> = expected.difference(&facts).collect();
        let more: Vec<_> = facts.difference(&expected).collect();
        let possible: Vec<_> = alarms.iter().filter(|of| of.certainty != "exact").collect();
        let is_right = missed.is_empty() && more.is_empty() && possible.is_empty();
        (!is_right).then(|| format!("missed {missed:#?}, false {more:#?}, possible {possible:#?}"))
    });
    println!(
        "{server:?} {} seed {seed}, {silent:?} without copies: {} transactions, {} rows, \
         {conflicts} conflicts, {} ownership violations, missed 0, false 0, possible 0",
        run.lab.version(),
        run.transactions,
        run.rows,
        expected.len() - conflicts,
    );
}

/// Waits until what happened before is between two answers of each of these servers, with one to
/// spare on either side.
fn wait_for_answers(watcher: &mut Watcher, nodes: &[&str]) {
    for node in nodes {
        let count = |watcher: &Watcher| {
            watcher.metric(&format!("twinlog_applied_answers_total{{stream=\"{node}\"}}"))
        };
        // What is counted next may have been asked before; what comes after that was not.
        for more in [1.0, 5.0] {
            let before = count(watcher).unwrap_or(0.0);
            watcher.wait_for("answers", |watcher| {
                count(watcher).is_some_and(|now| now >= before + more)
            });
        }
    }
}
