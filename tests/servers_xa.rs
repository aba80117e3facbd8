//! XA transactions on real masters: prepared in one place of the log, committed in another.

mod support;

use std::process::Command;

use serde_json::Value;
use support::lab::{Lab, Server};

/// What a scan of both logs tells, but for what is only worth knowing.
fn scan(lab: &Lab) -> Vec<Value> {
    let mut scan = Command::new(env!("CARGO_BIN_EXE_twinlog"));
    scan.args(["scan", "--quiet", "--format", "ndjson"]);
    for node in lab.nodes() {
        scan.arg(format!("{}={}", node.name, lab.binlog_dir(&node.name).display()));
    }
    let output = scan.output().expect("twinlog runs");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() <= Some(1), "{stderr}");
    let stdout = String::from_utf8(output.stdout).expect("UTF-8");
    let found = stdout.lines().map(|line| serde_json::from_str(line).expect("JSON"));
    found.filter(|finding: &Value| finding["severity"] != "info").collect()
}

/// Kind, key, outcome and state of each finding.
fn told(found: &[Value]) -> Vec<String> {
    let mut told: Vec<String> = found
        .iter()
        .map(|of| {
            let text = |name: &str| of[name].as_str().unwrap_or("-");
            let (kind, certainty, outcome) = (text("kind"), text("certainty"), text("outcome"));
            format!("{kind} {} {certainty} {outcome} {}", of["key"]["id"], text("state"))
        })
        .collect();
    told.sort();
    told
}

#[test]
fn mariadb_rows_count_where_they_are_committed() {
    rows_count_where_they_are_committed(Server::MariaDb);
}

#[test]
fn mysql_rows_count_where_they_are_committed() {
    rows_count_where_they_are_committed(Server::MySql);
}

fn rows_count_where_they_are_committed(server: Server) {
    let lab = Lab::pair(server);
    lab.idempotent();
    lab.sql(
        "a",
        "CREATE DATABASE shop; CREATE TABLE shop.t (id INT PRIMARY KEY, v INT) ENGINE=InnoDB;
        INSERT INTO shop.t VALUES (1, 0), (2, 0), (3, 0), (4, 0), (5, 0)",
    );
    lab.settle();

    // Nobody else writes these rows: nothing to tell, whatever stands in between.
    lab.sql(
        "a",
        "XA START 'clean', 'branch', 7; UPDATE shop.t SET v = 1 WHERE id = 5; XA END 'clean', \
         'branch', 7; XA PREPARE 'clean', 'branch', 7",
    );
    lab.sql("a", "UPDATE shop.t SET v = 1 WHERE id = 4");
    lab.sql("a", "XA COMMIT 'clean', 'branch', 7");
    lab.settle();
    lab.sql("b", "UPDATE shop.t SET v = 2 WHERE id = 5");
    lab.settle();
    assert_eq!(told(&scan(&lab)), [""; 0]);

    lab.stop_replication();
    let xa = |name: &str, id: u32, end: &str| {
        format!(
            "XA START '{name}'; UPDATE shop.t SET v = 10 WHERE id = {id}; XA END '{name}'; {end}"
        )
    };
    // One is committed by another session, one is rolled back, one is committed in one phase.
    lab.sql("a", &xa("apart", 1, "XA PREPARE 'apart'"));
    lab.sql("a", &xa("undone", 2, "XA PREPARE 'undone'"));
    lab.sql("a", "UPDATE shop.t SET v = 11 WHERE id = 4");
    lab.sql("a", "XA ROLLBACK 'undone'; XA COMMIT 'apart'");
    lab.sql("a", &xa("whole", 3, "XA COMMIT 'whole' ONE PHASE"));
    lab.sql("b", "UPDATE shop.t SET v = 20 WHERE id IN (1, 2, 3)");
    lab.start_replication();
    lab.settle();

    let found = scan(&lab);
    assert_eq!(
        told(&found),
        [
            "divergence 1 exact - open",
            "divergence 3 exact - open",
            "write_conflict 1 exact diverged open",
            "write_conflict 3 exact diverged open",
        ]
    );
    let select = "SELECT id, v FROM shop.t ORDER BY id";
    let rows = ["a", "b"].map(|node| lab.sql(node, select));
    let differing: Vec<&str> = rows[0]
        .lines()
        .zip(rows[1].lines())
        .filter(|(a, b)| a != b)
        .map(|(a, _)| a.split('\t').next().unwrap_or_default())
        .collect();
    assert_eq!(differing, ["1", "3"], "{rows:?}");
}
