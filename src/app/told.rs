//! A finding as its record tells it: what a scan or a watch printed, read back.

use crate::{
    binlog::evidence::RowOf,
    model::{Coordinates, file_number},
};
use serde_json::{Map, Value};

/// A finding, read back from its JSON record.
pub(super) struct Told<'a> {
    pub(super) record: &'a Value,
    pub(super) transactions: Vec<ToldTransaction<'a>>,
    /// The names of the streams, as the coordinates have them.
    pub(super) streams: Vec<&'a str>,
    /// By node: where its stream last wrote the row; empty where the record does not say.
    pub(super) last_written: Vec<(&'a str, Option<ToldWrite<'a>>)>,
}

/// A transaction of a finding.
pub(super) struct ToldTransaction<'a> {
    pub(super) origin: Option<&'a str>,
    pub(super) gtid: Option<&'a str>,
    pub(super) operation: Option<&'a str>,
    pub(super) committed_at: &'a str,
    /// By stream, where it shows the transaction.
    pub(super) coordinates: Vec<(&'a str, Option<Coordinates>)>,
}

/// Where a stream last wrote a row.
pub(super) struct ToldWrite<'a> {
    pub(super) gtid: Option<&'a str>,
    pub(super) origin: Option<&'a str>,
    pub(super) is_absent: bool,
    pub(super) at: Coordinates,
}

impl<'a> Told<'a> {
    /// Reads a record.
    ///
    /// # Errors
    /// What is no finding, and why.
    pub(super) fn read(record: &'a Value) -> anyhow::Result<Told<'a>> {
        let no_finding = |what: &str| {
            anyhow::anyhow!(
                "no finding of twinlog's: {what}\n  hint: give what twinlog scan --format ndjson, \
                 or json, has printed"
            )
        };
        let fields = record.as_object().ok_or_else(|| no_finding("it is no JSON object"))?;
        if fields.get("id").and_then(Value::as_str).is_none() {
            return Err(no_finding("it has no id"));
        }
        let listed = fields.get("transactions").and_then(Value::as_array);
        let listed = listed.ok_or_else(|| no_finding("it has no transactions"))?;
        let mut transactions = Vec::new();
        let mut streams: Vec<&str> = Vec::new();
        for one in listed {
            let by_node = one.get("coordinates").and_then(Value::as_object);
            let by_node = by_node.ok_or_else(|| no_finding("a transaction has no coordinates"))?;
            let mut coordinates = Vec::new();
            for (node, at) in by_node {
                let at = match at {
                    Value::Null => None,
                    at => Some(place(at).ok_or_else(|| no_finding("coordinates are incomplete"))?),
                };
                coordinates.push((node.as_str(), at));
                if !streams.contains(&node.as_str()) {
                    streams.push(node);
                }
            }
            transactions.push(ToldTransaction {
                origin: text(one, "origin"),
                gtid: text(one, "gtid"),
                operation: text(one, "operation"),
                committed_at: text(one, "committed_at").unwrap_or_default(),
                coordinates,
            });
        }
        let mut last_written = Vec::new();
        for (node, write) in
            fields.get("last_written").and_then(Value::as_object).into_iter().flatten()
        {
            let write = match write {
                Value::Null => None,
                write => {
                    let at = write.get("coordinates").and_then(place);
                    let at = at.ok_or_else(|| no_finding("last_written has no coordinates"))?;
                    Some(ToldWrite {
                        gtid: text(write, "gtid"),
                        origin: text(write, "origin"),
                        is_absent: write.get("absent").and_then(Value::as_bool).unwrap_or(false),
                        at,
                    })
                }
            };
            last_written.push((node.as_str(), write));
            if !streams.contains(&node.as_str()) {
                streams.push(node);
            }
        }
        streams.sort_unstable();
        Ok(Told { record, transactions, streams, last_written })
    }

    /// A text field of the record; empty where there is none.
    pub(super) fn text(&self, field: &str) -> &'a str {
        text(self.record, field).unwrap_or_default()
    }

    pub(super) fn key(&self) -> Option<&'a Map<String, Value>> {
        self.record.get("key").and_then(Value::as_object)
    }

    /// The row it is about; `None` where it is about none, or its key could not be decoded.
    pub(super) fn row(&self) -> Option<RowOf> {
        let key = self.key().filter(|key| !key.contains_key("#key"))?;
        Some(RowOf { table: text(self.record, "table")?.to_owned(), key: key.clone() })
    }
}

fn text<'a>(value: &'a Value, field: &str) -> Option<&'a str> {
    value.get(field).and_then(Value::as_str)
}

fn place(at: &Value) -> Option<Coordinates> {
    let number = |field| at.get(field).and_then(Value::as_u64);
    Some(Coordinates {
        file: text(at, "file")?.into(),
        start: number("start")?,
        end: number("end")?,
    })
}

/// What orders places of one stream: the file's number first, which grows a digit one day.
pub(super) fn order(at: &Coordinates) -> (u64, &str, u64) {
    (file_number(&at.file).unwrap_or(u64::MAX), &at.file, at.start)
}
