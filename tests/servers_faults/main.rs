//! What happens to a watch when servers, networks and stores fail: nothing is lost and nothing is
//! told twice, or a blind spot names what is missing.
//!
//! Each pair of masters walks through several faults, with two conflicts in each. At the end the
//! watch has told what a scan of the same logs tells.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::disallowed_methods, reason = "a test that waits has a deadline")]

mod bench;
mod clocks;
mod huge;
mod late;
#[path = "../support/mod.rs"]
mod support;

use bench::{Bench, DEADLINE, came_late, states};
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};
use support::{
    lab::{Lab, LabOptions, Server},
    proxy::Proxy,
};

#[test]
fn mariadb_faults_lose_nothing() {
    faults_lose_nothing(Server::MariaDb);
}

#[test]
fn mysql_faults_lose_nothing() {
    faults_lose_nothing(Server::MySql);
}

fn faults_lose_nothing(server: Server) {
    let mut bench = Bench::start(server);
    let keys = bench.clash(|_| ());
    bench.until_told(keys);

    // A network that is cut, and comes back.
    let keys = bench.clash(|bench| {
        bench.proxies.iter().for_each(Proxy::cut);
        bench.until("cut", |bench| bench.metric("stream_connected{stream=\"a\"}") == 0.0);
    });
    assert!(keys.iter().all(|key| !bench.conflicts().contains(&u64::from(*key))));
    bench.proxies.iter().for_each(Proxy::pass);
    bench.until_told(keys);

    half_open(&mut bench);
    slow_link(&mut bench);
    rotated_password(&mut bench);
    locked_store(&mut bench);
    full_disk(&mut bench);
    crash(&mut bench);
    bench.equals_scan();
    assert_eq!(bench.gaps("a").len() + bench.gaps("b").len(), 0);
    assert!(!bench.found().values().any(came_late), "no clock of a session makes a copy late");
}

#[test]
fn mariadb_time_and_size_lose_nothing() {
    time_and_size_lose_nothing(Server::MariaDb);
}

#[test]
fn mysql_time_and_size_lose_nothing() {
    time_and_size_lose_nothing(Server::MySql);
}

fn time_and_size_lose_nothing(server: Server) {
    let clocks = LabOptions { clocks: true, ..LabOptions::default() };
    let mut bench = Bench::with(Lab::start(server, clocks), "");
    clocks::jump(&mut bench);
    huge::transactions_are_cut(&mut bench);
    drop(bench);
    let mut bench = Bench::with(Lab::pair(server), "missing_after = \"2s\"\n");
    late::replication_stopped(&mut bench);
}

/// Nothing comes any more, and nobody says so.
fn half_open(bench: &mut Bench) {
    let keys = bench.clash(|bench| bench.proxies[0].stall());
    bench.until("silence is noticed", |bench| bench.drops("a", "timeout") >= 1.0);
    assert!(keys.iter().all(|key| !bench.conflicts().contains(&u64::from(*key))));
    bench.proxies[0].pass();
    bench.until_told(keys);
}

/// The stream falls behind, and the delay says so.
fn slow_link(bench: &mut Bench) {
    let before = bench.drops("a", "timeout");
    bench.proxies[0].throttle(100_000);
    let keys = bench.clash(|bench| {
        for id in 0..8 {
            let insert = format!("INSERT INTO t.big VALUES ({id}, REPEAT('x', 100000))");
            bench.lab.sql("a", &insert);
        }
        bench.lab.sql("a", "INSERT INTO t.mark_a VALUES (NULL)");
    });
    bench.until_told(keys);
    let delay = bench.metric("stream_delay_seconds{stream=\"a\"}");
    assert!(delay > 3.0, "{delay}");
    assert_eq!(bench.drops("a", "timeout"), before, "slow is not silent");
    bench.proxies[0].pass();
}

/// The account's password changes on the server, and back.
fn rotated_password(bench: &mut Bench) {
    let set = |bench: &Bench, password: &str| {
        let alter = format!("ALTER USER twinlog@'127.0.0.1' IDENTIFIED BY '{password}'");
        bench.lab.sql("b", &format!("SET sql_log_bin = 0; {alter}"));
    };
    let keys = bench.clash(|bench| set(bench, "another"));
    // What is connected goes on.
    bench.until_told(keys);
    let keys = bench.clash(|bench| {
        bench.kill_dumps("b");
        bench.until("it is refused", |bench| bench.drops("b", "auth") >= 1.0);
    });
    set(bench, Lab::PASSWORD);
    bench.until_told(keys);
}

/// Somebody else holds the store: findings wait, and are told when it is free.
fn locked_store(bench: &mut Bench) {
    let holder = rusqlite::Connection::open(bench.path("twinlog.db")).unwrap();
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();
    let keys = bench.clash(|_| ());
    bench.until("commits fail", |bench| bench.metric("store_errors_total") >= 1.0);
    assert!(keys.iter().all(|key| !bench.conflicts().contains(&u64::from(*key))));
    holder.execute_batch("ROLLBACK").unwrap();
    drop(holder);
    bench.until_told(keys);
}

/// No file can grow: findings wait, and are told when there is room.
fn full_disk(bench: &mut Bench) {
    let limit = |bench: &Bench, bytes: Option<u64>| {
        let pid = Pid::from_child(&bench.watch);
        prlimit(Some(pid), Resource::Fsize, Rlimit { current: bytes, maximum: None }).unwrap();
    };
    let failed = bench.metric("store_errors_total");
    limit(bench, Some(1));
    let keys = bench.clash(|_| ());
    bench.until("commits fail", |bench| bench.metric("store_errors_total") > failed);
    assert!(keys.iter().all(|key| !bench.conflicts().contains(&u64::from(*key))));
    limit(bench, None);
    bench.until_told(keys);
    assert_eq!(bench.metric("findings_dropped_total{reason=\"store\"}"), 0.0);
    assert_eq!(bench.metric("findings_dropped_total{reason=\"output\"}"), 0.0);
}

/// All servers are killed while they write, and come back.
fn crash(bench: &mut Bench) {
    let keys = bench.clash(|bench| {
        for round in 0..20 {
            bench.lab.sql("a", &format!("INSERT INTO t.big VALUES ({}, 'y')", 100 + round));
        }
    });
    bench.lab.kill();
    bench.lab.restart();
    bench.reach();
    bench.until_told(keys);
    let keys = bench.clash(|_| ());
    bench.until_told(keys);
}

#[test]
fn mariadb_what_is_lost_is_named() {
    what_is_lost_is_named(Server::MariaDb);
}

#[test]
fn mysql_what_is_lost_is_named() {
    what_is_lost_is_named(Server::MySql);
}

fn what_is_lost_is_named(server: Server) {
    let mut bench = Bench::start(server);
    let keys = bench.clash(|_| ());
    bench.until_told(keys);
    purged(&mut bench);
    another_server(&mut bench);
    silent(&mut bench);
    if server == Server::MySql {
        another_uuid(&mut bench);
    }
    reset(&mut bench, false);
    reset(&mut bench, true);
    older_backup(&mut bench);
}

#[test]
fn without_gtids_nothing_is_lost_and_what_is_purged_is_named() {
    let lab = Lab::start(Server::MySql, LabOptions::without_gtids());
    let mut bench = Bench::with(lab, "");
    let keys = bench.clash(|_| ());
    bench.until_told(keys);
    let keys = bench.clash(|bench| bench.proxies.iter().for_each(Proxy::cut));
    bench.proxies.iter().for_each(Proxy::pass);
    bench.until_told(keys);
    crash(&mut bench);
    bench.equals_scan();
    assert_eq!(bench.gaps("a").len() + bench.gaps("b").len(), 0);
    bench.proxies[0].cut();
    bench.until("cut", |bench| bench.metric("stream_connected{stream=\"a\"}") == 0.0);
    let lost = purge(&mut bench);
    bench.proxies[0].pass();
    bench.until("a gap", |bench| bench.gaps("a").len() == 1);
    let gap = &bench.gaps("a")[0];
    assert!(gap.starts_with("the server purged what came after a-bin.0000"), "{gap}");
    let keys = bench.clash(|_| ());
    bench.until_told(keys);
    assert!(lost.keys.iter().all(|key| !bench.conflicts().contains(&u64::from(*key))));
    assert_eq!(bench.gaps("b"), [""; 0]);
}

/// Binlogs are purged before they are read: the gap names what is lost, and all after it is judged.
fn purged(bench: &mut Bench) {
    bench.proxies[0].cut();
    bench.until("cut", |bench| bench.metric("stream_connected{stream=\"a\"}") == 0.0);
    let lost = purge(bench);
    bench.proxies[0].pass();
    names_the_gap(bench, &lost, 1);
    assert!(bench.log().contains("not judged: the server purged"));
    // The same while nobody watches.
    let mut lost = None;
    bench.restart_watch(|bench| lost = Some(purge(bench)));
    names_the_gap(bench, &lost.unwrap(), 2);
    assert_eq!(bench.gaps("b"), [""; 0]);
}

/// What was written, and purged.
struct Lost {
    keys: [u32; 2],
    /// The first and the last number of a's own.
    numbers: [u64; 2],
}

/// Both masters write, and a purges it.
fn purge(bench: &mut Bench) -> Lost {
    let first = bench.lab.last_number("a") + 1;
    let keys = bench.clash(|_| ());
    let numbers = [first, bench.lab.last_number("a")];
    bench.lab.sql("a", "FLUSH BINARY LOGS");
    let newest = bench.lab.sql("a", "SHOW BINARY LOGS").lines().last().unwrap().to_owned();
    let purge = format!("PURGE BINARY LOGS TO '{}'", newest.split('\t').next().unwrap());
    // A file that is still read is left alone: until then, ask again.
    let deadline = Instant::now() + DEADLINE;
    while bench.lab.sql("a", "SHOW BINARY LOGS").lines().count() > 1 {
        assert!(Instant::now() < deadline, "the files stay");
        bench.lab.sql("a", &purge);
        std::thread::sleep(Duration::from_millis(100));
    }
    Lost { keys, numbers }
}

fn names_the_gap(bench: &mut Bench, lost: &Lost, count: usize) {
    bench.until("a gap", |bench| bench.gaps("a").len() == count);
    assert_eq!(bench.metric("gaps_total{stream=\"a\"}"), 1.0);
    let keys = bench.clash(|_| ());
    bench.until_told(keys);
    let gaps = bench.gaps("a");
    assert!(gaps.iter().any(|gap| names(bench, gap, lost.numbers)), "{:?}: {gaps:?}", lost.numbers);
    assert!(lost.keys.iter().all(|key| !bench.conflicts().contains(&u64::from(*key))));
}

/// Whether a gap's text names these numbers of a's own. A watch that was killed may have to read a
/// second again, and that is gone, too.
fn names(bench: &Bench, gap: &str, [first, last]: [u64; 2]) -> bool {
    let zero = bench.lab.gtid("a", 0);
    let source = zero.strip_suffix('0').unwrap();
    let words = gap.split([' ', ',']).find_map(|word| word.strip_prefix(source));
    let Some(words) = words else { return false };
    let (from, to) = words.split_once("..").or_else(|| words.split_once('-')).unwrap();
    let (from, to): (u64, u64) = (from.parse().unwrap(), to.parse().unwrap());
    to == last && (first.saturating_sub(3)..=first).contains(&from)
}

/// An address leads to the other master for a while: it is not followed, and that is told.
fn another_server(bench: &mut Bench) {
    bench.proxies[0].to(bench.lab.node("b").port);
    bench.proxies[0].break_once();
    bench.until("it is refused", |bench| bench.drops("a", "replaced") >= 2.0);
    let keys = bench.clash(|_| ());
    let gaps = bench.gaps("a");
    let refused = gaps.iter().filter(|gap| gap.starts_with("another server answers"));
    assert_eq!(refused.count(), 1, "told once: {gaps:?}");
    assert!(keys.iter().all(|key| !bench.conflicts().contains(&u64::from(*key))));
    bench.reach();
    bench.until_told(keys);
}

/// A master comes back with all it had and another UUID, as from a backup: it is followed.
fn another_uuid(bench: &mut Bench) {
    let gaps = bench.gaps("b");
    bench.lab.stop();
    fs::remove_file(bench.lab.node("b").datadir.join("auto.cnf")).unwrap();
    bench.lab.restart();
    bench.reach();
    bench.until("it is noted", |bench| bench.log().contains("another server_uuid"));
    let keys = bench.clash(|_| ());
    bench.until_told(keys);
    assert_eq!(bench.gaps("b"), gaps);
}

/// A master is started without logging what it applies, and then with it again.
fn silent(bench: &mut Bench) {
    let name = match bench.lab.server() {
        Server::MariaDb => "--log-slave-updates",
        Server::MySql => "--log-replica-updates",
    };
    bench.restart_with(&[&format!("{name}=OFF")]);
    bench.until("it is noted", |bench| {
        let silent = |of: &&Value| of["reason"] == "no_copies" && of["node"] == "b";
        bench.found().values().filter(silent).count() == 1
    });
    assert_eq!(bench.metric("check_ok{check=\"log_replica_updates\",stream=\"b\"}"), 0.0);
    let gaps = bench.metric("gaps_total{stream=\"b\"}");
    bench.restart_with(&[&format!("{name}=ON")]);
    bench.until("it begins anew", |bench| {
        bench.metric("gaps_total{stream=\"b\"}") > gaps
            && bench.metric("check_ok{check=\"log_replica_updates\",stream=\"b\"}") == 1.0
    });
    let keys = bench.clash(|_| ());
    bench.until_told(keys);
}

/// The logs of both masters are reset, with the same numbers again, while the watch is connected,
/// or while there is none.
fn reset(bench: &mut Bench, watch_is_down: bool) {
    bench.lab.stop_replication();
    let judged = ["a", "b"].map(|node| bench.gaps(node).len());
    let reset = |bench: &mut Bench| {
        for node in ["a", "b"] {
            match bench.lab.server() {
                Server::MariaDb => {
                    bench.lab.sql(node, "RESET MASTER; SET GLOBAL gtid_slave_pos = ''")
                }
                Server::MySql => bench.lab.sql(node, "RESET REPLICA; RESET BINARY LOGS AND GTIDS"),
            };
        }
        bench.lab.start_replication();
    };
    match watch_is_down {
        true => bench.restart_watch(reset),
        false => reset(bench),
    }
    bench.until("both begin anew", |bench| {
        let is = ["a", "b"].map(|node| bench.gaps(node).len());
        is.iter().zip(judged).all(|(is, was)| *is > was)
    });
    let before = bench.conflicts().len();
    let keys = bench.clash(|_| ());
    bench.until_told(keys);
    assert_eq!(bench.conflicts().len(), before + 2);
    // The numbers are those of the first transactions of all, and nothing is taken for them.
    let about = |of: &Value| of["key"]["id"].as_u64().is_some_and(|id| id >= u64::from(keys[0]));
    let new = |mut found: BTreeMap<String, Value>| {
        found.retain(|_, of| about(of) && !came_late(of));
        states(&found)
    };
    let scanned = new(bench.scan());
    bench.until("what a scan tells", |bench| new(bench.found()) == scanned);
    let told = bench.found();
    let loops = told.values().filter(|of| of["kind"] == "replication_loop");
    assert_eq!(loops.count(), 0, "{told:#?}");
}

/// Both masters are set back to what they were before: their last transactions never were, and
/// their numbers come again.
fn older_backup(bench: &mut Bench) {
    let dirs: Vec<(PathBuf, PathBuf)> = ["a", "b"]
        .iter()
        .flat_map(|name| {
            let node = bench.lab.node(name);
            [("data", &node.datadir), ("binlog", &node.binlog_dir)]
                .map(|(what, dir)| (dir.clone(), bench.path(&format!("old-{what}-{name}"))))
        })
        .collect();
    let copy = |from: &Path, to: &Path| {
        let mut cp = Command::new("cp");
        cp.args(["--archive", "--no-target-directory"]).args([from, to]);
        assert!(cp.status().unwrap().success());
    };
    bench.lab.stop();
    dirs.iter().for_each(|(dir, old)| copy(dir, old));
    bench.lab.restart();
    bench.reach();
    let keys = bench.clash(|_| ());
    bench.until_told(keys);
    let gaps = ["a", "b"].map(|node| bench.gaps(node).len());
    bench.lab.stop();
    for (dir, old) in &dirs {
        fs::remove_dir_all(dir).unwrap();
        copy(old, dir);
    }
    bench.lab.restart();
    bench.reach();
    bench.until("both begin anew", |bench| {
        ["a", "b"].iter().zip(gaps).all(|(node, was)| bench.gaps(node).len() > was)
    });
    let keys = bench.clash(|_| ());
    bench.until_told(keys);
    let found = bench.found();
    let loops = found.values().filter(|of| of["kind"] == "replication_loop");
    assert_eq!(loops.count(), 0, "{found:#?}");
}
