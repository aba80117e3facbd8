//! Text on a terminal: how wide it is, and what a terminal must not be told.
//!
//! Keys, statements, names and servers' errors come from outside. A terminal obeys control
//! characters in them, so all of them are escaped before they are printed.

use std::fmt::Write;
use unicode_width::UnicodeWidthChar;

/// Columns that text for people takes at most.
pub const COLUMNS: usize = 100;

/// Makes of the character before it a picture, which is wider.
const PICTURE: char = '\u{fe0f}';

/// What a terminal would obey, or what would show the text around it in another order.
pub(super) fn is_odd(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// One line without what a terminal would obey; a line's end is escaped, too.
pub fn clean(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for c in text.chars() {
        match is_odd(c) {
            true => clean.extend(c.escape_default()),
            false => clean.push(c),
        }
    }
    clean
}

/// Lines without what a terminal would obey.
pub fn clean_lines(text: &str) -> String {
    text.split('\n').map(clean).collect::<Vec<_>>().join("\n")
}

/// Lines, with their tabs, without what a terminal would obey: for text that is no terminal's, and
/// may be printed on one.
pub fn clean_text(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for c in text.chars() {
        match is_odd(c) && !matches!(c, '\n' | '\t') {
            true => clean.extend(c.escape_default()),
            false => clean.push(c),
        }
    }
    clean
}

/// JSON of the same value without what a terminal would obey.
pub fn clean_json(json: &str) -> String {
    let mut clean = String::with_capacity(json.len());
    for c in json.chars() {
        match is_odd(c) && !matches!(c, '\n' | '\r' | '\t') {
            // Outside its strings JSON has no others, and inside it has none of these.
            true => drop(write!(clean, "\\u{:04x}", u32::from(c))),
            false => clean.push(c),
        }
    }
    clean
}

/// Columns that a terminal takes for the text: two for a wide character, none for an accent that
/// stands alone. Never less than it takes.
pub fn columns(text: &str) -> usize {
    text.chars().map(char_columns).sum()
}

fn char_columns(c: char) -> usize {
    match c {
        PICTURE => 1,
        c => c.width().unwrap_or(0),
    }
}

/// The text in at most so many columns, with `…` where its end was cut off.
pub fn cut(text: &str, width: usize) -> String {
    if columns(text) <= width {
        return text.to_owned();
    }
    let (mut cut, mut taken) = (String::new(), 1);
    for c in text.chars() {
        taken += char_columns(c);
        if taken > width {
            break;
        }
        cut.push(c);
    }
    if width > 0 {
        cut.push('…');
    }
    cut
}

/// The text in exactly so many columns: cut off, or filled up with spaces.
pub fn padded(text: &str, width: usize) -> String {
    let mut text = cut(text, width);
    let fill = width.saturating_sub(columns(&text));
    text.extend(std::iter::repeat_n(' ', fill));
    text
}

/// Words in lines of at most `width` columns; a word that is longer is broken.
pub fn wrapped(text: &str, width: usize) -> Vec<String> {
    wrapped_after(0, text, width)
}

/// The same, where the first line is `taken` columns shorter.
fn wrapped_after(mut taken: usize, text: &str, width: usize) -> Vec<String> {
    let (mut lines, mut line) = (Vec::new(), String::new());
    for word in text.split(' ') {
        let follows = !line.is_empty();
        if taken > 0 && taken + usize::from(follows) + columns(word) > width {
            lines.push(std::mem::take(&mut line));
            taken = 0;
        } else if follows {
            line.push(' ');
            taken += 1;
        }
        for c in word.chars() {
            // Only what is longer than a line gets to its end here.
            if taken + char_columns(c) > width && taken > 0 {
                lines.push(std::mem::take(&mut line));
                taken = 0;
            }
            line.push(c);
            taken += char_columns(c);
        }
    }
    lines.push(line);
    lines
}

/// Adds a paragraph of at most [`COLUMNS`] columns, its first line after `first`, the others after
/// `rest`. What the text has of a terminal's commands is escaped.
pub fn add_paragraph(out: &mut String, first: &str, rest: &str, text: &str) {
    let width = COLUMNS - columns(rest);
    let (mut start, mut taken) = (first, columns(first).saturating_sub(columns(rest)));
    for line in clean_lines(text).lines() {
        for part in wrapped_after(std::mem::take(&mut taken), line, width) {
            let _ = writeln!(out, "{}", format!("{start}{part}").trim_end());
            start = rest;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_escaped() {
        assert_eq!(clean("a\x1b[2J\u{9b}\x7f\n"), "a\\u{1b}[2J\\u{9b}\\u{7f}\\n");
        assert_eq!(clean("\u{202e}evil\u{2028}"), "\\u{202e}evil\\u{2028}");
        assert_eq!(clean_lines("a\r\nb"), "a\\r\nb");
        assert_eq!(clean_text("a\t\x1b\nb"), "a\t\\u{1b}\nb");
        assert_eq!(clean("é 漢 שלום"), "é 漢 שלום");
    }

    #[test]
    fn json_stays_what_it_was() {
        let value = serde_json::json!({"k\u{9b}": "\u{7f}\u{202e}\x1b", "é": "漢"});
        for json in [value.to_string(), serde_json::to_string_pretty(&value).unwrap()] {
            let clean = clean_json(&json);
            assert!(clean.chars().all(|c| !is_odd(c) || c == '\n'), "{clean}");
            assert_eq!(serde_json::from_str::<serde_json::Value>(&clean).unwrap(), value);
        }
    }

    #[test]
    fn widths_are_columns_not_characters() {
        assert_eq!([columns("abc"), columns("漢字"), columns("e\u{301}")], [3, 4, 1]);
        assert_eq!(cut("漢字漢字", 8), "漢字漢字");
        assert_eq!(cut("漢字漢字", 7), "漢字漢…");
        assert_eq!(cut("漢字漢字", 6), "漢字…");
        assert_eq!([cut("abc", 1), cut("abc", 0)], ["…", ""]);
        assert_eq!(padded("漢字漢", 6), "漢字漢");
        assert_eq!(padded("漢字漢", 5), "漢字…");
        assert_eq!(padded("漢字漢", 4), "漢… ");
    }

    #[test]
    fn lines_break_at_words_and_long_words_anywhere() {
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("unbreakable x", 4), ["unbr", "eaka", "ble", "x"]);
        assert_eq!(wrapped("a unbreakable", 4), ["a", "unbr", "eaka", "ble"]);
        assert_eq!(wrapped("漢字漢字 x", 3), ["漢", "字", "漢", "字", "x"]);
        assert_eq!(wrapped("", 4), [""]);
        for width in 1..12 {
            for line in wrapped("aé漢字 bcd  efghijklmnop 漢", width) {
                assert!(columns(&line) <= width.max(2), "{width}: {line:?}");
            }
        }
    }

    #[test]
    fn a_paragraph_hangs_under_its_first_line() {
        let mut text = String::new();
        add_paragraph(&mut text, "- ", "    ", &"long word ".repeat(20));
        assert!(text.starts_with("- long word"), "{text}");
        assert!(text.lines().skip(1).all(|line| line.starts_with("    ")), "{text}");
        assert!(text.lines().all(|line| columns(line) <= COLUMNS), "{text}");
        text.clear();
        add_paragraph(&mut text, "HEAD: ", "  ", &format!("{} x", "y".repeat(97)));
        assert_eq!(text, format!("HEAD:\n  {}\n  x\n", "y".repeat(97)));
    }
}
