//! Equalities that are known, and what no text must break.

use super::*;

fn folded(collation: u16, text: &[u8]) -> Vec<u8> {
    let mut out = b"before".to_vec();
    assert_eq!(fold(Some(collation), text, &mut out), Fold::Exact, "{collation} {text:x?}");
    out.split_off(6)
}

fn is_equal(collation: u16, one: &str, other: &str) -> bool {
    folded(collation, one.as_bytes()) == folded(collation, other.as_bytes())
}

/// Of one server or the other: `SELECT one = other COLLATE ...`.
#[test]
fn known_equalities_hold() {
    for (collation, one, other, expected) in [
        (45, "Bob", "bob  ", true),
        (45, "é", "E", true),
        (45, "ß", "s", true),
        (45, "ß", "ss", false),
        (45, "😀", "😁", true),
        (45, "a\0", "a", false),
        (33, "Ā", "a", true),
        (223, "ß", "s", false),
        (223, "ß", "ẞ", false),
        (1069, "a", "a ", false),
        (1069, "a", "A", true),
        (224, "ß", "ss", true),
        (224, "😀", "😁", true),
        (224, "a\0", "A ", true),
        (224, "æ", "ae", false),
        (246, "😀", "😁", false),
        (246, "ꜳ", "aa", true),
        (255, "ß", "SS", true),
        (255, "a", "a ", false),
        (255, "e\u{301}", "É", true),
        (255, "😀", "😁", false),
        (255, "가", "\u{1100}\u{1161}", true),
        (255, "か", "ガ", true),
        (305, "é", "É", true),
        (305, "é", "e", false),
        (305, "e\u{301}", "É", true),
        (278, "é", "e\u{301}", true),
        (278, "é", "É", false),
        (278, "a", "a ", false),
        (46, "a", "a ", true),
        (46, "a", "A", false),
        (2304, "ÀB ", "ab", true),
        (2304, "L·", "l", true),
        (2304, "เก", "กเ", true),
        (2308, "a ", "a", false),
        (2306, "à", "À ", true),
        (2306, "à", "a", false),
        (2307, "à ", "à", true),
        (2307, "à", "À", false),
    ] {
        assert_eq!(is_equal(collation, one, other), expected, "{collation} {one:?} {other:?}");
    }
}

/// `SELECT 'ł·' = 'L·' COLLATE utf8mb4_0900_ai_ci`, with U+0387 and U+00B7: 1 on MySQL 9.7, 0 on
/// MariaDB 11.8.
#[test]
fn mysqls_collations_have_other_weights_on_mariadb() {
    let is_equal = |collation| is_equal(collation, "ł\u{387}", "L\u{b7}");
    assert!(is_equal(255) && !is_equal(of_mariadb(255)));
    assert_eq!([305, 278, 309, 45].map(of_mariadb), [2310, 2311, 309, 45]);
}

#[test]
fn character_sets_of_one_byte_fold_byte_by_byte() {
    for (collation, one, other, expected) in [
        (8, &b"\xc5ngstr\xf6m"[..], &b"\xe5NGSTR\xd6M  "[..], true),
        (8, b"\xe4", b"\xe6", true),
        (8, b"\xe4", b"a", false),
        (8, b"\xdf", b"ss", false),
        (1032, b"a", b"a ", false),
        (48, b"\xe9", b"\xc9", true),
        (48, b"\xe9", b"e", false),
        (49, b"a", b"A", false),
        (47, b"a", b"a ", true),
        (47, b"a", b"A", false),
        (11, b"a", b"A ", true),
        (87, b"\xb0\xa1", b"\xb0\xa1 ", true),
    ] {
        let is_equal = folded(collation, one) == folded(collation, other);
        assert_eq!(is_equal, expected, "{collation} {one:x?} {other:x?}");
    }
}

#[test]
fn wide_character_sets_fold_as_utf8_does() {
    assert_eq!(folded(54, b"\x00\xe9\x00 "), folded(45, b"E"));
    assert_eq!(folded(128, b"\x00\xdf"), folded(224, b"ss"));
    assert_eq!(folded(160, b"\x00\x00\x00a"), folded(224, b"A"));
    assert_eq!(folded(56, b"a\x00"), folded(45, b"A"));
    assert_eq!(folded(55, b"\x00a\x00 "), b"a");
    assert_eq!(folded(1079, b"\x00a\x00 "), b"a ");
}

#[test]
fn bytes_that_decide_are_not_appended() {
    for collation in [63, 309, 1070, 1071] {
        let mut out = Vec::new();
        assert_eq!(fold(Some(collation), b"a ", &mut out), Fold::Same);
        assert!(out.is_empty());
    }
}

#[test]
fn what_is_not_known_folds_loosely() {
    let fold = |collation, bytes: &[u8]| {
        let mut out = Vec::new();
        assert_eq!(fold(collation, bytes, &mut out), Fold::Unsure, "{collation:?}");
        out
    };
    // None, a language of each family, ai_cs, an id that nobody has.
    for collation in [None, Some(225), Some(265), Some(2312), Some(2305), Some(999), Some(u16::MAX)]
    {
        assert_eq!(fold(collation, "Bob É ".as_bytes()), b"BOB E");
        assert_eq!(fold(collation, b"a\xff "), b"A\xff");
    }
    // latin1_german2_ci, in its character set.
    assert_eq!(fold(Some(31), b"stra\xdfe"), b"STRASSE");
    // Known, but the bytes are no text.
    assert_eq!(fold(Some(255), b"a\xff "), b"A\xff");
    assert_eq!(fold(Some(54), b"\xd8\x00"), b"\xd8\x00");
}

#[test]
fn every_id_folds_every_byte_and_stays_small() {
    let mut out = Vec::new();
    for collation in 0..3400 {
        for byte in 0..=u8::MAX {
            out.clear();
            fold(Some(collation), &[byte], &mut out);
            fold(Some(collation), &[b'a', byte, b' ', 0], &mut out);
        }
        for text in ["\u{fdfa}", "\u{10ffff}", "\u{fffe}", "ﷺ각L·เก"] {
            out.clear();
            fold(Some(collation), text.as_bytes(), &mut out);
            assert!(out.len() <= 18 * text.len(), "{collation} {text}: {}", out.len());
        }
    }
}

#[test]
fn the_fast_path_and_the_slow_path_agree() {
    for collation in [33, 45, 192, 224, 246, 255, 2304] {
        for byte in 0..0x80 {
            // The Han character is itself everywhere, and makes the text go the slow way.
            let slow = folded(collation, &[b"x", &[byte][..], "一".as_bytes()].concat());
            let fast = folded(collation, &[b'x', byte, b'.']);
            assert_eq!(slow[..slow.len() - 3], fast[..fast.len() - 1], "{collation} {byte}");
        }
    }
}
