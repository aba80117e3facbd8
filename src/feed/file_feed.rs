//! Streams from binlog files, relay logs and standard input.

use super::{
    BinlogFile, FeedError, FeedItem, Heads, StandardInput,
    continuity::{Continuity, Fit},
    error::window_error,
    packed::{AnyWindow, open},
    relay::{self, IsOwn, RelayLog},
    standard_input::{nth_file, other_server},
    window::WindowError,
};
use crate::{
    binlog::{
        Progress, ReadError, StreamReader, TablePlans,
        event::{self, Header, kind},
    },
    model::{GtidSet, Transaction},
};

/// Delivers the transactions of a stream of files.
pub struct FileFeed {
    node: String,
    reader: StreamReader,
    continuity: Continuity,
    begun: bool,
    relay: Option<RelayLog>,
    /// The servers whose log it is, where that is not known of each file beforehand.
    writers: Option<Vec<u32>>,
}

/// Why reading a file has ended, without an error.
#[derive(PartialEq, Eq)]
enum Ended {
    /// There is nothing more.
    End,
    /// Another file follows on the same input.
    NextFile,
    /// The receiver has gone.
    Unheard,
}

impl FileFeed {
    /// A feed of one node's files.
    pub fn new(node: &str, plans: TablePlans) -> Self {
        FileFeed {
            node: node.to_owned(),
            reader: StreamReader::new("", plans),
            continuity: Continuity::default(),
            begun: false,
            relay: None,
            writers: None,
        }
    }

    /// The same, of files with these heads, which may be relay logs.
    #[must_use]
    pub fn of(mut self, heads: &Heads) -> Self {
        if heads.relayed_to.is_some() {
            self.relay = Some(RelayLog::default());
            self.writers = Some(heads.server_ids.clone());
        }
        self
    }

    /// The same, that holds so many bytes of a transaction: further rows are counted in a blind
    /// spot.
    #[must_use]
    pub fn bounded(mut self, transaction_bytes_max: usize) -> Self {
        self.reader = self.reader.bounded(transaction_bytes_max);
        self
    }

    /// Reads all files in order and gives every item to `deliver`, with the bytes read since the
    /// one before; stops early when `deliver` says no.
    ///
    /// # Errors
    /// The first place that cannot be read; everything before it has been delivered.
    pub fn run(
        &mut self,
        files: &[BinlogFile],
        mut deliver: impl FnMut(FeedItem, u64) -> bool,
    ) -> Result<(), FeedError> {
        for file in files {
            let mut window = open(&self.node, file)?;
            if self.read_file(&mut window, file, &mut deliver)? == Ended::Unheard {
                return Ok(());
            }
        }
        if let (Some(gtid), Some(last)) = (self.reader.unfinished(), files.last()) {
            return Err(self.unfinished(last, gtid));
        }
        self.end(deliver);
        Ok(())
    }

    /// Reads all files on standard input, as [`FileFeed::run`] does; `known` are the servers that
    /// may have written them.
    ///
    /// # Errors
    /// The first place that cannot be read, a file of another server among them; everything before
    /// it has been delivered.
    pub fn run_input(
        &mut self,
        input: StandardInput,
        known: &[u32],
        mut deliver: impl FnMut(FeedItem, u64) -> bool,
    ) -> Result<(), FeedError> {
        self.writers = Some(known.to_vec());
        let mut window = input.window;
        for place in 1.. {
            match self.read_file(&mut window, &nth_file(place), &mut deliver)? {
                Ended::NextFile => {}
                Ended::Unheard => return Ok(()),
                Ended::End => break,
            }
        }
        self.end(deliver);
        Ok(())
    }

    /// Files without a transaction are a stream that begins, too.
    fn end(&mut self, mut deliver: impl FnMut(FeedItem, u64) -> bool) {
        if !self.begun {
            let before = self.relay.as_mut().map(|relay| relay.begin(None));
            deliver(FeedItem::Begin(before.unwrap_or_default()), 0);
        }
    }

    fn read_file(
        &mut self,
        window: &mut AnyWindow,
        file: &BinlogFile,
        deliver: &mut impl FnMut(FeedItem, u64) -> bool,
    ) -> Result<Ended, FeedError> {
        let mut delivered = 0;
        self.reader.enter_file(&file.name);
        window.magic().map_err(|error| self.fail(file, 0, error))?;
        let is_input = self.relay.is_none() && self.writers.is_some();
        loop {
            let offset = window.offset();
            if is_input && window.enters_file().map_err(|error| self.fail(file, offset, error))? {
                return self.leave(file, offset, Ended::NextFile);
            }
            let next = window.event().map_err(|error| self.fail(file, offset, error))?;
            let Some((offset, bytes)) = next else {
                return self.leave(file, offset, Ended::End);
            };
            let end = offset + bytes.len() as u64;
            let progress = self.event(bytes, offset);
            let progress = progress.map_err(|error| self.fail(file, offset, error.into()))?;
            for item in self.items(file, progress, offset)?.into_iter().flatten() {
                if !deliver(item, end - delivered) {
                    return Ok(Ended::Unheard);
                }
                delivered = end;
            }
        }
    }

    fn fail(&self, file: &BinlogFile, offset: u64, error: WindowError) -> FeedError {
        let in_use = self.reader.format().is_some_and(|format| format.in_use);
        window_error(&self.node, file, offset, error, in_use)
    }

    /// The end of a file. Servers end none inside a transaction, but for relay logs.
    fn leave(&mut self, file: &BinlogFile, end: u64, ended: Ended) -> Result<Ended, FeedError> {
        match self.reader.unfinished() {
            Some(gtid) if self.relay.is_none() => {
                Err(self.fail(file, end, ReadError::Unfinished(gtid).into()))
            }
            _ => {
                self.reader.leave_file(end);
                Ok(ended)
            }
        }
    }

    /// Relay logs that end inside a transaction.
    fn unfinished(&self, last: &BinlogFile, gtid: String) -> FeedError {
        FeedError::Read {
            node: self.node.clone(),
            file: last.name.clone(),
            offset: last.bytes,
            source: ReadError::Unfinished(gtid),
            hint: "the replica has not received it whole, and will not apply it; its source's \
                   binlog has it, if that server is still there",
        }
    }

    /// Takes the next event.
    fn event(&mut self, bytes: &[u8], offset: u64) -> Result<Progress, ReadError> {
        let header = Header::read(bytes)?;
        if self.relay.is_none() && event::is_relay_log(bytes) {
            return Err(ReadError::RelayLog);
        }
        let from_server = match self.relay {
            None => header.kind == kind::FORMAT_DESCRIPTION,
            Some(_) => relay::describes_source(&header, bytes),
        };
        if let Some(writers) = &self.writers
            && from_server
            && !writers.contains(&header.server_id)
        {
            // A damaged one is told as such.
            self.reader.event(bytes, offset)?;
            return Err(other_server(header.server_id, writers));
        }
        if self.relay.is_none() || !relay::begins_transaction(&header) {
            return self.reader.event(bytes, offset);
        }
        // After a lost connection the source sends a transaction from its start again.
        let before = self.reader.unfinished();
        self.reader.forget_unfinished();
        let progress = self.reader.event(bytes, offset)?;
        match before.filter(|before| Some(before) != self.reader.unfinished().as_ref()) {
            Some(lost) => Err(ReadError::Unfinished(lost)),
            None => Ok(progress),
        }
    }

    /// What the engine has to be told of an event.
    fn items(
        &mut self,
        file: &BinlogFile,
        progress: Progress,
        offset: u64,
    ) -> Result<[Option<FeedItem>; 2], FeedError> {
        Ok(match (progress, &mut self.relay) {
            (Progress::Baseline(baseline), Some(relay)) => {
                relay.head(&baseline);
                [None, None]
            }
            (Progress::Baseline(baseline), None) => [self.head(file, baseline, offset)?, None],
            (Progress::Transaction(transaction), _) => self.transaction(transaction),
            (Progress::Nothing | Progress::Rotate { .. }, _) => [None, None],
        })
    }

    /// Looks whether a file continues the one before it.
    fn head(
        &mut self,
        file: &BinlogFile,
        baseline: GtidSet,
        offset: u64,
    ) -> Result<Option<FeedItem>, FeedError> {
        let jumped = self.continuity.file(&file.name);
        Ok(match self.continuity.head(&baseline) {
            Fit::First => self.begin(baseline),
            Fit::Continues => jumped.map(|last| {
                let detail = format!("the files between {last} and {} were not read", file.name);
                FeedItem::Gap { missing: GtidSet::default(), detail }
            }),
            Fit::Missing(missing) => {
                let detail =
                    format!("before {}: {} is in no file read", file.name, missing.spans());
                Some(FeedItem::Gap { missing, detail })
            }
            Fit::Reset(gone) => {
                let what = format!(
                    "this file does not continue the one before it: its server no longer \
                     knows {gone}"
                );
                let error = WindowError::Read(ReadError::Format(what));
                return Err(window_error(&self.node, file, offset, error, false));
            }
        })
    }

    fn transaction(&mut self, transaction: Box<Transaction>) -> [Option<FeedItem>; 2] {
        self.continuity.transaction(&transaction);
        let begin = match &mut self.relay {
            Some(relay) if !self.begun => {
                let own = self.writers.iter().flatten().any(|id| *id == transaction.server_id);
                let first = transaction.gtid.as_ref().map(|gtid| (gtid, IsOwn(own)));
                let before = relay.begin(first);
                self.begin(before)
            }
            _ => self.begin(GtidSet::default()),
        };
        [begin, Some(FeedItem::Transaction(transaction))]
    }

    /// The beginning of the stream, once.
    fn begin(&mut self, set: GtidSet) -> Option<FeedItem> {
        (!std::mem::replace(&mut self.begun, true)).then_some(FeedItem::Begin(set))
    }
}
