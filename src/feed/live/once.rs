//! What a server has logged up to a moment, read once.

use super::{
    DropReason, FeedError, LiveEvent, LiveOptions, ServerFacts, StreamStatus, connect::Session,
    failure::Failure, follow::follow, preflight::ensure_followable, tables::tables_of,
};
use crate::{
    feed::FeedItem,
    model::{GtidSet, TableSchemas, Transaction, file_number},
};
use std::{sync::Arc, time::Duration};
use tokio::{sync::mpsc, time::Instant};

/// How long a server may be away before the rest of its log is given up.
const AWAY_MAX: Duration = Duration::from_secs(60);

/// How often it is looked whether it is there again.
const LOOK: Duration = Duration::from_secs(1);

/// Asks a server what it is, and which tables the account may see; it has to be there.
///
/// # Errors
/// [`FeedError::Server`]: it cannot be reached, refuses the account, or cannot be followed.
pub async fn meet_once(options: &LiveOptions) -> Result<(ServerFacts, TableSchemas), FeedError> {
    let asked = async {
        let mut session = Session::open(options).await?;
        let facts = session.facts().await?;
        ensure_followable(options, &facts)?;
        let tables = tables_of(&mut session).await?;
        Ok((facts, tables))
    };
    asked.await.map_err(|failure: Failure| failure.error)
}

/// Where a log ends that is read once.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LogEnd {
    /// Before the first GTID that is not in this set.
    Gtids(GtidSet),
    /// Before this place: the server numbers no transactions.
    Place {
        /// The file's base name.
        file: String,
        /// The offset, in bytes.
        offset: u64,
    },
}

impl LogEnd {
    /// Whether a transaction was logged before.
    fn is_after(&self, transaction: &Transaction) -> bool {
        match self {
            LogEnd::Gtids(set) => transaction
                .gtid
                .is_none_or(|gtid| gtid.source.is_anonymous() || set.contains(&gtid)),
            LogEnd::Place { file, offset } => {
                let at = &transaction.coordinates;
                (file_number(&at.file), at.start) < (file_number(file), *offset)
            }
        }
    }
}

/// Asks what a server has logged by now: where [`read_once`] is to end.
///
/// GTIDs take no privilege. On MySQL they may name more than the log holds, what came with a backup
/// or was never logged. Where there are none, REPLICATION CLIENT is needed.
///
/// # Errors
/// [`FeedError::Server`]: it cannot be reached, or refuses the account.
pub async fn logged_by_now(options: &LiveOptions) -> Result<LogEnd, FeedError> {
    let asked = async {
        let mut session = Session::open(options).await?;
        let facts = session.facts().await?;
        if facts.has_gtids() {
            return session.logged(facts.is_mariadb).await.map(LogEnd::Gtids);
        }
        let (file, offset, _) = session.end_of_log().await?;
        Ok(LogEnd::Place { file, offset })
    };
    asked.await.map_err(|failure: Failure| failure.error)
}

/// Reads a server's log up to `end`, and no further than the server has logged when that is read.
///
/// Every beginning of a log is a stream that can be judged, so it matters for no finding where
/// exactly it ends.
///
/// # Output
/// As [`follow`] delivers them, with the bytes received since the item before, while `deliver` says
/// yes. A connection that ends is made again.
///
/// # Errors
/// The server was away for a minute, or says what a person has to mend; all before that has been
/// delivered.
pub async fn read_once(
    options: LiveOptions,
    end: &LogEnd,
    bytes_max: usize,
    deliver: impl FnMut(FeedItem, u64) -> bool,
) -> Result<(), FeedError> {
    let status = Arc::new(StreamStatus::default());
    status.flow().bound(bytes_max);
    // One that waits, beside the one that is read and those that were delivered.
    let (send, receive) = mpsc::channel(1);
    let follower = tokio::spawn(follow(options.clone(), send, status.clone()));
    let mut reading = Reading { options, end, begun: false, bytes: 0, status, deliver };
    let read = reading.until_end(receive).await;
    follower.abort();
    reading.begin_at_least();
    read.map_err(|error| reading.cut_off(error))
}

/// A log that is being read.
struct Reading<'a, F> {
    options: LiveOptions,
    end: &'a LogEnd,
    begun: bool,
    /// Received, as far as it was told.
    bytes: u64,
    status: Arc<StreamStatus>,
    deliver: F,
}

/// Since when a server is away, and why.
type Away = Option<(Instant, FeedError)>;

impl<F: FnMut(FeedItem, u64) -> bool> Reading<'_, F> {
    async fn until_end(&mut self, mut events: mpsc::Receiver<LiveEvent>) -> Result<(), FeedError> {
        let mut away: Away = None;
        loop {
            let event = match &away {
                None => events.recv().await,
                Some((since, _)) => loop {
                    match tokio::time::timeout(LOOK, events.recv()).await {
                        Ok(event) => break event,
                        // What it sends may be one long transaction.
                        Err(_) if self.status.is_connected() || since.elapsed() < AWAY_MAX => {}
                        Err(_) => break None,
                    }
                },
            };
            match event {
                Some(LiveEvent::Disconnected { reason, error }) if may_pass(reason) => {
                    let since = away.map_or_else(Instant::now, |(since, _)| since);
                    away = Some((since, error));
                }
                Some(LiveEvent::Disconnected { error, .. }) => return Err(error),
                Some(LiveEvent::Item(item)) => {
                    away = None;
                    if !self.takes(item) {
                        return Ok(());
                    }
                }
                Some(LiveEvent::CaughtUp) => return Ok(()),
                // To be connected is not to have read anything.
                Some(LiveEvent::Connected { .. } | LiveEvent::Changed(_) | LiveEvent::Plans(_)) => {
                }
                Some(LiveEvent::Lost) | None => {
                    return Err(away.map_or_else(|| self.unexplained(), |(_, why)| why));
                }
            }
        }
    }

    /// Takes an item; false at the end, or when the receiver has gone.
    fn takes(&mut self, item: FeedItem) -> bool {
        match &item {
            FeedItem::Standing { .. } => return true,
            FeedItem::Begin(_) => self.begun = true,
            FeedItem::Gap { .. } => {}
            FeedItem::Transaction(transaction) => {
                self.status.flow().judged(transaction.weight());
                if !self.end.is_after(transaction) {
                    return false;
                }
            }
        }
        self.hand_on(item)
    }

    fn hand_on(&mut self, item: FeedItem) -> bool {
        let bytes = self.status.bytes();
        let since = bytes.saturating_sub(std::mem::replace(&mut self.bytes, bytes));
        (self.deliver)(item, since)
    }

    /// A log without a transaction begins all the same.
    fn begin_at_least(&mut self) {
        if !self.begun {
            self.hand_on(FeedItem::Begin(GtidSet::default()));
        }
    }

    /// Following has ended, which it does only when it is told to, or has told why.
    fn unexplained(&self) -> FeedError {
        let problem = "reading its log has ended in a fault of twinlog's own";
        let hint = "please report this, with the server's version";
        Failure::new(&self.options, DropReason::Protocol, problem, hint).error
    }

    /// An error, with the place up to which the log was read.
    fn cut_off(&self, error: FeedError) -> FeedError {
        let node = self.options.node.clone();
        let (file, offset) = self.status.position();
        match file.is_empty() {
            true => error,
            false => FeedError::CutOff { node, file, offset, source: Box::new(error) },
        }
    }
}

/// Whether the server may be there again without anybody's doing.
fn may_pass(reason: DropReason) -> bool {
    use DropReason::{Auth, Backpressure, Behind, Connect, Data, Io, Purged, Reset, ServerClosed};
    match reason {
        // Purged: the stream goes on past what is missing. Reset and Behind: the end is told.
        Purged | Reset | Behind | Backpressure => true,
        Connect | Io | ServerClosed | DropReason::Timeout | Data => true,
        Auth | DropReason::Grant | DropReason::Tls | DropReason::Server => false,
        DropReason::Replaced | DropReason::SameId | DropReason::Protocol => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::TlsConfig,
        feed::live::{LivePlans, LiveStart},
    };

    /// The clock jumps to what is waited for.
    #[tokio::test(start_paused = true)]
    async fn a_server_that_stays_away_is_given_up_after_a_minute() {
        // A port that was free just now, and that nobody listens on.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let options = LiveOptions {
            node: "a".to_owned(),
            url: format!("mysql://twinlog@127.0.0.1:{port}").parse().unwrap(),
            password: None,
            tls: TlsConfig::default(),
            replica_server_id: 77,
            start: LiveStart::Earliest,
            plans: LivePlans::none(),
        };
        let (began, mut items) = (Instant::now(), Vec::new());
        let deliver = |item, _| {
            items.push(item);
            true
        };
        let read = read_once(options, &LogEnd::Gtids(GtidSet::default()), 1 << 20, deliver).await;
        let error = read.unwrap_err().to_string();
        assert!(error.contains("Connection refused"), "{error}");
        assert!(!error.contains("was read up to"), "nothing was read: {error}");
        assert!(matches!(items.as_slice(), [FeedItem::Begin(set)] if set.is_empty()), "{items:?}");
        let waited = began.elapsed();
        assert!(waited >= AWAY_MAX && waited < 2 * AWAY_MAX, "{waited:?}");
    }
}
