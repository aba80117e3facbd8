//! Global transaction identifiers of both families, and sets of them.

use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt, str::FromStr};

/// A MySQL GTID tag (8.3 and later): at most 32 characters of `[a-z0-9_]`, or empty.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Tag {
    len: u8,
    bytes: [u8; 32],
}

impl Tag {
    /// Takes a tag's text; `None` when it is longer than 32 bytes or not lower-case ASCII.
    pub fn parse(text: &[u8]) -> Option<Tag> {
        let legal = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'_';
        if text.len() > 32 || !text.iter().all(legal) {
            return None;
        }
        let mut tag = Tag { len: text.len() as u8, bytes: [0; 32] };
        tag.bytes[..text.len()].copy_from_slice(text);
        Some(tag)
    }

    /// The text, empty when there is no tag.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..usize::from(self.len)]).unwrap_or_default()
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

/// What numbers a sequence of transactions: everything of a GTID but the sequence number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum GtidSource {
    /// MySQL: the UUID of the origin server, and a tag.
    MySql {
        /// `server_uuid` of the origin.
        uuid: [u8; 16],
        /// Empty in the untagged form.
        tag: Tag,
    },
    /// MariaDB: the replication domain and the `server_id` of the origin.
    MariaDb {
        /// `gtid_domain_id`.
        domain: u32,
        /// `server_id` of the server that committed it first.
        server_id: u32,
    },
    /// MySQL with `gtid_mode=OFF`: no server numbers these, but the log names when the origin
    /// committed, on originals and copies alike (8.0 and later). Their number is that time, in
    /// microseconds since the epoch.
    Anonymous {
        /// `server_id` of the origin.
        server_id: u32,
    },
    /// The same before 8.0, where originals and copies have the second in common, and the order.
    /// Their number is that second and a count within it, in microseconds as of
    /// [`GtidSource::Anonymous`]: what rests on it is possible at most.
    Counted {
        /// `server_id` of the origin.
        server_id: u32,
    },
}

impl GtidSource {
    /// Whether a sequence number implies that all smaller ones of this source have passed.
    ///
    /// True for MariaDB: within one domain every server logs in the same order, and a change
    /// that changed nothing is never logged. MySQL appliers without commit order may show n+1
    /// before n, and log an empty transaction where MariaDB leaves a hole. Without GTIDs MySQL
    /// logs nothing there either (9.7), and out of order nothing is known at all: such copies
    /// are not attributed.
    pub fn is_ordered(&self) -> bool {
        !matches!(self, GtidSource::MySql { .. })
    }

    /// Whether its numbers are times.
    pub fn is_anonymous(&self) -> bool {
        matches!(self, GtidSource::Anonymous { .. } | GtidSource::Counted { .. })
    }

    /// Whether its numbers are counted up, and stand in no log.
    pub fn is_counted(&self) -> bool {
        matches!(self, GtidSource::Counted { .. })
    }
}

/// What identities begin with that are commit times.
const ANONYMOUS: &str = "anonymous";
/// The same, where the microseconds are a count.
const COUNTED: &str = "counted";

/// One global transaction identifier: `uuid:n`, `uuid:tag:n` or `domain-server-seq`; for one
/// without, `anonymous-server-micros` or `counted-server-micros`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Gtid {
    /// Which sequence.
    pub source: GtidSource,
    /// The number within it, from 1.
    pub sequence: u64,
}

impl fmt::Display for GtidSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GtidSource::MySql { uuid, tag } => {
                for (i, byte) in uuid.iter().enumerate() {
                    let dash = if matches!(i, 4 | 6 | 8 | 10) { "-" } else { "" };
                    write!(f, "{dash}{byte:02x}")?;
                }
                match tag.as_str() {
                    "" => Ok(()),
                    tag => write!(f, ":{tag}"),
                }
            }
            GtidSource::MariaDb { domain, server_id } => write!(f, "{domain}-{server_id}"),
            GtidSource::Anonymous { server_id } => write!(f, "{ANONYMOUS}-{server_id}"),
            GtidSource::Counted { server_id } => write!(f, "{COUNTED}-{server_id}"),
        }
    }
}

impl fmt::Display for Gtid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let separator = if self.source.is_ordered() { '-' } else { ':' };
        write!(f, "{}{separator}{}", self.source, self.sequence)
    }
}

/// A text that is no GTID or no GTID set.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not a GTID: {0:?} (MySQL writes uuid:1-5, MariaDB domain-server-sequence)")]
pub struct ParseGtidError(String);

/// A set of GTIDs.
///
/// For MariaDB, whose servers name only the last sequence number per domain and server, a
/// member stands for itself and all before it: [`GtidSet::add_up_to`].
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct GtidSet {
    /// Per source, disjoint and ascending inclusive ranges.
    ranges: BTreeMap<GtidSource, Vec<(u64, u64)>>,
}

impl GtidSet {
    /// True when no GTID is in it.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// True when it holds this GTID.
    pub fn contains(&self, gtid: &Gtid) -> bool {
        let Some(ranges) = self.ranges.get(&gtid.source) else { return false };
        let after = ranges.partition_point(|&(first, _)| first <= gtid.sequence);
        after > 0 && ranges[after - 1].1 >= gtid.sequence
    }

    /// Adds one GTID; false when it was there.
    pub fn add(&mut self, gtid: &Gtid) -> bool {
        if self.contains(gtid) {
            return false;
        }
        self.add_range(gtid.source, gtid.sequence, gtid.sequence);
        true
    }

    /// Adds a GTID and all before it, as a MariaDB position means it.
    pub fn add_up_to(&mut self, gtid: &Gtid) {
        self.add_range(gtid.source, 0, gtid.sequence);
    }

    /// Adds a range of sequence numbers, both ends included.
    pub fn add_range(&mut self, source: GtidSource, first: u64, last: u64) {
        let ranges = self.ranges.entry(source).or_default();
        // Everything that overlaps or touches [first, last] becomes one range.
        let from = ranges.partition_point(|&(_, end)| end.saturating_add(1) < first);
        let to = ranges.partition_point(|&(start, _)| start <= last.saturating_add(1));
        let start = ranges[from..to].first().map_or(first, |r| r.0.min(first));
        let end = ranges[from..to].last().map_or(last, |r| r.1.max(last));
        ranges.splice(from..to, [(start, end)]);
    }

    /// Adds all of another set.
    pub fn extend(&mut self, other: &GtidSet) {
        for (source, ranges) in &other.ranges {
            for &(first, last) in ranges {
                self.add_range(*source, first, last);
            }
        }
    }

    /// The highest sequence number of a source, if it has any.
    pub fn last(&self, source: &GtidSource) -> Option<u64> {
        self.ranges.get(source).and_then(|r| r.last()).map(|r| r.1)
    }

    /// True when it holds any GTID of a source.
    pub fn names(&self, source: &GtidSource) -> bool {
        self.ranges.contains_key(source)
    }

    /// Drops the sources for which `keep` says no.
    pub fn retain(&mut self, keep: impl Fn(&GtidSource) -> bool) {
        self.ranges.retain(|source, _| keep(source));
    }

    /// Drops what a source has below a sequence number.
    pub fn remove_below(&mut self, source: &GtidSource, sequence: u64) {
        if sequence > 0 && self.ranges.contains_key(source) {
            let mut below = GtidSet::default();
            below.add_range(*source, 0, sequence - 1);
            *self = self.minus(&below);
        }
    }

    /// Sources with their ranges, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (&GtidSource, &[(u64, u64)])> {
        self.ranges.iter().map(|(source, ranges)| (source, ranges.as_slice()))
    }

    /// A text that names every range from its first member to its last. That of the set itself, as
    /// servers print it, names of MariaDB's only the last.
    pub fn spans(&self) -> String {
        let mut spans = Vec::new();
        for (source, ranges) in self.iter() {
            match source.is_ordered() {
                false => {
                    spans.push(GtidSet { ranges: [(*source, ranges.to_vec())].into() }.to_string())
                }
                true => spans.extend(ranges.iter().map(|(first, last)| match (*first).max(1) {
                    first if first >= *last => format!("{source}-{last}"),
                    first => format!("{source}-{first}..{last}"),
                })),
            }
        }
        spans.join(",")
    }

    /// What is in `self` and not in `other`.
    pub fn minus(&self, other: &GtidSet) -> GtidSet {
        let mut left = GtidSet::default();
        for (source, ranges) in &self.ranges {
            let mut holes = other.ranges.get(source).map_or(&[][..], Vec::as_slice);
            for &(first, last) in ranges {
                // What lies before this range lies before those that follow.
                holes = &holes[holes.partition_point(|&(_, hole_last)| hole_last < first)..];
                let mut at = Some(first);
                for &(hole_first, hole_last) in holes.iter().take_while(|hole| hole.0 <= last) {
                    if let Some(at) = at.filter(|at| hole_first > *at) {
                        left.add_range(*source, at, hole_first - 1);
                    }
                    at = hole_last.checked_add(1);
                }
                if let Some(at) = at.filter(|at| *at <= last) {
                    left.add_range(*source, at, last);
                }
            }
        }
        left
    }
}

impl fmt::Display for GtidSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (source, ranges)) in self.ranges.iter().enumerate() {
            let comma = if i > 0 { "," } else { "" };
            if source.is_ordered() {
                let last = ranges.last().map_or(0, |r| r.1);
                write!(f, "{comma}{source}-{last}")?;
                continue;
            }
            write!(f, "{comma}{source}")?;
            for &(first, last) in ranges {
                match first == last {
                    true => write!(f, ":{first}")?,
                    false => write!(f, ":{first}-{last}")?,
                }
            }
        }
        Ok(())
    }
}

impl FromStr for GtidSet {
    type Err = ParseGtidError;

    /// Reads what `gtid_executed` or `gtid_binlog_state` print.
    fn from_str(text: &str) -> Result<Self, ParseGtidError> {
        let mut ranges = Vec::new();
        for member in text.split(',').map(str::trim).filter(|m| !m.is_empty()) {
            let parsed = match member.contains(':') {
                true => parse_mysql(member, &mut ranges),
                false => {
                    parse_mariadb(member).map(|gtid| ranges.push((gtid.source, 0, gtid.sequence)))
                }
            };
            parsed.ok_or_else(|| ParseGtidError(member.to_owned()))?;
        }
        // In order each goes to the end, so a text of a million of them takes no million times as
        // long.
        ranges.sort_unstable();
        let mut set = GtidSet::default();
        for (source, first, last) in ranges {
            set.add_range(source, first, last);
        }
        Ok(set)
    }
}

fn parse_mariadb(text: &str) -> Option<Gtid> {
    let mut parts = text.split('-');
    let domain = parts.next()?;
    let server_id = parts.next()?.parse().ok()?;
    let sequence = parts.next()?.parse().ok()?;
    let source = match domain {
        ANONYMOUS => GtidSource::Anonymous { server_id },
        COUNTED => GtidSource::Counted { server_id },
        domain => GtidSource::MariaDb { domain: domain.parse().ok()?, server_id },
    };
    parts.next().is_none().then_some(Gtid { source, sequence })
}

/// Reads `uuid:1-5:7:tag:1-2`: a tag holds for the intervals after it.
fn parse_mysql(text: &str, ranges: &mut Vec<(GtidSource, u64, u64)>) -> Option<()> {
    let mut parts = text.split(':').map(str::trim);
    let uuid = parse_uuid(parts.next()?)?;
    let mut tag = Tag::default();
    for part in parts {
        if !part.starts_with(|c: char| c.is_ascii_digit()) {
            tag = Tag::parse(part.to_ascii_lowercase().as_bytes())?;
            continue;
        }
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (first.parse().ok()?, last.parse().ok()?);
        if first > last {
            return None;
        }
        ranges.push((GtidSource::MySql { uuid, tag }, first, last));
    }
    Some(())
}

/// Reads a UUID in its usual text form.
pub(crate) fn parse_uuid(text: &str) -> Option<[u8; 16]> {
    let digits: Vec<u8> = text.bytes().filter(|b| *b != b'-').collect();
    if digits.len() != 32 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let mut uuid = [0; 16];
    for (byte, pair) in uuid.iter_mut().zip(digits.chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(uuid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_print_what_they_read() {
        for text in [
            "",
            "1-1-4,2-2-1",
            "1-1-4,anonymous-2-1795942568420865",
            "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa:1-4:6-9,bbbbbbbb-bbbb-bbbb-bbbb-bbbbbbbbbbbb:1",
        ] {
            assert_eq!(text.parse::<GtidSet>().unwrap().to_string(), text);
        }
        let tagged: GtidSet = "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa:1-4:mytag:1".parse().unwrap();
        assert_eq!(tagged.iter().count(), 2);
        for bad in ["1-2", "x", "aaaa:1", "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa:4-2"] {
            assert!(bad.parse::<GtidSet>().is_err(), "{bad}");
        }
    }

    #[test]
    fn ranges_join_and_subtract() {
        let source = GtidSource::MySql { uuid: [1; 16], tag: Tag::default() };
        let mut set = GtidSet::default();
        for n in [5, 3, 4, 9, 1] {
            assert!(set.add(&Gtid { source, sequence: n }));
            assert!(!set.add(&Gtid { source, sequence: n }));
        }
        let ranges = |set: &GtidSet| set.iter().flat_map(|(_, r)| r.to_vec()).collect::<Vec<_>>();
        assert_eq!(ranges(&set), [(1, 1), (3, 5), (9, 9)]);
        let mut hole = GtidSet::default();
        hole.add_range(source, 4, 9);
        assert_eq!(ranges(&set.minus(&hole)), [(1, 1), (3, 3)]);
        set.add_range(source, 2, 8);
        assert_eq!(ranges(&set), [(1, 9)]);
    }

    #[test]
    fn spans_name_both_ends() {
        let minus = |set: &str, less: &str| {
            set.parse::<GtidSet>().unwrap().minus(&less.parse().unwrap()).spans()
        };
        assert_eq!(minus("0-1-9,0-2-4,5-1-1", "0-1-3,0-2-3"), "0-1-4..9,0-2-4,5-1-1");
        let uuid = "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa";
        let (set, less) = (format!("{uuid}:1-9:x:1-2"), format!("{uuid}:1-4:6"));
        assert_eq!(minus(&set, &less), format!("{uuid}:5:7-9,{uuid}:x:1-2"));
    }

    #[test]
    fn mariadb_positions_cover_what_came_before() {
        let set: GtidSet = "1-1-4".parse().unwrap();
        let source = GtidSource::MariaDb { domain: 1, server_id: 1 };
        assert!(set.contains(&Gtid { source, sequence: 2 }));
        assert!(!set.contains(&Gtid { source, sequence: 5 }));
    }
}
