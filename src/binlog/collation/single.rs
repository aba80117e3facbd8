//! Collations of one byte a character: each byte counts as the lowest of the same weight.

use std::sync::OnceLock;

use super::weights::Run;

const TEXT: &str = include_str!("tables/bytes.txt");

/// Collation ids below this may have a table; NOPAD ones share it with the padded.
const IDS_END: usize = 1024;

/// What each byte counts as.
pub(super) type Single = [u8; 256];

struct Tables {
    /// By id: the place in `tables`.
    places: Vec<Option<u8>>,
    tables: Vec<Single>,
}

/// The table of a collation id; `None` where bytes do not weigh each for itself.
pub(super) fn table(id: u16) -> Option<&'static Single> {
    static TABLES: OnceLock<Tables> = OnceLock::new();
    let all = TABLES.get_or_init(|| read(TEXT));
    let place = (*all.places.get(usize::from(id))?)?;
    all.tables.get(usize::from(place))
}

pub(super) fn fold(table: &Single, pad: bool, bytes: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    let counts_as = |byte: u8| table.get(usize::from(byte)).copied().unwrap_or(byte);
    out.extend(bytes.iter().map(|&byte| counts_as(byte)));
    if pad {
        super::trim(out, start, counts_as(b' '));
    }
}

/// Reads `ids ID,ID,...`, followed by what differs from the byte itself, as [`Run`]s.
fn read(text: &str) -> Tables {
    let mut all = Tables { places: vec![None; IDS_END], tables: Vec::new() };
    let words = text.lines().filter(|line| !line.starts_with('#')).flat_map(str::split_whitespace);
    let mut is_ids = false;
    for word in words {
        if word == "ids" {
            let itself = std::array::from_fn(|byte| u8::try_from(byte).expect("256 bytes"));
            all.tables.push(itself);
            is_ids = true;
        } else if is_ids {
            let place = u8::try_from(all.tables.len() - 1).expect("few tables");
            for id in word.split(',').map(|id| id.parse::<usize>().expect("an id")) {
                if let Some(slot) = all.places.get_mut(id) {
                    *slot = Some(place);
                }
            }
            is_ids = false;
        } else {
            let table = all.tables.last_mut().expect("ids come first");
            Run::parse(word).each(|byte, targets| {
                let target = targets.first().expect("every byte is a character");
                table[byte as usize] = u8::try_from(*target).expect("a byte");
            });
        }
    }
    all
}
