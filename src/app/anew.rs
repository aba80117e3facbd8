//! What a watch does about a server that is not what it was: other settings, another server in its
//! place, or a log that is not the one that was read.

use super::{
    ahead::Ahead,
    survey,
    watch::{Judge, WAITING_MAX, now},
};
use crate::{
    feed::live::{LiveOptions, LiveStart, ServerFacts, follow},
    model::GtidSet,
};
use std::{collections::BTreeMap, time::Duration};
use tokio::sync::mpsc;
use tracing::{error, info, warn};

/// How long a reader has to notice that nobody listens.
const LET_GO_AFTER: Duration = Duration::from_millis(500);

impl Judge {
    /// A server says something else of itself than before, after a restart most often.
    pub(super) fn changed(&mut self, at: usize, facts: &ServerFacts) {
        // No stream tells it again.
        self.keeper.must_remember();
        let input = &mut self.inputs[at];
        let (node, name) = (input.node, self.nodes[input.node].name.as_str());
        let (version, uuid) = (facts.version.as_str(), facts.server_uuid);
        info!(node = name, version, "the server says something else of itself than before");
        survey::note(&mut self.board, &self.metrics, node, facts);
        if let Some(uuid) = uuid.filter(|uuid| !self.nodes[node].server_uuids.contains(uuid)) {
            warn!(node = name, "another server_uuid: restored from a backup, or replaced");
            self.nodes[node].server_uuids.push(uuid);
            self.verifier.learn_uuid(node, uuid);
        }
        match (self.verifier.logs_copies(node), facts.log_replica_updates) {
            (true, false) => {
                warn!(node = self.nodes[node].name, "log_replica_updates is OFF now");
                self.verifier.without_copies(node, now(), &mut self.reports);
            }
            (false, true) => {
                self.verifier.with_copies(node);
                self.lost(at);
            }
            _ => {}
        }
        let options = &self.inputs[at].reading.options;
        self.asks.look_at(node, &self.nodes, &self.verifier, options);
    }

    /// Another server answers in a node's place: it is not followed, and that is told once.
    pub(super) fn replaced(&mut self, at: usize) {
        let input = &mut self.inputs[at];
        if std::mem::replace(&mut input.replaced, true) {
            return;
        }
        let detail = format!(
            "another server answers in its place: as long as it does, what this node logs after \
             {} is not judged",
            input.gtids
        );
        self.metrics.gap(input.node);
        self.verifier.unread(input.node, detail, now(), &mut self.reports);
    }

    /// A server's log is not the one that was read: all that is open is settled as it stands, and
    /// every stream begins again: this one with what its server logs from now on, the others where
    /// they are.
    pub(super) fn lost(&mut self, at: usize) {
        let name = self.nodes[self.inputs[at].node].name.as_str();
        error!(node = name, "its log is not the one that was read: judging begins anew");
        self.verifier.begin_anew(&mut self.reports);
        let (lost, begun) = (self.inputs[at].node, self.inputs[at].begun);
        let mut old = self.inputs[at].gtids.clone();
        old.retain(|source| self.nodes.owner_of(source) == Some(lost));
        for input in self.inputs.iter().filter(|input| input.node != lost && input.begun) {
            self.verifier.begin(input.node, input.gtids.clone());
            if self.starts_now {
                self.verifier.baseline_is_whole(input.node);
            }
            let on_its_way = old.minus(&input.gtids).minus(&input.past);
            self.verifier.passes_over(input.node, on_its_way);
        }
        let input = &mut self.inputs[at];
        let options = LiveOptions { start: LiveStart::Now, ..input.reading.options.clone() };
        let (send, receive) = mpsc::channel(WAITING_MAX);
        let status = input.reading.status.clone();
        // One that is still connected ends first: a server has one reader of an id.
        input.receive = receive;
        tokio::spawn(async {
            tokio::time::sleep(LET_GO_AFTER).await;
            follow(options, send, status).await;
        });
        (input.begun, input.connected, input.idle) = (false, false, false);
        // What was read ahead is of the old log.
        (input.waiting, input.breaks) = (Ahead::default(), 0);
        let judged = std::mem::take(&mut input.gtids);
        (input.heads, input.purged) = (BTreeMap::new(), GtidSet::default());
        // The new log does not have it.
        input.last = None;
        self.keeper.all_begun(false);
        input.past.extend(&judged);
        if begun {
            input.anew = Some(judged);
        }
    }

    /// A stream begins; where it begins anew, what lies in between is a blind spot.
    pub(super) fn begun_anew(&mut self, at: usize, baseline: &GtidSet) {
        let input = &mut self.inputs[at];
        let Some(judged) = input.anew.take() else { return };
        let (node, newest) = (input.node, input.newest);
        let set = |set: &GtidSet| match set.is_empty() {
            true => "nothing".to_owned(),
            false => set.to_string(),
        };
        let (from, to) = (set(&judged), set(baseline));
        let detail = format!(
            "its log is not the one that was read (reset, restored, or log_replica_updates was \
             OFF): not judged after {from} up to {to}, nor what was open then"
        );
        error!(node = self.nodes[node].name, "not judged: {detail}");
        self.metrics.gap(node);
        self.verifier.unread(node, detail, newest, &mut self.reports);
    }
}
