//! The daemon: follows live masters and judges what they show.

use super::{
    ahead::{Delivered as _, wants_rows},
    alive::Alive,
    asks::Asks,
    board::Board,
    filter::{Fate, Filter},
    front::Front,
    input::{Input, Reading},
    judge::{Known, verifier},
    keep::{Keeper, Standing},
    memory::{self, Beginning, Place},
    pages::Pages,
    pressure::Pressure,
    reload::{Current, Served},
    service::{self, Service},
    shown_rows::Awaited,
    signals::{Order, Signals},
    survey::Surveys,
    watch_start::{self, keep_known, live_options},
};
use crate::{
    config::{Config, Start},
    engine::{Report, Verifier},
    feed::{
        FeedError, FeedItem,
        live::{
            DropReason, LiveEvent, LiveOptions, PlansSender, ServerFacts, StreamStatus, follow,
        },
    },
    http::{self, Pulse},
    metrics::Metrics,
    model::{BlindSpotReason, CommitTime, Finding, GtidSet, NodeIndex, Nodes, Transaction},
    report::Status,
    store::{Checkpoint, Store, StoreError},
};
use futures_util::FutureExt;
use std::{
    collections::BTreeMap, future::poll_fn, io::Write, sync::Arc, task::Poll, time::Duration,
};
use tokio::{
    net::TcpListener,
    sync::{Notify, mpsc},
};
use tracing::{error, info, warn};

/// What a watch tells while it runs.
pub trait WatchSink {
    /// A finding that is new, or whose certainty or outcome changed.
    ///
    /// # Errors
    /// It could not be written, and will not be: that is counted and logged here.
    fn finding(&mut self, finding: &Finding, nodes: &Nodes) -> std::io::Result<()>;
    /// Where the streams are; a few times a second at most, while anything moves.
    fn status(&mut self, _status: &Status) {}
    /// All findings of a moment have been given: write them out.
    fn flush(&mut self);
}

/// Why a watch could not start.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// Wrong configuration.
    #[error("{0}")]
    Usage(String),
    /// A server that cannot be followed.
    #[error(transparent)]
    Feed(#[from] FeedError),
    /// An address that cannot be listened on.
    #[error("watch.listen = \"{0}\": {1}\n  hint: is another twinlog running? choose another port")]
    Listen(std::net::SocketAddr, std::io::Error),
    /// A store that cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Anything else.
    #[error(transparent)]
    Other(#[from] anyhow::Error),
}

/// Transactions of one stream that may wait for the judge.
pub(super) const WAITING_MAX: usize = 64;
/// How long the judge waits for a stream that says nothing, before it goes on with the others.
/// No finding depends on it: it keeps the streams in step, and so what is held small.
const PATIENCE: Duration = Duration::from_millis(20);
/// How long the judge waits at most where nothing comes and nothing is due: who asks whether it is
/// alive gets an answer by that.
const ROUND: Duration = Duration::from_secs(5);

/// Follows all nodes until a signal ends it.
///
/// # Errors
/// What keeps it from starting; once it runs, a lost server is followed again by itself.
pub async fn watch(
    config: Config,
    mut signals: Signals,
    sink: &mut impl WatchSink,
) -> Result<(), WatchError> {
    let mut judge = tokio::select! {
        () = signals.ended() => {
            told_to_end();
            return Ok(());
        }
        judge = start(config, sink) => judge?,
    };
    let ended = loop {
        // Nothing is lost where it is left in the middle: it waits for events only.
        tokio::select! {
            order = signals.order() => match order {
                Order::Reload => judge.reload(),
                Order::End => {
                    told_to_end();
                    break Ok(());
                }
            },
            ended = judge.run(sink) => break ended,
        }
    };
    judge.end(sink);
    ended
}

fn told_to_end() {
    info!("told to end");
    service::stopping();
}

/// Serves pages, asks all servers who they are, and begins to follow them.
async fn start(config: Config, sink: &mut impl WatchSink) -> Result<Judge, WatchError> {
    watch_start::raise_file_limit();
    let filter = Filter::new(Vec::new(), &[], &config.suppress)?;
    let listen = config.watch.listen;
    let listener =
        TcpListener::bind(listen).await.map_err(|error| WatchError::Listen(listen, error))?;
    let address = listener.local_addr().map_err(|error| WatchError::Listen(listen, error))?;
    let known: Vec<Known> = config.nodes.iter().map(|_| Known::default()).collect();
    let (options, plans) = live_options(&config, &known)?;
    let store = config.watch.store.as_deref().map(Store::open).transpose()?;
    let beginning = match &store {
        Some(store) => Beginning::from_store(store, &config)?,
        None => {
            info!("no watch.store in {}: nothing is remembered over a restart", config.origin);
            Beginning::first()
        }
    };
    let options = watch_start::resumed(options, &beginning);
    let (token, tls) = (watch_start::token(&config)?, watch_start::listen_tls(&config)?);
    let pages = Pages::open(&config, token.as_ref())?;
    let nodes = Nodes::new(config.nodes.iter().map(|of| of.to_node(true)).collect());
    let mut front = Front::new(&nodes, config.watch.memory)?;
    let keeper = Keeper::new(store, &config.watch, nodes, front.metrics.clone(), pages.shown())?;
    let served =
        Served { access: pages.access.clone(), tls: tls.clone(), desk: pages.desk.clone() };
    let current = Current::new(config.clone(), served)?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    http::serve(listener, front.shared(pages), tls).map_err(anyhow::Error::from)?;
    info!("status page at {scheme}://{address}/, metrics at {scheme}://{address}/metrics");
    let (nodes, facts) = front.meet_all(&config, &options, &known, sink).await?;
    let Beginning { places, memory, forgot } = beginning;
    let remembers = memory.is_some();
    let verifier = verifier(&config, nodes.clone(), Some(config.watch.memory as usize), memory)?;
    let mut judge = Judge::new(current, &config, nodes, verifier, filter, keeper, front);
    judge.goes_on = remembers;
    judge.note_settings(&facts, sink);
    judge.follow_all(options.into_iter().zip(plans).zip(known), &places);
    judge.note_forgotten(forgot.as_deref(), &places, sink);
    Ok(judge)
}

/// The verifier, and what it is fed from and tells to.
pub(super) struct Judge {
    pub(super) verifier: Verifier,
    pub(super) nodes: Nodes,
    pub(super) inputs: Vec<Input>,
    pub(super) metrics: Arc<Metrics>,
    /// The judge comes round.
    pulse: Arc<Pulse>,
    /// What readers tell of their streams, by node.
    statuses: Vec<Arc<StreamStatus>>,
    pub(super) filter: Filter,
    pub(super) current: Current,
    pub(super) service: Service,
    pub(super) keeper: Keeper,
    pub(super) reports: Vec<Report>,
    alive: Alive,
    /// Servers whose logs do not show what they apply.
    pub(super) asks: Asks,
    pub(super) awaited: Awaited,
    surveys: Surveys,
    pub(super) board: Board,
    /// Baselines come from the servers themselves, not from the heads of files.
    pub(super) starts_now: bool,
    pub(super) pressure: Pressure,
    /// The verifier remembers: its streams have begun.
    goes_on: bool,
}

impl Judge {
    fn new(
        current: Current,
        config: &Config,
        nodes: Nodes,
        verifier: Verifier,
        filter: Filter,
        keeper: Keeper,
        front: Front,
    ) -> Self {
        Judge {
            goes_on: false,
            verifier,
            pressure: Pressure::new(config.watch.memory as usize, nodes.len()),
            keeper,
            nodes,
            inputs: Vec::new(),
            metrics: front.metrics,
            pulse: front.pulse,
            statuses: front.statuses,
            filter,
            current,
            service: Service::new(),
            reports: Vec::new(),
            alive: Alive::new(),
            asks: Asks::default(),
            awaited: Awaited::default(),
            surveys: Surveys::default(),
            board: front.board,
            starts_now: config.watch.start == Start::Now,
        }
    }

    /// Starts to follow every node.
    fn follow_all(
        &mut self,
        nodes: impl Iterator<Item = ((LiveOptions, PlansSender), Known)>,
        places: &BTreeMap<String, Place>,
    ) {
        let indices: Vec<NodeIndex> = self.nodes.indices().collect();
        for (node, ((options, plans), known)) in indices.into_iter().zip(nodes) {
            let (send, receive) = mpsc::channel(WAITING_MAX);
            let status = self.statuses[node.at()].clone();
            status.flow().bound(self.pressure.under_way_max());
            let stale = Arc::<Notify>::default();
            tokio::spawn(keep_known(options.clone(), known.clone(), stale.clone()));
            self.alive.add(node, options.clone());
            self.surveys.add(node, options.clone());
            self.asks.look_at(node, &self.nodes, &self.verifier, &options);
            tokio::spawn(follow(options.clone(), send, status.clone()));
            let place = places.get(&self.nodes[node].name);
            let reading = Reading { options, status, stale, known, plans };
            self.inputs.push(Input::new(node, receive, reading, place));
            match place {
                Some(_) if self.goes_on => {
                    self.inputs[node.at()].begun = true;
                    self.board.begun(node);
                }
                Some(place) => self.begin(node.at(), place.point.set.clone()),
                None => {}
            }
        }
    }

    /// Reports what the servers' settings make impossible to see.
    fn note_settings(&mut self, facts: &[ServerFacts], sink: &mut impl WatchSink) {
        let now = now();
        for (node, facts) in self.nodes.indices().zip(facts) {
            if !facts.log_replica_updates {
                self.verifier.without_copies(node, now, &mut self.reports);
            }
        }
        self.tell(sink);
    }

    /// Says what an earlier run knew, and this one does not.
    fn note_forgotten(
        &mut self,
        why: Option<&str>,
        places: &BTreeMap<String, Place>,
        sink: &mut impl WatchSink,
    ) {
        let Some(why) = why else {
            for (node, place) in places {
                let at = place.at.as_ref();
                let (file, position) = (at.map(|at| &*at.file), at.map(|at| at.end));
                info!(node, file, position, "goes on after a restart");
            }
            return;
        };
        warn!(
            "what the last run remembered is not used: {why}. Streams go on where it had come to; \
             divergences that it left open are not followed any more"
        );
        for node in self.nodes.indices().filter(|node| places.contains_key(&self.nodes[*node].name))
        {
            self.verifier.forgot(node, now(), &mut self.reports);
        }
        self.tell(sink);
    }

    /// Judges until a stream ends, which only a fault of ours can make it do.
    async fn run(&mut self, sink: &mut impl WatchSink) -> Result<(), WatchError> {
        loop {
            // What has come already is taken first, so that no busy stream starves another.
            while let Some(received) = self.receive().now_or_never() {
                received?;
            }
            self.look(sink);
            let all_begun = self.inputs.iter().all(|input| input.begun);
            self.keeper.all_begun(all_begun);
            // A node that is down must not slow the others: it is behind in any case.
            let quiet = |input: &Input| input.waiting.is_empty() && input.connected && !input.idle;
            let in_step = !self.inputs.iter().any(quiet);
            match self.next().filter(|_| all_begun) {
                Some(at) if self.is_pressed() => self.run_pressed(at, sink).await?,
                Some(at) if self.awaits_rows(at) => {
                    self.tell(sink);
                    self.receive_ahead(at).await?;
                }
                Some(at) if in_step => self.judge_next(at, sink),
                Some(at) => match tokio::time::timeout(PATIENCE, self.receive()).await {
                    Ok(received) => received?,
                    Err(_) => self.judge_next(at, sink),
                },
                None => {
                    self.tell(sink);
                    let due = self.due();
                    if let Ok(received) = tokio::time::timeout(due, self.receive()).await {
                        received?;
                    }
                    if self.keeper.due() == Some(Duration::ZERO) {
                        self.keep(sink);
                    }
                }
            }
        }
    }

    /// What is due by the clock. Every server that is idle says so every second, so the judge comes
    /// here in time.
    fn look(&mut self, sink: &mut impl WatchSink) {
        self.alive.look(&mut self.verifier, &mut self.reports);
        self.asks.take(&mut self.verifier, &self.metrics, &mut self.reports);
        if !self.reports.is_empty() {
            self.keeper.must_remember();
            self.tell(sink);
        }
        self.surveys.look(&mut self.board, &self.metrics);
        let memory = self.memory();
        self.metrics.set_held(memory.held_bytes, memory.limit_bytes);
        self.board.holds(memory);
        if let Some(status) = self.board.publish(&self.nodes, &self.verifier, &self.metrics) {
            if !self.keeper.keeps() {
                for (input, at) in self.inputs.iter().filter_map(|of| Some((of, of.at.as_ref()?))) {
                    self.metrics.set_needed_file(input.node, &at.file);
                }
            }
            sink.status(&status);
            self.service.show(&status);
        }
        self.pulse.beat();
        self.service.alive();
    }

    /// How long the judge may wait for the streams: what is kept and what is shown is due by then.
    pub(super) fn due(&self) -> Duration {
        let due = [self.keeper.due(), self.board.due(), self.service.due(), self.asks.due()];
        due.into_iter().flatten().min().unwrap_or(ROUND).min(ROUND)
    }

    /// The stream whose next transaction is the oldest.
    fn next(&self) -> Option<usize> {
        let times = self.inputs.iter().enumerate();
        let times = times.filter_map(|(at, input)| Some((input.next_time(&self.nodes)?, at)));
        times.min().map(|(_, at)| at)
    }

    /// Waits for an event of a stream that has nothing waiting here, and takes it.
    pub(super) async fn receive(&mut self) -> Result<(), WatchError> {
        let inputs = &mut self.inputs;
        let (at, event) = poll_fn(|context| {
            for (at, input) in inputs.iter_mut().enumerate().filter(|(_, i)| i.waiting.is_empty()) {
                if let Poll::Ready(event) = input.receive.poll_recv(context) {
                    return Poll::Ready((at, event));
                }
            }
            Poll::Pending
        })
        .await;
        self.received(at, event)
    }

    pub(super) fn received(
        &mut self,
        at: usize,
        event: Option<LiveEvent>,
    ) -> Result<(), WatchError> {
        let Some(event) = event else {
            let name = &self.nodes[self.inputs[at].node].name;
            return Err(
                anyhow::anyhow!("node {name}: its stream has ended; please report this").into()
            );
        };
        // What came before it may wait.
        let input = &mut self.inputs[at];
        if input.waiting.is_empty() {
            self.come_to(at, event);
        } else {
            input.breaks += usize::from(is_break(&event));
            input.waiting.push(event);
        }
        Ok(())
    }

    /// Takes what is no item to judge, up to the next that is.
    fn come_to_next(&mut self, at: usize) {
        let is_item = |event: &LiveEvent| event.item().is_some();
        while let Some(event) = self.inputs[at].waiting.pop_unless(is_item) {
            self.inputs[at].breaks -= usize::from(is_break(&event));
            self.come_to(at, event);
        }
    }

    fn come_to(&mut self, at: usize, event: LiveEvent) {
        let input = &mut self.inputs[at];
        let name = self.nodes[input.node].name.as_str();
        match event {
            LiveEvent::Connected { file, position, after } => {
                // By GTID a server begins with a file's head, and leaves out what it may.
                let position = after.is_none().then_some(position);
                info!(node = name, file, position, after, "following");
                (input.connected, input.replaced) = (true, false);
                self.board.connected(input.node);
            }
            LiveEvent::CaughtUp => {
                (input.idle, input.has_more) = (true, false);
                self.alive.caught_up(input.node);
                self.board.caught_up(input.node);
            }
            LiveEvent::Disconnected { reason, error } => {
                match reason {
                    DropReason::Backpressure => info!(node = name, "{error}"),
                    _ => error!(node = name, reason = reason.as_str(), "{error}"),
                }
                self.metrics.disconnected(input.node, reason.as_str());
                (input.connected, input.idle) = (false, false);
                self.board.disconnected(input.node, error.to_string());
                if reason == DropReason::Replaced {
                    self.replaced(at);
                }
            }
            LiveEvent::Plans(number) => self.come_to_plans(at, number),
            LiveEvent::Changed(facts) => self.changed(at, &facts),
            LiveEvent::Lost => self.lost(at),
            // At once, as the beginning: a checkpoint of what has begun says where it goes on.
            LiveEvent::Item(FeedItem::Standing { heads, purged, place }) if !input.begun => {
                input.stands(&heads, purged, place);
            }
            LiveEvent::Item(FeedItem::Begin(baseline)) => self.begin(at, baseline),
            LiveEvent::Item(item) => {
                input.has_more = true;
                input.waiting.push(LiveEvent::Item(item));
            }
        }
    }

    fn begin(&mut self, at: usize, baseline: GtidSet) {
        self.begun_anew(at, &baseline);
        let input = &mut self.inputs[at];
        input.gtids = baseline.clone();
        self.verifier.begin(input.node, baseline);
        if self.starts_now {
            self.verifier.baseline_is_whole(input.node);
        }
        input.begun = true;
        self.board.begun(input.node);
        self.keeper.moved();
    }

    pub(super) fn judge_next(&mut self, at: usize, sink: &mut impl WatchSink) {
        let item = match self.inputs[at].waiting.pop() {
            Some(LiveEvent::Item(item)) => Some(item),
            _ => None,
        };
        self.inputs[at].has_more = true;
        match item {
            Some(FeedItem::Transaction(tx)) => self.judge_transaction(at, tx),
            Some(FeedItem::Gap { missing, detail }) => {
                let input = &mut self.inputs[at];
                let (node, newest) = (input.node, input.newest);
                error!(node = self.nodes[node].name, "not judged: {detail}");
                input.gtids.extend(&missing);
                self.metrics.gap(node);
                self.verifier.gap(node, &missing, detail, newest, &mut self.reports);
            }
            Some(FeedItem::Standing { heads, purged, place }) => {
                self.inputs[at].stands(&heads, purged, place);
            }
            Some(FeedItem::Begin(_)) | None => {}
        }
        self.come_to_next(at);
        self.tell(sink);
    }

    fn judge_transaction(&mut self, at: usize, mut tx: Box<Transaction>) {
        let (node, origin) = (self.inputs[at].node, self.nodes.by_server_id(tx.server_id));
        self.inputs[at].reading.status.flow().judged(tx.weight());
        self.board.shown(node, origin, &tx);
        self.metrics.observe(node, origin, &tx, now());
        if wants_rows(&tx, node, origin) {
            self.find_rows(&mut tx, at);
        }
        let input = &mut self.inputs[at];
        input.newest = input.newest.max(tx.committed_at);
        if tx.blind_spots.iter().any(|s| s.reason == BlindSpotReason::StaleSchema) {
            input.reading.stale.notify_one();
        }
        self.verifier.observe(node, &tx, &mut self.reports);
        if let Some(gtid) = &tx.gtid {
            input.comes_to(gtid);
        }
        input.last = tx.gtid;
        if let Some(origin) = origin.filter(|origin| *origin != node) {
            self.awaited.meet(node, origin, &tx);
        }
        input.at = Some(tx.coordinates);
        self.keeper.moved();
    }

    /// Takes what is new on its way to the store and to whoever is told.
    pub(super) fn tell(&mut self, sink: &mut impl WatchSink) {
        // Not so for most transactions, and the calendar costs more than counting one.
        if !self.reports.is_empty() {
            self.sort_out(sink);
        }
        if self.keeper.due() == Some(Duration::ZERO) {
            self.keep(sink);
        }
    }

    /// Leaves out what is suppressed.
    pub(super) fn sort_out(&mut self, sink: &mut impl WatchSink) {
        let mut reports = std::mem::take(&mut self.reports);
        let today = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date();
        for report in reports.drain(..) {
            match self.filter.fate(&report.finding, today) {
                Fate::Told => self.keeper.take(report, sink),
                // What was told before it was suppressed is told to its end.
                Fate::Suppressed if self.keeper.has_told(report.finding.id) => {
                    self.keeper.take(report, sink);
                }
                Fate::Suppressed if report.news => self.metrics.suppressed(report.finding.kind),
                Fate::Suppressed | Fate::Filtered => {}
            }
        }
        self.reports = reports;
    }

    /// Commits what waits to be told, with what a restart goes on with, and tells it.
    fn keep(&mut self, sink: &mut impl WatchSink) {
        self.recount(sink);
        self.tell_owed(sink);
        let memory = |into: &mut dyn Write| memory::write(&self.verifier, into);
        let standing = Standing { checkpoints: self.checkpoints(), memory: &memory };
        self.keeper.commit(now(), standing, sink);
        self.board.store_fails(self.keeper.fails_since());
    }

    /// Takes what is counted as it stands now, together with the memory: a count without it would
    /// be told again, and smaller.
    fn recount(&mut self, sink: &mut impl WatchSink) {
        if self.keeper.will_remember() {
            self.verifier.recount(&mut self.reports);
            self.sort_out(sink);
        }
    }

    fn end(&mut self, sink: &mut impl WatchSink) {
        self.recount(sink);
        let memory = |into: &mut dyn Write| memory::write(&self.verifier, into);
        let standing = Standing { checkpoints: self.checkpoints(), memory: &memory };
        self.keeper.end(now(), standing, sink);
    }

    /// Where each stream has been judged to.
    fn checkpoints(&self) -> Vec<Checkpoint> {
        self.inputs.iter().filter_map(|input| input.checkpoint(&self.nodes)).collect()
    }
}

fn is_break(event: &LiveEvent) -> bool {
    matches!(event, LiveEvent::Disconnected { .. })
}

pub(super) fn now() -> CommitTime {
    CommitTime::from_micros(jiff::Timestamp::now().as_microsecond())
}
