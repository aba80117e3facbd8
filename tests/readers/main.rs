//! Another reader of the same binlogs: `mysql_common`, which knows nothing of the code here. Of every
//! recorded file it has to see the same events by type, the same rows by table and operation, and
//! the same integers and texts in them. Where it is known to be wrong, that is said here by name;
//! everything else has to be equal.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod cdc;
#[path = "../support/mod.rs"]
mod support;

use mysql_common::{
    binlog::{
        BinlogFile,
        consts::{BinlogVersion, EventType},
        events::{Event, EventData, RowsEventData},
        row::BinlogRow,
        value::BinlogValue,
    },
    value::Value as Theirs,
};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};
use support::recorded::samples;
use twinlog::{
    binlog::{
        Progress, StreamReader, TablePlan,
        event::kind_name,
        evidence::{Cell, Change},
        value::Value,
    },
    feed::{Wanted, read_from_files, resolve_source},
    model::{ColumnType, Operation, Transaction},
};

/// It knows no event of MariaDB's own, so rows in compressed events are not there for it.
const UNSEEN: &str = "rows_compressed";

/// Rows by table and operation.
type Rows = BTreeMap<(String, &'static str), u64>;

/// What a reader makes of a file.
#[derive(Default)]
struct Read {
    events: BTreeMap<&'static str, u64>,
    rows: Rows,
}

/// The images of their rows, in order.
type Images = Vec<[Option<BinlogRow>; 2]>;

fn theirs(bytes: &[u8]) -> (Read, Images) {
    let (mut read, mut images) = (Read::default(), Vec::new());
    let mut file = BinlogFile::new(BinlogVersion::Version4, bytes).unwrap();
    while let Some(event) = file.next() {
        let event = event.unwrap();
        take(&event, &file, &mut read, &mut images);
        if let Ok(EventType::TRANSACTION_PAYLOAD_EVENT) = event.header().event_type() {
            let Some(EventData::TransactionPayloadEvent(payload)) = event.read_data().unwrap()
            else {
                panic!("a payload");
            };
            let inside = payload.danger_decompress();
            let mut inside = inside.as_slice();
            while let Some(event) = file.reader_mut().read_decompressed(&mut inside).unwrap() {
                take(&event, &file, &mut read, &mut images);
            }
        }
    }
    (read, images)
}

fn take(event: &Event, file: &BinlogFile<&[u8]>, read: &mut Read, images: &mut Images) {
    *read.events.entry(kind_name(event.header().event_type_raw())).or_default() += 1;
    let Ok(Some(EventData::RowsEvent(rows))) = event.read_data() else { return };
    let Some(map) = file.reader().get_tme(rows.table_id()) else { return };
    let table = format!("{}.{}", map.database_name(), map.table_name());
    for row in rows.rows(map) {
        let (before, after) = row.unwrap();
        *read.rows.entry((table.clone(), operation(&rows))).or_default() += 1;
        images.push([before, after]);
    }
}

fn operation(rows: &RowsEventData<'_>) -> &'static str {
    use RowsEventData::{DeleteRowsEvent, DeleteRowsEventV1, WriteRowsEvent, WriteRowsEventV1};
    match rows {
        WriteRowsEvent(_) | WriteRowsEventV1(_) => "insert",
        DeleteRowsEvent(_) | DeleteRowsEventV1(_) => "delete",
        _ => "update",
    }
}

fn ours(name: &str, bytes: &[u8]) -> (Read, Vec<Transaction>) {
    let mut reader = StreamReader::new(name, Arc::new(|_| TablePlan::default()));
    let (mut read, mut transactions, mut at) = (Read::default(), Vec::new(), 4);
    while at < bytes.len() {
        let size = u32::from_le_bytes(bytes[at + 9..at + 13].try_into().unwrap()) as usize;
        if let Progress::Transaction(tx) = reader.event(&bytes[at..at + size], at as u64).unwrap() {
            for row in &tx.rows {
                let table = tx.tables[row.table as usize].full_name();
                let operation = match row.operation {
                    Operation::Insert => "insert",
                    Operation::Update => "update",
                    Operation::Delete => "delete",
                };
                *read.rows.entry((table, operation)).or_default() += 1;
            }
            transactions.push(*tx);
        }
        at += size;
    }
    for (kind, count) in reader.event_counts() {
        *read.events.entry(kind).or_default() += count;
    }
    (read, transactions)
}

/// Every row of these transactions, decoded.
fn changes(path: &Path, transactions: &[Transaction]) -> Vec<Change> {
    let files = resolve_source("a", path).unwrap();
    let decoded = transactions.iter().flat_map(|tx| {
        let gtid = tx.gtid.map(|gtid| gtid.to_string());
        let wanted = Wanted { at: tx.coordinates.clone(), gtid, row: None };
        let evidence = read_from_files("a", &files, &wanted).unwrap();
        assert_eq!((evidence.more, evidence.not_decoded.len()), (0, 0), "{}", path.display());
        evidence.changes
    });
    decoded.collect()
}

/// Values that were compared, and those of types that are not.
#[derive(Default, Debug)]
struct Compared {
    integers: u64,
    texts: u64,
    others: u64,
}

impl Compared {
    fn row(&mut self, change: &Change, ours: Option<&Vec<Cell>>, theirs: Option<&BinlogRow>) {
        let (Some(ours), Some(theirs)) = (ours, theirs) else {
            return assert_eq!(ours.is_some(), theirs.is_some(), "{change:?}");
        };
        // What an image leaves out is not there for them.
        let logged = ours.iter().enumerate().filter(|(_, cell)| **cell != Cell::NotLogged);
        let logged: Vec<_> = logged.collect();
        assert_eq!(logged.len(), theirs.len(), "{change:?}");
        for (at, (column, cell)) in logged.into_iter().enumerate() {
            let kind = &change.of.table.columns[column].kind;
            self.value(kind, cell, theirs.as_ref(at).expect("a value"));
        }
    }

    fn value(&mut self, kind: &ColumnType, ours: &Cell, theirs: &BinlogValue<'_>) {
        let BinlogValue::Value(theirs) = theirs else {
            self.others += 1;
            return;
        };
        match (ours, theirs) {
            (Cell::Null, theirs) => assert_eq!(*theirs, Theirs::NULL),
            (Cell::Value(Value::Int(_) | Value::UInt(_)), _) => {
                assert_eq!(integer(kind, ours), theirs_integer(kind, theirs), "{kind:?}");
                self.integers += 1;
            }
            (Cell::Value(Value::Text(text)), Theirs::Bytes(bytes)) => {
                // CHAR stands without its trailing spaces here.
                let bytes = String::from_utf8_lossy(bytes);
                assert_eq!(text.trim_end_matches(' '), bytes.trim_end_matches(' '), "{kind:?}");
                self.texts += 1;
            }
            (Cell::Recoded(_, ours), Theirs::Bytes(theirs)) => {
                assert_eq!(ours, theirs, "{kind:?}");
                self.texts += 1;
            }
            (Cell::Value(Value::Bytes(ours)), Theirs::Bytes(theirs)) => {
                // BINARY stands at its full width here.
                let mut theirs = theirs.clone();
                theirs.resize(ours.len().max(theirs.len()), 0);
                assert_eq!(*ours, theirs, "{kind:?}");
                self.texts += 1;
            }
            _ => self.others += 1,
        }
    }
}

fn integer(kind: &ColumnType, cell: &Cell) -> i128 {
    let number = match cell {
        Cell::Value(Value::Int(number)) => i128::from(*number),
        Cell::Value(Value::UInt(number)) => i128::from(*number),
        other => panic!("{other:?}"),
    };
    match kind {
        // A negative MEDIUMINT is a positive one for them: -3 is 16777213.
        ColumnType::Int { bytes: 3, .. } => number.rem_euclid(1 << 24),
        _ => number,
    }
}

fn theirs_integer(kind: &ColumnType, theirs: &Theirs) -> i128 {
    let number = match theirs {
        Theirs::Int(number) => i128::from(*number),
        Theirs::UInt(number) => i128::from(*number),
        other => panic!("{kind:?}: {other:?}"),
    };
    match kind {
        ColumnType::Int { bytes: 3, .. } => number.rem_euclid(1 << 24),
        _ => number,
    }
}

fn files() -> Vec<PathBuf> {
    let mut files = Vec::new();
    for sample in samples() {
        for node in ["a", "b", "c"] {
            let Ok(entries) = fs::read_dir(sample.join(node)) else { continue };
            let paths = entries.map(|entry| entry.unwrap().path());
            files.extend(paths.filter(|path| fs::read(path).unwrap().starts_with(b"\xfebin")));
        }
    }
    files.sort();
    files
}

#[test]
fn mysql_common_reads_the_same() {
    let (mut compared, mut rows, mut unseen) = (Compared::default(), 0, 0);
    let files = files();
    for path in &files {
        let bytes = fs::read(path).unwrap();
        let (theirs, images) = theirs(&bytes);
        let name = path.file_name().unwrap().to_string_lossy();
        let (ours, transactions) = ours(&name, &bytes);
        assert_eq!(ours.events, theirs.events, "{}", path.display());
        if ours.events.contains_key(UNSEEN) {
            unseen += 1;
            for (of, count) in &theirs.rows {
                assert!(ours.rows.get(of) >= Some(count), "{}: {of:?}", path.display());
            }
            continue;
        }
        assert_eq!(ours.rows, theirs.rows, "{}", path.display());
        rows += images.len();
        let changes = changes(path, &transactions);
        assert_eq!(changes.len(), images.len(), "{}", path.display());
        for (change, [before, after]) in changes.iter().zip(&images) {
            compared.row(change, change.before.as_ref(), before.as_ref());
            compared.row(change, change.after.as_ref(), after.as_ref());
        }
    }
    println!("{} files, {rows} rows: {compared:?}; {unseen} files with {UNSEEN}", files.len());
    assert!(files.len() >= 120 && rows > 500 && unseen < 10, "{} {rows} {unseen}", files.len());
    assert!(compared.integers > 1000 && compared.texts > 1000, "{compared:?}");
}

#[test]
fn mysql_cdc_reads_the_same() {
    let files = files();
    let theirs = cdc::read(&files);
    let (mut read, mut rows, mut values) = (0, 0, 0);
    for path in &files {
        let theirs = &theirs[path];
        // It does not know the heads of MySQL's files since there are tags in GTIDs.
        if theirs.refused.as_deref() == Some("it came to 127 only") {
            continue;
        }
        assert_eq!(theirs.refused, None, "{}", path.display());
        let bytes = fs::read(path).unwrap();
        let name = path.file_name().unwrap().to_string_lossy();
        let (ours, transactions) = ours(&name, &bytes);
        // It passes over what is compressed, and rows of which only the difference is logged.
        let unknown = [UNSEEN, "transaction_payload", "partial_update_rows"];
        if unknown.iter().any(|kind| ours.events.contains_key(kind)) {
            continue;
        }
        let changes = changes(path, &transactions);
        assert_eq!(changes.len(), theirs.rows.len(), "{}", path.display());
        for (ours, theirs) in changes.iter().zip(&theirs.rows) {
            values += cdc::compare(ours, theirs);
        }
        (read, rows) = (read + 1, rows + changes.len());
    }
    println!("{read} of {} files, {rows} rows, {values} values", files.len());
    assert!(read > 90 && rows > 500 && values > 2000, "{read} {rows} {values}");
}
