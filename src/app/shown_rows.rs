//! How a watch waits for the copy of an original that was logged as statements: see [`ahead`].
//!
//! All streams wait with it, so that what is judged keeps its turn; what they read meanwhile is
//! bounded as all that is under way. A copy that does not come soon is given up, and its original
//! is judged as it is; then none of that node's is waited for, until its copies come soon again.
//!
//! [`ahead`]: super::ahead

use super::{
    ahead::wants_rows,
    watch::{Judge, WatchError, now},
};
use crate::{
    feed::FeedItem,
    model::{CommitTime, NodeIndex, Transaction},
};
use std::{collections::BTreeSet, future::poll_fn, task::Poll, time::Duration};
use tokio::time::Instant;

/// How long a copy may take.
const COPY_TAKES_MAX: Duration = Duration::from_secs(10);

/// Waits for copies.
#[derive(Default)]
pub(super) struct Awaited {
    /// Since when.
    since: Option<Instant>,
    /// Whose copies (the stream's node, the origin) are not waited for: one has not come in time,
    /// or had no rows.
    given_up: BTreeSet<(NodeIndex, NodeIndex)>,
}

impl Awaited {
    /// A copy was judged: one that came soon, with rows, is waited for again.
    pub(super) fn meet(&mut self, node: NodeIndex, origin: NodeIndex, tx: &Transaction) {
        if !self.given_up.is_empty() && tx.shows_rows() && is_recent(tx.committed_at) {
            self.given_up.remove(&(node, origin));
        }
    }
}

fn is_recent(committed_at: CommitTime) -> bool {
    // A second, for clocks that differ and times that are whole seconds.
    let age = now().micros.saturating_sub(committed_at.micros) - 1_000_000;
    age < COPY_TAKES_MAX.as_micros() as i64
}

impl Judge {
    /// Whether the next transaction of a stream waits for a copy that shows its rows.
    pub(super) fn awaits_rows(&mut self, at: usize) -> bool {
        let input = &self.inputs[at];
        let Some(FeedItem::Transaction(tx)) = input.waiting.front() else { return false };
        let origin = input.node;
        if !wants_rows(tx, origin, self.nodes.by_server_id(tx.server_id)) {
            return false;
        }
        let Some(gtid) = tx.gtid.filter(|gtid| !self.early.has(gtid)) else { return false };
        let (mut shown, mut awaited) = (false, Vec::new());
        for (_, other) in self.inputs.iter_mut().enumerate().filter(|(other, _)| *other != at) {
            let pair = (other.node, origin);
            match other.waiting.find(&gtid).map(Transaction::shows_rows) {
                Some(true) => shown = true,
                Some(false) => drop(self.awaited.given_up.insert(pair)),
                None if other.waiting.has_passed(&gtid) => {}
                None if other.connected
                    && self.verifier.logs_copies(other.node)
                    && !self.awaited.given_up.contains(&pair) =>
                {
                    awaited.push(pair);
                }
                None => {}
            }
        }
        let since = *self.awaited.since.get_or_insert_with(Instant::now);
        if !shown && !awaited.is_empty() && since.elapsed() < COPY_TAKES_MAX {
            return true;
        }
        if !shown {
            self.awaited.given_up.extend(awaited);
        }
        self.awaited.since = None;
        false
    }

    /// Waits for what any stream reads ahead of the judge.
    pub(super) async fn receive_ahead(&mut self) -> Result<(), WatchError> {
        let wait = self.due().min(Duration::from_millis(100));
        let inputs = &mut self.inputs;
        let received = poll_fn(|context| {
            for (at, input) in inputs.iter_mut().enumerate() {
                if let Poll::Ready(event) = input.receive.poll_recv(context) {
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

    /// Gives an original that was logged as statements the rows of a copy, where one shows them.
    pub(super) fn find_rows(&mut self, tx: &mut Transaction, at: usize) {
        self.awaited.since = None;
        let Some(gtid) = tx.gtid else { return };
        let judged = self.early.take(&gtid);
        if let Some(copy) = judged.iter().find(|copy| copy.shows_rows()) {
            return tx.take_rows_of(copy);
        }
        let others = self.inputs.iter_mut().enumerate().filter(|(other, _)| *other != at);
        let mut copies = others.filter_map(|(_, input)| input.waiting.find(&gtid));
        if let Some(copy) = copies.find(|copy| copy.shows_rows()) {
            tx.take_rows_of(copy);
        }
    }
}
