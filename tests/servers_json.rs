//! Partial JSON updates on real servers: one master logs diffs, the other whole documents, and
//! both tell the same.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::{collections::BTreeMap, sync::Arc};

use support::{
    lab::{Lab, LabOptions, Server},
    random::Random,
    recorded::scan,
};
use twinlog::{
    binlog::{
        TablePlan,
        evidence::{Cell, Change},
    },
    feed::{FeedItem, FileFeed, Wanted, read_from_files, resolve_source},
    model::{RowState, Transaction},
};

const DOCUMENTS: usize = 6;
const UPDATES: usize = 400;

/// Documents that differ in what they hold, and in the width of their offsets.
const SCHEMA: &str = r#"
    CREATE DATABASE d; USE d;
    CREATE TABLE t (id INT PRIMARY KEY, k JSON, n INT, j JSON);
    INSERT INTO t VALUES
        (0, '[]', 0, '{"a": 1, "b": {"c": [1, 2, 3], "d": "text"}, "two words": [[0]]}'),
        (1, '{}', 0, '[1, {"a": "x"}, [2, 3], "y"]'),
        (2, NULL, 0, JSON_OBJECT('a', REPEAT('x', 70000), 'b', JSON_OBJECT('c', JSON_ARRAY(1)))),
        (3, '1', 0, '{"a": {"a": {"a": {"a": 1}}}, "é": "ü", "q\\"uote": 1, "": 2}'),
        (4, '"s"', 0, JSON_OBJECT('a', 1.50, 'b', CAST('2020-01-02' AS DATE), 'c', NOW(6))),
        (5, '[1]', 0, '{"a": 1, "b": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]}');"#;

fn pick<'a>(random: &mut Random, from: &[&'a str]) -> &'a str {
    from[random.below(from.len())]
}

fn path(random: &mut Random) -> String {
    const LEGS: [&str; 14] = [
        ".a",
        ".b",
        ".c",
        ".d",
        ".new",
        ".\"two words\"",
        ".é",
        ".\"q\\\\\"uote\"",
        ".\"\"",
        "[0]",
        "[1]",
        "[2]",
        "[last]",
        "[7]",
    ];
    let legs = 1 + random.below(3);
    (0..legs).fold("$".to_owned(), |path, _| path + pick(random, &LEGS))
}

fn value(random: &mut Random) -> &'static str {
    const VALUES: [&str; 18] = [
        "1",
        "-1",
        "NULL",
        "TRUE",
        "70000",
        "-3000000000",
        "18446744073709551615",
        "0.5",
        "1e100",
        "1.25",
        "''",
        "'short'",
        "REPEAT('long', 60)",
        "REPEAT('w', 66000)",
        "JSON_ARRAY(1, 'x')",
        "JSON_OBJECT('a', 1, 'b', JSON_ARRAY())",
        "CAST('10:11:12.5' AS TIME(1))",
        "NOW(6)",
    ];
    VALUES[random.below(VALUES.len())]
}

/// An update of documents by paths, of which many lead nowhere.
fn update(random: &mut Random) -> String {
    let function =
        pick(random, &["JSON_SET", "JSON_SET", "JSON_REPLACE", "JSON_REMOVE", "JSON_REMOVE"]);
    let changes: Vec<String> = (0..1 + random.below(3))
        .map(|_| match function {
            "JSON_REMOVE" => format!("'{}'", path(random)),
            _ => format!("'{}', {}", path(random), value(random)),
        })
        .collect();
    let column = pick(random, &["j", "j", "j", "k"]);
    let more = pick(random, &["", "", ", n = n + 1", ", k = JSON_ARRAY(n, 'whole')"]);
    let more = if column == "k" && more.starts_with(", k") { "" } else { more };
    let row = random.below(DOCUMENTS);
    let changes = changes.join(", ");
    // Diffs are logged only where the result goes back into its column.
    format!("UPDATE d.t SET {column} = {function}({column}, {changes}){more} WHERE id = {row};\n")
}

fn transactions(lab: &Lab, node: &str) -> BTreeMap<String, (Transaction, Vec<Change>)> {
    let files = resolve_source(node, lab.binlog_dir(node)).unwrap();
    let mut all = BTreeMap::new();
    let mut feed = FileFeed::new(node, Arc::new(|_| TablePlan::default()));
    feed.run(&files, |item, _| {
        if let FeedItem::Transaction(tx) = item {
            assert!(tx.blind_spots.is_empty(), "{:?}", tx.blind_spots);
            let gtid = tx.gtid.map(|gtid| gtid.to_string());
            let wanted = Wanted { at: tx.coordinates.clone(), gtid: gtid.clone(), row: None };
            let evidence = read_from_files(node, &files, &wanted).unwrap();
            assert!(evidence.not_decoded.is_empty());
            all.insert(gtid.unwrap(), (*tx, evidence.changes));
        }
        true
    })
    .unwrap();
    all
}

/// How many updates the node logged as partial ones.
fn partial_updates(lab: &Lab, node: &str) -> usize {
    let events = lab.sql(node, &format!("SHOW BINLOG EVENTS IN '{node}-bin.000001'"));
    events.lines().filter(|line| line.contains("Update_rows_partial")).count()
}

#[test]
fn diffs_on_one_master_and_whole_documents_on_the_other_agree() {
    let options = LabOptions {
        node_options: vec![("a".into(), "--binlog-row-value-options=PARTIAL_JSON".into())],
        ..LabOptions::default()
    };
    let lab = Lab::start(Server::MySql, options);
    lab.sql("a", SCHEMA);
    lab.settle();
    let mut random = Random(11);
    // The masters write in turns, each for a while: no two writes are concurrent.
    for turn in 0..8 {
        let node = if turn % 2 == 0 { "a" } else { "b" };
        let updates: String = (0..UPDATES / 8).map(|_| update(&mut random)).collect();
        lab.sql(node, &format!("SET NAMES utf8mb4;\n{updates}"));
        lab.settle();
    }
    let select = "SELECT * FROM d.t ORDER BY id";
    assert_eq!(lab.sql("a", select), lab.sql("b", select));

    let (of_a, of_b) = (transactions(&lab, "a"), transactions(&lab, "b"));
    assert!(of_a.keys().eq(of_b.keys()));
    let (mut rows, mut documents) = (0, 0);
    for (gtid, (tx, changes)) in &of_a {
        let (copy, copied) = &of_b[gtid];
        assert_eq!(changes.len(), copied.len());
        for (change, copied) in changes.iter().zip(copied) {
            assert_eq!((&change.before, &change.after), (&copied.before, &copied.after), "{gtid}");
            let cells = [&change.before, &change.after].into_iter().flatten().flatten();
            documents += cells.filter(|cell| matches!(cell, Cell::Json(_))).count();
        }
        for (row, copied) in tx.rows.iter().zip(&copy.rows) {
            assert!(matches!(row.after, RowState::Image(_) | RowState::Absent));
            assert_eq!((row.before, row.after), (copied.before, copied.after), "{gtid}");
            rows += 1;
        }
    }
    let partial = partial_updates(&lab, "a");
    println!(
        "{}: {rows} rows in both logs, {partial} partial updates, \
         {documents} documents, 0 differ",
        lab.version()
    );
    assert!(rows > UPDATES / 3 && partial > UPDATES / 3 && documents > UPDATES);
    assert_eq!(partial_updates(&lab, "b"), 0);
    let said = scan(lab.binlog_dir("a"), lab.binlog_dir("b"));
    assert!(said.errors.is_empty(), "{:?}", said.errors);
    let alarms: Vec<_> = said.alarms().collect();
    assert!(alarms.is_empty(), "{alarms:#?}");

    // And one that does differ is told.
    lab.sql("b", "SET sql_log_bin=0; UPDATE d.t SET j = '{\"a\": 5, \"b\": 6}' WHERE id = 5");
    lab.sql("a", "UPDATE d.t SET j = '{\"a\": 5, \"b\": 7}' WHERE id = 5");
    lab.sql("a", "UPDATE d.t SET j = JSON_SET(j, '$.a', 8) WHERE id = 5");
    lab.settle();
    let said = scan(lab.binlog_dir("a"), lab.binlog_dir("b"));
    let told: Vec<_> = said.alarms().map(|record| (record.kind, record.cause)).collect();
    assert_eq!(told, [("divergence", Some("drift"))]);
}
