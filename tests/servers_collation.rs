//! Pairs of random texts: equal for a server, under each of its collations that twinlog folds
//! exactly, if and only if they fold into the same bytes.
//!
//! `TWINLOG_SEED=7` begins with that seed; `TWINLOG_TEST_SECONDS=600` goes on until the time is over.

#![expect(clippy::disallowed_methods, reason = "a test's clock and settings")]

#[path = "support/mod.rs"]
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use support::lab::{Lab, LabOptions, Server};
use twinlog::binlog::collation::{Fold, fold, of_mariadb};

/// Pairs of one statement.
const PAIRS: usize = 1000;
/// How often the collations of general use are asked about, for each time that all are.
const WANTED_ROUNDS: u64 = 4;
/// Collations of one call of the client.
const COLLATIONS: usize = 16;

#[test]
fn mariadb_takes_for_equal_what_folds_into_one() {
    let wanted = [8, 11, 33, 45, 46, 47, 48, 83, 192, 214, 224, 246, 1057, 1069, 1070, 1216, 1248];
    run(
        Server::MariaDb,
        &[&wanted[..], &[1270, 2048, 2304, 2306, 2307, 2308, 2310, 2311]].concat(),
    );
}

#[test]
fn mysql_takes_for_equal_what_folds_into_one() {
    let wanted = [8, 11, 33, 45, 46, 47, 48, 83, 192, 214, 223, 224, 246, 255, 278, 305, 309];
    run(Server::MySql, &wanted);
}

/// A collation of a server.
#[derive(Clone, Debug)]
struct Collation {
    id: u16,
    name: String,
    charset: String,
}

/// A generator of Steele, Lea and Flood: SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }
}

fn run(server: Server, wanted: &[u16]) {
    let number = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().expect(name));
    let seed = number("TWINLOG_SEED").unwrap_or(1);
    let end = Instant::now() + Duration::from_secs(number("TWINLOG_TEST_SECONDS").unwrap_or(5));
    let options = LabOptions { nodes: 1, replication: false, ..LabOptions::default() };
    let lab = Lab::start(server, options);
    let wanted_count = wanted.len();
    let exact: Vec<Collation> =
        collations(&lab).into_iter().filter(|collation| is_exact(collation.id)).collect();
    let (wanted, others): (Vec<Collation>, Vec<Collation>) =
        exact.iter().cloned().partition(|collation| wanted.contains(&collation.id));
    // A collation can have two names.
    let found: BTreeSet<u16> = wanted.iter().map(|collation| collation.id).collect();
    assert_eq!(found.len(), wanted_count, "they are to be exact");
    println!("{server:?} {}: {} collations", lab.version(), exact.len());
    let mut count = Count::default();
    for seed in seed.. {
        println!("TWINLOG_SEED={seed}");
        for round in 0..WANTED_ROUNDS {
            for some in wanted.chunks(COLLATIONS) {
                compare(&lab, some, seed + (round << 32), &mut count);
            }
        }
        for some in others.chunks(COLLATIONS) {
            compare(&lab, some, seed, &mut count);
        }
        if Instant::now() >= end {
            break;
        }
    }
    println!("without a difference: {count:?}");
    // Under a _bin collation hardly any two texts are equal, and these are many collations.
    assert!(count.equal > 3 * count.pairs / 100, "too few pairs are equal to say much");
    assert!(count.skipped < count.pairs / 100, "too many are no text for the server");
}

fn is_exact(id: u16) -> bool {
    fold(Some(id), b"", &mut Vec::new()) != Fold::Unsure
}

fn collations(lab: &Lab) -> Vec<Collation> {
    let rows = match lab.server() {
        Server::MySql => lab.sql(
            "a",
            "SELECT ID, COLLATION_NAME, CHARACTER_SET_NAME FROM information_schema.COLLATIONS",
        ),
        Server::MariaDb => lab.sql(
            "a",
            "SELECT ID, FULL_COLLATION_NAME, CHARACTER_SET_NAME
             FROM information_schema.COLLATION_CHARACTER_SET_APPLICABILITY",
        ),
    };
    let collation = |row: &str| {
        let columns: Vec<&str> = row.split('\t').collect();
        let [id, name, charset] = columns[..] else { panic!("{row}") };
        let id = id.parse().expect("an id");
        let id = if lab.server() == Server::MariaDb { of_mariadb(id) } else { id };
        Collation { id, name: name.to_owned(), charset: charset.to_owned() }
    };
    rows.lines().map(collation).collect()
}

#[derive(Default, Debug)]
struct Count {
    pairs: usize,
    equal: usize,
    skipped: usize,
}

/// Asks the server about pairs of texts in each of these collations.
fn compare(lab: &Lab, collations: &[Collation], seed: u64, count: &mut Count) {
    let pairs: Vec<Vec<(Vec<u8>, Vec<u8>)>> =
        collations.iter().map(|collation| pairs(collation, seed)).collect();
    let mut sql = String::new();
    for (collation, pairs) in collations.iter().zip(&pairs) {
        let literal = |bytes: &[u8]| format!("_{} X'{}'", collation.charset, hex(bytes));
        let equal: Vec<String> = pairs
            .iter()
            .map(|(a, b)| format!("{}={} COLLATE `{}`", literal(a), literal(b), collation.name))
            .collect();
        sql += &format!("SELECT {};\n", equal.join(","));
    }
    // The statement is too long to be shown.
    let rows = lab.try_sql("a", &sql).unwrap_or_else(|message| panic!("{message:.300}"));
    assert_eq!(rows.lines().count(), collations.len());
    for ((collation, pairs), row) in collations.iter().zip(&pairs).zip(rows.lines()) {
        for ((a, b), said) in pairs.iter().zip(row.split('\t')) {
            let folds = (folded(collation, a), folded(collation, b));
            if said == "NULL" {
                count.skipped += 1;
                continue;
            }
            let is_equal = said == "1";
            assert_eq!(
                folds.0 == folds.1,
                is_equal,
                "{collation:?} {} {}: {} {}, folded {} {}",
                hex(a),
                hex(b),
                String::from_utf8_lossy(a),
                String::from_utf8_lossy(b),
                hex(&folds.0),
                hex(&folds.1),
            );
            count.pairs += 1;
            count.equal += usize::from(is_equal && a != b);
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn folded(collation: &Collation, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    match fold(Some(collation.id), bytes, &mut out) {
        Fold::Same => bytes.to_vec(),
        Fold::Exact => out,
        Fold::Unsure => panic!("{collation:?} is exact, but not for {}", hex(bytes)),
    }
}

/// Pairs of texts in a collation's character set, of which many may be equal.
fn pairs(collation: &Collation, seed: u64) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut random = Random(seed << 16 | u64::from(collation.id));
    let mut pairs = Vec::with_capacity(PAIRS);
    while pairs.len() < PAIRS {
        let letters = letters(collation, &mut random);
        for _ in 0..16 {
            let a = text(&letters, &mut random);
            let b = match random.below(4) {
                0 => text(&letters, &mut random),
                1 => varied(&a, &letters, &mut random),
                2 => padded(&varied(&a, &letters, &mut random), collation, &mut random),
                _ => renamed(&a, collation),
            };
            pairs.push((a.concat(), b.concat()));
        }
    }
    pairs.truncate(PAIRS);
    pairs
}

type Text = Vec<Vec<u8>>;

fn text(letters: &Text, random: &mut Random) -> Text {
    (0..random.below(5)).map(|_| random.pick(letters).clone()).collect()
}

/// The same text with a letter put in, taken out, or put in another's place.
fn varied(text: &Text, letters: &Text, random: &mut Random) -> Text {
    let mut text = text.clone();
    let (at, letter) = (random.below(text.len() + 1), random.pick(letters).clone());
    match random.below(3) {
        0 => text.insert(at, letter),
        1 if at < text.len() => drop(text.remove(at)),
        _ if at < text.len() => text[at] = letter,
        _ => {}
    }
    text
}

fn padded(text: &Text, collation: &Collation, random: &mut Random) -> Text {
    let padding: Vec<char> =
        (0..random.below(3)).map(|_| *random.pick(&[' ', ' ', '\0'])).collect();
    let padding = padding.into_iter().map(|char| encoded(collation, char));
    text.iter().cloned().chain(padding).collect()
}

/// The text that the names of its weights make, which has the same weights: of UTF-8 that is
/// folded on one level.
fn renamed(text: &Text, collation: &Collation) -> Text {
    let text = text.concat();
    let folded = folded(collation, &text);
    let is_text = collation.charset.starts_with("utf8") && std::str::from_utf8(&folded).is_ok();
    vec![if is_text { folded } else { text }]
}

/// A few characters that may be equal, alone or together.
fn letters(collation: &Collation, random: &mut Random) -> Text {
    match collation.charset.as_str() {
        "utf8mb4" | "utf8mb3" | "utf16" | "utf16le" | "utf32" | "ucs2" => {
            let is_narrow = ["utf8mb3", "ucs2"].contains(&collation.charset.as_str());
            let mut chars = characters(random);
            chars.retain(|char| !is_narrow || *char <= '\u{ffff}');
            chars.iter().map(|char| encoded(collation, *char)).collect()
        }
        "binary" | "ascii" | "swe7" => (0..6).map(|_| vec![random.below(0x80) as u8]).collect(),
        "big5" | "euckr" | "gb2312" | "gbk" | "sjis" | "ujis" | "cp932" | "eucjpms" | "gb18030" => {
            let wide = |random: &mut Random| {
                vec![0xb0 + random.below(0x18) as u8, 0xa1 + random.below(0x30) as u8]
            };
            [vec![vec![b' '], vec![b'a'], vec![b'A']], vec![wide(random), wide(random)]].concat()
        }
        _ => similar_bytes(collation, random),
    }
}

/// Bytes of which several fold into one, and others.
fn similar_bytes(collation: &Collation, random: &mut Random) -> Text {
    let one = vec![random.below(256) as u8];
    let like = (0..=u8::MAX).map(|byte| vec![byte]);
    let like = like.filter(|byte| folded(collation, byte) == folded(collation, &one));
    let others = (0..3).map(|_| vec![random.below(256) as u8]).collect::<Text>();
    like.take(6).chain(others).collect()
}

fn encoded(collation: &Collation, char: char) -> Vec<u8> {
    let mut units = [0; 2];
    let utf16 = char.encode_utf16(&mut units).iter();
    match collation.charset.as_str() {
        "utf16" | "ucs2" => utf16.flat_map(|unit| unit.to_be_bytes()).collect(),
        "utf16le" => utf16.flat_map(|unit| unit.to_le_bytes()).collect(),
        "utf32" => u32::from(char).to_be_bytes().to_vec(),
        _ => char.to_string().into_bytes(),
    }
}

/// Characters that collations treat in ways of their own.
const FAMILIES: &[&str] = &[
    "aAàÀáÁâäÄåÅæÆāªａＡ𝐀ⓐ\u{301}\u{308}",
    "sSßẞſśŠ\u{17f}ﬆ",
    "iIıİíÍïĳĲ\u{307}",
    "oOöÖøØœŒőơ\u{31b}\u{338}",
    "lLłŁŀĿ·\u{387}ǈ",
    "nNñÑŋǌ№\u{303}",
    "dDđĐðÐǆ𝕕",
    "ﬁﬂﬃfiFI",
    "12²½⅓¼⁴④𝟙١一",
    "зЗёЁеЕйЙи\u{306}ѝ",
    "σςΣάΑα\u{3b1}\u{345}ᾳ",
    "אבשׂשׁ\u{5b0}",
    "اأآإةهىي\u{64b}\u{654}\u{655}ﷺ",
    "가각ᄀㄱ\u{1161}\u{11a8}힣",
    "一丁豈更⼀\u{2f800}𠀀𠮷",
    "かがカガｶﾞ\u{3099}ーヽ",
    "😀😁☺❤\u{fe0f}\u{1f3fb}",
    "\u{200b}\u{200c}\u{200d}\u{ad}\u{feff}\u{2060}a",
    "\0\u{1}\u{8}\t\n\r \u{a0}\u{2000}\u{3000}",
    "เแโใไกขค\u{e48}\u{e4d}\u{e32}\u{e33}",
    "ເແໂໃໄກຂ\u{ecd}\u{eb2}\u{eb3}",
    "\u{aab5}\u{aab6}\u{aab9}\u{aabb}\u{aabc}\u{aa80}\u{aa81}",
    "\u{19b5}\u{19b6}\u{19b7}\u{19ba}\u{1980}\u{1981}",
    "\u{fb2}\u{fb3}\u{f71}\u{f72}\u{f74}\u{f80}\u{f81}\u{f40}",
    "\u{9c7}\u{9be}\u{9d7}\u{9cb}\u{9cc}\u{995}",
    "\u{b92}\u{bd7}\u{b94}\u{bc6}\u{bbe}\u{bca}\u{bc7}",
    "\u{cc6}\u{cd5}\u{cd6}\u{cc2}\u{cbf}\u{cca}\u{ccb}",
    "\u{dd9}\u{dcf}\u{dca}\u{ddf}\u{ddc}\u{ddd}\u{dde}",
    "\u{1025}\u{102e}\u{1026}\u{1b05}\u{1b35}\u{1b06}",
    "\u{11131}\u{11127}\u{1112e}\u{11347}\u{1133e}\u{114b9}\u{114ba}\u{114bb}",
    "\u{378}\u{379}\u{fffd}\u{fffe}\u{ffff}\u{e000}\u{10ffff}\u{f0000}",
    "\u{17000}\u{18800}\u{1b170}\u{16fe0}\u{1f1e6}\u{e0001}\u{e0100}",
    "\u{300}\u{301}\u{340}\u{341}\u{344}\u{3099}\u{20d0}e",
    "ǄǅǆDžźż",
    "ꭰᎠᲀвⲀⲁ",
    "`´¨^~¯¸'\"-–—_",
];

fn characters(random: &mut Random) -> Vec<char> {
    let mut family: Vec<char> = random.pick(FAMILIES).chars().collect();
    match random.below(4) {
        0 => family.extend(random.pick(FAMILIES).chars()),
        1 => family = (0..4).flat_map(|_| relatives(any_character(random))).collect(),
        _ => {}
    }
    let mut chars: Vec<char> = (0..4).map(|_| *random.pick(&family)).collect();
    chars.extend((random.below(3) == 0).then_some(' '));
    chars.extend((random.below(4) == 0).then_some('\u{200b}'));
    chars.push('a');
    chars
}

fn any_character(random: &mut Random) -> char {
    let end =
        *random.pick(&[0x250, 0x600, 0x2000, 0x3400, 0x1_0000, 0x1_0000, 0x2_0000, 0x11_0000]);
    let code = random.below(end) as u32;
    char::from_u32(code).unwrap_or('\u{d7ff}')
}

fn relatives(char: char) -> Vec<char> {
    let neighbours =
        [-1, 1, -32, 32].map(|way| char::from_u32((char as u32).wrapping_add_signed(way)));
    let cases = char.to_lowercase().chain(char.to_uppercase());
    [char].into_iter().chain(cases).chain(neighbours.into_iter().flatten()).collect()
}

#[test]
fn a_seed_gives_the_same_pairs() {
    let collation = Collation { id: 45, name: String::new(), charset: "utf8mb4".to_owned() };
    assert_eq!(pairs(&collation, 7), pairs(&collation, 7));
    let mut kinds = BTreeMap::new();
    for (a, b) in pairs(&collation, 7) {
        *kinds.entry(folded(&collation, &a) == folded(&collation, &b)).or_insert(0) += 1;
    }
    assert!(kinds.values().all(|count| *count > PAIRS / 20), "{kinds:?}");
}
