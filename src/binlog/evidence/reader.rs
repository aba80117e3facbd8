//! Reads the events of one transaction and decodes them.

use super::{
    CHANGE_BYTES_MAX, CHANGES_MAX, Cell, Change, Evidence, RowOf, STATEMENTS_MAX, TableFacts,
    image::{decode_cell, decode_diffs, payload},
    labels::column_facts,
};
use crate::{
    binlog::{
        ReadError, TablePlan,
        bytes::{Bytes, Short},
        compressed::{self, ExpandError, Payload},
        event::{self, CHECKSUM_BYTES, Format, HEADER_BYTES, Header, kind, kind_name},
        gtid,
        layout::Layout,
        statement::{Meaning, meaning},
    },
    model::{Column, ColumnType, CommitTime, Coordinates, GtidSource, Operation},
};
use std::{collections::BTreeMap, sync::Arc};

/// Why a transaction cannot be decoded.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum EvidenceFault {
    /// An event that cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Another transaction begins at the place, or none.
    #[error("the transaction there is {found}, and not {wanted}")]
    Other {
        /// The GTID that was looked for.
        wanted: String,
        /// What is there.
        found: String,
    },
    /// A second transaction begins before the first one's end.
    #[error("another transaction begins before this one's end")]
    End,
}

impl From<Short> for EvidenceFault {
    fn from(short: Short) -> Self {
        ReadError::from(short).into()
    }
}

/// Reads one transaction, event by event, and decodes it.
///
/// # Invariants
/// No input makes it panic, or take more than [`CHANGE_BYTES_MAX`] and a few times the memory that
/// it is long; of a compressed transaction one event is expanded at a time.
pub struct EvidenceReader {
    wanted: Option<String>,
    row: Option<RowOf>,
    format: Option<Format>,
    /// By the table ids of this file.
    tables: BTreeMap<u64, Result<Arc<TableFacts>, String>>,
    evidence: Evidence,
    begun: bool,
    /// Bytes of the changes that are kept.
    change_bytes: usize,
    /// The statement whose rows come next.
    statement: Option<Arc<str>>,
}

impl EvidenceReader {
    /// A reader of the transaction at this place.
    ///
    /// # Input
    /// `gtid` is the transaction that is expected there, in the server's notation; `row` the only
    /// row whose changes are kept, all rows where there is none. Where the transaction has no such
    /// row to the letter, rows are kept whose text differs in case or trailing spaces only: the
    /// finding may have been told under another spelling, which the column's collation takes for
    /// the same.
    pub fn new(at: Coordinates, gtid: Option<&str>, row: Option<RowOf>) -> Self {
        let evidence = Evidence {
            server_version: String::new(),
            gtid: None,
            server_id: 0,
            committed_at: CommitTime::default(),
            coordinates: at,
            statements: Vec::new(),
            changes: Vec::new(),
            more: 0,
            not_decoded: Vec::new(),
        };
        EvidenceReader {
            wanted: gtid.map(str::to_owned),
            row,
            format: None,
            tables: BTreeMap::new(),
            evidence,
            begun: false,
            change_bytes: 0,
            statement: None,
        }
    }

    /// Takes the file's format description, and then every event from the transaction's start to
    /// its end, each whole: header, body and checksum.
    ///
    /// # Errors
    /// [`EvidenceFault`]: it cannot be decoded. Never panics.
    pub fn event(&mut self, bytes: &[u8]) -> Result<(), EvidenceFault> {
        let header = Header::read(bytes).map_err(ReadError::from)?;
        if header.event_bytes as usize != bytes.len() || bytes.len() < HEADER_BYTES {
            return Err(ReadError::EventBytes(header.event_bytes).into());
        }
        let is_format = header.kind == kind::FORMAT_DESCRIPTION;
        if is_format {
            self.format = Some(Format::read(bytes).map_err(ReadError::Format)?);
        }
        let format = self.format.as_ref().ok_or(ReadError::NoFormat)?;
        let mut end = bytes.len();
        if format.checksums {
            event::verify_checksum(bytes).map_err(|(stored, computed)| ReadError::Checksum {
                kind: kind_name(header.kind),
                stored,
                computed,
            })?;
            end = end.checked_sub(CHECKSUM_BYTES).ok_or(ReadError::Truncated)?;
        }
        if is_format {
            self.evidence.server_version.clone_from(&format.server_version);
            return Ok(());
        }
        let body = bytes.get(HEADER_BYTES..end).ok_or(ReadError::Truncated)?;
        self.begin(&header, body)?;
        self.dispatch(&header, body)
    }

    /// Adds a statement whose text came by another way than the events.
    pub fn add_statement(&mut self, text: &str) -> Arc<str> {
        let text: Arc<str> = text.into();
        match self.evidence.statements.len() < STATEMENTS_MAX {
            true => self.evidence.statements.push(text.clone()),
            false => self.evidence.more += 1,
        }
        text
    }

    /// Takes the text of the statement whose rows come next.
    fn statement(&mut self, text: &str) {
        self.statement = Some(self.add_statement(text));
    }

    /// The transaction, once all its events have been taken.
    ///
    /// # Errors
    /// There was none.
    pub fn finish(mut self) -> Result<Evidence, EvidenceFault> {
        if !self.begun {
            return Err(ReadError::Truncated.into());
        }
        if let Some(row) = &self.row
            && self.evidence.changes.iter().any(|change| change.is_of(row))
        {
            self.evidence.changes.retain(|change| change.is_of(row));
        }
        Ok(self.evidence)
    }

    /// Takes the first event: it must be the GTID event of the transaction that was asked for.
    fn begin(&mut self, header: &Header, body: &[u8]) -> Result<(), EvidenceFault> {
        let read = match header.kind {
            kind::MARIADB_GTID => Some(gtid::read_mariadb_gtid(body, header.server_id)),
            kind::GTID_TAGGED => Some(gtid::read_tagged_gtid(body)),
            kind::GTID => Some(gtid::read_mysql_gtid(body, None)),
            kind::ANONYMOUS_GTID => Some(gtid::read_mysql_gtid(body, Some(header.server_id))),
            _ => None,
        };
        match (self.begun, &read) {
            (true, None) => return Ok(()),
            (true, Some(_)) => return Err(EvidenceFault::End),
            (false, _) => self.begun = true,
        }
        let event = read.unwrap_or(Ok(Default::default())).map_err(|_| ReadError::Gtid("GTID"))?;
        let found = event.gtid.map(|gtid| gtid.to_string());
        // What was counted stands in no log.
        let counted = format!("{}-", GtidSource::Counted { server_id: header.server_id });
        let is_it = |wanted: &String| match &found {
            Some(found) => found == wanted,
            None => wanted.starts_with(&counted),
        };
        if let Some(wanted) = self.wanted.as_ref().filter(|wanted| !is_it(wanted)) {
            let found = found.unwrap_or("one without a GTID".to_owned());
            return Err(EvidenceFault::Other { wanted: wanted.clone(), found });
        }
        self.evidence.gtid = event.gtid;
        self.evidence.server_id = header.server_id;
        self.evidence.committed_at = match event.original_micros {
            Some(micros) => CommitTime::from_micros(micros),
            None => CommitTime::from_seconds(header.timestamp),
        };
        Ok(())
    }

    fn dispatch(&mut self, header: &Header, body: &[u8]) -> Result<(), EvidenceFault> {
        use Operation::{Delete, Insert, Update};
        match header.kind {
            kind::QUERY => self.query(body, 0)?,
            kind::EXECUTE_LOAD_QUERY => self.query(body, 13)?,
            kind::ROWS_QUERY => {
                // One byte of length, which is that of the first 255 bytes at most.
                self.statement(&String::from_utf8_lossy(body.get(1..).unwrap_or_default()));
            }
            kind::ANNOTATE_ROWS => self.statement(&String::from_utf8_lossy(body)),
            kind::TABLE_MAP => self.table_map(body)?,
            kind::WRITE_ROWS | kind::WRITE_ROWS_V1 => self.rows(header, body, Insert),
            kind::UPDATE_ROWS | kind::UPDATE_ROWS_V1 | kind::PARTIAL_UPDATE_ROWS => {
                self.rows(header, body, Update);
            }
            kind::DELETE_ROWS | kind::DELETE_ROWS_V1 => self.rows(header, body, Delete),
            kind::INCIDENT => self.not_decoded("the server lost events here (an incident event)"),
            kind::START_ENCRYPTION => return Err(ReadError::Encrypted.into()),
            kind::TRANSACTION_PAYLOAD => {
                if let Err(error) = self.payload(body)? {
                    self.not_decoded(&error.to_string());
                }
            }
            kind if compressed::plain_kind(kind).is_some() => {
                let mut plain = Vec::new();
                match compressed::expand(kind, body, &mut plain) {
                    Ok(kind) => self.dispatch(&Header { kind, ..*header }, &plain)?,
                    Err(error) => self.not_decoded(&error.to_string()),
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Takes the events of a compressed transaction, up to one that cannot be expanded.
    fn payload(&mut self, body: &[u8]) -> Result<Result<(), ExpandError>, EvidenceFault> {
        let mut payload = match Payload::open(body) {
            Ok(payload) => payload,
            Err(error) => return Ok(Err(error)),
        };
        let mut event = Vec::new();
        loop {
            match payload.next(&mut event) {
                Ok(Some(header)) => self.dispatch(&header, &event[HEADER_BYTES..])?,
                Ok(None) => return Ok(Ok(())),
                Err(error) => return Ok(Err(error)),
            }
        }
    }

    fn query(&mut self, body: &[u8], extra_post_header: usize) -> Result<(), Short> {
        let mut bytes = Bytes(body);
        bytes.take(8)?;
        let schema_bytes = usize::from(bytes.u8()?);
        bytes.take(2)?;
        let status_bytes = usize::from(bytes.u16()?);
        bytes.take(extra_post_header + status_bytes)?;
        let schema = String::from_utf8_lossy(bytes.take(schema_bytes)?).into_owned();
        bytes.u8()?;
        let text = String::from_utf8_lossy(bytes.0);
        match meaning(&schema, &text) {
            Meaning::Work(_) => self.statement(&text),
            Meaning::Rollback => self.not_decoded("the transaction was rolled back"),
            _ => {}
        }
        Ok(())
    }

    fn table_map(&mut self, body: &[u8]) -> Result<(), Short> {
        let mut bytes = Bytes(body);
        let (table_id, _flags) = (bytes.uint(6)?, bytes.u16()?);
        let mariadb = self.evidence.is_mariadb();
        let compiled = Layout::compile(bytes.0, mariadb, &|_| TablePlan::default());
        let compiled = compiled.map_err(|error| error.to_string());
        let described = compiled.and_then(|layout| {
            let columns =
                column_facts(bytes.0, &layout.table).map_err(|short| short.to_string())?;
            Ok(Arc::new(TableFacts { table: layout.table, columns }))
        });
        self.tables.insert(table_id, described);
        Ok(())
    }

    fn rows(&mut self, header: &Header, body: &[u8], operation: Operation) {
        let mut bytes = Bytes(body);
        let Ok(table_id) = bytes.uint(6) else { return self.not_decoded("a row event too short") };
        // An event that only ends a statement names no table.
        if bytes.len() <= 2 || table_id == 0x00ff_ffff {
            return;
        }
        let facts = match self.tables.get(&table_id) {
            Some(Ok(facts)) => facts.clone(),
            Some(Err(error)) => {
                let what = format!("rows of a table whose map cannot be read: {error}");
                return self.not_decoded(&what);
            }
            None => return self.not_decoded("row events without a table map"),
        };
        let is_wanted = |row: &RowOf| row.table == facts.table.full_name();
        if !self.row.as_ref().is_none_or(is_wanted) {
            return;
        }
        if self.walk(bytes, header.kind, operation, &facts).is_err() {
            let table = facts.table.full_name();
            self.not_decoded(&format!("a row event of {table} ends inside a row"));
        }
    }

    fn walk(
        &mut self,
        mut body: Bytes<'_>,
        event_kind: u8,
        operation: Operation,
        facts: &Arc<TableFacts>,
    ) -> Result<(), Short> {
        body.u16()?;
        if event::has_extra_data(event_kind) {
            let extra = usize::from(body.u16()?).checked_sub(2).ok_or(Short)?;
            body.take(extra)?;
        }
        let columns = facts.columns.len();
        if body.lenenc()? != columns as u64 {
            return Err(Short);
        }
        let first = body.take(columns.div_ceil(8))?;
        let second = match operation {
            Operation::Update => body.take(columns.div_ceil(8))?,
            _ => first,
        };
        while !body.is_empty() {
            let left = body.len();
            let (mut before, mut after) = (None, None);
            let mut documents = Vec::new();
            if operation != Operation::Insert {
                before = Some(image(facts, first, &mut body, &mut documents, &[])?);
            }
            let bits = match event_kind {
                kind::PARTIAL_UPDATE_ROWS => partial_bits(facts, &mut body)?,
                _ => &[],
            };
            if operation != Operation::Delete {
                after = Some(image(facts, second, &mut body, &mut documents, bits)?);
            }
            if body.len() == left {
                // A table whose rows take no bytes would never end.
                return Err(Short);
            }
            let is_unknown =
                |(at, cell): (usize, &Cell)| *cell == Cell::NotLogged && bit(second, at);
            if after.iter().flatten().enumerate().any(is_unknown) {
                self.not_decoded(
                    "a document that the log has as diffs alone, or that they do not fit",
                );
            }
            let statement = self.statement.clone();
            self.keep(Change { of: facts.clone(), operation, before, after, statement });
        }
        Ok(())
    }

    fn keep(&mut self, change: Change) {
        if !self.row.as_ref().is_none_or(|row| change.is_like(row)) {
            return;
        }
        let bytes = self.change_bytes + change.bytes();
        if self.evidence.changes.len() >= CHANGES_MAX || bytes > CHANGE_BYTES_MAX {
            self.evidence.more += 1;
            return;
        }
        self.change_bytes = bytes;
        self.evidence.changes.push(change);
    }

    /// Notes once what cannot be decoded.
    fn not_decoded(&mut self, what: &str) {
        if !self.evidence.not_decoded.iter().any(|known| known == what) {
            self.evidence.not_decoded.push(what.to_owned());
        }
    }
}

/// Takes what stands before the after image of a partial update: a bit for each column of JSON.
fn partial_bits<'a>(facts: &TableFacts, body: &mut Bytes<'a>) -> Result<&'a [u8], Short> {
    let is_json = |column: &&Column| matches!(column.kind, ColumnType::Json { .. });
    match body.lenenc()? {
        0 => Ok(&[]),
        1 => body.take(facts.table.columns.iter().filter(is_json).count().div_ceil(8)),
        _ => Err(Short),
    }
}

/// Decodes one image, a cell a column.
///
/// `documents` are those of the image before, a place for each column of JSON in the table, where
/// `diffs` has a bit set for diffs of it; they become those of this image.
fn image<'a>(
    facts: &TableFacts,
    present: &[u8],
    body: &mut Bytes<'a>,
    documents: &mut Vec<Option<&'a [u8]>>,
    diffs: &[u8],
) -> Result<Vec<Cell>, Short> {
    let before = std::mem::take(documents);
    let columns = facts.table.columns.iter().zip(&facts.columns);
    let count = (0..facts.columns.len()).filter(|at| bit(present, *at)).count();
    let nulls = body.take(count.div_ceil(8))?;
    let mut cells = Vec::with_capacity(facts.columns.len());
    let mut place = 0;
    for (at, (column, of)) in columns.enumerate() {
        let is_json = matches!(column.kind, ColumnType::Json { .. });
        let document = documents.len();
        if is_json {
            documents.push(None);
        }
        if !bit(present, at) {
            cells.push(Cell::NotLogged);
            continue;
        }
        let is_null = bit(nulls, place);
        place += 1;
        if is_null {
            cells.push(Cell::Null);
            continue;
        }
        let (cell, taken) = match is_json && bit(diffs, document) {
            true => decode_diffs(&column.kind, before.get(document).copied().flatten(), body.0),
            false => decode_cell(&column.kind, of.is_compressed, body.0),
        }
        .map_err(|_| Short)?;
        let value = body.take(taken)?;
        if is_json {
            documents[document] = Some(payload(&column.kind, value, taken));
        }
        cells.push(cell);
    }
    Ok(cells)
}

/// Bit `at` of a bitmap, the first in the lowest bit.
fn bit(bitmap: &[u8], at: usize) -> bool {
    bitmap.get(at / 8).is_some_and(|byte| byte >> (at % 8) & 1 == 1)
}
