//! The weights of code points, from the tables that `scripts/collation-tables` made.
//!
//! # The form of a table
//!
//! Lines of words; a line that begins with `#` is a remark. `base NAME`: what is not told here is
//! as in that table. `level N` begins one of three: letters, accents, case. In it:
//!
//! - `FIRST[-LAST[/STEP]]:TARGET[+ADVANCE]`, all hexadecimal but the step: the code points from
//!   FIRST to LAST, every STEP-th, count as TARGET, the next one as TARGET + ADVANCE, and so on;
//! - `FIRST[-LAST]:TARGET,TARGET`: they count as several, or, without a target, as nothing;
//! - `hangul`: a syllable counts as its letters do (Unicode, section 3.12);
//! - `beyond TARGET`: what every code point past U+FFFF counts as;
//! - `CODE+CODE[+CODE]:TARGET,...`: these together count as that;
//! - `HEAD,HEAD>FIRST[-LAST],...`: each of these two together count as if they changed places: the
//!   vowels that are written before the consonants they are spoken after.
//!
//! What no word tells counts as itself in the first level, and has the usual weight in the others.

use std::collections::BTreeMap;
use std::sync::OnceLock;

/// A family of collations with the same weights.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Table {
    Uca1400,
    Uca0900,
    Uca0520,
    Uca0400,
    General,
    Mysql500,
}

impl Table {
    const COUNT: usize = 6;
    const LEVELS: usize = 3;

    /// What a level (letters 1, accents 2, case 3) weighs, made from the text when it is first
    /// asked for.
    pub(super) fn level(self, number: u8) -> &'static Level {
        type Levels = [OnceLock<Level>; Table::LEVELS];
        static LEVELS: [Levels; Table::COUNT] =
            [const { [const { OnceLock::new() }; Table::LEVELS] }; Table::COUNT];
        let level = &LEVELS[self as usize][usize::from(number - 1)];
        level.get_or_init(|| Draft::read(self, number).finish())
    }

    fn text(self) -> &'static str {
        match self {
            Table::Uca1400 => include_str!("tables/uca1400.txt"),
            Table::Uca0900 => include_str!("tables/uca0900.txt"),
            Table::Uca0520 => include_str!("tables/uca0520.txt"),
            Table::Uca0400 => include_str!("tables/uca0400.txt"),
            Table::General => include_str!("tables/general.txt"),
            Table::Mysql500 => include_str!("tables/mysql500.txt"),
        }
    }

    fn named(name: &str) -> Table {
        match name {
            "uca1400" => Table::Uca1400,
            "general" => Table::General,
            other => unreachable!("no table is based on {other}"),
        }
    }
}

/// Code points of one page.
const PAGE: usize = 128;
const CODES: usize = 0x11_0000;
const HANGUL: std::ops::Range<u32> = 0xac00..0xd7a4;
/// In the table for ASCII: not one byte of ASCII.
const NOT_ASCII: u8 = 0x80;

/// Where in the pool the target of a code point is: its start above, its length in the low byte.
type Place = u32;
/// The code point itself.
const ITSELF: Place = u32::MAX;

/// What each code point weighs at one level, as UTF-8.
pub(super) struct Level {
    number: u8,
    /// What a byte becomes, where it is ASCII and becomes one byte of ASCII.
    ascii: [u8; 256],
    /// By code point / [`PAGE`]: a page in `places`. Most pages are alike.
    pages: Vec<u16>,
    places: Vec<Place>,
    pool: Vec<u8>,
    /// What characters together weigh, by their text.
    contractions: BTreeMap<String, Place>,
    /// The first characters of contractions, in order.
    heads: Vec<char>,
    /// The longest contraction, in characters.
    contraction_max: usize,
}

impl Level {
    /// The byte that a space becomes.
    pub(super) fn pad(&self) -> u8 {
        usual(self.number).unwrap_or(b' ')
    }

    /// Appends what these bytes weigh, if all are ASCII and become ASCII; else says no, and `out`
    /// is not to be used.
    pub(super) fn append_ascii(&self, bytes: &[u8], out: &mut Vec<u8>) -> bool {
        let mut seen = 0;
        out.extend(bytes.iter().map(|&byte| {
            let folded = self.ascii[usize::from(byte)];
            seen |= folded;
            folded
        }));
        seen & NOT_ASCII == 0
    }

    /// Appends what the characters of `text` weigh.
    pub(super) fn append(&self, text: &str, out: &mut Vec<u8>) {
        let mut chars = text.chars();
        loop {
            let rest = chars.as_str();
            let Some(char) = chars.next() else { return };
            if let Some((len, place)) = self.contraction(char, rest) {
                out.extend_from_slice(self.target(place));
                chars = rest.get(len..).unwrap_or_default().chars();
            } else {
                self.append_char(char, out);
            }
        }
    }

    fn append_char(&self, char: char, out: &mut Vec<u8>) {
        match self.place(char) {
            ITSELF => out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes()),
            place => out.extend_from_slice(self.target(place)),
        }
    }

    fn place(&self, char: char) -> Place {
        let code = char as usize;
        let page = self.pages.get(code / PAGE).copied().unwrap_or_default();
        self.places.get(usize::from(page) * PAGE + code % PAGE).copied().unwrap_or(ITSELF)
    }

    fn target(&self, place: Place) -> &[u8] {
        let (start, len) = (place as usize >> 8, place as usize & 0xff);
        self.pool.get(start..start + len).unwrap_or_default()
    }

    /// The longest contraction that `text` begins with: its bytes, and what it weighs.
    fn contraction(&self, first: char, text: &str) -> Option<(usize, Place)> {
        self.heads.binary_search(&first).ok()?;
        let ends = text.char_indices().map(|(at, char)| at + char.len_utf8());
        let ends = ends.take(self.contraction_max).skip(1);
        let known = |end: usize| Some((end, *self.contractions.get(text.get(..end)?)?));
        ends.filter_map(known).last()
    }
}

/// The weight of what no table tells; the first level has none.
fn usual(level: u8) -> Option<u8> {
    match level {
        2 => Some(0x20),
        3 => Some(0x02),
        _ => None,
    }
}

/// A level that is being read.
struct Draft {
    number: u8,
    /// One for each code point.
    places: Vec<Place>,
    pool: Vec<u8>,
    /// What is in the pool.
    pooled: BTreeMap<Vec<u32>, Place>,
    contractions: BTreeMap<String, Place>,
}

impl Draft {
    fn read(table: Table, number: u8) -> Draft {
        let lines = || table.text().lines().filter(|line| !line.starts_with('#'));
        let base = lines().find_map(|line| line.strip_prefix("base "));
        let mut draft = match base {
            Some(base) => Draft::read(Table::named(base), number),
            None => Draft::new(number),
        };
        // Those of the base are not these.
        draft.contractions.clear();
        let heading = format!("level {number}");
        let level = lines().skip_while(|line| *line != heading).skip(1);
        let (mut hangul, mut words) = (false, Vec::new());
        for line in level.take_while(|line| !line.starts_with("level ")) {
            match line.split_once(' ') {
                Some(("beyond", target)) => draft.beyond(hex(target)),
                _ if line == "hangul" => hangul = true,
                _ => words.extend(line.split(' ')),
            }
        }
        // Those of several characters come last: some are told by what each of them counts as.
        for word in words {
            match word.split_once([':', '>']) {
                Some((heads, tails)) if word.contains('>') => draft.swap(heads, tails),
                Some((codes, targets)) if codes.contains('+') => draft.contract(codes, targets),
                _ => draft.run(word),
            }
        }
        if hangul {
            HANGUL.for_each(|code| draft.compose(code));
        }
        draft
    }

    fn new(number: u8) -> Draft {
        let mut draft = Draft {
            number,
            places: vec![ITSELF; CODES],
            pool: Vec::new(),
            pooled: BTreeMap::new(),
            contractions: BTreeMap::new(),
        };
        if let Some(weight) = usual(number) {
            let place = draft.pool(&[weight.into()]);
            draft.places.fill(place);
        }
        draft
    }

    /// The place of these code points in the pool.
    fn pool(&mut self, targets: &[u32]) -> Place {
        if let Some(place) = self.pooled.get(targets) {
            return *place;
        }
        let start = self.pool.len();
        for code in targets {
            self.pool.extend_from_slice(character(*code).encode_utf8(&mut [0; 4]).as_bytes());
        }
        let place = start << 8 | (self.pool.len() - start);
        let place = u32::try_from(place).expect("the pool is small");
        self.pooled.insert(targets.to_vec(), place);
        place
    }

    fn run(&mut self, word: &str) {
        Run::parse(word).each(|code, targets| {
            // In the first level only: the others name weights, not code points.
            let is_itself = self.number == 1 && targets == [code];
            let place = if is_itself { ITSELF } else { self.pool(targets) };
            self.places[code as usize] = place;
        });
    }

    fn beyond(&mut self, target: u32) {
        let place = self.pool(&[target]);
        self.places[0x1_0000..].fill(place);
    }

    fn contract(&mut self, codes: &str, targets: &str) {
        let text = codes.split('+').map(|code| character(hex(code))).collect();
        let place = self.pool(&list(targets));
        self.contractions.insert(text, place);
    }

    fn swap(&mut self, heads: &str, tails: &str) {
        for head in heads.split(',').map(hex) {
            for tails in tails.split(',') {
                let (first, last) = tails.split_once('-').unwrap_or((tails, tails));
                for tail in hex(first)..=hex(last) {
                    let targets = [self.targets(tail), self.targets(head)].concat();
                    let place = self.pool(&targets);
                    let text = [head, tail].map(character).iter().collect();
                    self.contractions.insert(text, place);
                }
            }
        }
    }

    /// Writes a syllable as its letters.
    fn compose(&mut self, code: u32) {
        let at = code - HANGUL.start;
        let mut letters = vec![0x1100 + at / 588, 0x1161 + at % 588 / 28];
        letters.extend(Some(0x11a7 + at % 28).filter(|letter| *letter > 0x11a7));
        let targets: Vec<u32> = letters.iter().flat_map(|letter| self.targets(*letter)).collect();
        self.places[code as usize] = self.pool(&targets);
    }

    /// What a code point becomes.
    fn targets(&self, code: u32) -> Vec<u32> {
        let place = self.places[code as usize];
        if place == ITSELF {
            return vec![code];
        }
        let (start, len) = (place as usize >> 8, place as usize & 0xff);
        let text = std::str::from_utf8(&self.pool[start..start + len]).expect("characters");
        text.chars().map(u32::from).collect()
    }

    fn finish(self) -> Level {
        let (mut pages, mut places) = (Vec::new(), Vec::new());
        let mut seen: BTreeMap<&[Place], u16> = BTreeMap::new();
        for page in self.places.chunks(PAGE) {
            let next = u16::try_from(seen.len()).expect("few pages");
            let place = *seen.entry(page).or_insert(next);
            if place == next {
                places.extend_from_slice(page);
            }
            pages.push(place);
        }
        let ascii = std::array::from_fn(|byte| self.ascii(u32::try_from(byte).expect("a byte")));
        let mut heads: Vec<char> =
            self.contractions.keys().filter_map(|text| text.chars().next()).collect();
        heads.dedup();
        let is_ascii = |text: &String| text.is_ascii();
        assert!(!self.contractions.keys().any(is_ascii), "ASCII is folded byte by byte");
        let contraction_max = self.contractions.keys().map(|text| text.chars().count()).max();
        Level {
            number: self.number,
            ascii,
            pages,
            places,
            pool: self.pool,
            contractions: self.contractions,
            heads,
            contraction_max: contraction_max.unwrap_or_default(),
        }
    }

    /// What a byte of UTF-8 becomes, or [`NOT_ASCII`].
    fn ascii(&self, byte: u32) -> u8 {
        match self.targets(byte).as_slice() {
            [target @ ..0x80] if byte < 0x80 => u8::try_from(*target).unwrap_or(NOT_ASCII),
            _ => NOT_ASCII,
        }
    }
}

/// Code points that become something by one rule.
#[derive(Debug)]
pub(super) struct Run {
    first: u32,
    last: u32,
    step: usize,
    targets: Vec<u32>,
    advance: u32,
}

impl Run {
    /// Reads a word of a table, as the module's documentation tells them.
    pub(super) fn parse(word: &str) -> Run {
        let (codes, targets) = word.split_once(':').expect("a colon");
        let (codes, step) = codes.split_once('/').unwrap_or((codes, "1"));
        let (first, last) = codes.split_once('-').unwrap_or((codes, codes));
        let (targets, advance) = targets.split_once('+').unwrap_or((targets, "0"));
        Run {
            first: hex(first),
            last: hex(last),
            step: step.parse().expect("a step"),
            targets: list(targets),
            advance: hex(advance),
        }
    }

    /// Calls `use_entry` with each code point and what it becomes.
    pub(super) fn each(mut self, mut use_entry: impl FnMut(u32, &[u32])) {
        for code in (self.first..=self.last).step_by(self.step) {
            use_entry(code, &self.targets);
            self.targets.iter_mut().for_each(|target| *target += self.advance);
        }
    }
}

fn list(targets: &str) -> Vec<u32> {
    targets.split(',').filter(|code| !code.is_empty()).map(hex).collect()
}

fn character(code: u32) -> char {
    char::from_u32(code).expect("a character")
}

fn hex(digits: &str) -> u32 {
    u32::from_str_radix(digits, 16).expect("a hexadecimal number")
}
