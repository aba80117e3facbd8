//! What has been delivered of a stream: where it goes on, and what may not come twice.

use super::{LiveStart, ResumePoint, history::Mark};
use crate::model::{Gtid, GtidSet, GtidSource, Transaction};
use std::{collections::BTreeMap, sync::Arc};

/// What the receiver has been given.
#[derive(Default)]
pub(super) struct Delivered {
    /// The baseline and every transaction since; `None` until the baseline was delivered.
    pub(super) set: Option<GtidSet>,
    /// MySQL: what `gtid_purged` had before the stream was begun. Some of it may be in no log at
    /// all (a restored backup's), so no file's head names it; yet the server insists that
    /// a replica has it.
    pub(super) purged: GtidSet,
    /// MariaDB: per domain, the last GTID delivered or in the baseline. A position cannot be
    /// derived from the set, since which server was the last in a domain is not in there.
    pub(super) positions: BTreeMap<u32, Gtid>,
    /// The last transaction delivered.
    pub(super) mark: Option<Mark>,
    /// MySQL without GTIDs: file and offset after all that was delivered; an empty name is the
    /// oldest file.
    pub(super) next: Option<(Arc<str>, u64)>,
    /// The last transaction delivered has no GTID: what comes after it cannot be asked for by one.
    pub(super) by_coordinates: bool,
    /// The baseline as far as it is known, before it can be delivered.
    gathering: GtidSet,
}

impl Delivered {
    /// Forgets a beginning that was not finished: it comes again whole.
    pub(super) fn restart(&mut self) {
        if self.set.is_none() {
            *self = Delivered::default();
        }
    }

    /// Nothing, or all up to where an earlier run has come to.
    pub(super) fn at(start: &LiveStart) -> Delivered {
        let mut delivered = Delivered::default();
        if let LiveStart::Resume(point) = start {
            delivered.resume(point);
        }
        delivered
    }

    fn resume(&mut self, point: &ResumePoint) {
        self.set = Some(point.set.clone());
        self.purged = point.purged.clone();
        let by_domain = point.heads.iter().filter_map(|gtid| match gtid.source {
            GtidSource::MariaDb { domain, .. } => Some((domain, *gtid)),
            GtidSource::MySql { .. }
            | GtidSource::Anonymous { .. }
            | GtidSource::Counted { .. } => None,
        });
        self.positions = by_domain.collect();
        let Some(at) = &point.at else { return };
        let mark = |gtid| Mark { file: at.file.clone(), start: at.start, gtid };
        self.mark = point.last.map(mark);
        self.next = Some((at.file.clone(), at.end));
        self.by_coordinates = point.last.is_some_and(|gtid| gtid.source.is_anonymous());
    }

    /// Takes the place at which the stream goes on.
    pub(super) fn go_on_at(&mut self, file: &str, offset: u64) {
        self.next = Some((file.into(), offset));
        self.by_coordinates = true;
    }

    /// Takes a baseline.
    pub(super) fn begin(&mut self, baseline: GtidSet) {
        self.set = Some(baseline);
    }

    /// Takes the baseline gathered.
    pub(super) fn begin_gathered(&mut self) -> GtidSet {
        let baseline = std::mem::take(&mut self.gathering);
        self.set = Some(baseline.clone());
        baseline
    }

    /// Takes a file's head; returns what is missing before it.
    pub(super) fn head(&mut self, head: &GtidSet) -> GtidSet {
        let Some(set) = &mut self.set else {
            self.gathering.extend(head);
            return GtidSet::default();
        };
        let missing = head.minus(set);
        set.extend(&missing);
        missing
    }

    /// Takes what the server has purged; returns what of it was not delivered. `only`: the server
    /// that logs no other's transactions.
    pub(super) fn purge(&mut self, purged: &GtidSet, only: Option<[u8; 16]>) -> GtidSet {
        let missing = self.set.as_ref().map_or_else(GtidSet::default, |set| purged.minus(set));
        let mut missing = missing.minus(&self.purged);
        missing.retain(|source| match (only, source) {
            (Some(only), GtidSource::MySql { uuid, .. }) => *uuid == only,
            _ => true,
        });
        self.purged.extend(purged);
        self.set.get_or_insert_default().extend(&missing);
        missing
    }

    /// Moves on to where the oldest file that is left begins, in domains that have not come there.
    pub(super) fn move_to(&mut self, heads: &[(u32, u32, u64)], before: &GtidSet) {
        let last: BTreeMap<u32, Gtid> = heads
            .iter()
            .map(|&(domain, server_id, sequence)| {
                let source = GtidSource::MariaDb { domain, server_id };
                (domain, Gtid { source, sequence })
            })
            .collect();
        self.positions.extend(last.into_iter().filter(|(_, gtid)| !before.contains(gtid)));
    }

    /// Takes MariaDB's last GTIDs per domain, as a file's head names them.
    pub(super) fn take_positions(&mut self, heads: &[(u32, u32, u64)]) {
        for &(domain, server_id, sequence) in heads {
            let source = GtidSource::MariaDb { domain, server_id };
            self.positions.insert(domain, Gtid { source, sequence });
        }
    }

    /// Takes a transaction that is before the beginning.
    pub(super) fn skip(&mut self, transaction: &Transaction) {
        if let Some(gtid) = transaction.gtid.as_ref().filter(|gtid| !gtid.source.is_anonymous()) {
            add(&mut self.gathering, gtid);
            self.moved_to(gtid);
        }
    }

    /// The last transaction delivered, if it has no GTID and is in this file.
    pub(super) fn anonymous_mark(&self, file: &str) -> Option<&Mark> {
        self.mark.as_ref().filter(|mark| mark.gtid.source.is_anonymous() && *mark.file == *file)
    }

    /// What a transaction says against the one that was read at the same place before.
    pub(super) fn contradiction(&self, transaction: &Transaction) -> Option<String> {
        let at = &transaction.coordinates;
        let mark = self.anonymous_mark(&at.file)?;
        let is_other = at.start == mark.start && transaction.gtid != Some(mark.gtid);
        let (file, start, gtid) = (&mark.file, mark.start, mark.gtid);
        is_other.then(|| format!("the server had {gtid} in {file} at {start}, and now has not"))
    }

    /// Takes a transaction; false when it was delivered before.
    pub(super) fn transaction(&mut self, transaction: &Transaction) -> bool {
        let at = &transaction.coordinates;
        let gtid = transaction.gtid.filter(|gtid| !gtid.source.is_anonymous());
        if gtid.is_none()
            && self.next.as_ref().is_some_and(|(file, end)| *file == at.file && at.start < *end)
        {
            return false;
        }
        self.next = Some((at.file.clone(), at.end));
        self.by_coordinates = gtid.is_none();
        if let (None, Some(gtid)) = (gtid, transaction.gtid) {
            self.mark = Some(Mark { file: at.file.clone(), start: at.start, gtid });
        }
        let Some(gtid) = &gtid else { return true };
        self.mark = Some(Mark { file: at.file.clone(), start: at.start, gtid: *gtid });
        self.moved_to(gtid);
        add(self.set.get_or_insert_default(), gtid)
    }

    fn moved_to(&mut self, gtid: &Gtid) {
        if let GtidSource::MariaDb { domain, .. } = gtid.source {
            self.positions.insert(domain, *gtid);
        }
    }
}

/// Adds a GTID; false when it was there and cannot come again. MariaDB may log numbers out of
/// order (`gtid_strict_mode=OFF`), so there a smaller number is no sign of a repetition.
fn add(set: &mut GtidSet, gtid: &Gtid) -> bool {
    match gtid.source.is_ordered() {
        true => {
            set.add_up_to(gtid);
            true
        }
        false => set.add(gtid),
    }
}

/// Whether a transaction that begins there is before the beginning that was asked for.
pub(super) fn is_before(start: &LiveStart, file: &str, offset: u64) -> bool {
    matches!(start, LiveStart::At { file: first, position } if first == file && offset < *position)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{CommitTime, Coordinates};

    #[test]
    fn what_was_purged_is_missing_once() {
        let set = |text: &str| text.parse::<GtidSet>().unwrap();
        let uuid = "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa";
        let mut delivered = Delivered::default();
        delivered.begin(set(&format!("{uuid}:1-10")));
        let purged = set(&format!("{uuid}:1-20"));
        assert_eq!(delivered.purge(&purged, None), set(&format!("{uuid}:11-20")));
        assert!(delivered.purge(&purged, None).is_empty());
        assert_eq!(delivered.set, Some(purged));
    }

    #[test]
    fn without_gtids_another_transaction_at_the_place_of_the_last_is_another_log() {
        let transaction = |sequence, start| {
            let gtid = Gtid { source: GtidSource::Anonymous { server_id: 1 }, sequence };
            let at = Coordinates { file: "a.1".into(), start, end: start + 100 };
            Transaction::empty(Some(gtid), 1, at, CommitTime::default())
        };
        let mut delivered = Delivered::default();
        for (sequence, start) in [(1, 4), (2, 104)] {
            let new = transaction(sequence, start);
            assert!(delivered.contradiction(&new).is_none() && delivered.transaction(&new));
        }
        let again = transaction(2, 104);
        assert!(delivered.contradiction(&again).is_none() && !delivered.transaction(&again));
        let said = delivered.contradiction(&transaction(9, 104)).unwrap();
        assert_eq!(said, "the server had anonymous-1-2 in a.1 at 104, and now has not");
    }

    #[test]
    fn only_domains_that_are_behind_move_on() {
        let set = |text: &str| text.parse::<GtidSet>().unwrap();
        let mut delivered = Delivered::default();
        delivered.take_positions(&[(0, 1, 5), (1, 2, 50)]);
        let before = set("0-1-5,1-2-50");
        delivered.move_to(&[(0, 1, 3), (0, 2, 9), (1, 2, 40), (7, 1, 1)], &before);
        let is: Vec<String> = delivered.positions.values().map(Gtid::to_string).collect();
        assert_eq!(is, ["0-2-9", "1-2-50", "7-1-1"]);
    }
}
