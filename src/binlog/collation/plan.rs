//! What is to be done for each collation id.
//!
//! # Source
//! `information_schema.COLLATIONS` (MySQL 9.7.4, whose `PAD_ATTRIBUTE` says what pads) and
//! `COLLATION_CHARACTER_SET_APPLICABILITY` (MariaDB 10.11.19), which also show how MariaDB numbers
//! its collations from 1024 on.

use super::single::{self, Single};
use super::weights::Table;
use crate::binlog::charset::BINARY;

/// How a collation's texts are folded.
#[derive(Clone, Copy)]
pub(super) enum Plan {
    /// Not at all: byte for byte.
    Same,
    /// Byte for byte, without trailing spaces.
    Trimmed,
    /// Byte by byte.
    Single { table: &'static Single, pad: bool },
    /// By the weights of code points.
    Text { table: Table, levels: Levels, pad: bool, reading: Reading },
    /// Code point for code point, in a character set whose space is not one byte.
    Points { pad: bool },
    /// As loosely as can be.
    Unsure,
}

/// How bytes become text.
#[derive(Clone, Copy)]
pub(super) enum Reading {
    /// They are UTF-8.
    Utf8,
    /// By the collation's character set.
    Decoded,
}

/// The levels that are compared, besides the first.
#[derive(Clone, Copy, Default)]
pub(super) struct Levels {
    pub(super) accents: bool,
    pub(super) case: bool,
}

/// MariaDB's NOPAD collations are another collation's id and this.
const NOPAD: u16 = 1024;

/// The first id of MariaDB's collations by UCA 14.0.0. Bits 8 and up count the character sets
/// (utf8mb3, utf8mb4, ucs2, utf16, utf32), bits 3 to 7 the languages (0 is none), bit 2 is NOPAD,
/// bit 1 tells accents apart, bit 0 case.
const UCA1400: u16 = 2048;
const UCA1400_END: u16 = UCA1400 + 5 * 256;

pub(super) fn plan(collation: Option<u16>) -> Plan {
    match collation {
        None => Plan::Unsure,
        Some(UCA1400..UCA1400_END) => uca1400(collation.unwrap_or_default()),
        Some(id @ NOPAD..UCA1400) => padded(id - NOPAD, false),
        Some(id) => padded(id, true),
    }
}

fn uca1400(id: u16) -> Plan {
    let bit = |place: u16| id & 1 << place != 0;
    let levels = Levels { accents: bit(1), case: bit(0) };
    // Measured: what the ai_cs collations compare is not what their WEIGHT_STRING says. They pass
    // over the case of characters without a first weight: 'a' equals 'a' and U+0301.
    let is_ai_cs = levels.case && !levels.accents;
    if id >> 3 & 0x1f != 0 || is_ai_cs {
        return Plan::Unsure;
    }
    let reading = if id < UCA1400 + 512 { Reading::Utf8 } else { Reading::Decoded };
    Plan::Text { table: Table::Uca1400, levels, pad: !bit(2), reading }
}

/// Of ids below 1024, which pad unless it is said otherwise.
fn padded(id: u16, pad: bool) -> Plan {
    let text = |table, reading| Plan::Text { table, levels: Levels::default(), pad, reading };
    let uca0900 = |accents, case| Plan::Text {
        table: Table::Uca0900,
        levels: Levels { accents, case },
        pad: false,
        reading: Reading::Utf8,
    };
    match id {
        BINARY | 309 => Plan::Same,
        33 | 45 => text(Table::General, Reading::Utf8),
        35 | 54 | 56 | 60 => text(Table::General, Reading::Decoded),
        223 => text(Table::Mysql500, Reading::Utf8),
        159 => text(Table::Mysql500, Reading::Decoded),
        192 | 224 => text(Table::Uca0400, Reading::Utf8),
        101 | 128 | 160 => text(Table::Uca0400, Reading::Decoded),
        214 | 246 => text(Table::Uca0520, Reading::Utf8),
        123 | 150 | 182 => text(Table::Uca0520, Reading::Decoded),
        255 => uca0900(false, false),
        305 => uca0900(true, false),
        278 => uca0900(true, true),
        55 | 61 | 62 | 90 => Plan::Points { pad },
        _ if is_bin(id) => {
            if pad {
                Plan::Trimmed
            } else {
                Plan::Same
            }
        }
        _ => single::table(id).map_or(Plan::Unsure, |table| Plan::Single { table, pad }),
    }
}

/// Whether this is a `_bin` collation of a character set whose space is one byte.
fn is_bin(id: u16) -> bool {
    matches!(
        id,
        43 | 46 | 47 | 50 | 53 | 58 | 64..=75 | 77..=89 | 91 | 93 | 96 | 98 | 249
    )
}
