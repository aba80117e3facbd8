//! Definitions of tables on real masters: those that clash with the other side are found, and no
//! other.

mod support;

use std::process::Command;

use serde_json::Value;
use support::lab::{Lab, LabOptions, Server};

/// A `ddl_conflict` as a scan tells it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Found {
    table: String,
    detail: String,
    certainty: String,
    outcome: String,
}

/// The `ddl_conflict` findings of a scan of both logs as they are, by table.
fn scan(lab: &Lab) -> Vec<Found> {
    let mut scan = Command::new(env!("CARGO_BIN_EXE_twinlog"));
    scan.args(["scan", "--quiet", "--format", "ndjson", "--kind", "ddl_conflict,blind_spot"]);
    for node in lab.nodes() {
        scan.arg(format!("{}={}", node.name, lab.binlog_dir(&node.name).display()));
    }
    let output = scan.output().expect("twinlog runs");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() <= Some(1), "{stderr}");
    let stdout = String::from_utf8(output.stdout).expect("UTF-8");
    let mut found = Vec::new();
    for line in stdout.lines() {
        let finding: Value = serde_json::from_str(line).expect("JSON");
        let text = |field: &str| finding[field].as_str().unwrap_or("").to_owned();
        assert_ne!(text("reason"), "unparsed_definition", "{line}");
        if text("kind") == "ddl_conflict" {
            println!("{}", text("message"));
            assert_eq!(finding["transactions"].as_array().map(Vec::len), Some(2), "{line}");
            found.push(Found {
                table: text("table"),
                detail: text("detail"),
                certainty: text("certainty"),
                outcome: text("outcome"),
            });
        }
    }
    found.sort();
    found
}

/// Tables and details.
fn told(found: &[Found]) -> Vec<(&str, &str)> {
    found.iter().map(|found| (found.table.as_str(), found.detail.as_str())).collect()
}

/// Tables of this name with three rows each, on both.
fn make(lab: &Lab, tables: &[&str]) {
    let mut sql = "CREATE DATABASE IF NOT EXISTS shop; USE shop;".to_owned();
    for table in tables {
        sql += &format!("CREATE TABLE {table} (id INT PRIMARY KEY, v INT) ENGINE=InnoDB;");
        sql += &format!("INSERT INTO {table} VALUES (1, 10), (2, 20), (3, 30);");
    }
    lab.sql("a", &sql);
    lab.settle();
}

#[test]
fn mariadb_definitions_that_clash_are_found_and_no_other() {
    definitions_that_clash_are_found_and_no_other(Server::MariaDb);
}

#[test]
fn mysql_definitions_that_clash_are_found_and_no_other() {
    definitions_that_clash_are_found_and_no_other(Server::MySql);
}

fn definitions_that_clash_are_found_and_no_other(server: Server) {
    let lab = Lab::pair(server);
    make(&lab, &["kept", "altered", "emptied", "dropped", "indexed", "renamed", "stated", "x1"]);
    lab.sql("a", "CREATE DATABASE gone; CREATE TABLE gone.t (id INT PRIMARY KEY)");
    // What has arrived before the other side writes is no conflict.
    lab.sql("a", "ALTER TABLE shop.kept ADD w INT; TRUNCATE shop.x1");
    lab.settle();
    lab.sql("b", "INSERT INTO shop.kept VALUES (4, 40, 1); DROP TABLE shop.x1");
    lab.settle();
    lab.sql("a", "CREATE TABLE shop.x1 (id INT PRIMARY KEY)");
    lab.settle();

    lab.stop_replication();
    lab.sql(
        "a",
        "USE shop;
        ALTER TABLE altered ADD COLUMN c INT DEFAULT 1;
        /* app */ truncate `emptied`;
        DROP TABLE IF EXISTS dropped, x1;
        CREATE INDEX i ON indexed (v);
        INSERT INTO renamed VALUES (4, 40);
        ALTER TABLE stated ENGINE=InnoDB;
        CREATE TABLE made (id INT PRIMARY KEY, v INT);
        DROP DATABASE gone;
        INSERT INTO kept VALUES (5, 50, 1);",
    );
    lab.sql(
        "b",
        "USE shop;
        INSERT INTO altered VALUES (4, 40);
        UPDATE altered SET v = 11 WHERE id = 1;
        DELETE FROM emptied WHERE id = 1;
        BEGIN; INSERT INTO dropped VALUES (4, 40); DELETE FROM dropped WHERE id = 1; COMMIT;
        ALTER TABLE indexed ADD COLUMN c INT;
        RENAME TABLE renamed TO other;
        CREATE TABLE made (id INT PRIMARY KEY, v INT);
        INSERT INTO made VALUES (1, 10);
        INSERT INTO gone.t VALUES (1);
        INSERT INTO kept VALUES (6, 60, 1);
        SET SESSION binlog_format = 'STATEMENT';
        UPDATE stated SET v = v + 1;",
    );
    let expected = [
        ("gone.t", "DROP DATABASE on a, inserted rows on b"),
        ("shop.altered", "ALTER TABLE on a, inserted rows on b"),
        ("shop.altered", "ALTER TABLE on a, updated rows on b"),
        ("shop.dropped", "DROP TABLE on a, written rows on b"),
        ("shop.emptied", "TRUNCATE TABLE on a, deleted rows on b"),
        ("shop.indexed", "CREATE INDEX on a, ALTER TABLE on b"),
        ("shop.made", "CREATE TABLE on a, CREATE TABLE on b"),
        ("shop.made", "CREATE TABLE on a, inserted rows on b"),
        ("shop.renamed", "inserted rows on a, RENAME TABLE on b"),
        ("shop.stated", "ALTER TABLE on a, a write logged as text on b"),
    ];
    // Before anything is applied, and after what can be: an applier may stop at the first clash.
    let found = scan(&lab);
    assert_eq!(told(&found), expected);
    assert!(found.iter().all(|found| found.outcome == "pending"), "{found:#?}");
    lab.start_replication();
    println!("{:?}", lab.try_settle());
    let found = scan(&lab);
    assert_eq!(told(&found), expected);
    if server == Server::MySql {
        assert!(found.iter().all(|found| found.certainty == "exact"), "{found:#?}");
    }
}

/// MariaDB's applier replaces a table that is there when it makes one: both end up with what the
/// other made, and nobody is told.
#[test]
fn mariadb_a_table_made_on_both_sides_is_found() {
    let lab = Lab::pair(Server::MariaDb);
    make(&lab, &["any"]);
    lab.sql("b", "INSERT INTO shop.any VALUES (4, 40)");
    lab.settle();
    lab.idempotent();
    lab.stop_replication();
    let make = "CREATE TABLE shop.made (id INT PRIMARY KEY); INSERT INTO shop.made VALUES";
    lab.sql("a", &format!("{make} (1), (2)"));
    lab.sql("b", &format!("{make} (7), (8)"));
    lab.start_replication();
    lab.settle();
    let found = scan(&lab);
    let made = |detail: &str| Found {
        table: "shop.made".to_owned(),
        detail: detail.to_owned(),
        certainty: "exact".to_owned(),
        outcome: "unknown".to_owned(),
    };
    let expected = [
        made("CREATE TABLE on a, CREATE TABLE on b"),
        made("CREATE TABLE on a, inserted rows on b"),
        made("inserted rows on a, CREATE TABLE on b"),
    ];
    assert_eq!(found, expected);
    let rows = |node| lab.sql(node, "SELECT * FROM shop.made ORDER BY id");
    println!("a has {:?}, b has {:?}", rows("a"), rows("b"));
    assert_ne!(rows("a"), rows("b"), "the masters differ");
}

#[test]
fn mariadb_a_two_phase_alter_counts_once_and_at_its_commit() {
    let options = vec!["--binlog-alter-two-phase=1".to_owned()];
    let lab = Lab::start(Server::MariaDb, LabOptions { options, ..LabOptions::default() });
    make(&lab, &["one", "two", "three"]);
    lab.sql("b", "INSERT INTO shop.one VALUES (4, 40)");
    lab.settle();
    lab.stop_replication();
    lab.sql("a", "ALTER TABLE shop.one ADD COLUMN c INT DEFAULT 1, ALGORITHM=COPY");
    lab.sql("b", "INSERT INTO shop.one VALUES (5, 50)");
    // One that is rolled back has changed nothing.
    lab.sql("a", "UPDATE shop.two SET v = 10");
    let failed = lab.try_sql("a", "ALTER TABLE shop.two ADD UNIQUE (v), ALGORITHM=COPY");
    assert!(failed.is_err(), "10 is there three times");
    lab.sql("b", "INSERT INTO shop.two VALUES (6, 60)");
    lab.sql("b", "INSERT INTO shop.three VALUES (7, 70)");
    let log = lab.sql("a", "SHOW BINLOG EVENTS");
    let has = |phase| log.lines().any(|line| line.contains(phase));
    println!("START {}, ROLLBACK {}", has("START ALTER"), has("ROLLBACK ALTER"));
    assert!(has("START ALTER") && has("COMMIT ALTER"), "{log}");
    let detail = "ALTER TABLE on a, inserted rows on b";
    assert_eq!(told(&scan(&lab)), [("shop.one", detail)]);
    lab.start_replication();
    println!("{:?}", lab.try_settle());
    assert_eq!(told(&scan(&lab)), [("shop.one", detail)]);
}
