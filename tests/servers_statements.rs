//! Originals that are logged as statements, on real masters: the rows that their copies show are
//! judged in their place, by a scan and by a watch.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
};

use serde_json::Value;
use support::{
    lab::{Lab, LabOptions, Server},
    watcher::Watcher,
};

const CONFIG: &str = r#"
[nodes.a]
server_ids = [1]
[nodes.b]
server_ids = [2]
[[ownership]]
tables = ["shop.of_b"]
owner = "b"
[[ownership]]
tables = ["shop.seen"]
owner = "b"
[[ownership]]
tables = ["shop.parted"]
rows = { column = "region", values = { a = "eu", b = "us" } }
"#;

const TABLES: &str = "CREATE DATABASE shop;
    CREATE TABLE shop.t (id INT PRIMARY KEY, v INT) ENGINE=InnoDB;
    CREATE TABLE shop.u (id INT PRIMARY KEY, v INT, mail VARCHAR(9) UNIQUE) ENGINE=InnoDB;
    CREATE TABLE shop.of_b (id INT PRIMARY KEY, v INT) ENGINE=InnoDB;
    CREATE TABLE shop.seen (id INT PRIMARY KEY) ENGINE=InnoDB;
    CREATE TABLE shop.parted (id INT PRIMARY KEY, region VARCHAR(5), v INT) ENGINE=InnoDB;
    CREATE TRIGGER shop.sees AFTER UPDATE ON shop.of_b FOR EACH ROW INSERT INTO shop.seen
        VALUES (NEW.v);
    INSERT INTO shop.t VALUES (1, 0), (2, 0), (3, 0), (4, 0);
    INSERT INTO shop.u VALUES (1, 0, 'one'), (2, 0, 'two');
    INSERT INTO shop.parted VALUES (1, 'eu', 0);";

const TABLES_OF_B: &str = "SET binlog_format = ROW; INSERT INTO shop.of_b VALUES (1, 0);
    INSERT INTO shop.parted VALUES (2, 'us', 0);";

/// A pair with a's and b's own rows.
fn set_up(lab: &Lab) {
    lab.sql("a", TABLES);
    lab.settle();
    lab.sql("b", TABLES_OF_B);
    lab.settle();
}

/// Kind, table, row, and certainty or reason of what is told, but for what is only worth knowing,
/// and for divergences.
fn told(ndjson: &str) -> BTreeSet<String> {
    let found = ndjson.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    // The last line of a finding counts.
    let found: BTreeMap<String, Value> = found.map(|of| (of["id"].to_string(), of)).collect();
    let worth = found.into_values();
    let worth = worth.filter(|of| of["severity"] != "info" && of["kind"] != "divergence");
    let line = |of: Value| {
        let text = |name: &str| of[name].as_str().unwrap_or("-").to_owned();
        let key: Vec<String> = match &of["key"] {
            Value::Object(key) => key.values().map(Value::to_string).collect(),
            _ => Vec::new(),
        };
        let what = match of["kind"] == "blind_spot" {
            true => text("reason"),
            false => text("certainty"),
        };
        format!("{} {} {} {what}", text("kind"), text("table"), key.join(","))
    };
    worth.map(line).collect()
}

fn scan(lab: &Lab) -> String {
    let config = lab.dir().join("scan.toml");
    std::fs::write(&config, CONFIG).unwrap();
    let mut scan = Command::new(env!("CARGO_BIN_EXE_twinlog"));
    scan.args(["scan", "--quiet", "--format", "ndjson", "--config"]).arg(config);
    for node in lab.nodes() {
        scan.arg(format!("{}={}", node.name, lab.binlog_dir(&node.name).display()));
    }
    let output = scan.output().unwrap();
    assert!(output.status.code() <= Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Statements on a, in the log as text, and b's rows against them; nobody has seen the other's.
fn write(lab: &Lab) {
    lab.stop_replication();
    lab.sql(
        "a",
        "SET binlog_format = STATEMENT;
        UPDATE shop.t SET v = v + 1 WHERE v = 0 AND id < 3;
        DELETE FROM shop.t WHERE id = 4;
        UPDATE shop.u SET mail = 'new' WHERE id = 1;
        UPDATE shop.of_b SET v = 7 WHERE id = 1;
        UPDATE shop.parted SET v = 1 WHERE v = 0;
        UPDATE shop.u JOIN shop.of_b USING (id) SET u.v = 9 WHERE u.id = 1",
    );
    lab.sql(
        "b",
        "UPDATE shop.t SET v = 20 WHERE id = 1; UPDATE shop.t SET v = 20 WHERE id = 3;
        UPDATE shop.u SET v = 2 WHERE id = 2",
    );
    // In a log as rows, as all that b writes: nothing of these is new.
    lab.sql("a", "UPDATE shop.t SET v = 5 WHERE id = 3");
    lab.start_replication();
    lab.settle();
}

#[test]
fn mariadb_copies_show_what_statements_wrote() {
    copies_show_what_statements_wrote(Server::MariaDb);
}

#[test]
fn mysql_copies_show_what_statements_wrote() {
    copies_show_what_statements_wrote(Server::MySql);
}

fn copies_show_what_statements_wrote(server: Server) {
    let lab = Lab::pair(server);
    let watcher = Watcher::start(&lab, CONFIG);
    lab.idempotent();
    set_up(&lab);
    write(&lab);
    let found = scan(&lab);
    let told_now = told(&found);
    let expected = [
        // b had changed row 1, so a's statement found only row 2 there.
        "blind_spot shop.of_b  statement_format",
        "blind_spot shop.parted  statement_format",
        "blind_spot shop.t  statement_format",
        "blind_spot shop.u  statement_format",
        "row_ownership shop.parted 2 possible",
        "table_ownership shop.of_b 1 exact",
        "table_ownership shop.seen 7 possible",
        "write_conflict shop.t 3 exact",
    ];
    assert_eq!(told_now, expected.map(str::to_owned).into(), "{found}");
    assert!(found.contains("judged by those that a copy shows"), "{found}");
    assert!(found.contains("it was written by a statement, and the row is"), "{found}");
    watcher.wait_until_same(|watched| {
        let watched = told(watched);
        (watched != told_now).then(|| format!("{watched:?}"))
    });
}

#[test]
fn mariadb_conflicts_with_statements_are_possible() {
    conflicts_with_statements_are_possible(&Lab::pair(Server::MariaDb));
}

/// b's clock is an hour ahead: where a's log has b's transaction before its own, what b shows of
/// its own comes to the judge first.
#[test]
fn mariadb_conflicts_with_statements_are_possible_whatever_the_clocks_say() {
    let lab = Lab::start(Server::MariaDb, LabOptions { clocks: true, ..LabOptions::default() });
    std::fs::write(lab.dir().join("b/clock"), "+1h").unwrap();
    conflicts_with_statements_are_possible(&lab);
}

#[test]
fn mysql_conflicts_with_statements_are_possible() {
    conflicts_with_statements_are_possible(&Lab::pair(Server::MySql));
}

fn conflicts_with_statements_are_possible(lab: &Lab) {
    let watcher = Watcher::start(lab, CONFIG);
    lab.idempotent();
    set_up(lab);
    lab.stop_replication();
    let statements = "UPDATE shop.t SET v = v + 1 WHERE id IN (1, 2); DELETE FROM shop.t WHERE \
                      id = 3; UPDATE shop.u SET mail = 'new' WHERE id = 1";
    lab.sql("a", &format!("SET binlog_format = STATEMENT; {statements}"));
    lab.sql(
        "b",
        "UPDATE shop.t SET v = 20 WHERE id = 1; UPDATE shop.t SET v = 20 WHERE id = 3;
        UPDATE shop.u SET v = 2 WHERE id = 1",
    );
    lab.start_replication();
    lab.settle();
    let found = scan(lab);
    let told_now = told(&found);
    let expected = [
        "blind_spot shop.t  statement_format",
        "blind_spot shop.u  statement_format",
        "write_conflict shop.t 1 possible",
        "write_conflict shop.t 3 possible",
        "write_conflict shop.u 1 possible",
    ];
    assert_eq!(told_now, expected.map(str::to_owned).into(), "{found}");
    assert!(found.contains("it; one was written by a statement, and the row is"), "{found}");
    watcher.wait_until_same(|watched| {
        let watched = told(watched);
        (watched != told_now).then(|| format!("{watched:?}"))
    });
}

#[test]
fn where_copies_are_statements_too_nothing_is_seen_and_that_is_said() {
    let node_options = vec![("b".to_owned(), "--binlog-format=STATEMENT".to_owned())];
    let lab = Lab::start(Server::MariaDb, LabOptions { node_options, ..LabOptions::default() });
    let watcher = Watcher::start(&lab, CONFIG);
    set_up(&lab);
    lab.stop_replication();
    lab.sql("a", "SET binlog_format = STATEMENT; UPDATE shop.t SET v = 1 WHERE id = 1");
    lab.sql("b", "SET binlog_format = ROW; UPDATE shop.t SET v = 2 WHERE id = 1");
    lab.start_replication();
    lab.settle();
    let found = scan(&lab);
    let told_now = told(&found);
    let spots = "blind_spot shop.t  statement_format".to_owned();
    assert_eq!(told_now, [spots].into(), "{found}");
    assert!(found.contains("no conflict on them is seen"), "{found}");
    watcher.wait_until_same(|watched| {
        let watched = told(watched);
        (watched != told_now).then(|| format!("{watched:?}"))
    });
}

/// A server whose log is another one, while the copy of what it logged last is waited for: that is
/// judged first, by what its statement says, and then judging begins anew.
#[test]
fn what_comes_while_a_copy_is_waited_for_waits_in_turn() {
    let mut lab = Lab::pair(Server::MariaDb);
    let mut watcher = Watcher::start(&lab, CONFIG);
    set_up(&lab);
    lab.stop_replication();
    watcher.wait_for("it follows", |watcher| {
        let copies = "twinlog_transactions_total{origin=\"b\",stream=\"a\"}";
        watcher.metric(copies).is_some_and(|copies| copies >= 2.0)
    });
    lab.sql("a", "SET binlog_format = STATEMENT; UPDATE shop.of_b SET v = 1 WHERE id = 1");
    let end = lab.sql("a", "SHOW MASTER STATUS");
    let end: f64 = end.split('\t').nth(1).unwrap().parse().unwrap();
    watcher.wait_for("it has read that", |watcher| {
        watcher.metric("twinlog_stream_offset_bytes{stream=\"a\"}") == Some(end)
    });
    lab.sql("a", "RESET MASTER");
    lab.stop();
    lab.restart();
    watcher.wait_until(|watched| {
        // Begun anew it begins with what is logged from then on.
        lab.sql("a", "INSERT INTO shop.of_b SELECT MAX(id) + 1, 0 FROM shop.of_b");
        let (told, before) = (told(watched), "table_ownership shop.of_b  exact");
        let after = |told: &String| {
            let id = told.strip_prefix("table_ownership shop.of_b ");
            id.and_then(|id| id.strip_suffix(" exact")).is_some_and(|id| !id.is_empty())
        };
        let both = told.contains(before) && told.iter().any(after);
        (!both).then(|| format!("{told:?}"))
    });
}
