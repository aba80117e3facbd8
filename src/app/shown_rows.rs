//! How a watch waits for the copies of an original that was logged as statements: see [`ahead`].
//!
//! All streams wait with it, so that what is judged keeps its turn; what they read meanwhile is
//! bounded as all that is under way. A copy that does not come soon is given up, and its original
//! is judged as it is; then that node's copies are not waited for, until one comes soon again. Nor
//! is one waited for after the connection to the original's own server has ended: that may have
//! been reset, and give its numbers anew.
//!
//! [`ahead`]: super::ahead

use super::{
    ahead::wants_rows,
    watch::{Judge, WatchError},
};
use crate::model::{Gtid, NodeIndex, Transaction};
use std::{collections::BTreeMap, future::poll_fn, task::Poll, time::Duration};
use tokio::time::Instant;

/// How long a copy may take.
const COPY_TAKES_MAX: Duration = Duration::from_secs(10);

/// How long the judge waits at once.
const LOOK: Duration = Duration::from_millis(100);

/// A stream's node, and an origin whose copies it shows.
type Pair = (NodeIndex, NodeIndex);

/// Waits for copies.
#[derive(Default)]
pub(super) struct Awaited {
    /// Since when.
    since: Option<Instant>,
    /// Whose copies are not waited for, and an original of theirs whose copy, if it comes in time,
    /// changes that: when it was to be judged.
    given_up: BTreeMap<Pair, Option<(Gtid, Instant)>>,
}

impl Awaited {
    /// A copy was judged: where one came soon, with rows, they are waited for again.
    pub(super) fn meet(&mut self, node: NodeIndex, origin: NodeIndex, copy: &Transaction) {
        let Some(tried) = self.given_up.get_mut(&(node, origin)) else { return };
        let Some((_, since)) = tried.filter(|(gtid, _)| copy.gtid == Some(*gtid)) else { return };
        *tried = None;
        if copy.shows_rows() && since.elapsed() < COPY_TAKES_MAX {
            self.given_up.remove(&(node, origin));
        }
    }

    fn give_up(&mut self, pair: Pair, gtid: Gtid) {
        let since = self.since.unwrap_or_else(Instant::now);
        self.given_up.insert(pair, Some((gtid, since)));
    }

    /// Whether a copy is waited for. Of those that are not, one at a time is tried.
    fn waits(&mut self, pair: Pair, gtid: Gtid) -> bool {
        let Some(tried) = self.given_up.get_mut(&pair) else { return true };
        if tried.is_none_or(|(_, since)| since.elapsed() > COPY_TAKES_MAX) {
            *tried = Some((gtid, Instant::now()));
        }
        false
    }
}

impl Judge {
    /// Whether the next transaction of a stream waits for copies that show its rows.
    pub(super) fn awaits_rows(&mut self, at: usize) -> bool {
        let origin = self.inputs[at].node;
        let next = self.inputs[at].next_transaction();
        let is_one =
            |tx: &&Transaction| wants_rows(tx, origin, self.nodes.by_server_id(tx.server_id));
        let Some(gtid) = next.filter(is_one).and_then(|tx| tx.gtid) else { return false };
        if self.inputs[at].breaks > 0 {
            return false;
        }
        let mut awaited = Vec::new();
        for (_, other) in self.inputs.iter_mut().enumerate().filter(|(other, _)| *other != at) {
            other.waiting.note();
            let pair = (other.node, origin);
            match other.waiting.get(&gtid) {
                Some(copy) if copy.hides_rows() => self.awaited.give_up(pair, gtid),
                Some(_) => {}
                None if other.waiting.has_passed(&gtid)
                    || self.verifier.has_shown(other.node, &gtid)
                    || !self.verifier.logs_copies(other.node) => {}
                None if self.awaited.waits(pair, gtid) => awaited.push(pair),
                None => {}
            }
        }
        let since = *self.awaited.since.get_or_insert_with(Instant::now);
        if !awaited.is_empty() && since.elapsed() < COPY_TAKES_MAX {
            return true;
        }
        awaited.into_iter().for_each(|pair| self.awaited.give_up(pair, gtid));
        false
    }

    /// Waits for what the streams read ahead of the judge, those first that may show what the next
    /// transaction of one waits for.
    pub(super) async fn receive_ahead(&mut self, at: usize) -> Result<(), WatchError> {
        let wait = self.due().min(LOOK);
        let inputs = &mut self.inputs;
        let received = poll_fn(|context| {
            let others = (0..inputs.len()).filter(|other| *other != at);
            for at in others.chain([at]) {
                if let Poll::Ready(event) = inputs[at].receive.poll_recv(context) {
                    return Poll::Ready((at, event));
                }
            }
            Poll::Pending
        });
        match tokio::time::timeout(wait, received).await {
            Ok((at, event)) => self.received(at, event),
            Err(_) => Ok(()),
        }
    }

    /// Gives an original that was logged as statements the rows of a copy, where one shows them:
    /// that of the first node, so that nothing depends on which is read first.
    pub(super) fn find_rows(&mut self, tx: &mut Transaction, at: usize) {
        self.awaited.since = None;
        let Some(gtid) = tx.gtid else { return };
        let others = self.inputs.iter().enumerate().filter(|(other, _)| *other != at);
        let ahead = others.filter_map(|(_, of)| Some((of.node, of.waiting.get(&gtid)?)));
        let ahead = ahead.filter(|(node, copy)| {
            copy.shows_rows() && !self.verifier.is_passed_over(*node, &gtid)
        });
        let copies = ahead.chain(self.verifier.rows_of_copy(&gtid));
        let Some((_, copy)) = copies.min_by_key(|(node, _)| *node) else { return };
        tx.take_rows_of(copy);
        // A reload is under way: the copy was read for other rules, maybe.
        if self.rules_differ() {
            tx.forget_rule_values();
        }
    }
}
