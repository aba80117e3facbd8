//! What a watch shows from its first moment on: its servers may be away for long, and who asks for
//! metrics or pages meanwhile is told which one is waited for.

use super::{
    board::Board,
    judge::Known,
    pages::Pages,
    service, survey,
    watch::{WatchError, WatchSink, now},
    watch_start::{check_ids, learn, report_facts},
};
use crate::{
    binlog::event,
    config::Config,
    feed::{
        FeedError,
        live::{DropReason, LiveOptions, ServerFacts, StreamStatus, meet},
    },
    http::{Pulse, Shared},
    metrics::Metrics,
    model::{NodeIndex, Nodes},
    report::Memory,
};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Semaphore;
use tracing::warn;

/// Findings that pages read from the masters at once: a server ends one of two readers that come
/// with the same id.
const EXPLAINED_AT_ONCE: usize = 1;

/// What is shown, before and while there is a judge.
pub(super) struct Front {
    pub(super) metrics: Arc<Metrics>,
    pub(super) pulse: Arc<Pulse>,
    pub(super) board: Board,
    /// What readers tell of their streams, by node.
    pub(super) statuses: Vec<Arc<StreamStatus>>,
}

impl Front {
    /// Nothing is known of these nodes but their names; `memory` bytes may be held.
    ///
    /// # Errors
    /// Only a metric that is described wrongly.
    pub(super) fn new(nodes: &Nodes, memory: u64) -> anyhow::Result<Front> {
        let reasons = DropReason::ALL.into_iter().map(DropReason::as_str);
        let metrics = Metrics::new(nodes, reasons, event::kind_names())?;
        metrics.configured(now());
        let limit = memory as usize;
        metrics.set_held(0, limit);
        let mut board = Board::new(nodes);
        board.holds(Memory { limit_bytes: limit, ..Memory::default() });
        Ok(Front {
            metrics: Arc::new(metrics),
            pulse: Arc::default(),
            board,
            statuses: nodes.indices().map(|_| Arc::default()).collect(),
        })
    }

    /// What HTTP reads.
    pub(super) fn shared(&self, pages: Pages) -> Shared {
        let (metrics, statuses) = (self.metrics.clone(), self.statuses.clone());
        // Two at once would each add the difference to a counter.
        let refreshing = Mutex::new(());
        let refresh = move || {
            let _one = refreshing.lock().unwrap_or_else(PoisonError::into_inner);
            for (at, status) in statuses.iter().enumerate() {
                let node = NodeIndex(at as u8);
                let (file, offset) = status.position();
                metrics.set_position(node, &file, offset);
                metrics.set_bytes(node, status.bytes());
                metrics.set_connected(node, status.is_connected());
                for (kind, count) in status.events_by_kind() {
                    metrics.set_events(node, kind, count);
                }
            }
        };
        Shared {
            metrics: self.metrics.clone(),
            refresh: Arc::new(refresh),
            pulse: self.pulse.clone(),
            status: self.board.snapshots(),
            findings: pages.findings,
            news: pages.news,
            desk: pages.desk,
            explaining: Arc::new(Semaphore::new(EXPLAINED_AT_ONCE)),
            access: pages.access,
        }
    }

    /// Asks all servers who they are, each until it answers, and learns their ids and tables.
    ///
    /// # Errors
    /// A server that cannot be followed, or is not the one that the configuration means.
    pub(super) async fn meet_all(
        &mut self,
        config: &Config,
        options: &[LiveOptions],
        known: &[Known],
        sink: &mut impl WatchSink,
    ) -> Result<(Nodes, Vec<ServerFacts>), WatchError> {
        let (mut nodes, mut all_facts) = (Vec::new(), Vec::new());
        for (at, (of, options)) in config.nodes.iter().zip(options).enumerate() {
            let index = NodeIndex(at as u8);
            self.board.waits_for(index, None);
            let away = |error: &FeedError| {
                warn!(node = of.name, "waiting for it: {error}");
                service::waiting(&of.name);
                sink.status(&self.board.waits_for(index, Some(error.to_string())));
            };
            let (facts, tables) = meet(options, away).await?;
            report_facts(&of.name, &facts, tables.len());
            self.board.met(index, &facts);
            survey::note(&mut self.board, &self.metrics, index, &facts);
            *known[at].write().unwrap_or_else(PoisonError::into_inner) = tables;
            let mut node = of.to_node(true);
            learn(&mut node, &facts)?;
            nodes.push(node);
            all_facts.push(facts);
        }
        let nodes = Nodes::new(nodes);
        check_ids(&nodes, config)?;
        Ok((nodes, all_facts))
    }
}
