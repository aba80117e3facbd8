//! What `mysql_cdc`, another reader of binlogs, makes of files: a line of JSON for each row, or for
//! what it cannot read. `tests/readers.rs` compares it with what twinlog makes of them.
//!
//! Usage: `twinlog-peers FILE...`. A value is text that begins with its kind, or null.

use mysql_cdc::{
    binlog_reader::BinlogReader,
    events::{
        binlog_event::BinlogEvent,
        row_events::{mysql_value::MySqlValue, row_data::RowData},
    },
};
use serde_json::{Value, json};
use std::{collections::BTreeMap, fs::File, panic};

fn main() {
    // It panics on some of what it does not know; that is one more thing it cannot read.
    panic::set_hook(Box::new(|_| {}));
    for path in std::env::args().skip(1) {
        let (read, mut lines) = (path.clone(), Vec::new());
        let whole = panic::catch_unwind(panic::AssertUnwindSafe(|| rows(&read, &mut lines)));
        let refused = match whole {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error),
            Err(_) => Some("it panicked".to_owned()),
        };
        lines.iter().for_each(|line| println!("{line}"));
        println!("{}", json!({ "file": path, "refused": refused }));
    }
}

fn rows(path: &str, lines: &mut Vec<Value>) -> Result<(), String> {
    let reader = BinlogReader::new(File::open(path).map_err(|error| error.to_string())?);
    let (mut tables, mut at) = (BTreeMap::new(), 4);
    for event in reader.map_err(|error| format!("{error:?}"))?.read_events() {
        let (header, event) = event.map_err(|error| format!("{error:?}"))?;
        at += u64::from(header.event_length);
        let mut row =
            |id: u64, operation: &str, before: Option<&RowData>, after: Option<&RowData>| {
                lines.push(json!({
                    "file": path,
                    "table": tables.get(&id),
                    "operation": operation,
                    "images": [before.map(cells), after.map(cells)],
                }));
            };
        match event {
            BinlogEvent::TableMapEvent(map) => {
                let name = format!("{}.{}", map.database_name, map.table_name);
                tables.insert(map.table_id, name);
            }
            BinlogEvent::WriteRowsEvent(event) => {
                event
                    .rows
                    .iter()
                    .for_each(|after| row(event.table_id, "insert", None, Some(after)));
            }
            BinlogEvent::DeleteRowsEvent(event) => {
                event.rows.iter().for_each(|of| row(event.table_id, "delete", Some(of), None));
            }
            BinlogEvent::UpdateRowsEvent(event) => {
                for of in &event.rows {
                    let (before, after) = (&of.before_update, &of.after_update);
                    row(event.table_id, "update", Some(before), Some(after));
                }
            }
            _ => {}
        }
    }
    // It takes an event that it does not understand for the file's end.
    match std::fs::metadata(path).map(|file| file.len()) {
        Ok(length) if length == at => Ok(()),
        _ => Err(format!("it came to {at} only")),
    }
}

fn cells(row: &RowData) -> Vec<Option<String>> {
    row.cells.iter().map(|cell| cell.as_ref().map(text)).collect()
}

fn text(value: &MySqlValue) -> String {
    match value {
        MySqlValue::TinyInt(number) => format!("int {number}"),
        MySqlValue::SmallInt(number) => format!("int {number}"),
        MySqlValue::MediumInt(number) | MySqlValue::Int(number) => format!("int {number}"),
        MySqlValue::BigInt(number) => format!("int {number}"),
        MySqlValue::Float(number) => format!("float {:x}", number.to_bits()),
        MySqlValue::Double(number) => format!("double {:x}", number.to_bits()),
        MySqlValue::Decimal(digits) => format!("decimal {digits}"),
        MySqlValue::String(text) => format!("text {text}"),
        MySqlValue::Bit(bits) => {
            // The lowest first.
            let number = bits.iter().rev().fold(0_u64, |sum, bit| sum << 1 | u64::from(*bit));
            format!("bit {number}")
        }
        MySqlValue::Enum(place) => format!("enum {place}"),
        MySqlValue::Set(labels) => format!("set {labels}"),
        MySqlValue::Blob(bytes) => {
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("bytes {hex}")
        }
        MySqlValue::Year(year) => format!("year {year}"),
        MySqlValue::Date(date) => {
            format!("time {:04}-{:02}-{:02}", date.year, date.month, date.day)
        }
        MySqlValue::Time(time) => {
            format!(
                "time {:02}:{:02}:{:02}.{:03}",
                time.hour, time.minute, time.second, time.millis
            )
        }
        MySqlValue::DateTime(time) => format!(
            "time {:04}-{:02}-{:02} {:02}:{:02}:{:02}.{:03}",
            time.year, time.month, time.day, time.hour, time.minute, time.second, time.millis
        ),
        MySqlValue::Timestamp(millis) => format!("timestamp {millis}"),
    }
}
