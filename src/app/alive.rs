//! What a watch asks and judges by the clock, and not because a transaction came: copies that are
//! late, and appliers that an error has stopped.

use super::watch::now;
use crate::{
    engine::{Report, Verifier},
    feed::live::{LiveOptions, answer_applier_errors},
    model::{CommitTime, NodeIndex},
};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{Notify, mpsc},
    time::Instant,
};

/// From one look to the next at least.
const LATE_PACE: Duration = Duration::from_secs(1);
/// A commit time further ahead of this machine's clock was set by hand (`SET timestamp`).
const CLOCKS_APART_MAX_MICROS: i64 = 3_600_000_000;
/// How long a conflict may be pending before its nodes are asked, and asked again.
const ASK_PACE: Duration = Duration::from_secs(2);

/// When to look, and what has been asked.
pub(super) struct Alive {
    nodes: Vec<Asked>,
    looked_at: Instant,
    asked_at: Instant,
}

/// One node.
struct Asked {
    node: NodeIndex,
    ask: Arc<Notify>,
    answers: mpsc::Receiver<Option<u32>>,
    /// All that its server had logged by then has been observed.
    read_until: Option<CommitTime>,
}

impl Alive {
    pub(super) fn new() -> Alive {
        let now = Instant::now();
        Alive { nodes: Vec::new(), looked_at: now, asked_at: now }
    }

    /// Gets ready to ask a node.
    pub(super) fn add(&mut self, node: NodeIndex, options: LiveOptions) {
        let (send, answers) = mpsc::channel(1);
        let ask = Arc::<Notify>::default();
        tokio::spawn(answer_applier_errors(options, ask.clone(), send));
        self.nodes.push(Asked { node, ask, answers, read_until: None });
    }

    /// A node's server has nothing more to send, and all that it sent is judged.
    pub(super) fn caught_up(&mut self, node: NodeIndex) {
        if let Some(asked) = self.nodes.iter_mut().find(|asked| asked.node == node) {
            asked.read_until = Some(now());
        }
    }

    /// Looks, if it is time to; `newest` tells the newest commit time in a node's stream.
    pub(super) fn look(
        &mut self,
        verifier: &mut Verifier,
        newest: impl Fn(NodeIndex) -> CommitTime,
        out: &mut Vec<Report>,
    ) {
        for asked in &mut self.nodes {
            while let Ok(errno) = asked.answers.try_recv() {
                verifier.replication_stopped(asked.node, errno, out);
            }
        }
        if self.looked_at.elapsed() >= LATE_PACE {
            self.looked_at = Instant::now();
            for asked in &self.nodes {
                // Until it was caught up with, a stream lags only because it is being read.
                if let Some(until) = asked.read_until {
                    let newest = newest(asked.node);
                    let apart = newest.micros.saturating_sub(until.micros);
                    // This machine's clock may be behind; a session's may be anything.
                    let believed = apart <= CLOCKS_APART_MAX_MICROS;
                    let until = if believed { until.max(newest) } else { until };
                    verifier.advance(asked.node, until, out);
                }
            }
        }
        if self.asked_at.elapsed() >= ASK_PACE {
            self.asked_at = Instant::now();
            for node in verifier.awaited_nodes() {
                if let Some(asked) = self.nodes.iter().find(|asked| asked.node == node) {
                    asked.ask.notify_one();
                }
            }
        }
    }
}
