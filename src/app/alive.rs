//! What a watch asks and judges by the clock, and not because a transaction came: copies that are
//! late, and appliers that an error has stopped.

use crate::{
    engine::{Report, Verifier},
    feed::live::{LiveOptions, answer_applier_errors},
    model::NodeIndex,
};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{Notify, mpsc},
    time::Instant,
};

/// From one look to the next at least.
const LATE_PACE: Duration = Duration::from_secs(1);
/// How long a conflict may be pending before its nodes are asked, and asked again.
const ASK_PACE: Duration = Duration::from_secs(2);

/// When to look, and what has been asked.
pub(super) struct Alive {
    nodes: Vec<Asked>,
    since: Instant,
    looked_at: Instant,
    asked_at: Instant,
}

/// One node.
struct Asked {
    node: NodeIndex,
    ask: Arc<Notify>,
    answers: mpsc::Receiver<Option<u32>>,
    /// All that its server had logged by then has been observed.
    read_until: Option<Instant>,
}

impl Alive {
    pub(super) fn new() -> Alive {
        let now = Instant::now();
        Alive { nodes: Vec::new(), since: now, looked_at: now, asked_at: now }
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
            asked.read_until = Some(Instant::now());
        }
    }

    /// Looks, if it is time to. No clock of a server's, or of this machine's, counts here: they may
    /// be wrong, and they jump.
    pub(super) fn look(&mut self, verifier: &mut Verifier, out: &mut Vec<Report>) {
        for asked in &mut self.nodes {
            while let Ok(errno) = asked.answers.try_recv() {
                verifier.replication_stopped(asked.node, errno, out);
            }
        }
        if self.looked_at.elapsed() >= LATE_PACE {
            self.looked_at = Instant::now();
            verifier.note_waiting(self.since.elapsed());
            for asked in &self.nodes {
                // Until it was caught up with, a stream lags only because it is being read.
                if let Some(until) = asked.read_until {
                    let until = until.duration_since(self.since);
                    verifier.advance_waiting(asked.node, until, out);
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
