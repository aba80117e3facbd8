//! Keys, on real servers: what `twinlog schema` reads of them, what a scan makes of that, unique
//! values, and states of rows however much of them a server logs.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::{
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{
        Arc,
        mpsc::{Receiver, channel},
    },
    time::Duration,
};

use serde_json::{Value, json};
use support::lab::{Lab, LabOptions, Server};
use twinlog::{
    binlog::TablePlan,
    config::SchemaFile,
    feed::{FeedItem, FileFeed, resolve_source},
    model::{RowState, Transaction},
};

const TABLES: &str = "CREATE DATABASE shop;
    CREATE TABLE shop.customer (
        id INT UNSIGNED PRIMARY KEY, mail VARCHAR(80) CHARACTER SET utf8mb4, code BINARY(4) NOT NULL,
        region CHAR(2) NOT NULL, n INT, note TEXT,
        UNIQUE KEY mail (mail), UNIQUE KEY code (code, region), UNIQUE KEY start (note(10))
    ) DEFAULT CHARSET latin1;
    CREATE TABLE shop.log (at DATETIME);
    CREATE VIEW shop.seen AS SELECT id FROM shop.customer;
    GRANT SELECT ON shop.* TO twinlog@'127.0.0.1';";

fn twinlog(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_twinlog")).args(arguments).output().unwrap()
}

fn configure(lab: &Lab) -> PathBuf {
    let password = lab.dir().join("password");
    std::fs::write(&password, Lab::PASSWORD).unwrap();
    let node = |node: &support::lab::Node| {
        let name = &node.name;
        format!(
            "[nodes.{name}]\nurl = \"{}\"\npassword_file = \"{}\"\ntls = {{ mode = \"off\" }}\n",
            lab.url(name),
            password.display()
        )
    };
    let path = lab.dir().join("twinlog.toml");
    let nodes: String = lab.nodes().iter().map(node).collect();
    std::fs::write(&path, nodes + "[watch]\nlisten = \"127.0.0.1:0\"\n").unwrap();
    path
}

/// What `twinlog schema` writes, in a file, and what it says.
fn write_schema(lab: &Lab) -> (PathBuf, Value, String) {
    let config = configure(lab);
    let output = twinlog(&["schema", "--config", config.to_str().unwrap()]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{said}");
    let path = lab.dir().join("schema.json");
    std::fs::write(&path, &output.stdout).unwrap();
    (path, serde_json::from_slice(&output.stdout).unwrap(), said)
}

/// The transactions of a node's files, read with what the schema file knows of it.
fn read(lab: &Lab, node: &str, schema: &Path) -> Vec<Transaction> {
    let tables = SchemaFile::load(schema).unwrap().tables_of(node);
    let plans = Arc::new(move |table: &str| TablePlan {
        known: tables.get(table).cloned(),
        ..TablePlan::default()
    });
    let files = resolve_source(node, lab.binlog_dir(node)).unwrap();
    let mut transactions = Vec::new();
    let deliver = |item, _| {
        if let FeedItem::Transaction(tx) = item {
            transactions.push(*tx);
        }
        true
    };
    FileFeed::new(node, plans).run(&files, deliver).unwrap();
    transactions
}

fn schema_says_keys_and_columns(server: Server) {
    let metadata = "--binlog-row-metadata=MINIMAL".to_owned();
    let lab = Lab::start(server, LabOptions { options: vec![metadata], ..LabOptions::default() });
    lab.sql("a", TABLES);
    lab.settle();
    let (path, schema, said) = write_schema(&lab);
    assert!(said.contains("node a: 2 tables") && said.contains("node b: 2 tables"), "{said}");
    assert_eq!((&schema["nodes"], &schema["differ"]), (&json!(["a", "b"]), &json!([])));
    let tables = schema["tables"].as_array().unwrap();
    let names: Vec<_> = tables.iter().map(|table| table["table"].as_str().unwrap()).collect();
    assert_eq!(names, ["shop.customer", "shop.log"]);
    let customer = &tables[0];
    assert_eq!(customer["nodes"], json!(["a", "b"]));
    assert_eq!(customer["primary_key"], json!([{"column": "id"}]));
    let uniques = json!([
        {"name": "code", "nullable": false, "columns": [{"column": "code"}, {"column": "region"}]},
        {"name": "mail", "nullable": true, "columns": [{"column": "mail"}]},
        {"name": "start", "nullable": true, "columns": [{"column": "note", "prefix": 10}]},
    ]);
    assert_eq!(customer["unique_keys"], uniques);
    let columns = customer["columns"].as_array().unwrap();
    assert!(columns[0]["definition"].as_str().unwrap().ends_with("unsigned"), "{columns:?}");
    assert_eq!(columns[2]["collation_id"], json!(63));
    assert_eq!(
        (&columns[3]["collation"], &columns[3]["collation_id"]),
        (&json!("latin1_swedish_ci"), &json!(8))
    );
    assert!(columns[1]["collation_id"].as_u64().is_some_and(|id| id > 8), "{columns:?}");

    // Without FULL metadata the log names no key; with the schema the conflict is found.
    lab.stop_replication();
    for node in ["a", "b"] {
        lab.sql(node, "INSERT INTO shop.customer VALUES (4000000000, NULL, 'x', 'eu', 1, NULL);");
    }
    lab.stop();
    let sources = ["a", "b"].map(|node| format!("{node}={}", lab.binlog_dir(node).display()));
    let [a, b] = &sources;
    let bare = twinlog(&["scan", "--format", "ndjson", "--quiet", a, b]);
    let bare = String::from_utf8_lossy(&bare.stdout).into_owned();
    assert!(bare.contains("no_key") && !bare.contains("write_conflict"), "{bare}");
    let schema = path.to_str().unwrap();
    let known = twinlog(&["scan", "--format", "ndjson", "--quiet", "--schema", schema, a, b]);
    let known = String::from_utf8_lossy(&known.stdout).into_owned();
    let conflict = known.lines().find(|line| line.contains("\"write_conflict\"")).expect(&known);
    let conflict: Value = serde_json::from_str(conflict).unwrap();
    assert_eq!(conflict["key"], json!({"id": 4_000_000_000_u64}));
}

#[test]
fn schema_says_keys_and_columns_of_mariadb() {
    schema_says_keys_and_columns(Server::MariaDb);
}

#[test]
fn schema_says_keys_and_columns_of_mysql() {
    schema_says_keys_and_columns(Server::MySql);
}

#[test]
fn nodes_that_differ_are_told_apart_and_a_blind_account_is_told() {
    let lab = Lab::pair(Server::MariaDb);
    lab.sql("a", "CREATE DATABASE shop; CREATE TABLE shop.t (id INT PRIMARY KEY, v INT);");
    lab.settle();
    let (_, schema, said) = write_schema(&lab);
    assert_eq!(schema["tables"], json!([]));
    assert!(said.contains("node a: the account sees no tables\n  hint: on the server, GRANT"));
    lab.sql("b", "SET sql_log_bin = 0; ALTER TABLE shop.t ADD UNIQUE KEY v (v);");
    for node in ["a", "b"] {
        lab.sql(node, "SET sql_log_bin = 0; GRANT SELECT ON shop.* TO twinlog@'127.0.0.1';");
    }
    let (path, schema, said) = write_schema(&lab);
    assert!(said.contains("shop.t: the nodes do not define it alike"), "{said}");
    assert_eq!(schema["differ"], json!(["shop.t"]));
    assert_eq!(schema["tables"].as_array().unwrap().len(), 2);
    let schema = SchemaFile::load(&path).unwrap();
    let uniques = |node| schema.tables_of(node)["shop.t"].unique_keys.len();
    assert_eq!((uniques("a"), uniques("b")), (0, 1));
    assert!(schema.tables_of("c").is_empty());
}

#[test]
fn two_inserts_that_clash_on_a_unique_key_take_one_value() {
    for server in Server::ALL {
        let lab = Lab::pair(server);
        lab.sql("a", TABLES);
        lab.settle();
        lab.idempotent();
        lab.stop_replication();
        lab.sql("a", "INSERT INTO shop.customer VALUES (1, 'ada@x', 'a', 'eu', 1, NULL);");
        lab.sql("b", "INSERT INTO shop.customer VALUES (2, 'ada@x', 'b', 'eu', 1, NULL);");
        lab.start_replication();
        lab.settle();
        let (path, ..) = write_schema(&lab);
        let takes = |node| {
            let transactions = read(&lab, node, &path);
            let own = u32::from(node == "b") + 1;
            let own = transactions.iter().filter(|tx| tx.server_id == own);
            own.flat_map(|tx| tx.unique_takes.iter().map(|take| (take.index, take.key.hash)))
                .collect::<Vec<_>>()
        };
        let (a, b) = (takes("a"), takes("b"));
        // Their unique keys of whole columns, by name: code and mail.
        assert_eq!((a.len(), b.len()), (2, 2), "{server:?}: {a:?} {b:?}");
        assert_eq!((a[0].0, a[1].0), (0, 1), "{server:?}");
        assert_ne!(a[0], b[0], "{server:?}: another code");
        assert_eq!(a[1], b[1], "{server:?}: the same mail");
    }
}

/// A watch, ended with its value.
struct Watch(Child, Receiver<String>);

impl Watch {
    /// Starts it; what it writes comes line by line, findings and log alike.
    fn start(config: &Path) -> Watch {
        let mut command = Command::new(env!("CARGO_BIN_EXE_twinlog"));
        command.args(["watch", "--config", config.to_str().unwrap()]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (send, lines) = channel();
        let (findings, log) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let pipes: [Box<dyn Read + Send>; 2] = [Box::new(findings), Box::new(log)];
        for (pipe, send) in pipes.into_iter().zip([send.clone(), send]) {
            std::thread::spawn(move || {
                for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                    // The test may have seen enough.
                    let _ = send.send(line);
                }
            });
        }
        Watch(child, lines)
    }

    fn until(&self, words: &[&str]) -> String {
        let mut seen = Vec::new();
        loop {
            let Ok(line) = self.1.recv_timeout(Duration::from_secs(60)) else {
                panic!("no {words:?} in {seen:#?}");
            };
            if words.iter().all(|word| line.contains(word)) {
                return line;
            }
            seen.push(line);
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // It may have ended by itself; then nothing is left to be done.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn watch_asks_for_keys_and_asks_again_when_a_table_has_changed() {
    let metadata = "--binlog-row-metadata=MINIMAL".to_owned();
    let options = LabOptions { options: vec![metadata], ..LabOptions::default() };
    let lab = Lab::start(Server::MariaDb, options);
    lab.sql("a", TABLES);
    lab.settle();
    let watch = Watch::start(&configure(&lab));
    for _ in 0..2 {
        watch.until(&["following"]);
    }
    lab.stop_replication();
    for node in ["a", "b"] {
        lab.sql(node, "INSERT INTO shop.customer VALUES (7, NULL, 'x', 'eu', 1, NULL);");
    }
    let found = watch.until(&["\"write_conflict\""]);
    assert!(found.contains("\"key\":{\"id\":7}"), "{found}");
    lab.sql("a", "ALTER TABLE shop.customer ADD COLUMN more INT;");
    lab.sql("a", "INSERT INTO shop.customer VALUES (8, NULL, 'y', 'eu', 1, NULL, 2);");
    watch.until(&["asked for its tables again"]);
    lab.sql("a", "INSERT INTO shop.customer VALUES (9, NULL, 'z', 'eu', 1, NULL, 2);");
    lab.sql("b", "INSERT INTO shop.customer VALUES (9, NULL, 'z', 'eu', 1, NULL);");
    let found = watch.until(&["\"write_conflict\""]);
    assert!(found.contains("\"key\":{\"id\":9}"), "{found}");
}

/// Without a key, MINIMAL logs rows as MariaDB's FULL_NODUP does all: whole, then what changed.
#[test]
fn states_are_equal_however_much_a_server_logs() {
    for server in Server::ALL {
        let lab = Lab::pair(server);
        lab.sql("a", TABLES);
        lab.sql("a", "CREATE TABLE shop.plain (n INT, v VARCHAR(20), t TEXT, b BIT(3), d DATE);");
        let nodup = "SET SESSION binlog_row_image = FULL_NODUP;";
        let image = match lab.try_sql("a", nodup) {
            Ok(_) => nodup,
            Err(_) => "SET SESSION binlog_row_image = MINIMAL;",
        };
        println!("{server:?} {}: {image}", lab.version());
        let rows = "INSERT INTO shop.plain VALUES (1, 'a', NULL, 1, NULL), (2, NULL, '', 2, NULL);
             UPDATE shop.plain SET v = NULL, t = 'long' WHERE n = 1;
             UPDATE shop.plain SET v = 'b', n = n + 1, d = '2026-11-23' WHERE n = 2;
             UPDATE shop.plain SET n = NULL;
             DELETE FROM shop.plain WHERE t = 'long';";
        lab.sql("a", &format!("{image}{rows}"));
        lab.settle();
        let (path, ..) = write_schema(&lab);
        let rows = |node| {
            let transactions = read(&lab, node, &path);
            let rows = transactions.into_iter().flat_map(|tx| tx.rows);
            rows.map(|row| (row.operation, row.before, row.after)).collect::<Vec<_>>()
        };
        let (a, b) = (rows("a"), rows("b"));
        assert_eq!(a.len(), 7, "{server:?}");
        assert_eq!(a, b, "{server:?}");
        let is_partial = |state: &RowState| matches!(state, RowState::Partial { .. });
        assert!(!a.iter().any(|(_, before, after)| is_partial(before) || is_partial(after)));
    }
}
