//! What is told to end has ended within 5 seconds, whatever it waits for.

use crate::{
    daemon::{Daemon, Output, config, get, send_signal, until},
    support::lab::{Lab, Server},
};
use rusqlite::Connection;
use std::{fs, path::Path, time::Duration};

/// A conflict on this row: both sides insert it while neither sees the other.
fn conflict(lab: &Lab, id: u64) {
    for node in ["a", "b"] {
        lab.sql(node, &format!("INSERT INTO t.x VALUES ({id}, '{node}')"));
    }
}

fn lab() -> Lab {
    let lab = Lab::pair(Server::MariaDb);
    lab.sql("a", "CREATE DATABASE t; CREATE TABLE t.x (id INT PRIMARY KEY, v VARCHAR(99))");
    lab.settle();
    lab.stop_replication();
    lab
}

#[test]
fn it_ends_in_time_whatever_it_waits_for() {
    let lab = lab();
    let config = config(&lab, "");
    conflict(&lab, 1);
    let mut daemon = Daemon::start(&lab, &config);
    daemon.until_conflict(1);
    daemon.end("idle");

    // A store that somebody else has locked: commits fail, the findings wait.
    let mut daemon = Daemon::start(&lab, &config);
    daemon.until_ready();
    let other = Connection::open(lab.dir().join("twinlog.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    conflict(&lab, 2);
    until("commits fail", || daemon.log().contains("tried every").then_some(()));
    daemon.end("the store is locked");
    drop(other);

    // In the middle of a transaction that takes a while to read.
    let mut daemon = Daemon::start(&lab, &config);
    daemon.until_ready();
    lab.sql("a", "INSERT INTO t.x SELECT seq, repeat('x', 90) FROM t.seq_10001_to_200000");
    daemon.end("a long transaction comes");

    // Much in memory, which is written at the end: nothing of it is shown by the other.
    let mut daemon = Daemon::start(&lab, &config);
    daemon.until_ready();
    lab.sql("b", "INSERT INTO t.x SELECT seq, repeat('y', 90) FROM t.seq_1000001_to_1400000");
    until("it holds all keys", || {
        (daemon.metric("twinlog_pending_keys") >= 400_000.0).then_some(())
    });
    daemon.end("hundreds of thousands of keys are open");

    // A server that does not answer: while it is followed, and at the start.
    let mut daemon = Daemon::start(&lab, &config);
    daemon.until_ready();
    send_signal(lab.node("a").pid, "STOP");
    daemon.end("a server hangs");
    let mut daemon = Daemon::start(&lab, &config);
    until("it has the store", || {
        let lock = fs::read_to_string(lab.dir().join("twinlog.db.lock")).unwrap();
        (lock.trim() == daemon.pid().to_string()).then_some(())
    });
    daemon.end("a server hangs at the start");
    send_signal(lab.node("a").pid, "CONT");

    ends_where_nobody_reads(&lab, &config);
}

/// Nobody reads the findings, so that the judge hangs in a write: it cannot end well, and ends.
fn ends_where_nobody_reads(lab: &Lab, config: &Path) {
    for node in ["a", "b"] {
        lab.sql(node, &format!("INSERT INTO t.x SELECT seq, '{node}' FROM t.seq_1000_to_1500"));
    }
    let hung = || {
        // What is in the store is not told again.
        for file in ["twinlog.db", "twinlog.db-wal", "twinlog.db-shm"] {
            let _ = fs::remove_file(lab.dir().join(file));
        }
        let daemon = Daemon::with(lab, config, &Output::Nobody, |_| {});
        let told = "twinlog_findings_total{kind=\"write_conflict\",severity=\"critical\"}";
        until("many findings are told", || {
            let (_, metrics) = get(daemon.address(), "/metrics")?;
            let line = metrics.lines().find_map(|line| line.strip_prefix(told))?;
            (line.trim().parse::<f64>().ok()? > 20.0).then_some(())
        });
        daemon
    };
    let mut daemon = hung();
    daemon.signal("TERM");
    let (status, took) = daemon.wait();
    assert_eq!(status.code(), Some(3), "{}", daemon.log());
    assert!((3..5).contains(&took.as_secs()), "{took:?}");
    assert!(daemon.log().contains("not ended in time: ends at once"), "{}", daemon.log());

    let mut daemon = hung();
    daemon.signal("TERM");
    // Signals that come at once are one.
    std::thread::sleep(Duration::from_millis(200));
    daemon.signal("TERM");
    let (status, took) = daemon.wait();
    assert_eq!(status.code(), Some(3), "{}", daemon.log());
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert!(daemon.log().contains("told to end a second time"), "{}", daemon.log());
}
