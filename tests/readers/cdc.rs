//! A third reader: `mysql_cdc`. It wants OpenSSL, so it is built apart from the program (`peers/`)
//! and tells what it reads as JSON.

use serde_json::Value as Json;
use std::{collections::BTreeMap, env, path::PathBuf, process::Command};
use twinlog::{
    binlog::{
        evidence::{Cell, Change},
        value::Value,
    },
    model::{ColumnType, Operation},
};

/// What it makes of a file: its rows, and why it did not come to the end.
#[derive(Default)]
pub(crate) struct Cdc {
    pub(crate) rows: Vec<Json>,
    pub(crate) refused: Option<String>,
}

pub(crate) fn read(files: &[PathBuf]) -> BTreeMap<PathBuf, Cdc> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    // What cargo tells its tests is about another package.
    command.env_remove("CARGO_TARGET_DIR").env_remove("CARGO_MANIFEST_DIR");
    command.args(["run", "--quiet", "--locked", "--manifest-path", "peers/Cargo.toml", "--"]);
    let output = command.args(files).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}\nscripts/install-deps installs what it wants");
    let mut read = BTreeMap::<PathBuf, Cdc>::new();
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let line: Json = serde_json::from_str(line).unwrap();
        let of_file = read.entry(line["file"].as_str().unwrap().into()).or_default();
        match line.get("refused") {
            Some(refused) => of_file.refused = refused.as_str().map(str::to_owned),
            None => of_file.rows.push(line),
        }
    }
    read
}

/// Compares a row; gives the number of values that were compared.
pub(crate) fn compare(ours: &Change, theirs: &Json) -> u64 {
    let operation = match ours.operation {
        Operation::Insert => "insert",
        Operation::Update => "update",
        Operation::Delete => "delete",
    };
    assert_eq!(theirs["operation"], operation, "{ours:?}");
    assert_eq!(theirs["table"], ours.of.table.full_name(), "{ours:?}");
    let mut values = 0;
    for (image, place) in [&ours.before, &ours.after].into_iter().zip([0, 1]) {
        let theirs = theirs_of(&theirs["images"][place]);
        let Some(image) = image else {
            assert!(theirs.is_none(), "{ours:?}");
            continue;
        };
        let theirs = theirs.unwrap();
        assert_eq!(image.len(), theirs.len(), "{ours:?}");
        for (column, (cell, theirs)) in image.iter().zip(theirs).enumerate() {
            if matches!(cell, Cell::Json(_) | Cell::Undecoded(_)) {
                // For them JSON is bytes.
                continue;
            }
            let kind = &ours.of.table.columns[column].kind;
            assert_eq!(
                as_theirs(kind, cell, theirs),
                theirs.map(str::to_owned),
                "{kind:?} {cell:?}"
            );
            values += 1;
        }
    }
    values
}

fn theirs_of(image: &Json) -> Option<Vec<Option<&str>>> {
    Some(image.as_array()?.iter().map(Json::as_str).collect())
}

/// Our value as they would say it.
fn as_theirs(kind: &ColumnType, cell: &Cell, theirs: Option<&str>) -> Option<String> {
    let value = match cell {
        Cell::NotLogged | Cell::Null | Cell::Json(_) | Cell::Undecoded(_) => return None,
        Cell::Recoded(_, bytes) => return Some(bytes_as(bytes, theirs)),
        Cell::Value(value) => value,
    };
    Some(match (kind, value) {
        (_, Value::Null) => return None,
        // They know no signs.
        (ColumnType::Int { bytes, .. }, Value::Int(number)) => {
            format!("int {}", *number as u64 & (u64::MAX >> (64 - 8 * u32::from(*bytes))))
        }
        (_, Value::Int(number)) => format!("int {number}"),
        (_, Value::UInt(number)) => format!("int {number}"),
        (_, Value::Float(number)) => format!("float {:x}", number.to_bits()),
        (_, Value::Double(number)) => format!("double {:x}", number.to_bits()),
        (_, Value::Decimal(digits)) => format!("decimal {digits}"),
        (ColumnType::Timestamp { .. } | ColumnType::OldTimestamp, Value::Time(text)) => {
            let utc = format!("{}Z", text.replace(' ', "T"));
            format!("timestamp {}", utc.parse::<jiff::Timestamp>().unwrap().as_millisecond())
        }
        (ColumnType::Date, Value::Time(text)) => format!("time {text}"),
        (_, Value::Time(text)) => {
            // They have three digits of the fraction, however many there are.
            let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
            format!("time {whole}.{:0<3.3}", fraction)
        }
        // Theirs has no year 0.
        (_, Value::Year(year)) => format!("year {}", (*year).max(1900)),
        (_, Value::Bit { value, .. }) => format!("bit {value}"),
        (_, Value::Enum(place)) => format!("enum {place}"),
        (_, Value::Set(labels)) => format!("set {labels}"),
        (_, Value::Text(text)) => bytes_as(text.as_bytes(), theirs),
        (_, Value::Bytes(bytes)) => bytes_as(bytes, theirs),
    })
}

/// Bytes as they say them: text, however it is encoded, of CHAR, BINARY and their like; bytes of
/// BLOB and TEXT.
fn bytes_as(bytes: &[u8], theirs: Option<&str>) -> String {
    if theirs.is_some_and(|theirs| theirs.starts_with("bytes ")) {
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        return format!("bytes {hex}");
    }
    // BINARY stands at its full width here, and CHAR without its trailing spaces.
    let text = String::from_utf8_lossy(bytes);
    format!("text {}", text.trim_end_matches('\0'))
}
