//! Binlogs that real servers wrote: what a scan says of them, and what it says when they are cut
//! off or damaged.

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use support::recorded::{Said, recorded, samples, scan};
use tempfile::TempDir;
use twinlog::report::Record;

#[test]
fn every_scenario_is_judged_as_its_readme_says() {
    let samples = samples();
    let mut wrong = Vec::new();
    for sample in &samples {
        let said = scan(&sample.join("a"), &sample.join("b"));
        assert!(said.errors.is_empty(), "{}: {:?}", sample.display(), said.errors);
        let mut lines: Vec<String> = said.alarms().map(line).collect();
        let mut expected = expected(sample);
        lines.sort();
        expected.sort();
        if lines != expected {
            wrong.push(format!("{}\n  says {lines:#?}\n  not {expected:#?}", sample.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    println!("{} scenarios, all as their READMEs say", samples.len());
    assert!(samples.len() >= 60, "a scenario was lost: {}", samples.len());
}

/// A finding as a scenario's README writes it.
fn line(finding: &Record) -> String {
    let table = finding.table.as_deref().unwrap_or("-");
    let node = finding.node.as_deref().unwrap_or("-");
    let gtids: Vec<&str> = finding
        .transactions
        .iter()
        .filter_map(|transaction| transaction["gtid"].as_str())
        .collect();
    let gtids = gtids.join(" ");
    let (kind, certainty) = (finding.kind, finding.certainty);
    match kind {
        "write_conflict" => {
            let key = finding.key.as_ref().map_or("-".to_owned(), ToString::to_string);
            let conflict = finding.conflict.as_deref().unwrap_or("-");
            let outcome = finding.outcome.unwrap_or("-");
            format!("{kind} {certainty} {outcome} {table} {key} {conflict} {gtids}")
        }
        "blind_spot" => {
            format!("{kind} {certainty} {table} {} {node}", finding.reason.unwrap_or("-"))
        }
        "divergence" => {
            let key = finding.key.as_ref().map(ToString::to_string).unwrap_or_default();
            let cause = finding.cause.unwrap_or("-");
            format!("{kind} {certainty} {} {cause} {table} {key} {gtids}", finding.state)
        }
        "ddl_conflict" => format!("{kind} {certainty} {table} {gtids}"),
        _ => format!("{kind} {certainty} {node} {gtids}"),
    }
}

/// The lines of the block in a scenario's README.
fn expected(sample: &Path) -> Vec<String> {
    let readme = std::fs::read_to_string(sample.join("README.md")).expect("README.md");
    let (_, truth) = readme.split_once("## What twinlog must say\n\n```text\n").expect("a block");
    let (truth, _) = truth.split_once("```").expect("its end");
    let lines: Vec<String> = truth.lines().map(str::to_owned).collect();
    assert!(!lines.is_empty(), "{}: write `nothing`", sample.display());
    if lines == ["nothing"] { Vec::new() } else { lines }
}

/// The scenarios whose files are cut off: both servers, conflicts, compressed events, XA.
const CUT: [&str; 4] = [
    "mariadb118-04-multirow-idempotent",
    "mariadb118-09-compressed-1-1",
    "mysql97-03-update-update",
    "mysql97-13-xa",
];

#[test]
fn a_file_cut_off_at_any_byte_is_told_and_invents_nothing() {
    for name in CUT {
        let damaged = Damaged::copy(name);
        let whole = damaged.scan();
        let clean_ends = clean_ends(&damaged.bytes);
        for end in 0..damaged.bytes.len() {
            damaged.write(&damaged.bytes[..end]);
            let said = damaged.scan();
            assert_is_part_of(&said, &whole, &format!("{name} cut at {end}"));
            if clean_ends.contains(&end) {
                assert!(said.errors.is_empty(), "{name} cut at {end}: {:?}", said.errors);
            } else {
                assert_names_place(&said, end, &format!("{name} cut at {end}"));
            }
        }
    }
}

/// Where a file may end without a trace: before an event that stands between transactions.
fn clean_ends(bytes: &[u8]) -> Vec<usize> {
    const ROTATE: u8 = 4;
    const STOP: u8 = 3;
    const CHECKPOINT: u8 = 161;
    const PREVIOUS_GTIDS: u8 = 35;
    const GTID_LIST: u8 = 163;
    const BETWEEN: [u8; 8] = [ROTATE, STOP, 33, 42, 162, CHECKPOINT, PREVIOUS_GTIDS, GTID_LIST];
    let events = events(bytes);
    events.into_iter().filter(|(_, kind)| BETWEEN.contains(kind)).map(|(at, _)| at).collect()
}

/// Offset and type of each event.
fn events(bytes: &[u8]) -> Vec<(usize, u8)> {
    let (mut at, mut events) = (4, Vec::new());
    while at < bytes.len() {
        events.push((at, bytes[at + 4]));
        let size = bytes[at + 9..at + 13].try_into().expect("4 bytes");
        at += u32::from_le_bytes(size) as usize;
    }
    assert_eq!(at, bytes.len());
    events
}

/// What was found in a part of a log must be found in the whole log too. Only what the rest hides
/// may be new.
fn assert_is_part_of(said: &Said, whole: &Said, what: &str) {
    let known: BTreeMap<&str, &Record> =
        whole.findings.iter().map(|finding| (finding.id.as_str(), finding)).collect();
    for finding in &said.findings {
        let is_known = known.get(finding.id.as_str()).is_some_and(|of_whole| {
            (of_whole.kind, &of_whole.table, &of_whole.key, &of_whole.conflict)
                == (finding.kind, &finding.table, &finding.key, &finding.conflict)
        });
        let hidden = match finding.reason {
            Some("no_copies" | "no_stream") => true,
            // Only a cut that leaves no damage: elsewhere the error says it.
            Some("gap") => said.errors.is_empty(),
            _ => false,
        };
        assert!(is_known || hidden, "{what}: {}", finding.message);
    }
}

/// The error must name the file and an offset that is not past the damage.
fn assert_names_place(said: &Said, damage: usize, what: &str) {
    assert_eq!(said.errors.len(), 1, "{what}: {:?}", said.errors);
    let offset = place(&said.errors[0]).unwrap_or_else(|| panic!("{what}: {}", said.errors[0]));
    assert!(offset <= damage, "{what}: {}", said.errors[0]);
}

/// The offset in `node a: a-bin.000001 at offset N: ...`.
fn place(error: &str) -> Option<usize> {
    let (_, rest) = error.split_once("node a: a-bin.000001 at offset ")?;
    rest.split_once(':')?.0.parse().ok()
}

#[test]
fn a_flipped_bit_is_told_in_whatever_byte() {
    for name in ["mariadb118-03-update-update", "mysql97-04-insert-insert-idempotent"] {
        let damaged = Damaged::copy(name);
        let whole = damaged.scan();
        let mut bytes = damaged.bytes.clone();
        let mut harmless = Vec::new();
        for at in 0..bytes.len() {
            // All bits of the format description, on which everything hangs; else one a byte.
            let bits = if at < 300 { 0..8 } else { at % 8..at % 8 + 1 };
            for bit in bits {
                bytes[at] ^= 1 << bit;
                damaged.write(&bytes);
                bytes[at] ^= 1 << bit;
                let said = damaged.scan();
                let what = format!("{name}: bit {bit} of byte {at} flipped");
                if said.errors.is_empty() {
                    assert_eq!(ids(&said), ids(&whole), "{what}");
                    harmless.push((at, bit));
                } else {
                    assert_is_part_of(&said, &whole, &what);
                    assert_names_place(&said, at, &what);
                }
            }
        }
        // The server itself flips this one when it closes the file, so no checksum covers it.
        let in_use = (4 + 17, 0);
        assert_eq!(harmless, [in_use], "{name}");
    }
}

fn ids(said: &Said) -> Vec<&str> {
    said.findings.iter().map(|finding| finding.id.as_str()).collect()
}

/// A scenario whose first file of node a is going to be damaged.
struct Damaged {
    dir: TempDir,
    b: PathBuf,
    /// The file as it was.
    bytes: Vec<u8>,
}

impl Damaged {
    fn copy(name: &str) -> Damaged {
        let sample = recorded().join(name);
        let bytes = std::fs::read(sample.join("a/a-bin.000001")).expect("a binlog");
        let damaged = Damaged {
            dir: TempDir::with_prefix("twinlog-recorded-").expect("a directory"),
            b: sample.join("b"),
            bytes,
        };
        damaged.write(&damaged.bytes);
        damaged
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("a-bin.000001")
    }

    fn write(&self, bytes: &[u8]) {
        std::fs::write(self.file(), bytes).expect("a write");
    }

    fn scan(&self) -> Said {
        scan(&self.file(), &self.b)
    }
}
