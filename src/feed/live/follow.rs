//! Follows a server's stream, through as many connections as it takes.

use super::{
    LiveEvent, LiveOptions, LiveStart, ServerFacts, StreamStatus,
    backoff::Backoff,
    connect::{Peer, Session},
    failure::{BEHIND_HINT, DropReason, Failure, Stage},
    history::History,
    packet::{Arrival, Maps, Place, domain_heads, whole_event},
    plans::LivePlans,
    preflight::{Asks, ensure_alone, ensure_followable, ensure_same, new_replica_name},
    progress::{Delivered, is_before},
    request::Request,
};
use crate::{
    binlog::{
        Progress, ReadError, StreamReader,
        event::{self, Header, kind},
    },
    feed::FeedItem,
    model::{GtidSet, Transaction},
};
use futures_util::Stream;
use mysql_async::{BinlogStream, binlog::events::Event};
use std::{
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};
use tokio::{sync::mpsc::Sender, time::Instant};

/// Seconds without an event or heartbeat after which a connection is given up.
pub(super) const SILENCE_SECONDS: u64 = 10;

/// Bytes of a transaction that is looked after while it is read.
const BIG_TRANSACTION: usize = 1 << 20;

/// Seconds a server has to find where the stream begins; it may have to look into many files.
pub(super) const FIRST_EVENT_SECONDS: u64 = 60;

/// Seconds with nothing but heartbeats after which it is looked whether the server's log is still
/// the one that was read: a connection does not show that it was reset. By the clock, however many
/// heartbeats come.
const QUIET_SECONDS: u64 = 15;

/// Seconds that the judge may let a connection wait before it is made again: a server ends one that
/// takes nothing for `net_write_timeout`, 60 seconds by default.
const HELD_BACK_SECONDS: u64 = 20;

/// How often a server may lack what it had sent before its log counts as lost. It can be sent
/// before it is committed there: with a semisynchronous replica that does not answer, ten seconds.
const BEHIND_TRIES: u32 = 8;

/// Why reading ends: a connection failed, something else is to be asked for, or nobody listens
/// any more.
enum End {
    Failed(Failure),
    Again,
    Unheard,
}

impl From<Failure> for End {
    fn from(failure: Failure) -> Self {
        End::Failed(failure)
    }
}

/// Follows a server's stream until the receiver is dropped, or its log is another one.
///
/// # Output
/// First [`FeedItem::Begin`], then every transaction after it, whole, in the log's order,
/// each once: a connection that ends is made again, after 100 ms and up to 5 s (30 s where the
/// account is refused), and the stream goes on after the last transaction delivered. What a server
/// says differently after a reconnect is never papered over. Where it purged what comes next
/// ([`DropReason::Purged`]), a [`FeedItem::Gap`] names what is missing, and the stream goes on with
/// the oldest file that is left. Where its log is not the one that was read
/// ([`DropReason::Reset`], or for ten seconds [`DropReason::Behind`]), it ends with
/// [`LiveEvent::Lost`].
///
/// A receiver that does not receive, or has too much to judge ([`super::Flow`]), makes the server
/// wait. Where that took long, the connection is made again ([`DropReason::Backpressure`]) when the
/// receiver goes on: the server may have ended it.
///
/// # Errors
/// None: all are delivered, as [`LiveEvent::Disconnected`]. A panic of the client library
/// on what a server sends counts as a broken connection.
pub async fn follow(options: LiveOptions, send: Sender<LiveEvent>, status: Arc<StreamStatus>) {
    let mut plans = options.plans.clone();
    let (number, current) = plans.current();
    status.flow().restart();
    let transaction_bytes_max = status.flow().transaction_bytes_max();
    let mut follower = Follower {
        reader: StreamReader::new("", current).bounded(transaction_bytes_max),
        held_back: None,
        plans,
        untold: Some(number),
        delivered: Delivered::at(&options.start),
        // Who goes on knows what the stream began with.
        begun: matches!(options.start, LiveStart::Resume(_)),
        options,
        send,
        status,
        headed: false,
        purged: false,
        quiet: None,
        server: None,
        peer: Peer::default(),
        name: new_replica_name(),
        followed: false,
        sees_replicas: false,
        after: None,
        place: Place::default(),
        maps: Maps::default(),
        summed: false,
        received: false,
        bytes: Vec::new(),
    };
    let (mut backoff, mut behind) = (Backoff::default(), 0);
    loop {
        let end = follower.connect_and_read().await;
        follower.status.set_connected(false);
        let Failure { reason, error } = match end {
            End::Failed(failure) => failure,
            End::Again => continue,
            End::Unheard => return,
        };
        follower.purged = reason == DropReason::Purged && follower.begun;
        behind = if reason == DropReason::Behind { behind + 1 } else { 0 };
        let lost = reason == DropReason::Reset || behind >= BEHIND_TRIES;
        let received = std::mem::take(&mut follower.received);
        follower.followed |= received;
        if received && reason != DropReason::SameId {
            backoff.reset();
        }
        let delay = match reason {
            DropReason::Backpressure => Duration::ZERO,
            DropReason::SameId if !follower.sees_replicas => backoff.after_taken(),
            reason => backoff.after(reason),
        };
        if follower.deliver(LiveEvent::Disconnected { reason, error }).await.is_err() {
            return;
        }
        if lost && follower.begun {
            // Nobody may listen any more; then it ends all the same.
            let _ = follower.deliver(LiveEvent::Lost).await;
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(delay) => {}
            () = follower.send.closed() => return,
        }
    }
}

struct Follower {
    options: LiveOptions,
    send: Sender<LiveEvent>,
    status: Arc<StreamStatus>,
    reader: StreamReader,
    plans: LivePlans,
    /// The number of the reader's plans, where it was not told yet.
    untold: Option<u64>,
    delivered: Delivered,
    /// [`FeedItem::Begin`] was delivered.
    begun: bool,
    /// This connection brought a file's head.
    headed: bool,
    /// What comes next was purged: what is left is asked for.
    purged: bool,
    /// Since when there were only heartbeats.
    quiet: Option<Instant>,
    /// Who answered first.
    server: Option<ServerFacts>,
    /// Who answered last.
    peer: Peer,
    /// What it is called among the server's replicas.
    name: String,
    /// A connection has brought events.
    followed: bool,
    /// The server tells who else is a replica of it.
    sees_replicas: bool,
    /// The GTIDs after which this connection was asked to send.
    after: Option<String>,
    place: Place,
    /// Table maps that this connection brought.
    maps: Maps,
    /// This connection brought a format description that says that events end in checksums.
    summed: bool,
    /// This connection brought events.
    received: bool,
    /// It had to wait for the judge for so long.
    held_back: Option<Duration>,
    /// The event being read; kept for its capacity.
    bytes: Vec<u8>,
}

impl Follower {
    async fn connect_and_read(&mut self) -> End {
        match self.connect().await {
            Err(end) => end,
            Ok(mut stream) => match self.read(&mut stream).await {
                Err(end) => end,
                Ok(never) => match never {},
            },
        }
    }

    async fn connect(&mut self) -> Result<BinlogStream, End> {
        self.reader.forget_unfinished();
        self.status.flow().reads(0);
        (self.headed, self.held_back, self.summed) = (false, None, false);
        self.maps = Maps::default();
        let options = self.options.clone();
        let mut session = Session::open(&options).await?;
        let facts = session.facts().await?;
        self.peer = session.peer.clone();
        ensure_followable(&options, &facts)?;
        if let Some(before) = self.server.take_if(|before| *before != facts) {
            self.server = Some(before.clone());
            session.ensure_said_twice(&facts).await?;
            ensure_same(&options, &before, &facts)?;
            if before.server_uuid != facts.server_uuid {
                // Its files are others, too.
                (self.delivered.mark, self.place) = (None, Place::default());
            }
            self.deliver(LiveEvent::Changed(Box::new(facts.clone()))).await?;
        }
        if self.begun {
            session.ensure_history(&self.history()).await?;
        }
        let mariadb = facts.is_mariadb;
        let by_coordinates = !facts.has_gtids() || self.delivered.by_coordinates;
        // Without log_replica_updates, gtid_purged names what was applied and never logged.
        let only = facts.server_uuid.filter(|_| !facts.log_replica_updates);
        self.server = Some(facts);
        let request = match self.purged {
            purged if by_coordinates => self.plan_by_coordinates(&mut session, purged).await?,
            true if mariadb => Request::File(String::new()),
            true => {
                let purged = session.purged().await?;
                let missing = self.delivered.purge(&purged, only);
                self.tell_purged(missing).await?;
                session.plan(&options.start, mariadb, &mut self.delivered).await?
            }
            false => session.plan(&options.start, mariadb, &mut self.delivered).await?,
        };
        if !self.begun
            && let Some(baseline) = self.delivered.set.clone()
        {
            self.begin(baseline).await?;
        }
        let asks = if self.followed { Asks::Known(&self.name) } else { Asks::Newcomer };
        self.sees_replicas = ensure_alone(&mut session, asks).await?;
        self.after = request.after();
        Ok(session.dump(&request, mariadb, &self.name).await?)
    }

    async fn plan_by_coordinates(
        &mut self,
        session: &mut Session<'_>,
        purged: bool,
    ) -> Result<Request, End> {
        self.purged = false;
        let start = self.options.start.clone();
        let plan = session.plan_by_coordinates(&start, &mut self.delivered, purged).await?;
        if let Some(detail) = plan.missing {
            let missing = GtidSet::default();
            self.deliver(LiveEvent::Item(FeedItem::Gap { missing, detail })).await?;
            self.deliver_standing().await?;
        }
        Ok(plan.request)
    }

    fn history(&self) -> History<'_> {
        let (file, offset) = (self.place.file(), self.place.offset());
        History { file, offset, mark: self.delivered.mark.as_ref() }
    }

    /// Looks whether the server's log is still the one that was read, over a connection of its own;
    /// where it cannot be asked, the stream itself will tell.
    async fn look_back(&mut self) -> Result<(), End> {
        self.quiet = None;
        let Ok(mut session) = Session::open(&self.options).await else { return Ok(()) };
        match session.ensure_history(&self.history()).await {
            Err(failure) if failure.reason == DropReason::Reset => Err(failure.into()),
            _ => Ok(()),
        }
    }

    /// Says what was purged before it was read.
    async fn tell_purged(&self, missing: GtidSet) -> Result<(), End> {
        if missing.is_empty() {
            return Ok(());
        }
        let detail = format!("the server purged {} before it was read", missing.spans());
        self.deliver(LiveEvent::Item(FeedItem::Gap { missing, detail })).await?;
        self.deliver_standing().await
    }

    async fn deliver(&self, event: LiveEvent) -> Result<(), End> {
        self.send.send(event).await.map_err(|_| End::Unheard)
    }

    async fn begin(&mut self, baseline: GtidSet) -> Result<(), End> {
        self.begun = true;
        self.deliver_standing().await?;
        self.deliver(LiveEvent::Item(FeedItem::Begin(baseline))).await
    }

    async fn deliver_standing(&self) -> Result<(), End> {
        let heads = self.delivered.positions.values().copied().collect();
        let purged = self.delivered.purged.clone();
        let has_gtids = self.server.as_ref().is_some_and(ServerFacts::has_gtids);
        let place = self.delivered.next.clone().filter(|(file, _)| !has_gtids && !file.is_empty());
        self.deliver(LiveEvent::Item(FeedItem::Standing { heads, purged, place })).await
    }

    async fn read(&mut self, stream: &mut BinlogStream) -> Result<std::convert::Infallible, End> {
        let mut seconds = FIRST_EVENT_SECONDS;
        loop {
            let event = tokio::select! {
                biased;
                event = next_event(stream) => event,
                () = self.send.closed() => return Err(End::Unheard),
                () = tokio::time::sleep(Duration::from_secs(seconds)) => {
                    return Err(Failure::timeout(&self.options, "silence", seconds).into());
                }
            };
            seconds = SILENCE_SECONDS;
            let event = event.map_err(|failed| self.failure(failed))?;
            let mut bytes = std::mem::take(&mut self.bytes);
            whole_event(&event, &mut bytes);
            drop(event);
            let taken = self.take(&bytes).await;
            self.bytes = bytes;
            taken?;
            if let Some(held_back) = self.held_back.take() {
                return Err(Failure::held_back(&self.options, held_back.as_secs()).into());
            }
        }
    }

    fn failure(&self, failed: Broken) -> Failure {
        match failed {
            Broken::Failed(error) => {
                Failure::from_client(&self.options, Stage::Streaming, &self.peer, &error)
                    .after(self.place.file(), self.place.offset())
            }
            Broken::Ended => Failure::closed(&self.options, "the server ended the stream"),
            Broken::Panicked => Failure::new(
                &self.options,
                DropReason::Protocol,
                format!(
                    "the server sent what is no event, after {} at {}",
                    self.place.file(),
                    self.place.offset()
                ),
                "is there a proxy in between? please report this, with the server's version",
            ),
        }
    }

    /// Takes one whole event.
    async fn take(&mut self, bytes: &[u8]) -> Result<(), End> {
        self.status.count_event(bytes);
        let arrival = self.place.arrival(bytes);
        self.ensure_undamaged(&arrival, bytes)?;
        if !self.maps.take(bytes) {
            return Err(Failure::too_many_maps(&self.options).into());
        }
        let offset = match arrival {
            Arrival::Ignore | Arrival::Expanded => return Ok(()),
            Arrival::Heartbeat(caught_up) => {
                self.received = true;
                let quiet = self.quiet.get_or_insert_with(Instant::now).elapsed();
                if quiet >= Duration::from_secs(QUIET_SECONDS) {
                    self.look_back().await?;
                }
                return match caught_up {
                    true => self.deliver(LiveEvent::CaughtUp).await,
                    false => Ok(()),
                };
            }
            Arrival::Enter(file, offset) => return self.enter(&file, offset).await,
            Arrival::Logged(offset) => offset,
        };
        (self.received, self.quiet) = (true, None);
        self.renew_plans();
        let progress = self
            .reader
            .event(bytes, offset)
            .map_err(|error| Failure::read(&self.options, self.place.file(), offset, error))?;
        self.summed = self.reader.format().is_some_and(|format| format.checksums);
        self.status.set_position(self.place.file(), self.place.offset());
        match progress {
            Progress::Nothing => self.reads_on().await?,
            Progress::Rotate { file, position } => self.enter_file(&file, position).await?,
            Progress::Baseline(head) => self.head(head, bytes).await?,
            Progress::Transaction(transaction) => self.transaction(transaction).await?,
        }
        self.begin_where_asked().await
    }

    /// Refuses what the reader does not see, and so does not check: one bit that is not as the
    /// server sent it may make of a row event what is in no file.
    fn ensure_undamaged(&self, arrival: &Arrival, bytes: &[u8]) -> Result<(), End> {
        if !self.summed || matches!(arrival, Arrival::Logged(_) | Arrival::Expanded) {
            return Ok(());
        }
        event::verify_checksum(bytes).map_err(|(stored, computed)| {
            let kind = Header::read(bytes).map_or("other", |header| event::kind_name(header.kind));
            let error = ReadError::Checksum { kind, stored, computed };
            Failure::read(&self.options, self.place.file(), self.place.offset(), error).into()
        })
    }

    /// Takes other plans, where there are any and no transaction is in the middle: a transaction is
    /// read with one plan.
    fn renew_plans(&mut self) {
        if self.plans.have_changed() && !self.reader.is_inside() {
            let (number, plans) = self.plans.current();
            self.reader.set_plans(plans);
            self.untold = Some(number);
        }
    }

    /// The server says where it goes on: when it begins to send, and at every new file.
    async fn enter(&mut self, file: &str, offset: u64) -> Result<(), End> {
        self.enter_file(file, offset).await?;
        if !self.status.is_connected() {
            self.status.set_connected(true);
            let (file, after) = (file.to_owned(), self.after.take());
            self.deliver(LiveEvent::Connected { file, position: offset, after }).await?;
        }
        Ok(())
    }

    async fn enter_file(&mut self, file: &str, offset: u64) -> Result<(), End> {
        self.place.enter(file, offset);
        self.reader.enter_file(file);
        self.status.set_position(self.place.file(), offset);
        if self.delivered.next.as_ref().is_some_and(|(next, _)| next.is_empty()) {
            // The oldest file that is left.
            self.delivered.go_on_at(file, offset);
            self.deliver_standing().await?;
        }
        Ok(())
    }

    async fn head(&mut self, head: GtidSet, bytes: &[u8]) -> Result<(), End> {
        self.headed = true;
        if self.purged {
            return self.oldest_head(&head, bytes).await;
        }
        let is_list = Header::read(bytes).is_ok_and(|header| header.kind == kind::GTID_LIST);
        let missing = self.delivered.head(&head);
        if is_list && (!self.begun || !missing.is_empty()) {
            self.delivered.take_positions(&domain_heads(bytes));
        }
        if missing.is_empty() {
            return Ok(());
        }
        let file = self.place.file();
        let detail = format!("before {file}: the server did not send {}", missing.spans());
        self.deliver(LiveEvent::Item(FeedItem::Gap { missing, detail })).await?;
        self.deliver_standing().await
    }

    /// The head of the oldest file that a MariaDB server has left: what it names was purged, and
    /// the rest is asked for by GTID, so that nothing comes twice.
    async fn oldest_head(&mut self, head: &GtidSet, bytes: &[u8]) -> Result<(), End> {
        self.purged = false;
        let before = self.delivered.set.clone().unwrap_or_default();
        let missing = self.delivered.head(head);
        self.delivered.move_to(&domain_heads(bytes), &before);
        self.tell_purged(missing).await?;
        Err(End::Again)
    }

    async fn transaction(&mut self, transaction: Box<Transaction>) -> Result<(), End> {
        let at = &transaction.coordinates;
        if !self.begun && is_before(&self.options.start, &at.file, at.start) {
            self.delivered.skip(&transaction);
            return Ok(());
        }
        if !self.begun {
            let baseline = self.delivered.begin_gathered();
            self.delivered.next = Some((at.file.clone(), at.start));
            self.begin(baseline).await?;
        }
        if let Some(problem) = self.delivered.contradiction(&transaction) {
            let reason = DropReason::Reset;
            return Err(Failure::new(&self.options, reason, problem, BEHIND_HINT).into());
        }
        if !self.delivered.transaction(&transaction) {
            return Ok(());
        }
        self.status.count_transaction();
        if let Some(number) = self.untold.take() {
            self.deliver(LiveEvent::Plans(number)).await?;
        }
        let (bytes, since) = (transaction.weight(), Instant::now());
        self.until_room(bytes).await?;
        self.status.flow().gives(bytes);
        self.deliver(LiveEvent::Item(FeedItem::Transaction(transaction))).await?;
        self.was_held_back(since);
        Ok(())
    }

    /// A transaction goes on: a big one waits for room while it is read.
    async fn reads_on(&mut self) -> Result<(), End> {
        let bytes = self.reader.unfinished_bytes();
        if bytes < BIG_TRANSACTION {
            return Ok(());
        }
        self.status.flow().reads(bytes);
        let since = Instant::now();
        self.until_room(bytes).await?;
        self.was_held_back(since);
        Ok(())
    }

    async fn until_room(&self, bytes: usize) -> Result<(), End> {
        tokio::select! {
            biased;
            () = self.status.flow().until_room(bytes) => Ok(()),
            () = self.send.closed() => Err(End::Unheard),
        }
    }

    fn was_held_back(&mut self, since: Instant) {
        let waited = since.elapsed();
        if waited >= Duration::from_secs(HELD_BACK_SECONDS) {
            self.held_back = Some(waited);
        }
    }

    /// Delivers the baseline as soon as all before the beginning has been read.
    async fn begin_where_asked(&mut self) -> Result<(), End> {
        if self.begun || self.reader.unfinished().is_some() {
            return Ok(());
        }
        let reached = match &self.options.start {
            LiveStart::Now | LiveStart::Resume(_) => false,
            LiveStart::Earliest => true,
            start => !is_before(start, self.place.file(), self.place.offset()),
        };
        if reached && self.headed {
            let baseline = self.delivered.begin_gathered();
            self.delivered.next = Some((self.place.file().clone(), self.place.offset()));
            self.begin(baseline).await?;
        }
        Ok(())
    }
}

/// What ends a stream of events.
pub(super) enum Broken {
    Failed(mysql_async::Error),
    Ended,
    Panicked,
}

/// The next event. The client library may panic on a packet that is no event; its state is not
/// used after that.
pub(super) async fn next_event(stream: &mut BinlogStream) -> Result<Event, Broken> {
    poll_fn(|context| {
        let poll = AssertUnwindSafe(|| Pin::new(&mut *stream).poll_next(context));
        match catch_unwind(poll) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(Some(Ok(event)))) => Poll::Ready(Ok(event)),
            Ok(Poll::Ready(Some(Err(error)))) => Poll::Ready(Err(Broken::Failed(error))),
            Ok(Poll::Ready(None)) => Poll::Ready(Err(Broken::Ended)),
            Err(_) => Poll::Ready(Err(Broken::Panicked)),
        }
    })
    .await
}
