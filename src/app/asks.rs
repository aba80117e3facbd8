//! The servers that are asked what they have applied, because their logs do not show it.

use crate::{
    engine::{Report, Verifier},
    feed::live::{LiveOptions, keep_asking},
    metrics::Metrics,
    model::{Applied, NodeIndex, Nodes},
};
use std::{collections::BTreeMap, time::Duration};
use tokio::sync::mpsc;

/// Answers that may wait for the judge: six seconds of them. A server is not asked further where
/// the judge does not come to them; what it said is true all the same.
const WAITING_MAX: usize = 64;

/// From one look at the answers to the next, where nothing else comes.
const ROUND: Duration = Duration::from_millis(100);

/// Who is asked.
#[derive(Default)]
pub(super) struct Asks(BTreeMap<NodeIndex, mpsc::Receiver<Applied>>);

impl Asks {
    /// Begins to ask a node's server, if its log does not show what it applies.
    pub(super) fn look_at(
        &mut self,
        node: NodeIndex,
        nodes: &Nodes,
        verifier: &Verifier,
        options: &LiveOptions,
    ) {
        if verifier.logs_copies(node) {
            self.0.remove(&node);
            return;
        }
        self.0.entry(node).or_insert_with(|| {
            let (send, answers) = mpsc::channel(WAITING_MAX);
            let server_ids = nodes[node].server_ids.clone();
            tokio::spawn(keep_asking(options.clone(), server_ids, send));
            answers
        });
    }

    /// How long answers may wait for the judge.
    pub(super) fn due(&self) -> Option<Duration> {
        (!self.0.is_empty()).then_some(ROUND)
    }

    /// Gives the engine the answers that have come.
    pub(super) fn take(
        &mut self,
        verifier: &mut Verifier,
        metrics: &Metrics,
        out: &mut Vec<Report>,
    ) {
        for (node, answers) in &mut self.0 {
            while let Ok(answer) = answers.try_recv() {
                metrics.answered(*node);
                verifier.applied(*node, answer, out);
            }
        }
    }
}
