//! GTID events, the sets at the head of a file, and sets as text.

use super::super::framing::{Dialect, Streams};
use twinlog::{
    binlog::{Progress, event::kind},
    model::GtidSet,
};

/// The events that hold GTIDs.
pub const KINDS: [u8; 6] = [
    kind::GTID,
    kind::ANONYMOUS_GTID,
    kind::GTID_TAGGED,
    kind::MARIADB_GTID,
    kind::PREVIOUS_GTIDS,
    kind::GTID_LIST,
];

/// Input: a [`Dialect`], the place of the type in [`KINDS`], and its body; or, after a place past
/// these, two sets as text with a line's end between.
pub fn gtid(data: &[u8]) {
    let Some((&[bits, place], body)) = data.split_first_chunk::<2>() else { return };
    match KINDS.get(usize::from(place)) {
        Some(event_kind) => {
            let mut streams = Streams::new(Dialect::of(bits));
            streams.take(*event_kind, body);
            if let Some(Progress::Baseline(set)) = streams.progress.take() {
                check(&set, &GtidSet::default());
            }
            streams.take(kind::XID, &[0; 8]);
        }
        None => texts(&String::from_utf8_lossy(body)),
    }
}

fn texts(text: &str) {
    let (one, other) = text.split_once('\n').unwrap_or((text, ""));
    if let (Ok(one), Ok(other)) = (one.parse::<GtidSet>(), other.parse()) {
        check(&one, &other);
        check(&other, &one);
    }
}

/// Whether a set is what its text says, and what is taken from it and what stays make it up.
fn check(set: &GtidSet, other: &GtidSet) {
    let text = set.to_string();
    let read: GtidSet = text.parse().unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(read.to_string(), text);
    assert!(!set.is_empty() || text.is_empty());
    assert!(set.minus(set).is_empty());
    let left = set.minus(other);
    let both = set.minus(&left);
    let mut all = left.clone();
    all.extend(&both);
    assert_eq!(all, *set);
    assert_eq!(left.minus(other), left);
    assert!(both.minus(other).is_empty());
    assert!(set.is_empty() || !set.spans().is_empty());
}
