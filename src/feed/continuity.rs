//! Whether each file of a stream continues the one before it.

use crate::model::{Gtid, GtidSet, Transaction, file_number};

/// What a stream has named so far: its baseline and every transaction since.
#[derive(Default)]
pub(super) struct Continuity {
    seen: Option<GtidSet>,
    /// The name of the file that was read last.
    file: Option<String>,
    /// Some transaction has no GTID: heads do not tell of such.
    unnumbered: bool,
}

/// How a file's head fits what was read before it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Fit {
    /// The first head of the stream.
    First,
    /// It continues what was read.
    Continues,
    /// These were logged in between and are not in the files read.
    Missing(GtidSet),
    /// The server had logged these, and says no more so: its logs were reset, or the file is
    /// another server's.
    Reset(GtidSet),
}

impl Continuity {
    pub(super) fn head(&mut self, baseline: &GtidSet) -> Fit {
        let Some(seen) = &mut self.seen else {
            self.seen = Some(baseline.clone());
            return Fit::First;
        };
        let missing = baseline.minus(seen);
        if !missing.is_empty() {
            seen.extend(baseline);
            return Fit::Missing(missing);
        }
        // MariaDB drops domains from the list on FLUSH BINARY LOGS DELETE_DOMAIN_ID.
        let mut gone = GtidSet::default();
        for (source, ranges) in seen.minus(baseline).iter() {
            for (first, last) in ranges.iter().filter(|_| !source.is_ordered()) {
                gone.add_range(*source, *first, *last);
            }
        }
        if gone.is_empty() { Fit::Continues } else { Fit::Reset(gone) }
    }

    /// The file that is read now; returns what the last one was, where numbers in between are
    /// missing and no head tells what was in them.
    pub(super) fn file(&mut self, name: &str) -> Option<String> {
        let last = self.file.replace(name.to_owned())?;
        let (from, to) = file_number(&last).zip(file_number(name))?;
        (self.unnumbered && to > from + 1).then_some(last)
    }

    pub(super) fn transaction(&mut self, transaction: &Transaction) {
        let gtid = transaction.gtid.as_ref().filter(|gtid| !gtid.source.is_anonymous());
        match gtid {
            Some(gtid) => self.gtid(gtid),
            None => self.unnumbered = true,
        }
    }

    fn gtid(&mut self, gtid: &Gtid) {
        let seen = self.seen.get_or_insert_default();
        match gtid.source.is_ordered() {
            true => seen.add_up_to(gtid),
            false => drop(seen.add(gtid)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_files_show_in_the_next_head() {
        let mut continuity = Continuity::default();
        let set = |text: &str| text.parse::<GtidSet>().unwrap();
        assert_eq!(continuity.head(&set("1-1-4")), Fit::First);
        let source = *set("1-1-4").iter().next().unwrap().0;
        continuity.gtid(&Gtid { source, sequence: 5 });
        assert_eq!(continuity.head(&set("1-1-5")), Fit::Continues);
        assert!(matches!(continuity.head(&set("1-1-8,2-2-1")), Fit::Missing(_)));
        assert_eq!(continuity.head(&set("1-1-8,2-2-1")), Fit::Continues);
        let uuid = "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa";
        let mut continuity = Continuity::default();
        assert_eq!(continuity.head(&set(&format!("{uuid}:1-4"))), Fit::First);
        assert!(matches!(continuity.head(&set(&format!("{uuid}:1-3"))), Fit::Reset(_)));
    }

    #[test]
    fn without_gtids_missing_files_show_by_their_numbers() {
        let mut continuity = Continuity { unnumbered: true, ..Continuity::default() };
        assert_eq!(continuity.file("b-bin.000003"), None);
        assert_eq!(continuity.file("b-bin.000004"), None);
        assert_eq!(continuity.file("b-bin.000006"), Some("b-bin.000004".to_owned()));
        continuity.unnumbered = false;
        assert_eq!(continuity.file("b-bin.000009"), None, "heads tell");
    }
}
