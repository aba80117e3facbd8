//! Seeds: what real servers wrote (`tests/recorded`), cut up for each target, and what found
//! something once (`fuzz/found`).

use super::{
    framing::write_record,
    targets::{GTID_KINDS, ROW_KINDS},
};
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};
use twinlog::binlog::event::{Format, HEADER_BYTES, Header, kind};

/// Bytes of a seed at most: small ones are mutated to more effect.
const SEED_BYTES_MAX: usize = 3_000;

/// Seeds of a target at most.
const SEEDS_MAX: usize = 120;

/// The repository.
fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    if here.ends_with("fuzz") { here.join("..") } else { here.to_owned() }
}

/// What found something once, and what a long run came to know: by name.
pub fn found(target: &str) -> Vec<(String, Vec<u8>)> {
    let Ok(entries) = fs::read_dir(root().join("fuzz/found").join(target)) else {
        return Vec::new();
    };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    let read = |path: PathBuf| (path.display().to_string(), fs::read(path).expect("a file"));
    paths.into_iter().map(read).collect()
}

/// The seeds of a target, the same every time.
pub fn of(target: &str) -> Vec<Vec<u8>> {
    let mut seeds: BTreeSet<Vec<u8>> = match target {
        "config" => config().collect(),
        "json" => json().into_iter().collect(),
        _ => BTreeSet::new(),
    };
    for bytes in recorded() {
        match target {
            "file" => {
                seeds.insert([&[1][..], &bytes].concat());
                seeds.insert([&[0][..], &bytes].concat());
            }
            _ => add_events(target, &bytes, &mut seeds),
        }
    }
    match target {
        "statement" => seeds.extend(STATEMENTS.map(|text| [&[0], text.as_bytes()].concat())),
        "gtid" => seeds.extend(SETS.map(|text| [&[0, 99], text.as_bytes()].concat())),
        _ => {}
    }
    seeds.retain(|seed| seed.len() <= SEED_BYTES_MAX || target == "config");
    // Of many, every so many: not the first ones, which are alike.
    let step = seeds.len().div_ceil(SEEDS_MAX).max(1);
    seeds.into_iter().step_by(step).collect()
}

/// The recorded files that are not packed.
fn recorded() -> Vec<Vec<u8>> {
    let mut files = Vec::new();
    let directories = fs::read_dir(root().join("tests/recorded")).expect("tests/recorded");
    let mut nodes: Vec<PathBuf> = directories
        .map(|entry| entry.expect("an entry").path())
        .flat_map(|path| [path.join("a"), path.join("b")])
        .collect();
    nodes.sort();
    for node in nodes {
        let Ok(entries) = fs::read_dir(node) else { continue };
        for entry in entries {
            let bytes = fs::read(entry.expect("an entry").path()).expect("a file");
            if bytes.starts_with(b"\xfebin") && bytes.len() < 64 << 10 {
                files.push(bytes);
            }
        }
    }
    files.sort();
    files
}

/// Adds what a target can use of the events of a file.
fn add_events(target: &str, bytes: &[u8], seeds: &mut BTreeSet<Vec<u8>>) {
    let (mut at, mut bits, mut map) = (4, 0, Vec::new());
    let mut records = Vec::new();
    while let Some(Ok(header)) = bytes.get(at..).map(Header::read) {
        let end = at + header.event_bytes as usize;
        let Some(event) = bytes.get(at..end) else { return };
        at = end;
        let checksum = if bits & 2 == 0 { 0 } else { 4 };
        let body = &event[HEADER_BYTES..event.len() - checksum];
        match header.kind {
            kind::FORMAT_DESCRIPTION => {
                let format = Format::read(event).expect("a format description");
                bits = u8::from(format.is_mariadb()) | u8::from(format.checksums) << 1;
            }
            kind::TABLE_MAP => map = body[8..].to_vec(),
            _ => {}
        }
        let place = |kinds: &[u8]| kinds.iter().position(|kind| *kind == header.kind);
        let seed = match (target, header.kind) {
            ("table_map", kind::TABLE_MAP) => [&[bits], &map[..]].concat(),
            ("statement", kind::QUERY) => [&[bits], text(body)].concat(),
            ("payload", kind::TRANSACTION_PAYLOAD) => [&[bits, 0], body].concat(),
            ("payload", kind::QUERY_COMPRESSED) => [&[bits, 4], body].concat(),
            ("gtid", _) => match place(&GTID_KINDS) {
                Some(place) => [&[bits, place as u8], body].concat(),
                None => continue,
            },
            ("rows" | "payload", _) => match place(&ROW_KINDS) {
                Some(place) if target == "payload" && place >= 7 => {
                    [&[bits, 5 + ((place as u8 - 7) << 3)], body].concat()
                }
                Some(place) if target == "rows" => {
                    let length = (map.len() as u16).to_le_bytes();
                    [&[bits, place as u8], &length[..], &map, &body[8..]].concat()
                }
                _ => continue,
            },
            ("event", kind) => {
                write_record(kind, body, &mut records);
                continue;
            }
            _ => continue,
        };
        seeds.insert(seed);
    }
    if target == "event" {
        seeds.insert([&[bits][..], &records].concat());
        seeds.insert([&[bits & 1 | 8][..], &records].concat());
    }
    if target == "payload" {
        for how in [1, 2] {
            seeds.insert([&[bits, how][..], &records].concat());
        }
    }
}

/// The text of a statement's event.
fn text(body: &[u8]) -> &[u8] {
    let schema = usize::from(body[8]);
    let status = usize::from(u16::from_le_bytes([body[11], body[12]]));
    &body[13 + status + schema + 1..]
}

/// The example, and the files of the messages' test.
fn config() -> impl Iterator<Item = Vec<u8>> {
    let read = |path: &str| fs::read_to_string(root().join(path)).expect("a file");
    let cases = read("src/config/errors.txt");
    let cases = cases.split("====\n").filter_map(|case| Some(case.split_once("----\n")?.0));
    let cases: Vec<Vec<u8>> = cases.map(|text| text.as_bytes().to_vec()).collect();
    cases.into_iter().chain([read("twinlog.example.toml").into_bytes()])
}

const STATEMENTS: [&str; 12] = [
    "UPDATE t JOIN u ON (t.a = u.a OR t.b IS NULL) SET t.a = 1 + INTERVAL 1 DAY WHERE t.id = 1",
    "DELETE x FROM t AS x LEFT JOIN `u` USING (id) WHERE x.a IN (SELECT 1 UNION SELECT 2)",
    "REPLACE LOW_PRIORITY INTO `x`.`t` (a, b) VALUES (1, 'it''s'), (-2, \"b\")",
    "CREATE OR REPLACE TABLE IF NOT EXISTS t (a INT DEFAULT (1+2), KEY (a)) SELECT 1 AS a",
    "CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, v VARCHAR(20) COLLATE latin1_bin) \
     ENGINE=InnoDB PARTITION BY RANGE (id) (PARTITION p VALUES LESS THAN (10))",
    "ALTER TABLE t ADD COLUMN a INT FIRST, RENAME TO u, EXCHANGE PARTITION p WITH TABLE v",
    "/*!40000 ALTER TABLE `t` DISABLE KEYS */;",
    "SET STATEMENT max_statement_time=1, lock_wait_timeout=2 FOR DROP TABLE IF EXISTS a.b, c",
    "RENAME TABLE a WAIT 5 TO b, c.d TO e.f",
    "LOAD DATA LOCAL INFILE 'f' REPLACE INTO TABLE `x`.`t` FIELDS TERMINATED BY ','",
    "WITH c AS (SELECT CASE WHEN a THEN 1 ELSE NOT b END FROM t) DELETE FROM t WHERE a IN (1)",
    "CREATE DEFINER=`root`@`%` TRIGGER x BEFORE INSERT ON t FOR EACH ROW SET NEW.a = 1",
];

const SETS: [&str; 5] = [
    "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa:1-5:7:9-11\naaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa:3-10",
    "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa:1-4:mytag:1-2:9,bbbbbbbb-bbbb-bbbb-bbbb-bbbbbbbbbbbb:1",
    "0-1-5,1-2-18446744073709551615\n0-1-7",
    "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa:1-18446744073709551615\n\
     aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa:5-18446744073709551615",
    "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa:9:7:5:3:1",
];

/// `{"a": 7, "b": [null, "x"]}`.
const DOCUMENT: &[u8] = b"\x00\x02\0\x22\0\x12\0\x01\0\x13\0\x01\0\x05\x07\0\x02\x14\0ab\
                          \x02\0\x0c\0\x04\0\0\x0c\x0a\0\x01x\0\0";

fn json() -> Vec<Vec<u8>> {
    let scalars: [&[u8]; 9] = [
        b"\x04\x01",
        b"\x05\xff\xff",
        b"\x08\x01\0\0\0",
        b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x0b\0\0\0\0\0\0\xf0\x3f",
        b"\x0c\x03a\"\n",
        b"\x0f\xf6\x05\x05\x02\x80\x01\x32",
        b"\x0f\x0c\x08\x2a\0\0\x45\x21\x12\xb6\x19",
        b"\x03\x02\0\0\0\x12\0\0\0\x07\x01\0\0\0\x08\x02\0\0\0",
    ];
    let diff = |operation: u8, path: &str, value: &[u8]| {
        let mut bytes = vec![operation, path.len() as u8];
        bytes.extend(path.as_bytes());
        if operation < 2 {
            bytes.push(value.len() as u8);
            bytes.extend(value);
        }
        bytes
    };
    let diffs = [
        diff(0, "$.a", scalars[1]),
        diff(1, "$.b[1]", DOCUMENT),
        diff(2, "$.b[last-1]", &[]),
        diff(1, "$.\"two words\"", scalars[0]),
    ];
    let seed = |how: u8, before: &[u8], after: &[u8]| {
        [&[how][..], &(before.len() as u16).to_le_bytes(), before, after].concat()
    };
    let mut seeds = vec![seed(1, DOCUMENT, &diffs.concat()), seed(0, DOCUMENT, DOCUMENT)];
    seeds.extend(diffs.iter().map(|diff| seed(1, DOCUMENT, diff)));
    seeds.extend(scalars.map(|scalar| seed(0, scalar, DOCUMENT)));
    seeds
}
