//! States of rows and unique values, from binlogs that real servers wrote.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{path::Path, sync::Arc};

use twinlog::{
    binlog::{TablePlan, value::decode_key},
    feed::{FeedItem, FileFeed, resolve_source},
    model::{
        BlindSpotReason, ColumnSchema, KeyPart, Operation, RowState, TableSchema, Transaction,
        UniqueSchema,
    },
};

/// The transactions of a scenario's node, read with that schema of its table `t.x`.
fn read(scenario: &str, node: &str, known: Option<TableSchema>) -> Vec<Transaction> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recorded").join(scenario);
    let files = resolve_source(node, &path.join(node)).unwrap();
    let known = known.map(Arc::new);
    let plans = Arc::new(move |table: &str| TablePlan {
        known: known.clone().filter(|_| table == "t.x"),
        ..TablePlan::default()
    });
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

/// States after updates, in the stream's order.
fn updated(transactions: &[Transaction]) -> Vec<RowState> {
    let rows = transactions.iter().flat_map(|tx| &tx.rows);
    rows.filter(|row| row.operation == Operation::Update).map(|row| row.after).collect()
}

#[test]
fn full_nodup_gives_the_states_of_full() {
    let full = read("mariadb118-02-silent-drift-full-full", "a", None);
    let nodup = read("mariadb118-02-silent-drift-full_nodup-full_nodup", "a", None);
    let (full, nodup) = (updated(&full), updated(&nodup));
    assert_eq!(full.len(), 1);
    assert!(matches!(full[0], RowState::Image(_)));
    assert_eq!(full, nodup);
}

#[test]
fn minimal_and_noblob_stay_partial_and_are_equal_in_both_streams() {
    for scenario in [
        "mariadb118-02-silent-drift-minimal-minimal",
        "mysql97-02-silent-drift-minimal-minimal",
        "mariadb118-02-silent-drift-noblob-noblob",
        "mysql97-02-silent-drift-noblob-noblob",
    ] {
        let [a, b] = ["a", "b"].map(|node| updated(&read(scenario, node, None)));
        assert_eq!(a.len(), 1, "{scenario}");
        assert!(matches!(a[0], RowState::Partial { .. }), "{scenario}: {a:?}");
        assert_eq!(a, b, "{scenario}");
    }
}

/// `t.x (id INT PRIMARY KEY, v VARCHAR(50), n INT, b BLOB, UNIQUE (v))`, as far as told.
fn table_x(columns: usize) -> TableSchema {
    let names = ["id", "v", "n", "b"];
    let column = |name: &&str| ColumnSchema {
        name: (*name).to_owned(),
        definition: String::new(),
        collation: None,
        collation_id: None,
    };
    let part = |column| KeyPart { column: Some(column), prefix: None };
    TableSchema {
        columns: names[..columns].iter().map(column).collect(),
        primary_key: vec![part(0)],
        unique_keys: vec![UniqueSchema {
            name: "v".into(),
            parts: vec![part(1)],
            is_nullable: true,
        }],
    }
}

#[test]
fn a_clash_on_a_unique_key_is_two_takes_of_one_value() {
    let takes = |node| {
        let transactions = read("mysql97-04-unique-secondary-idempotent", node, Some(table_x(4)));
        let takes = transactions.iter().flat_map(|tx| {
            tx.unique_takes.iter().map(|take| {
                let key = tx.key_bytes_of(&take.key);
                let table = &tx.tables[tx.rows[take.row as usize].table as usize];
                let unique = &table.unique_keys[usize::from(take.index)];
                let decoded = decode_key(table, &unique.columns, key).unwrap();
                assert_eq!((decoded[0].0.as_str(), &*unique.name), ("v", "v"));
                (tx.server_id, decoded[0].1.to_json().to_string(), take.key.hash)
            })
        });
        takes.filter(|(_, value, _)| value == "\"uk\"").collect::<Vec<_>>()
    };
    // The copy of the other's insert is an update that leaves the value as it is.
    let (a, b) = (takes("a"), takes("b"));
    assert_eq!((a.len(), b.len()), (1, 1), "{a:?} {b:?}");
    assert_eq!((a[0].0, b[0].0), (1, 2));
    assert_eq!(a[0].2, b[0].2);
}

#[test]
fn a_schema_of_another_time_is_a_blind_spot_of_every_row() {
    let transactions = read("mysql97-04-unique-secondary-idempotent", "a", Some(table_x(3)));
    let mut rows = 0;
    for tx in transactions.iter().filter(|tx| !tx.rows.is_empty()) {
        let stale = |spot: &&_| {
            let spot: &&twinlog::model::BlindSpot = spot;
            spot.reason == BlindSpotReason::StaleSchema
        };
        let spots: Vec<_> = tx.blind_spots.iter().filter(stale).collect();
        assert_eq!(spots[0].table.as_deref(), Some("t.x"));
        assert_eq!(spots[0].count, tx.rows.len() as u64);
        assert!(spots[0].detail.starts_with("3 columns in the schema, 4 in the log"));
        assert!(tx.unique_takes.is_empty() && tx.rows.iter().all(|row| row.keys.is_some()));
        rows += tx.rows.len();
    }
    assert!(rows > 2);
}
