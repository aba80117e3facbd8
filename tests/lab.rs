//! The lab itself: masters that replicate both ways, stop where they must, and leave nothing
//! behind.

mod support;

use std::path::Path;

use support::lab::{Lab, LabOptions, Server};

const TABLE: &str = "CREATE DATABASE shop;
    CREATE TABLE shop.item
        (id INT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(20) CHARACTER SET utf8mb4);";
const ROWS: &str = "SELECT * FROM shop.item ORDER BY id";

#[test]
fn mariadb_replicates_both_ways() {
    replicates_both_ways(Server::MariaDb);
}

#[test]
fn mysql_replicates_both_ways() {
    replicates_both_ways(Server::MySql);
}

fn replicates_both_ways(server: Server) {
    let lab = Lab::pair(server);
    lab.sql("a", TABLE);
    lab.settle();
    lab.sql("a", "INSERT INTO shop.item (name) VALUES ('é from a'), ('a')");
    lab.sql("b", "INSERT INTO shop.item (name) VALUES ('from b'), ('b')");
    lab.settle();
    // Which of two sessions inserts first is open; each node takes its own half of the ids.
    let rows = lab.sql("a", ROWS);
    assert_eq!(rows, lab.sql("b", ROWS));
    assert_eq!(rows.lines().count(), 4, "{rows}");
    assert!(rows.contains("\té from a\n"), "{rows}");

    let pids: Vec<u32> = lab.nodes().iter().map(|node| node.pid).collect();
    assert!(pids.iter().all(|pid| is_server(*pid)));
    let dir = lab.dir().to_owned();
    drop(lab);
    assert!(!pids.iter().any(|pid| is_server(*pid)), "a server outlived its lab");
    assert!(!dir.exists());
}

#[test]
fn mariadb_stops_at_a_clash_and_goes_on_when_idempotent() {
    stops_at_a_clash_and_goes_on_when_idempotent(Server::MariaDb);
}

#[test]
fn mysql_stops_at_a_clash_and_goes_on_when_idempotent() {
    stops_at_a_clash_and_goes_on_when_idempotent(Server::MySql);
}

fn stops_at_a_clash_and_goes_on_when_idempotent(server: Server) {
    let mut lab = Lab::pair(server);
    lab.sql("a", TABLE);
    lab.settle();
    lab.stop_replication();
    lab.sql("a", "INSERT INTO shop.item VALUES (7, 'a')");
    lab.sql("b", "INSERT INTO shop.item VALUES (7, 'b')");
    lab.start_replication();
    let message = lab.try_settle().expect_err("both nodes have row 7");
    assert!(message.contains("error 1062"), "{message}");

    lab.idempotent();
    lab.start_replication();
    lab.settle();
    assert_eq!((lab.sql("a", ROWS), lab.sql("b", ROWS)), ("7\tb\n".into(), "7\ta\n".into()));

    lab.kill();
    lab.restart();
    lab.sql("b", "DELETE FROM shop.item");
    lab.settle();
    assert_eq!(lab.sql("a", ROWS), "");
}

#[test]
fn three_nodes_take_their_own_options_and_go_round() {
    let options = LabOptions {
        nodes: 3,
        options: vec!["--binlog-row-image=MINIMAL".into()],
        node_options: vec![("b".into(), "--binlog-row-image=NOBLOB".into())],
        ..LabOptions::default()
    };
    let lab = Lab::start(Server::MariaDb, options);
    let image = |node| lab.sql(node, "SELECT @@GLOBAL.binlog_row_image");
    assert_eq!(
        (image("a"), image("b"), image("c")),
        ("MINIMAL\n".into(), "NOBLOB\n".into(), "MINIMAL\n".into())
    );
    lab.sql("b", TABLE);
    lab.sql("b", "INSERT INTO shop.item VALUES (1, 'b')");
    lab.settle();
    assert_eq!(lab.sql("a", ROWS), "1\tb\n");
    assert!(lab.binlog_dir("a").join("a-bin.000001").exists());
    assert!(lab.try_sql("c", "SELECT nonsense").unwrap_err().contains("1054"));
}

/// Whether a process runs that was not only left to be waited for: that one has no command line.
fn is_server(pid: u32) -> bool {
    std::fs::read(Path::new("/proc").join(pid.to_string()).join("cmdline"))
        .is_ok_and(|line| !line.is_empty())
}
