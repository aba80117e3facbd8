//! Evidence and repairs on real servers: values are what SELECT shows, read from files and over the
//! wire, and a repair's SQL makes the rows of both masters equal.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::{path::Path, process::Command};

use serde_json::{Map, Value, json};
use support::{
    lab::{Lab, LabOptions, Server},
    recorded::scan,
};
use twinlog::{
    app::{
        explain::explain,
        repair::{RepairOptions, repair},
        sources::EvidenceSources,
    },
    binlog::evidence::{Change, Evidence},
    config::Config,
    feed::{EvidenceError, Wanted},
    model::Coordinates,
};

/// A column: its name, type, how SELECT is to show it as evidence does, and three values.
struct Column {
    name: &'static str,
    kind: &'static str,
    shown: Shown,
    values: [&'static str; 3],
}

/// How a value is compared.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shown {
    /// As text.
    Text,
    /// As bytes in hex.
    Hex,
    /// BIT, in hex at so many digits.
    Bits(usize),
    /// FLOAT, which SELECT rounds.
    Float,
    /// DOUBLE.
    Double,
    /// Two JSON texts of one value.
    Json,
    /// The log has another form of it.
    Other,
}

const fn column(
    name: &'static str,
    kind: &'static str,
    shown: Shown,
    values: [&'static str; 3],
) -> Column {
    Column { name, kind, shown, values }
}

const COLUMNS: &[Column] = &[
    column("ti", "TINYINT", Shown::Text, ["-128", "127", "0"]),
    column("tu", "TINYINT UNSIGNED", Shown::Text, ["0", "255", "128"]),
    column("si", "SMALLINT", Shown::Text, ["-32768", "32767", "-1"]),
    column("mi", "MEDIUMINT", Shown::Text, ["-8388608", "8388607", "-1"]),
    column("mu", "MEDIUMINT UNSIGNED", Shown::Text, ["0", "16777215", "1"]),
    column("ii", "INT UNSIGNED", Shown::Text, ["0", "4294967295", "1"]),
    column("bi", "BIGINT", Shown::Text, ["-9223372036854775808", "9223372036854775807", "-1"]),
    column("bu", "BIGINT UNSIGNED", Shown::Text, ["0", "18446744073709551615", "1"]),
    column("f", "FLOAT", Shown::Float, ["0.1", "-3.4028234e38", "1.17549435e-38"]),
    column("d", "DOUBLE", Shown::Double, ["0.1", "-1.7976931348623157e308", "5e-324"]),
    column(
        "de",
        "DECIMAL(30,10)",
        Shown::Text,
        ["-0.0000000001", "99999999999999999999.9999999999", "0"],
    ),
    column("d65", "DECIMAL(65,30)", Shown::Text, ["1", "-12345678901234567890.5", "0"]),
    column("y", "YEAR", Shown::Text, ["1901", "2155", "0"]),
    column("da", "DATE", Shown::Text, ["'0000-00-00'", "'9999-12-31'", "'2026-02-28'"]),
    column("t0", "TIME", Shown::Text, ["'-838:59:59'", "'838:59:59'", "'00:00:00'"]),
    column("t6", "TIME(6)", Shown::Text, ["'-00:00:00.000001'", "'10:11:12.5'", "'0:0:0'"]),
    column(
        "dt",
        "DATETIME",
        Shown::Text,
        ["'1000-01-01'", "'9999-12-31 23:59:59'", "'0000-00-00'"],
    ),
    column("dt6", "DATETIME(6)", Shown::Text, ["'2026-11-23 1:2:3.4'", "'2000-1-1'", "'0-0-0'"]),
    column(
        "ts",
        "TIMESTAMP NULL",
        Shown::Text,
        ["'1970-01-01 00:00:01'", "'2038-01-19 03:14:07'", "'2026-10-25 01:30:00'"],
    ),
    column("ts3", "TIMESTAMP(3) NULL", Shown::Text, ["'2026-11-23 1:2:3.4'", "'0-0-0'", "NULL"]),
    column("b1", "BIT(1)", Shown::Bits(2), ["b'0'", "b'1'", "NULL"]),
    column("b10", "BIT(10)", Shown::Bits(4), ["b'1111111111'", "b'1'", "b'0'"]),
    column("b64", "BIT(64)", Shown::Bits(16), ["X'FFFFFFFFFFFFFFFF'", "b'1'", "b'0'"]),
    column("e", "ENUM('x','it''s','é')", Shown::Text, ["'x'", "'it''s'", "'é'"]),
    column("s", "SET('a','b','ü')", Shown::Text, ["''", "'a,ü'", "'b'"]),
    column("c", "CHAR(10)", Shown::Text, ["''", "'é😀'", "'a  '"]),
    column(
        "g",
        "GEOMETRY",
        Shown::Hex,
        ["ST_GeomFromText('POINT(1 -2.5)')", "ST_GeomFromText('LINESTRING(0 0,1 1)', 0)", "NULL"],
    ),
    column("cl", "CHAR(10) CHARACTER SET latin1", Shown::Text, ["'né'", "'€'", "'x'"]),
    column("vu", "VARCHAR(300) CHARACTER SET ucs2", Shown::Text, ["'aé'", "''", "NULL"]),
    column("vs", "VARCHAR(20) CHARACTER SET sjis", Shown::Text, ["'日本ソ'", "'a'", "''"]),
    column("vk", "VARCHAR(20) CHARACTER SET gbk", Shown::Text, ["'中文'", "'a'", "''"]),
    column("bin", "BINARY(8)", Shown::Hex, ["X'00FF00'", "X'0001020304050607'", "''"]),
    column("vb", "VARBINARY(300)", Shown::Hex, ["X'00'", "X'FF27225C'", "''"]),
    column(
        "tx",
        "TEXT",
        Shown::Text,
        ["'it''s \\\\ a \\n \\r \\t \\0 \\Z \\b %_ \" ` -- ; é'", "REPEAT('ä',20000)", "''"],
    ),
    column("bl", "BLOB", Shown::Hex, ["X'1B5B324A'", "REPEAT(X'00FE',300)", "X''"]),
    column(
        "j",
        "JSON",
        Shown::Json,
        [
            r#"'{"a": [1, 2.5, "x\\"y\\n", null], "é": {"u": 18446744073709551615}}'"#,
            "JSON_ARRAY(REPEAT('x',70000), 1, 70000, 1e100, -9223372036854775808)",
            "'[]'",
        ],
    ),
];

/// Types of one server. MariaDB's last ones are bytes in the log, and text in SELECT.
const MYSQL_COLUMNS: &[Column] = &[
    column("ve", "VECTOR(3)", Shown::Hex, ["STRING_TO_VECTOR('[1,-2.5,3e10]')", "NULL", "NULL"]),
    column("gs", "POINT SRID 4326", Shown::Hex, ["ST_SRID(POINT(9,48),4326)", "NULL", "NULL"]),
    column("la", "VARCHAR(9) CHARACTER SET latin1", Shown::Text, ["'né'", "'€'", "''"]),
];
const MARIADB_COLUMNS: &[Column] = &[
    column("i6", "INET6", Shown::Other, ["'2001:db8::1'", "'::'", "'::ffff:1.2.3.4'"]),
    column("i4", "INET4", Shown::Other, ["'1.2.3.4'", "'0.0.0.0'", "'255.255.255.255'"]),
    column(
        "uu",
        "UUID",
        Shown::Other,
        [
            "'123e4567-e89b-12d3-a456-426655440000'",
            "'00000000-0000-0000-0000-000000000000'",
            "'f81d4fae-7dec-41d0-a765-00a0c91e6bf6'",
        ],
    ),
    column("vc", "VARCHAR(200) COMPRESSED", Shown::Text, ["REPEAT('ä',190)", "''", "'short'"]),
    column("bc", "BLOB COMPRESSED", Shown::Hex, ["REPEAT(X'00FE',900)", "X''", "X'00'"]),
    column(
        "tc",
        "TEXT COMPRESSED CHARACTER SET latin1",
        Shown::Text,
        ["REPEAT('né',9000)", "'€'", "''"],
    ),
];

fn create(columns: &[&Column]) -> String {
    let columns: Vec<String> =
        columns.iter().map(|column| format!("{} {}", column.name, column.kind)).collect();
    format!(
        "CREATE DATABASE ev CHARACTER SET utf8mb4;
         CREATE TABLE ev.t (id INT, k VARCHAR(10), {}, PRIMARY KEY (k, id),
             g2 INT GENERATED ALWAYS AS (id * 2) STORED, g3 INT AS (id * 3) VIRTUAL);",
        columns.join(", ")
    )
}

const SESSION: &str = "SET NAMES utf8mb4; SET SESSION time_zone='+00:00'; SET SESSION sql_mode='';";

/// A statement that inserts rows 1 to 4, the last all NULL, turned by so many places.
fn insert(columns: &[&Column], turn: usize) -> String {
    let names: Vec<&str> = columns.iter().map(|column| column.name).collect();
    let rows = (0..4).map(|row| {
        let at = (row + turn) % 4;
        let value = |column: &&&Column| column.values.get(at).copied().unwrap_or("NULL");
        let values: Vec<&str> = columns.iter().map(|column| value(&column)).collect();
        format!("({}, 'kö''{row}', {})", row + 1, values.join(", "))
    });
    let rows: Vec<String> = rows.collect();
    format!("{SESSION} INSERT INTO ev.t (id, k, {}) VALUES {};", names.join(", "), rows.join(", "))
}

/// Every column in hex of its text as evidence shows it.
fn select(columns: &[&Column]) -> String {
    let shown = |column: &&Column| {
        let name = column.name;
        let text = match column.shown {
            Shown::Text | Shown::Json | Shown::Other => name.to_owned(),
            Shown::Hex => format!("CONCAT('0x', LOWER(HEX({name})))"),
            Shown::Bits(digits) => format!("CONCAT('0x', LPAD(LOWER(HEX({name})), {digits}, '0'))"),
            Shown::Float => format!("CAST({name} AS DOUBLE)"),
            Shown::Double => name.to_owned(),
        };
        format!("HEX(CONVERT({text} USING utf8mb4))")
    };
    let columns: Vec<String> = columns.iter().map(shown).collect();
    format!("{SESSION} SELECT id, {} FROM ev.t ORDER BY id", columns.join(", "))
}

fn unhex(digits: &str) -> String {
    let pairs = digits.as_bytes().chunks(2);
    let bytes = pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16));
    String::from_utf8(bytes.map(Result::unwrap).collect()).unwrap()
}

fn is_same(how: Shown, shown: &Value, selected: &str) -> bool {
    if selected == "NULL" {
        return shown.is_null();
    }
    let selected = unhex(selected);
    let number = |text: &str| text.parse::<f64>().unwrap();
    match (how, shown) {
        (Shown::Other, shown) => shown.is_string(),
        (Shown::Float, shown) => number(&shown.to_string()) as f32 == number(&selected) as f32,
        (Shown::Double, shown) => number(&shown.to_string()) == number(&selected),
        (Shown::Json, Value::String(text)) => {
            let value = |text: &str| serde_json::from_str::<Value>(text).unwrap();
            value(text) == value(&selected)
        }
        (_, Value::String(text)) => *text == selected,
        // The year 0 is shown as 0000.
        (_, shown) => {
            let text = shown.to_string();
            text == selected || text == "0" && selected == "0000"
        }
    }
}

/// Compares the images that insert rows with what SELECT shows.
fn same_as_selected(lab: &Lab, node: &str, columns: &[&Column], changes: &[Change]) {
    let rows = lab.sql(node, &select(columns));
    let rows: Vec<Vec<&str>> = rows.lines().map(|line| line.split('\t').collect()).collect();
    assert_eq!(rows.len(), changes.len());
    for (row, change) in rows.iter().zip(changes) {
        let cells = change.after.as_ref().unwrap();
        for (selected, column) in row[1..].iter().zip(columns) {
            let at = change.of.place(column.name).expect(column.name);
            let shown = change.of.shown(at, &cells[at]).expect("a full image");
            let text: String = shown.to_string().chars().take(200).collect();
            let is_same = is_same(column.shown, &shown, selected);
            assert!(
                is_same,
                "{node} row {} {}: {text} is not {selected:.200}",
                row[0], column.name
            );
        }
    }
}

/// The columns that this server has.
fn columns(server: Server) -> Vec<&'static Column> {
    let own = if server == Server::MySql { MYSQL_COLUMNS } else { MARIADB_COLUMNS };
    COLUMNS.iter().chain(own).collect()
}

fn files(lab: &Lab) -> EvidenceSources {
    let source = |node: &str| (node.to_owned(), lab.binlog_dir(node).to_owned());
    EvidenceSources::new(&[source("a"), source("b")], None).unwrap()
}

fn servers(lab: &Lab, dir: &Path) -> EvidenceSources {
    let password = dir.join("password");
    std::fs::write(&password, Lab::PASSWORD).unwrap();
    let node = |node: &str| {
        format!(
            "[nodes.{node}]\nurl = \"{}\"\npassword_file = \"{}\"\n",
            lab.url(node),
            password.display()
        )
    };
    let config = Config::parse(&(node("a") + &node("b")), "test").unwrap();
    EvidenceSources::new(&[], Some(&config)).unwrap()
}

fn place(value: &Value) -> Coordinates {
    Coordinates {
        file: value["file"].as_str().unwrap().into(),
        start: value["start"].as_u64().unwrap(),
        end: value["end"].as_u64().unwrap(),
    }
}

fn evidence(sources: &EvidenceSources, tx: &Value, node: &str) -> Evidence {
    let gtid = tx["gtid"].as_str().map(str::to_owned);
    let wanted = Wanted { at: place(&tx["coordinates"][node]), gtid, row: None };
    sources.read(node, &wanted).expect("a source").unwrap()
}

/// Conflicts as divergences: each stream's last of its transactions wrote the row.
fn divergences(lab: &Lab) -> Vec<Value> {
    let said = scan(lab.binlog_dir("a"), lab.binlog_dir("b"));
    assert!(said.errors.is_empty(), "{:?}", said.errors);
    let conflicts = said.findings.iter().filter(|record| record.kind == "write_conflict");
    let records = conflicts.map(|record| {
        let mut record = serde_json::to_value(record).unwrap();
        let mut last = Map::new();
        for node in ["a", "b"] {
            let newest = record["transactions"].as_array().unwrap().iter().max_by_key(|tx| {
                let at = &tx["coordinates"][node];
                (at["file"].as_str().map(str::to_owned), at["start"].as_u64())
            });
            let tx = newest.unwrap();
            let write = json!({"gtid": tx["gtid"], "origin": tx["origin"], "absent": false,
                               "coordinates": tx["coordinates"][node]});
            last.insert(node.to_owned(), write);
        }
        record["kind"] = "divergence".into();
        record["last_written"] = last.into();
        record
    });
    records.collect()
}

fn run_repair(lab: &Lab, sources: &EvidenceSources, records: &[Value], winner: &str) {
    let generated = ["g2".to_owned(), "ev.t.G3".to_owned()];
    let options =
        RepairOptions { sources, config: None, winner: Some(winner), generated: &generated };
    let made = repair(records, &options).unwrap();
    assert!(made.refused.is_empty(), "{:#?}", made.refused);
    assert_eq!(made.scripts.len(), 1);
    assert_ne!(made.scripts[0].node, winner);
    lab.sql(&made.scripts[0].node, &made.scripts[0].sql());
}

#[test]
fn mariadb_evidence_is_what_select_shows_and_repairs_repair() {
    evidence_and_repairs(Server::MariaDb, &[]);
}

#[test]
fn mariadb_evidence_of_compressed_events_is_the_same() {
    let options = ["--log-bin-compress=ON", "--log-bin-compress-min-len=10"];
    evidence_and_repairs(Server::MariaDb, &options);
}

#[test]
fn mysql_evidence_is_what_select_shows_and_repairs_repair() {
    evidence_and_repairs(Server::MySql, &[]);
}

#[test]
fn mysql_evidence_of_compressed_transactions_is_the_same() {
    evidence_and_repairs(Server::MySql, &["--binlog-transaction-compression=ON"]);
}

fn evidence_and_repairs(server: Server, options: &[&str]) {
    let options = options.iter().map(|option| (*option).to_owned()).collect();
    let lab = Lab::start(server, LabOptions { options, ..LabOptions::default() });
    let dir = tempfile::tempdir().unwrap();
    let columns = columns(server);
    lab.sql("a", &create(&columns));
    lab.settle();
    lab.idempotent();
    lab.stop_replication();
    lab.sql("a", &insert(&columns, 0));
    lab.sql("b", &insert(&columns, 1));
    let (of_a, of_b) = (lab.sql("a", &select(&columns)), lab.sql("b", &select(&columns)));
    let records_before = {
        let said = scan(lab.binlog_dir("a"), lab.binlog_dir("b"));
        let found = said.findings.iter().find(|record| record.kind == "write_conflict");
        serde_json::to_value(found.expect("a conflict")).unwrap()
    };
    let (from_files, from_servers) = (files(&lab), servers(&lab, dir.path()));
    for (at, node) in ["a", "b"].into_iter().enumerate() {
        let tx = &records_before["transactions"][at];
        let read = evidence(&from_files, tx, node);
        same_as_selected(&lab, node, &columns, &read.changes);
        let mut live = evidence(&from_servers, tx, node);
        assert_eq!(live.statements, read.statements);
        if server == Server::MariaDb {
            assert!(live.statements[0].contains("INSERT INTO ev.t"));
            for (live, read) in live.changes.iter_mut().zip(&read.changes) {
                live.statement.clone_from(&read.statement);
            }
        }
        assert!(live == read, "over the wire as from the file");
    }

    lab.start_replication();
    lab.settle();
    assert_eq!(lab.sql("a", &select(&columns)), of_b, "swapped");
    assert_eq!(lab.sql("b", &select(&columns)), of_a, "swapped");
    let records = divergences(&lab);
    assert_eq!(records.len(), 4);
    proof_lines_prove(&lab, &from_files, &records[0]);
    run_repair(&lab, &from_files, &records, "a");
    assert_eq!(lab.sql("b", &select(&columns)), of_b, "b as a, on which b's rows are");
    // Now back, from the servers themselves: b's log still has what a wrote.
    run_repair(&lab, &from_servers, &records, "b");
    assert_eq!(lab.sql("a", &select(&columns)), of_a, "a as b's log has it");

    // The rows are not there at all: they are inserted.
    lab.sql("b", "SET SESSION sql_log_bin=0; DELETE FROM ev.t");
    run_repair(&lab, &from_files, &records, "a");
    assert_eq!(lab.sql("b", &select(&columns)), of_b, "inserted");
    rows_that_the_winner_never_wrote(&lab, &columns, &of_a);
    purged_files_are_told(&lab, &from_files, &from_servers, &records[0]);
}

/// Rows that a packet of the protocol cannot hold in one piece, and what they compress to.
#[test]
fn rows_of_20_mb_are_the_same_over_the_wire() {
    for (server, options) in [
        (Server::MariaDb, &["--max-allowed-packet=64M"][..]),
        (Server::MySql, &["--max-allowed-packet=64M"]),
        (
            Server::MySql,
            &[
                "--max-allowed-packet=64M",
                "--binlog-transaction-compression=ON",
                "--binlog-checksum=NONE",
            ],
        ),
    ] {
        let options = options.iter().map(|option| (*option).to_owned()).collect();
        let lab = Lab::start(server, LabOptions { options, ..LabOptions::default() });
        let dir = tempfile::tempdir().unwrap();
        lab.stop_replication();
        let make = "CREATE DATABASE ev; CREATE TABLE ev.t (id INT PRIMARY KEY, l LONGBLOB);
                    INSERT INTO ev.t VALUES (1, REPEAT('0123456789abcdef', 1250000));
                    UPDATE ev.t SET l = CONCAT(l, 'x'); INSERT INTO ev.t VALUES (2, 'after');";
        lab.sql("a", make);
        lab.sql("b", make);
        let said = scan(lab.binlog_dir("a"), lab.binlog_dir("b"));
        let conflicts = said.findings.iter().filter(|record| record.kind == "write_conflict");
        let (from_files, from_servers) = (files(&lab), servers(&lab, dir.path()));
        let mut compared = 0;
        for record in conflicts {
            let record = serde_json::to_value(record).unwrap();
            for (at, node) in ["a", "b"].into_iter().enumerate() {
                let tx = &record["transactions"][at];
                let read = evidence(&from_files, tx, node);
                let mut live = evidence(&from_servers, tx, node);
                for (live, read) in live.changes.iter_mut().zip(&read.changes) {
                    live.statement.clone_from(&read.statement);
                }
                assert!(live.changes == read.changes && !read.changes.is_empty());
                compared += 1;
            }
        }
        assert!(compared >= 4, "{server:?}: {compared}");
    }
}

/// The printed command lines, run by a shell.
fn proof_lines_prove(lab: &Lab, sources: &EvidenceSources, record: &Value) {
    let explanation = explain(record, sources).unwrap();
    assert!(explanation.is_whole());
    assert_eq!(explanation.proofs.len(), 4);
    let name = if lab.server() == Server::MariaDb { "mariadb-binlog " } else { "mysqlbinlog " };
    for proof in &explanation.proofs {
        let arguments = proof.command.strip_prefix(name).expect("the server's own tool");
        let command = format!("{} {arguments}", lab.binlog_tool().display());
        let output = Command::new("sh").args(["-c", &command]).output().unwrap();
        let shown = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(shown.contains("`ev`.`t`") && shown.contains("###   @1="), "{command}\n{shown}");
        let gtid = proof.gtid.as_deref().unwrap();
        assert!(shown.contains(gtid), "{gtid} in {shown}");
    }
}

/// Where the winner's stream never wrote the row, the other's first write shows it as it was.
fn rows_that_the_winner_never_wrote(lab: &Lab, columns: &[&Column], of_a: &str) {
    let before = std::fs::metadata(lab.binlog_dir("a").join("a-bin.000001")).unwrap().len();
    lab.sql("a", "UPDATE ev.t SET ti = 5, tx = 'new' WHERE id = 1");
    lab.sql("a", "INSERT INTO ev.t (id, k, ti) VALUES (9, 'nine', 9)");
    lab.settle();
    let mut bounds: Vec<u64> = Vec::new();
    let events = lab.sql("a", &format!("SHOW BINLOG EVENTS IN 'a-bin.000001' FROM {before}"));
    for line in events.lines().map(|line| line.split('\t').collect::<Vec<_>>()) {
        if line[2] == "Gtid" {
            bounds.push(line[1].parse().unwrap());
        }
        if line[2] == "Xid" {
            bounds.push(line[4].parse().unwrap());
        }
    }
    // As if b had skipped both transactions.
    let record = |key: Value, index: usize| {
        let (start, end) = (bounds[2 * index], bounds[2 * index + 1]);
        let at = json!({"file": "a-bin.000001", "start": start, "end": end});
        json!({
            "id": format!("00{index}f"), "kind": "divergence", "state": "open", "table": "ev.t",
            "certainty": "exact", "key": key, "index": "PRIMARY",
            "transactions": [{"origin": "a", "gtid": null, "operation": "update",
                              "committed_at": "", "coordinates": {"a": at, "b": null}}],
            "last_written": {"b": null,
                "a": {"gtid": null, "origin": "a", "absent": false, "coordinates": at}},
        })
    };
    let records =
        [record(json!({"k": "kö'0", "id": 1}), 0), record(json!({"k": "nine", "id": 9}), 1)];
    run_repair(lab, &files(lab), &records, "b");
    assert_eq!(lab.sql("a", &select(columns)), of_a, "row 1 as before, row 9 gone");
    lab.sql("b", "SET SESSION sql_log_bin=0; DELETE FROM ev.t WHERE id = 9");
    run_repair(lab, &files(lab), &records, "a");
    assert_eq!(lab.sql("b", "SELECT ti, tx FROM ev.t WHERE id IN (1, 9)"), "5\tnew\n9\tNULL\n");
}

fn purged_files_are_told(
    lab: &Lab,
    from_files: &EvidenceSources,
    from_servers: &EvidenceSources,
    record: &Value,
) {
    lab.sql("a", "FLUSH BINARY LOGS");
    lab.settle();
    // As long as it is being sent to somebody, it stays.
    for _ in 0..100 {
        lab.sql("a", "PURGE BINARY LOGS TO 'a-bin.000002'");
        if !lab.binlog_dir("a").join("a-bin.000001").exists() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    let tx = &record["transactions"][0];
    let wanted = Wanted {
        at: place(&tx["coordinates"]["a"]),
        gtid: tx["gtid"].as_str().map(str::to_owned),
        row: None,
    };
    let error = from_servers.read("a", &wanted).unwrap().unwrap_err();
    assert!(
        matches!(&error, EvidenceError::Purged { file, .. } if file == "a-bin.000001"),
        "{error}"
    );
    assert!(from_files.read("a", &wanted).unwrap().is_err(), "the file is not there any more");
    let error = files(lab).read("a", &wanted).unwrap().unwrap_err();
    assert!(matches!(&error, EvidenceError::Purged { node, .. } if node == "a"), "{error}");
    // What is left is still explained.
    let explanation = explain(record, &files(lab)).unwrap();
    assert!(!explanation.is_whole());
}
