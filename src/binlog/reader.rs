//! Events in, transactions out.

use super::{
    bytes::{Bytes, Short},
    compressed::{self, ExpandError, Payload},
    event::{self, CHECKSUM_BYTES, Format, HEADER_BYTES, Header, kind, kind_name},
    gtid::{self, GtidEvent},
    layout::Layout,
    plan::TablePlans,
    read_error::ReadError,
    room::{self, PAST_BOUND, PAST_TABLES, Room, TABLES_MAX},
    rows::{RowsError, RowsEvent, Scratch},
    statement::{Meaning, meaning},
    xa::read_prepare,
};
use crate::model::{
    BlindSpot, BlindSpotReason, CommitTime, Coordinates, GtidSet, Operation, Statement,
    StatementKind, Table, Transaction, XaStep,
};
use hashbrown::HashMap;
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_128;

/// What an event brought.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Progress {
    /// Nothing to tell yet.
    Nothing,
    /// What the server had logged before this file.
    Baseline(GtidSet),
    /// A whole transaction.
    Transaction(Box<Transaction>),
    /// The stream goes on in another file.
    Rotate {
        /// Its base name.
        file: String,
        /// The offset there, in bytes.
        position: u64,
    },
}

/// Reads one node's stream, event by event.
///
/// # Invariants
/// No input makes it panic. Every event is either understood, or known to change no row, or
/// counted in a blind spot of the transaction around it.
pub struct StreamReader {
    plans: TablePlans,
    file: Arc<str>,
    format: Option<Format>,
    /// Layouts by the table ids of this file.
    tables: HashMap<u64, Result<Arc<Layout>, String>>,
    /// Layouts by the hash of their table map's body: servers repeat it for every statement.
    layouts: HashMap<u128, Arc<Layout>>,
    /// Columns of all in `tables`, and in `layouts`.
    columns: [usize; 2],
    scratch: Scratch,
    open: Option<Open>,
    transaction_bytes_max: usize,
    events: [u64; 256],
    /// The body of a compressed event, expanded; kept for its capacity.
    plain: Vec<u8>,
    /// An event of a transaction payload; kept for its capacity.
    inner: Vec<u8>,
}

/// Layouts kept at most; past that the cache starts afresh.
const LAYOUTS_MAX: usize = 20_000;

/// Columns of these at most: some 100 bytes each.
const COLUMNS_MAX: usize = 2_000_000;

/// Bytes of a statement's text that are kept.
const STATEMENT_BYTES_MAX: usize = 4096;

/// A transaction that has begun and not ended.
struct Open {
    tx: Transaction,
    /// Layouts of `tx.tables`, at the same places.
    layouts: Vec<Arc<Layout>>,
    /// A BEGIN was read, or the GTID event implies it: an end will follow.
    begun: bool,
    prepared_xa: bool,
    /// An ALTER TABLE in it is only begun, or given up.
    unfinished_alter: bool,
    /// Bytes of its statements.
    text_bytes: usize,
    /// Where the file ends that it begins in, if it goes on in another.
    left_file_at: Option<u64>,
}

impl StreamReader {
    /// A reader of a stream that begins in `file`.
    pub fn new(file: &str, plans: TablePlans) -> Self {
        StreamReader {
            plans,
            file: Arc::from(file),
            format: None,
            tables: HashMap::new(),
            layouts: HashMap::new(),
            columns: [0; 2],
            scratch: Scratch::default(),
            open: None,
            transaction_bytes_max: usize::MAX,
            events: [0; 256],
            plain: Vec::new(),
            inner: Vec::new(),
        }
    }

    /// The same, that holds so many bytes of a transaction: further rows are counted in a blind
    /// spot.
    #[must_use]
    pub fn bounded(mut self, transaction_bytes_max: usize) -> Self {
        self.transaction_bytes_max = transaction_bytes_max;
        self
    }

    /// Bytes of the transaction that has begun and not ended; a few are not counted.
    pub fn unfinished_bytes(&self) -> usize {
        self.open.as_ref().map_or(0, Open::bytes)
    }

    /// The stream goes on in another file. Table maps count on where a transaction goes on with it:
    /// its rows may come after them.
    pub fn enter_file(&mut self, file: &str) {
        if *self.file != *file {
            self.file = Arc::from(file);
        }
        if self.open.is_none() {
            self.forget_tables();
        }
    }

    /// The file ends here. A transaction that goes on in the next one is known by its place in this
    /// one, up to the file's end.
    pub fn leave_file(&mut self, end: u64) {
        if let Some(open) = &mut self.open {
            open.left_file_at.get_or_insert(end);
        }
    }

    fn forget_tables(&mut self) {
        self.tables.clear();
        self.columns[0] = 0;
    }

    /// What the last format description said.
    pub fn format(&self) -> Option<&Format> {
        self.format.as_ref()
    }

    /// The GTID of the transaction that has begun and not ended.
    pub fn unfinished(&self) -> Option<String> {
        let open = self.open.as_ref()?;
        Some(open.tx.gtid.map_or("without a GTID".to_owned(), |gtid| gtid.to_string()))
    }

    /// Whether a transaction has begun and not ended.
    pub fn is_inside(&self) -> bool {
        self.open.is_some()
    }

    /// Reads what comes with other plans. To be called between two transactions: row events refer
    /// to table maps of their own transaction.
    pub fn set_plans(&mut self, plans: TablePlans) {
        self.plans = plans;
        self.forget_tables();
        self.layouts.clear();
        self.columns[1] = 0;
    }

    /// Forgets a transaction that has begun: the stream starts again before it.
    pub fn forget_unfinished(&mut self) {
        self.open = None;
    }

    /// Events read, by the names of [`event::kind_name`].
    pub fn event_counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self.events.iter().enumerate().filter(|(_, count)| **count > 0);
        counts.map(|(kind, count)| (kind_name(kind as u8), *count))
    }

    /// Takes the next event, whole: header, body and checksum.
    ///
    /// # Input
    /// Untrusted bytes; `offset` is where the event begins in the file.
    ///
    /// # Errors
    /// [`ReadError`]: the stream cannot be read past this event.
    pub fn event(&mut self, bytes: &[u8], offset: u64) -> Result<Progress, ReadError> {
        let header = Header::read(bytes)?;
        if header.event_bytes as usize != bytes.len() || bytes.len() < HEADER_BYTES {
            return Err(ReadError::EventBytes(header.event_bytes));
        }
        self.events[usize::from(header.kind)] += 1;
        if header.kind == kind::FORMAT_DESCRIPTION {
            return self.format_description(bytes);
        }
        let format = self.format.as_ref().ok_or_else(|| event::no_format(&header, bytes))?;
        let mut end = bytes.len();
        if format.checksums {
            event::verify_checksum(bytes).map_err(|(stored, computed)| {
                let kind = kind_name(header.kind);
                ReadError::Checksum { kind, stored, computed }
            })?;
            end = end.checked_sub(CHECKSUM_BYTES).ok_or(ReadError::Truncated)?;
        }
        let body = bytes.get(HEADER_BYTES..end).ok_or(ReadError::Truncated)?;
        let event_end = offset.saturating_add(bytes.len() as u64);
        self.dispatch(&header, body, offset, event_end)
    }

    fn format_description(&mut self, bytes: &[u8]) -> Result<Progress, ReadError> {
        let format = Format::read(bytes).map_err(ReadError::Format)?;
        if format.checksums {
            event::verify_checksum(bytes).map_err(|(stored, computed)| {
                let kind = kind_name(kind::FORMAT_DESCRIPTION);
                ReadError::Checksum { kind, stored, computed }
            })?;
        }
        if format.table_map_post_header != 8 {
            let version = &format.server_version;
            return Err(ReadError::Format(format!("server {version} is too old (before 5.1.4)")));
        }
        self.format = Some(format);
        Ok(Progress::Nothing)
    }

    fn dispatch(
        &mut self,
        header: &Header,
        body: &[u8],
        offset: u64,
        end: u64,
    ) -> Result<Progress, ReadError> {
        match header.kind {
            kind::TABLE_MAP => self.table_map(body),
            kind::GTID | kind::ANONYMOUS_GTID | kind::GTID_TAGGED | kind::MARIADB_GTID => {
                self.begin_transaction(header, body, offset)?;
            }
            kind::QUERY => return self.query(header, body, 0, offset, end),
            kind::EXECUTE_LOAD_QUERY => return self.query(header, body, 13, offset, end),
            kind::XID => return Ok(self.commit(end)),
            kind::XA_PREPARE => return Ok(self.xa_prepare(body, end)),
            kind::PREVIOUS_GTIDS => {
                let set = gtid::read_previous_gtids(body);
                return set.map(Progress::Baseline).map_err(|_| ReadError::Gtid("previous GTIDs"));
            }
            kind::GTID_LIST => {
                let set = gtid::read_gtid_list(body);
                return set.map(Progress::Baseline).map_err(|_| ReadError::Gtid("GTID list"));
            }
            kind::ROTATE => {
                let mut bytes = Bytes(body);
                let position = bytes.u64()?;
                let file = String::from_utf8_lossy(bytes.0).into_owned();
                return Ok(Progress::Rotate { file, position });
            }
            kind::START_ENCRYPTION => return Err(ReadError::Encrypted),
            kind::TRANSACTION_PAYLOAD => return Ok(self.payload(header, body, offset, end)),
            kind if compressed::plain_kind(kind).is_some() => {
                return self.expanded(header, body, offset, end);
            }
            kind::STOP
            | kind::INTVAR
            | kind::RAND
            | kind::USER_VAR
            | kind::APPEND_BLOCK
            | kind::DELETE_FILE
            | kind::BEGIN_LOAD_QUERY
            | kind::HEARTBEAT
            | kind::HEARTBEAT_V2
            | kind::IGNORABLE
            | kind::ROWS_QUERY
            | kind::ANNOTATE_ROWS
            | kind::TRANSACTION_CONTEXT
            | kind::VIEW_CHANGE
            | kind::BINLOG_CHECKPOINT => {}
            _ => return Ok(self.work(header, body, offset, end)),
        }
        Ok(Progress::Nothing)
    }

    /// Takes an event that changes rows, or may: outside of a transaction it is one of its own.
    fn work(&mut self, header: &Header, body: &[u8], offset: u64, end: u64) -> Progress {
        let outside = self.open.is_none();
        self.open_at(header, offset).writes_at(header);
        match header.kind {
            kind::WRITE_ROWS | kind::WRITE_ROWS_V1 => self.rows(header, body, Operation::Insert),
            kind::UPDATE_ROWS | kind::UPDATE_ROWS_V1 | kind::PARTIAL_UPDATE_ROWS => {
                self.rows(header, body, Operation::Update);
            }
            kind::DELETE_ROWS | kind::DELETE_ROWS_V1 => self.rows(header, body, Operation::Delete),
            kind::INCIDENT => self.blind(BlindSpotReason::Incident, "incident events", 1),
            _ => self.unsupported(header),
        }
        let Some(open) = &self.open else { return Progress::Nothing };
        if outside && open.tx.rows.is_empty() && open.tx.blind_spots.is_empty() {
            self.open = None;
            return Progress::Nothing;
        }
        let whole = match header.kind {
            // No COMMIT follows it when no BEGIN came before.
            kind::INCIDENT => !open.begun,
            _ => outside,
        };
        if whole { self.commit(end) } else { Progress::Nothing }
    }

    /// Takes an event of MariaDB's that is compressed by itself.
    fn expanded(
        &mut self,
        header: &Header,
        body: &[u8],
        offset: u64,
        end: u64,
    ) -> Result<Progress, ReadError> {
        let mut plain = std::mem::take(&mut self.plain);
        let progress = match compressed::expand(header.kind, body, &mut plain) {
            Ok(kind) => self.dispatch(&Header { kind, ..*header }, &plain, offset, end),
            Err(error) => {
                let outside = self.open.is_none();
                let open = self.open_at(header, offset);
                open.blind(error.reason(), None, &error.to_string(), 1);
                // No COMMIT follows a statement when no BEGIN came before.
                let whole = outside || header.kind == kind::QUERY_COMPRESSED && !open.begun;
                Ok(if whole { self.commit(end) } else { Progress::Nothing })
            }
        };
        compressed::trim(&mut plain);
        self.plain = plain;
        progress
    }

    /// Takes a transaction of MySQL's that is compressed as a whole, but for its GTID event.
    fn payload(&mut self, header: &Header, body: &[u8], offset: u64, end: u64) -> Progress {
        self.open_at(header, offset);
        let mut inner = std::mem::take(&mut self.inner);
        let mut whole = None;
        let read = self.payload_events(body, &mut inner, [offset, end], &mut whole);
        compressed::trim(&mut inner);
        self.inner = inner;
        if whole.is_none()
            && let Progress::Transaction(tx) = self.commit(end)
        {
            whole = Some(tx);
        }
        let Some(mut tx) = whole else { return Progress::Nothing };
        if let Err(error) = read {
            let (reason, detail) = (error.reason(), error.to_string());
            tx.blind_spots.push(BlindSpot { reason, table: None, detail, count: 1 });
        }
        Progress::Transaction(tx)
    }

    /// Takes the events of a payload; the last of them ends the transaction, as one in the file.
    fn payload_events(
        &mut self,
        body: &[u8],
        inner: &mut Vec<u8>,
        [offset, end]: [u64; 2],
        whole: &mut Option<Box<Transaction>>,
    ) -> Result<(), ExpandError> {
        let damaged = || ExpandError::Damaged(kind_name(kind::TRANSACTION_PAYLOAD));
        let mut payload = Payload::open(body)?;
        while let Some(header) = payload.next(inner)? {
            if whole.is_some() {
                return Err(damaged());
            }
            self.events[usize::from(header.kind)] += 1;
            match self.dispatch(&header, &inner[HEADER_BYTES..], offset, end) {
                Ok(Progress::Transaction(tx)) => *whole = Some(tx),
                Ok(_) => {}
                Err(_) => return Err(damaged()),
            }
        }
        Ok(())
    }

    fn begin_transaction(
        &mut self,
        header: &Header,
        body: &[u8],
        offset: u64,
    ) -> Result<(), ReadError> {
        if let Some(unfinished) = self.unfinished() {
            return Err(ReadError::Unfinished(unfinished));
        }
        // Table maps come again with every statement; servers number tables anew now and then.
        if self.tables.len() >= LAYOUTS_MAX || self.columns[0] >= COLUMNS_MAX {
            self.forget_tables();
        }
        let read = match header.kind {
            kind::MARIADB_GTID => gtid::read_mariadb_gtid(body, header.server_id),
            kind::GTID_TAGGED => gtid::read_tagged_gtid(body),
            kind::ANONYMOUS_GTID => gtid::read_mysql_gtid(body, Some(header.server_id)),
            _ => gtid::read_mysql_gtid(body, None),
        };
        let event = read.map_err(|_| ReadError::Gtid("GTID"))?;
        let implied = header.kind == kind::MARIADB_GTID && !event.standalone;
        self.open = Some(Open::new(self.file.clone(), header, &event, offset, implied));
        Ok(())
    }

    /// The open transaction; one without a GTID event begins here if none is.
    fn open_at(&mut self, header: &Header, offset: u64) -> &mut Open {
        let file = &self.file;
        self.open.get_or_insert_with(|| {
            Open::new(file.clone(), header, &GtidEvent::default(), offset, false)
        })
    }

    fn query(
        &mut self,
        header: &Header,
        body: &[u8],
        extra_post_header: usize,
        offset: u64,
        end: u64,
    ) -> Result<Progress, ReadError> {
        let mut bytes = Bytes(body);
        let (_thread, _seconds) = (bytes.u32()?, bytes.u32()?);
        let schema_bytes = usize::from(bytes.u8()?);
        let _error = bytes.u16()?;
        let status_bytes = usize::from(bytes.u16()?);
        bytes.take(extra_post_header)?;
        bytes.take(status_bytes)?;
        let schema = String::from_utf8_lossy(bytes.take(schema_bytes)?).into_owned();
        bytes.u8()?;
        let text = String::from_utf8_lossy(bytes.0);
        let meaning = meaning(&schema, &text);
        self.open_at(header, offset);
        let Some(open) = &mut self.open else { return Ok(Progress::Nothing) };
        match meaning {
            Meaning::Begin | Meaning::Inside => open.begun = true,
            Meaning::Commit => return Ok(self.commit(end)),
            Meaning::Xa(step) => {
                if step.is_none() {
                    open.blind(BlindSpotReason::Xa, None, UNNAMED_XA, 1);
                }
                open.tx.xa = step;
                return Ok(self.commit(end));
            }
            Meaning::Rollback => return Ok(self.rollback(end)),
            Meaning::Work(mut kind) => {
                open.writes_at(header);
                if open.unfinished_alter {
                    kind = StatementKind::Other;
                }
                let text = first_words(&text).to_owned();
                open.text_bytes += size_of::<Statement>() + text.len();
                match open.bytes() > self.transaction_bytes_max {
                    true => open.blind(BlindSpotReason::BoundReached, None, PAST_BOUND, 1),
                    false => open.tx.statements.push(Statement { schema, text, kind }),
                }
                if !open.begun {
                    return Ok(self.commit(end));
                }
            }
        }
        Ok(Progress::Nothing)
    }

    fn table_map(&mut self, body: &[u8]) {
        let mut bytes = Bytes(body);
        let (Ok(table_id), Ok(_flags)) = (bytes.uint(6), bytes.u16()) else { return };
        let hash = xxh3_128(bytes.0);
        if let Some(layout) = self.layouts.get(&hash) {
            let layout = layout.clone();
            return self.add_table(table_id, Ok(layout));
        }
        let mariadb = self.format.as_ref().is_some_and(Format::is_mariadb);
        let compiled = Layout::compile(bytes.0, mariadb, &*self.plans).map(Arc::new);
        // A schema that did not fit may have been read anew when the table map comes again.
        if let Ok(layout) = &compiled
            && !layout.is_stale
        {
            if self.layouts.len() >= LAYOUTS_MAX || self.columns[1] >= COLUMNS_MAX {
                self.layouts.clear();
                self.columns[1] = 0;
            }
            self.columns[1] += layout.steps.len();
            self.layouts.insert(hash, layout.clone());
        }
        self.add_table(table_id, compiled.map_err(|error| error.to_string()));
    }

    /// Notes what a table id stands for. A transaction past all bounds gets no more of them: its
    /// rows count as rows without a table map.
    fn add_table(&mut self, table_id: u64, layout: Result<Arc<Layout>, String>) {
        if self.tables.len() >= 2 * LAYOUTS_MAX || self.columns[0] >= 2 * COLUMNS_MAX {
            self.tables.remove(&table_id);
            return;
        }
        self.columns[0] += layout.as_ref().map_or(0, |layout| layout.steps.len());
        self.tables.insert(table_id, layout);
    }

    fn rows(&mut self, header: &Header, body: &[u8], operation: Operation) {
        let mut bytes = Bytes(body);
        let (Ok(table_id), Ok(_flags)) = (bytes.uint(6), bytes.u16()) else {
            return self.blind(BlindSpotReason::NoTableMap, "a row event that is too short", 1);
        };
        if bytes.is_empty() || table_id == 0x00ff_ffff {
            // An event that only ends a statement: it names no table and has no rows.
            return;
        }
        let layout = match self.tables.get(&table_id) {
            Some(Ok(layout)) => layout.clone(),
            Some(Err(error)) => {
                let detail = format!("rows of a table whose map cannot be read: {error}");
                return self.blind(BlindSpotReason::NoTableMap, &detail, 1);
            }
            None => {
                return self.blind(
                    BlindSpotReason::NoTableMap,
                    "row events without a table map",
                    1,
                );
            }
        };
        let result = self.walk(bytes, header.kind, operation, &layout);
        if let Err(error) = result {
            self.blind_table(&layout.table, &error.to_string());
        }
    }

    fn walk(
        &mut self,
        mut body: Bytes<'_>,
        event_kind: u8,
        operation: Operation,
        layout: &Arc<Layout>,
    ) -> Result<(), RowsError> {
        if event::has_extra_data(event_kind) {
            let extra = usize::from(body.u16()?).checked_sub(2).ok_or(Short)?;
            body.take(extra)?;
        }
        let is_partial = event_kind == kind::PARTIAL_UPDATE_ROWS;
        let event = RowsEvent::open(body, operation, is_partial, layout)?;
        let Some(open) = &mut self.open else { return Ok(()) };
        let Some(table) = open.table(layout) else {
            open.blind(BlindSpotReason::BoundReached, None, PAST_TABLES, 1);
            return Ok(());
        };
        let rows_before = open.tx.rows.len();
        let mut room = Room::new(self.transaction_bytes_max.saturating_sub(open.text_bytes));
        let walked = event.walk(layout, table, &mut self.scratch, &mut open.tx, &mut room);
        let rows = (open.tx.rows.len() - rows_before) as u64;
        let name = || Some(layout.table.full_name());
        if room.past > 0 {
            open.blind(BlindSpotReason::BoundReached, name(), PAST_BOUND, room.past);
            return walked.map(drop);
        }
        for (reason, detail) in layout.notes.iter().filter(|_| rows > 0) {
            open.blind(*reason, name(), detail, rows);
        }
        let untold = walked?;
        if untold.unique_values > 0 {
            let detail = "the images leave out columns of a unique key: clashes on it are not seen";
            open.blind(BlindSpotReason::PartialImage, name(), detail, untold.unique_values);
        }
        if untold.documents > 0 {
            let detail = "JSON diffs do not fit the document before: what it became is not known";
            open.blind(BlindSpotReason::PartialImage, name(), detail, untold.documents);
        }
        Ok(())
    }

    fn unsupported(&mut self, header: &Header) {
        let detail = match kind_name(header.kind) {
            "other" => format!("events of type {}", header.kind),
            name => format!("{name} events are not read yet"),
        };
        self.blind(BlindSpotReason::UnsupportedEvent, &detail, 1);
    }

    fn blind(&mut self, reason: BlindSpotReason, detail: &str, count: u64) {
        if let Some(open) = &mut self.open {
            open.blind(reason, None, detail, count);
        }
    }

    fn blind_table(&mut self, table: &Table, detail: &str) {
        let Some(open) = &mut self.open else { return };
        open.blind(BlindSpotReason::UnsupportedEvent, Some(table.full_name()), detail, 1);
    }

    fn commit(&mut self, end: u64) -> Progress {
        let Some(mut open) = self.open.take() else { return Progress::Nothing };
        open.tx.coordinates.end = open.left_file_at.unwrap_or(end);
        Progress::Transaction(Box::new(open.tx))
    }

    /// A transaction that wrote to tables without transactions and was then rolled back.
    fn rollback(&mut self, end: u64) -> Progress {
        if let Some(open) = &mut self.open {
            open.drop_rows(BlindSpotReason::UnsupportedEvent, "rows of a rolled back transaction");
        }
        self.commit(end)
    }

    /// XA PREPARE in two phases leaves the rows undecided; in one phase it commits.
    fn xa_prepare(&mut self, body: &[u8], end: u64) -> Progress {
        if let Some(open) = &mut self.open {
            match read_prepare(body) {
                Ok((true, _)) if !open.prepared_xa => {}
                Ok((_, xid)) => open.tx.xa = Some(XaStep::Prepares(xid)),
                Err(Short) => open.drop_rows(BlindSpotReason::Xa, UNNAMED_XA),
            }
        }
        self.commit(end)
    }
}

impl Open {
    fn new(file: Arc<str>, header: &Header, event: &GtidEvent, start: u64, begun: bool) -> Self {
        let committed_at = match event.original_micros {
            Some(micros) => CommitTime::from_micros(micros),
            None => CommitTime::from_seconds(header.timestamp),
        };
        let at = Coordinates { file, start, end: start };
        let tx = Transaction {
            logged_at: event.immediate_micros.map(CommitTime::from_micros),
            ..Transaction::empty(event.gtid, header.server_id, at, committed_at)
        };
        let GtidEvent { prepared_xa, unfinished_alter, .. } = *event;
        let (layouts, text_bytes, left_file_at) = (Vec::new(), 0, None);
        Open { tx, layouts, begun, prepared_xa, unfinished_alter, text_bytes, left_file_at }
    }

    /// Takes the time of a write for that of the commit, where the log has none that copies repeat:
    /// a copy's first event, and its last one, have the time of its last write (MySQL 9.7,
    /// `gtid_mode=OFF`).
    fn writes_at(&mut self, header: &Header) {
        if self.tx.gtid.is_none() {
            self.tx.committed_at = CommitTime::from_seconds(header.timestamp);
        }
    }

    /// Bytes of what grows with rows.
    fn bytes(&self) -> usize {
        room::row_bytes(&self.tx) + self.text_bytes
    }

    /// The place of a table in the transaction; none past [`TABLES_MAX`].
    fn table(&mut self, layout: &Arc<Layout>) -> Option<u32> {
        // Statements mostly write the table that the one before wrote.
        let known = self.layouts.iter().rposition(|known| Arc::ptr_eq(known, layout));
        if known.is_none() {
            if self.layouts.len() >= TABLES_MAX {
                return None;
            }
            self.layouts.push(layout.clone());
            self.tx.tables.push(layout.table.clone());
        }
        Some(known.unwrap_or(self.layouts.len() - 1) as u32)
    }

    fn blind(&mut self, reason: BlindSpotReason, table: Option<String>, detail: &str, count: u64) {
        room::add_spot(&mut self.tx.blind_spots, reason, table, detail, count);
    }

    /// Takes the rows back, as a blind spot per table.
    fn drop_rows(&mut self, reason: BlindSpotReason, detail: &str) {
        let rows = std::mem::take(&mut self.tx.rows);
        self.tx.rule_values.clear();
        self.tx.unique_takes.clear();
        self.tx.key_bytes.clear();
        for (at, table) in self.tx.tables.clone().iter().enumerate() {
            let count = rows.iter().filter(|row| row.table as usize == at).count() as u64;
            if count > 0 {
                self.blind(reason, Some(table.full_name()), detail, count);
            }
        }
        self.tx.tables.clear();
        self.layouts.clear();
    }
}

/// What is said of an XA transaction that cannot be found again.
const UNNAMED_XA: &str = "rows of XA transactions whose name cannot be read";

/// What of a statement is looked at.
fn first_words(text: &str) -> &str {
    let mut end = text.len().min(STATEMENT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binlog::{
        TablePlan,
        room::{PAST_SPOTS, SPOTS_MAX},
    };

    fn event(event_kind: u8, body: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; 4];
        bytes.push(event_kind);
        bytes.extend(7_u32.to_le_bytes());
        bytes.extend((HEADER_BYTES as u32 + body.len() as u32).to_le_bytes());
        bytes.extend([0; 6]);
        bytes.extend(body);
        bytes
    }

    fn reader() -> StreamReader {
        let mut reader = StreamReader::new("a", Arc::new(|_| TablePlan::default()));
        let mut body = 4_u16.to_le_bytes().to_vec();
        body.extend(b"8.0.36");
        body.resize(2 + 50 + 4, 0);
        body.push(HEADER_BYTES as u8);
        body.extend([8; 40]);
        body.extend([0; 5]);
        reader.event(&event(kind::FORMAT_DESCRIPTION, &body), 4).expect("a format description");
        reader
    }

    #[track_caller]
    fn transaction(progress: Result<Progress, ReadError>) -> Box<Transaction> {
        match progress {
            Ok(Progress::Transaction(transaction)) => transaction,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_stands_outside_a_transaction_is_one_of_its_own() {
        let mut reader = reader();
        let rows = [1, 0, 0, 0, 0, 0, 1, 0, 1, 1, 0xff];
        for (event_kind, body, reason) in [
            (kind::INCIDENT, &[1, 0, 0][..], BlindSpotReason::Incident),
            (kind::WRITE_ROWS_V1, &rows, BlindSpotReason::NoTableMap),
            (kind::PARTIAL_UPDATE_ROWS, &rows, BlindSpotReason::NoTableMap),
            (kind::TRANSACTION_PAYLOAD, &rows, BlindSpotReason::UnsupportedEvent),
            (kind::WRITE_ROWS_COMPRESSED_V1, &rows, BlindSpotReason::UnsupportedEvent),
            (kind::QUERY_COMPRESSED, &rows, BlindSpotReason::UnsupportedEvent),
        ] {
            let bytes = event(event_kind, body);
            let tx = transaction(reader.event(&bytes, 100));
            assert_eq!((tx.gtid, tx.server_id, tx.blind_spots.len()), (None, 7, 1));
            assert_eq!(tx.blind_spots[0].reason, reason);
            assert_eq!(tx.coordinates.start, 100);
            assert_eq!(tx.coordinates.end, 100 + bytes.len() as u64);
            assert_eq!(reader.unfinished(), None);
        }
        let statement_end = [0xff, 0xff, 0xff, 0, 0, 0, 1, 0];
        let ended = reader.event(&event(kind::WRITE_ROWS_V1, &statement_end), 100);
        assert_eq!((ended, reader.unfinished()), (Ok(Progress::Nothing), None));
    }

    #[test]
    fn offsets_past_4_gib_are_whole() {
        let mut reader = reader();
        let at = (5 << 32) + 77;
        let mut gtid = vec![0; 17];
        gtid.extend(9_u64.to_le_bytes());
        assert_eq!(reader.event(&event(kind::GTID, &gtid), at), Ok(Progress::Nothing));
        let xid = event(kind::XID, &[0; 8]);
        let tx = transaction(reader.event(&xid, at + 100));
        let end = at + 100 + xid.len() as u64;
        assert_eq!((tx.coordinates.start, tx.coordinates.end), (at, end));
    }

    #[test]
    fn a_payload_is_one_transaction_and_damage_in_it_is_told() {
        let mut query = vec![0; 14];
        query.extend(b"BEGIN");
        let begin = event(kind::QUERY, &query);
        let xid = event(kind::XID, &[0; 8]);
        let incident = event(kind::INCIDENT, &[1, 0, 0]);
        let payload = |events: &[&[u8]]| {
            let bytes = events.concat();
            let head = [2, 3, 0xfc, 255, 0, 1, 1, bytes.len() as u8, 0];
            event(kind::TRANSACTION_PAYLOAD, &[&head[..], &bytes].concat())
        };
        let mut gtid = vec![0; 17];
        gtid.extend(9_u64.to_le_bytes());
        for (events, details) in [
            (vec![&begin[..], &xid], vec![]),
            (vec![&begin, &xid, &xid], vec!["a transaction_payload event is damaged inside"]),
            (vec![&begin], vec![]),
            (
                vec![&begin, &incident],
                vec!["a transaction payload holds an event of type incident"],
            ),
            (vec![&begin, &xid[..9]], vec!["a transaction_payload event is damaged inside"]),
        ] {
            let mut reader = reader();
            assert_eq!(reader.event(&event(kind::GTID, &gtid), 40), Ok(Progress::Nothing));
            let bytes = payload(&events);
            let tx = transaction(reader.event(&bytes, 100));
            let end = 100 + bytes.len() as u64;
            assert_eq!((tx.coordinates.start, tx.coordinates.end), (40, end));
            let told: Vec<&str> = tx.blind_spots.iter().map(|spot| &*spot.detail).collect();
            assert_eq!((told, reader.unfinished()), (details, None));
        }
    }

    #[test]
    fn a_transaction_of_countless_tables_is_counted_past_a_bound() {
        let mut reader = reader();
        let mut gtid = vec![0; 17];
        gtid.extend(9_u64.to_le_bytes());
        assert_eq!(reader.event(&event(kind::GTID, &gtid), 40), Ok(Progress::Nothing));
        for id in 0..TABLES_MAX as u32 + 70 {
            let id = id.to_le_bytes();
            // `s` and four bytes; one column of INT, or of a type that is none.
            let kind = if id[0] % 2 == 0 { 3 } else { 77 };
            let map = [&id[..], &[0, 0, 1, 0, 1, b's', 0, 4], &id, &[0, 1, kind, 0, 1]].concat();
            let rows = [&id[..], &[0, 0, 1, 0, 1, 1], &[0xfe, 7, 0, 0, 0]].concat();
            let rows = if id[1] % 2 == 0 { &rows[..] } else { &rows[..11] };
            for (kind, body) in [(kind::TABLE_MAP, &map[..]), (kind::WRITE_ROWS_V1, rows)] {
                assert_eq!(reader.event(&event(kind, body), 100), Ok(Progress::Nothing));
            }
        }
        let tx = transaction(reader.event(&event(kind::XID, &[0; 8]), 100));
        let spots: u64 = tx.blind_spots.iter().map(|spot| spot.count).sum();
        assert_eq!(tx.rows.len() as u64 + spots, TABLES_MAX as u64 + 70);
        assert!(tx.blind_spots.len() <= SPOTS_MAX + 2, "{}", tx.blind_spots.len());
        assert!(tx.blind_spots.iter().any(|spot| spot.detail == PAST_SPOTS));
    }

    #[test]
    fn an_incident_ends_a_transaction_that_was_not_begun() {
        let mut reader = reader();
        let mut query = vec![0; 14];
        query.extend(b"BEGIN");
        assert_eq!(reader.event(&event(kind::QUERY, &query), 4), Ok(Progress::Nothing));
        let incident = event(kind::INCIDENT, &[1, 0, 0]);
        assert_eq!(reader.event(&incident, 40), Ok(Progress::Nothing));
        let tx = transaction(reader.event(&event(kind::XID, &[0; 8]), 80));
        assert_eq!(tx.blind_spots[0].reason, BlindSpotReason::Incident);
        let mut gtid = vec![0; 17];
        gtid.extend(9_u64.to_le_bytes());
        assert_eq!(reader.event(&event(kind::GTID, &gtid), 120), Ok(Progress::Nothing));
        let tx = transaction(reader.event(&incident, u64::MAX));
        assert_eq!((tx.gtid.map(|gtid| gtid.sequence), tx.blind_spots.len()), (Some(9), 1));
    }
}
