//! Text of any collation, decoded as the server itself would.

use std::char::REPLACEMENT_CHARACTER;

use encoding_rs::{BIG5, EUC_JP, EUC_KR, Encoding, GB18030, GBK, SHIFT_JIS};

use super::charset_tables::{
    BIG5_OVERRIDES, COLLATIONS, EUCJPMS_OVERRIDES, GB2312_OVERRIDES, GB18030_OVERRIDES, Overrides,
    SJIS_OVERRIDES, UJIS_OVERRIDES, UpperHalf,
};

/// The collation id of BINARY, VARBINARY and BLOB columns.
pub(super) const BINARY: u16 = 63;

/// MariaDB's NOPAD collations are another collation's id and this.
const NOPAD: u16 = 1024;

/// A character set, as far as decoding tells them apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Charset {
    /// No text.
    Binary,
    /// Seven bits; the server lets other bytes in, and they mean nothing.
    Ascii,
    /// utf8mb3 and utf8mb4.
    Utf8,
    /// Two bytes, big endian, no surrogates.
    Ucs2,
    /// UTF-16, big endian.
    Utf16,
    /// UTF-16, little endian.
    Utf16Le,
    /// Four bytes, big endian.
    Utf32,
    /// One byte per character; the lower half is ASCII.
    Single(&'static UpperHalf),
    /// Seven bits with Swedish letters in place of some of ASCII's signs.
    Swe7,
    /// Traditional Chinese, with the server's own extensions.
    Big5,
    /// Japanese, Shift-JIS of Microsoft.
    Cp932,
    /// Japanese, EUC of Microsoft.
    EucJpMs,
    /// Korean.
    EucKr,
    /// Simplified Chinese.
    Gb2312,
    /// Chinese, all of Unicode; MySQL only.
    Gb18030,
    /// Simplified Chinese.
    Gbk,
    /// Japanese, Shift-JIS.
    Sjis,
    /// Japanese, EUC.
    Ujis,
}

/// The character set of a collation id; `None` for an id that no known server has.
pub(super) fn charset(collation: u16) -> Option<Charset> {
    let id = if (NOPAD..2 * NOPAD).contains(&collation) { collation - NOPAD } else { collation };
    let after = COLLATIONS.partition_point(|&(first, _, _)| first <= id);
    let &(_, last, charset) = COLLATIONS.get(after.checked_sub(1)?)?;
    (id <= last).then_some(charset)
}

/// Decodes the text of a column with this collation; `None` where the bytes are no text in it.
///
/// Without a collation, or with one that no known server has, bytes count as text where they are
/// UTF-8 without control characters other than tab and line ends: most text of today passes, and
/// hardly any hash, UUID or compressed value does.
///
/// # Output
/// At most three times as long as `bytes`.
pub(super) fn decode_text(collation: Option<u16>, bytes: &[u8]) -> Option<String> {
    match collation.and_then(charset) {
        Some(known) => known.decode(bytes),
        None if collation == Some(BINARY) => None,
        None => utf8(bytes).filter(|text| text.chars().all(is_printable)),
    }
}

fn is_printable(character: char) -> bool {
    !character.is_control() || matches!(character, '\t' | '\n' | '\r')
}

fn utf8(bytes: &[u8]) -> Option<String> {
    std::str::from_utf8(bytes).ok().map(str::to_owned)
}

impl Charset {
    fn decode(self, bytes: &[u8]) -> Option<String> {
        match self {
            Charset::Binary => None,
            Charset::Ascii => utf8(bytes).filter(|text| text.is_ascii()),
            Charset::Utf8 => utf8(bytes),
            Charset::Ucs2 => units::<2>(bytes)?
                .map(|unit| char::from_u32(u16::from_be_bytes(unit).into()))
                .collect(),
            Charset::Utf16 => utf16(units(bytes)?.map(u16::from_be_bytes)),
            Charset::Utf16Le => utf16(units(bytes)?.map(u16::from_le_bytes)),
            Charset::Utf32 => {
                units::<4>(bytes)?.map(|unit| char::from_u32(u32::from_be_bytes(unit))).collect()
            }
            Charset::Single(upper) => bytes.iter().map(|&byte| upper_half(upper, byte)).collect(),
            Charset::Swe7 => bytes.iter().map(|&byte| swe7(byte)).collect(),
            Charset::Big5 => multibyte(BIG5, BIG5_OVERRIDES, bytes),
            Charset::Cp932 => multibyte(SHIFT_JIS, &[], bytes),
            Charset::EucJpMs => multibyte(EUC_JP, EUCJPMS_OVERRIDES, bytes),
            Charset::EucKr => multibyte(EUC_KR, &[], bytes),
            Charset::Gb2312 => multibyte(GBK, GB2312_OVERRIDES, bytes),
            Charset::Gb18030 => multibyte(GB18030, GB18030_OVERRIDES, bytes),
            Charset::Gbk => multibyte(GBK, &[], bytes),
            Charset::Sjis => multibyte(SHIFT_JIS, SJIS_OVERRIDES, bytes),
            Charset::Ujis => multibyte(EUC_JP, UJIS_OVERRIDES, bytes),
        }
    }
}

/// `bytes` in units of `N`; `None` where some are left over.
fn units<const N: usize>(bytes: &[u8]) -> Option<impl Iterator<Item = [u8; N]>> {
    let (units, rest) = bytes.as_chunks::<N>();
    rest.is_empty().then(|| units.iter().copied())
}

fn utf16(units: impl Iterator<Item = u16>) -> Option<String> {
    char::decode_utf16(units).collect::<Result<_, _>>().ok()
}

fn upper_half(upper: &UpperHalf, byte: u8) -> Option<char> {
    match upper.get(usize::from(byte).wrapping_sub(128)) {
        None => Some(char::from(byte)),
        Some(&unit) => mapped(unit.into()),
    }
}

/// The character of a table's entry, which is U+FFFD where the server has none.
fn mapped(code: u32) -> Option<char> {
    char::from_u32(code).filter(|&character| character != REPLACEMENT_CHARACTER)
}

fn swe7(byte: u8) -> Option<char> {
    match byte {
        b'@' => Some('É'),
        b'[' => Some('Ä'),
        b'\\' => Some('Ö'),
        b']' => Some('Å'),
        b'^' => Some('Ü'),
        b'`' => Some('é'),
        b'{' => Some('ä'),
        b'|' => Some('ö'),
        b'}' => Some('å'),
        b'~' => Some('ü'),
        0..0x7f => Some(char::from(byte)),
        0x7f.. => None,
    }
}

/// Decodes with `encoding`, but for the characters where the server differs from it.
///
/// The bytes are cut into characters first, so that an override is never found across two.
fn multibyte(encoding: &'static Encoding, overrides: &Overrides, bytes: &[u8]) -> Option<String> {
    let mut text = String::with_capacity(bytes.len());
    let (mut plain, mut rest) = (bytes, bytes);
    while !rest.is_empty() {
        let (sequence, next) = rest.split_at_checked(sequence_len(encoding, rest))?;
        if let Some(character) = overridden(encoding, overrides, sequence) {
            decode_plain(encoding, plain.get(..plain.len() - rest.len())?, &mut text)?;
            text.push(character?);
            plain = next;
        }
        rest = next;
    }
    decode_plain(encoding, plain, &mut text)?;
    Some(text)
}

fn decode_plain(encoding: &'static Encoding, bytes: &[u8], text: &mut String) -> Option<()> {
    text.push_str(&encoding.decode_without_bom_handling_and_without_replacement(bytes)?);
    Some(())
}

/// Bytes of the character at the start of `bytes`, going by its first two.
fn sequence_len(encoding: &'static Encoding, bytes: &[u8]) -> usize {
    match (bytes.first(), bytes.get(1)) {
        (Some(0..0x80) | None, _) => 1,
        (Some(0x80 | 0xff), _) => 1,
        (Some(0xa0..0xe0), _) if encoding == SHIFT_JIS => 1,
        (Some(0x8f), _) if encoding == EUC_JP => 3,
        (Some(_), Some(b'0'..=b'9')) if encoding == GB18030 => 4,
        (Some(_), _) => 2,
    }
}

/// What the server reads in one character's bytes, where the encoding reads something else:
/// `Some(None)` where the server has no character.
fn overridden(
    encoding: &'static Encoding,
    overrides: &Overrides,
    sequence: &[u8],
) -> Option<Option<char>> {
    if !(2..=3).contains(&sequence.len()) {
        return None;
    }
    let code = sequence.iter().fold(0, |code: u32, &byte| code << 8 | u32::from(byte));
    if let Ok(at) = overrides.binary_search_by_key(&code, |&(sequence, _)| sequence) {
        return overrides.get(at).map(|&(_, unit)| mapped(unit.into()));
    }
    if encoding == EUC_JP { euc_user_defined(code).map(Some) } else { None }
}

/// The ten rows that EUC leaves to its users, in both of its planes: the private use area.
fn euc_user_defined(code: u32) -> Option<char> {
    let (row, cell) = (code >> 8 & 0xff, code & 0xff);
    let first = if code >> 16 == 0 { 0xe000 } else { 0xe3ac };
    if !(0xf5..=0xfe).contains(&row) || !(0xa1..=0xfe).contains(&cell) {
        return None;
    }
    char::from_u32(first + (row - 0xf5) * 94 + (cell - 0xa1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(collation: u16, bytes: &[u8]) -> Option<String> {
        decode_text(Some(collation), bytes)
    }

    #[test]
    fn collation_ids_name_the_character_sets_of_both_servers() {
        for (collation, expected) in [
            (1, Charset::Big5),
            (8, Charset::Single(&super::super::charset_tables::LATIN1)),
            (11, Charset::Ascii),
            (33, Charset::Utf8),
            (35, Charset::Ucs2),
            (45, Charset::Utf8),
            (56, Charset::Utf16Le),
            (60, Charset::Utf32),
            (63, Charset::Binary),
            (76, Charset::Utf8),
            (101, Charset::Utf16),
            (159, Charset::Ucs2),
            (160, Charset::Utf32),
            (223, Charset::Utf8),
            (224, Charset::Utf8),
            (248, Charset::Gb18030),
            (255, Charset::Utf8),
            (323, Charset::Utf8),
            (1024 + 46, Charset::Utf8),
            (1024 + 10, Charset::Swe7),
            (2048, Charset::Utf8),
            (2304, Charset::Utf8),
            (2560, Charset::Ucs2),
            (2816, Charset::Utf16),
            (3271, Charset::Utf32),
        ] {
            assert_eq!(charset(collation), Some(expected), "{collation}");
        }
        for unused in [0, 17, 100, 127, 1024, 1041, 3328, u16::MAX] {
            assert_eq!(charset(unused), None, "{unused}");
        }
    }

    #[test]
    fn tables_are_in_rising_order() {
        assert!(COLLATIONS.iter().all(|&(first, last, _)| first <= last));
        assert!(COLLATIONS.windows(2).all(|pair| pair[0].1 < pair[1].0));
        for table in [
            BIG5_OVERRIDES,
            EUCJPMS_OVERRIDES,
            GB2312_OVERRIDES,
            GB18030_OVERRIDES,
            SJIS_OVERRIDES,
            UJIS_OVERRIDES,
        ] {
            assert!(table.windows(2).all(|pair| pair[0].0 < pair[1].0));
        }
    }

    /// Each pair as `SELECT HEX(CONVERT(text USING charset))` of both servers gives it.
    #[test]
    fn text_decodes_as_the_server_stored_it() {
        for (collation, bytes, expected) in [
            (8, &b"caf\xe9 \x80 \x81"[..], "café € \u{81}"),
            (9, b"\xa3\xf3d\xbc", "Łódź"),
            (51, b"\xcf\xf0\xe8\xe2\xe5\xf2", "Привет"),
            (7, b"\xf0\xd2\xc9\xd7\xc5\xd4", "Привет"),
            (36, b"\x8f\xe0\xa8\xa2\xa5\xe2", "Привет"),
            (18, b"\xca\xc7\xd1\xca\xb4\xd5", "สวัสดี"),
            (10, b"Malm| \\l", "Malmö Öl"),
            (40, b"\x9d\xa2d\xab", "Łódź"),
            (35, b"\x00A\x20\xac", "A€"),
            (54, b"\x00A\xd8\x3d\xde\x00", "A😀"),
            (56, b"A\x00\x3d\xd8\x00\xde", "A😀"),
            (60, b"\x00\x00\x00A\x00\x01\xf6\x00", "A😀"),
            (45, "A€😀".as_bytes(), "A€😀"),
            (13, b"\x93\xfa\x96{ \x81_ \x81`", "日本 \\ 〜"),
            (95, b"\x93\xfa\x96{ \x81_ \x81`", "日本 ＼ ～"),
            (12, b"\xc6\xfc\xcb\xdc \xa1\xc1", "日本 〜"),
            (97, b"\xc6\xfc\xcb\xdc \xa1\xc1 \xf5\xa1", "日本 ～ \u{e000}"),
            (1, b"\xa4\xa4\xa4\xe5 \xc6\xa5", "中文 ぁ"),
            (28, b"\xd6\xd0\xce\xc4", "中文"),
            (24, b"\xd6\xd0\xce\xc4 \xa1\xaa", "中文 ―"),
            (248, b"\xd6\xd0\xce\xc4 \x94\x39\xfc\x36", "中文 😀"),
            (248, b"\xa0\x81\xa3\xa0", "\u{721c}\u{e5e5}"),
            (19, b"\xc7\xd1\xb1\xdb", "한글"),
        ] {
            assert_eq!(decoded(collation, bytes).as_deref(), Some(expected), "{collation}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_none() {
        for (collation, bytes) in [
            (63, &b"abc"[..]),
            (11, b"\xe9"),
            (45, b"\xff"),
            (45, b"\xed\xa0\x80"),
            (35, b"\x00A\x00"),
            (35, b"\xd8\x00"),
            (54, b"\xd8\x00"),
            (54, b"\xdc\x00\xd8\x00"),
            (60, b"\x00\x11\x00\x00"),
            (60, b"\x00\x00\x00"),
            (10, b"\x80"),
            (26, b"\x81"),
            (1, b"\xa4"),
            (1, b"\xa1\x5a"),
            (12, b"\x8f\xa1"),
            (97, b"\xff\xa1"),
            (248, b"\x81\x30\x81"),
        ] {
            assert_eq!(decoded(collation, bytes), None, "{collation} {bytes:x?}");
        }
    }

    #[test]
    fn without_a_collation_printable_utf8_is_text() {
        for collation in [None, Some(17)] {
            assert_eq!(decode_text(collation, "né\n".as_bytes()).as_deref(), Some("né\n"));
            assert_eq!(decode_text(collation, b""), Some(String::new()));
            assert_eq!(decode_text(collation, b"a\0b"), None);
            assert_eq!(decode_text(collation, b"caf\xe9"), None);
        }
    }
}
