//! Primary keys that random tests write: as SQL, as findings have them, and as a client prints
//! them.
#![allow(dead_code, unreachable_pub, reason = "not every test that compiles this uses it")]

use serde_json::{Map, Value, json};

/// One column of a key.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Part {
    Int(i64),
    Bytes([u8; 16]),
    Text(&'static str),
}

/// A primary key.
pub type Key = Vec<Part>;

impl Part {
    pub fn sql(&self) -> String {
        match self {
            Part::Int(value) => value.to_string(),
            Part::Bytes(value) => format!("0x{}", hex(value)),
            Part::Text(value) => format!("'{value}'"),
        }
    }

    /// As findings have it.
    pub fn json(&self) -> Value {
        match self {
            Part::Int(value) => json!(value),
            Part::Bytes(value) => json!(format!("0x{}", hex(value))),
            Part::Text(value) => json!(value),
        }
    }

    /// As the client prints it; bytes by way of `LOWER(HEX())`.
    pub fn shown(&self) -> String {
        match self {
            Part::Int(value) => value.to_string(),
            Part::Bytes(value) => hex(value),
            Part::Text(value) => (*value).to_owned(),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A key as findings have it, from its columns' names and values.
pub fn key_json<'a>(columns: impl Iterator<Item = (&'a str, Value)>) -> String {
    let columns = columns.map(|(name, value)| (name.to_owned(), value));
    Value::Object(columns.collect::<Map<_, _>>()).to_string()
}

/// From 1 to `count`.
pub fn ints(count: i64) -> Vec<Key> {
    (1..=count).map(|id| vec![Part::Int(id)]).collect()
}

/// Full width, with zeros and blanks at either end, which a server leaves out of the log.
pub fn bytes() -> Vec<Key> {
    let mut keys = vec![[0; 16], [0xff; 16], [b' '; 16], *b"0123456789abcdef"];
    let filled = |at: usize, byte: u8, fill: u8| {
        let mut key = [fill; 16];
        key[at] = byte;
        key
    };
    keys.extend([filled(0, 1, 0), filled(15, 1, 0), filled(7, 0x80, 0), filled(3, 0xc3, b' ')]);
    keys.into_iter().map(|key| vec![Part::Bytes(key)]).collect()
}

/// One of latin1 and one of utf8mb4.
pub fn pairs() -> Vec<Key> {
    const LATIN: [&str; 4] = ["é", "e", "€uro", "señor œ"];
    const WIDE: [&str; 3] = ["ж", "日本", "a😀"];
    let pairs = LATIN.iter().flat_map(|l| WIDE.iter().map(|u| vec![Part::Text(l), Part::Text(u)]));
    pairs.collect()
}
