//! Relay logs: what a replica has received of its source's binlog, read as that source's stream.
//!
//! A relay log opens with the replica's own format description; that of the source follows, and the
//! source's events as it sent them. What it leaves out are the replica's own transactions: their
//! copies are in the source's binlog, and a replica does not take back what is its own. So the
//! stream is sound, but shows no order between these two nodes.
//!
//! # Source
//! Measured on MariaDB 10.11 and MySQL 9.7. MariaDB begins a new relay log also inside of a
//! transaction; MySQL waits for its end.

use super::{BinlogFile, FeedError};
use crate::{
    binlog::event::{self, Header, kind},
    model::{Gtid, GtidSet, file_number},
};

/// What a relay log needs to be known of beside its events.
#[derive(Default)]
pub(super) struct RelayLog {
    /// What its source had logged before the first transaction in it.
    before: GtidSet,
    begun: bool,
}

impl RelayLog {
    /// Takes a list of what was received, or logged, before; later ones say nothing new.
    pub(super) fn head(&mut self, set: &GtidSet) {
        if !self.begun {
            self.before.extend(set);
        }
    }

    /// What the source had logged before this transaction, the first one: what the heads say, and
    /// the numbers below its own, where a log has them in order. MariaDB's do; of MySQL's, only the
    /// server's own must.
    pub(super) fn begin(&mut self, first: Option<(&Gtid, IsOwn)>) -> GtidSet {
        self.begun = true;
        let mut before = std::mem::take(&mut self.before);
        // Of those without a GTID the engine takes it itself.
        if let Some((gtid, IsOwn(is_own))) = first
            && !gtid.source.is_anonymous()
            && let Some(last) = gtid.sequence.checked_sub(1).filter(|last| *last > 0)
        {
            match gtid.source.is_ordered() {
                true => before.add_up_to(&Gtid { source: gtid.source, sequence: last }),
                false if is_own => before.add_range(gtid.source, 1, last),
                false => {}
            }
        }
        before
    }
}

/// Whether a transaction is its log's server's own.
pub(super) struct IsOwn(pub(super) bool);

/// Whether an event begins a transaction: one that is open then was not received whole.
pub(super) fn begins_transaction(header: &Header) -> bool {
    use kind::{ANONYMOUS_GTID, GTID, GTID_TAGGED, MARIADB_GTID};
    matches!(header.kind, GTID | ANONYMOUS_GTID | GTID_TAGGED | MARIADB_GTID)
}

/// Whether an event describes the format of what a source sent, and not of the relay log.
pub(super) fn describes_source(header: &Header, bytes: &[u8]) -> bool {
    header.kind == kind::FORMAT_DESCRIPTION && !event::is_relay_log(bytes)
}

/// Refuses relay logs of which one is missing: nothing in the next one would tell.
pub(super) fn ensure_consecutive(node: &str, files: &[BinlogFile]) -> Result<(), FeedError> {
    for pair in files.windows(2) {
        let (Some(first), Some(second)) = (file_number(&pair[0].name), file_number(&pair[1].name))
        else {
            continue;
        };
        if second != first + 1 {
            return Err(FeedError::Source {
                node: node.to_owned(),
                path: pair[1].path.clone(),
                problem: format!(
                    "the relay logs between {} and this one are missing",
                    pair[0].name
                ),
                hint: "copy them too, or give the later ones alone".to_owned(),
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relay_log_begins_after_what_its_head_and_first_number_say() {
        let uuid = "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa";
        for (head, first, is_own, before) in [
            ("0-2-4", "0-1-9", true, "0-1-8,0-2-4".to_owned()),
            ("", "0-1-9", false, "0-1-8".to_owned()),
            ("0-2-4", "0-1-1", true, "0-2-4".to_owned()),
            ("", &format!("{uuid}:9"), true, format!("{uuid}:1-8")),
            ("", &format!("{uuid}:9"), false, String::new()),
            ("", "anonymous-1-1795942568420865", true, String::new()),
        ] {
            let mut relay = RelayLog::default();
            relay.head(&head.parse().unwrap_or_default());
            let set: GtidSet = first.parse().unwrap();
            let (source, ranges) = set.iter().next().unwrap();
            let gtid = Gtid { source: *source, sequence: ranges[0].1 };
            assert_eq!(relay.begin(Some((&gtid, IsOwn(is_own)))).to_string(), before, "{first}");
        }
    }

    #[test]
    fn relay_logs_follow_each_other() {
        let files = |names: &[&str]| -> Vec<BinlogFile> {
            let file =
                |name: &&str| BinlogFile { path: name.into(), name: (*name).into(), bytes: 0 };
            names.iter().map(file).collect()
        };
        let fits = |names: &[&str]| ensure_consecutive("a", &files(names)).is_ok();
        assert!(fits(&["r.000009", "r.000010"]) && fits(&["r.000009"]) && fits(&["any", "names"]));
        assert!(!fits(&["r.000009", "r.000011"]) && !fits(&["r.999999", "r.000001"]));
    }
}
