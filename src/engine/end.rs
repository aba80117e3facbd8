//! The end of all streams: what is left is settled as it stands.

use super::{Report, Verifier, pending::Silence, stream::Stream};
use crate::model::{BlindSpotReason, Gtid, NodeIndex};

impl Verifier {
    /// The end of all streams: settles what is left, as it stands.
    pub fn finish(&mut self, out: &mut Vec<Report>) {
        let is_silent = |s: &Stream| {
            let turns_out = !s.cut && s.copies_are_logged && s.copies == 0 && s.copies_due > 0;
            s.begun && (turns_out || s.leaves_out.is_some())
        };
        let silent: Vec<bool> = self.streams.iter().map(is_silent).collect();
        for node in self.nodes.indices().filter(|node| silent[node.at()]) {
            let when = self.newest[node.at()].unwrap_or_default();
            let seconds = self.settings.silent_window_micros as f64 / 1e6;
            let why = self.streams[node.at()].leaves_out.as_deref().unwrap_or(
                "no other node's transaction is in this stream: log_replica_updates is OFF there, \
                 or nothing was applied",
            );
            let detail = format!(
                "{why}. Where the rows do not tell the order, writes of one row within {seconds} s \
                 on both sides are possible conflicts, others are taken to have known of each other"
            );
            self.blind(node, BlindSpotReason::NoCopies, None, detail, 1, when, out);
        }
        self.settle_divergences(out);
        self.settle_missing(&silent, out);
        self.settle_conflicts(&silent, out);
        self.count_unread_originals(out);
        self.tally.settle(out);
    }

    fn settle_conflicts(&mut self, silent: &[bool], out: &mut Vec<Report>) {
        let (streams, open, nodes) = (&self.streams, &self.open, &self.nodes);
        let (sources, by_sequence) = (&self.sources, &self.by_sequence);
        let mut was_never_logged = |node: NodeIndex, gtid: Gtid| {
            let log = sources.known(&gtid.source).and_then(|of| streams[node.at()].shown.get(&of));
            log.is_some_and(|log| log.was_never_logged(gtid.sequence))
        };
        let mut is_last = |gtid: &Gtid, row: u128, but: NodeIndex| {
            let of_source = sources.known(&gtid.source).and_then(|of| by_sequence.get(&of));
            let Some(id) = of_source.and_then(|of| of.get(&gtid.sequence)).copied() else {
                return false;
            };
            let origin = open.get(id).origin;
            let newest = open.touches_on(row, origin).next();
            let mut others = nodes.indices().filter(|node| ![origin, but].contains(node));
            newest.is_some_and(|touch| touch.owner == id)
                && others.all(|node| open.touches_on(row, node).next().is_none())
        };
        let silence = Silence {
            is_silent: &|node| silent[node.at()],
            is_last: &mut is_last,
            window_micros: self.settings.silent_window_micros,
            was_never_logged: &mut was_never_logged,
        };
        self.pending.settle(silence, out);
    }

    /// Copies whose originals never came: their own stream ends before the others, or lacks them.
    fn count_unread_originals(&mut self, out: &mut Vec<Report>) {
        let mut unread: Vec<(NodeIndex, bool, u64)> = Vec::new();
        for stream in &self.streams {
            for (source, log) in &stream.shown {
                let (count, first) = log.waiting();
                let Some(owner) = self.owners.get(source).filter(|_| count > 0) else { continue };
                let own = self.streams[owner.at()].own.get(source).copied().unwrap_or(0);
                unread.push((*owner, own > 0 && first > own, count));
            }
        }
        // Where a stream was cut off, the error has said so.
        unread.retain(|(node, ..)| !self.streams[node.at()].cut);
        for (node, is_tail, count) in unread {
            let when = self.newest[node.at()].unwrap_or_default();
            let reason = BlindSpotReason::Gap;
            if is_tail {
                let detail = "the other streams go on after this one ends: its last transactions \
                              are known as copies only";
                self.blind_lightly(node, reason, None, detail, count, when, out);
            } else {
                let detail = "transactions of this node that other streams show are not in its \
                              own: files are missing, or these are not its binlogs";
                self.blind(node, reason, None, detail.to_owned(), count, when, out);
            }
        }
    }
}
