//! What a watch does when it holds nearly as much as it may: the stream that is ahead is not read
//! on, as long as there is another to wait for.
//!
//! No finding depends on it: streams may be read in any turn. What is held is originals that
//! other streams have not shown, and copies whose originals have not been read; both go when the
//! stream that is behind is read. So near the bound only that one is, and the others' servers wait.
//!
//! Waiting helps only where something comes. A stream that has said that it has no more is not
//! waited for, nor one that has made nothing go for a while: replication has stopped, or its
//! server is down. Then all are read on, and at the bound the engine lets the oldest go.

use super::{
    input::Input,
    judge::under_way_max,
    watch::{Judge, WatchError, WatchSink, now},
};
use crate::feed::FeedItem;
use std::time::Duration;
use tokio::time::Instant;

/// How long a stream is waited for that makes nothing go, though it is up to date, or down.
const FRUITLESS: Duration = Duration::from_secs(30);
/// The same for one that is behind: what it shows now was committed more than this ago.
const FRUITLESS_BEHIND: Duration = Duration::from_secs(600);
const BEHIND_MICROS: i64 = 60_000_000;
/// How long the judge waits at once.
const LOOK: Duration = Duration::from_millis(500);

/// Bounds, and how long has been waited.
pub(super) struct Pressure {
    limit: usize,
    under_way_max: usize,
    /// What is held has come near the bound, and not gone far from it since.
    pressed: bool,
    /// Per stream: for how long it was waited for since it has made something go.
    waited: Vec<Duration>,
    /// Bytes that are held beside the engine.
    pub(super) others_hold: usize,
}

impl Pressure {
    pub(super) fn new(limit: usize, nodes: usize) -> Pressure {
        Pressure {
            limit,
            under_way_max: under_way_max(limit, nodes),
            pressed: false,
            waited: vec![Duration::ZERO; nodes],
            others_hold: 0,
        }
    }

    /// Bytes that may be held.
    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// Bytes that one stream may have under way.
    pub(super) fn under_way_max(&self) -> usize {
        self.under_way_max
    }
}

impl Input {
    /// Whether waiting for it may make something go.
    fn is_awaited(&self, waited: Duration) -> bool {
        let behind = now().micros.saturating_sub(self.newest.micros) > BEHIND_MICROS;
        let patience = if self.connected && behind { FRUITLESS_BEHIND } else { FRUITLESS };
        self.waiting.is_empty() && (self.has_more || !self.connected) && waited < patience
    }
}

impl Judge {
    /// Bytes held of what is in flight.
    pub(super) fn held_bytes(&mut self) -> usize {
        self.pressure.others_hold =
            self.inputs.iter().map(|of| of.reading.status.flow().bytes()).sum();
        self.verifier.held_bytes() + self.pressure.others_hold
    }

    /// Whether what is held is near the bound: past three quarters of it, until it is less than
    /// five eighths.
    pub(super) fn is_pressed(&mut self) -> bool {
        let (held, limit) = (self.held_bytes(), self.pressure.limit);
        let pressed = match self.pressure.pressed {
            true => held > limit / 8 * 5,
            false => held > limit / 4 * 3,
        };
        if !pressed && self.pressure.pressed {
            self.pressure.waited.fill(Duration::ZERO);
        }
        self.pressure.pressed = pressed;
        pressed
    }

    /// Judges what makes something go; else waits for a stream that may; else judges what makes
    /// least come.
    pub(super) async fn run_pressed(
        &mut self,
        next: usize,
        sink: &mut impl WatchSink,
    ) -> Result<(), WatchError> {
        if let Some(at) = self.next_that_frees() {
            self.pressure.waited[at] = Duration::ZERO;
            self.judge_next(at, sink);
            return Ok(());
        }
        let waited = &self.pressure.waited;
        let inputs = self.inputs.iter().zip(waited);
        let awaited: Vec<bool> = inputs.map(|(of, waited)| of.is_awaited(*waited)).collect();
        if !awaited.contains(&true) {
            let at = self.smallest().unwrap_or(next);
            self.judge_next(at, sink);
            return Ok(());
        }
        self.tell(sink);
        let since = Instant::now();
        let most = self.due().min(LOOK);
        let received = tokio::time::timeout(most, self.receive()).await;
        let passed = since.elapsed();
        for (at, input) in self.inputs.iter().enumerate() {
            if awaited[at] {
                self.pressure.waited[at] += passed;
            } else if !input.waiting.is_empty() {
                self.metrics.held_back(input.node, passed.as_secs_f64());
            }
        }
        received.unwrap_or(Ok(()))
    }

    /// Of the streams whose next transaction makes nothing come, the one where it is the oldest.
    fn next_that_frees(&self) -> Option<usize> {
        let frees = |input: &&(usize, &Input)| match input.1.waiting.front() {
            Some(FeedItem::Transaction(tx)) => !self.verifier.would_grow(input.1.node, tx),
            Some(_) => true,
            None => false,
        };
        let inputs = self.inputs.iter().enumerate().collect::<Vec<_>>();
        let frees = inputs.iter().filter(frees);
        frees.min_by_key(|(_, input)| input.next_time(&self.nodes)).map(|(at, _)| *at)
    }

    /// The stream whose own originals are the fewest of what is held.
    fn smallest(&self) -> Option<usize> {
        let inputs = self.inputs.iter().enumerate().filter(|(_, input)| !input.waiting.is_empty());
        let held = |input: &Input| self.verifier.open_transactions_of(input.node);
        inputs.min_by_key(|(_, of)| (held(of), of.next_time(&self.nodes))).map(|(at, _)| at)
    }
}
