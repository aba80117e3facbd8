//! Bytes of the fuzzer as bodies of events, and both readers of these.

use std::sync::Arc;
use twinlog::{
    binlog::{
        Progress, StreamReader, TablePlan, TablePlans,
        event::{HEADER_BYTES, kind},
        evidence::{Evidence, EvidenceReader},
        value,
    },
    model::{ColumnSchema, Coordinates, KeyPart, TableSchema, Transaction, UniqueSchema},
};

/// Bytes of a transaction that the stream reader holds: past this rows are counted.
pub const TRANSACTION_BYTES_MAX: usize = 1 << 20;

/// Which server logs, and how.
#[derive(Clone, Copy)]
pub struct Dialect {
    pub mariadb: bool,
    pub checksums: bool,
    /// What is known of tables beside their maps: nothing, a rule and a column that is ignored, or
    /// a schema too.
    pub plan: u8,
}

impl Dialect {
    /// As the bits of a byte say.
    pub fn of(bits: u8) -> Dialect {
        Dialect { mariadb: bits & 1 != 0, checksums: bits & 2 != 0, plan: bits >> 2 & 3 }
    }

    /// The event that opens a file.
    pub fn format_description(self) -> Vec<u8> {
        let mut body = 4_u16.to_le_bytes().to_vec();
        body.extend(if self.mariadb { &b"10.11.6-MariaDB"[..] } else { b"8.0.36" });
        body.resize(2 + 50 + 4, 0);
        body.push(HEADER_BYTES as u8);
        body.extend([8; 40]);
        body.push(self.checksums.into());
        Dialect { checksums: true, ..self }.event(kind::FORMAT_DESCRIPTION, &body)
    }

    /// A whole event.
    pub fn event(self, event_kind: u8, body: &[u8]) -> Vec<u8> {
        let checksum_bytes = if self.checksums { 4 } else { 0 };
        let size = HEADER_BYTES + body.len() + checksum_bytes;
        let mut bytes = 1_700_000_000_u32.to_le_bytes().to_vec();
        bytes.push(event_kind);
        bytes.extend(7_u32.to_le_bytes());
        bytes.extend((size as u32).to_le_bytes());
        bytes.extend([0; 6]);
        bytes.extend(body);
        if self.checksums {
            bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
        }
        bytes
    }

    /// The reader of a stream of such events.
    pub fn reader(self) -> StreamReader {
        let reader = StreamReader::new("a-bin.000001", plans(self.plan));
        reader.bounded(TRANSACTION_BYTES_MAX)
    }
}

/// What is known of every table beside its map.
pub fn plans(plan: u8) -> TablePlans {
    let known = (plan == 2).then(|| Arc::new(known()));
    let plan = match plan {
        0 => TablePlan::default(),
        _ => TablePlan { rule_column: Some("id".into()), ignore_columns: vec!["at".into()], known },
    };
    Arc::new(move |_| plan.clone())
}

/// `id INT UNSIGNED PRIMARY KEY, v VARCHAR(20), n INT, at VARCHAR(20), UNIQUE u (v, n)`.
fn known() -> TableSchema {
    let column = |(name, definition): (&str, &str)| ColumnSchema {
        name: name.to_owned(),
        definition: definition.to_owned(),
        collation: None,
        collation_id: definition.starts_with("varchar").then_some(45),
    };
    let part = |column| KeyPart { column: Some(column), prefix: None };
    let columns =
        [("id", "int(10) unsigned"), ("v", "varchar(20)"), ("n", "int(11)"), ("at", "varchar(20)")];
    let parts = vec![part(1), part(2)];
    TableSchema {
        columns: columns.map(column).to_vec(),
        primary_key: vec![part(0)],
        unique_keys: vec![UniqueSchema { name: "u".into(), parts, is_nullable: true }],
    }
}

/// Both readers, on one sequence of events.
pub struct Streams {
    dialect: Dialect,
    reader: StreamReader,
    /// `None` once it has refused an event of the transaction.
    evidence: Option<EvidenceReader>,
    offset: u64,
    /// The last transaction, as either of them tells it.
    pub told: Option<(Box<Transaction>, Option<Evidence>)>,
    /// What the stream reader said last.
    pub progress: Option<Progress>,
}

impl Streams {
    pub fn new(dialect: Dialect) -> Streams {
        let mut reader = dialect.reader();
        let format = dialect.format_description();
        assert_eq!(reader.event(&format, 4), Ok(Progress::Nothing));
        let offset = 4 + format.len() as u64;
        let mut streams =
            Streams { dialect, reader, evidence: None, offset, told: None, progress: None };
        streams.evidence = Some(streams.new_evidence());
        streams
    }

    fn new_evidence(&self) -> EvidenceReader {
        let at = Coordinates { file: "a-bin.000001".into(), start: self.offset, end: self.offset };
        let mut evidence = EvidenceReader::new(at, None, None);
        evidence.event(&self.dialect.format_description()).expect("a format description");
        evidence
    }

    /// Gives both the next event.
    pub fn take(&mut self, event_kind: u8, body: &[u8]) {
        let bytes = self.dialect.event(event_kind, body);
        if self.evidence.as_mut().is_some_and(|evidence| evidence.event(&bytes).is_err()) {
            self.evidence = None;
        }
        let progress = self.reader.event(&bytes, self.offset);
        self.offset += bytes.len() as u64;
        self.progress = match progress {
            Ok(Progress::Transaction(tx)) => {
                check(&tx, self.offset);
                let evidence = self.evidence.take().and_then(|reader| reader.finish().ok());
                self.evidence = Some(self.new_evidence());
                if let Some(evidence) = &evidence {
                    agree(&tx, evidence);
                }
                self.told = Some((tx, evidence));
                None
            }
            Ok(progress) => Some(progress),
            Err(error) => {
                assert!(!error.to_string().is_empty());
                None
            }
        };
    }
}

/// Whether all places in a transaction are places in it, and all keys keys.
pub fn check(tx: &Transaction, end: u64) {
    assert!(tx.coordinates.start <= tx.coordinates.end && tx.coordinates.end <= end);
    for row in &tx.rows {
        let table = &tx.tables[row.table as usize];
        for key in row.keys.iter().flatten() {
            let bytes = tx.key_bytes_of(key);
            let _ = value::decode_key(table, &table.primary_key, bytes);
        }
        if let Some(place) = row.rule_values {
            assert!(tx.rule_values.get(place as usize + 1).is_some());
        }
    }
    for take in &tx.unique_takes {
        let table = &tx.tables[tx.rows[take.row as usize].table as usize];
        let key = &table.unique_keys[usize::from(take.index)];
        assert!(value::decode_key(table, &key.columns, tx.key_bytes_of(&take.key)).is_ok());
    }
    assert!(tx.weight() > 0);
}

/// Whether two readers that can tell all of a transaction tell as many rows.
fn agree(tx: &Transaction, evidence: &Evidence) {
    let tells_all = tx.blind_spots.is_empty() && evidence.not_decoded.is_empty();
    if tells_all && evidence.more == 0 {
        assert_eq!(tx.rows.len(), evidence.changes.len(), "{tx:?}\n{evidence:?}");
        for (row, change) in tx.rows.iter().zip(&evidence.changes) {
            assert_eq!(row.operation, change.operation);
        }
    }
}

/// Cuts a record of type, length (2 bytes) and body off; the last one may be shorter.
pub fn record<'a>(bytes: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    let (&[kind, low, high], rest) = bytes.split_first_chunk::<3>()?;
    let length = usize::from(u16::from_le_bytes([low, high])).min(rest.len());
    let (body, rest) = rest.split_at(length);
    *bytes = rest;
    Some((kind, body))
}

/// A record that [`record`] cuts off.
pub fn write_record(kind: u8, body: &[u8], out: &mut Vec<u8>) {
    let length = u16::try_from(body.len()).unwrap_or(u16::MAX);
    out.push(kind);
    out.extend(length.to_le_bytes());
    out.extend(&body[..usize::from(length)]);
}
