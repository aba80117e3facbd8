//! One node's stream, as the judge has it.

use super::{
    ahead::{Ahead, Delivered},
    judge::Known,
    memory::Place,
};
use crate::{
    feed::{
        FeedItem,
        live::{LiveEvent, LiveOptions, PlansSender, StreamStatus},
    },
    model::{CommitTime, Coordinates, Gtid, GtidSet, GtidSource, NodeIndex, Nodes, Transaction},
    store::Checkpoint,
};
use std::{collections::BTreeMap, sync::Arc};
use tokio::sync::{Notify, mpsc};

/// How a stream is read.
pub(super) struct Reading {
    /// How its server is followed.
    pub(super) options: LiveOptions,
    pub(super) status: Arc<StreamStatus>,
    /// What is known of the server's tables is not what its log shows.
    pub(super) stale: Arc<Notify>,
    /// What is known of them.
    pub(super) known: Known,
    /// Where other plans for them go.
    pub(super) plans: PlansSender,
}

/// One node's stream, at the judge.
pub(super) struct Input {
    pub(super) node: NodeIndex,
    pub(super) receive: mpsc::Receiver<LiveEvent>,
    pub(super) reading: Reading,
    /// The number of the plans that it is read with, as far as it was judged.
    pub(super) plans: u64,
    /// What came and was not come to: first an item to judge, if anything.
    pub(super) waiting: Ahead<LiveEvent>,
    /// How many of what waits say that the connection has ended.
    pub(super) breaks: usize,
    pub(super) begun: bool,
    /// It begins anew: what had been judged of it before.
    pub(super) anew: Option<GtidSet>,
    /// What had been judged of all logs that it had before.
    pub(super) past: GtidSet,
    /// Another server answers in its place.
    pub(super) replaced: bool,
    pub(super) connected: bool,
    /// The server has said that it has nothing more to send for now.
    pub(super) idle: bool,
    /// It has not said so since it sent something.
    pub(super) has_more: bool,
    pub(super) newest: CommitTime,
    /// The last transaction judged; of a stream without GTIDs, before that, where it begins.
    pub(super) at: Option<Coordinates>,
    /// Everything up to there.
    pub(super) gtids: GtidSet,
    /// MariaDB: the last GTID of each domain up to there.
    pub(super) heads: BTreeMap<u32, Gtid>,
    /// MySQL: what was purged before the stream was begun.
    pub(super) purged: GtidSet,
    /// The last transaction judged.
    pub(super) last: Option<Gtid>,
}

impl Input {
    /// As in a scan: by commit time, and originals before copies.
    pub(super) fn next_time(&self, nodes: &Nodes) -> Option<(CommitTime, bool)> {
        self.waiting.front().and_then(Delivered::item).map(|item| match item {
            FeedItem::Transaction(tx) => {
                (tx.committed_at, nodes.by_server_id(tx.server_id) != Some(self.node))
            }
            _ => (CommitTime { micros: i64::MIN, whole_seconds: false }, false),
        })
    }

    /// The next thing to judge, if it is a transaction.
    pub(super) fn next_transaction(&self) -> Option<&Transaction> {
        self.waiting.front().and_then(Delivered::transaction)
    }

    /// A stream that has not begun, or goes on from a place.
    pub(super) fn new(
        node: NodeIndex,
        receive: mpsc::Receiver<LiveEvent>,
        reading: Reading,
        place: Option<&Place>,
    ) -> Input {
        let point = place.map(|place| place.point.clone()).unwrap_or_default();
        let mut input = Input {
            node,
            receive,
            reading,
            plans: 0,
            waiting: Ahead::default(),
            breaks: 0,
            begun: false,
            anew: None,
            past: GtidSet::default(),
            replaced: false,
            connected: false,
            idle: false,
            has_more: true,
            newest: place.map_or_else(CommitTime::default, |place| place.newest),
            at: place.and_then(|place| place.at.clone()),
            gtids: point.set,
            heads: BTreeMap::new(),
            purged: point.purged,
            last: point.last,
        };
        point.heads.iter().for_each(|head| input.comes_to(head));
        input
    }

    /// Notes what it takes to go on from the stream's beginning, or after a gap.
    pub(super) fn stands(
        &mut self,
        heads: &[Gtid],
        purged: GtidSet,
        place: Option<(Arc<str>, u64)>,
    ) {
        heads.iter().for_each(|head| self.comes_to(head));
        self.purged = purged;
        if let Some((file, offset)) = place {
            self.at = Some(Coordinates { file, start: offset, end: offset });
            self.last = None;
        }
    }

    /// Notes what it takes to go on after a transaction.
    pub(super) fn comes_to(&mut self, gtid: &Gtid) {
        match gtid.source {
            GtidSource::MariaDb { domain, .. } => {
                self.heads.insert(domain, *gtid);
                // Holes count as passed: they never come, and each would be a range of its own.
                self.gtids.add_up_to(gtid);
            }
            // By these nothing goes on: the coordinates do.
            GtidSource::Anonymous { .. } | GtidSource::Counted { .. } => {}
            GtidSource::MySql { .. } => drop(self.gtids.add(gtid)),
        }
    }

    pub(super) fn checkpoint(&self, nodes: &Nodes) -> Option<Checkpoint> {
        // Begun is enough: the GTIDs say where it goes on.
        let nowhere = Coordinates { file: "".into(), start: 0, end: 0 };
        let at = self.at.as_ref().unwrap_or(&nowhere);
        self.begun.then(|| Checkpoint {
            node: nodes[self.node].name.clone(),
            file: at.file.to_string(),
            start: at.start,
            offset: at.end,
            last: self.last.map_or_else(String::new, |gtid| gtid.to_string()),
            gtid_set: self.gtids.to_string(),
            heads: self.heads.values().map(Gtid::to_string).collect::<Vec<_>>().join(","),
            purged: self.purged.to_string(),
            committed_at: self.newest.micros,
        })
    }
}
