//! The words of a statement, as MySQL and MariaDB cut it up.

/// A piece of a statement outside comments.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Token<'a> {
    /// A keyword, a number, or a name without quotes.
    Word(&'a str),
    /// A name in backticks, or, under `ANSI_QUOTES`, in double quotes; else that is a text.
    Name(String),
    /// A text in single quotes.
    Text,
    /// Any other character.
    Symbol(char),
}

impl Token<'_> {
    /// Whether it is this keyword.
    pub(super) fn is(&self, keyword: &str) -> bool {
        matches!(self, Token::Word(word) if word.eq_ignore_ascii_case(keyword))
    }
}

/// The tokens of a statement. The inside of an executable comment is text.
#[derive(Clone)]
pub(super) struct Tokens<'a>(pub(super) &'a str);

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        let in_word = |c: char| c.is_alphanumeric() || c == '_' || c == '$' || c >= '\u{80}';
        loop {
            self.0 = skip_comments(self.0);
            match self.0.strip_prefix("*/") {
                Some(rest) => self.0 = rest,
                None => break,
            }
        }
        let first = self.0.chars().next()?;
        if matches!(first, '\'' | '"' | '`') {
            let (inside, rest) = unquote(self.0, first);
            self.0 = rest;
            return Some(if first == '\'' { Token::Text } else { Token::Name(inside) });
        }
        if !in_word(first) {
            self.0 = &self.0[first.len_utf8()..];
            return Some(Token::Symbol(first));
        }
        let end = self.0.find(|c| !in_word(c)).unwrap_or(self.0.len());
        let (word, rest) = self.0.split_at(end);
        self.0 = rest;
        Some(Token::Word(word))
    }
}

/// What a quoted text says, and what follows it. A doubled quote stands for one.
fn unquote(text: &str, quote: char) -> (String, &str) {
    let (mut inside, mut escaped) = (String::new(), false);
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        let doubled = chars.peek().is_some_and(|(_, next)| *next == quote);
        match c {
            _ if escaped => escaped = false,
            '\\' if quote != '`' => {
                escaped = true;
                continue;
            }
            _ if c == quote && doubled => drop(chars.next()),
            _ if c == quote => return (inside, &text[at + 1..]),
            _ => {}
        }
        inside.push(c);
    }
    (inside, "")
}

/// The text after blanks and comments; the inside of an executable comment is text.
pub(super) fn skip_comments(mut text: &str) -> &str {
    loop {
        text = text.trim_start();
        let executable = text.strip_prefix("/*!").or_else(|| text.strip_prefix("/*M!"));
        if let Some(rest) = executable {
            text = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        } else if let Some(rest) = text.strip_prefix("/*") {
            text = rest.split_once("*/").map_or("", |(_, after)| after);
        } else if text.starts_with('#') || is_dash_comment(text) {
            text = text.split_once('\n').map_or("", |(_, after)| after);
        } else {
            return text;
        }
    }
}

/// Two dashes begin a comment only before a blank.
fn is_dash_comment(text: &str) -> bool {
    let after = text.strip_prefix("--").map(|rest| rest.chars().next());
    after.is_some_and(|next| next.is_none_or(|c| c.is_whitespace() || c.is_control()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_cut_up_as_the_server_does() {
        let tokens = |text| Tokens(text).collect::<Vec<_>>();
        let name = |name: &str| Token::Name(name.to_owned());
        let word = Token::Word;
        assert_eq!(tokens("a.`b``c`"), [word("a"), Token::Symbol('.'), name("b`c")]);
        assert_eq!(tokens("'it''s \\' no' x"), [Token::Text, word("x")]);
        assert_eq!(tokens("\"a b\""), [name("a b")]);
        assert_eq!(tokens("x /*!40000 y */z/* w */ 1é"), ["x", "y", "z", "1é"].map(word));
        assert_eq!(tokens("x -- y\nz # w\n--\nv"), ["x", "z", "v"].map(word));
        assert_eq!(tokens("1--1"), [word("1"), Token::Symbol('-'), Token::Symbol('-'), word("1")]);
        for text in ["", "'", "`a", "/*", "/*!", "*/", "--", "#", "'\\"] {
            assert!(tokens(text).len() <= 1, "{text}");
        }
    }
}
