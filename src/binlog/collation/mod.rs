//! Which texts a collation takes for one: `'Bob'` and `'bob '` are one key where the collation
//! says so.
//!
//! # The canonical form
//!
//! A collation gives each character a sequence of weights, and two texts are equal when their
//! weights are. For that, what a weight is called does not matter, only which weights are the same.
//! So each weight is called by the lowest character that has it and nothing else, and a text is
//! folded by writing the names of its weights: `ß` becomes `SS`, `é` becomes `E`, a zero-width
//! joiner becomes nothing, and all that stays itself needs no entry in a table. The tables are
//! small, and what is folded can be read.
//!
//! - A collation that tells accents or case apart compares levels, one after the other: those of
//!   accents and of case follow the first, behind a byte that is in no text.
//! - PAD SPACE: the shorter text goes on with spaces, in every level. So what weighs as a space at
//!   the end does not count.
//! - Contractions, characters that together weigh something else, are taken the longest first.
//!
//! # Source
//! The tables are the servers' own `WEIGHT_STRING`, for every code point, as
//! `scripts/collation-tables` asked for it; `tests/servers_collation.rs` compares pairs of random
//! texts with the servers' `=`. Both servers weigh the same where both have a collation, so its id
//! says it all.

mod plan;
mod single;
mod weights;

use plan::{Levels, Plan, Reading};
use weights::{Level, Table};

use super::charset;

/// How the bytes that [`fold`] appends compare.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fold {
    /// Equal folded bytes if and only if equal under the collation.
    Exact,
    /// Equal under the collation if and only if the bytes themselves are; nothing was appended.
    Same,
    /// Equal under the collation makes equal folded bytes, but texts that the collation tells apart
    /// may fold into one. What is not promised is in the documentation of [`fold`].
    Unsure,
}

/// The collation that a number means on MariaDB.
///
/// Since 11.4.5 MySQL's `utf8mb4_0900` collations can be named there and keep MySQL's numbers, but
/// have the weights of `utf8mb4_uca1400_nopad`.
///
/// # Source
/// `WEIGHT_STRING` of every code point (MariaDB 11.8.9).
pub fn of_mariadb(number: u16) -> u16 {
    match number {
        255 => 2308,
        305 => 2310,
        278 => 2311,
        other => other,
    }
}

/// Between the levels of a folded text: no byte of UTF-8.
const BETWEEN_LEVELS: u8 = 0xff;

/// Appends a canonical form of a text to `out`, such that texts that a collation takes for equal
/// have one form.
///
/// # Input
/// `bytes` as a row image has them, in the column's character set, from any source: no bytes make
/// this panic. `collation` is the id in the table map; `None` where the log does not tell it.
///
/// # Output
/// At most 18 times as long as `bytes`, and for nearly all texts as long as they are.
///
/// `Exact` for all collations of general use; docs/limits.md lists them. `Unsure` for the
/// collations of one language, those of the old Asian character sets, an unknown collation, and
/// bytes that are no text. They are folded without accents, case and trailing spaces, as
/// utf8mb4_uca1400_ai_ci does. A language's own rules that take *more* for equal than that
/// (German `ä` = `ae`) are then missed; so are those of general_ci (`ß` = `s`) where the collation
/// is unknown. Bytes that are no text are folded as ASCII, other bytes are themselves.
pub fn fold(collation: Option<u16>, bytes: &[u8], out: &mut Vec<u8>) -> Fold {
    let start = out.len();
    let is_done = match plan::plan(collation) {
        Plan::Same => return Fold::Same,
        Plan::Trimmed => {
            out.extend_from_slice(bytes);
            trim(out, start, b' ');
            true
        }
        Plan::Single { table, pad } => {
            single::fold(table, pad, bytes, out);
            true
        }
        Plan::Text { table, levels, pad, reading: Reading::Utf8 }
            if fold_ascii(table, levels, pad, bytes, out) =>
        {
            true
        }
        Plan::Text { table, levels, pad, reading } => {
            with_text(reading, collation, bytes, |text| fold_text(table, levels, pad, text, out))
        }
        Plan::Points { pad } => with_text(Reading::Decoded, collation, bytes, |text| {
            out.extend_from_slice(text.as_bytes());
            if pad {
                trim(out, start, b' ');
            }
        }),
        Plan::Unsure => {
            fold_loosely(collation, bytes, out);
            return Fold::Unsure;
        }
    };
    if is_done {
        return Fold::Exact;
    }
    fold_loosely(collation, bytes, out);
    Fold::Unsure
}

/// Takes bytes off the end of what was appended since `start`.
fn trim(out: &mut Vec<u8>, start: usize, pad: u8) {
    while out.len() > start && out.last() == Some(&pad) {
        out.pop();
    }
}

/// Whether the bytes are text; `use_text` is called with it, or not at all.
fn with_text(
    reading: Reading,
    collation: Option<u16>,
    bytes: &[u8],
    use_text: impl FnOnce(&str),
) -> bool {
    match reading {
        Reading::Utf8 => std::str::from_utf8(bytes).map(use_text).is_ok(),
        Reading::Decoded => {
            charset::decode_text(collation, bytes).as_deref().map(use_text).is_some()
        }
    }
}

fn fold_text(table: Table, levels: Levels, pad: bool, text: &str, out: &mut Vec<u8>) {
    fold_levels(table, levels, pad, out, |level, out| {
        level.append(text, out);
        true
    });
}

/// Like [`fold_text`], for bytes that are ASCII, as those of most keys are, and stay ASCII; else
/// `out` is as it was and the answer is no.
fn fold_ascii(table: Table, levels: Levels, pad: bool, bytes: &[u8], out: &mut Vec<u8>) -> bool {
    let start = out.len();
    let is_ascii =
        fold_levels(table, levels, pad, out, |level, out| level.append_ascii(bytes, out));
    if !is_ascii {
        out.truncate(start);
    }
    is_ascii
}

/// Calls `append` for each level that is compared, until one says no.
fn fold_levels(
    table: Table,
    levels: Levels,
    pad: bool,
    out: &mut Vec<u8>,
    append: impl Fn(&Level, &mut Vec<u8>) -> bool,
) -> bool {
    for (is_compared, number) in [(true, 1), (levels.accents, 2), (levels.case, 3)] {
        if !is_compared {
            continue;
        }
        if number > 1 {
            out.push(BETWEEN_LEVELS);
        }
        let (level, start) = (table.level(number), out.len());
        if !append(level, out) {
            return false;
        }
        if pad {
            trim(out, start, level.pad());
        }
    }
    true
}

fn fold_loosely(collation: Option<u16>, bytes: &[u8], out: &mut Vec<u8>) {
    let reading = match collation.and_then(charset::charset) {
        None | Some(charset::Charset::Utf8) => Reading::Utf8,
        Some(_) => Reading::Decoded,
    };
    let (table, levels) = (Table::Uca1400, Levels::default());
    if matches!(reading, Reading::Utf8) && fold_ascii(table, levels, true, bytes, out) {
        return;
    }
    let is_text = with_text(reading, collation, bytes, |text| {
        fold_text(table, levels, true, text, out);
    });
    if !is_text {
        let start = out.len();
        out.extend(bytes.iter().map(u8::to_ascii_uppercase));
        trim(out, start, b' ');
    }
}

#[cfg(test)]
mod tests;
