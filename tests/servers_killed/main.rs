//! `twinlog watch` beside two real masters under load, killed at random moments, and started again
//! each time: what the store holds in the end is what a scan of the same logs finds, and nothing
//! was told twice.
//!
//! `TWINLOG_KILLS=200` kills as often on each server; `TWINLOG_SEED=7` is another schedule.

#![expect(clippy::disallowed_methods, reason = "a test's clock and settings")]
#![expect(unreachable_pub, reason = "the modules of one test")]
#![allow(dead_code, reason = "what the random test alone uses of the modules of both")]

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

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use model::tables;
use run::{CONFIG, Run};
use serde_json::Value;
use support::lab::{Lab, LabOptions, Server};
use support::random::Random;

/// How often it is killed, where nobody says otherwise.
const KILLS: u64 = 12;
/// A run of the watch ends at a random moment within this; a start takes about 150 ms.
const LIFE_MAX: Duration = Duration::from_millis(1_500);

#[test]
fn mariadb_kills_leave_no_trace() {
    kill_often(Lab::pair(Server::MariaDb));
}

#[test]
fn mysql_kills_leave_no_trace() {
    kill_often(Lab::pair(Server::MySql));
}

#[test]
fn kills_without_gtids_leave_no_trace() {
    kill_often(Lab::start(Server::MySql, LabOptions::without_gtids()));
}

fn kill_often(lab: Lab) {
    let number = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().expect(name));
    let kills = number("TWINLOG_KILLS").unwrap_or(KILLS);
    let seed = number("TWINLOG_SEED").unwrap_or(1);
    let tables = tables();
    let server = lab.server();
    let mut killed = Killed::new(&lab, seed);
    let mut run = Run::new(lab, &tables, seed);
    let enough = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            (0..kills).for_each(|_| killed.live_and_die());
            enough.store(true, Ordering::Relaxed);
        });
        let mut round = 0;
        while !enough.load(Ordering::Relaxed) {
            run.round(round);
            round += 1;
        }
    });
    fs::write(run.lab.dir().join("twinlog.toml"), CONFIG).expect("a write");
    let [a, b] = ["a", "b"].map(|node| run.lab.binlogs(node));
    let scanned = by_id(&run.scan_lines(&a, &b));
    let last = killed.start();
    let (differ, kept) = killed.compare(&scanned);
    drop(last);
    println!(
        "{server:?} {} seed {seed}: {kills} kills, {} transactions, {} rows; the scan finds {}, the \
         store holds {}, {} of them differ; {} lines told, {} of them twice",
        run.lab.version(),
        run.transactions,
        run.rows,
        scanned.len(),
        kept.len(),
        differ.len(),
        killed.told().len(),
        killed.told_twice().len(),
    );
    assert!(differ.is_empty(), "{differ:#?}");
    assert!(killed.told_twice().is_empty(), "{:#?}", killed.told_twice());
    assert!(scanned.len() > 20, "too little to find");
}

/// A watch that dies again and again.
struct Killed {
    dir: PathBuf,
    random: Random,
    lives: usize,
}

/// A life of it; ended with the test.
struct Life(Child);

impl Drop for Life {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Killed {
    fn new(lab: &Lab, seed: u64) -> Killed {
        let mut config = CONFIG.to_owned();
        for node in ["a", "b"] {
            let socket = lab.node(node).socket.display().to_string();
            let head = format!("[nodes.{node}]\n");
            let url = format!("{head}url = \"mysql://root@localhost?socket={socket}\"\n");
            config = config.replace(&head, &url);
        }
        let dir = lab.dir().to_owned();
        let store = dir.join("twinlog.db").display().to_string();
        config += "[watch]\nlisten = \"127.0.0.1:0\"\nstart = \"earliest\"\n";
        config += &format!("store = {store:?}\n");
        fs::write(dir.join("watch.toml"), config).expect("a write");
        Killed { dir, random: Random(seed ^ 0x5eed), lives: 0 }
    }

    fn start(&mut self) -> Life {
        self.lives += 1;
        let file = |name: String| File::create(self.dir.join(name)).expect("a file");
        let child = Command::new(env!("CARGO_BIN_EXE_twinlog"))
            .args(["watch", "--config"])
            .arg(self.dir.join("watch.toml"))
            .stdout(file(format!("told-{}", self.lives)))
            .stderr(file(format!("log-{}", self.lives)))
            .spawn()
            .expect("twinlog runs");
        Life(child)
    }

    /// Starts, and dies at a random moment, also while it still starts.
    fn live_and_die(&mut self) {
        let mut life = self.start();
        // The moment of the kill, by chance: nothing is awaited here.
        std::thread::sleep(LIFE_MAX.mul_f64(self.random.below(1000) as f64 / 1000.0));
        let ended = life.0.try_wait().expect("a child");
        assert!(ended.is_none_or(|_| self.server_was_down()), "{}", self.log());
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.join(format!("log-{}", self.lives))).unwrap_or_default()
    }

    /// The schedule kills servers, too; a watch that starts then says so.
    fn server_was_down(&self) -> bool {
        self.log().contains("is the server up")
    }

    /// Waits until the store holds what the scan found; gives what never came to be the same, and
    /// what the store holds.
    fn compare(&self, scanned: &BTreeMap<String, Value>) -> (Vec<String>, BTreeMap<String, Value>) {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let kept = self.kept();
            let differ = differences(scanned, &kept);
            if differ.is_empty() || Instant::now() > deadline {
                return (differ, kept);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn kept(&self) -> BTreeMap<String, Value> {
        let list = Command::new(env!("CARGO_BIN_EXE_twinlog"))
            .args(["findings", "list", "--state", "all", "--format", "ndjson", "--store"])
            .arg(self.dir.join("twinlog.db"))
            .output()
            .expect("twinlog runs");
        by_id(&String::from_utf8(list.stdout).expect("UTF-8"))
    }

    /// All whole lines of all lives; a kill may cut the last one of each.
    fn told(&self) -> Vec<String> {
        let told = (1..=self.lives).flat_map(|life| {
            let text = fs::read_to_string(self.dir.join(format!("told-{life}"))).expect("a file");
            let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
            whole.map(str::to_owned).collect::<Vec<_>>()
        });
        told.collect()
    }

    /// What was told more than once of one finding: the same state, certainty and outcome.
    fn told_twice(&self) -> Vec<String> {
        let mut seen: BTreeMap<String, u64> = BTreeMap::new();
        for line in self.told() {
            let of: Value = serde_json::from_str(&line).expect("JSON");
            let what = format!("{} {}", of["id"], look(&of));
            *seen.entry(what).or_default() += 1;
        }
        seen.into_iter().filter(|(_, times)| *times > 1).map(|(what, _)| what).collect()
    }
}

/// The findings of NDJSON by their ids, each as its last line has it.
fn by_id(ndjson: &str) -> BTreeMap<String, Value> {
    let finding = |line: &str| {
        let finding: Value = serde_json::from_str(line).expect("one JSON object a line");
        (finding["id"].as_str().expect("an id").to_owned(), finding)
    };
    ndjson.lines().map(finding).collect()
}

/// What of a finding may change.
fn look(finding: &Value) -> String {
    format!("{} {} {}", finding["state"], finding["certainty"], finding["outcome"])
}

fn differences(scanned: &BTreeMap<String, Value>, kept: &BTreeMap<String, Value>) -> Vec<String> {
    let fixed = |of: &Value| {
        let gtids: Vec<_> = of["transactions"].as_array().into_iter().flatten().collect();
        let gtids: Vec<_> = gtids.iter().map(|of| of["gtid"].to_string()).collect();
        format!(
            "{} {} {} {} {} {gtids:?} {}",
            of["kind"],
            of["severity"],
            of["table"],
            of["key"],
            of["conflict"],
            look(of)
        )
    };
    let mut differ = Vec::new();
    for (id, of) in scanned {
        match kept.get(id) {
            None => differ.push(format!("only in the scan: {id} {}", fixed(of))),
            Some(is) if fixed(is) != fixed(of) => {
                differ.push(format!("{id}: the scan says {}, the store {}", fixed(of), fixed(is)));
            }
            Some(_) => {}
        }
    }
    let more = kept.iter().filter(|(id, _)| !scanned.contains_key(*id));
    differ.extend(more.map(|(id, of)| format!("only in the store: {id} {}", fixed(of))));
    differ
}
