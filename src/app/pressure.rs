//! What a watch does when it holds nearly as much as it may: the stream that is ahead is not read
//! on, as long as there is another to wait for.
//!
//! No finding depends on it, but for originals that were logged as statements, whose copies are not
//! waited for then: streams may be read in any turn. What is held is originals that
//! other streams have not shown, and copies whose originals have not been read; both go when the
//! stream that is behind is read. So near the bound only that one is, and the others' servers wait.
//!
//! Parts of what is held have bounds of their own, and the fullest counts: rows of copies whose
//! originals have not been read fill the ledger's quarter long before the whole is full.
//!
//! Waiting helps only where something comes. A stream that has said that it has no more is not
//! waited for, nor one that has made nothing go for a while: replication has stopped, or its
//! server is down. Then all are read on, and at the bound the engine lets the oldest go.

use super::{
    input::Input,
    judge::under_way_max,
    watch::{Judge, WatchError, WatchSink, now},
};
use crate::{engine::Share, report::Memory};
use std::time::Duration;
use tokio::time::Instant;

/// How long a stream is waited for that makes nothing go, though it is up to date, or down.
const FRUITLESS: Duration = Duration::from_secs(30);
/// The same for one that is behind: what it shows now was committed more than this ago.
const FRUITLESS_BEHIND: Duration = Duration::from_secs(600);
const BEHIND_MICROS: i64 = 60_000_000;
/// How long the judge waits at once.
const LOOK: Duration = Duration::from_millis(500);
/// Eighths of a share at which streams begin to wait.
const PRESSED_PAST: u8 = 6;
/// Eighths at which they go on.
const PRESSED_DOWN_TO: u8 = 5;

/// Bounds, and how long has been waited.
pub(super) struct Pressure {
    limit: usize,
    under_way_max: usize,
    /// What is held has come near the bound, and not gone far from it since.
    pressed: bool,
    /// Per stream: for how long it was waited for since it has made something go.
    waited: Vec<Duration>,
}

impl Pressure {
    pub(super) fn new(limit: usize, nodes: usize) -> Pressure {
        Pressure {
            limit,
            under_way_max: under_way_max(limit, nodes),
            pressed: false,
            waited: vec![Duration::ZERO; nodes],
        }
    }

    /// Whether streams have to wait: some share is past three quarters, or has been and is not down
    /// to five eighths again, or what comes next is too much for what is left of one.
    fn press(&mut self, shares: &[Share], is_crowded: bool) -> bool {
        let eighths = if self.pressed { PRESSED_DOWN_TO } else { PRESSED_PAST };
        let pressed = is_crowded || shares.iter().any(|share| share.is_past(eighths));
        if !pressed && self.pressed {
            self.waited.fill(Duration::ZERO);
        }
        self.pressed = pressed;
        pressed
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
    /// What is held of what is in flight.
    pub(super) fn memory(&mut self) -> Memory {
        let held_bytes = self.weigh();
        let is_full = |share: &Share| share.is_past(PRESSED_DOWN_TO);
        // Nothing may have come since it was pressed, and all of it gone.
        let nearly_full = self.pressure.pressed && self.verifier.shares().iter().any(is_full);
        Memory { held_bytes, limit_bytes: self.pressure.limit, nearly_full }
    }

    /// Bytes held. The engine is told how many of them are not its own.
    fn weigh(&mut self) -> usize {
        let under_way = self.inputs.iter().map(|of| of.reading.status.flow().bytes()).sum();
        self.verifier.others_hold(under_way);
        self.verifier.held_bytes() + under_way
    }

    /// Whether what is held is near a bound.
    pub(super) fn is_pressed(&mut self) -> bool {
        self.weigh();
        let crowds = |input: &Input| {
            let next = input.next_transaction();
            next.is_some_and(|tx| self.verifier.would_crowd(input.node, tx, PRESSED_PAST))
        };
        let is_crowded = self.inputs.iter().any(crowds);
        self.pressure.press(&self.verifier.shares(), is_crowded)
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
        let frees = |input: &&(usize, &Input)| {
            let next = input.1.next_transaction();
            !input.1.waiting.is_empty()
                && next.is_none_or(|tx| !self.verifier.would_grow(input.1.node, tx))
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Shares of a hundred, so full.
    fn shares(held: [usize; 3]) -> [Share; 3] {
        held.map(|held| Share { held, max: 100 })
    }

    #[test]
    fn the_fullest_share_presses() {
        for at in 0..3 {
            let mut pressure = Pressure::new(1 << 20, 2);
            let mut held = [10; 3];
            for (now, pressed) in [(75, false), (76, true), (70, true), (63, true), (62, false)] {
                held[at] = now;
                assert_eq!(pressure.press(&shares(held), false), pressed, "share {at}: {now}");
            }
        }
    }

    #[test]
    fn what_comes_next_may_be_too_much_for_what_is_left() {
        let mut pressure = Pressure::new(1 << 20, 2);
        assert!(pressure.press(&shares([10; 3]), true));
        assert!(!pressure.press(&shares([10; 3]), false));
    }

    #[test]
    fn waits_count_until_the_pressure_is_gone() {
        let mut pressure = Pressure::new(1 << 20, 2);
        pressure.press(&shares([90, 0, 0]), false);
        pressure.waited[1] = FRUITLESS;
        pressure.press(&shares([0, 70, 0]), false);
        assert_eq!(pressure.waited[1], FRUITLESS);
        pressure.press(&shares([0; 3]), false);
        assert_eq!(pressure.waited[1], Duration::ZERO);
    }

    #[test]
    fn a_share_without_room_presses_nobody() {
        let mut pressure = Pressure::new(1 << 20, 2);
        assert!(!pressure.press(&[Share { held: 7, max: 0 }], false));
    }
}
