//! Evidence, explanations and repairs of recorded binlogs: what the slow reader for people says is
//! what the fast one judged, and no bytes make it panic.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::{io::Write, path::Path, sync::Arc};

use serde_json::{Value, json};
use support::recorded::{recorded, samples, scan};
use twinlog::{
    app::{
        explain::explain,
        repair::{RepairOptions, repair},
        sources::EvidenceSources,
    },
    binlog::{
        Progress, StreamReader,
        evidence::{Cell, Evidence, EvidenceReader},
        value::decode_key,
    },
    config::Config,
    feed::{EvidenceError, FeedItem, FileFeed, Wanted, read_from_files, resolve_source},
    model::{Coordinates, Transaction},
    report::explanation_text,
};

fn transactions(directory: &Path) -> Vec<Transaction> {
    let files = resolve_source("a", directory).unwrap();
    let mut all = Vec::new();
    let mut feed = FileFeed::new("a", Arc::new(|_| twinlog::binlog::TablePlan::default()));
    feed.run(&files, |item, _| {
        if let FeedItem::Transaction(tx) = item {
            all.push(*tx);
        }
        true
    })
    .unwrap();
    all
}

fn read(directory: &Path, tx: &Transaction) -> Result<Evidence, EvidenceError> {
    let files = resolve_source("a", directory).unwrap();
    let gtid = tx.gtid.map(|gtid| gtid.to_string());
    read_from_files("a", &files, &Wanted { at: tx.coordinates.clone(), gtid, row: None })
}

/// Every row of every recorded log.
#[test]
fn evidence_is_what_was_judged() {
    let (mut rows, mut statements) = (0, 0);
    for directory in samples().iter().flat_map(|sample| [sample.join("a"), sample.join("b")]) {
        for tx in transactions(&directory) {
            let evidence = read(&directory, &tx);
            let evidence = evidence.unwrap_or_else(|e| panic!("{}: {e}", directory.display()));
            assert_eq!((evidence.gtid, evidence.server_id), (tx.gtid, tx.server_id));
            assert_eq!(evidence.committed_at, tx.committed_at);
            statements += evidence.statements.len();
            if !tx.blind_spots.is_empty() {
                continue;
            }
            let place = format!("{} {:?}", directory.display(), tx.coordinates);
            assert_eq!(evidence.changes.len(), tx.rows.len(), "{place}");
            assert!(evidence.not_decoded.is_empty() && evidence.more == 0, "{place}");
            for (change, row) in evidence.changes.iter().zip(&tx.rows) {
                rows += 1;
                let table = &tx.tables[row.table as usize];
                assert_eq!((&change.of.table, change.operation), (table, row.operation), "{place}");
                let Some([key, _]) = row.keys else { continue };
                let image = change.before.as_ref().or(change.after.as_ref()).unwrap();
                for (name, value) in
                    decode_key(table, &table.primary_key, tx.key_bytes_of(&key)).unwrap()
                {
                    let cell = &image[change.of.place(&name).unwrap()];
                    assert_eq!(*cell, Cell::Value(value), "{place}");
                }
            }
        }
    }
    assert!(rows > 300 && statements > 100, "{rows} rows, {statements} statements");
}

/// The events of a plain file: the format description, and those of the transaction.
fn events(directory: &Path, tx: &Transaction) -> (Vec<u8>, Vec<Vec<u8>>) {
    let bytes = std::fs::read(directory.join(&*tx.coordinates.file)).unwrap();
    let event = |at: usize| {
        let size = u32::from_le_bytes(bytes[at + 9..at + 13].try_into().unwrap()) as usize;
        bytes[at..at + size].to_vec()
    };
    let (mut at, mut found) = (tx.coordinates.start as usize, Vec::new());
    while at < tx.coordinates.end as usize {
        found.push(event(at));
        at += found.last().unwrap().len();
    }
    (event(4), found)
}

/// An event with this body, so that header and checksum agree with it.
fn resealed(event: &[u8], body: &[u8]) -> Vec<u8> {
    let mut bytes = [&event[..19], body].concat();
    let size = bytes.len() as u32 + 4;
    bytes[9..13].copy_from_slice(&size.to_le_bytes());
    bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
    bytes
}

/// A row takes a byte at least of what a body expands to, and zlib makes no more of a byte.
const EXPANSION_MAX: usize = 1032;

#[test]
fn bytes_that_are_cut_or_flipped_do_not_panic() {
    let mut cut = 0;
    for sample in [
        "mysql97-02-silent-drift-noblob-noblob",
        "mariadb118-03-update-update",
        "mysql97-09-compressed-1-1",
        "mariadb118-09-compressed-1-1",
        "mysql97-15-partial-json-drift",
    ] {
        let directory = recorded().join(sample).join("a");
        for tx in transactions(&directory) {
            let (format, events) = events(&directory, &tx);
            for (place, event) in events.iter().enumerate() {
                let body = &event[19..event.len() - 4];
                let mut run = |body: &[u8]| {
                    let mut reader = EvidenceReader::new(tx.coordinates.clone(), None, None);
                    let mut stream =
                        StreamReader::new("f", Arc::new(|_| twinlog::binlog::TablePlan::default()));
                    reader.event(&format).unwrap();
                    stream.event(&format, 4).unwrap();
                    for (at, event) in events.iter().enumerate() {
                        let changed = at == place;
                        let event = if changed { resealed(event, body) } else { event.clone() };
                        if let Ok(Progress::Transaction(read)) = stream.event(&event, 100) {
                            assert!(read.rows.len() <= tx.rows.len() + body.len() * EXPANSION_MAX);
                        }
                        if reader.event(&event).is_err() {
                            return;
                        }
                    }
                    let evidence = reader.finish().unwrap();
                    let changes_max = tx.rows.len() + body.len() * EXPANSION_MAX;
                    assert!(evidence.changes.len() <= changes_max);
                    cut += 1;
                };
                for end in 0..=body.len().min(400) {
                    run(&body[..end]);
                }
                for at in 0..body.len().min(400) {
                    for flip in [0x01, 0x80, 0xff] {
                        let mut body = body.to_vec();
                        body[at] ^= flip;
                        run(&body);
                    }
                }
            }
        }
    }
    assert!(cut > 1000, "{cut}");
}

#[test]
fn what_is_gone_or_another_is_told_with_the_way_out() {
    let directory = recorded().join("mariadb118-03-update-update/a");
    let txs = transactions(&directory);
    let files = resolve_source("a", &directory).unwrap();
    let at = txs[1].coordinates.clone();
    let fail = |at: &Coordinates, gtid: &str| {
        let wanted = Wanted { at: at.clone(), gtid: Some(gtid.to_owned()), row: None };
        read_from_files("a", &files, &wanted).unwrap_err()
    };
    let gone = Coordinates { file: "a-bin.000099".into(), ..at.clone() };
    let error = fail(&gone, "1-1-1");
    assert!(matches!(&error, EvidenceError::Purged { node, file, .. }
        if node == "a" && file == "a-bin.000099"));
    assert!(error.to_string().contains("a-bin.000099 is gone from "), "{error}");
    assert!(error.to_string().contains("hint: "), "{error}");

    let other = fail(&at, "7-7-7").to_string();
    assert!(other.contains("and not 7-7-7\n  hint: is this the server"), "{other}");
    let long = Coordinates { end: txs[2].coordinates.end, ..at.clone() };
    let gtid = txs[1].gtid.unwrap().to_string();
    assert!(fail(&long, &gtid).to_string().contains("another transaction begins"));
    let inside = Coordinates { start: at.start + 1, ..at.clone() };
    let _ = fail(&inside, &gtid);
    let past = Coordinates { start: 1 << 40, end: (1 << 40) + 9, ..at };
    assert!(fail(&past, &gtid).to_string().contains("the event ends too early"));
}

#[test]
fn packed_files_give_the_same() {
    let directory = recorded().join("mysql97-03-update-update/a");
    let tx = transactions(&directory).pop().unwrap();
    let plain = read(&directory, &tx).unwrap();
    let packed = tempfile::tempdir().unwrap();
    let bytes = std::fs::read(directory.join(&*tx.coordinates.file)).unwrap();
    let path = packed.path().join(format!("{}.gz", tx.coordinates.file));
    let file = std::fs::File::create(path).unwrap();
    let mut gz = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
    gz.write_all(&bytes).unwrap();
    gz.finish().unwrap();
    assert_eq!(read(packed.path(), &tx).unwrap(), plain);
}

fn sources(sample: &Path) -> EvidenceSources {
    let named = [("a".to_owned(), sample.join("a")), ("b".to_owned(), sample.join("b"))];
    EvidenceSources::new(&named, None).unwrap()
}

/// The first conflict of a recorded scenario, as its record.
fn conflict(sample: &Path) -> Value {
    let said = scan(&sample.join("a"), &sample.join("b"));
    let found = said.findings.iter().find(|record| record.kind == "write_conflict").unwrap();
    serde_json::to_value(found).unwrap()
}

/// A conflict as a divergence: each stream's last of its transactions wrote the row.
fn divergence(mut record: Value) -> Value {
    let mut last = serde_json::Map::new();
    for node in ["a", "b"] {
        let of = record["transactions"].as_array().unwrap().iter();
        let newest = of
            .filter(|tx| !tx["coordinates"][node].is_null())
            .max_by_key(|tx| tx["coordinates"][node]["start"].as_u64());
        let write = newest.map(|tx| {
            let absent = tx["operation"] == "delete";
            json!({"gtid": tx["gtid"], "origin": tx["origin"], "absent": absent,
                   "coordinates": tx["coordinates"][node]})
        });
        last.insert(node.to_owned(), write.unwrap_or(Value::Null));
    }
    record["kind"] = "divergence".into();
    record["last_written"] = last.into();
    record
}

#[test]
fn an_explanation_shows_both_orders_and_the_rows() {
    let sample = recorded().join("mysql97-03-update-update");
    let record = conflict(&sample);
    let explanation = explain(&record, &sources(&sample)).unwrap();
    assert!(explanation.is_whole());
    let text = explanation_text(&explanation, false);
    for line in text.lines().filter(|line| !line.contains("mysqlbinlog")) {
        assert!(line.chars().count() <= 100, "{line}");
    }
    assert!(text.contains("\"one\" -> \"fromA\""), "{text}");
    assert!(text.contains("!* v "), "{text}");
    assert!(
        text.contains("mysqlbinlog --base64-output=decode-rows -vv --start-position="),
        "{text}"
    );
    let json = explanation.to_json();
    assert_eq!(json["order"]["a"]["shown"][0]["origin"], "a", "{json}");
    assert_eq!(json["order"]["b"]["shown"][0]["origin"], "b", "{json}");
    let change =
        |node: &str, tx: usize| json["transactions"][tx]["streams"][node]["changes"][0].clone();
    assert_eq!(change("a", 0)["before"]["v"], "one");
    assert_eq!(change("b", 0)["before"]["v"], "fromB");
    assert_eq!(change("b", 0)["after"], json!({"id": 1, "v": "fromA", "n": 10, "b": "0x6262"}));
}

#[test]
fn without_sources_an_explanation_says_how_to_get_the_rows() {
    let record = conflict(&recorded().join("mariadb118-03-update-update"));
    let explanation = explain(&record, &EvidenceSources::default()).unwrap();
    let text = explanation_text(&explanation, false);
    assert!(text.contains("name the nodes' binlogs (NODE=DIRECTORY)"), "{text}");
    assert!(text.contains("  mariadb-binlog --base64-output"), "{text}");
    assert!(explain(&json!({"id": "1"}), &EvidenceSources::default()).is_err());
    assert!(explain(&json!([1]), &EvidenceSources::default()).is_err());
}

fn options<'a>(sources: &'a EvidenceSources, winner: Option<&'a str>) -> RepairOptions<'a> {
    RepairOptions { sources, config: None, winner, generated: &[] }
}

#[test]
fn a_repair_makes_the_losers_row_the_winners() {
    let sample = recorded().join("mysql97-03-update-update");
    let (record, sources) = (divergence(conflict(&sample)), sources(&sample));
    let made = repair(std::slice::from_ref(&record), &options(&sources, Some("a"))).unwrap();
    assert!(made.refused.is_empty(), "{:?}", made.refused);
    assert_eq!(made.scripts.len(), 1);
    assert_eq!(made.scripts[0].node, "b");
    // a has what b wrote.
    assert_eq!(
        made.scripts[0].rows[0].statements[0],
        "UPDATE `t`.`x` SET `id` = 1, `v` = 'fromB', `n` = 10, `b` = X'6262' WHERE `id` = 1;"
    );
    let text = made.text();
    assert!(text.contains("-- winner a: by --winner\n-- its row: a a-bin.000001:"), "{text}");

    let none = repair(std::slice::from_ref(&record), &options(&sources, None)).unwrap();
    assert!(none.refused[0].reason.contains("give --winner NODE, one of a, b"));
    let mut healed = record.clone();
    healed["state"] = "healed".into();
    let made = repair(&[healed], &options(&sources, Some("a"))).unwrap();
    assert!(made.refused[0].reason.contains("healed"));
}

#[test]
fn the_owner_wins_by_table_and_by_row() {
    let sample = recorded().join("mysql97-03-update-update");
    let (record, sources) = (divergence(conflict(&sample)), sources(&sample));
    for (rule, winner) in [
        ("owner = \"b\"", "b"),
        ("rows = { column = \"id\", modulo = 2, remainders = { a = 1, b = 0 } }", "a"),
    ] {
        let text = format!(
            "[nodes.a]\nserver_ids=[1]\n[nodes.b]\nserver_ids=[2]\n[[ownership]]\n\
             tables = [\"t.*\"]\n{rule}\n"
        );
        let config = Config::parse(&text, "test").unwrap();
        let options = RepairOptions { config: Some(&config), ..options(&sources, None) };
        let made = repair(std::slice::from_ref(&record), &options).unwrap();
        assert!(made.refused.is_empty(), "{:?}", made.refused);
        assert_eq!(made.scripts[0].rows[0].winner, winner);
        assert_eq!(made.scripts[0].rows[0].why, "the owner by ownership rule 1 (t.*)");
    }
}

#[test]
fn partial_images_are_refused_with_the_reason() {
    let sample = recorded().join("mysql97-02-silent-drift-minimal-minimal");
    let directory = sample.join("a");
    let tx = transactions(&directory)
        .into_iter()
        .find(|tx| tx.rows.iter().any(|row| row.operation.as_str() == "update"))
        .unwrap();
    let at = &tx.coordinates;
    let place = json!({"file": &*at.file, "start": at.start, "end": at.end});
    let gtid = tx.gtid.unwrap().to_string();
    let key = &decode_key(
        &tx.tables[0],
        &tx.tables[0].primary_key,
        tx.key_bytes_of(&tx.rows[0].keys.unwrap()[0]),
    )
    .unwrap()[0];
    let record = json!({
        "id": "00ff", "kind": "divergence", "state": "open", "table": tx.tables[0].full_name(),
        "key": {key.0.clone(): key.1.to_json()}, "index": "PRIMARY",
        "transactions": [{"origin": "a", "gtid": gtid, "committed_at": "",
                          "coordinates": {"a": place, "b": null}}],
        "last_written": {"a": {"gtid": gtid, "absent": false, "coordinates": place}, "b": null},
    });
    let sources = sources(&sample);
    let made = repair(&[record], &options(&sources, Some("a"))).unwrap();
    assert!(made.scripts.is_empty());
    assert!(made.refused[0].reason.contains("binlog_row_image=FULL"), "{:?}", made.refused);
}

/// Runs the program; gives its exit code, output and errors.
fn twinlog(arguments: &[&str]) -> (i32, String, String) {
    let program = env!("CARGO_BIN_EXE_twinlog");
    let output = std::process::Command::new(program).args(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn the_command_line_explains_and_repairs() {
    let sample = recorded().join("mariadb118-03-update-update");
    let record = divergence(conflict(&sample));
    let directory = tempfile::tempdir().unwrap();
    let findings = directory.path().join("findings.ndjson");
    std::fs::write(&findings, format!("{record}\n")).unwrap();
    let from = format!("--from={}", findings.display());
    let id = &record["id"].as_str().unwrap()[..6];
    let source = |node: &str| format!("{node}={}", sample.join(node).display());
    let (a, b) = (source("a"), source("b"));

    let (code, text, errors) = twinlog(&["findings", "explain", id, &from, &a, &b]);
    assert_eq!((code, errors.as_str()), (0, ""));
    assert!(text.contains("\n  | update t.x set v='fromA' where id=1\n"), "{text}");
    let explain_json = ["findings", "explain", id, &from, "--format=json", &a];
    let (code, text, _) = twinlog(&explain_json);
    let json: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(code, 0);
    assert_eq!(
        json["transactions"][0]["streams"]["b"]["error"],
        "no source of this node was given"
    );

    let repair = |more: &[&str]| twinlog(&[&["findings", "repair", &from, &a, &b], more].concat());
    let (code, text, _) = repair(&["--all-open", "--winner", "b"]);
    assert_eq!(code, 0);
    assert!(text.starts_with("-- ===== for node a =====\n"), "{text}");
    assert!(text.contains("\nSET SESSION sql_log_bin = 0;\n"), "{text}");
    assert!(text.contains("`v` = 'fromA'"), "{text}");
    let (code, text, errors) = repair(&[id]);
    assert_eq!(code, 3);
    assert!(
        text.contains("-- ===== not repaired =====") && errors.contains("--winner"),
        "{errors}"
    );
    assert_eq!(repair(&[]).0, 2);
    assert_eq!(repair(&["ffff"]).0, 2);
    assert_eq!(repair(&["--all-open", "--winner=b", "c=no/such/directory"]).0, 2);
    let (code, _, errors) = twinlog(&["findings", "explain", id, &a]);
    assert_eq!(code, 2);
    assert!(errors.contains("--store") && errors.contains("--from"), "{errors}");
}
